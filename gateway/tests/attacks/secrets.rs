//! What is told: logs, `/connz`, errors.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use pulsewire_gateway::{GatewayConfig, PATH, PulsarToken, Tokens};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::common::tokens::*;
use crate::common::*;
use crate::connect_frame;

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
    let held = try_connect(gateway.addr, PATH, &from("198.51.100.1")).await.expect("let in");
    let mut next = try_connect(gateway.addr, PATH, &from("198.51.100.2")).await.expect("upgraded");
    assert_closed(&mut next, 1013, "too-many-from-address").await;
    drop(held);
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
