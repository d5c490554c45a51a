//! The embedded broker beside a real Pulsar: `cargo xtask broker`, which builds the command, starts the real one and
//! calls `cargo bench -p pulsewire-benches --bench broker`. Without `PULSAR_BROKER_URL` and `PULSAR_PID` ours runs alone.
//!
//! The broker is the command `pulsewire broker` in a process of its own, whose memory and CPU time are read
//! from `/proc`; the client is the crate `pulsewire` in this one.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod relay;
mod results;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pulsewire::{Client, InitialPosition, MessageId};
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command};
use pulsewire_proto::wire::{Command as Wire, CommandConnect, CommandProducer};
use tokio::runtime::Runtime;

/// Bytes of a payload.
const PAYLOAD: usize = 100;
const MILLION: u32 = 1_000_000;
/// Messages of the first load, while Java's compiler is at work, and of the others.
const LOAD: [u32; 2] = [MILLION, 2 * MILLION];
/// Runs of each load, of which the median counts.
const RUNS: usize = 5;
/// How a consumer takes messages, and whether the producer has a client of its own.
const LOADS: [Load; 3] = [
    Load { what: "what has come is taken at once", at_once: true, apart: false },
    Load { what: "message by message", at_once: false, apart: false },
    Load { what: "message by message, in two clients", at_once: false, apart: true },
];
/// Starts, of which the median counts.
const STARTS: usize = 11;
/// Topics, and connections that hold a producer of one each and are idle.
const IDLE: u64 = 10_000;
/// Sends that wait for their receipts.
const PENDING: usize = 10_000;
/// The scale of CPU times in `/proc`.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy)]
struct Load {
    what: &'static str,
    at_once: bool,
    apart: bool,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let real = Real::from_environment();
    let mut text = format!(
        "# The embedded broker, measured\n\n\
         Written by `cargo xtask broker` on {}: {}, load {}.\n\
         The broker is `pulsewire broker` in a process of its own, without `--data`; its memory is what the system counts as resident\n\
         (RSS), its CPU time user and system. The client is the crate `pulsewire`, over loopback.\n\n\
         | what | pulsewire broker | Apache Pulsar 4.0.8, standalone | aim |\n|---|--:|--:|--:|\n",
        results::date(),
        results::machine(),
        load(),
    );
    let (first, rss) = starts(&runtime);
    let seconds = |real: &Real| real.ready.map_or("-".to_owned(), |ready| format!("{ready:.1} s"));
    row(&mut text, "start to first message", format!("{first:.0} ms"), real.as_ref().map(seconds), "50 ms");
    let resident = |real: &Real| format!("{:.0} MB", real.rss);
    row(&mut text, "memory then", format!("{rss:.1} MB"), real.as_ref().map(resident), "20 MB");

    let ours = Broker::start();
    let mut servers = vec![(ours.url.clone(), ours.process.id())];
    servers.extend(real.as_ref().map(|real| (real.url.clone(), real.process)));
    let (fresh, cpu) = loaded(&runtime, &servers);
    drop(ours);
    let taken = |taken: &f64| format!("{taken:.3} us");
    row(
        &mut text,
        "CPU of the broker a message of 100 B, batched, one producer, one consumer: the first million after its start",
        taken(&fresh[0]),
        fresh.get(1).map(|theirs| format!("{}, {:.1} times as much", taken(theirs), theirs / fresh[0])),
        "10 times",
    );
    for (load, taken) in LOADS.iter().zip(&cpu) {
        let theirs = taken.get(1).map(|theirs| {
            format!("{}, {:.1} times as much", theirs.shown(), theirs.median / taken[0].median)
        });
        let what = format!(
            "CPU of the broker a message of 100 B, batched, one producer, one consumer: {}",
            load.what
        );
        row(&mut text, &what, taken[0].shown(), theirs, "10 times");
    }
    let least = Taken::new((0..RUNS).map(|_| relay::measure()).collect());
    row(
        &mut text,
        "CPU of a program that only reads such batches, keeps each for 100 ms, and writes it again",
        least.shown(),
        None,
        "-",
    );
    let stored = stored(&runtime);
    row(&mut text, "memory with 1,000,000 stored messages of 100 B, in batches", mb(stored), None, "200 MB");
    let idle = idle();
    let what = "memory with 10,000 topics and 10,000 idle connections, a producer on each";
    row(&mut text, what, mb(idle), None, "500 MB");
    let in_order: String = LOADS
        .iter()
        .zip(&cpu)
        .filter_map(|(load, taken)| Some(format!("  - {}: {}\n", load.what, taken.get(1)?.in_order)))
        .collect();
    let _ = write!(
        text,
        "\n- *Start to first message*: from the start of the process to the first message in a consumer's hands, the median of\n  \
         {STARTS} starts. Of the real one: until `/admin/v2/brokers/health` says ok, and its memory when the load begins.\n\
         - *CPU*: medians of {RUNS} runs of {} messages, least and most behind them, ours and the real one in turn,\n  \
         after one of {}, the first row's.\n  \
         The topic is the same in all of them. The producer sends batches of 1,000 with {PENDING} messages in flight. The consumer has the default queue of\n  \
         1,000; it takes and acknowledges what has come at once (`batch_receive`), or each message by itself (`receive`), by\n  \
         the producer's client and so its connection, or by another. The program that reads and writes (`relay.rs`) shows\n  \
         what of it is the system's own: it does nothing else.\n  \
         Of the real one, run by run, first load first: its compiler goes on for a while.\n{}",
        LOAD[1], LOAD[0], in_order,
    );
    println!("{text}");
    results::write("broker", &text);
}

