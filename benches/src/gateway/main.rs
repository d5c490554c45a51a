//! The gateway under load, on loopback: memory of idle connections, throughput and CPU beside `socat` and
//! `websockify`, what it adds to the latency, and many idle ones beside many busy ones.
//!
//! `cargo xtask gateway [PART ...]` builds all, starts a real Pulsar and runs it; without that one it is
//! `cargo bench -p pulsewire-benches --bench gateway -- [PART ...]`, with `target/release/pulsewire` built by
//! `cargo build --release --features cli`. `socat`, `websockify` and `nginx` are left out where they are not installed.
//! Writes its section of RESULTS.md when all parts ran.

#![allow(clippy::print_stdout)]

mod latency;
mod load;
mod process;
#[path = "../results.rs"]
mod results;
mod stock;

use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use process::{Process, connected, free_port, gateway, open};
use pulsewire_proto::wire::frame::encode_with_entry;
use pulsewire_proto::wire::{Command as Pulsar, CommandConnect, CommandProducer, CommandSend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

/// Of one run of small messages.
const MESSAGES: usize = 100_000;
const SIZE: usize = 100;
/// Of one run of SENDs, and the bytes of metadata and payload of each: a small batch.
const SENDS: usize = 500_000;
const SEND_ENTRY: usize = 1024;
/// SENDs of one WebSocket message, as a busy producer's.
const SENDS_AT_ONCE: usize = 16;
/// Bytes of one run of throughput.
const VOLUME: usize = 2 << 30;

fn main() {
    if let Ok(role) = std::env::var(process::ROLE) {
        return process::upstream(&role);
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    process::take_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let text = run(&runtime.expect("a runtime"), &parts);
    print!("{text}");
    if parts.is_empty() {
        results::write("gateway", &text);
    }
}

fn run(runtime: &tokio::runtime::Runtime, parts: &[String]) -> String {
    let wanted = |part: &str| {
        let wanted = parts.is_empty() || parts.iter().any(|it| it == part);
        if wanted {
            eprintln!("{part}");
        }
        wanted
    };
    let mut text = format!(
        "# Gateway\n\nWritten by `cargo xtask gateway` on {}: {}.\n\
         The gateway is a process of its own with two worker threads, on loopback; so are `socat`, `websockify` and `nginx`.\n\
         The load average was {} when it began: above one or two, what is said of time is said of the others, too.\n",
        results::date(),
        results::machine(),
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default()
    );
    if wanted("throughput") {
        let _ = writeln!(text, "\n| 2 GiB to one client | MB/s | CPU s/GB |\n|---|--:|--:|");
        for (name, figures) in runtime.block_on(throughput()) {
            let _ = writeln!(text, "| {name} | {:.0} | {:.2} |", figures.0, figures.1);
        }
    }
    if wanted("sends") {
        let _ = writeln!(
            text,
            "\n| {SENDS} SENDs of {SEND_ENTRY} B from a client | MB/s | 1000/s | CPU us each |\n|---|--:|--:|--:|"
        );
        for (name, figures) in runtime.block_on(sends()) {
            let _ = writeln!(text, "| {name} | {:.0} | {:.0} | {:.2} |", figures.0, figures.1, figures.2);
        }
    }
    if wanted("messages") {
        let _ = writeln!(
            text,
            "\n| {MESSAGES} messages of {SIZE} B from a client, each a WebSocket message | 1000/s | 1000 a CPU second |\n|---|--:|--:|"
        );
        for (name, figures) in runtime.block_on(messages()) {
            let _ = writeln!(text, "| {name} | {:.0} | {:.0} |", figures.0, figures.1);
        }
    }
    if wanted("latency") {
        text += &latency::measure(runtime);
    }
    if wanted("memory") {
        text += &runtime.block_on(load::memory());
    }
    if wanted("busy") {
        text += &runtime.block_on(load::busy());
    }
    if wanted("stock") {
        text += &runtime.block_on(stock::measure());
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

/// Answers with an empty frame when all bytes are there.
async fn count(mut tcp: TcpStream, mut left: usize) {
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        match tcp.read(&mut buffer).await {
            Ok(n @ 1..) => left -= n,
            _ => return,
        }
    }
    let _ = tcp.write_all(&[0; 4]).await;
    let _ = tcp.read(&mut buffer).await;
}

async fn throughput() -> Vec<(String, (f64, f64))> {
    let flood = serve(flooding).await;
    let mut all = Vec::new();
    let measured = |name: &'static str, process: Process, ws: bool| async move {
        let before = process.cpu();
        let began = Instant::now();
        let mut got = 0usize;
        if ws {
            let mut client = open(connected(process.addr).await, process.addr).await;
            while got < VOLUME {
                match client.next().await {
                    Some(Ok(message)) if message.is_binary() => got += message.len(),
                    Some(Ok(_)) => {}
                    // `websockify` closes over what its client has not taken, at times.
                    other if name == "websockify" => {
                        eprintln!("{name}: {other:?} after {got} of {VOLUME} bytes");
                        break;
                    }
                    other => panic!("{name}: {other:?} after {got} bytes"),
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
        assert!(got == VOLUME || name == "websockify", "{name}: {got} bytes");
        let seconds = began.elapsed().as_secs_f64();
        let gigabytes = got as f64 / 1e9;
        (gigabytes * 1000.0 / seconds, (process.cpu() - before) / gigabytes)
    };
    all.push(("gateway".to_owned(), measured("gateway", gateway(flood, "", &[]).await, true).await));
    let narrowed = "[[narrow]]\nproduce = [\"a\"]\n";
    // The flood is no frames, and only what a client sends is looked at.
    all.push((
        "gateway, narrowed".to_owned(),
        measured("narrowed", gateway(flood, narrowed, &[]).await, true).await,
    ));
    for buffer in ["8192", "65536"] {
        let addr = free_port().await;
        let listen = format!("TCP-LISTEN:{},bind=127.0.0.1,fork,reuseaddr,nodelay", addr.port());
        let arguments = ["-b".to_owned(), buffer.to_owned(), listen, format!("TCP:{flood},nodelay")];
        if let Some(process) = Process::spawn("socat", &arguments, addr) {
            process.listening().await;
            all.push((
                format!("socat -b {buffer} (bytes, no WebSocket)"),
                measured("socat", process, false).await,
            ));
        }
    }
    let addr = free_port().await;
    let arguments = [addr.to_string(), flood.to_string()];
    if let Some(process) = Process::spawn("websockify", &arguments, addr) {
        process.listening().await;
        all.push(("websockify".to_owned(), measured("websockify", process, true).await));
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

async fn messages() -> Vec<(String, (f64, f64))> {
    let counting = serve(counting).await;
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
