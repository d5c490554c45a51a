//! The broker on real sockets: TCP, TLS, admin HTTP.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "server")]

mod certificates;
#[path = "../common/mod.rs"]
mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::*;
use pulsewire_broker::auth::Methods;
use pulsewire_broker::core::{Access, BrokerConfig};
use pulsewire_broker::server::TlsConfig;
use pulsewire_broker::{Server, ServerConfig};
use pulsewire_proto::wire::entry::Entry;
use pulsewire_proto::wire::frame::{FrameDecoder, RawFrame, encode_command};
use pulsewire_proto::wire::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const TOPIC: &str = "persistent://public/default/t";

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

struct Client<S> {
    stream: S,
    frames: FrameDecoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn new(stream: S) -> Self {
        let mut client = Self { stream, frames: FrameDecoder::new(64 << 20) };
        client.say(connect()).await;
        assert!(matches!(client.hear().await, Command::Connected(_)));
        client
    }

    async fn say(&mut self, command: impl Into<Command>) {
        let mut out = BytesMut::new();
        encode_command(&command.into(), &mut out);
        self.stream.write_all(&out).await.unwrap();
    }

    async fn frame(&mut self) -> Option<RawFrame> {
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                return Some(frame);
            }
            let mut buffer = BytesMut::with_capacity(64 * 1024);
            let read = tokio::time::timeout(Duration::from_secs(10), self.stream.read_buf(&mut buffer));
            if read.await.expect("an answer in time").unwrap_or(0) == 0 {
                return None;
            }
            self.frames.push(buffer.freeze());
        }
    }

    async fn hear(&mut self) -> Command {
        self.frame().await.expect("the connection is open").decode().unwrap()
    }

    /// Sends a message and receives it again.
    async fn round_trip(&mut self, topic: &str, payload: &[u8]) {
        self.say(producer_on(1, topic)).await;
        assert!(matches!(self.hear().await, Command::ProducerSuccess(_)));
        self.say(subscribe(1, topic, "s", SubType::EXCLUSIVE)).await;
        assert!(matches!(self.hear().await, Command::Success(_)));
        self.say(CommandFlow { consumer_id: 1, message_permits: 1 }).await;
        self.stream.write_all(&send_frame(1, 0, MessageMetadata::default(), payload)).await.unwrap();
        assert!(matches!(self.hear().await, Command::SendReceipt(_)));
        let message = self.frame().await.unwrap();
        assert!(matches!(message.decode(), Ok(Command::Message(_))));
        assert_eq!(Entry::parse(&message.entry).unwrap().payload, Bytes::copy_from_slice(payload));
    }
}