fn row(text: &mut String, what: &str, ours: String, theirs: Option<String>, aim: &str) {
    let line = format!("| {what} | {ours} | {} | {aim} |", theirs.unwrap_or_else(|| "-".to_owned()));
    println!("{line}");
    let _ = writeln!(text, "{line}");
}

fn mb(megabytes: f64) -> String {
    format!("{megabytes:.0} MB")
}

/// A real Pulsar that runs already.
struct Real {
    url: String,
    process: u32,
    /// Seconds that it took to start, if whoever started it looked.
    ready: Option<f64>,
    /// What it holds now.
    rss: f64,
}

impl Real {
    fn from_environment() -> Option<Self> {
        let url = std::env::var("PULSAR_BROKER_URL").ok()?;
        let process = std::env::var("PULSAR_PID").ok()?.parse().ok()?;
        let ready = std::env::var("PULSAR_READY_S").ok().and_then(|seconds| seconds.parse().ok());
        Some(Self { url, process, ready, rss: rss(process) })
    }
}

/// The command, running. It ends with this value.
struct Broker {
    process: Child,
    url: String,
}

impl Broker {
    fn start() -> Self {
        let program = std::env::var_os("PULSEWIRE").map_or_else(beside, PathBuf::from);
        let mut command = Command::new(&program);
        command.args(["broker", "--port", "0", "--admin-port", "0"]);
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = spawned.unwrap_or_else(|error| {
            panic!("{}: {error}; cargo build --release --package pulsewire --features cli", program.display())
        });
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let url =
            lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("broker")?.trim().to_owned()));
        Self { process, url: url.expect("the address of the broker") }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `pulsewire` where cargo puts it.
fn beside() -> PathBuf {
    let here = std::env::current_exe().expect("our own path");
    here.ancestors().nth(2).expect("a target directory").join("pulsewire")
}

/// From the start of a broker to its first message: milliseconds and memory.
fn starts(runtime: &Runtime) -> (f64, f64) {
    let once = || {
        let began = Instant::now();
        let broker = Broker::start();
        runtime.block_on(async {
            let client = Client::builder(&broker.url).build().expect("a client");
            let consumer = client.consumer("first", "s").subscribe().await.expect("a consumer");
            let producer = client.producer("first").create().await.expect("a producer");
            producer.send(Bytes::from_static(b"first")).await.expect("stored");
            consumer.receive().await.expect("a message");
        });
        (began.elapsed().as_secs_f64() * 1000.0, rss(broker.process.id()))
    };
    let (times, memory): (Vec<f64>, Vec<f64>) = (0..STARTS).map(|_| once()).unzip();
    (median(times), median(memory))
}

/// What several runs took.
struct Taken {
    median: f64,
    least: f64,
    most: f64,
    in_order: String,
}

impl Taken {
    fn new(runs: Vec<f64>) -> Self {
        let least = runs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = runs.iter().copied().fold(0.0, f64::max);
        let in_order = runs.iter().map(|taken| format!("{taken:.3}")).collect::<Vec<_>>().join(", ");
        Self { median: median(runs), least, most, in_order }
    }

    fn shown(&self) -> String {
        format!("{:.3} us ({:.3} to {:.3})", self.median, self.least, self.most)
    }
}

/// Microseconds of CPU that each broker takes for a message, of the first million and then by load.
fn loaded(runtime: &Runtime, servers: &[(String, u32)]) -> (Vec<f64>, Vec<Vec<Taken>>) {
    let topic = topic();
    let measured = |(url, process): &(String, u32), count, load| {
        let before = cpu(*process);
        runtime.block_on(load_once(url, &topic, count, load));
        (cpu(*process) - before) * 1e6 / f64::from(count)
    };
    let fresh = servers.iter().map(|server| measured(server, LOAD[0], LOADS[0])).collect();
    let mut all = vec![vec![Vec::new(); servers.len()]; LOADS.len()];
    for _ in 0..RUNS {
        for (load, all) in LOADS.iter().zip(&mut all) {
            for (server, taken) in servers.iter().zip(all) {
                taken.push(measured(server, LOAD[1], *load));
            }
        }
    }
    (fresh, all.into_iter().map(|servers| servers.into_iter().map(Taken::new).collect()).collect())
}

