//! Many connections: what idle ones take, and how busy ones fare among them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::process::{Process, Upstream, connected, gateway_of, open, take_open_files};

const IDLE: usize = 10_000;
const BUSY: usize = 1_000;
/// Of a busy one.
const EVERY: Duration = Duration::from_millis(100);
const FOR: Duration = Duration::from_secs(10);
/// Files of a process beside its connections.
const SOME: usize = 200;
/// Worker threads of all gateways together.
const THREADS: usize = 2;

/// As many gateways as the open files of a process ask for, two for each connection; they share the threads.
struct Gateways(Vec<Process>);

impl Gateways {
    async fn start(upstream: &Upstream, connections: usize, extra: &[String]) -> Self {
        let of_one = take_open_files().saturating_sub(SOME) / 2;
        let count = connections.div_ceil(of_one);
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(gateway_of(&upstream.addr.to_string(), "", extra, (THREADS / count).max(1)).await);
        }
        Self(all)
    }

    fn of(&self, number: usize) -> &Process {
        &self.0[number % self.0.len()]
    }

    fn rss_kib(&self) -> f64 {
        self.0.iter().map(Process::rss_kib).sum()
    }

    fn cpu(&self) -> f64 {
        self.0.iter().map(Process::cpu).sum()
    }

    fn named(&self) -> String {
        match self.0.len() {
            1 => "one gateway of two worker threads".to_owned(),
            several => format!(
                "{several} gateways of one worker thread each, as a process may have only {} open files here",
                take_open_files()
            ),
        }
    }

    /// Opens plain connections, a hundred at once.
    async fn open(&self, count: usize) -> Vec<WebSocketStream<TcpStream>> {
        let mut all = Vec::with_capacity(count);
        for block in 0..count.div_ceil(100) {
            let numbers = block * 100..count.min(block * 100 + 100);
            let opening = numbers.map(|number| async move {
                let addr = self.of(number).addr;
                open(connected(addr).await, addr).await
            });
            all.extend(futures_util::future::join_all(opening).await);
        }
        all
    }
}

/// Memory of idle connections, in KiB each.
pub(crate) async fn memory() -> String {
    let mut text = format!("\n| {IDLE} idle connections | KiB each |\n|---|--:|\n");
    let mut named = String::new();
    for tls in [false, true] {
        let upstream = Upstream::start("silent");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let file =
            |name: &str| std::env::temp_dir().join(format!("pulsewire-bench-{}-{name}", std::process::id()));
        let (cert, key) = (file("cert.pem"), file("key.pem"));
        std::fs::write(&cert, made.cert.pem()).expect("written");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let files = ["--tls-cert".to_owned(), cert.clone(), "--tls-key".to_owned(), key.clone()];
        let gateways = Gateways::start(&upstream, IDLE, if tls { &files } else { &[] }).await;
        let before = gateways.rss_kib();
        let began = Instant::now();
        let mut plain = Vec::new();
        let mut sealed = Vec::new();
        if tls {
            let connector = connector(made.cert.der());
            for block in 0..IDLE / 100 {
                let opening = (0..100).map(|number| {
                    let (connector, addr) = (&connector, gateways.of(block + number).addr);
                    async move {
                        let name = "localhost".try_into().expect("a name");
                        let stream = connector.connect(name, connected(addr).await).await.expect("TLS");
                        open(stream, addr).await
                    }
                });
                sealed.extend(futures_util::future::join_all(opening).await);
            }
        } else {
            plain = gateways.open(IDLE).await;
        }
        eprintln!("{IDLE} connections in {:.1} s", began.elapsed().as_secs_f64());
        sleep(Duration::from_secs(2)).await;
        let each = (gateways.rss_kib() - before) / IDLE as f64;
        let _ = writeln!(text, "| {} | {each:.1} |", if tls { "wss" } else { "ws" });
        named = gateways.named();
        drop((plain, sealed));
        for file in [cert, key] {
            let _ = std::fs::remove_file(file);
        }
    }
    let _ = writeln!(text, "\nHeld by {named}.");
    text
}

fn connector(authority: &rustls::pki_types::CertificateDer<'_>) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.clone().into_owned()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}

/// Busy connections among idle ones.
pub(crate) async fn busy() -> String {
    let upstream = Upstream::start("echo");
    let gateways = Gateways::start(&upstream, IDLE + BUSY, &[]).await;
    let idle = gateways.open(IDLE).await;
    let busy = gateways.open(BUSY).await;
    // Opening them is over.
    sleep(Duration::from_secs(2)).await;
    let before = gateways.cpu();
    let began = Instant::now();
    let first = tokio::time::Instant::now();
    let tasks: Vec<_> = busy
        .into_iter()
        .enumerate()
        .map(|(number, mut socket)| {
            tokio::spawn(async move {
                let mut histogram = Histogram::<u64>::new(2).expect("a histogram");
                // Spread evenly.
                let offset = EVERY.mul_f64(number as f64 / BUSY as f64);
                let mut ticks = interval_at(first + offset, EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while first.elapsed() < FOR {
                    ticks.tick().await;
                    let at = Instant::now();
                    socket.send(Message::Binary(Bytes::from_static(&[1; 100]))).await.expect("sent");
                    let mut got = 0;
                    while got < 100 {
                        got += socket.next().await.expect("more").expect("a message").len();
                    }
                    histogram.record(at.elapsed().as_micros() as u64).expect("recorded");
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
    let cpu = (gateways.cpu() - before) / seconds;
    let text = format!(
        "\n{IDLE} idle connections beside {BUSY} busy ones, each 10 messages of 100 B a second there and back, held by \
         {}: {:.0} messages a second, {cpu:.2} cores, round trip p50 {} us, p99 {} us, {:.0} MiB RSS in all.\n",
        gateways.named(),
        whole.len() as f64 / seconds,
        whole.value_at_quantile(0.5),
        whole.value_at_quantile(0.99),
        gateways.rss_kib() / 1024.0
    );
    drop(idle);
    text
}
