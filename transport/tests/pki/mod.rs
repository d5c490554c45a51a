//! An authority made for one test, and servers that hold its certificates.
#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;

use pulsewire_transport::tls::TlsOptions;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self::named("pulsewire test authority")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("self-signed") }
    }

    pub(crate) fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certificate and key, both PEM.
    pub(crate) fn issue(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn issue_for(&self, names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.issue(CertificateParams::new(names).expect("names"))
    }

    pub(crate) fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        self.acceptor_with(self.issue_for(names), false)
    }

    pub(crate) fn acceptor_with(&self, (chain, key): (String, String), demand_client: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if demand_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).expect("our own");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let config = builder.with_single_cert(chain.expect("a chain"), key).expect("a pair");
        TlsAcceptor::from(Arc::new(config))
    }

    pub(crate) fn trusted(&self) -> TlsOptions {
        TlsOptions::new().trust_pem(self.ca_pem())
    }
}
