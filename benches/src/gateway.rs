//! The gateway under load, on loopback: memory of idle connections, throughput and CPU beside `socat` and
//! `websockify`, what it adds to the latency, and many idle ones beside many busy ones.
//!
//! `cargo bench -p pulsewire-benches --bench gateway -- [PART ...]`, with `target/release/pulsewire` built by
//! `cargo build --release --features cli`, and 20,000 open files (`ulimit -n`). `socat` and `websockify` are left
//! out where they are not installed. Writes its section of RESULTS.md when all parts ran.

#![allow(clippy::print_stdout)]

mod results;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use std::future::Future;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use pulsewire_proto::wire::frame::encode_with_entry;
use pulsewire_proto::wire::{Command as Pulsar, CommandConnect, CommandProducer, CommandSend};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Each takes two open files of the gateway, and of this program too: as many as fit into 20,000.
const IDLE: usize = 9_000;
const BUSY: usize = 900;
/// Of one run of small messages.
const MESSAGES: usize = 500_000;
const SIZE: usize = 100;
/// Of one run of SENDs, and the bytes of metadata and payload of each: a small batch.
const SENDS: usize = 500_000;
const SEND_ENTRY: usize = 1024;
/// SENDs of one WebSocket message, as a busy producer's.
const SENDS_AT_ONCE: usize = 16;
/// Bytes of one run of throughput.
const VOLUME: usize = 2 << 30;

fn main() {
    let parts: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let text = runtime.expect("a runtime").block_on(run(&parts));
    print!("{text}");
    if parts.is_empty() {
        results::write("gateway", &text);
    }
}

async fn run(parts: &[String]) -> String {
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|it| it == part);
    let mut text = format!(
        "# Gateway\n\nWritten by `cargo bench -p pulsewire-benches --bench gateway` on {}: {}.\n\
         The gateway is a process of its own with two worker threads, on loopback; so are `socat` and `websockify`.\n\
         The load average was {} when it began: above one or two, what is said of time is said of the others, too.\n",
        results::date(),
        results::machine(),
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default()
    );
    let echo = serve(echoing).await;
    let sink = serve(silent).await;
    let flood = serve(flooding).await;
    if wanted("memory") {
        let _ = writeln!(text, "\n| {IDLE} idle connections | KiB each |\n|---|--:|");
        for tls in [false, true] {
            let kib = memory(sink, tls).await;
            let _ = writeln!(text, "| {} | {kib:.1} |", if tls { "wss" } else { "ws" });
        }
    }
    if wanted("throughput") {
        let _ = writeln!(text, "\n| 2 GiB to one client | MB/s | CPU s/GB |\n|---|--:|--:|");
        for (name, figures) in throughput(flood).await {
            let _ = writeln!(text, "| {name} | {:.0} | {:.2} |", figures.0, figures.1);
        }
    }
    if wanted("sends") {
        let _ = writeln!(
            text,
            "\n| {SENDS} SENDs of {SEND_ENTRY} B from a client | MB/s | 1000/s | CPU us each |\n|---|--:|--:|--:|"
        );
        for (name, figures) in sends().await {
            let _ = writeln!(text, "| {name} | {:.0} | {:.0} | {:.2} |", figures.0, figures.1, figures.2);
        }
    }
    if wanted("messages") {
        let _ = writeln!(
            text,
            "\n| {MESSAGES} messages of {SIZE} B from a client, each a WebSocket message | 1000/s | 1000 a CPU second |\n|---|--:|--:|"
        );
        let counting = serve(counting).await;
        for (name, figures) in messages(counting).await {
            let _ = writeln!(text, "| {name} | {:.0} | {:.0} |", figures.0, figures.1);
        }
    }
    if wanted("latency") {
        let _ = writeln!(text, "\n| 100 B there and back, 10,000/s | p50 us | p99 us |\n|---|--:|--:|");
        for (name, p50, p99) in latency(echo).await {
            let _ = writeln!(text, "| {name} | {p50:.0} | {p99:.0} |");
        }
    }
    if wanted("busy") {
        text += &busy(echo).await;
    }
    text
}

async fn serve<F: Future<Output = ()> + Send + 'static>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let _ = tcp.set_nodelay(true);
            tokio::spawn(each(tcp));
        }
    });
    addr
}

fn echoing(mut tcp: TcpStream) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let (mut read, mut write) = tcp.split();
        let mut buffer = vec![0; 4096];
        while let Ok(n @ 1..) = read.read(&mut buffer).await {
            if write.write_all(&buffer[..n]).await.is_err() {
                break;
            }
        }
    })
}

fn silent(mut tcp: TcpStream) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let _ = tcp.read(&mut [0]).await;
    })
}