async fn load_once(url: &str, topic: &str, count: u32, load: Load) {
    let client = || Client::builder(url).build().expect("a client");
    let consuming = client();
    let producing = if load.apart { client() } else { consuming.clone() };
    let consumer = consuming.consumer(topic, "s").initial_position(InitialPosition::Earliest);
    let consumer = consumer.subscribe().await.expect("a consumer");
    let reading = tokio::spawn(async move {
        let mut received = 0;
        while received < count {
            if load.at_once {
                let messages = consumer.batch_receive().await.expect("messages");
                assert!(messages.iter().all(|message| message.payload().len() == PAYLOAD));
                received += u32::try_from(messages.len()).expect("a batch");
                let ids: Vec<MessageId> = messages.iter().map(|message| message.id()).collect();
                consumer.acknowledge_ids(&ids).expect("open");
            } else {
                let message = consumer.receive().await.expect("a message");
                assert_eq!(message.payload().len(), PAYLOAD);
                received += 1;
                consumer.acknowledge(&message).expect("open");
            }
        }
        consumer.close().await.expect("closed");
    });
    send(&producing, topic, count).await;
    reading.await.expect("all are read");
    if load.apart {
        producing.close().await.expect("closed");
    }
    consuming.close().await.expect("closed");
}

async fn send(client: &Client, topic: &str, count: u32) {
    let producer = client.producer(topic).batching_max_messages(1000).create().await.expect("a producer");
    let payload = Bytes::from(vec![b'x'; PAYLOAD]);
    let mut flight = VecDeque::with_capacity(PENDING);
    for _ in 0..count {
        if flight.len() == PENDING {
            let oldest: Option<pulsewire::Sending> = flight.pop_front();
            oldest.expect("there are some").await.expect("stored");
        }
        flight.push_back(producer.send(payload.clone()));
    }
    producer.flush().await.expect("stored");
    producer.close().await.expect("closed");
}

/// Megabytes of a broker that keeps a million messages.
fn stored(runtime: &Runtime) -> f64 {
    let broker = Broker::start();
    runtime.block_on(async {
        let client = Client::builder(&broker.url).build().expect("a client");
        let topic = topic();
        // Nobody acknowledges, so all stays.
        client.consumer(&topic, "s").subscribe().await.expect("a consumer").close().await.expect("closed");
        send(&client, &topic, MILLION).await;
        client.close().await.expect("closed");
    });
    rss(broker.process.id())
}

/// Megabytes of a broker of many topics and connections.
fn idle() -> f64 {
    let broker = Broker::start();
    let address = broker.url.strip_prefix("pulsar://").expect("a plain address");
    let connections: Vec<TcpStream> = (0..IDLE).map(|number| connection(address, number)).collect();
    let megabytes = rss(broker.process.id());
    drop(connections);
    megabytes
}

/// A connection with a producer on a topic of its own.
fn connection(address: &str, number: u64) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let mut decoder = FrameDecoder::new(1 << 20);
    let connect = CommandConnect {
        client_version: "bench".to_owned(),
        protocol_version: Some(pulsewire_proto::wire::PROTOCOL_VERSION),
        ..CommandConnect::default()
    };
    let producer = CommandProducer {
        topic: format!("persistent://public/default/idle-{number}"),
        producer_id: 1,
        request_id: 1,
        ..CommandProducer::default()
    };
    for command in [Wire::from(connect), producer.into()] {
        let mut out = BytesMut::new();
        encode_command(&command, &mut out);
        stream.write_all(&out).expect("written");
        let answer = loop {
            if let Some(frame) = decoder.next_frame().expect("a frame") {
                break frame.decode().expect("a command");
            }
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).expect("an answer");
            assert!(read > 0, "the broker has closed the connection");
            decoder.push(Bytes::copy_from_slice(&buffer[..read]));
        };
        assert!(matches!(answer, Wire::Connected(_) | Wire::ProducerSuccess(_)), "{answer:?}");
    }
    stream
}

fn topic() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("bench-{}", now.unwrap_or(Duration::ZERO).as_nanos())
}

/// Resident megabytes of a process.
fn rss(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Seconds of CPU that a process has taken.
fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name, which may hold spaces: user and system time are the 12th and 13th.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let number = |at| rest.split_whitespace().nth(at).and_then(|field| field.parse::<f64>().ok());
    (number(11).unwrap_or(0.0) + number(12).unwrap_or(0.0)) / TICKS
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
