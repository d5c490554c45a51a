//! Who is let in, who is not, and what they are told.

mod common;

use common::tokens::Scratch;
use common::*;
use pulsewire_gateway::{Gateway, GatewayConfig, GatewayError, ListenTls, PATH, Pem, UpstreamTls};
use tokio::net::TcpListener;

fn origins(list: &[&str]) -> Vec<pulsewire_gateway::Origin> {
    list.iter().map(|origin| origin.parse().expect("an origin")).collect()
}

#[tokio::test]
async fn listed_origins_only() {
    let gateway = start(echo_upstream().await, |config| {
        config.allow_origins = origins(&["https://app.example"]);
        config.allow_missing_origin = false;
    })
    .await;
    let mut client =
        try_connect(gateway.addr, PATH, &[("origin", "https://app.example")]).await.expect("allowed");
    send(&mut client, *b"x").await;
    assert_eq!(receive(&mut client, 1).await, b"x");
    drop(client);

    for other in ["https://evil.example", "http://app.example", "https://app.example.evil.example", "null"] {
        let (status, body) = refused(gateway.addr, PATH, &[("origin", other)]).await;
        assert_eq!(status, 403, "{other}");
        assert!(body.starts_with("origin-refused: "), "{body}");
    }
    let (status, body) = refused(gateway.addr, PATH, &[]).await;
    assert_eq!(status, 403);
    assert!(body.starts_with("origin-missing: "), "{body}");
    gateway.stop().await;
}

#[tokio::test]
async fn same_origin_without_a_list_but_not_by_a_rebound_name() {
    let gateway = start(echo_upstream().await, |config| config.allow_missing_origin = false).await;
    let own = format!("http://{}", gateway.addr);
    drop(try_connect(gateway.addr, PATH, &[("origin", &own)]).await.expect("same origin"));
    let by_name = format!("http://localhost:{}", gateway.addr.port());
    let named = [("host", by_name.trim_start_matches("http://")), ("origin", by_name.as_str())];
    drop(try_connect(gateway.addr, PATH, &named).await.expect("same origin by a name that nobody else has"));
    let port = gateway.addr.port();
    let local = format!("localhost:{port}");
    let (status, _) =
        refused(gateway.addr, PATH, &[("host", &local), ("origin", &format!("http://127.0.0.1:{port}"))])
            .await;
    assert_eq!(status, 403, "another host than the one asked");
    let name = format!("stranger.example:{port}");
    let (status, body) =
        refused(gateway.addr, PATH, &[("host", &name), ("origin", &format!("http://{name}"))]).await;
    assert_eq!(status, 403);
    assert!(body.contains("among the allowed origins"), "{body}");
    gateway.stop().await;
}

