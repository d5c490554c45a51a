//! The table, on the screen and in RESULTS.md.

use std::fmt::Write as _;

use crate::peer::{BURST, PAYLOAD, Work};
use crate::results;

pub(crate) struct Measured {
    /// Instructions a message, where they could be counted.
    pub(crate) instructions: Option<f64>,
    /// Nanoseconds a message.
    pub(crate) nanoseconds: f64,
}

pub(crate) struct Row {
    pub(crate) work: Work,
    /// Ours, theirs.
    pub(crate) measured: [Measured; 2],
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| a message of | pulsewire, instructions | magnetar-proto | ratio | pulsewire, ns | magnetar-proto | ratio |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
    );
    for Row { work, measured: [ours, theirs] } in rows {
        let count = |m: &Measured| m.instructions.map_or("-".to_owned(), |n| format!("{n:.0}"));
        let ratio = match (ours.instructions, theirs.instructions) {
            (Some(ours), Some(theirs)) => format!("1/{:.1}", theirs / ours),
            _ => "-".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {ratio} | {:.0} | {:.0} | 1/{:.1} |",
            work.name(),
            count(ours),
            count(theirs),
            ours.nanoseconds,
            theirs.nanoseconds,
            theirs.nanoseconds / ours.nanoseconds,
        );
    }
    text
}

pub(crate) fn print(rows: &[Row]) {
    println!("{}", table(rows));
}

/// How busy the machine is, over a minute.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

pub(crate) fn write(rows: &[Row], load: &str) {
    let text = format!(
        "# The core, measured\n\n\
         Written by `cargo bench -p pulsewire-benches --bench core` on {date}: {machine}, load {load}.\n\
         All messages have {PAYLOAD} bytes. Per message, in one run:\n\n\
         {table}\n\
         {notes}",
        date = results::date(),
        machine = results::machine(),
        table = table(rows),
        notes = NOTES.replace("{BURST}", &BURST.to_string()),
    );
    results::write("core", &text);
}

const NOTES: &str = "\
## What is measured

Both cores are given the same bytes, without sockets, tasks or locks that wait.

- *Send + receipt*: so many sends are pending all the time. A round reads {BURST} receipts in one piece, hands
  their outcomes to the user, sends {BURST} more and takes the bytes to write. The driver's turn (what to write,
  next deadline) comes after the read and after the sends.
- *Receive*: a round reads 250 messages, or one batch of 1,000, in one piece; the user takes them one by one,
  looks at payload and id, and the permits go back. Nothing is acknowledged.
- Instructions are callgrind's, as the difference of two run lengths with equal preparation, so that only rounds
  count; freeing what was read is part of it. Time is the median round.

## Fairness

- magnetar-proto is driven as its own tokio runtime drives it: `queue_send` and one poll of the send's future
  (`take_outcome`, `register_waker`), `poll_transmit_owned` and `poll_timeout` a turn, `handle_bytes_owned` with
  a buffer that it owns, `poll_event_if` with the driver's filter, `take_outcome` when woken, `pop_message`.
- What the runtime adds is left out in its favour: mutexes of the connection, wakes of tasks, memory accounting,
  reads of the clock. Its send shares the payload; ours copies the bytes into the frame.
- Its options are its defaults (no batching, send timeout of 30 s, queue of 1,000), which are ours too. Both keep
  statistics and a latency histogram.
- Both check the checksum of what they receive and compute it for what they send, by the same crate.
";
