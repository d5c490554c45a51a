//! What goes in comes out, in both directions, and no faster than it is taken.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::*;
use futures_util::{SinkExt, StreamExt};
use pulsewire_gateway::Narrow;
use pulsewire_proto::wire::frame::{encode_command, encode_with_entry};
use pulsewire_proto::wire::{
    CommandConnected, CommandGetTopicsOfNamespaceResponse, CommandProducer, CommandSend,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// What all the kernel's socket buffers of one path may hold, with room to spare; far below what the
/// tests try to send.
const IN_FLIGHT: u64 = 48 * 1024 * 1024;

#[tokio::test]
async fn echoes_small_and_empty_messages() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    send(&mut client, *b"hello").await;
    assert_eq!(receive(&mut client, 5).await, b"hello");
    send(&mut client, *b"").await;
    for byte in 0..200u8 {
        send(&mut client, [byte]).await;
    }
    assert_eq!(receive(&mut client, 200).await, (0..200).collect::<Vec<u8>>());
    client.close(None).await.expect("closed");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_mebibytes_both_ways_at_once() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    let client = connect(gateway.addr).await;
    let sent = noise(1, 16 * 1024 * 1024);
    let (mut sink, mut stream) = client.split();
    let to_send = sent.clone();
    let sending = tokio::spawn(async move {
        // Pieces of all sizes up to 1 MiB, boundaries of no meaning.
        let mut random = fastrand::Rng::with_seed(2);
        let mut rest = Bytes::from(to_send);
        while !rest.is_empty() {
            let piece = rest.split_to(random.usize(1..=1 << 20).min(rest.len()));
            sink.send(Message::Binary(piece)).await.expect("sent");
        }
        sink
    });
    let mut got = Vec::with_capacity(sent.len());
    let mut largest = 0;
    soon("16 MiB", async {
        while got.len() < sent.len() {
            match stream.next().await {
                Some(Ok(Message::Binary(more))) => {
                    largest = largest.max(more.len());
                    got.extend_from_slice(&more);
                }
                other => panic!("no bytes but {other:?}"),
            }
        }
    })
    .await;
    assert!(got == sent, "the bytes differ");
    assert!((32 * 1024..=64 * 1024).contains(&largest), "gathered into messages of {largest} bytes");
    drop((sending.await.expect("all sent"), stream));
    gateway.stop().await;
}

