//! What a message costs in allocations and memory, through the public API: `cargo bench -p pulsewire-benches
//! --bench allocations`.
//!
//! The client, its driver and the measuring code share one thread, whose allocations are counted; the embedded
//! broker runs on another one. Numbers are the differences of two run lengths, so that opening cancels out.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod results;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::mpsc;

use allocation_counter::{AllocationInfo, measure};
use pulsewire::{Client, Consumer, InitialPosition, Producer};
use pulsewire_broker::{Server, ServerConfig};
use tokio::runtime::Runtime;

/// Bytes of a payload.
const PAYLOAD: usize = 100;
/// Messages of the two run lengths.
const RUNS: [u32; 2] = [100_000, 300_000];
/// Sends that wait for their receipts.
const PENDING: usize = 10_000;

fn main() {
    let runtime = runtime();
    let url = broker();
    let client = runtime.block_on(async { Client::builder(&url).build() }).expect("a client");
    let rows = [
        ("send, in batches of 1,000, 10,000 in flight", per_message(|n| sends(&runtime, &client, true, n))),
        ("send, one by one, 10,000 in flight", per_message(|n| sends(&runtime, &client, false, n))),
        (
            "receive, from batches of 1,000, no acknowledgment",
            per_message(|n| receives(&runtime, &client, n, false)),
        ),
        (
            "receive, from batches of 1,000, each acknowledged",
            per_message(|n| receives(&runtime, &client, n, true)),
        ),
    ];
    let mut text = format!(
        "# Allocations and memory\n\n\
         Written by `cargo bench -p pulsewire-benches --bench allocations` on {}: {}.\n\
         The crate `pulsewire` on tokio's current-thread runtime, its driver included, {PAYLOAD} B a message. The payload of a\n\
         send is shared, so what is allocated is the client's own.\n\n\
         | a message | allocations |\n|---|--:|\n",
        results::date(),
        results::machine(),
    );
    for (what, allocations) in rows {
        let _ = writeln!(text, "| {what} | {allocations:.4} |");
    }
    text += "\n| an unbatched message in flight | bytes beside its payload |\n|---|--:|\n";
    for count in [1_000, 10_000, 100_000] {
        let each = in_flight(&runtime, &client, count);
        let _ = writeln!(text, "| of {count}, with the future that waits for its receipt | {each:.0} |");
    }
    println!("{text}");
    results::write("allocations", &text);
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Starts the embedded broker on a thread of its own; its URL.
fn broker() -> String {
    let (sender, url) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let server = Server::bind(ServerConfig::default()).await.expect("a port");
            sender.send(server.service_url().to_owned()).expect("who asked");
            server.run(std::future::pending()).await.expect("served");
        });
    });
    url.recv().expect("a broker")
}

/// Allocations of one message more.
fn per_message(run: impl Fn(u32) -> AllocationInfo) -> f64 {
    let [short, long] = RUNS.map(|messages| run(messages).count_total);
    long.saturating_sub(short) as f64 / f64::from(RUNS[1] - RUNS[0])
}

fn topic() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("allocations-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

fn producer(runtime: &Runtime, client: &Client, topic: &str, batching: bool) -> Producer {
    let builder = client.producer(topic).batching(batching);
    let builder = builder.batching_max_publish_delay(std::time::Duration::from_secs(1));
    runtime.block_on(builder.create()).expect("a producer")
}

fn payload() -> bytes::Bytes {
    let payload = bytes::Bytes::from(vec![b'x'; PAYLOAD]);
    // Shared from the beginning: the first clone of a vector allocates.
    drop(payload.clone());
    payload
}

fn sends(runtime: &Runtime, client: &Client, batching: bool, messages: u32) -> AllocationInfo {
    let producer = producer(runtime, client, &topic(), batching);
    let payload = payload();
    measure(|| {
        runtime.block_on(async {
            let mut flight = VecDeque::with_capacity(PENDING);
            for _ in 0..messages {
                if flight.len() >= PENDING
                    && let Some(oldest) = flight.pop_front()
                {
                    let oldest: pulsewire::Sending = oldest;
                    oldest.await.expect("stored");
                }
                flight.push_back(producer.send(payload.clone()));
            }
            producer.flush().await.expect("stored");
        });
    })
}

fn receives(runtime: &Runtime, client: &Client, messages: u32, acknowledge: bool) -> AllocationInfo {
    let topic = topic();
    let consumer: Consumer = runtime
        .block_on(client.consumer(&topic, "s").initial_position(InitialPosition::Earliest).subscribe())
        .expect("a consumer");
    let (sender, payload) = (producer(runtime, client, &topic, true), payload());
    runtime.block_on(async {
        let mut left = messages;
        while left > 0 {
            // The futures are dropped: nobody waits but the flush.
            (0..left.min(10_000)).for_each(|_| drop(sender.send(payload.clone())));
            left -= left.min(10_000);
            sender.flush().await.expect("stored");
        }
        sender.close().await.expect("closed");
    });
    measure(|| {
        runtime.block_on(async {
            for _ in 0..messages {
                let message = consumer.receive().await.expect("a message");
                assert_eq!(message.payload().len(), PAYLOAD);
                if acknowledge {
                    consumer.acknowledge(&message).expect("open");
                }
            }
        });
    })
}

/// What a message in flight holds beside its payload. The driver gets no turn meanwhile.
fn in_flight(runtime: &Runtime, client: &Client, messages: usize) -> f64 {
    let producer = producer(runtime, client, &topic(), false);
    let payload = payload();
    let mut flight = Vec::new();
    let info = measure(|| {
        runtime.block_on(async {
            flight.reserve_exact(messages);
            flight.extend((0..messages).map(|_| producer.send(payload.clone())));
        });
    });
    runtime.block_on(async {
        for sending in flight {
            sending.await.expect("stored");
        }
    });
    info.bytes_current as f64 / messages as f64 - PAYLOAD as f64
}
