//! Tokens at the upgrade: which are let in, from where, and what Pulsar is told.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::tokens::*;
use common::*;
use jsonwebtoken::{Algorithm, EncodingKey};
use pulsewire_gateway::{GatewayConfig, PATH, PulsarToken, TokenSource, Tokens};
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command};
use pulsewire_proto::wire::{Command, CommandConnect};
use serde_json::json;
use tokio::io::AsyncReadExt;

fn tokens(from: &[&str]) -> Tokens {
    let mut tokens = Tokens::default();
    tokens.from = from.iter().map(|it| it.parse::<TokenSource>().expect("a source")).collect();
    tokens
}

fn with_secret(scratch: &Scratch, from: &[&str]) -> Tokens {
    let mut tokens = tokens(from);
    tokens.secret_files = vec![scratch.file("secret", SECRET)];
    tokens
}

async fn passes(gateway: &Running, path: &str, headers: &[(&'static str, &str)]) {
    let mut client = try_connect(gateway.addr, path, headers).await.expect("let in");
    send(&mut client, *b"x").await;
    assert_eq!(receive(&mut client, 1).await, b"x");
}

#[track_caller]
fn assert_refused((status, body): (u16, String), name: &str) {
    assert_eq!((status, body.split(':').next()), (401, Some(name)), "{body}");
}

#[tokio::test]
async fn from_header_cookie_subprotocol_and_query() {
    let scratch = Scratch::new();
    let all = with_secret(&scratch, &["header", "cookie:session", "subprotocol", "query:access_token"]);
    let gateway = start(echo_upstream().await, |config| config.tokens = Some(all)).await;
    let token = hs("alice", 60);
    let bearer = format!("bearer {token}");
    let cookie = format!("a=b; session={token}; c=d");
    let protocols = format!("pulsewire, pulsewire.token.{token}");
    let query = format!("{PATH}?x=y&access_token={token}");
    passes(&gateway, PATH, &[("authorization", &bearer)]).await;
    passes(&gateway, PATH, &[("cookie", &cookie)]).await;
    passes(&gateway, PATH, &[("sec-websocket-protocol", &protocols)]).await;
    passes(&gateway, &query, &[]).await;

    assert_refused(refused(gateway.addr, PATH, &[]).await, "token-missing");
    let both = refused(gateway.addr, &query, &[("authorization", &bearer)]).await;
    assert_refused(both, "token-ambiguous");
    let twice = format!("session={token}; session={token}");
    assert_refused(refused(gateway.addr, PATH, &[("cookie", &twice)]).await, "token-ambiguous");
    let alone = format!("pulsewire.token.{token}");
    let alone = refused(gateway.addr, PATH, &[("sec-websocket-protocol", &alone)]).await;
    assert_refused(alone, "token-malformed");
    gateway.stop().await;

    let cookie_only = with_secret(&scratch, &["cookie:session"]);
    let gateway = start(echo_upstream().await, |config| config.tokens = Some(cookie_only)).await;
    assert_refused(refused(gateway.addr, PATH, &[("authorization", &bearer)]).await, "token-missing");
    gateway.stop().await;
}

#[tokio::test]
async fn keys_of_every_kind() {
    let scratch = Scratch::new();
    let (rsa, ec) = (rsa_pair(), ec_pair());
    let mut tokens = with_secret(&scratch, &["header"]);
    tokens.public_key_files =
        vec![scratch.file("rsa.pem", &rsa.public_pem), scratch.file("ec.pem", &ec.public_pem)];
    let gateway = start(echo_upstream().await, |config| config.tokens = Some(tokens)).await;
    let secret = EncodingKey::from_secret(SECRET);
    for (algorithm, key) in [
        (Algorithm::HS256, &secret),
        (Algorithm::HS512, &secret),
        (Algorithm::RS256, &rsa.private),
        (Algorithm::RS512, &rsa.private),
        (Algorithm::ES256, &ec.private),
    ] {
        let bearer = format!("Bearer {}", signed(algorithm, key, &claims("a", 60)));
        passes(&gateway, PATH, &[("authorization", &bearer)]).await;
    }
    let bearer = format!("Bearer {}", signed(Algorithm::PS256, &rsa.private, &claims("a", 60)));
    let other = refused(gateway.addr, PATH, &[("authorization", &bearer)]).await;
    assert_refused(other, "token-algorithm");
    gateway.stop().await;
}

#[tokio::test]
async fn issuer_audience_and_time() {
    let scratch = Scratch::new();
    let mut tokens = with_secret(&scratch, &["header"]);
    tokens.issuers = vec!["https://login.example".to_owned()];
    tokens.audiences = vec!["gateway".to_owned()];
    tokens.leeway = Some(Duration::from_secs(5));
    let gateway = start(echo_upstream().await, |config| config.tokens = Some(tokens)).await;
    let good =
        json!({ "sub": "a", "exp": now() + 60, "iss": "https://login.example", "aud": ["x", "gateway"] });
    let with = |key: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[key] = value;
        claims
    };
    let without = |key: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("claims").remove(key);
        claims
    };
    let bearer = |claims: &serde_json::Value| {
        format!("Bearer {}", signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), claims))
    };
    passes(&gateway, PATH, &[("authorization", &bearer(&good))]).await;
    for (claims, name) in [
        (with("iss", json!("https://evil.example")), "token-issuer"),
        (without("iss"), "token-issuer"),
        (with("aud", json!("other")), "token-audience"),
        (without("aud"), "token-audience"),
        (with("exp", json!(now() - 60)), "token-expired"),
        (with("nbf", json!(now() + 60)), "token-not-yet-valid"),
        (without("exp"), "token-malformed"),
        (with("exp", json!("tomorrow")), "token-malformed"),
        (with("sub", json!(7)), "token-malformed"),
    ] {
        let answer = refused(gateway.addr, PATH, &[("authorization", &bearer(&claims))]).await;
        assert_refused(answer, name);
    }
    gateway.stop().await;
}

