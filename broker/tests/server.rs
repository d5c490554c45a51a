//! The broker on real sockets: TCP, TLS, admin HTTP.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "server")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::*;
use pulsewire_broker::auth::Methods;
use pulsewire_broker::core::{Access, BrokerConfig};
use pulsewire_broker::server::TlsConfig;
use pulsewire_broker::{Server, ServerConfig};
use pulsewire_proto::wire::entry::Entry;
use pulsewire_proto::wire::frame::{FrameDecoder, RawFrame, encode_command};
use pulsewire_proto::wire::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const TOPIC: &str = "persistent://public/default/t";

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

struct Client<S> {
    stream: S,
    frames: FrameDecoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn new(stream: S) -> Self {
        let mut client = Self { stream, frames: FrameDecoder::new(64 << 20) };
        client.say(connect()).await;
        assert!(matches!(client.hear().await, Command::Connected(_)));
        client
    }

    async fn say(&mut self, command: impl Into<Command>) {
        let mut out = BytesMut::new();
        encode_command(&command.into(), &mut out);
        self.stream.write_all(&out).await.unwrap();
    }

    async fn frame(&mut self) -> Option<RawFrame> {
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                return Some(frame);
            }
            let mut buffer = BytesMut::with_capacity(64 * 1024);
            let read = tokio::time::timeout(Duration::from_secs(10), self.stream.read_buf(&mut buffer));
            if read.await.expect("an answer in time").unwrap_or(0) == 0 {
                return None;
            }
            self.frames.push(buffer.freeze());
        }
    }

    async fn hear(&mut self) -> Command {
        self.frame().await.expect("the connection is open").decode().unwrap()
    }

    /// Sends a message and receives it again.
    async fn round_trip(&mut self, topic: &str, payload: &[u8]) {
        self.say(producer_on(1, topic)).await;
        assert!(matches!(self.hear().await, Command::ProducerSuccess(_)));
        self.say(subscribe(1, topic, "s", SubType::EXCLUSIVE)).await;
        assert!(matches!(self.hear().await, Command::Success(_)));
        self.say(CommandFlow { consumer_id: 1, message_permits: 1 }).await;
        self.stream.write_all(&send_frame(1, 0, MessageMetadata::default(), payload)).await.unwrap();
        assert!(matches!(self.hear().await, Command::SendReceipt(_)));
        let message = self.frame().await.unwrap();
        assert!(matches!(message.decode(), Ok(Command::Message(_))));
        assert_eq!(Entry::parse(&message.entry).unwrap().payload, Bytes::copy_from_slice(payload));
    }
}

