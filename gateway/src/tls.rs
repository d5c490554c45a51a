//! TLS both ways: the listener's certificate, and trust in the upstream.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::{ListenTls, Pem, UpstreamTls};
use crate::error::{ConfigError, Problem};

/// TLS to upstreams.
#[derive(Clone)]
pub(crate) struct UpstreamConnector {
    pub(crate) connector: TlsConnector,
    /// The name that is verified in place of the host.
    pub(crate) name: Option<ServerName<'static>>,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The acceptor of the public listener, or `None` with the reasons added to `errors`.
pub(crate) fn acceptor(listen: &ListenTls, errors: &mut Vec<ConfigError>) -> Option<TlsAcceptor> {
    let certificates =
        certificates(&listen.certificates).and_then(|chain| in_its_time(&chain).map(|()| chain));
    let certificates = note("tls.certificates", certificates, errors);
    let key = note("tls.key", key(&listen.key), errors);
    let (certificates, key) = (certificates?, key?);
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| Problem::BadCertificate(error.to_string()));
    let mut config = note("tls", config, errors)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(TlsAcceptor::from(Arc::new(config)))
}

/// The connector to `pulsar+ssl://` upstreams, or `None` with the reasons added to `errors`. `host` is that of
/// the one that is known beforehand.
pub(crate) fn connector(
    host: Option<&str>,
    options: Option<&UpstreamTls>,
    errors: &mut Vec<ConfigError>,
) -> Option<UpstreamConnector> {
    let options = options.cloned().unwrap_or_default();
    let verified = |name: String| {
        let name = ServerName::try_from(name.clone()).map_err(|_| Problem::BadServerName(name));
        note("upstream_tls.server_name", name, errors)
    };
    let named = options.server_name.is_some();
    let name = options.server_name.or_else(|| host.map(str::to_owned)).map(verified);
    let config = match &options.authorities {
        Some(pem) => note("upstream_tls.authorities", trusting(pem), errors),
        None => note("upstream_tls", trusting_system(), errors),
    };
    let name = match name {
        Some(None) => return None,
        Some(name) if named => name,
        _ => None,
    };
    Some(UpstreamConnector { connector: TlsConnector::from(Arc::new(config?)), name })
}

fn trusting(pem: &Pem) -> Result<ClientConfig, Problem> {
    let mut roots = RootCertStore::empty();
    let authorities = certificates(pem)?;
    in_its_time(&authorities)?;
    for certificate in authorities {
        roots.add(certificate).map_err(|error| Problem::BadCertificate(error.to_string()))?;
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::BadCertificate(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn trusting_system() -> Result<ClientConfig, Problem> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map(|builder| builder.with_no_client_auth())
        .map_err(|error| Problem::NoSystemTrust(error.to_string()))
}

fn text(pem: &Pem) -> Result<Vec<u8>, Problem> {
    match pem {
        Pem::Text(text) => Ok(text.clone()),
        Pem::File(path) => std::fs::read(path)
            .map_err(|error| Problem::Unreadable { path: path.clone(), why: error.to_string() }),
    }
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let certificates = CertificateDer::pem_slice_iter(&text(pem)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Problem::BadPem(error.to_string()))?;
    if certificates.is_empty() { Err(Problem::NoCertificate) } else { Ok(certificates) }
}

/// A certificate that no peer would accept today is a mistake of the configuration.
fn in_its_time(certificates: &[CertificateDer<'_>]) -> Result<(), Problem> {
    let now = x509_parser::time::ASN1Time::now();
    for der in certificates {
        // What this parser cannot read, TLS itself judges.
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { continue };
        let validity = certificate.validity();
        if validity.not_after < now {
            return Err(Problem::Expired(validity.not_after.to_string()));
        }
        if validity.not_before > now {
            return Err(Problem::NotYetValid(validity.not_before.to_string()));
        }
    }
    Ok(())
}

fn key(pem: &Pem) -> Result<PrivateKeyDer<'static>, Problem> {
    PrivateKeyDer::from_pem_slice(&text(pem)?).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => Problem::NoKey,
        // Not the error's own text: it may quote the line at fault.
        _ => Problem::BadPem("the private key cannot be read".to_owned()),
    })
}

fn note<T>(key: &'static str, result: Result<T, Problem>, errors: &mut Vec<ConfigError>) -> Option<T> {
    result.map_err(|problem| errors.push(ConfigError::at(key, problem))).ok()
}
