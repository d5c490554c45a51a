//! What strangers send: it costs them their connection and nobody else anything.

mod common;

use std::time::{Duration, Instant};

use common::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const UPGRADE: &[u8] =
    b"GET /pulsar HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Sends bytes after an upgrade; returns the code and the reason of the close.
async fn close_after(gateway: &Running, bytes: &[u8]) -> (u16, String) {
    let mut tcp = TcpStream::connect(gateway.addr).await.expect("connected");
    tcp.write_all(UPGRADE).await.expect("sent");
    let mut answer = Vec::new();
    soon("upgrade", async {
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(tcp.read_u8().await.expect("an answer"));
        }
    })
    .await;
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    tcp.write_all(bytes).await.expect("sent");
    let head = soon("close", tcp.read_u16()).await.expect("a frame");
    assert_eq!(head >> 8, 0x88, "a close frame");
    let mut body = vec![0; usize::from(head & 0x7f)];
    tcp.read_exact(&mut body).await.expect("a whole frame");
    (u16::from_be_bytes([body[0], body[1]]), String::from_utf8_lossy(&body[2..]).into_owned())
}

async fn still_serves(gateway: &Running) {
    let mut client = connect(gateway.addr).await;
    send(&mut client, *b"alive").await;
    assert_eq!(receive(&mut client, 5).await, b"alive");
}

#[tokio::test]
async fn garbage_in_place_of_http() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\0\0\0\x09\0\0\0\x05\x08\x02\x12\x00\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /pulsar HTTP/9.9\r\n\r\n",
        b"GET /pulsar HTTP/1.1\r\nbad header\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut tcp = TcpStream::connect(gateway.addr).await.expect("connected");
        tcp.write_all(garbage).await.expect("sent");
        tcp.shutdown().await.expect("shut down");
        let mut answer = Vec::new();
        let _ = soon("an end", tcp.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 101"), "{garbage:?}");
    }
    still_serves(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn too_many_or_too_large_headers() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    let large = format!("GET /pulsar HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    assert_eq!(raw(gateway.addr, large.as_bytes()).await.0, 431);
    let many = format!("GET /pulsar HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(100));
    assert_eq!(raw(gateway.addr, many.as_bytes()).await.0, 431);
    gateway.stop().await;
}

#[tokio::test]
async fn half_a_request_is_cut_in_time() {
    let short = Duration::from_millis(300);
    let gateway = start(echo_upstream().await, |config| config.limits.handshake_timeout = short).await;
    for half in [b"".as_slice(), b"GET /pul", &UPGRADE[..UPGRADE.len() - 2]] {
        let mut tcp = TcpStream::connect(gateway.addr).await.expect("connected");
        tcp.write_all(half).await.expect("sent");
        let since = Instant::now();
        let mut answer = Vec::new();
        let _ = soon("the cut", tcp.read_to_end(&mut answer)).await;
        assert!(since.elapsed() > short / 2, "cut at once");
        assert!(!answer.starts_with(b"HTTP/1.1 101"));
    }
    // One header byte at a time does not stretch it.
    let mut tcp = TcpStream::connect(gateway.addr).await.expect("connected");
    let since = Instant::now();
    tcp.write_all(b"GET /pulsar HTTP/1.1\r\nx: ").await.expect("sent");
    while tcp.write_all(b"y").await.is_ok() {
        assert!(since.elapsed() < Duration::from_secs(5), "never cut");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    still_serves(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn frames_that_are_none() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    // Not masked; a reserved bit; an unknown opcode; a continuation of nothing; a ping in fragments.
    for frame in [
        b"\x82\x01x".as_slice(),
        b"\xc2\x81\0\0\0\0x",
        b"\x83\x81\0\0\0\0x",
        b"\x80\x81\0\0\0\0x",
        b"\x09\x81\0\0\0\0x",
    ] {
        let (code, reason) = close_after(&gateway, frame).await;
        assert_eq!((code, reason.split(':').next()), (1002, Some("websocket-protocol")), "{frame:x?}");
    }
    // The header of a frame of 4 GiB, and one of 2^63.
    for frame in [
        b"\x82\xff\0\0\0\x01\0\0\0\0\0\0\0\0".as_slice(),
        b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
    ] {
        let (code, reason) = close_after(&gateway, frame).await;
        assert_eq!((code, reason.split(':').next()), (1009, Some("message-too-large")));
    }
    // Text, and the reason of a close, that are not UTF-8.
    for frame in [b"\x81\x81\0\0\0\0\xff".as_slice(), b"\x88\x83\0\0\0\0\x03\xe8\xff"] {
        let (code, reason) = close_after(&gateway, frame).await;
        assert_eq!((code, reason.split(':').next()), (1007, Some("invalid-utf8")), "{frame:x?}");
    }
    // Codes that must not be sent are answered by the library.
    for code in [999u16, 1005, 5000] {
        let mut frame = b"\x88\x82\0\0\0\0".to_vec();
        frame.extend_from_slice(&code.to_be_bytes());
        assert_eq!(close_after(&gateway, &frame).await, (1002, "Protocol violation".to_owned()), "{code}");
    }
    still_serves(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn plain_http_where_tls_is_due_and_the_other_way_round() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let gateway = start(echo_upstream().await, |config| {
        config.limits.handshake_timeout = Duration::from_millis(500);
        config.tls = Some(pulsewire_gateway::ListenTls {
            certificates: pulsewire_gateway::Pem::Text(pair.cert.pem().into_bytes()),
            key: pulsewire_gateway::Pem::Text(pair.signing_key.serialize_pem().into_bytes()),
        });
    })
    .await;
    assert_eq!(raw(gateway.addr, UPGRADE).await.0, 0);
    gateway.stop().await;
}