/// A page's script cannot see the status of a refused upgrade; it has to learn that its token has expired.
#[tokio::test]
async fn a_page_is_told_by_a_close() {
    let scratch = Scratch::new();
    let tokens = with_secret(&scratch, &["query:token"]);
    let gateway = start(echo_upstream().await, |config| {
        config.tokens = Some(tokens);
        config.allow_origins = vec!["https://app.example".parse().expect("an origin")];
    })
    .await;
    let path = format!("{PATH}?token={}", hs("alice", -60));
    let page = [("origin", "https://app.example")];
    let mut client = try_connect(gateway.addr, &path, &page).await.expect("upgraded");
    assert_closed(&mut client, 1008, "token-expired").await;
    assert_eq!(refused(gateway.addr, &path, &[("origin", "https://evil.example")]).await.0, 403);
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let scratch = Scratch::new();
    let mut tokens = with_secret(&scratch, &["query:token"]);
    tokens.leeway = Some(Duration::ZERO);
    let gateway = start(echo_upstream().await, |config| config.tokens = Some(tokens)).await;
    let path = format!("{PATH}?token={}", hs("alice", 2));
    let mut client = try_connect(gateway.addr, &path, &[]).await.expect("let in");
    send(&mut client, *b"x").await;
    assert_eq!(receive(&mut client, 1).await, b"x");
    assert_closed(&mut client, 1008, "token-expired").await;
    gateway.stop().await;
}

/// Keeps the first command that each connection brings.
async fn connects() -> (std::net::SocketAddr, Arc<Mutex<Vec<CommandConnect>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let addr = serve_upstream(move |mut tcp| {
        let keep = Arc::clone(&keep);
        async move {
            let mut decoder = FrameDecoder::new(1 << 20);
            let mut buffer = vec![0; 4096];
            while let Ok(read @ 1..) = tcp.read(&mut buffer).await {
                decoder.push(Bytes::copy_from_slice(&buffer[..read]));
                while let Ok(Some(frame)) = decoder.next_frame() {
                    if let Ok(Command::Connect(connect)) = frame.decode() {
                        keep.lock().expect("a lock").push(connect);
                    }
                }
            }
        }
    })
    .await;
    (addr, seen)
}

