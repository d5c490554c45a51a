//! A gateway as a process, with idle, busy, slow and reconnecting clients through TLS and a reload every few seconds:
//! nobody is dropped who should not be, and its memory stays flat.
//!
//! `PULSEWIRE_BINARY=target/release/pulsewire PULSEWIRE_SOAK=30m cargo test -p pulsewire-gateway --test soak -- --ignored
//! --nocapture`; two minutes without `PULSEWIRE_SOAK`. The first quarter is to warm up. Flat means: the most it takes in
//! the last quarter is at most a tenth and 4 MiB above the most it took in the second.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "a line each interval is what it is run for")]

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::tokens::Scratch;
use common::*;
use futures_util::SinkExt;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

const IDLE: usize = 200;
const BUSY: usize = 20;
const SLOW: usize = 3;
const RECONNECTING: usize = 10;
const RELOAD_EACH: Duration = Duration::from_secs(5);

type Socket = Client<TlsStream<TcpStream>>;

/// Ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }

    fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).expect("it runs").count()
    }

    fn hang_up(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.0.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "no signal");
    }
}

/// What all clients share.
struct World {
    gateway: SocketAddr,
    tls: TlsConnector,
    over: AtomicBool,
    round_trips: AtomicU64,
    bytes: AtomicU64,
    connects: AtomicU64,
    cut: AtomicU64,
}

impl World {
    async fn connect(&self) -> Socket {
        let tcp = TcpStream::connect(self.gateway).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = soon("TLS", self.tls.connect(name, tcp)).await.expect("TLS");
        self.connects.fetch_add(1, Relaxed);
        let url = format!("wss://localhost:{}/pulsar", self.gateway.port());
        connect_over(tls, &url, &[]).await.expect("upgraded")
    }