#[tokio::test]
async fn one_message_as_large_as_allowed() {
    let gateway = start(echo_upstream().await, |config| config.limits.max_frame_bytes = 1 << 20).await;
    let mut client = connect(gateway.addr).await;
    let sent = noise(3, 1 << 20);
    send(&mut client, sent.clone()).await;
    assert!(receive(&mut client, sent.len()).await == sent);
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn fragments_and_pings_between_them() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    let frame = |text: &'static [u8], opcode, last| {
        Message::Frame(Frame::message(Bytes::from_static(text), OpCode::Data(opcode), last))
    };
    client.send(frame(b"one ", Data::Binary, false)).await.expect("sent");
    client.send(Message::Ping(Bytes::from_static(b"there?"))).await.expect("sent");
    client.send(frame(b"two ", Data::Continue, false)).await.expect("sent");
    client.send(frame(b"three", Data::Continue, true)).await.expect("sent");
    let pong = soon("pong", client.next()).await.expect("open").expect("a message");
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"there?")));
    assert_eq!(receive(&mut client, 13).await, b"one two three");
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn bytes_sent_with_the_upgrade_are_not_lost() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    let mut tcp = tokio::net::TcpStream::connect(gateway.addr).await.expect("connected");
    let mut request = format!(
        "GET /pulsar HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        gateway.addr
    )
    .into_bytes();
    // A masked binary frame, mask 0: "early".
    request.extend_from_slice(b"\x82\x85\0\0\0\0early");
    tcp.write_all(&request).await.expect("sent");
    let mut answer = Vec::new();
    soon("echo", async {
        while !answer.ends_with(b"\x82\x05early") {
            assert_ne!(tcp.read_buf(&mut answer).await.expect("read"), 0, "{answer:?}");
        }
    })
    .await;
    drop(tcp);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_stops_the_upstream() {
    let (addr, written) = flooding_upstream().await;
    let gateway = start(addr, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    let held = settled(&written).await;
    assert!(held > 0 && held < IN_FLIGHT, "{held} bytes went into a client that reads nothing");
    // And goes on once it reads.
    let wanted = usize::try_from(held).expect("fits") + (8 << 20);
    let mut got = 0;
    soon("more bytes", async {
        while got < wanted {
            got += client.next().await.expect("open").expect("a message").len();
        }
    })
    .await;
    drop(client);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_read_stops_the_client() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let (report, mut reports) = mpsc::channel(1);
    let addr = serve_upstream(move |mut tcp| {
        let (mut gate, report) = (gate.clone(), report.clone());
        async move {
            gate.wait_for(|go| *go).await.expect("told to go");
            let mut got = Vec::new();
            tcp.read_to_end(&mut got).await.expect("read");
            report.send(got.len() as u64).await.expect("reported");
        }
    })
    .await;
    let gateway = start(addr, |_| ()).await;
    let mut client = connect(gateway.addr).await;
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let sending = tokio::spawn(async move {
        let block = Bytes::from(vec![7; 64 * 1024]);
        for _ in 0..2048 {
            client.send(Message::Binary(block.clone())).await.expect("sent");
            count.fetch_add(block.len() as u64, Ordering::SeqCst);
        }
        client.close(None).await.expect("closed");
        client
    });
    let held = settled(&written).await;
    assert!(held > 0 && held < IN_FLIGHT, "{held} bytes went into an upstream that reads nothing");
    go.send_replace(true);
    // After the close, too, everything arrives and then the end.
    assert_eq!(soon("everything", reports.recv()).await, Some(2048 * 64 * 1024));
    drop(sending.await.expect("all sent"));
    gateway.stop().await;
}

/// A direction that always has work must not starve the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_one_way_leaves_the_other_prompt() {
    let (report, mut reports) = mpsc::channel(100);
    let addr = serve_upstream(move |tcp| {
        let report = report.clone();
        async move {
            let (mut read, mut write) = tcp.into_split();
            let flood = tokio::spawn(async move {
                let block = vec![7; 256 * 1024];
                while write.write_all(&block).await.is_ok() {}
            });
            while let Ok(byte) = read.read_u8().await {
                let _ = report.send(byte).await;
            }
            flood.abort();
        }
    })
    .await;
    let gateway = start(addr, |_| ()).await;
    let (mut sink, mut stream) = connect(gateway.addr).await.split();
    let reading = tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
    for byte in 0..20 {
        sink.send(Message::binary(vec![byte])).await.expect("sent");
        let got = tokio::time::timeout(Duration::from_secs(5), reports.recv()).await;
        assert_eq!(got, Ok(Some(byte)));
        sleep(Duration::from_millis(5)).await;
    }
    gateway.stop().await;
    reading.await.expect("read to the end");
}

/// Small ones go to the upstream together, and nothing is lost, turned round or held back by what comes between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_messages_in_order_among_others() {
    let gateway = start(echo_upstream().await, |_| ()).await;
    small_among_others(gateway).await;
    let gateway = start(echo_upstream().await, |config| config.limits.bytes_per_second = Some(1 << 30)).await;
    small_among_others(gateway).await;
}

async fn small_among_others(gateway: Running) {
    let mut client = connect(gateway.addr).await;
    let mut sent = Vec::new();
    for n in 0..3_000 {
        let len = match n % 50 {
            0 => 0,
            7 => 5_000,
            23 => 100_000,
            _ => n % 97,
        };
        let bytes = noise(n as u64, len);
        sent.extend_from_slice(&bytes);
        client.feed(Message::binary(bytes)).await.expect("sent");
        if n % 31 == 0 {
            client.feed(Message::Ping(Bytes::new())).await.expect("sent");
        }
        if n % 300 == 299 {
            soon("flush", client.flush()).await.expect("sent");
            assert!(receive(&mut client, sent.len()).await == sent, "{n}");
            sent.clear();
        }
    }
    drop(client);
    gateway.stop().await;
}