#[tokio::test]
async fn the_page_never_sees_the_pulsar_token() {
    let scratch = Scratch::new();
    let mut tokens = with_secret(&scratch, &["query:token"]);
    for (subject, name, content) in [("alice", "a", "pulsar-a\n"), ("app-*", "b", "pulsar-b")] {
        tokens.pulsar.push(PulsarToken { subject: subject.to_owned(), file: scratch.file(name, content) });
    }
    let (addr, seen) = connects().await;
    let gateway = start(addr, |config| config.tokens = Some(tokens)).await;
    let connect = CommandConnect {
        client_version: "page".to_owned(),
        auth_method_name: Some("token".to_owned()),
        auth_data: Some(Bytes::from_static(b"the page's own")),
        original_principal: Some("admin".to_owned()),
        proxy_to_broker_url: Some("broker:6650".to_owned()),
        ..CommandConnect::default()
    };
    let mut frame = BytesMut::new();
    encode_command(&connect.into(), &mut frame);
    for subject in ["alice", "app-7"] {
        let path = format!("{PATH}?token={}", hs(subject, 60));
        let mut client = try_connect(gateway.addr, &path, &[]).await.expect("let in");
        // In pieces, as a stream comes.
        for piece in frame.chunks(7) {
            send(&mut client, piece).await;
        }
        soon("CONNECT", async {
            while !seen.lock().expect("a lock").iter().any(|it| {
                it.auth_data.as_deref() == Some(if subject == "alice" { b"pulsar-a" } else { b"pulsar-b" })
            }) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    for connect in seen.lock().expect("a lock").iter() {
        assert_eq!(connect.original_principal, None);
        assert_eq!(connect.proxy_to_broker_url.as_deref(), Some("broker:6650"), "for the proxy");
    }
    let path = format!("{PATH}?token={}", hs("mallory", 60));
    assert_refused(refused(gateway.addr, &path, &[]).await, "token-unmapped");
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_that_is_rotated() {
    let scratch = Scratch::new();
    let jwks = |id: &str, secret: &[u8]| {
        use base64::Engine as _;
        let k = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret);
        json!({ "keys": [{ "kty": "oct", "kid": id, "alg": "HS256", "k": k }] }).to_string()
    };
    let other = b"another secret of more than thirty-two bytes for tests";
    let mut tokens = tokens(&["header"]);
    tokens.jwks_files = vec![scratch.file("jwks", jwks("one", SECRET))];
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    let gateway = start(echo_upstream().await, |own| {
        own.tokens = Some(tokens);
        config = own.clone();
    })
    .await;
    let token = |id: &str, secret: &[u8]| {
        let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
        header.kid = Some(id.to_owned());
        let key = EncodingKey::from_secret(secret);
        format!("Bearer {}", jsonwebtoken::encode(&header, &claims("a", 60), &key).expect("a token"))
    };
    let mut open =
        try_connect(gateway.addr, PATH, &[("authorization", &token("one", SECRET))]).await.expect("in");
    let early = refused(gateway.addr, PATH, &[("authorization", &token("two", other))]).await;
    assert_refused(early, "token-algorithm");
    scratch.file("jwks", jwks("two", other));
    gateway.handle.reload(&config).expect("reloaded");
    passes(&gateway, PATH, &[("authorization", &token("two", other))]).await;
    let late = refused(gateway.addr, PATH, &[("authorization", &token("one", SECRET))]).await;
    assert_refused(late, "token-algorithm");
    // Nobody was dropped.
    send(&mut open, *b"still").await;
    assert_eq!(receive(&mut open, 5).await, b"still");
    // What is wrong changes nothing.
    scratch.file("jwks", "{}");
    let errors = gateway.handle.reload(&config).expect_err("refused");
    assert!(errors.to_string().contains("tokens.jwks_files"), "{errors}");
    passes(&gateway, PATH, &[("authorization", &token("two", other))]).await;
    drop(open);
    gateway.stop().await;
}

#[tokio::test]
async fn wrong_keys_are_told_at_once_and_without_their_content() {
    let scratch = Scratch::new();
    let mut tokens = tokens(&[]);
    let pem = rsa_pair().public_pem;
    tokens.secret_files = vec![scratch.file("short", "hunter2"), scratch.file("pem", &pem)];
    tokens.public_key_files = vec![scratch.file("none", "hunter2"), "no/such/file".into()];
    tokens.jwks_files = vec![scratch.file("jwks", r#"{"keys":[]}"#)];
    tokens.leeway = Some(Duration::from_secs(100_000));
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    config.tokens = Some(tokens);
    let errors = config.validate().expect_err("refused");
    let keys: Vec<&str> = errors.iter().map(|error| error.key.as_ref()).collect();
    assert_eq!(
        keys,
        [
            "tokens.from",
            "tokens.secret_files",
            "tokens.secret_files",
            "tokens.public_key_files",
            "tokens.public_key_files",
            "tokens.jwks_files",
            "tokens.leeway",
        ],
        "{errors}"
    );
    assert!(!errors.to_string().contains("hunter2"), "{errors}");
    config.tokens = Some(Tokens::default());
    let errors = config.validate().expect_err("refused").to_string();
    assert!(errors.contains("tokens.from") && errors.contains("no keys"), "{errors}");
}

/// An issuer signs with its next key while tokens of the last one are still about; no signal is needed.
/// The library would take them, and refuse every token later.
#[test]
fn key_sets_whose_keys_are_none() {
    let scratch = Scratch::new();
    for (key, why) in [
        (json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }), "RSA"),
        (json!({ "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" }), "point"),
        (json!({ "kty": "EC", "crv": "P-521", "x": "AAAA", "y": "AAAA" }), "curve"),
    ] {
        let mut tokens = tokens(&["header"]);
        tokens.jwks_files = vec![scratch.file("jwks.json", json!({ "keys": [key] }).to_string())];
        let mut config = pulsewire_gateway::GatewayConfig::new(LOOPBACK.parse().expect("an address"));
        config.tokens = Some(tokens);
        let errors = config.validate().expect_err("refused").to_string();
        assert!(errors.starts_with("tokens.jwks_files: ") && errors.contains(why), "{errors}");
    }
}

#[tokio::test]
async fn key_sets_that_are_rotated_on_disk_are_taken() {
    let scratch = Scratch::new();
    let other = b"another secret of more than thirty-two bytes";
    let keys = |all: &[(&str, &[u8])]| {
        let part =
            |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
        let keys: Vec<_> = all
            .iter()
            .map(|(id, k)| json!({ "kty": "oct", "kid": id, "alg": "HS256", "k": part(k) }))
            .collect();
        scratch.file("jwks", json!({ "keys": keys }).to_string())
    };
    let mut own = tokens(&["header"]);
    own.jwks_files = vec![keys(&[("one", SECRET)])];
    let gateway = start(echo_upstream().await, |config| {
        config.tokens = Some(own);
        config.watch_files = Duration::from_millis(20);
    })
    .await;
    let first = format!("Bearer {}", hs("a", 60));
    let second = signed(Algorithm::HS256, &EncodingKey::from_secret(other), &claims("a", 60));
    let second = format!("Bearer {second}");
    passes(&gateway, PATH, &[("authorization", &first)]).await;
    assert_eq!(refused(gateway.addr, PATH, &[("authorization", &second)]).await.0, 401);
    keys(&[("one", SECRET), ("two", other)]);
    soon("the next key", async {
        while try_connect(gateway.addr, PATH, &[("authorization", &second)]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    passes(&gateway, PATH, &[("authorization", &first)]).await;
    keys(&[("two", other)]);
    soon("the last key's end", async {
        while try_connect(gateway.addr, PATH, &[("authorization", &first)]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    passes(&gateway, PATH, &[("authorization", &second)]).await;
    gateway.stop().await;
}