    async fn round_trip(&self, socket: &mut Socket, len: usize) {
        let sent = vec![len as u8; len];
        send(socket, sent.clone()).await;
        assert!(receive(socket, len).await == sent, "other bytes came back");
        self.round_trips.fetch_add(1, Relaxed);
        self.bytes.fetch_add(2 * len as u64, Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    /// Says something now and then, as Pulsar's keepalive does, and is there to the end.
    async fn idle(self: Arc<Self>) {
        let mut socket = self.connect().await;
        while self.goes_on() {
            self.round_trip(&mut socket, 8).await;
            for _ in 0..30 {
                if self.goes_on() {
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
        self.round_trip(&mut socket, 8).await;
    }

    async fn busy(self: Arc<Self>, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut socket = self.connect().await;
        while self.goes_on() {
            self.round_trip(&mut socket, random.usize(1..64 * 1024)).await;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Has much sent to it, reads nothing until it is cut, and comes again.
    async fn slow(self: Arc<Self>) {
        let block = vec![7; 256 * 1024];
        while self.goes_on() {
            let mut socket = self.connect().await;
            // Until nobody takes any more: the echo waits for the gateway, and that for us.
            while let Ok(Ok(())) =
                timeout(Duration::from_secs(4), socket.send(Message::binary(block.clone()))).await
            {
            }
            self.cut.fetch_add(1, Relaxed);
            drop(socket);
        }
    }

    async fn reconnecting(self: Arc<Self>) {
        let mut orderly = false;
        while self.goes_on() {
            let mut socket = self.connect().await;
            self.round_trip(&mut socket, 100).await;
            if orderly {
                let _ = socket.close(None).await;
            }
            orderly = !orderly;
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn pair() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate")
}

fn trusting(pairs: &[CertifiedKey<KeyPair>]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for pair in pairs {
        roots.add(pair.cert.der().clone()).expect("a root");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// The file, which is another one each time, and so are the certificates.
fn configure(scratch: &Scratch, config: &str, pairs: &[CertifiedKey<KeyPair>], turn: usize) -> PathBuf {
    let pair = &pairs[turn % pairs.len()];
    scratch.file("cert.pem", pair.cert.pem());
    scratch.file("key.pem", pair.signing_key.serialize_pem());
    scratch.file("gateway.toml", format!("{config}max_connections = {}\n", 5_000 + turn % 7))
}

async fn admin(addr: SocketAddr, path: &str) -> String {
    raw(addr, format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .1
}

fn figure(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the suite soak, which takes minutes"]
async fn soak() {
    let binary = std::env::var("PULSEWIRE_BINARY").expect("PULSEWIRE_BINARY names the binary");
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(binary);
    let lasting = std::env::var("PULSEWIRE_SOAK").unwrap_or_else(|_| "2m".to_owned());
    let lasting = humantime::parse_duration(&lasting).expect("a duration, as 30m");
    let pairs = [pair(), pair()];
    let scratch = Scratch::new();
    let (addr, admin_addr) = (nobody().await, nobody().await);
    let text = format!(
        "listen = \"{addr}\"\nadmin_listen = \"{admin_addr}\"\nupstream = \"pulsar://{}\"\n\
         allow_missing_origin = true\n[tls]\ncertificates = \"cert.pem\"\nkey = \"key.pem\"\n\
         [limits]\nslow_client_timeout = \"2s\"\nclose_timeout = \"2s\"\n",
        echo_upstream().await
    );
    let file = configure(&scratch, &text, &pairs, 0);
    let mut command = Command::new(binary);
    command.arg("gateway").arg("--config").arg(file);
    command.env("RUST_LOG", "error").env("TOKIO_WORKER_THREADS", "2").stdin(Stdio::null());
    let process = Process(command.stdout(Stdio::null()).spawn().expect("the gateway starts"));
    soon("the gateway", async {
        while TcpStream::connect(admin_addr).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let files_before = process.files();

    let world = Arc::new(World {
        gateway: addr,
        tls: trusting(&pairs),
        over: AtomicBool::new(false),
        round_trips: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        connects: AtomicU64::new(0),
        cut: AtomicU64::new(0),
    });
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..IDLE {
        clients.spawn(Arc::clone(&world).idle());
        sleep(Duration::from_millis(5)).await;
    }
    for seed in 0..BUSY {
        clients.spawn(Arc::clone(&world).busy(seed as u64));
    }
    for _ in 0..SLOW {
        clients.spawn(Arc::clone(&world).slow());
    }
    for _ in 0..RECONNECTING {
        clients.spawn(Arc::clone(&world).reconnecting());
    }

    let began = Instant::now();
    let interval = (lasting / 12).clamp(Duration::from_secs(5), Duration::from_secs(60));
    let (mut next_line, mut next_reload, mut reloads) = (interval, RELOAD_EACH, 0);
    // The most of each quarter.
    let mut most = [0; 4];
    while began.elapsed() < lasting {
        sleep(Duration::from_millis(500)).await;
        let elapsed = began.elapsed();
        if let Some(ended) = clients.try_join_next() {
            panic!("a client ended after {elapsed:.0?}: {ended:?}");
        }
        let rss = process.rss_kib();
        let quarter = (elapsed.as_secs_f64() / lasting.as_secs_f64() * 4.0) as usize;
        most[quarter.min(3)] = rss.max(most[quarter.min(3)]);
        if elapsed >= next_reload {
            next_reload += RELOAD_EACH;
            reloads += 1;
            configure(&scratch, &text, &pairs, reloads);
            process.hang_up();
        }
        if elapsed >= next_line {
            next_line += interval;
            println!(
                "{:>5} s: {:.1} MiB, {} files, {} connections made, {} round trips, {:.2} GB, {} cut, {reloads} reloads",
                elapsed.as_secs(),
                rss as f64 / 1024.0,
                process.files(),
                world.connects.load(Relaxed),
                world.round_trips.load(Relaxed),
                world.bytes.load(Relaxed) as f64 / 1e9,
                world.cut.load(Relaxed),
            );
        }
    }
    let metrics = admin(admin_addr, "/metrics").await;
    world.over.store(true, Relaxed);
    while let Some(ended) = soon("the clients' end", clients.join_next()).await {
        ended.expect("a client that ends well");
    }
    soon("all places given back", async {
        while figure(&admin(admin_addr, "/metrics").await, "pulsewire_gateway_connections_open ") > 0 {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;

    println!("the most of each quarter: {most:?} KiB");
    assert!(
        most[3] <= most[1] + most[1] / 10 + 4 * 1024,
        "memory grows: {} KiB in the second quarter, {} KiB in the last",
        most[1],
        most[3]
    );
    assert!(process.files() <= files_before + 4, "{} open files, {files_before} before", process.files());
    let told = figure(&metrics, "pulsewire_gateway_closed_total{reason=\"slow-client\"}");
    assert!(told > 0, "nobody was slow");
    let reloaded = figure(&metrics, "pulsewire_gateway_reloads_total{outcome=\"done\"}");
    assert!(reloaded + 1 >= reloads as u64, "{reloaded} of {reloads} reloads");
}
