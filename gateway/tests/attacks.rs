//! What strangers try. Each test is named after the attack; `gateway/README.md` has the table.

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use common::tokens::*;
use common::*;
use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::Algorithm;
use pulsewire_gateway::{
    Brokers, GatewayConfig, ListenTls, Narrow, PATH, Pem, PulsarToken, Resolver, Tokens,
};
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command};
use pulsewire_proto::wire::{
    Command, CommandConnect, CommandConnected, CommandEndTxn, CommandLookupTopic, CommandPing, ServerError,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

const SHORT: Duration = Duration::from_millis(300);

/// An upstream that counts who came, and echoes.
async fn counting_upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    let addr = serve_upstream(move |mut tcp| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let (mut read, mut write) = tcp.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    })
    .await;
    (addr, came)
}

fn brokers(hosts: &[&str], port: u16, networks: &[&str]) -> Option<Brokers> {
    let mut brokers = Brokers::default();
    brokers.hosts = hosts.iter().map(|it| it.parse().expect("a pattern")).collect();
    brokers.ports = vec![port];
    brokers.networks = networks.iter().map(|it| it.parse().expect("a network")).collect();
    Some(brokers)
}

fn connect_frame(target: Option<&str>) -> Vec<u8> {
    let connect = CommandConnect {
        client_version: "test".to_owned(),
        proxy_to_broker_url: target.map(str::to_owned),
        ..CommandConnect::default()
    };
    let mut frame = BytesMut::new();
    encode_command(&connect.into(), &mut frame);
    frame.to_vec()
}

/// A gateway with an allow-list, whose names are resolved by `names`, each time the next of its answers.
async fn listed(
    port: u16,
    networks: &[&str],
    names: &'static [(&'static str, &'static [&'static str])],
) -> (Running, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolver = Resolver::new(move |host, port| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        let answers = names.iter().find(|(name, _)| *name == host).map(|(_, answers)| *answers);
        Box::pin(async move {
            let answers = answers.ok_or_else(|| std::io::Error::other("no such name"))?;
            let address = answers[turn.min(answers.len() - 1)];
            Ok(vec![SocketAddr::new(address.parse().expect("an address"), port)])
        })
    });
    let gateway = start(nobody().await, |config| {
        config.upstream = None;
        config.brokers = brokers(&["broker-*.pulsar.svc", "127.0.0.1"], port, networks);
        config.resolver = resolver;
    })
    .await;
    (gateway, asked)
}

async fn named(gateway: &Running, target: Option<&str>) -> Client {
    let mut client = connect(gateway.addr).await;
    send(&mut client, connect_frame(target)).await;
    client
}

