//! Taking all there is: connections, memory, time.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use pulsewire_gateway::{GatewayConfig, ListenTls, PATH, Pem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

use crate::common::*;
use crate::{SHORT, is_cut};

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
    // Its answer to the close would be a part of the frame: nobody hears it.
    let gateway = start(echo_upstream().await, |config| config.limits.close_timeout = SHORT).await;
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
    drop((sink, stream));
    gateway.stop().await;

    let gateway = start(echo_upstream().await, change(true)).await;
    let mut client = connect(gateway.addr).await;
    for _ in 0..4 {
        let _ = client.send(Message::binary(vec![0; 50_000])).await;
    }
    assert_closed(&mut client, 1008, "rate-limit").await;
    gateway.stop().await;
}