/// The same where they are looked at, one by one, and some go nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_frames_in_order_where_clients_are_narrowed() {
    let gateway = start(connected_upstream().await, |config| {
        let mut narrow = Narrow::default();
        narrow.produce = vec!["in".parse().expect("a topic")];
        config.narrow = vec![narrow];
    })
    .await;
    let mut client = connect(gateway.addr).await;
    let connected = frame(CommandConnected::default());
    assert_eq!(receive(&mut client, connected.len()).await, connected);
    let producer = |topic: &str| {
        let mut out = BytesMut::new();
        encode_command(&CommandProducer { topic: topic.to_owned(), ..Default::default() }.into(), &mut out);
        out
    };
    let (mut sent, mut refused) = (Vec::new(), 0);
    for n in 0..3_000usize {
        let mut out = match n % 50 {
            7 => producer("in"),
            9 => {
                refused += 1;
                producer("elsewhere")
            }
            _ => BytesMut::new(),
        };
        if n % 50 != 9 {
            sent.extend_from_slice(&out);
        }
        let send = CommandSend { sequence_id: n as u64, ..Default::default() };
        let at = out.len();
        encode_with_entry(
            &send.into(),
            &noise(n as u64, if n % 97 == 0 { 100_000 } else { n % 89 }),
            &mut out,
        );
        sent.extend_from_slice(&out[at..]);
        // Frames in pieces, too.
        let cut = out.len() * (n % 7) / 7;
        client.feed(Message::binary(out.split_to(cut))).await.expect("sent");
        client.feed(Message::binary(out)).await.expect("sent");
        if n % 300 == 299 {
            soon("flush", client.flush()).await.expect("sent");
            let (mut said, mut got) = (BytesMut::new(), Vec::new());
            while got.len() < sent.len() || refused > 0 {
                let more = soon("more", client.next()).await.expect("open").expect("a message").into_data();
                said.extend_from_slice(&more);
                while let Some(size) =
                    said.first_chunk::<4>().map(|size| 4 + u32::from_be_bytes(*size) as usize)
                    && said.len() >= size
                {
                    let frame = said.split_to(size);
                    // ERROR: ours.
                    if frame[8..10] == [0x08, 14] { refused -= 1 } else { got.extend_from_slice(&frame) }
                }
            }
            assert!(got == sent, "{n}");
            sent.clear();
        }
    }
    drop(client);
    gateway.stop().await;
}

/// Larger than what a client's socket takes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_of_topics_is_cut_and_comes_whole() {
    let name = |n: usize| {
        format!("persistent://public/default/{}-{n:060}", if n.is_multiple_of(2) { "in" } else { "secret" })
    };
    let list = |topics: Vec<String>| {
        let list = CommandGetTopicsOfNamespaceResponse { request_id: 7, topics, ..Default::default() };
        let mut out = BytesMut::new();
        encode_command(&list.into(), &mut out);
        out.freeze()
    };
    let all = list((0..40_000).map(name).collect());
    let said = all.clone();
    let addr = serve_upstream(move |mut tcp| {
        let said = said.clone();
        async move {
            tcp.write_all(&said).await.expect("written");
            let _ = tcp.read_u8().await;
        }
    })
    .await;
    let gateway = start(addr, |config| {
        let mut narrow = Narrow::default();
        narrow.consume = vec!["in-*".parse().expect("a topic")];
        config.narrow = vec![narrow];
    })
    .await;
    let seen = list((0..40_000).step_by(2).map(name).collect());
    assert!(all.len() > 3 << 20 && seen.len() > 1 << 20, "{} and {}", all.len(), seen.len());
    let mut client = connect(gateway.addr).await;
    assert!(receive(&mut client, seen.len()).await == seen, "the list differs");
    drop(client);
    gateway.stop().await;
}
