//! Who shows which certificate, of version 3 and of version 1.

use super::*;

/// Connects over TLS, with a certificate or without.
async fn over_tls(
    addr: SocketAddr,
    trust: &rcgen::Certificate,
    shown: Option<(&rcgen::Certificate, &rcgen::KeyPair)>,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trust.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(vec![cert.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap(),
    };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(addr).await.unwrap();
    connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
}

#[tokio::test]
async fn certificates_are_roles_on_both_ports() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let named = |name: &str| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "tests");
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut params = named("authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        (named(name).signed_by(&key, &issuer).unwrap(), key)
    };
    let (server_cert, server_key) = issue("localhost");
    let (boss, joe) = (issue("boss"), issue("joe"));
    let stranger_key = KeyPair::generate().unwrap();
    let stranger = named("boss").self_signed(&stranger_key).unwrap();
    let access = Access {
        authenticator: Arc::new(Methods { certificates: true, ..Methods::default() }),
        superusers: Some(["boss".to_owned()].into()),
        refresh_check: Duration::from_secs(60),
    };
    let tls = TlsConfig {
        listen: any_port(),
        admin_listen: Some(any_port()),
        client_ca_pem: Some(ca.pem().into_bytes()),
        cert_pem: server_cert.pem().into_bytes(),
        key_pem: server_key.serialize_pem().into_bytes(),
    };
    let broker = BrokerConfig { access: Some(Arc::new(access)), ..BrokerConfig::default() };
    let server =
        Server::bind(ServerConfig { tls: Some(tls), broker, ..ServerConfig::default() }).await.unwrap();
    let (addr, admin) = (server.tls_addr().unwrap(), server.tls_admin_addr().unwrap());
    let serving = tokio::spawn(server.run(std::future::pending()));

    let hello = || CommandConnect { auth_method_name: Some("tls".to_owned()), ..connect() };
    let frames = || FrameDecoder::new(64 << 20);
    for ((cert, key), status) in [(&boss, 200), (&joe, 401)] {
        let mut client = Client { stream: over_tls(addr, &ca, Some((cert, key))).await, frames: frames() };
        client.say(hello()).await;
        assert!(matches!(client.hear().await, Command::Connected(_)));
        if status == 200 {
            client.round_trip(TOPIC, b"hello").await;
        } else {
            client.say(producer_on(1, TOPIC)).await;
            assert_eq!(refusal(client.hear().await).0, ServerError::AUTHORIZATION_ERROR);
        }
        let mut stream = over_tls(admin, &ca, Some((cert, key))).await;
        stream
            .write_all(b"GET /admin/v2/tenants HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
    }
    // A lookup tells the address by its newer name only.
    let mut stream = over_tls(admin, &ca, Some((&boss.0, &boss.1))).await;
    let lookup =
        "GET /lookup/v2/topic/persistent/public/default/t HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    stream.write_all(lookup.as_bytes()).await.unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text).await;
    assert!(text.contains(r#""brokerUrlTls":"pulsar+ssl://localhost:"#), "{text}");
    assert!(text.contains(r#""brokerUrlSsl":"""#), "{text}");
    // Without a certificate TLS is fine, and nobody is let in.
    let mut client = Client { stream: over_tls(addr, &ca, None).await, frames: frames() };
    client.say(hello()).await;
    assert_eq!(refusal(client.hear().await).0, ServerError::AUTHENTICATION_ERROR);
    assert!(client.frame().await.is_none());
    // One of somebody else's making does not get as far.
    let mut client =
        Client { stream: over_tls(addr, &ca, Some((&stranger, &stranger_key))).await, frames: frames() };
    let mut out = BytesMut::new();
    encode_command(&hello().into(), &mut out);
    let _ = client.stream.write_all(&out).await;
    assert!(client.frame().await.is_none());
    serving.abort();
}

/// An element of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag, 0x82];
    out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
    out.extend(content);
    out
}

/// The first element: its tag, what is in it, and what comes after it.
fn element(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (start, len) = match bytes[1] {
        0x81 => (3, usize::from(bytes[2])),
        0x82 => (4, usize::from(bytes[2]) << 8 | usize::from(bytes[3])),
        short => (2, usize::from(short)),
    };
    (bytes[0], &bytes[start..start + len], &bytes[start + len..])
}

/// A certificate of version 1 with what another says.
fn old(new: &rcgen::Certificate, signer: &rcgen::KeyPair) -> rustls::pki_types::CertificateDer<'static> {
    use rcgen::SigningKey;
    let (_, whole, _) = element(new.der());
    let (_, mut fields, rest) = element(whole);
    let way = &rest[..rest.len() - element(rest).2.len()];
    let mut kept = Vec::new();
    while !fields.is_empty() {
        let (tag, _, next) = element(fields);
        // Neither the version nor extensions.
        if tag != 0xA0 && tag != 0xA3 {
            kept.extend(&fields[..fields.len() - next.len()]);
        }
        fields = next;
    }
    let kept = der(0x30, &kept);
    let signature = der(0x03, &[&[0][..], &signer.sign(&kept).unwrap()].concat());
    der(0x30, &[&kept[..], way, &signature].concat()).into()
}

/// Shows a certificate that rustls itself would not.
#[derive(Debug)]
struct Shows(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// As `openssl x509 -req` makes them, and the instructions for mTLS that people follow.
#[tokio::test]
async fn certificates_of_version_1_are_roles_too() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap(), params, key)
    };
    let issue = |name: &str, year: i32, params: &CertificateParams, signer: &KeyPair| {
        let mut wanted = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        wanted.distinguished_name.push(DnType::CommonName, name);
        wanted.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(params, signer);
        let made = wanted.signed_by(&key, &issuer).unwrap();
        (old(&made, signer), made, key)
    };
    let (ca, params, signer) = authority();
    let (_, other, stranger) = authority();
    let (_, server, server_key) = issue("localhost", 2900, &params, &signer);
    let access = Access {
        authenticator: Arc::new(Methods { certificates: true, ..Methods::default() }),
        superusers: Some(["boss".to_owned()].into()),
        refresh_check: Duration::from_secs(60),
    };
    let tls = TlsConfig {
        listen: any_port(),
        admin_listen: None,
        client_ca_pem: Some(ca.pem().into_bytes()),
        cert_pem: server.pem().into_bytes(),
        key_pem: server_key.serialize_pem().into_bytes(),
    };
    let broker = BrokerConfig { access: Some(Arc::new(access)), ..BrokerConfig::default() };
    let server =
        Server::bind(ServerConfig { tls: Some(tls), broker, ..ServerConfig::default() }).await.unwrap();
    let addr = server.tls_addr().unwrap();
    let serving = tokio::spawn(server.run(std::future::pending()));

    let good = issue("boss", 2900, &params, &signer);
    let strange = issue("boss", 2900, &other, &stranger);
    let expired = issue("boss", 2001, &params, &signer);
    for (what, cert, key, taken) in [
        ("good", &good.0, &good.2, true),
        ("of another authority", &strange.0, &strange.2, false),
        ("of another's key", &good.0, &strange.2, false),
        ("expired", &expired.0, &expired.2, false),
    ] {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let key =
                rustls::crypto::ring::sign::any_supported_type(&key.serialize_der().try_into().unwrap());
            let shown = rustls::sign::CertifiedKey::new(vec![cert.clone()], key.unwrap());
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_client_cert_resolver(Arc::new(Shows(Arc::new(shown))));
            let stream = TcpStream::connect(addr).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let stream = connector.connect("localhost".try_into().unwrap(), stream).await;
            let Ok(stream) = stream else {
                assert!(!taken, "{what} {version:?}");
                continue;
            };
            let mut client = Client { stream, frames: FrameDecoder::new(64 << 20) };
            let hello = CommandConnect { auth_method_name: Some("tls".to_owned()), ..connect() };
            let mut out = BytesMut::new();
            encode_command(&hello.into(), &mut out);
            let _ = client.stream.write_all(&out).await;
            assert_eq!(client.frame().await.is_some(), taken, "{what} {version:?}");
        }
    }
    serving.abort();
}

