//! Who the broker is on TLS connections, and who its clients are by their certificates.

use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use super::old_certificates::Verifier;

/// Reads a certificate chain and its key, and the authorities of clients' certificates. Clients need not
/// have one.
pub(super) fn acceptor(cert_pem: &[u8], key_pem: &[u8], client_ca: Option<&[u8]>) -> io::Result<TlsAcceptor> {
    let bad = |what: &str, error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{what}: {error}"))
    };
    let certs = certificates(cert_pem).map_err(|error| bad("the TLS certificate cannot be read", &error))?;
    let key =
        PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| bad("the TLS key cannot be read", &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let serve = |error: &dyn std::fmt::Display| bad("the TLS certificate and key do not serve", error);
    let own = own(certs, key, &provider).map_err(|error| serve(&error))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS cannot be set up", &error))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let wrong = |error: &dyn std::fmt::Display| bad("the TLS authorities cannot be read", error);
            let mut roots = RootCertStore::empty();
            let authorities = certificates(pem).map_err(|error| wrong(&error))?;
            if authorities.is_empty() {
                return Err(wrong(&"no certificate is in it"));
            }
            for authority in &authorities {
                roots.add(authority.clone()).map_err(|error| wrong(&error))?;
            }
            let algorithms = provider.signature_verification_algorithms;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| wrong(&error))?;
            builder.with_client_cert_verifier(Arc::new(Verifier {
                others: verifier,
                authorities,
                algorithms,
            }))
        }
    };
    let config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What the broker shows of itself. rustls reads no certificate of version 1, which clients take all the same:
/// whether the key is that of one is seen here.
fn own(
    certs: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, rustls::Error> {
    let own = CertifiedKey::new(certs, provider.key_provider.load_private_key(key)?);
    let first = own.end_entity_cert()?;
    let matches = match X509Certificate::from_der(first) {
        Ok((_, first)) if first.version() == X509Version::V1 => {
            let public = own.key.public_key();
            match public.is_none_or(|public| public.as_ref() == first.public_key().raw) {
                true => Ok(()),
                false => Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)),
            }
        }
        _ => own.keys_match(),
    };
    match matches {
        // A key that does not tell its public half may be the right one.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(own),
        Err(error) => Err(error),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

/// The common name of a client's certificate, which rustls has verified. Of several the last, as Apache
/// Pulsar takes it.
pub(super) fn common_name(chain: Option<&[CertificateDer<'_>]>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(chain?.first()?).ok()?;
    let name = certificate.subject().iter_common_name().last()?.as_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}
