//! The core beside magnetar-proto, doing the same work in the same run: `cargo bench -p pulsewire-benches`.
//!
//! Both are driven with bytes that were prepared before, without sockets or tasks. Instructions are
//! counted by callgrind as the difference of two run lengths, so that setting up cancels out; time
//! is the median of many rounds. A section of RESULTS.md is written from the last run and says what was measured.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod count;
mod magnetar;
mod ours;
mod peer;
mod results;
mod table;

use std::time::Instant;

use bytes::Bytes;
use peer::{BURST, Peer, Work};

/// What the benchmark does with a client.
trait Client: Sized {
    /// Its name in the table.
    const NAME: &'static str;

    /// With a producer and a consumer that are open.
    fn open() -> Self;
    /// The ids of both on the wire.
    fn ids(&self) -> (u64, u64);
    /// The user sends a message.
    fn send(&mut self, payload: &Bytes);
    /// The driver takes what is to be written and the next deadline.
    fn turn(&mut self);
    /// Bytes came from the socket.
    fn read(&mut self, bytes: Bytes);
    /// The user sees how sends have ended: so many have.
    fn outcomes(&mut self) -> usize;
    /// The user takes all messages that wait: so many payload bytes.
    fn receive(&mut self) -> usize;
}

/// Runs `rounds` rounds of `work`, of which `prepared` are ready; returns the nanoseconds of each.
fn run<C: Client>(work: Work, prepared: usize, rounds: usize) -> Vec<u64> {
    let mut client = C::open();
    let (producer, consumer) = client.ids();
    let payload = Bytes::from(vec![b'x'; peer::PAYLOAD]);
    let mut chunks = Peer::new(producer, consumer).chunks(work, prepared).into_iter();
    if let Work::Send { in_flight } = work {
        for _ in 0..in_flight {
            client.send(&payload);
        }
        client.turn();
    }
    let mut times = Vec::with_capacity(rounds);
    for chunk in chunks.by_ref().take(rounds) {
        let start = Instant::now();
        round(&mut client, work, &payload, chunk);
        times.push(start.elapsed().as_nanos() as u64);
    }
    // Whatever is left must not be freed by the shorter run alone.
    std::mem::forget(chunks);
    std::mem::forget(client);
    times
}

/// What is measured; a function of its own, so that profilers find it: `--toggle-collect='core::round*'`.
#[inline(never)]
fn round<C: Client>(client: &mut C, work: Work, payload: &Bytes, chunk: Bytes) {
    client.read(chunk);
    client.turn();
    match work {
        Work::Send { .. } => {
            assert_eq!(client.outcomes(), BURST);
            for _ in 0..BURST {
                client.send(payload);
            }
        }
        Work::Receive { messages, .. } => assert_eq!(client.receive(), messages * peer::PAYLOAD),
    }
    client.turn();
}

fn run_named(client: &str, work: Work, prepared: usize, rounds: usize) -> Vec<u64> {
    match client {
        ours::Ours::NAME => run::<ours::Ours>(work, prepared, rounds),
        magnetar::Magnetar::NAME => run::<magnetar::Magnetar>(work, prepared, rounds),
        other => panic!("no client is named {other}"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // Under callgrind: run CLIENT WORK PREPARED ROUNDS.
    if let [_, run, client, work, prepared, rounds] = &arguments[..]
        && run == "run"
    {
        let work = Work::ALL[work.parse::<usize>().expect("the number of a work")];
        let number = |text: &String| text.parse().expect("a number");
        run_named(client, work, number(prepared), number(rounds));
        return;
    }
    const CLIENTS: [&str; 2] = [ours::Ours::NAME, magnetar::Magnetar::NAME];
    let load = table::load();
    // The clock first: callgrind keeps the machine busy.
    let times = Work::ALL.map(|work| CLIENTS.map(|client| time(client, work)));
    let counted = count::available();
    let mut rows = Vec::new();
    for (index, (work, times)) in Work::ALL.into_iter().zip(times).enumerate() {
        let counts = CLIENTS.map(|client| counted.then(|| count::instructions(client, index, work)));
        let [ours, theirs] =
            [0, 1].map(|client| table::Measured { instructions: counts[client], nanoseconds: times[client] });
        rows.push(table::Row { work, measured: [ours, theirs] });
    }
    table::print(&rows);
    table::write(&rows, &load);
}

/// The median of many rounds, in nanoseconds a message.
fn time(client: &str, work: Work) -> f64 {
    let (warm, rounds) = (work.rounds(4_000), work.rounds(20_000));
    let mut times = run_named(client, work, warm + rounds, warm + rounds).split_off(warm);
    times.sort_unstable();
    times[times.len() / 2] as f64 / work.messages() as f64
}
