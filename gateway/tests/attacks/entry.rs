//! Who gets in: origins, tokens, headers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::Algorithm;
use pulsewire_gateway::{GatewayConfig, PATH, Tokens};
use serde_json::json;

use crate::common::tokens::*;
use crate::common::*;
use crate::counting_upstream;

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