#[tokio::test]
async fn another_host_is_named() {
    let (addr, came) = counting_upstream().await;
    let port = addr.port();
    let (gateway, _) = listed(port, &["127.0.0.0/8"], &[("broker-0.pulsar.svc", &["127.0.0.1"])]).await;
    for other in [
        format!("evil.example:{port}"),
        format!("broker-0.pulsar.svc.evil.example:{port}"),
        format!("localhost:{port}"),
        format!("127.0.0.2:{port}"),
        format!("[::1]:{port}"),
        format!("pulsar://broker-0.pulsar.svc:{port}"),
        format!("broker-0.pulsar.svc:{port}/x"),
        "broker-0.pulsar.svc".to_owned(),
        String::new(),
    ] {
        assert_closed(&mut named(&gateway, Some(&other)).await, 1008, "target-refused").await;
    }
    assert_closed(&mut named(&gateway, None).await, 1008, "target-refused").await;
    assert_eq!(came.load(Ordering::SeqCst), 0, "nobody reached the upstream");

    // Whoever names the right one arrives, and the broker does not hear of the name.
    let mut client = named(&gateway, Some(&format!("broker-0.pulsar.svc:{port}"))).await;
    assert_eq!(receive(&mut client, connect_frame(None).len()).await, connect_frame(None));
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn a_port_outside_the_list() {
    let (addr, came) = counting_upstream().await;
    let (gateway, asked) =
        listed(addr.port() ^ 1, &["127.0.0.0/8"], &[("broker-0.pulsar.svc", &["127.0.0.1"])]).await;
    let target = format!("broker-0.pulsar.svc:{}", addr.port());
    assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    assert_eq!((came.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (0, 0));
    gateway.stop().await;
}

#[tokio::test]
async fn a_name_that_leads_to_a_forbidden_address() {
    let (addr, came) = counting_upstream().await;
    let names: &[(&str, &[&str])] = &[
        ("broker-0.pulsar.svc", &["127.0.0.1"]),
        ("broker-1.pulsar.svc", &["169.254.169.254"]),
        ("broker-2.pulsar.svc", &["0.0.0.0"]),
        ("broker-3.pulsar.svc", &["::1"]),
    ];
    let (gateway, _) = listed(addr.port(), &["10.0.0.0/8"], names).await;
    for (name, _) in names {
        let target = format!("{name}:{}", addr.port());
        assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

/// The name leads to an allowed address when it is checked, and elsewhere right after.
#[tokio::test]
async fn a_name_that_is_rebound_between_check_and_dial() {
    let (addr, came) = counting_upstream().await;
    // 127.0.0.2 is where nobody listens; the allow-list has nothing but 127.0.0.1.
    let (gateway, asked) =
        listed(addr.port(), &["127.0.0.1"], &[("broker-0.pulsar.svc", &["127.0.0.1", "127.0.0.2"])]).await;
    let target = format!("broker-0.pulsar.svc:{}", addr.port());
    let mut client = named(&gateway, Some(&target)).await;
    receive(&mut client, connect_frame(None).len()).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "asked once: what was checked is what was dialled");
    assert_eq!(came.load(Ordering::SeqCst), 1);
    // The second connection resolves anew and is refused.
    assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn an_ipv4_address_mapped_into_ipv6() {
    let (addr, came) = counting_upstream().await;
    let names: &[(&str, &[&str])] = &[("broker-0.pulsar.svc", &["::ffff:127.0.0.1"])];
    let (gateway, _) = listed(addr.port(), &["10.0.0.0/8", "::/0"], names).await;
    let target = format!("broker-0.pulsar.svc:{}", addr.port());
    assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    let literal = format!("[::ffff:127.0.0.2]:{}", addr.port());
    assert_closed(&mut named(&gateway, Some(&literal)).await, 1008, "target-refused").await;
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

/// To dial nobody's address is to dial this machine.
#[tokio::test]
async fn a_name_that_leads_to_nobody_s_address() {
    let (addr, came) = counting_upstream().await;
    let names: &[(&str, &[&str])] = &[
        ("broker-0.pulsar.svc", &["0.0.0.0"]),
        ("broker-1.pulsar.svc", &["::ffff:0.0.0.0"]),
        ("broker-2.pulsar.svc", &["::"]),
    ];
    let (gateway, _) = listed(addr.port(), &["0.0.0.0/0", "::/0"], names).await;
    for (name, _) in names {
        let target = format!("{name}:{}", addr.port());
        assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_first_frame_that_is_none() {
    let (addr, came) = counting_upstream().await;
    let (gateway, _) = listed(addr.port(), &["127.0.0.0/8"], &[]).await;
    for garbage in [&[0xff; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 0, 0, 0, 0, 0, 0]] {
        let mut client = connect(gateway.addr).await;
        send(&mut client, garbage).await;
        assert_closed(&mut client, 1002, "first-frame").await;
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_first_frame_that_never_comes() {
    let (addr, came) = counting_upstream().await;
    let gateway = start(nobody().await, |config| {
        config.brokers = brokers(&["127.0.0.1"], addr.port(), &["127.0.0.1"]);
        config.limits.handshake_timeout = SHORT;
    })
    .await;
    let mut client = connect(gateway.addr).await;
    send(&mut client, *b"\0\0").await;
    assert_closed(&mut client, 1008, "first-frame-timeout").await;
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn cross_origin_and_missing_origin() {
    let (addr, came) = counting_upstream().await;
    let gateway = start(addr, |config| config.allow_missing_origin = false).await;
    assert_eq!(refused(gateway.addr, PATH, &[]).await.0, 403);
    for origin in ["https://evil.example", "null", "https://a, https://b", ""] {
        assert_eq!(refused(gateway.addr, PATH, &[("origin", origin)]).await.0, 403, "{origin}");
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

/// The gateway's own pages have its scheme; anything else at its host is another origin.
#[tokio::test]
async fn same_origin_by_another_scheme() {
    let status = |behind_tls: bool, list: &'static [(&'static str, &'static str, u16)]| async move {
        let gateway = start(nobody().await, |config| {
            config.allow_missing_origin = false;
            config.behind_tls = behind_tls;
            config.host_names = vec!["gw.example".parse().expect("a name")];
            config.upstream = None;
        })
        .await;
        for (host, origin, status) in list {
            let (got, body) = refused(gateway.addr, PATH, &[("host", host), ("origin", origin)]).await;
            assert_eq!(got, *status, "{origin}: {body}");
        }
        gateway.stop().await;
    };
    // 503: let in, but there is no upstream.
    let plain = &[
        ("127.0.0.1", "http://127.0.0.1", 503),
        ("gw.example", "http://gw.example", 503),
        ("gw.example", "https://gw.example", 403),
        ("127.0.0.1", "chrome-extension://127.0.0.1", 403),
        ("127.0.0.1", "ftp://127.0.0.1", 403),
    ];
    status(false, plain).await;
    let tls = &[
        ("gw.example", "https://gw.example", 503),
        ("gw.example", "http://gw.example", 403),
        ("gw.example", "ftp://gw.example", 403),
        ("gw.example:443", "http://gw.example:443", 403),
    ];
    status(true, tls).await;
}

/// A stranger's page whose name was made to lead here, wherever the gateway is.
#[tokio::test]
async fn a_rebound_name_off_loopback_and_at_the_admin_listener() {
    let gateway = start(nobody().await, |config| {
        config.allow_missing_origin = false;
        config.listen = "0.0.0.0:0".parse().expect("an address");
        config.host_names = vec!["gw.example".parse().expect("a name")];
    })
    .await;
    let port = gateway.addr.port();
    // Any address of this machine but loopback.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let at = match socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) {
        Ok(own) => SocketAddr::new(own.ip(), port),
        Err(_) => SocketAddr::from(([127, 0, 0, 1], port)),
    };
    let evil = [("host", "evil.example"), ("origin", "http://evil.example")];
    let (status, body) = refused(at, PATH, &evil).await;
    assert_eq!(status, 403, "{body}");
    for (host, status) in [
        (format!("evil.example:{}", gateway.admin.port()), 421),
        ("evil.example".to_owned(), 421),
        ("localhost.evil.example".to_owned(), 421),
        ("not a host".to_owned(), 421),
        ("localhost".to_owned(), 200),
        ("10.0.0.1:9090".to_owned(), 200),
        ("[::1]:9090".to_owned(), 200),
        ("gw.example:9090".to_owned(), 200),
    ] {
        for path in ["/connz", "/metrics", "/healthz"] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
            let (got, body) = raw(gateway.admin, request.as_bytes()).await;
            assert_eq!(got, status, "{host}{path}");
            assert!(status == 200 || !body.contains("connections"), "{body}");
        }
    }
    let two = b"GET /connz HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n";
    assert_ne!(raw(gateway.admin, two).await.0, 200);
    gateway.stop().await;
}

/// A gateway that wants tokens, and where a refused one must not arrive.
async fn guarded(scratch: &Scratch, public: &[String]) -> (Running, Arc<AtomicUsize>) {
    let mut tokens = Tokens::default();
    tokens.from = vec!["query:token".parse().expect("a source")];
    tokens.secret_files = vec![scratch.file("secret", SECRET)];
    tokens.public_key_files =
        public.iter().enumerate().map(|(n, pem)| scratch.file(&format!("{n}.pem"), pem)).collect();
    let (addr, came) = counting_upstream().await;
    let gateway = start(addr, |config| config.tokens = Some(tokens)).await;
    (gateway, came)
}

async fn refused_token(gateway: &Running, token: &str) -> String {
    let (status, body) = refused(gateway.addr, &format!("{PATH}?token={token}"), &[]).await;
    assert_eq!(status, 401, "{body}");
    body.split(':').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_expired_token() {
    let scratch = Scratch::new();
    let (gateway, came) = guarded(&scratch, &[]).await;
    assert_eq!(refused_token(&gateway, &hs("alice", -3600)).await, "token-expired");
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_wrongly_signed_token() {
    let scratch = Scratch::new();
    let ec = ec_pair();
    let (gateway, came) = guarded(&scratch, &[ec.public_pem]).await;
    let stranger = jsonwebtoken::EncodingKey::from_secret(b"the secret of a stranger, long enough");
    let token = signed(Algorithm::HS256, &stranger, &claims("alice", 60));
    assert_eq!(refused_token(&gateway, &token).await, "token-signature");
    let token = signed(Algorithm::ES256, &ec_pair().private, &claims("alice", 60));
    assert_eq!(refused_token(&gateway, &token).await, "token-signature");
    // A good signature of other claims.
    let (good, other) = (hs("alice", 60), hs("admin", 60));
    let mut parts: Vec<&str> = good.split('.').collect();
    parts[1] = other.split('.').nth(1).expect("claims");
    assert_eq!(refused_token(&gateway, &parts.join(".")).await, "token-signature");
    assert_eq!(refused_token(&gateway, &good[..good.len() - 3]).await, "token-signature");
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_of_alg_none() {
    let scratch = Scratch::new();
    let (gateway, came) = guarded(&scratch, &[]).await;
    for none in ["none", "None", "NONE", "nOnE"] {
        let token = forged(&json!({ "alg": none, "typ": "JWT" }), &claims("alice", 60), b"");
        assert_eq!(refused_token(&gateway, &token).await, "token-algorithm", "{none}");
        let token = forged(&json!({ "alg": none }), &claims("alice", 60), b"x");
        assert_eq!(refused_token(&gateway, &token).await, "token-algorithm", "{none}");
    }
    assert_eq!(refused_token(&gateway, "a.b").await, "token-malformed");
    assert_eq!(refused_token(&gateway, "").await, "token-malformed");
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

/// The public key, which everybody has, as the secret of an HMAC.
#[tokio::test]
async fn a_key_confused_token() {
    let scratch = Scratch::new();
    let (rsa, ec) = (rsa_pair(), ec_pair());
    let mut tokens = Tokens::default();
    tokens.from = vec!["query:token".parse().expect("a source")];
    tokens.public_key_files =
        vec![scratch.file("rsa.pem", &rsa.public_pem), scratch.file("ec.pem", &ec.public_pem)];
    let (addr, came) = counting_upstream().await;
    let gateway = start(addr, |config| config.tokens = Some(tokens)).await;
    for public in [&rsa.public_pem, &ec.public_pem] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let key = jsonwebtoken::EncodingKey::from_secret(public.as_bytes());
            let token = signed(algorithm, &key, &claims("alice", 60));
            assert_eq!(refused_token(&gateway, &token).await, "token-algorithm");
        }
    }
    // Nor may a token bring its own key, or a key's place.
    let mut header = jsonwebtoken::Header::new(Algorithm::RS256);
    header.jku = Some("https://evil.example/jwks".to_owned());
    header.kid = Some("../../../dev/null".to_owned());
    let token = jsonwebtoken::encode(&header, &claims("alice", 60), &rsa_pair().private).expect("a token");
    assert_eq!(refused_token(&gateway, &token).await, "token-signature");
    // A secret that is a PEM file is a mistake that would open exactly this.
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    let mut tokens = Tokens::default();
    tokens.from = vec!["header".parse().expect("a source")];
    tokens.secret_files = vec![scratch.file("rsa.pem", &rsa.public_pem)];
    config.tokens = Some(tokens);
    assert!(config.validate().is_err());
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn header_smuggling() {
    let (addr, came) = counting_upstream().await;
    let gateway = start(addr, |config| {
        config.allow_origins = vec!["https://app.example".parse().expect("an origin")];
        config.allow_missing_origin = false;
    })
    .await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let good = "host: gw\r\norigin: https://app.example\r\n";
    for (what, head) in [
        ("two keys", format!("{good}sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")),
        ("two versions", format!("{good}sec-websocket-version: 13\r\n")),
        (
            "two origins",
            "host: gw\r\norigin: https://app.example\r\norigin: https://evil.example\r\n".to_owned(),
        ),
        ("two hosts", format!("host: gw\r\n{good}")),
        (
            "a folded header",
            "host: gw\r\norigin: https://evil.example\r\n https://app.example\r\n".to_owned(),
        ),
        ("a space before the colon", "host: gw\r\norigin : https://app.example\r\n".to_owned()),
        ("a body by length", format!("{good}content-length: 5\r\n")),
        ("a body in chunks", format!("{good}transfer-encoding: chunked\r\n")),
        ("both", format!("{good}content-length: 5\r\ntransfer-encoding: chunked\r\n")),
        ("two lengths", format!("{good}content-length: 0\r\ncontent-length: 5\r\n")),
        (
            "a bare line feed in a value",
            "host: gw\r\norigin: https://evil.example\nx: https://app.example\r\n".to_owned(),
        ),
        ("a null", "host: gw\r\norigin: https://app.example\0\r\n".to_owned()),
    ] {
        let request = format!("GET {PATH} HTTP/1.1\r\n{head}{upgrade}\r\nhello");
        let (status, body) = raw(gateway.addr, request.as_bytes()).await;
        assert!((400..500).contains(&status), "{what}: {status} {body}");
    }
    // A second request behind the first is not answered.
    let two = format!("GET /x HTTP/1.1\r\nhost: gw\r\n\r\nGET {PATH} HTTP/1.1\r\n{good}{upgrade}\r\n");
    let (status, body) = raw(gateway.addr, two.as_bytes()).await;
    assert_eq!(status, 404);
    assert!(!body.contains("HTTP/1.1"), "{body}");
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

/// Reads to the end of a connection that is cut.
async fn is_cut(tcp: &mut TcpStream) {
    let since = Instant::now();
    let _ = soon("a cut", tcp.read_to_end(&mut Vec::new())).await;
    assert!(since.elapsed() < SHORT * 10, "{:?}", since.elapsed());
}

#[tokio::test]
async fn slowloris_at_tcp() {
    let gateway = start(echo_upstream().await, |config| config.limits.handshake_timeout = SHORT).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(gateway.addr).await.expect("connected"));
    }
    let mut client = connect(gateway.addr).await;
    send(&mut client, *b"served").await;
    assert_eq!(receive(&mut client, 6).await, b"served");
    for tcp in &mut silent {
        is_cut(tcp).await;
    }
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn slowloris_at_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let gateway = start(echo_upstream().await, |config| {
        config.limits.handshake_timeout = SHORT;
        config.tls = Some(ListenTls {
            certificates: Pem::Text(made.cert.pem().into_bytes()),
            key: Pem::Text(made.signing_key.serialize_pem().into_bytes()),
        });
    })
    .await;
    let mut tcp = TcpStream::connect(gateway.addr).await.expect("connected");
    // The beginning of a ClientHello, then a byte at a time.
    tcp.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).await.expect("sent");
    let since = Instant::now();
    while tcp.write_all(&[0]).await.is_ok() {
        assert!(since.elapsed() < SHORT * 10, "never cut");
        sleep(Duration::from_millis(20)).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn slowloris_at_the_upgrade() {
    let gateway = start(echo_upstream().await, |config| config.limits.handshake_timeout = SHORT).await;
    let mut tcp = TcpStream::connect(gateway.addr).await.expect("connected");
    tcp.write_all(b"GET /pulsar HTTP/1.1\r\nhost: a\r\n").await.expect("sent");
    let since = Instant::now();
    let mut n = 0;
    while tcp.write_all(format!("x-{n}: y\r\n").as_bytes()).await.is_ok() {
        assert!(since.elapsed() < SHORT * 10, "never cut");
        n += 1;
        sleep(Duration::from_millis(20)).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_frame_header_for_four_gigabytes() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    let mut header = vec![0x82, 0xff];
    header.extend_from_slice(&(4u64 << 30).to_be_bytes());
    header.extend_from_slice(&[1, 2, 3, 4]);
    client.get_mut().write_all(&header).await.expect("sent");
    assert_closed(&mut client, 1009, "message-too-large").await;
    gateway.stop().await;
}

/// What has come of a message is held until it is whole.
#[tokio::test]
async fn messages_that_are_never_finished() {
    let gateway = start(echo_upstream().await, |config| config.limits.message_timeout = SHORT).await;
    let part = |head: &[u8], len: usize| [head, &vec![0; len]].concat();
    let whole = part(&[0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0], 60_000);
    // A part of a frame; a fragment, with pings between.
    for (first, next) in [
        (whole, vec![0]),
        (part(&[0x02, 0xfe, 0x10, 0, 0, 0, 0, 0], 0x1000), vec![0x89, 0x81, 0, 0, 0, 0, b'x']),
    ] {
        let mut client = connect(gateway.addr).await;
        client.get_mut().write_all(&first).await.expect("sent");
        let since = Instant::now();
        let (mut read, mut said) = (vec![0; 4096], Vec::new());
        // However often a little more comes.
        while !said.windows(12).any(|it| it == b"slow-message") {
            assert!(since.elapsed() < SHORT * 10, "never cut");
            let _ = client.get_mut().write_all(&next).await;
            if let Ok(Ok(n)) =
                tokio::time::timeout(Duration::from_millis(20), client.get_mut().read(&mut read)).await
            {
                said.extend_from_slice(&read[..n]);
            }
        }
        assert!(since.elapsed() > SHORT / 2, "at once");
    }
    // Those that finish theirs may take their time, pings in two parts and all.
    let mut client = connect(gateway.addr).await;
    for _ in 0..3 {
        client.get_mut().write_all(&[0x89, 0x81, 0, 0]).await.expect("sent");
        sleep(SHORT / 10).await;
        client.get_mut().write_all(&[0, 0, b'x']).await.expect("sent");
        sleep(SHORT * 2).await;
        send(&mut client, *b"whole").await;
        assert_eq!(receive(&mut client, 5).await, b"whole");
    }
    drop(client);
    gateway.stop().await;
}

/// Those that have said nothing make room for those who come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_of_many_addresses() {
    let gateway = start(echo_upstream().await, |config| {
        config.listen = "0.0.0.0:0".parse().expect("an address");
        config.limits.handshake_timeout = Duration::from_secs(30);
    })
    .await;
    let port = gateway.addr.port();
    let mut silent = Vec::new();
    for address in 2..11u8 {
        for _ in 0..128 {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from(([127, 0, 0, address], 0))).expect("bound");
            silent.push(socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.expect("connected"));
        }
    }
    let since = Instant::now();
    let mut client = connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
    send(&mut client, *b"served").await;
    assert_eq!(receive(&mut client, 6).await, b"served");
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    drop((client, silent));
    gateway.stop().await;
}

/// A probe has a second.
#[tokio::test]
async fn silent_connections_to_the_admin_listener() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(gateway.admin).await.expect("connected"));
    }
    let since = Instant::now();
    let answer = raw(gateway.admin, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(answer.0, 200);
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    // And they are not let be for long.
    is_cut(silent.last_mut().expect("one")).await;
    drop(silent);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_reads() {
    let (addr, written) = flooding_upstream().await;
    let gateway = start(addr, |config| {
        config.limits.slow_client_timeout = SHORT;
        config.limits.close_timeout = SHORT;
    })
    .await;
    let client = connect(gateway.addr).await;
    soon("the cut", async {
        while written.load(Ordering::SeqCst) & GONE == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let closed = raw(gateway.admin, b"GET /connz?state=closed HTTP/1.1\r\nhost: localhost\r\n\r\n").await.1;
    assert!(closed.contains("slow-client"), "{closed}");
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn a_storm_of_reconnects() {
    let gateway = start(echo_upstream().await, |config| config.limits.max_connections = 50).await;
    let mut steady = connect(gateway.addr).await;
    let storm = async {
        for _ in 0..20 {
            let all = (0..40).map(|_| async {
                if let Ok(mut client) = try_connect(gateway.addr, PATH, &[]).await {
                    let _ = client.send(Message::binary(vec![1; 100])).await;
                }
            });
            futures_util::future::join_all(all).await;
        }
    };
    let served = async {
        for n in 0..50u8 {
            send(&mut steady, [n]).await;
            assert_eq!(receive(&mut steady, 1).await, [n]);
            sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::join!(storm, served);
    drop(steady);
    soon("all places free again", async {
        while gateway.handle.connections() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    connect(gateway.addr).await;
    gateway.stop().await;
}

#[tokio::test]
async fn one_address_takes_all_it_can() {
    let gateway = start(echo_upstream().await, |config| {
        config.listen = "0.0.0.0:0".parse().expect("an address");
        config.limits.max_connections = 100;
        config.limits.max_connections_per_address = 3;
    })
    .await;
    let at = |host: [u8; 4]| SocketAddr::from((host, gateway.addr.port()));
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connect(at([127, 0, 0, 1])).await);
    }
    for client in &mut held {
        send(client, *b"x").await;
        receive(client, 1).await;
    }
    assert_closed(&mut connect(at([127, 0, 0, 1])).await, 1013, "too-many-from-address").await;
    // Connections that say nothing do not keep others out either.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(at([127, 0, 0, 1])).await.expect("connected"));
    }
    // From another address: connecting to 127.0.0.2 makes that the local one, too.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("bound");
    let tcp = socket.connect(at([127, 0, 0, 1])).await.expect("connected");
    let mut other = connect_over(tcp, &format!("ws://{}{PATH}", gateway.addr), &[]).await.expect("let in");
    send(&mut other, *b"served").await;
    assert_eq!(receive(&mut other, 6).await, b"served");
    drop((held, silent, other));
    gateway.stop().await;
}

#[tokio::test]
async fn one_origin_takes_all_it_can() {
    let gateway = start(echo_upstream().await, |config| {
        config.limits.max_connections_per_origin = Some(1);
        config.allow_origins = ["https://a.example", "https://b.example"]
            .iter()
            .map(|it| it.parse().expect("an origin"))
            .collect();
    })
    .await;
    let from = |origin: &'static str| async move {
        try_connect(gateway.addr, PATH, &[("origin", origin)]).await.expect("upgraded")
    };
    let mut first = from("https://a.example").await;
    send(&mut first, *b"x").await;
    receive(&mut first, 1).await;
    assert_closed(&mut from("https://a.example").await, 1013, "too-many-from-origin").await;
    let mut other = from("https://b.example").await;
    send(&mut other, *b"x").await;
    receive(&mut other, 1).await;
    drop((first, other));
    // Nor does it help to be the gateway's own page by many addresses, as programs can say.
    let own = |n: u8| async move {
        let (host, origin) = (format!("10.0.0.{n}"), format!("http://10.0.0.{n}"));
        try_connect(gateway.addr, PATH, &[("host", &host), ("origin", &origin)]).await.expect("upgraded")
    };
    let mut first = own(1).await;
    send(&mut first, *b"x").await;
    receive(&mut first, 1).await;
    assert_closed(&mut own(2).await, 1013, "too-many-from-origin").await;
}

#[tokio::test]
async fn more_bytes_than_allowed_are_paced_or_closed() {
    let change = |close: bool| {
        move |config: &mut GatewayConfig| {
            config.limits.bytes_per_second = Some(100_000);
            config.limits.max_frame_bytes = 50_000;
            config.limits.over_rate = if close { "close" } else { "pace" }.parse().expect("a word");
        }
    };
    let gateway = start(echo_upstream().await, change(false)).await;
    let client = connect(gateway.addr).await;
    let since = Instant::now();
    let (mut sink, mut stream) = client.split();
    let sending = async {
        for _ in 0..6 {
            sink.send(Message::binary(vec![0; 50_000])).await.expect("sent");
        }
    };
    let receiving = async {
        let mut got = 0;
        while got < 300_000 {
            got += stream.next().await.expect("more").expect("a message").len();
        }
    };
    soon("all", async { tokio::join!(sending, receiving) }).await;
    let took = since.elapsed().as_secs_f64();
    assert!((1.0..6.0).contains(&took), "{took}: 100 KB at once, 200 KB at 100 KB a second");
    gateway.stop().await;

    let gateway = start(echo_upstream().await, change(true)).await;
    let mut client = connect(gateway.addr).await;
    for _ in 0..4 {
        let _ = client.send(Message::binary(vec![0; 50_000])).await;
    }
    assert_closed(&mut client, 1008, "rate-limit").await;
    gateway.stop().await;
}

/// A gateway that narrows to the topic `in`.
async fn narrowed(upstream: SocketAddr) -> Running {
    start(upstream, |config| {
        let mut narrow = Narrow::default();
        narrow.consume = vec!["in".parse().expect("a topic")];
        config.narrow = vec![narrow];
    })
    .await
}

/// Reads so many commands.
async fn commands(client: &mut Client, many: usize) -> Vec<Command> {
    let (mut decoder, mut all) = (FrameDecoder::new(1 << 20), Vec::new());
    soon("commands", async {
        while all.len() < many {
            let message = client.next().await.expect("open").expect("a message");
            assert!(message.is_binary(), "{message:?} after {}", all.len());
            decoder.push(message.into_data());
            while let Some(frame) = decoder.next_frame().expect("frames") {
                all.push(frame.decode().expect("a command"));
            }
        }
    })
    .await;
    all
}

/// Each is answered, and the connection lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_refused_commands_in_one_message() {
    let gateway = narrowed(connected_upstream().await).await;
    let mut client = connect(gateway.addr).await;
    assert_eq!(commands(&mut client, 1).await, [CommandConnected::default().into()]);
    let lookup = |request_id| {
        frame(CommandLookupTopic { topic: "secret".to_owned(), request_id, ..Default::default() })
    };
    let many = (0..20_000).flat_map(lookup).collect::<Vec<_>>();
    for _ in 0..2 {
        // While the client reads what it is told.
        send(&mut client, many.clone()).await;
        let answers = commands(&mut client, 20_000).await;
        for (n, answer) in answers.iter().enumerate() {
            let Command::LookupTopicResponse(it) = answer else { panic!("{answer:?}") };
            assert_eq!((it.request_id, it.error), (n as u64, Some(ServerError::AUTHORIZATION_ERROR)));
        }
    }
    let ping = Command::from(CommandPing::default());
    send(&mut client, frame(CommandPing::default())).await;
    assert_eq!(commands(&mut client, 1).await, [ping]);
    drop(client);
    gateway.stop().await;
}

/// Whose number is known, as all of them are.
#[tokio::test]
async fn transactions_of_others_are_not_ended() {
    let gateway = narrowed(connected_upstream().await).await;
    let (mut owner, mut stranger) = (connect(gateway.addr).await, connect(gateway.addr).await);
    let end = CommandEndTxn { request_id: 9, txnid_most_bits: Some(2), ..Default::default() };
    for client in [&mut owner, &mut stranger] {
        commands(client, 1).await;
        send(client, frame(end.clone())).await;
        let answers = commands(client, 1).await;
        let [Command::EndTxnResponse(it)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((it.request_id, it.error), (9, Some(ServerError::AUTHORIZATION_ERROR)));
    }
    drop((owner, stranger));
    gateway.stop().await;
}

/// Nobody speaks for others by a gateway that narrows, whatever else it does with the first frame.
#[tokio::test]
async fn a_narrowed_client_that_speaks_for_others() {
    let gateway = narrowed(echo_upstream().await).await;
    let mut client = connect(gateway.addr).await;
    let own = CommandConnect { client_version: "test".to_owned(), ..Default::default() };
    let forged = CommandConnect {
        original_principal: Some("admin".to_owned()),
        original_auth_data: Some("admin".to_owned()),
        original_auth_method: Some("token".to_owned()),
        ..own.clone()
    };
    send(&mut client, frame(forged)).await;
    assert_eq!(commands(&mut client, 1).await, [own.into()]);
    drop(client);
    gateway.stop().await;
}

/// Errors are the first thing that a client hears only if the upstream has nothing to say to its CONNECT.
#[tokio::test]
async fn refused_before_connected() {
    let (say, mut said) = tokio::sync::watch::channel(false);
    said.mark_unchanged();
    let addr = serve_upstream(move |mut tcp| {
        let mut said = said.clone();
        async move {
            let _ = said.wait_for(|said| *said).await;
            let _ = tcp.write_all(&frame(CommandConnected::default())).await;
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let gateway = narrowed(addr).await;
    let mut client = connect(gateway.addr).await;
    send(&mut client, frame(CommandLookupTopic { topic: "secret".to_owned(), ..Default::default() })).await;
    let early = tokio::time::timeout(SHORT, client.next()).await;
    assert!(early.is_err(), "{early:?}");
    say.send_replace(true);
    let names: Vec<_> = commands(&mut client, 2).await.iter().map(Command::name).collect();
    assert_eq!(names, ["Connected", "LookupTopicResponse"]);
    drop(client);
    gateway.stop().await;
}

/// Log lines of one test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Everything that this thread logs, at every level.
    fn keep(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("a lock")).into_owned()
    }
}

#[tokio::test]
async fn log_injection() {
    let log = Log::default();
    let _guard = log.keep();
    let scratch = Scratch::new();
    let mut tokens = Tokens::default();
    tokens.from = vec!["query:token".parse().expect("a source")];
    tokens.secret_files = vec![scratch.file("secret", SECRET)];
    let gateway = start(echo_upstream().await, |config| config.tokens = Some(tokens)).await;
    let subject = "mallory\n2026-01-01T00:00:00Z  INFO gateway: all is well \u{1b}[2J\u{202e}\"}";
    let path = format!("{PATH}?token={}", hs(subject, 60));
    let mut client = try_connect(gateway.addr, &path, &[]).await.expect("let in");
    send(&mut client, *b"x").await;
    receive(&mut client, 1).await;
    let (_, connz) = raw(gateway.admin, b"GET /connz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let rows: Value = serde_json::from_str(&connz).expect("JSON");
    let shown = rows["connections"][0]["subject"].as_str().expect("a subject");
    assert!(shown.starts_with("mallory?2026") && !shown.contains('\u{202e}'), "{shown:?}");
    // Nor by what a request says of itself.
    for (path, origin) in [("/%0aINFO", "https://x%0aINFO"), ("/pulsar", "https://\u{7f}INFO all is well")] {
        raw(gateway.addr, format!("GET {path} HTTP/1.1\r\nhost: a\r\norigin: {origin}\r\n\r\n").as_bytes())
            .await;
    }
    let long = format!("{}://{}", "s".repeat(14_000), gateway.addr);
    let (status, body) = refused(gateway.addr, PATH, &[("origin", &long)]).await;
    assert!(status == 403 && body.len() < 300, "{status} {body}");
    drop(client);
    gateway.stop().await;
    let text = log.text();
    assert!(text.contains("mallory") && !text.contains(&"s".repeat(100)), "{text}");
    for line in text.lines() {
        assert!(
            line.contains("pulsewire_gateway") || line.contains("TRACE") || line.contains("DEBUG"),
            "{line}"
        );
        assert!(!line.contains('\u{1b}') && !line.contains('\u{202e}'), "{line:?}");
    }
}

/// Whatever is shown anywhere, no token is in it.
#[tokio::test]
async fn secrets_in_logs_and_connz() {
    let log = Log::default();
    let _guard = log.keep();
    let scratch = Scratch::new();
    let mut tokens = Tokens::default();
    let places = ["query:token", "header", "cookie:c", "subprotocol"];
    tokens.from = places.iter().map(|it| it.parse().expect("a source")).collect();
    tokens.secret_files = vec![scratch.file("secret", SECRET)];
    let file = scratch.file("pulsar", "the-pulsar-token");
    tokens.pulsar = vec![PulsarToken { subject: "alice".to_owned(), file }];
    let mut kept = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    let gateway = start(echo_upstream().await, |config| {
        config.tokens = Some(tokens);
        kept = config.clone();
    })
    .await;
    let (good, bad) = (hs("alice", 60), hs("alice", -60));
    for token in [&good, &bad] {
        let query = format!("{PATH}?token={token}");
        let (bearer, cookie) = (format!("Bearer {token}"), format!("c={token}"));
        let protocols = format!("pulsewire, pulsewire.token.{token}");
        for (path, headers) in [
            (query.as_str(), vec![]),
            (PATH, vec![("authorization", bearer.as_str())]),
            (PATH, vec![("cookie", cookie.as_str())]),
            (PATH, vec![("sec-websocket-protocol", protocols.as_str())]),
        ] {
            if let Ok(mut client) = try_connect(gateway.addr, path, &headers).await {
                let mut connect = connect_frame(None);
                connect.extend_from_slice(b"a-secret-message");
                send(&mut client, connect).await;
                soon("an echo", client.next()).await;
            }
        }
    }
    let mut shown = log.text() + &format!("{kept:?}");
    for path in ["/connz?state=all", "/metrics", "/healthz", "/readyz"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        shown += &raw(gateway.admin, request.as_bytes()).await.1;
    }
    gateway.stop().await;
    shown += &log.text();
    assert!(shown.contains("alice") && shown.contains("pulsewire_gateway_closed"), "{shown}");
    let signature = |token: &str| token.rsplit('.').next().expect("a signature").to_owned();
    let secret = String::from_utf8_lossy(SECRET).into_owned();
    for secret in [
        signature(&good),
        signature(&bad),
        secret,
        "the-pulsar-token".to_owned(),
        "a-secret-message".to_owned(),
    ] {
        assert!(!shown.contains(&secret), "{secret} is shown");
    }
}

/// Nor of a file that is refused, whatever is wrong with it.
#[tokio::test]
async fn secrets_in_configuration_errors() {
    let scratch = Scratch::new();
    for (text, said) in [
        ("upstream = \"pulsar://me:hunter2@x\"", "credentials do not belong"),
        ("upstream = \"http://me:hunter2@x\"", "credentials do not belong"),
        ("allow_origins = [\"https://me:hunter2@x\"]", "https://...@x"),
        ("listen = \"127.0.0.1:1\"\nsecret = \"hunter2-and-no-end\nx = 1", "line 2"),
        ("secret = hunter2", "line 1"),
        ("[tokens]\nsecret = \"hunter2\"", "tokens.secret: no such key"),
    ] {
        let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
        let shown = match config.read_file(&scratch.file("gateway.toml", text)) {
            Ok(wrong) => config.validate_read(wrong).expect_err("wrong").to_string(),
            Err(errors) => errors.to_string(),
        };
        assert!(shown.contains(said) && !shown.contains("hunter2"), "{text}: {shown}");
    }
}

#[tokio::test]
async fn secrets_do_not_outlive_a_refused_configuration() {
    let scratch = Scratch::new();
    let mut tokens = Tokens::default();
    tokens.from = vec!["header".parse().expect("a source")];
    tokens.secret_files = vec![scratch.file("s", "short-but-secret")];
    let file = scratch.file("p", "two words-of-a-token");
    tokens.pulsar = vec![PulsarToken { subject: "*".to_owned(), file }];
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    config.tokens = Some(tokens);
    let errors = config.validate().expect_err("refused");
    assert!(!errors.to_string().contains("secret\"") && !errors.to_string().contains("words-of"), "{errors}");
}

/// Whoever is behind a proxy is told from others by what that says, and by nothing that he can write himself.
#[tokio::test]
async fn a_client_that_makes_up_its_address() {
    let gateway = start(echo_upstream().await, |config| config.limits.max_connections_per_address = 1).await;
    let from = |said: &'static str| [("x-forwarded-for", said)];
    let _held = try_connect(gateway.addr, PATH, &from("198.51.100.1")).await.expect("let in");
    let mut next = try_connect(gateway.addr, PATH, &from("198.51.100.2")).await.expect("upgraded");
    assert_closed(&mut next, 1013, "too-many-from-address").await;
    gateway.stop().await;

    let gateway = start(echo_upstream().await, |config| {
        config.limits.max_connections_per_address = 1;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    let mut held = Vec::new();
    for said in ["198.51.100.1", "198.51.100.1, 198.51.100.2"] {
        held.push(try_connect(gateway.addr, PATH, &from(said)).await.expect("let in"));
        let client = held.last_mut().expect("one");
        send(client, *b"x").await;
        receive(client, 1).await;
    }
    let mut next =
        try_connect(gateway.addr, PATH, &from("203.0.113.5, 198.51.100.2")).await.expect("upgraded");
    assert_closed(&mut next, 1013, "too-many-from-address").await;
    let answer = refused(gateway.addr, PATH, &from("nonsense")).await;
    assert_eq!((answer.0, answer.1.split(':').next()), (400, Some("bad-forwarded-for")));
    let shown = raw(gateway.admin, b"GET /connz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.1;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let first = &shown["connections"][0];
    assert_eq!(first["peer"], "198.51.100.1");
    assert!(first["via"].as_str().is_some_and(|via| via.starts_with("127.0.0.1:")), "{first}");
    // Many clients come from a proxy, and many may be about to.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(gateway.addr).await.expect("connected"));
    }
    held.push(try_connect(gateway.addr, PATH, &from("198.51.100.3")).await.expect("let in"));
    drop((held, silent));
    gateway.stop().await;
}