fn flooding(mut tcp: TcpStream) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let block = vec![7; 256 * 1024];
        let mut left = VOLUME;
        while left > 0 && tcp.write_all(&block[..left.min(block.len())]).await.is_ok() {
            left -= left.min(block.len());
        }
        let _ = tcp.shutdown().await;
        let _ = tcp.read(&mut [0]).await;
    })
}

fn counting(tcp: TcpStream) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(count(tcp, MESSAGES * SIZE))
}

/// Answers with a byte when all bytes are there.
async fn count(mut tcp: TcpStream, mut left: usize) {
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        match tcp.read(&mut buffer).await {
            Ok(n @ 1..) => left -= n,
            _ => return,
        }
    }
    let _ = tcp.write_all(&[1]).await;
    let _ = tcp.read(&mut buffer).await;
}

/// A process that is ended with this.
struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn spawn(program: &str, arguments: &[String], addr: SocketAddr) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.env("RUST_LOG", "error").env("TOKIO_WORKER_THREADS", "2").spawn().ok()?;
        Some(Process { child, addr })
    }

    /// Seconds of CPU so far.
    fn cpu(&self) -> f64 {
        // `websockify` forks for each connection.
        let of = |pid: u32| -> f64 {
            let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            let ticks = |n: usize| fields.get(n).and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0);
            // User and system time, its own and that of children it has waited for.
            (ticks(11) + ticks(12) + ticks(13) + ticks(14)) / 100.0
        };
        let own = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        of(own) + children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(of).sum::<f64>()
    }

    fn rss_kib(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0.0)
    }

    async fn listening(&self) {
        for _ in 0..200 {
            if TcpStream::connect(self.addr).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("nobody listens at {}", self.addr);
    }
}

async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

async fn gateway(upstream: SocketAddr, more: &str, extra: &[String]) -> Process {
    let addr = free_port().await;
    let program = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/pulsewire"));
    let config =
        std::env::temp_dir().join(format!("pulsewire-bench-{}-{}.toml", std::process::id(), addr.port()));
    let text = format!(
        "listen = \"{addr}\"\nupstream = \"pulsar://{upstream}\"\nallow_missing_origin = true\n{more}\
         [limits]\nmax_connections = 20000\nmax_connections_per_address = 20000\n"
    );
    std::fs::write(&config, text).expect("written");
    let mut arguments = vec!["gateway".to_owned(), "--config".to_owned(), config.display().to_string()];
    arguments.extend_from_slice(extra);
    let process = Process::spawn(&program.display().to_string(), &arguments, addr);
    let process =
        process.expect("target/release/pulsewire: build it with `cargo build --release --features cli`");
    process.listening().await;
    let _ = std::fs::remove_file(config);
    process
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(stream: S, addr: SocketAddr) -> WebSocketStream<S> {
    let config = WebSocketConfig::default().read_buffer_size(256 * 1024).max_frame_size(None);
    let url = format!("ws://{addr}/pulsar");
    client_async_with_config(url, stream, Some(config)).await.expect("upgraded").0
}

async fn connected(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).await.expect("connected");
    tcp.set_nodelay(true).expect("no delay");
    tcp
}