/// Takes any certificate.
#[derive(Debug)]
struct Trusts;

impl rustls::client::danger::ServerCertVerifier for Trusts {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        given: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, certificate, given)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// As `openssl req -x509` made them once, and clients' test suites still bring them.
#[tokio::test]
async fn the_broker_may_have_a_certificate_of_version_1() {
    use base64::Engine as _;
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let first = old(&pair.cert, &pair.signing_key);
    let text = base64::engine::general_purpose::STANDARD.encode(&first);
    let cert_pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes();
    let other = rcgen::KeyPair::generate().unwrap();
    for (key, good) in [(pair.signing_key.serialize_pem(), true), (other.serialize_pem(), false)] {
        let tls = TlsConfig {
            listen: any_port(),
            admin_listen: None,
            client_ca_pem: None,
            cert_pem: cert_pem.clone(),
            key_pem: key.into_bytes(),
        };
        let server = Server::bind(ServerConfig { tls: Some(tls), ..ServerConfig::default() }).await;
        assert_eq!(server.is_ok(), good);
        let Ok(server) = server else { continue };
        let addr = server.tls_addr().unwrap();
        let serving = tokio::spawn(server.run(std::future::pending()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusts))
            .with_no_client_auth();
        let stream = TcpStream::connect(addr).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        let mut client = Client { stream, frames: FrameDecoder::new(64 << 20) };
        let mut out = BytesMut::new();
        encode_command(&connect().into(), &mut out);
        client.stream.write_all(&out).await.unwrap();
        assert!(client.frame().await.is_some());
        serving.abort();
    }
}

#[tokio::test]
async fn a_bad_certificate_is_told_at_once() {
    let tls = TlsConfig {
        listen: any_port(),
        admin_listen: None,
        client_ca_pem: None,
        cert_pem: b"x".to_vec(),
        key_pem: b"y".to_vec(),
    };
    let error = Server::bind(ServerConfig { tls: Some(tls), ..ServerConfig::default() }).await.unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
}
