//! What the system takes at least: a program that reads each batch and writes it again, and does nothing else.
//!
//! As a broker it has one connection, by which batches come and go, with a receipt for each, and keeps what came for as
//! long as its acknowledgement may take to come. It looks at nothing, and hears of no permits.

use std::io::{IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Bytes of a batch of 1,000 messages of 100 B.
const BATCH: usize = 108_000;
const RECEIPT: usize = 30;
const BATCHES: u32 = 2000;
const IN_FLIGHT: usize = 10;
/// Batches that are kept: those of 100 ms, the time for which acknowledgements are gathered.
const KEPT: usize = 250;
/// About what a client of ours takes to make one and to take one.
const PACE: Duration = Duration::from_micros(400);

/// Microseconds of CPU that it takes for a message.
pub(crate) fn measure() -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = TcpStream::connect(listener.local_addr().expect("its address")).expect("connected");
    socket.set_nodelay(true).expect("set");
    let relay = thread::spawn(move || relay(&listener.accept().expect("a client").0));
    let (sent, receipts) = sync_channel(IN_FLIGHT);
    thread::scope(|scope| {
        scope.spawn(|| {
            let batch = frame(BATCH);
            let mut next = Instant::now();
            for _ in 0..BATCHES {
                thread::sleep(next.saturating_duration_since(Instant::now()));
                next += PACE;
                sent.send(()).expect("somebody waits");
                (&socket).write_all(&batch).expect("written");
            }
        });
        let mut left = BATCHES;
        frames(&socket, |frame| {
            if frame.len() < BATCH {
                receipts.recv().expect("one was sent");
            } else {
                left -= 1;
            }
            left > 0
        });
    });
    socket.shutdown(std::net::Shutdown::Both).expect("closed");
    relay.join().expect("measured") * 1e6 / f64::from(BATCHES * 1000)
}

/// Seconds of CPU of its thread.
fn relay(socket: &TcpStream) -> f64 {
    socket.set_nodelay(true).expect("set");
    let receipt = frame(RECEIPT);
    let mut kept = vec![0; KEPT * BATCH];
    for place in (0..KEPT).cycle() {
        let batch = &mut kept[place * BATCH..][..BATCH];
        if (&*socket).read_exact(batch).is_err() {
            break;
        }
        let both = [IoSlice::new(&receipt), IoSlice::new(batch)];
        let written = (&*socket).write_vectored(&both).expect("written");
        let rest = written.checked_sub(receipt.len()).expect("room for a receipt");
        (&*socket).write_all(&batch[rest..]).expect("written");
    }
    let taken = clock_gettime(ClockId::ThreadCPUTime);
    taken.tv_sec as f64 + taken.tv_nsec as f64 / 1e9
}

fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![b'x'; len];
    frame[..4].copy_from_slice(&u32::try_from(len - 4).expect("small").to_be_bytes());
    frame
}

/// Hands each frame that is read to `each`, until that has enough or the other side closes.
fn frames(mut socket: &TcpStream, mut each: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 512 * 1024];
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..]).unwrap_or(0);
        if read == 0 {
            return;
        }
        filled += read;
        let mut at = 0;
        while let Some(prefix) = buffer[at..filled].first_chunk::<4>() {
            let end = at + 4 + u32::from_be_bytes(*prefix) as usize;
            if end > filled {
                break;
            }
            if !each(&buffer[at..end]) {
                return;
            }
            at = end;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}