async fn memory(sink: SocketAddr, tls: bool) -> f64 {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let directory = std::env::temp_dir();
    let (cert, key) = (directory.join("pulsewire-bench-cert.pem"), directory.join("pulsewire-bench-key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let files = [
        "--tls-cert".to_owned(),
        cert.display().to_string(),
        "--tls-key".to_owned(),
        key.display().to_string(),
    ];
    let process = gateway(sink, "", if tls { &files } else { &[] }).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let before = process.rss_kib();
    let began = Instant::now();
    let mut plain = Vec::new();
    let mut sealed = Vec::new();
    for block in 0..IDLE / 100 {
        let opening = (0..100).map(|_| async {
            let tcp = connected(process.addr).await;
            if tls {
                let name = "localhost".try_into().expect("a name");
                (None, Some(open(connector.connect(name, tcp).await.expect("TLS"), process.addr).await))
            } else {
                (Some(open(tcp, process.addr).await), None)
            }
        });
        for (one, other) in futures_util::future::join_all(opening).await {
            plain.extend(one);
            sealed.extend(other);
        }
        let _ = block;
    }
    eprintln!("{IDLE} connections in {:.1} s", began.elapsed().as_secs_f64());
    sleep(Duration::from_secs(2)).await;
    (process.rss_kib() - before) / IDLE as f64
}

async fn throughput(flood: SocketAddr) -> Vec<(String, (f64, f64))> {
    let mut all = Vec::new();
    let measured = |process: Process, ws: bool| async move {
        let before = process.cpu();
        let began = Instant::now();
        let mut got = 0usize;
        if ws {
            let mut client = open(connected(process.addr).await, process.addr).await;
            while let Some(Ok(message)) = client.next().await {
                if message.is_binary() {
                    got += message.len();
                }
                if got == VOLUME {
                    break;
                }
            }
        } else {
            let mut client = connected(process.addr).await;
            let mut buffer = vec![0; 256 * 1024];
            while got < VOLUME {
                match client.read(&mut buffer).await {
                    Ok(n @ 1..) => got += n,
                    _ => break,
                }
            }
        }
        assert_eq!(got, VOLUME);
        let seconds = began.elapsed().as_secs_f64();
        let gigabytes = VOLUME as f64 / 1e9;
        (gigabytes * 1000.0 / seconds, (process.cpu() - before) / gigabytes)
    };
    all.push(("gateway".to_owned(), measured(gateway(flood, "", &[]).await, true).await));
    let narrowed = "[[narrow]]\nproduce = [\"a\"]\n";
    // The flood is no frames, and only what a client sends is looked at.
    all.push(("gateway, narrowed".to_owned(), measured(gateway(flood, narrowed, &[]).await, true).await));
    for buffer in ["8192", "65536"] {
        let addr = free_port().await;
        let listen = format!("TCP-LISTEN:{},bind=127.0.0.1,fork,reuseaddr,nodelay", addr.port());
        let arguments = ["-b".to_owned(), buffer.to_owned(), listen, format!("TCP:{flood},nodelay")];
        if let Some(process) = Process::spawn("socat", &arguments, addr) {
            process.listening().await;
            all.push((format!("socat -b {buffer} (bytes, no WebSocket)"), measured(process, false).await));
        }
    }
    let addr = free_port().await;
    let arguments = [addr.to_string(), flood.to_string()];
    if let Some(process) = Process::spawn("websockify", &arguments, addr) {
        process.listening().await;
        all.push(("websockify".to_owned(), measured(process, true).await));
    }
    all
}

/// A producing client, with and without narrowing: its commands are looked at one by one.
async fn sends() -> Vec<(String, (f64, f64, f64))> {
    let frame = |command: &Pulsar, entry: &[u8]| {
        let mut out = BytesMut::new();
        encode_with_entry(command, entry, &mut out);
        out.freeze()
    };
    let connect = CommandConnect { client_version: "bench".to_owned(), ..CommandConnect::default() };
    let producer = CommandProducer { topic: "bench".to_owned(), ..CommandProducer::default() };
    let opening = [frame(&connect.into(), &[]), frame(&producer.into(), &[])].concat();
    let send = CommandSend { sequence_id: 1 << 20, ..CommandSend::default() };
    let block = Bytes::from(frame(&send.into(), &[7; SEND_ENTRY]).repeat(SENDS_AT_ONCE));
    let blocks = SENDS / SENDS_AT_ONCE;
    let all = opening.len() + blocks * block.len();
    let counting = serve(move |tcp| count(tcp, all)).await;
    let mut best: [(f64, f64, f64); 2] = [(0.0, 0.0, f64::MAX); 2];
    let narrowed = "[[narrow]]\nproduce = [\"bench\"]\n";
    // In turns, as machines differ more from minute to minute than these do; the best of each.
    for _ in 0..5 {
        for (best, more) in best.iter_mut().zip(["", narrowed]) {
            let process = gateway(counting, more, &[]).await;
            let mut client = open(connected(process.addr).await, process.addr).await;
            let before = process.cpu();
            let began = Instant::now();
            client.send(Message::Binary(Bytes::from(opening.clone()))).await.expect("sent");
            for _ in 0..blocks {
                client.send(Message::Binary(block.clone())).await.expect("sent");
            }
            while !client.next().await.expect("an answer").expect("an answer").is_binary() {}
            let seconds = began.elapsed().as_secs_f64();
            let cpu = process.cpu() - before;
            best.0 = best.0.max(all as f64 / 1e6 / seconds);
            best.1 = best.1.max(SENDS as f64 / 1000.0 / seconds);
            best.2 = best.2.min(cpu * 1e6 / SENDS as f64);
        }
    }
    let [plain, narrowed] = best;
    let cost = format!("narrowing costs {:.1} % of throughput", (1.0 - narrowed.0 / plain.0) * 100.0);
    vec![("gateway".to_owned(), plain), (format!("gateway, narrowed: {cost}"), narrowed)]
}

async fn messages(counting: SocketAddr) -> Vec<(String, (f64, f64))> {
    let measured = |process: Process| async move {
        let mut client = open(connected(process.addr).await, process.addr).await;
        let before = process.cpu();
        let began = Instant::now();
        for n in 0..MESSAGES {
            let message = Message::Binary(Bytes::from_static(&[1; SIZE]));
            client.feed(message).await.expect("sent");
            if n % 64 == 63 {
                client.flush().await.expect("sent");
            }
        }
        client.flush().await.expect("sent");
        while !client.next().await.expect("an answer").expect("an answer").is_binary() {}
        let all = MESSAGES as f64 / 1000.0;
        (all / began.elapsed().as_secs_f64(), all / (process.cpu() - before).max(0.01))
    };
    let mut all = vec![("gateway".to_owned(), measured(gateway(counting, "", &[]).await).await)];
    let addr = free_port().await;
    let arguments = [addr.to_string(), counting.to_string()];
    if let Some(process) = Process::spawn("websockify", &arguments, addr) {
        process.listening().await;
        all.push(("websockify".to_owned(), measured(process).await));
    }
    all
}

async fn latency(echo: SocketAddr) -> Vec<(&'static str, f64, f64)> {
    let mut all = Vec::new();
    let process = gateway(echo, "", &[]).await;
    let figures = |histogram: &Histogram<u64>| {
        let us = |q| histogram.value_at_quantile(q) as f64 / 1000.0;
        (us(0.5), us(0.99))
    };
    for through in [false, true] {
        let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
        let mut socket = None;
        let mut tcp = None;
        if through {
            socket = Some(open(connected(process.addr).await, process.addr).await);
        } else {
            tcp = Some(connected(echo).await);
        }
        let began = Instant::now();
        let mut sent = 0u32;
        while sent < 50_000 {
            let due = began + Duration::from_micros(100) * sent;
            while Instant::now() < due {
                tokio::task::yield_now().await;
            }
            let at = Instant::now();
            if let Some(socket) = &mut socket {
                socket.send(Message::Binary(Bytes::from_static(&[1; 100]))).await.expect("sent");
                let mut got = 0;
                while got < 100 {
                    got += socket.next().await.expect("more").expect("a message").len();
                }
            } else if let Some(tcp) = &mut tcp {
                tcp.write_all(&[1; 100]).await.expect("sent");
                tcp.read_exact(&mut [0; 100]).await.expect("read");
            }
            if sent > 5_000 {
                histogram.record(at.elapsed().as_nanos() as u64).expect("recorded");
            }
            sent += 1;
        }
        let (p50, p99) = figures(&histogram);
        all.push((if through { "through the gateway" } else { "direct" }, p50, p99));
    }
    let added = ("added", all[1].1 - all[0].1, all[1].2 - all[0].2);
    all.push(added);
    all
}

async fn busy(echo: SocketAddr) -> String {
    let process = gateway(echo, "", &[]).await;
    let mut idle = Vec::new();
    for _ in 0..IDLE / 100 {
        let opening = (0..100).map(|_| async { open(connected(process.addr).await, process.addr).await });
        idle.extend(futures_util::future::join_all(opening).await);
    }
    let before = process.cpu();
    let began = Instant::now();
    let until = began + Duration::from_secs(10);
    let tasks: Vec<_> = (0..BUSY)
        .map(|n| {
            let addr = process.addr;
            tokio::spawn(async move {
                let mut socket = open(connected(addr).await, addr).await;
                let mut histogram = Histogram::<u64>::new(2).expect("a histogram");
                sleep(Duration::from_micros(100 * n as u64)).await;
                while Instant::now() < until {
                    let at = Instant::now();
                    socket.send(Message::Binary(Bytes::from_static(&[1; 100]))).await.expect("sent");
                    let mut got = 0;
                    while got < 100 {
                        got += socket.next().await.expect("more").expect("a message").len();
                    }
                    histogram.record(at.elapsed().as_micros() as u64).expect("recorded");
                    sleep(Duration::from_millis(100)).await;
                }
                histogram
            })
        })
        .collect();
    let mut whole = Histogram::<u64>::new(2).expect("a histogram");
    for task in tasks {
        whole.add(task.await.expect("a task")).expect("added");
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (process.cpu() - before) / seconds;
    format!(
        "\n{IDLE} idle connections beside {BUSY} busy ones, each 10 messages of 100 B a second there and back: {:.0} \
         messages a second, {:.2} cores, round trip p50 {} us, p99 {} us, {:.0} MiB RSS in all.\n",
        whole.len() as f64 / seconds,
        cpu,
        whole.value_at_quantile(0.5),
        whole.value_at_quantile(0.99),
        process.rss_kib() / 1024.0
    )
}