async fn http(addr: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let (line, body) = request.split_once('|').unwrap_or((request, ""));
    let text = format!(
        "{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test]
async fn tcp_carries_small_and_large_messages() {
    let server = Server::bind(ServerConfig::default()).await.unwrap();
    let addr = server.local_addr();
    assert_eq!(server.service_url(), format!("pulsar://localhost:{}", addr.port()));
    let serving = tokio::spawn(server.run(std::future::pending()));
    let large: Vec<u8> = (0..4_000_000u32).map(|n| n as u8).collect();
    for (topic, payload) in [("small", &b"hello"[..]), ("large", &large)] {
        Client::new(TcpStream::connect(addr).await.unwrap()).await.round_trip(topic, payload).await;
    }
    serving.abort();
}

#[tokio::test]
async fn tls_carries_messages() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = TlsConfig {
        listen: any_port(),
        admin_listen: None,
        client_ca_pem: None,
        cert_pem: made.cert.pem().into_bytes(),
        key_pem: made.signing_key.serialize_pem().into_bytes(),
    };
    let server = Server::bind(ServerConfig { tls: Some(tls), ..ServerConfig::default() }).await.unwrap();
    let addr = server.tls_addr().unwrap();
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(addr).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let mut client = Client::new(stream).await;
    client.say(CommandLookupTopic { topic: TOPIC.to_owned(), request_id: 1, ..Default::default() }).await;
    let Command::LookupTopicResponse(found) = client.hear().await else { panic!() };
    assert_eq!(found.broker_service_url_tls, Some(format!("pulsar+ssl://localhost:{}", addr.port())));
    client.round_trip(TOPIC, b"hello").await;
    serving.abort();
}

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

#[tokio::test]
async fn the_admin_api_answers() {
    let config = ServerConfig { admin_listen: Some(any_port()), ..ServerConfig::default() };
    let server = Server::bind(config).await.unwrap();
    let (addr, admin) = (server.local_addr(), server.admin_addr().unwrap());
    let serving = tokio::spawn(server.run(std::future::pending()));
    let topics = "/admin/v2/persistent/public/default";
    for (request, status, body) in [
        ("GET /admin/v2/brokers/health".to_owned(), 200, "ok"),
        ("GET /admin/v2/clusters".to_owned(), 200, r#"["standalone"]"#),
        ("GET /admin/v2/tenants".to_owned(), 200, r#"["public","pulsar"]"#),
        ("PUT /admin/v2/tenants/mine|{\"allowedClusters\":[\"standalone\"]}".to_owned(), 204, ""),
        ("PUT /admin/v2/namespaces/mine/own".to_owned(), 204, ""),
        ("GET /admin/v2/namespaces/mine".to_owned(), 200, r#"["mine/own"]"#),
        (format!("PUT {topics}/parts/partitions|3"), 204, ""),
        (format!("PUT {topics}/parts/partitions|3"), 409, r#"{"reason":"This topic already exists"}"#),
        (format!("GET {topics}/parts/partitions"), 200, r#"{"deleted":false,"partitions":3}"#),
        (format!("PUT {topics}/parts/partitions|x"), 400, ""),
        (format!("GET {topics}/partitioned"), 200, r#"["persistent://public/default/parts"]"#),
        (format!("PUT {topics}/one%20two"), 204, ""),
        (format!("PUT {topics}/one%20two/subscription/s"), 204, ""),
        (format!("GET {topics}/one%20two/subscriptions"), 200, r#"["s"]"#),
        (format!("DELETE {topics}/one%20two"), 204, ""),
        (format!("DELETE {topics}/one%20two"), 404, ""),
        (format!("DELETE {topics}/parts"), 409, ""),
        (format!("POST {topics}/parts/partitions|5"), 204, ""),
        (format!("DELETE {topics}/parts/partitions"), 204, ""),
        (format!("GET {topics}/one%20two/stats"), 404, ""),
        (format!("PATCH {topics}/parts"), 405, ""),
        ("GET /nowhere".to_owned(), 404, ""),
        ("GET /admin/v2/persistent/a%20b/c".to_owned(), 412, ""),
    ] {
        let (got, text) = http(admin, &request).await;
        assert_eq!(got, status, "{request}: {text}");
        assert!(body.is_empty() || text == body, "{request}: {text}");
        let told = text.starts_with(r#"{"reason":"#) || [400, 404, 405].contains(&got);
        assert!(got < 400 || told, "{request}: {text}");
    }
    let (_, found) = http(admin, "GET /lookup/v2/topic/persistent/public/default/t").await;
    assert!(found.contains(&format!("pulsar://localhost:{}", addr.port())), "{found}");

    let mut client = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    client.round_trip(TOPIC, b"counted").await;
    let (_, stats) = http(admin, &format!("GET {topics}/t/stats")).await;
    assert!(stats.contains(r#""msgInCounter":1"#) && stats.contains(r#""msgBacklog":1"#), "{stats}");
    assert_eq!(http(admin, &format!("DELETE {topics}/t")).await.0, 412, "it is in use");
    assert_eq!(http(admin, &format!("DELETE {topics}/t?force=true")).await.0, 204);
    serving.abort();
}

/// As brokers of a cluster are reached: each by a name of its own, all by the same ports.
#[tokio::test]
async fn another_broker_has_an_address_and_a_name_of_its_own() {
    let config = ServerConfig {
        admin_listen: Some(any_port()),
        advertised_host: "one".to_owned(),
        others: vec![([127, 0, 0, 2].into(), "two".to_owned())],
        ..ServerConfig::default()
    };
    let server = Server::bind(config).await.unwrap();
    let nodes = server.nodes();
    assert!(nodes[0].service_url.starts_with("pulsar://one:"), "{nodes:?}");
    assert!(nodes[1].service_url.starts_with("pulsar://two:"), "{nodes:?}");
    let admin = nodes[1].admin_url.clone().unwrap().rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let serving = tokio::spawn(server.run(std::future::pending()));
    let (status, all) = http(([127, 0, 0, 2], admin).into(), "GET /admin/v2/brokers/standalone").await;
    assert!(status == 200 && all.contains("one:") && all.contains(&format!("two:{admin}")), "{all}");
    serving.abort();
}

#[tokio::test]
async fn a_connection_that_breaks_the_protocol_is_closed_and_others_live() {
    let server = Server::bind(ServerConfig::default()).await.unwrap();
    let addr = server.local_addr();
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut good = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    let mut bad = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    bad.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(bad.frame().await.is_none());
    good.round_trip(TOPIC, b"hello").await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_is_held_back_and_gets_all_in_the_end() {
    let broker = BrokerConfig { connection_window: 64 * 1024, ..BrokerConfig::default() };
    let server = Server::bind(ServerConfig { broker, ..ServerConfig::default() }).await.unwrap();
    let addr = server.local_addr();
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut slow = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    slow.say(subscribe(1, TOPIC, "s", SubType::SHARED)).await;
    assert!(matches!(slow.hear().await, Command::Success(_)));
    slow.say(CommandFlow { consumer_id: 1, message_permits: 1_000_000 }).await;
    let mut fast = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    fast.say(producer_on(1, TOPIC)).await;
    fast.hear().await;
    const COUNT: u64 = 2000;
    for n in 0..COUNT {
        fast.stream.write_all(&send_frame(1, n, MessageMetadata::default(), &[7; 10_000])).await.unwrap();
        assert!(matches!(fast.hear().await, Command::SendReceipt(_)));
    }
    for n in 0..COUNT {
        let Command::Message(message) = slow.hear().await else { panic!() };
        assert_eq!(message.message_id.entry_id, n);
    }
    serving.abort();
}

#[tokio::test]
async fn shutdown_ends_everything() {
    let server = Server::bind(ServerConfig::default()).await.unwrap();
    let addr = server.local_addr();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async {
        stopped.await.ok();
    }));
    let mut client = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(client.frame().await.is_none());
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_bounded_and_cut_while_others_go_on() {
    let broker = BrokerConfig {
        connection_window: 64 * 1024,
        keep_alive: Duration::from_millis(700),
        ..BrokerConfig::default()
    };
    let admin_listen = Some(any_port());
    let server =
        Server::bind(ServerConfig { broker, admin_listen, ..ServerConfig::default() }).await.unwrap();
    let (addr, admin) = (server.local_addr(), server.admin_addr().unwrap());
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut deaf = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    deaf.say(subscribe(1, TOPIC, "s", SubType::SHARED)).await;
    assert!(matches!(deaf.hear().await, Command::Success(_)));
    deaf.say(CommandFlow { consumer_id: 1, message_permits: 1_000_000 }).await;
    let mut good = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    good.say(producer_on(1, TOPIC)).await;
    good.hear().await;
    // More than the sockets of both sides hold.
    for n in 0..400 {
        good.stream.write_all(&send_frame(1, n, MessageMetadata::default(), &[7; 50_000])).await.unwrap();
        loop {
            match good.hear().await {
                Command::SendReceipt(_) => break,
                Command::Ping(_) => good.say(CommandPong::default()).await,
                other => panic!("{other:?}"),
            }
        }
    }
    let stats = || http(admin, "GET /admin/v2/persistent/public/default/t/stats");
    let mut gone = false;
    for _ in 0..60 {
        good.say(CommandPing::default()).await;
        loop {
            match good.hear().await {
                Command::Pong(_) => break,
                Command::Ping(_) => good.say(CommandPong::default()).await,
                other => panic!("{other:?}"),
            }
        }
        gone = stats().await.1.contains(r#""consumers":[]"#);
        if gone {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(gone, "{}", stats().await.1);
    serving.abort();
}

#[tokio::test]
async fn old_messages_go_while_it_runs() {
    let broker = BrokerConfig { upkeep_interval: Duration::from_millis(100), ..BrokerConfig::default() };
    let admin_listen = Some(any_port());
    let server =
        Server::bind(ServerConfig { broker, admin_listen, ..ServerConfig::default() }).await.unwrap();
    let (addr, admin) = (server.local_addr(), server.admin_addr().unwrap());
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut client = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    client.round_trip(TOPIC, b"old").await;
    let topic = "/admin/v2/persistent/public/default/t";
    assert_eq!(http(admin, &format!("POST {topic}/messageTTL?messageTTL=1")).await.0, 204);
    let retention = r#"{"retentionTimeInMinutes":0,"retentionSizeInMB":0}"#;
    assert_eq!(http(admin, &format!("POST {topic}/retention|{retention}")).await.0, 204);
    for waited in 0.. {
        let (_, stats) = http(admin, &format!("GET {topic}/stats")).await;
        if stats.contains(r#""msgBacklog":0"#) && stats.contains(r#""storageSize":0"#) {
            break;
        }
        assert!(waited < 80, "{stats}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    serving.abort();
}

#[tokio::test]
async fn refusals_say_why_in_the_status_line() {
    let config = ServerConfig { admin_listen: Some(([127, 0, 0, 1], 0).into()), ..ServerConfig::default() };
    let server = Server::bind(config).await.unwrap();
    let admin = server.admin_addr().unwrap();
    let running = tokio::spawn(server.run(std::future::pending()));
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let ask = "GET /lookup/v2/topic/persistent/no/where/t HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 404 Namespace not found\r\n"), "{text}");
    running.abort();
}