async fn http(addr: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let (line, body) = request.split_once('|').unwrap_or((request, ""));
    let text = format!(
        "{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test]
async fn tcp_carries_small_and_large_messages() {
    let server = Server::bind(ServerConfig::default()).await.unwrap();
    let addr = server.local_addr();
    assert_eq!(server.service_url(), format!("pulsar://localhost:{}", addr.port()));
    let serving = tokio::spawn(server.run(std::future::pending()));
    let large: Vec<u8> = (0..4_000_000u32).map(|n| n as u8).collect();
    for (topic, payload) in [("small", &b"hello"[..]), ("large", &large)] {
        Client::new(TcpStream::connect(addr).await.unwrap()).await.round_trip(topic, payload).await;
    }
    serving.abort();
}

#[tokio::test]
async fn tls_carries_messages() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = TlsConfig {
        listen: any_port(),
        admin_listen: None,
        client_ca_pem: None,
        cert_pem: made.cert.pem().into_bytes(),
        key_pem: made.signing_key.serialize_pem().into_bytes(),
    };
    let server = Server::bind(ServerConfig { tls: Some(tls), ..ServerConfig::default() }).await.unwrap();
    let addr = server.tls_addr().unwrap();
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(addr).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let mut client = Client::new(stream).await;
    client.say(CommandLookupTopic { topic: TOPIC.to_owned(), request_id: 1, ..Default::default() }).await;
    let Command::LookupTopicResponse(found) = client.hear().await else { panic!() };
    assert_eq!(found.broker_service_url_tls, Some(format!("pulsar+ssl://localhost:{}", addr.port())));
    client.round_trip(TOPIC, b"hello").await;
    serving.abort();
}

#[tokio::test]
async fn the_admin_api_answers() {
    let config = ServerConfig { admin_listen: Some(any_port()), ..ServerConfig::default() };
    let server = Server::bind(config).await.unwrap();
    let (addr, admin) = (server.local_addr(), server.admin_addr().unwrap());
    let serving = tokio::spawn(server.run(std::future::pending()));
    let topics = "/admin/v2/persistent/public/default";
    for (request, status, body) in [
        ("GET /admin/v2/brokers/health".to_owned(), 200, "ok"),
        ("GET /admin/v2/clusters".to_owned(), 200, r#"["standalone"]"#),
        ("GET /admin/v2/tenants".to_owned(), 200, r#"["public","pulsar"]"#),
        ("PUT /admin/v2/tenants/mine|{\"allowedClusters\":[\"standalone\"]}".to_owned(), 204, ""),
        ("PUT /admin/v2/namespaces/mine/own".to_owned(), 204, ""),
        ("GET /admin/v2/namespaces/mine".to_owned(), 200, r#"["mine/own"]"#),
        (format!("PUT {topics}/parts/partitions|3"), 204, ""),
        (format!("PUT {topics}/parts/partitions|3"), 409, r#"{"reason":"This topic already exists"}"#),
        (format!("GET {topics}/parts/partitions"), 200, r#"{"deleted":false,"partitions":3}"#),
        (format!("PUT {topics}/parts/partitions|x"), 400, ""),
        (format!("GET {topics}/partitioned"), 200, r#"["persistent://public/default/parts"]"#),
        (format!("PUT {topics}/one%20two"), 204, ""),
        (format!("PUT {topics}/one%20two/subscription/s"), 204, ""),
        (format!("GET {topics}/one%20two/subscriptions"), 200, r#"["s"]"#),
        (format!("DELETE {topics}/one%20two"), 204, ""),
        (format!("DELETE {topics}/one%20two"), 404, ""),
        (format!("DELETE {topics}/parts"), 409, ""),
        (format!("POST {topics}/parts/partitions|5"), 204, ""),
        (format!("DELETE {topics}/parts/partitions"), 204, ""),
        (format!("GET {topics}/one%20two/stats"), 404, ""),
        (format!("PATCH {topics}/parts"), 405, ""),
        ("GET /nowhere".to_owned(), 404, ""),
        ("GET /admin/v2/persistent/a%20b/c".to_owned(), 412, ""),
    ] {
        let (got, text) = http(admin, &request).await;
        assert_eq!(got, status, "{request}: {text}");
        assert!(body.is_empty() || text == body, "{request}: {text}");
        let told = text.starts_with(r#"{"reason":"#) || [400, 404, 405].contains(&got);
        assert!(got < 400 || told, "{request}: {text}");
    }
    let (_, found) = http(admin, "GET /lookup/v2/topic/persistent/public/default/t").await;
    assert!(found.contains(&format!("pulsar://localhost:{}", addr.port())), "{found}");

    let mut client = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    client.round_trip(TOPIC, b"counted").await;
    let (_, stats) = http(admin, &format!("GET {topics}/t/stats")).await;
    assert!(stats.contains(r#""msgInCounter":1"#) && stats.contains(r#""msgBacklog":1"#), "{stats}");
    assert_eq!(http(admin, &format!("DELETE {topics}/t")).await.0, 412, "it is in use");
    assert_eq!(http(admin, &format!("DELETE {topics}/t?force=true")).await.0, 204);
    serving.abort();
}

/// As brokers of a cluster are reached: each by a name of its own, all by the same ports.
#[tokio::test]
async fn another_broker_has_an_address_and_a_name_of_its_own() {
    let config = ServerConfig {
        admin_listen: Some(any_port()),
        advertised_host: "one".to_owned(),
        others: vec![([127, 0, 0, 2].into(), "two".to_owned())],
        ..ServerConfig::default()
    };
    let server = Server::bind(config).await.unwrap();
    let nodes = server.nodes();
    assert!(nodes[0].service_url.starts_with("pulsar://one:"), "{nodes:?}");
    assert!(nodes[1].service_url.starts_with("pulsar://two:"), "{nodes:?}");
    let admin = nodes[1].admin_url.clone().unwrap().rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let serving = tokio::spawn(server.run(std::future::pending()));
    let (status, all) = http(([127, 0, 0, 2], admin).into(), "GET /admin/v2/brokers/standalone").await;
    assert!(status == 200 && all.contains("one:") && all.contains(&format!("two:{admin}")), "{all}");
    serving.abort();
}

#[tokio::test]
async fn a_connection_that_breaks_the_protocol_is_closed_and_others_live() {
    let server = Server::bind(ServerConfig::default()).await.unwrap();
    let addr = server.local_addr();
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut good = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    let mut bad = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    bad.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(bad.frame().await.is_none());
    good.round_trip(TOPIC, b"hello").await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_is_held_back_and_gets_all_in_the_end() {
    let broker = BrokerConfig { connection_window: 64 * 1024, ..BrokerConfig::default() };
    let server = Server::bind(ServerConfig { broker, ..ServerConfig::default() }).await.unwrap();
    let addr = server.local_addr();
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut slow = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    slow.say(subscribe(1, TOPIC, "s", SubType::SHARED)).await;
    assert!(matches!(slow.hear().await, Command::Success(_)));
    slow.say(CommandFlow { consumer_id: 1, message_permits: 1_000_000 }).await;
    let mut fast = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    fast.say(producer_on(1, TOPIC)).await;
    fast.hear().await;
    const COUNT: u64 = 2000;
    for n in 0..COUNT {
        fast.stream.write_all(&send_frame(1, n, MessageMetadata::default(), &[7; 10_000])).await.unwrap();
        assert!(matches!(fast.hear().await, Command::SendReceipt(_)));
    }
    for n in 0..COUNT {
        let Command::Message(message) = slow.hear().await else { panic!() };
        assert_eq!(message.message_id.entry_id, n);
    }
    serving.abort();
}

#[tokio::test]
async fn shutdown_ends_everything() {
    let server = Server::bind(ServerConfig::default()).await.unwrap();
    let addr = server.local_addr();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async {
        stopped.await.ok();
    }));
    let mut client = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(client.frame().await.is_none());
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_bounded_and_cut_while_others_go_on() {
    let broker = BrokerConfig {
        connection_window: 64 * 1024,
        keep_alive: Duration::from_millis(700),
        ..BrokerConfig::default()
    };
    let admin_listen = Some(any_port());
    let server =
        Server::bind(ServerConfig { broker, admin_listen, ..ServerConfig::default() }).await.unwrap();
    let (addr, admin) = (server.local_addr(), server.admin_addr().unwrap());
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut deaf = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    deaf.say(subscribe(1, TOPIC, "s", SubType::SHARED)).await;
    assert!(matches!(deaf.hear().await, Command::Success(_)));
    deaf.say(CommandFlow { consumer_id: 1, message_permits: 1_000_000 }).await;
    let mut good = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    good.say(producer_on(1, TOPIC)).await;
    good.hear().await;
    // More than the sockets of both sides hold.
    for n in 0..400 {
        good.stream.write_all(&send_frame(1, n, MessageMetadata::default(), &[7; 50_000])).await.unwrap();
        loop {
            match good.hear().await {
                Command::SendReceipt(_) => break,
                Command::Ping(_) => good.say(CommandPong::default()).await,
                other => panic!("{other:?}"),
            }
        }
    }
    let stats = || http(admin, "GET /admin/v2/persistent/public/default/t/stats");
    let mut gone = false;
    for _ in 0..60 {
        good.say(CommandPing::default()).await;
        loop {
            match good.hear().await {
                Command::Pong(_) => break,
                Command::Ping(_) => good.say(CommandPong::default()).await,
                other => panic!("{other:?}"),
            }
        }
        gone = stats().await.1.contains(r#""consumers":[]"#);
        if gone {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(gone, "{}", stats().await.1);
    serving.abort();
}

#[tokio::test]
async fn old_messages_go_while_it_runs() {
    let broker = BrokerConfig { upkeep_interval: Duration::from_millis(100), ..BrokerConfig::default() };
    let admin_listen = Some(any_port());
    let server =
        Server::bind(ServerConfig { broker, admin_listen, ..ServerConfig::default() }).await.unwrap();
    let (addr, admin) = (server.local_addr(), server.admin_addr().unwrap());
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut client = Client::new(TcpStream::connect(addr).await.unwrap()).await;
    client.round_trip(TOPIC, b"old").await;
    let topic = "/admin/v2/persistent/public/default/t";
    assert_eq!(http(admin, &format!("POST {topic}/messageTTL?messageTTL=1")).await.0, 204);
    let retention = r#"{"retentionTimeInMinutes":0,"retentionSizeInMB":0}"#;
    assert_eq!(http(admin, &format!("POST {topic}/retention|{retention}")).await.0, 204);
    for waited in 0.. {
        let (_, stats) = http(admin, &format!("GET {topic}/stats")).await;
        if stats.contains(r#""msgBacklog":0"#) && stats.contains(r#""storageSize":0"#) {
            break;
        }
        assert!(waited < 80, "{stats}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    serving.abort();
}

#[tokio::test]
async fn refusals_say_why_in_the_status_line() {
    let config = ServerConfig { admin_listen: Some(([127, 0, 0, 1], 0).into()), ..ServerConfig::default() };
    let server = Server::bind(config).await.unwrap();
    let admin = server.admin_addr().unwrap();
    let running = tokio::spawn(server.run(std::future::pending()));
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let ask = "GET /lookup/v2/topic/persistent/no/where/t HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 404 Namespace not found\r\n"), "{text}");
    running.abort();
}
