//! TLS both ways: the listener's certificate, and trust in the upstream.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::{ListenTls, Pem, Upstream, UpstreamTls};
use crate::error::{ConfigError, Problem};

/// A TLS connector with the name that it verifies.
#[derive(Clone)]
pub(crate) struct UpstreamConnector {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The acceptor of the public listener, or `None` with the reasons added to `errors`.
pub(crate) fn acceptor(listen: &ListenTls, errors: &mut Vec<ConfigError>) -> Option<TlsAcceptor> {
    let certificates = note("tls.certificates", certificates(&listen.certificates), errors);
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

/// The connector to a `pulsar+ssl://` upstream, or `None` with the reasons added to `errors`.
pub(crate) fn connector(
    upstream: &Upstream,
    options: Option<&UpstreamTls>,
    errors: &mut Vec<ConfigError>,
) -> Option<UpstreamConnector> {
    let options = options.cloned().unwrap_or_default();
    let name = options.server_name.unwrap_or_else(|| upstream.host());
    let name = ServerName::try_from(name.clone()).map_err(|_| Problem::BadServerName(name));
    let name = note("upstream_tls.server_name", name, errors);
    let config = match &options.authorities {
        Some(pem) => note("upstream_tls.authorities", trusting(pem), errors),
        None => note("upstream_tls", trusting_system(), errors),
    };
    Some(UpstreamConnector { connector: TlsConnector::from(Arc::new(config?)), name: name? })
}

fn trusting(pem: &Pem) -> Result<ClientConfig, Problem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
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

fn key(pem: &Pem) -> Result<PrivateKeyDer<'static>, Problem> {
    PrivateKeyDer::from_pem_slice(&text(pem)?).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => Problem::NoKey,
        // Not the error's own text: it may quote the line at fault.
        _ => Problem::BadPem("the private key cannot be read".to_owned()),
    })
}

fn note<T>(key: &'static str, result: Result<T, Problem>, errors: &mut Vec<ConfigError>) -> Option<T> {
    result.map_err(|problem| errors.push(ConfigError { key, problem })).ok()
}
