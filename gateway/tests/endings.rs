//! Every way in which a connection ends, as the client and the upstream see it.

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn text_is_refused() {
    let (report, mut reports) = mpsc::channel(1);
    let addr = reading_upstream(report).await;
    let gateway = start(addr, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    send(&mut client, *b"good").await;
    client.send(Message::text("bad")).await.expect("sent");
    send(&mut client, *b"after").await;
    assert_closed(&mut client, 1003, "text-message").await;
    assert_eq!(soon("end", reports.recv()).await, Some(b"good".to_vec()), "nothing after the text");
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_too_large_is_refused() {
    let gateway = start(echo_upstream().await, |config| config.limits.max_frame_bytes = 64 * 1024).await;
    let mut client = connect(gateway.addr).await;
    // More than the sockets hold: the client is still sending when it is refused.
    let sending = client.send(Message::binary(vec![0; 64 << 20]));
    let _ = timeout(Duration::from_millis(200), sending).await;
    assert_closed(&mut client, 1009, "message-too-large").await;
    drop(client);

    let mut client = connect(gateway.addr).await;
    let block = Bytes::from(vec![0; 40 * 1024]);
    for opcode in [Data::Binary, Data::Continue] {
        let frame = Frame::message(block.clone(), OpCode::Data(opcode), false);
        client.send(Message::Frame(frame)).await.expect("sent");
    }
    assert_closed(&mut client, 1009, "message-too-large").await;
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusing_upstream() {
    let gateway = start(nobody().await, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    let (code, reason, _) = closed(&mut client).await;
    assert_eq!(code, 1013);
    assert_eq!(reason, "upstream-refused: the Pulsar server refused the connection");
    gateway.stop().await;
}

#[tokio::test]
async fn the_upstream_is_named_when_told_so() {
    let addr = nobody().await;
    let gateway = start(addr, |config| config.reveal_upstream = true).await;
    let (_, reason, _) = closed(&mut connect(gateway.addr).await).await;
    assert!(reason.ends_with(&format!("(pulsar://{addr})")), "{reason}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_unresolvable_upstream() {
    let gateway = start(nobody().await, |config| {
        // A label too long for DNS: no resolver needs to be asked.
        let name = "x".repeat(70);
        config.upstream = Some(format!("pulsar://{name}.invalid").parse().expect("an upstream"));
    })
    .await;
    assert_closed(&mut connect(gateway.addr).await, 1013, "upstream-unresolved").await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstream_that_closes_is_heard_to_the_end() {
    let addr = serve_upstream(|mut tcp| async move {
        tcp.write_all(&noise(5, 300_000)).await.expect("sent");
        tcp.shutdown().await.expect("shut down");
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let gateway = start(addr, |_| ()).await;
    let (code, reason, bytes) = closed(&mut connect(gateway.addr).await).await;
    assert_eq!((code, reason.as_str()), (1001, "upstream-closed: the Pulsar server closed the connection"));
    assert!(bytes == noise(5, 300_000));
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_client_sent_before_it_saw_the_close_still_arrives() {
    let (report, mut reports) = mpsc::channel(1);
    let addr = serve_upstream(move |mut tcp| {
        let report = report.clone();
        async move {
            tcp.shutdown().await.expect("shut down");
            let mut got = Vec::new();
            tcp.read_to_end(&mut got).await.expect("read");
            report.send(got).await.expect("reported");
        }
    })
    .await;
    let gateway = start(addr, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    // The close is on its way by now, and not read yet.
    sleep(SHORT).await;
    let sent = noise(6, 1 << 20);
    send(&mut client, sent.clone()).await;
    assert_closed(&mut client, 1001, "upstream-closed").await;
    assert!(soon("end", reports.recv()).await == Some(sent));
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstream_that_breaks() {
    let addr = serve_upstream(|mut tcp| async move {
        let mut one = [0];
        tcp.read_exact(&mut one).await.expect("read");
        // Closing over unread bytes resets.
        sleep(SHORT).await;
    })
    .await;
    let gateway = start(addr, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    send(&mut client, *b"more than one").await;
    assert_closed(&mut client, 1011, "upstream-lost").await;
    gateway.stop().await;
}

/// The upstream's unread bytes must not reset the connection under the client's last ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_closes_is_heard_to_the_end() {
    let (report, mut reports) = mpsc::channel(1);
    let addr = serve_upstream(move |tcp| {
        let report = report.clone();
        async move {
            let (mut read, mut write) = tcp.into_split();
            let writing = tokio::spawn(async move {
                let block = vec![7; 64 * 1024];
                while write.write_all(&block).await.is_ok() {}
            });
            sleep(SHORT).await;
            let mut got = Vec::new();
            let ended = read.read_to_end(&mut got).await;
            writing.abort();
            report.send(ended.map(|_| got)).await.expect("reported");
        }
    })
    .await;
    let gateway = start(addr, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    let sent = noise(7, 3 << 20);
    let (mut sink, mut stream) = client_split(&mut client);
    let writing = async {
        sink.send(Message::binary(sent.clone())).await.expect("sent");
        sink.send(Message::Close(None)).await.expect("closed");
    };
    let reading = async { while let Some(Ok(_)) = stream.next().await {} };
    soon("the close", async { tokio::join!(writing, reading) }).await;
    let got = soon("end", reports.recv()).await.expect("a report").expect("an end in order");
    assert!(got == sent);
    gateway.stop().await;
}

fn client_split(
    client: &mut Client,
) -> (futures_util::stream::SplitSink<&mut Client, Message>, futures_util::stream::SplitStream<&mut Client>) {
    client.split()
}

#[tokio::test]
async fn a_client_that_vanishes_ends_the_upstream() {
    let (report, mut reports) = mpsc::channel(1);
    let addr = reading_upstream(report).await;
    let gateway = start(addr, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    send(&mut client, *b"last words").await;
    drop(client);
    assert_eq!(soon("end", reports.recv()).await, Some(b"last words".to_vec()));
    gateway.stop().await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let gateway = start(echo_upstream().await, |config| config.limits.idle_timeout = SHORT).await;
    let mut client = connect(gateway.addr).await;
    for _ in 0..8 {
        sleep(SHORT / 3).await;
        send(&mut client, *b"x").await;
        receive(&mut client, 1).await;
    }
    let since = Instant::now();
    // A ping is no traffic.
    client.send(Message::Ping(Bytes::new())).await.expect("sent");
    assert_closed(&mut client, 1001, "idle-timeout").await;
    assert!(since.elapsed() > SHORT / 2 && since.elapsed() < SHORT * 8, "{:?}", since.elapsed());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_is_told_if_it_listens_again() {
    let (addr, _) = flooding_upstream().await;
    let gateway = start(addr, |config| {
        config.limits.slow_client_timeout = SHORT;
        config.limits.close_timeout = Duration::from_secs(20);
    })
    .await;
    let mut client = connect(gateway.addr).await;
    sleep(SHORT * 5).await;
    assert_closed(&mut client, 1008, "slow-client").await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_cut() {
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
    drop(client);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_stops_reading() {
    let addr = serve_upstream(|tcp| async move {
        sleep(PATIENCE).await;
        drop(tcp);
    })
    .await;
    let gateway = start(addr, |config| {
        config.limits.idle_timeout = SHORT;
        config.limits.close_timeout = SHORT * 3;
    })
    .await;
    let (mut sink, stream) = connect(gateway.addr).await.split();
    tokio::spawn(async move {
        let block = Bytes::from(vec![7; 64 * 1024]);
        while sink.send(Message::Binary(block.clone())).await.is_ok() {}
    });
    let mut stream = stream;
    let closing = soon("close", async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(_)) => {}
                other => panic!("no close but {other:?}"),
            }
        }
    })
    .await;
    assert_eq!(u16::from(closing.code), 1013);
    assert!(closing.reason.starts_with("upstream-stalled: "), "{}", closing.reason);
    gateway.stop().await;
}

#[tokio::test]
async fn one_connection_too_many() {
    let gateway = start(echo_upstream().await, |config| config.limits.max_connections = 2).await;
    let mut first = connect(gateway.addr).await;
    let mut second = connect(gateway.addr).await;
    for client in [&mut first, &mut second] {
        send(client, *b"x").await;
        receive(client, 1).await;
    }
    assert_closed(&mut connect(gateway.addr).await, 1013, "too-many-connections").await;
    first.close(None).await.expect("closed");
    while let Some(Ok(_)) = first.next().await {}
    drop(first);
    // The place is free once the upstream has ended as well.
    soon("a free place", async {
        loop {
            let mut third = connect(gateway.addr).await;
            if third.send(Message::binary(b"y".as_slice())).await.is_ok()
                && matches!(third.next().await, Some(Ok(Message::Binary(_))))
            {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    send(&mut second, *b"z").await;
    assert_eq!(receive(&mut second, 1).await, b"z");
    drop(second);
    gateway.stop().await;
}

#[tokio::test]
async fn shutdown_closes_everybody_and_says_so() {
    let (report, mut reports) = mpsc::channel(3);
    let addr = reading_upstream(report).await;
    let gateway = start(addr, |config| config.limits.close_timeout = Duration::from_secs(2)).await;
    let (public, admin) = (gateway.addr, gateway.admin);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(connect(public).await);
    }
    let half_a_request = TcpStream::connect(public).await.expect("connected");
    for client in &mut clients {
        send(client, *b"before").await;
    }
    sleep(Duration::from_millis(100)).await;
    let stopping = gateway.begin_stop();
    // The clients have not answered: the gateway waits for them, and says that it takes no more.
    soon("readiness to end", async {
        while raw(admin, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.0 != 503 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(raw(admin, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.0, 200);
    assert!(TcpStream::connect(public).await.is_err(), "no new connections");
    for client in &mut clients {
        send(client, *b" and after").await;
        assert_closed(client, 1012, "gateway-shutdown").await;
        assert_eq!(soon("end", reports.recv()).await, Some(b"before and after".to_vec()));
    }
    soon("the end", stopping).await.expect("ends well");
    drop(half_a_request);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let addr = serve_upstream(|tcp| async move {
        sleep(PATIENCE).await;
        drop(tcp);
    })
    .await;
    let gateway = start(addr, |config| config.limits.close_timeout = SHORT).await;
    let client = connect(gateway.addr).await;
    let since = Instant::now();
    gateway.stop().await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    drop(client);
}

/// Reads to the end and reports what it got.
async fn reading_upstream(report: mpsc::Sender<Vec<u8>>) -> std::net::SocketAddr {
    serve_upstream(move |mut tcp| {
        let report = report.clone();
        async move {
            let mut got = Vec::new();
            let _ = tcp.read_to_end(&mut got).await;
            let _ = report.send(got).await;
        }
    })
    .await
}
