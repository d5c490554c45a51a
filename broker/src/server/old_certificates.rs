//! Clients' certificates of version 1.
//!
//! `openssl x509 -req` without extensions makes them: so do the instructions that people follow to set mTLS up, and
//! Apache Pulsar takes them. webpki does not read them, so they are looked at here: signed by one of the
//! authorities itself, and in their time. All others are rustls's own business.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) others: Arc<dyn ClientCertVerifier>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// A certificate, if it is one of version 1.
fn old<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    (rest.is_empty() && certificate.version() == X509Version::V1).then_some(certificate)
}

/// Whether somebody with a key has signed something, in one of these ways.
fn signed<'a>(
    by: &X509Certificate<'_>,
    ways: impl IntoIterator<Item = &'a &'static dyn SignatureVerificationAlgorithm>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let key: &[u8] = &by.public_key().subject_public_key.data;
    ways.into_iter().any(|way| way.verify_signature(key, message, signature).is_ok())
}

impl Verifier {
    fn in_handshake(
        &self,
        by: &X509Certificate<'_>,
        message: &[u8],
        given: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let ways = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == given.scheme);
        let ways = ways.map(|(_, ways)| *ways).unwrap_or_default();
        match signed(by, ways, message, given.signature()) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.others.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.others.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(old) = old(certificate) else {
            return self.others.verify_client_cert(certificate, chain, now);
        };
        let signature: &[u8] = &old.signature_value.data;
        let good = self.authorities.iter().any(|authority| {
            X509Certificate::from_der(authority).is_ok_and(|(_, authority)| {
                authority.subject() == old.issuer()
                    && signed(&authority, self.algorithms.all, old.tbs_certificate.as_ref(), signature)
            })
        });
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let time = old.validity();
        if !good {
            Err(CertificateError::UnknownIssuer.into())
        } else if seconds < time.not_before.timestamp() {
            Err(CertificateError::NotValidYet.into())
        } else if seconds > time.not_after.timestamp() {
            Err(CertificateError::Expired.into())
        } else {
            Ok(ClientCertVerified::assertion())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        given: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match old(certificate) {
            Some(old) => self.in_handshake(&old, message, given),
            None => self.others.verify_tls12_signature(message, certificate, given),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        given: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match old(certificate) {
            Some(old) => self.in_handshake(&old, message, given),
            None => self.others.verify_tls13_signature(message, certificate, given),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.others.supported_verify_schemes()
    }
}
