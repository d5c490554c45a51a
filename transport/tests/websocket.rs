//! WebSocket peers that lie, and what a gateway sees of the upgrade.
#![cfg(not(target_family = "wasm"))]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use pulsewire_transport::tls::TlsOptions;
use pulsewire_transport::{Connector, ErrorKind, NativeConnector, Scheme, Target, Transport, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn target(host: &str, port: u16) -> Target {
    Target { scheme: Scheme::Ws, host: host.to_owned(), port, path: String::new() }
}

/// How connecting fails at a server that answers the upgrade with `answer`, and the request it saw.
async fn refused_with(connector: NativeConnector, answer: &'static [u8]) -> (TransportError, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let request = read_head(&mut stream).await;
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        request
    });
    let error = connector.connect(&target("127.0.0.1", port)).await.expect_err("no upgrade");
    (error, serving.await.expect("served"))
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("ASCII")
}

#[tokio::test]
async fn answers_that_are_no_upgrade() {
    let cases: [(&[u8], ErrorKind); 7] = [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nno origin", ErrorKind::UpgradeRefused { status: 403 }),
        (b"HTTP/1.1 302 Found\r\nlocation: ws://127.0.0.1:1/\r\n\r\n", ErrorKind::UpgradeRefused { status: 302 }),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", ErrorKind::UpgradeRefused { status: 200 }),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: bm90IG91cnM=\r\n\r\n", ErrorKind::Protocol),
        (b"\x00\x00\x00\x10what is this\r\n\r\n", ErrorKind::Protocol),
        (b"HTTP/1.1 101 Swi", ErrorKind::Protocol),
        (b"", ErrorKind::Protocol),
    ];
    for (answer, due) in cases {
        let (error, _) = refused_with(NativeConnector::default(), answer).await;
        assert_eq!(error.kind(), due, "{error}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").await;
        let mut sent = 0;
        while stream.write_all(b"x-more: and more and more and more\r\n").await.is_ok() {
            sent += 36;
            assert!(sent < 64 << 20, "64 MiB of headers were taken");
        }
    });
    let opening = NativeConnector::default().connect(&target("127.0.0.1", port));
    let opened = tokio::time::timeout(Duration::from_secs(20), opening).await.expect("given up in time");
    opened.expect_err("no upgrade");
    serving.await.expect("bounded");
}

#[tokio::test]
async fn headers_reach_the_gateway() {
    let connector = NativeConnector::new(TlsOptions::new())
        .websocket_header("Origin", "https://console.example")
        .websocket_header("Authorization", "Bearer abc");
    let (_, request) = refused_with(connector, b"HTTP/1.1 401 Unauthorized\r\n\r\n").await;
    assert!(request.starts_with("GET /pulsar HTTP/1.1\r\n"), "{request}");
    let request = request.to_lowercase();
    assert!(request.contains("\r\norigin: https://console.example\r\n"), "{request}");
    assert!(request.contains("\r\nauthorization: bearer abc\r\n"), "{request}");
}

#[tokio::test]
async fn headers_and_targets_that_make_no_request() {
    let broken = NativeConnector::default().websocket_header("X-Split", "a\r\nHost: elsewhere");
    let (error, _) = refused_with(broken, b"").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let odd = Target { path: "/a b\r\nX: y".to_owned(), ..target("127.0.0.1", port) };
    let error = NativeConnector::default().connect(&odd).await.expect_err("no request");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unreachable() {
    for scheme in [Scheme::Tcp, Scheme::Tls, Scheme::Ws, Scheme::Wss] {
        let target = Target { scheme, ..target("no-such-host.invalid", 6650) };
        let connector = NativeConnector::new(TlsOptions::new().allow_insecure(true));
        let error = connector.connect(&target).await.expect_err("nowhere");
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    }
}

#[test]
fn urls_of_targets() {
    let url = |scheme, host: &str, path: &str| {
        Target { scheme, host: host.into(), port: 8080, path: path.into() }.websocket_url()
    };
    assert_eq!(url(Scheme::Ws, "localhost", ""), "ws://localhost:8080/pulsar");
    assert_eq!(url(Scheme::Wss, "::1", "/gate?token=1"), "wss://[::1]:8080/gate?token=1");
    assert_eq!(url(Scheme::Ws, "localhost", "gate"), "ws://localhost:8080/gate");
    let secret = Target { scheme: Scheme::Wss, host: "a".into(), port: 1, path: "/gate?token=1".into() };
    assert_eq!(secret.shown_url(), "wss://a:1/gate");
}

/// A gateway says why and closes the socket at once, while the client is busy writing: the reason
/// counts, not the broken pipe.
#[tokio::test]
async fn the_reason_of_a_close_outlives_the_failed_write() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("an upgrade");
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
            code: 1008.into(),
            reason: "not this upstream".into(),
        };
        let _ = socket.close(Some(frame)).await;
        // Dropped unread: later writes of the client break.
    });
    let mut transport = NativeConnector::default().connect(&target("127.0.0.1", port)).await.expect("open");
    let error = loop {
        let mut segments = VecDeque::from([Bytes::from(vec![0; 100_000])]);
        if let Err(error) = poll_fn(|cx| transport.poll_write(cx, &mut segments)).await {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(error.kind(), ErrorKind::Closed { code: 1008 }, "{error}");
    assert!(error.message().contains("not this upstream"), "{error}");
}

/// A flood of pings with nobody reading the answers: memory stays bounded, bytes still come.
#[tokio::test]
async fn a_flood_of_pings_is_no_flood_of_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("an upgrade");
        let mut ping = vec![0x89, 125];
        ping.resize(127, 7);
        let pings = ping.repeat(1000);
        let stream = socket.get_mut();
        // 60 MB of pings; the pongs are never read, so the client's writes fill up.
        for _ in 0..500 {
            if stream.write_all(&pings).await.is_err() {
                return;
            }
        }
        let _ = stream.write_all(&[0x82, 1, b'!']).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    });
    let mut transport = NativeConnector::default().connect(&target("127.0.0.1", port)).await.expect("open");
    let read = tokio::time::timeout(Duration::from_secs(20), poll_fn(|cx| transport.poll_read(cx)));
    assert_eq!(read.await.expect("in time"), Ok(Some(Bytes::from_static(b"!"))));
}