#[tokio::test]
async fn without_an_upstream_nothing_is_forwarded() {
    let gateway = start(nobody().await, |config| config.upstream = None).await;
    let (status, body) = refused(gateway.addr, PATH, &[]).await;
    assert_eq!(status, 503);
    assert_eq!(body, "no-upstream: this gateway has no upstream configured and forwards nothing\n");
    assert_eq!(raw(gateway.admin, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.0, 503);
    gateway.stop().await;
}

#[tokio::test]
async fn any_other_path_or_method() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    for path in ["/", "/pulsar/", "/pulsar/x", "/healthz", "/Pulsar"] {
        assert_eq!(refused(gateway.addr, path, &[]).await.0, 404, "{path}");
    }
    let (status, body) = raw(gateway.addr, b"GET /pulsar HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(status, 426, "{body}");
    let posted = b"POST /pulsar HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(raw(gateway.addr, posted).await.0, 405);
    gateway.stop().await;
}

#[tokio::test]
async fn health_and_readiness() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    let (status, body) = raw(gateway.admin, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(status, 200);
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["status"], "ok");
    let (status, body) = raw(gateway.admin, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!((status, body.trim()), (200, r#"{"status":"ready"}"#));
    assert_eq!(raw(gateway.admin, b"GET /pulsar HTTP/1.1\r\nhost: localhost\r\n\r\n").await.0, 404);
    assert_eq!(raw(gateway.admin, b"POST /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.0, 405);
    gateway.stop().await;
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_whole() {
    let mut config = GatewayConfig::new("127.0.0.1:4000".parse().expect("an address"));
    config.admin_listen = Some(config.listen);
    config.upstream = Some("pulsar://localhost".parse().expect("an upstream"));
    config.upstream_tls = Some(UpstreamTls::default());
    config.tls = Some(ListenTls {
        certificates: Pem::File("no/such/file.pem".into()),
        key: Pem::Text(b"not a key".to_vec()),
    });
    config.limits.max_connections = 0;
    config.limits.buffer_bytes = 1;
    config.limits.idle_timeout = std::time::Duration::MAX;
    let errors = config.validate().expect_err("refused");
    let keys: Vec<_> = errors.iter().map(|error| error.key.as_ref()).collect();
    assert_eq!(
        keys,
        [
            "admin_listen",
            "limits.max_connections",
            "limits.buffer_bytes",
            "limits.idle_timeout",
            "tls.certificates",
            "tls.key",
            "upstream_tls",
        ]
    );
    assert_eq!(errors.to_string().lines().count(), keys.len(), "{errors}");
    assert!(matches!(Gateway::bind(config).await, Err(GatewayError::Config(_))));
}

/// What a file says, and all that is wrong with it.
fn wrong(text: &str) -> Vec<String> {
    let scratch = Scratch::new();
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    let read = config.read_file(&scratch.file("gateway.toml", text)).expect("TOML");
    match config.validate_read(read) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn keys(text: &str) -> Vec<String> {
    wrong(text).iter().filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect()
}

#[test]
fn what_is_wrong_is_named_whole_and_once() {
    let all = "upstream = \"pulsar+ssl://x:99999\"\n\
               [brokers]\nhosts = [\"*\"]\nports = [66500]\nnetworks = [\"10.0.0.1/8\"]\n\
               [upstream_tls]\nauthorities = \"no-such-ca.pem\"\nserver_name = \"not a name\"\n";
    assert_eq!(
        keys(all),
        [
            "upstream",
            "brokers.hosts",
            "brokers.ports",
            "brokers.networks",
            "upstream_tls.server_name",
            "upstream_tls.authorities"
        ],
        "{:?}",
        wrong(all)
    );
    let not_tls = "upstream = \"pulsar://x\"\n[upstream_tls]\nauthorities = \"no-such-ca.pem\"\n";
    assert_eq!(keys(not_tls), ["upstream_tls", "upstream_tls.authorities"]);
    // A list that is really empty is one.
    assert_eq!(keys("[brokers]\nhosts = []\nports = [1]\nnetworks = [\"10.0.0.0/8\"]"), ["brokers.hosts"]);
    assert_eq!(keys("[[narrow]]\nsubjects = [\"a\"]\nconsume = [\"t\"]"), ["narrow[0].subjects"]);
    for (listen, admin, same) in [
        ("127.0.0.1:4000", "0.0.0.0:4000", true),
        ("[::]:4000", "127.0.0.1:4000", true),
        ("127.0.0.1:4000", "127.0.0.2:4000", false),
        ("127.0.0.1:4000", "127.0.0.1:4001", false),
    ] {
        let text = format!("listen = \"{listen}\"\nadmin_listen = \"{admin}\"");
        assert_eq!(keys(&text).len(), usize::from(same), "{text}");
    }
}

/// Whatever keeps a file from being taken, it counts, is logged in one line, and all of it is named.
#[tokio::test]
async fn reloads_that_are_refused() {
    let scratch = Scratch::new();
    let mut before = None;
    let gateway = start(echo_upstream().await, |config| before = Some(config.clone())).await;
    let before = before.expect("a configuration");
    for (text, named) in [
        ("listen = ", 1),
        ("surprise = 1", 1),
        ("listen = \"127.0.0.1:1\"\nsurprise = 1", 2),
        ("surprise = 1\n[limits]\nmax_connections = 0", 2),
    ] {
        let mut config = before.clone();
        let refused = match config.read_file(&scratch.file("gateway.toml", text)) {
            Ok(wrong) => gateway.handle.reload_read(Some(&config), wrong),
            Err(errors) => gateway.handle.reload_read(None, errors.iter().cloned().collect()),
        };
        assert_eq!(refused.expect_err("refused").iter().count(), named, "{text}");
    }
    let metrics = raw(gateway.admin, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.1;
    assert!(metrics.contains("reloads_total{outcome=\"refused\"} 4"), "{metrics}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = TcpListener::bind(LOOPBACK).await.expect("listening");
    let address = taken.local_addr().expect("an address");
    let error = Gateway::bind(GatewayConfig::new(address)).await.expect_err("in use");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(matches!(error, GatewayError::Listen { key: "listen", .. }));
}
