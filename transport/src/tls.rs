//! TLS over TCP (`pulsar+ssl://`), by rustls with ring; the same options serve `wss://`.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::from_io;
use crate::{ErrorKind, StreamTransport, TransportError, tcp};

/// A TLS connection.
pub type TlsTransport = StreamTransport<TlsStream<TcpStream>>;

/// Whom to trust and who we are, in TLS. The default trusts what the operating system trusts.
///
/// ```
/// use pulsewire_transport::tls::TlsOptions;
///
/// let ca = b"-----BEGIN CERTIFICATE-----\n...";
/// let options = TlsOptions::new().trust_pem(ca.to_vec()).server_name("broker.example.com");
/// # drop(options);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    trust_pem: Option<Vec<u8>>,
    allow_insecure: bool,
    any_hostname: bool,
    identity_pem: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<String>,
}

impl TlsOptions {
    /// The defaults: the system's authorities, host name verified, no client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts only the authorities of this PEM (one certificate or several), not the system's.
    #[must_use]
    pub fn trust_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust_pem = Some(pem.into());
        self
    }

    /// Takes any certificate of anybody. The connection is then open to whoever sits in between.
    #[must_use]
    pub fn allow_insecure(mut self, allow: bool) -> Self {
        self.allow_insecure = allow;
        self
    }

    /// Whether the certificate must be for the host that was asked for (the default).
    #[must_use]
    pub fn verify_hostname(mut self, verify: bool) -> Self {
        self.any_hostname = !verify;
        self
    }

    /// Proves who we are: a certificate chain and its key (PKCS#8, PKCS#1 or SEC1), both PEM.
    #[must_use]
    pub fn client_certificate(mut self, chain_pem: impl Into<Vec<u8>>, key_pem: impl Into<Vec<u8>>) -> Self {
        self.identity_pem = Some((chain_pem.into(), key_pem.into()));
        self
    }

    /// The name to ask for (SNI) and to find in the certificate, in place of the target's host.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Says early whether the PEM given can be used; connecting finds out as well.
    ///
    /// # Errors
    /// `Tls`, with what is wrong and where.
    pub fn check(&self) -> Result<(), TransportError> {
        self.config().map(drop)
    }

    /// The rustls configuration. Reading the system's authorities takes milliseconds: keep it.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TransportError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| tls_error(format!("TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &self.identity_pem {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates(chain, "the client certificate")?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| tls_error(format!("the client key is no PEM private key: {error}")))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    tls_error(format!("the client certificate and key cannot be used: {error}"))
                })?
            }
        };
        Ok(Arc::new(config))
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TransportError> {
        let algorithms = provider.signature_verification_algorithms;
        if self.allow_insecure {
            return Ok(Arc::new(Lenient { roots: None, algorithms }));
        }
        let unusable =
            |error: &dyn fmt::Display| tls_error(format!("the trusted certificates cannot be used: {error}"));
        if self.trust_pem.is_none() && !self.any_hostname {
            let verifier = rustls_platform_verifier::Verifier::new(provider.clone());
            return Ok(Arc::new(verifier.map_err(|error| unusable(&error))?));
        }
        let mut roots = RootCertStore::empty();
        match &self.trust_pem {
            Some(pem) => {
                for certificate in certificates(pem, "the trusted certificates")? {
                    roots.add(certificate).map_err(|error| unusable(&error))?;
                }
            }
            // The platform verifiers of some systems can't tell a wrong name from a worse fault.
            None => {
                let system = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(system.certs);
                if roots.is_empty() {
                    return Err(unusable(&"the system has none"));
                }
            }
        }
        if self.any_hostname {
            return Ok(Arc::new(Lenient { roots: Some(roots), algorithms }));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        verifier.map(|it| it as _).map_err(|error| unusable(&error))
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("trust_pem", &self.trust_pem.is_some())
            .field("allow_insecure", &self.allow_insecure)
            .field("verify_hostname", &!self.any_hostname)
            .field("client_certificate", &self.identity_pem.is_some())
            .field("server_name", &self.server_name)
            .finish()
    }
}

/// Opens TCP and does the handshake on it.
pub(crate) async fn open(
    host: &str,
    port: u16,
    options: &TlsOptions,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, TransportError> {
    let name = options.server_name.as_deref().unwrap_or(host);
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|_| tls_error(format!("'{name}' is not a host name that TLS can verify")))?;
    let stream = tcp::open(host, port).await?;
    let handshake = TlsConnector::from(config).connect(server_name, stream).await;
    handshake.map_err(|error| {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return from_rustls(tls, Some(name));
        }
        let failure = from_io(&error, &format!("TLS handshake with {host} port {port}"));
        TransportError::new(failure.kind(), format!("{} (is that port one for TLS?)", failure.message()))
    })
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| tls_error(format!("{what}: not PEM: {error}")))?;
    if found.is_empty() {
        return Err(tls_error(format!("{what}: no certificate in the PEM given")));
    }
    Ok(found)
}

fn tls_error(message: impl Into<String>) -> TransportError {
    TransportError::new(ErrorKind::Tls, message)
}

/// The failure behind an error of rustls, in words for the person who set the options.
pub(crate) fn from_rustls(error: &rustls::Error, name: Option<&str>) -> TransportError {
    use rustls::Error as E;
    let host = name.unwrap_or("the peer");
    tls_error(match error {
        E::InvalidCertificate(CertificateError::UnknownIssuer) => {
            format!("TLS: the certificate of {host} is signed by no authority that is trusted here")
        }
        E::InvalidCertificate(CertificateError::BadSignature) => format!(
            "TLS: the certificate of {host} is signed by no authority that is trusted here (one of that name is, with another key)"
        ),
        E::InvalidCertificate(CertificateError::NotValidForName) => {
            format!("TLS: the certificate is not for {host}")
        }
        E::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
            format!("TLS: the certificate is not for {host}; it is for {}", presented.join(", "))
        }
        E::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            format!("TLS: the certificate of {host} has expired")
        }
        E::InvalidCertificate(why) => format!("TLS: the certificate of {host} is refused: {why}"),
        E::AlertReceived(AlertDescription::CertificateRequired) => {
            "TLS: the peer demands a client certificate and none was given".to_owned()
        }
        E::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate),
        ) => format!("TLS: the peer refuses our client certificate, or wants one ({alert:?})"),
        E::InvalidMessage(_) => {
            format!("TLS: what {host} sent is not TLS (is that port one for TLS?): {error}")
        }
        other => format!("TLS: {other}"),
    })
}

/// A verifier that doesn't look at the name, or (without roots) not at the certificate either. The
/// peer must still prove that it holds the certificate's key.
#[derive(Debug)]
struct Lenient {
    roots: Option<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            rustls::client::verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
