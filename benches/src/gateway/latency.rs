//! What the gateway adds to a round trip.
//!
//! Both sides are threads that block on their sockets: the gateway's wake-ups are in the figures, a runtime's own are not.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite;

use crate::SIZE;
use crate::process::gateway;

/// A second.
const EVERY: Duration = Duration::from_micros(100);
const A_ROUND: u32 = 10_000;
/// Odd, so that one is in the middle.
const ROUNDS: usize = 7;

/// A client and how its messages are written: one in flight.
struct Way {
    name: &'static str,
    tcp: TcpStream,
    message: Vec<u8>,
    /// Bytes that come back.
    answer: usize,
    /// Of each round.
    p50: Vec<f64>,
    p99: Vec<f64>,
}

pub(crate) fn measure(runtime: &Runtime) -> String {
    let echo = echo();
    let narrowed = "[[narrow]]\nproduce = [\"bench\"]\n";
    let process = runtime.block_on(gateway(echo, "", &[]));
    let narrowing = runtime.block_on(gateway(echo, narrowed, &[]));
    let mut ways = [
        Way::new("direct", connected(echo), frame(), SIZE),
        Way::through("through the gateway", process.addr),
        Way::through("through the gateway, narrowed", narrowing.addr),
    ];
    // The first round is not counted.
    for round in 0..=ROUNDS {
        for way in &mut ways {
            let (p50, p99) = way.round();
            if round > 0 {
                way.p50.push(p50);
                way.p99.push(p99);
            }
        }
    }
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n| {SIZE} B there and back, 10,000/s, one in flight | p50 us | p99 us |\n|---|--:|--:|"
    );
    let rows: Vec<_> = ways.iter().map(|way| (way.name, median(&way.p50), median(&way.p99))).collect();
    for (name, p50, p99) in &rows {
        let _ = writeln!(text, "| {name} | {p50:.0} | {p99:.0} |");
    }
    let (p50, p99) = (rows[1].1 - rows[0].1, rows[1].2 - rows[0].2);
    let _ = writeln!(text, "| added by the gateway | {p50:.0} | {p99:.0} |");
    let _ = writeln!(
        text,
        "\nThe medians of {ROUNDS} rounds of {A_ROUND} messages, all ways in turn; a message passes the gateway twice. \
         Direct, the rounds' p99 were {:.0} to {:.0} us: that is the machine.",
        ways[0].p99.iter().copied().fold(f64::MAX, f64::min),
        ways[0].p99.iter().copied().fold(0.0, f64::max),
    );
    text
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A frame of the Pulsar protocol of [`SIZE`] bytes: a PING, as long as an upstream may find it.
fn frame() -> Vec<u8> {
    let mut frame = vec![0; SIZE];
    frame[..4].copy_from_slice(&(SIZE as u32 - 4).to_be_bytes());
    // The command takes 5 bytes, the rest of the frame is a payload.
    frame[4..8].copy_from_slice(&5u32.to_be_bytes());
    frame[8..13].copy_from_slice(&[0x08, 18, 0x92, 0x01, 0]);
    frame
}

impl Way {
    fn new(name: &'static str, tcp: TcpStream, message: Vec<u8>, answer: usize) -> Self {
        Way { name, tcp, message, answer, p50: Vec::new(), p99: Vec::new() }
    }

    fn through(name: &'static str, addr: SocketAddr) -> Self {
        let (socket, _) =
            tungstenite::client(format!("ws://{addr}/pulsar"), connected(addr)).expect("upgraded");
        // A masked binary message whose mask is zero, and a header of two bytes back.
        let mut message = vec![0x82, 0x80 | SIZE as u8, 0, 0, 0, 0];
        message.extend_from_slice(&frame());
        Way::new(name, socket.into_inner(), message, 2 + SIZE)
    }

    fn round(&mut self) -> (f64, f64) {
        let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
        let mut buffer = vec![0; self.answer];
        let began = Instant::now();
        for sent in 0..A_ROUND {
            while Instant::now() < began + EVERY * sent {
                std::hint::spin_loop();
            }
            let at = Instant::now();
            self.tcp.write_all(&self.message).expect("sent");
            self.tcp.read_exact(&mut buffer).expect("an answer");
            histogram.record(at.elapsed().as_nanos() as u64).expect("recorded");
        }
        let us = |q| histogram.value_at_quantile(q) as f64 / 1000.0;
        (us(0.5), us(0.99))
    }
}

fn connected(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).expect("connected");
    tcp.set_nodelay(true).expect("no delay");
    tcp
}

fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        while let Ok((mut tcp, _)) = listener.accept() {
            let _ = tcp.set_nodelay(true);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = tcp.read(&mut buffer) {
                    if tcp.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    addr
}
