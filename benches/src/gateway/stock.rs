//! The gateway beside what there is without it: the WebSocket API of Pulsar (JSON, payloads in base64) behind nginx.
//!
//! Needs a real Pulsar that runs (`cargo xtask gateway` starts one) and nginx.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use pulsewire::Client;
use tokio_tungstenite::tungstenite::Message;

use crate::SIZE;
use crate::process::{Process, connected, cpu, free_port, gateway_of};

/// Messages of a run; one of as many comes before that nobody counts, so that Java's compiler is done.
const COUNT: u32 = 100_000;
/// Odd, so that one is in the middle.
const RUNS: usize = 3;
/// Without their receipt.
const PENDING: usize = 500;

/// Of one run: messages a second; microseconds of CPU a message, of what stands in front and of the broker.
type Figures = (f64, f64, f64);

/// A broker that runs, and its process.
struct Real {
    url: String,
    web: String,
    pid: u32,
}

pub(crate) async fn measure() -> String {
    let mut text = String::new();
    let variable = |name: &str| std::env::var(name).ok();
    let real = (|| {
        let pid = variable("PULSAR_PID")?.parse().ok()?;
        Some(Real { url: variable("PULSAR_BROKER_URL")?, web: variable("PULSAR_WEB_URL")?, pid })
    })();
    let Some(real) = real else {
        return "\nNot beside nginx and Pulsar's WebSocket API: no Pulsar was given, `cargo xtask gateway` starts one.\n"
            .to_owned();
    };
    let web = real.web.trim_start_matches("http://").to_owned();
    let Some(nginx) = nginx(&web).await else {
        return "\nNot beside nginx and Pulsar's WebSocket API: nginx is not installed.\n".to_owned();
    };
    let upstream = real.url.trim_start_matches("pulsar://").to_owned();
    let gateway = gateway_of(&upstream, "", &[], 2).await;
    let mut all: [Vec<Figures>; 3] = Default::default();
    for run in 0..=RUNS {
        let of = [
            figures(&real, &nginx, by_stock(nginx.addr)).await,
            figures(&real, &gateway, by_gateway(gateway.addr, false)).await,
            figures(&real, &gateway, by_gateway(gateway.addr, true)).await,
        ];
        for (all, figures) in all.iter_mut().zip(of) {
            if run > 0 {
                all.push(figures);
            }
        }
    }
    let rows = all.map(|mut runs| {
        runs.sort_by(|a, b| (a.1 + a.2).total_cmp(&(b.1 + b.2)));
        runs[RUNS / 2]
    });
    let _ = writeln!(
        text,
        "\n| {COUNT} messages of {SIZE} B produced to Apache Pulsar, receipts awaited | 1000/s | front, CPU us each | \
         broker, CPU us each | 1000 a CPU second of both |\n|---|--:|--:|--:|--:|"
    );
    let names = [
        "nginx, and the broker's WebSocket API",
        "gateway, no batches",
        "gateway, batches (the client's default)",
    ];
    for (name, (rate, front, broker)) in names.iter().zip(rows) {
        let both = 1000.0 / (front + broker);
        let _ = writeln!(text, "| {name} | {rate:.0} | {front:.2} | {broker:.1} | {both:.0} |");
    }
    let [stock, plain, batched] = rows;
    let times = |own: Figures| (stock.1 + stock.2) / (own.1 + own.2);
    let added = (stock.1 + stock.2 - plain.2) / plain.1;
    let _ = writeln!(
        text,
        "\nMedians of {RUNS} runs, in turn, of the CPU of the front's process (nginx, the gateway) and of the broker's, of which \
         the WebSocket API is a part. Messages per CPU second of both: {:.1} times as many with the gateway, in batches {:.1} \
         times. What stands between a page and the binary protocol, that is nginx and what the broker takes more than behind \
         the gateway without batches: {added:.0} times the gateway's CPU.",
        times(plain),
        times(batched),
    );
    text
}

async fn figures(real: &Real, front: &Process, load: impl Future<Output = ()>) -> Figures {
    let (front_before, broker_before) = (front.cpu_of_threads(), cpu(real.pid));
    let began = Instant::now();
    load.await;
    let seconds = began.elapsed().as_secs_f64();
    let each = |seconds: f64| seconds * 1e6 / f64::from(COUNT);
    (
        f64::from(COUNT) / 1000.0 / seconds,
        each(front.cpu_of_threads() - front_before),
        each(cpu(real.pid) - broker_before),
    )
}

fn topic() -> String {
    format!("bench-{:x}", std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos()))
}

/// nginx before the broker's web port, as its manual says for WebSockets.
async fn nginx(web: &str) -> Option<Process> {
    let addr = free_port().await;
    let dir = std::env::temp_dir().join(format!("pulsewire-bench-nginx-{}", addr.port()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let at = dir.display();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;\n  \
         uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;\n  server {{\n    listen {addr};\n    location /ws/ {{\n      \
         proxy_pass http://{web}; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1h;\n      \
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header Host $host;\n    \
         }}\n  }}\n}}\n"
    );
    std::fs::write(dir.join("nginx.conf"), config).expect("written");
    let file = dir.join("nginx.conf").display().to_string();
    let arguments =
        ["-p".to_owned(), at.to_string(), "-e".to_owned(), format!("{at}/error.log"), "-c".to_owned(), file];
    let process = Process::spawn("nginx", &arguments, addr)?;
    process.listening().await;
    Some(process)
}

/// A page's way without the gateway.
async fn by_stock(addr: SocketAddr) {
    let url = format!("ws://{addr}/ws/v2/producer/persistent/public/default/{}", topic());
    let tcp = connected(addr).await;
    let (socket, _) = tokio_tungstenite::client_async(url, tcp).await.expect("upgraded");
    let (mut sink, mut stream) = socket.split();
    let message = format!("{{\"payload\":\"{}\"}}", STANDARD.encode([b'x'; SIZE]));
    let (mut sent, mut received) = (0, 0);
    while received < COUNT {
        while sent < COUNT && ((sent - received) as usize) < PENDING {
            sink.feed(Message::text(message.clone())).await.expect("sent");
            sent += 1;
        }
        sink.flush().await.expect("sent");
        let answer = stream.next().await.expect("an answer").expect("an answer");
        assert!(answer.to_text().is_ok_and(|text| text.contains("\"result\":\"ok\"")), "{answer}");
        received += 1;
    }
}

async fn by_gateway(addr: SocketAddr, batches: bool) {
    let client = Client::builder(format!("ws://{addr}/pulsar")).build().expect("a client");
    let producer = client.producer(topic()).batching(batches).create().await.expect("a producer");
    let payload = Bytes::from_static(&[b'x'; SIZE]);
    let mut flight: VecDeque<pulsewire::Sending> = VecDeque::with_capacity(PENDING);
    for _ in 0..COUNT {
        if flight.len() == PENDING {
            let oldest = flight.pop_front();
            oldest.expect("there are some").await.expect("stored");
        }
        flight.push_back(producer.send(payload.clone()));
    }
    for sending in flight {
        sending.await.expect("stored");
    }
    client.close().await.expect("closed");
}
