//! `pulsewire produce`.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use pulsewire::{Error, ErrorKind, MessageId, Producer, Sending};
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};

use crate::connect::{Connection, close, property, seconds, unreadable};
use crate::failure::{Ended, Failure, note};
use crate::interrupt::Interrupts;
use crate::output::Output;
use crate::progress::Progress;

/// Messages on their way at the same time.
const WINDOW: usize = 10_000;
/// Their bytes. With the longest line they stay below the client's memory limit of 64 MiB, so that no
/// send has to wait for memory.
const WINDOW_BYTES: usize = 16 << 20;
/// A line longer than this is no message.
const LONGEST_LINE: usize = 32 << 20;
/// Sends before the client's driver gets its turn.
const BURST: u64 = 128;
/// How long receipts are waited for once it is clear that not all will come.
const DRAIN: Duration = Duration::from_secs(5);
/// Failures that are told one by one.
const TOLD: u64 = 5;

const AFTER_HELP: &str = "\
Examples:
  pulsewire produce news 'hello world'
  pulsewire produce news --key berlin --property kind=weather '12 C'
  tail -f app.log | pulsewire produce logs
  pulsewire produce news --file lines.txt --ids > ids.txt

It ends with 0 only when every message is stored. On Ctrl-C it stops reading, waits up to 5 s for the
receipts of what is on its way, says how much is stored, and ends with 130.";

/// Send messages: the arguments, or the lines of a file or of stdin.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The topic: `name` or `[persistent://]tenant/namespace/name`
    topic: String,
    /// Messages; without any, each line of --file or of stdin is one
    #[arg(value_name = "MESSAGE", conflicts_with = "file")]
    messages: Vec<String>,
    /// Send each line of this file; - is stdin
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// The key of all messages
    #[arg(short, long)]
    key: Option<String>,
    /// A property of all messages; may be given several times
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// The producer's name. Default: the broker gives one
    #[arg(long)]
    name: Option<String>,
    /// Send each message so many times
    #[arg(short = 'n', long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Print the id of each stored message on stdout
    #[arg(long, conflicts_with = "json_ids")]
    ids: bool,
    /// Print {"message":N,"id":"..."} for each message, or {"message":N,"error":"...","reason":"..."}
    #[arg(long)]
    json_ids: bool,
    /// How long a message may wait for its receipt
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "30")]
    send_timeout: Duration,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Ended, Failure> {
    let mut interrupts = Interrupts::new()?;
    let mut source = Source::new(&arguments).await?;
    let client = arguments.connection.client()?;
    let mut builder = client.producer(&arguments.topic).send_timeout(arguments.send_timeout);
    if let Some(name) = &arguments.name {
        builder = builder.name(name);
    }
    let Some(producer) = arguments.connection.open(&mut interrupts, builder.create()).await? else {
        note("interrupted before anything was sent.");
        return Ok(Ended::Interrupted);
    };
    let mut flight = Flight::default();
    let mut report = Report::new(&arguments, source.total());
    let stopped =
        send_all(&arguments, &producer, &mut source, &mut flight, &mut report, &mut interrupts).await;
    if !matches!(stopped, Stopped::AtEnd) {
        drain(&mut flight, &mut report, &mut interrupts).await;
    }
    tokio::select! {
        _ = report.output.flush() => {}
        () = interrupts.next() => {}
    }
    report.unknown = flight.queue.len() as u64;
    if report.unknown == 0 {
        close(&client, &mut interrupts).await;
    }
    report.conclude(stopped)
}

/// Why no more was read.
enum Stopped {
    AtEnd,
    Interrupted,
    /// What comes would fail as well.
    Hopeless,
    Unreadable(String),
}

/// Sends until the source ends and all receipts are there, or it makes no sense to go on.
async fn send_all(
    arguments: &Arguments,
    producer: &Producer,
    source: &mut Source,
    flight: &mut Flight,
    report: &mut Report<'_>,
    interrupts: &mut Interrupts,
) -> Stopped {
    let mut at_end = false;
    let mut number = 0;
    loop {
        if report.hopeless {
            return Stopped::Hopeless;
        }
        if at_end && flight.queue.is_empty() {
            return Stopped::AtEnd;
        }
        tokio::select! {
            biased;
            () = interrupts.next() => return Stopped::Interrupted,
            (number, result) = flight.next(), if !flight.queue.is_empty() => report.settled(number, result),
            read = source.next(), if !at_end && flight.has_room() => match read {
                Ok(Some(payload)) => {
                    number += 1;
                    let bytes = payload.len();
                    let mut message = producer.new_message().payload(payload);
                    if let Some(key) = &arguments.key {
                        message = message.key(key);
                    }
                    for (name, value) in &arguments.properties {
                        message = message.property(name, value);
                    }
                    flight.push(Pending { number, bytes, sending: message.send() });
                    if number % BURST == 0 {
                        report.show();
                        tokio::task::yield_now().await;
                    }
                }
                Ok(None) => at_end = true,
                Err(why) => return Stopped::Unreadable(why),
            },
        }
        if report.output.buffer.len() > 32 * 1024 || flight.queue.is_empty() {
            report.show();
            tokio::select! {
                biased;
                // That ids are not read makes no message worse.
                _ = report.output.flush() => {}
                () = interrupts.next() => return Stopped::Interrupted,
            }
        }
    }
}

/// Waits for the receipts of what is on its way, for a while.
async fn drain(flight: &mut Flight, report: &mut Report<'_>, interrupts: &mut Interrupts) {
    let until = tokio::time::Instant::now() + DRAIN;
    while !flight.queue.is_empty() {
        tokio::select! {
            biased;
            (number, result) = flight.next() => report.settled(number, result),
            () = tokio::time::sleep_until(until) => return,
            () = interrupts.next() => return,
        }
    }
}

/// What has been sent and waits for its receipt, in order.
#[derive(Default)]
struct Flight {
    queue: VecDeque<Pending>,
    bytes: usize,
}

struct Pending {
    number: u64,
    bytes: usize,
    sending: Sending,
}

impl Flight {
    fn has_room(&self) -> bool {
        self.queue.len() < WINDOW && self.bytes < WINDOW_BYTES
    }

    fn push(&mut self, pending: Pending) {
        self.bytes += pending.bytes;
        self.queue.push_back(pending);
    }

    /// How the oldest ended.
    async fn next(&mut self) -> (u64, Result<MessageId, Error>) {
        let result = poll_fn(|cx| match self.queue.front_mut() {
            Some(oldest) => Pin::new(&mut oldest.sending).poll(cx),
            None => Poll::Pending,
        })
        .await;
        let number = self.queue.pop_front().map_or(0, |oldest| {
            self.bytes -= oldest.bytes;
            oldest.number
        });
        (number, result)
    }
}

/// How it goes, and how it went.
struct Report<'a> {
    arguments: &'a Arguments,
    stored: u64,
    failed: u64,
    /// Sent, and without a receipt in the end.
    unknown: u64,
    hopeless: bool,
    output: Output,
    progress: Progress,
    began: Instant,
}

impl<'a> Report<'a> {
    fn new(arguments: &'a Arguments, total: Option<u64>) -> Self {
        Self {
            arguments,
            stored: 0,
            failed: 0,
            unknown: 0,
            hopeless: false,
            output: Output::new(),
            progress: Progress::new(total, arguments.ids || arguments.json_ids),
            began: Instant::now(),
        }
    }

    fn show(&self) {
        self.progress.set(self.stored, "stored");
    }

    fn settled(&mut self, number: u64, result: Result<MessageId, Error>) {
        let printed = match &result {
            Ok(id) if self.arguments.ids => Some(id.to_string()),
            Ok(id) if self.arguments.json_ids => {
                Some(serde_json::json!({ "message": number, "id": id.to_string() }).to_string())
            }
            Err(error) if self.arguments.json_ids => {
                let failed = serde_json::json!({ "message": number, "error": error.code(), "reason": error.to_string() });
                Some(failed.to_string())
            }
            _ => None,
        };
        if let Some(line) = printed {
            self.output.buffer.extend_from_slice(line.as_bytes());
            self.output.buffer.push(b'\n');
        }
        match result {
            Ok(_) => self.stored += 1,
            Err(error) => {
                self.failed += 1;
                if self.failed <= TOLD {
                    self.progress.note(&format!("message {number} is not stored: {error}."));
                }
                // Of this message alone; anything else meets the next ones as well.
                self.hopeless |= error.kind() != ErrorKind::MessageTooLarge;
            }
        }
    }

    fn conclude(self, stopped: Stopped) -> Result<Ended, Failure> {
        let Report { stored, failed, unknown, .. } = self;
        let summary = match (&stopped, failed) {
            (Stopped::AtEnd, 0) => format!("{} stored in {:.1?}", messages(stored), self.began.elapsed()),
            _ => String::new(),
        };
        self.progress.finish(&summary);
        let mut outcome = format!("{} stored", messages(stored));
        if failed > 0 {
            outcome += &format!(", {failed} not");
        }
        if unknown > 0 {
            outcome += &format!(", {unknown} sent without a receipt: they may be stored or not");
        }
        match stopped {
            Stopped::Interrupted => {
                note(&format!("interrupted: {outcome}."));
                Ok(Ended::Interrupted)
            }
            Stopped::Unreadable(why) => Err(Failure::failed(format!("{why}. {outcome}."))),
            Stopped::Hopeless => Err(Failure::failed(format!("stopped: {outcome}."))),
            Stopped::AtEnd if failed > 0 => Err(Failure::failed(format!("{outcome}."))),
            Stopped::AtEnd => Ok(Ended::Done),
        }
    }
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message is".to_owned() } else { format!("{count} messages are") }
}

/// Where messages come from, each `repeat` times.
struct Source {
    from: From,
    repeat: u64,
    last: Bytes,
    again: u64,
}

enum From {
    Arguments(std::vec::IntoIter<String>),
    Lines(Lines<Box<dyn AsyncBufRead + Unpin>>, String),
}

impl Source {
    async fn new(arguments: &Arguments) -> Result<Self, Failure> {
        let buffered = |reader: Box<dyn AsyncRead + Unpin>, name: String| {
            From::Lines(Lines::new(Box::new(BufReader::with_capacity(64 * 1024, reader))), name)
        };
        let from = match &arguments.file {
            Some(file) if file.as_os_str() != "-" => {
                let opened = File::open(file).await.map_err(|error| unreadable(file, &error))?;
                buffered(Box::new(opened), file.display().to_string())
            }
            None if !arguments.messages.is_empty() => From::Arguments(arguments.messages.clone().into_iter()),
            file => {
                if file.is_none() && std::io::stdin().is_terminal() {
                    return Err(Failure::usage(
                        "there is nothing to send: give messages as arguments, a file with --file, or lines on stdin (--file - reads them from the terminal).",
                    ));
                }
                buffered(Box::new(tokio::io::stdin()), "stdin".to_owned())
            }
        };
        Ok(Self { from, repeat: arguments.repeat, last: Bytes::new(), again: 0 })
    }

    /// How many there are, where that is known.
    fn total(&self) -> Option<u64> {
        match &self.from {
            From::Arguments(rest) => Some((rest.len() as u64).saturating_mul(self.repeat)),
            From::Lines(..) => None,
        }
    }

    /// The next message. Dropped while it waits, it loses nothing.
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        if self.again == 0 {
            let next = match &mut self.from {
                From::Arguments(rest) => rest.next().map(Bytes::from),
                From::Lines(lines, name) => {
                    lines.next().await.map_err(|why| format!("cannot read {name} further: {why}"))?
                }
            };
            let Some(message) = next else { return Ok(None) };
            (self.last, self.again) = (message, self.repeat);
        }
        self.again -= 1;
        Ok(Some(self.last.clone()))
    }
}

/// Lines as bytes, without their ends (`\n` or `\r\n`).
struct Lines<R> {
    reader: R,
    number: u64,
    /// What is read of the next one.
    begun: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    fn new(reader: R) -> Self {
        Self { reader, number: 0, begun: Vec::new() }
    }

    /// Dropped while it waits, it loses nothing.
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let read = self.reader.fill_buf().await.map_err(|error| error.to_string())?;
            let end = read.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(read.len());
            if read.is_empty() && self.begun.is_empty() {
                return Ok(None);
            }
            let at_end = read.is_empty() || end.is_some();
            self.begun.extend_from_slice(&read[..length]);
            self.reader.consume(length + usize::from(end.is_some()));
            if self.begun.len() > LONGEST_LINE {
                let (number, longest) = (self.number + 1, LONGEST_LINE >> 20);
                return Err(format!("line {number} is longer than {longest} MiB, which is no message"));
            }
            if at_end {
                self.number += 1;
                if end.is_some() && self.begun.last() == Some(&b'\r') {
                    self.begun.pop();
                }
                return Ok(Some(Bytes::from(std::mem::take(&mut self.begun))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8], buffer: usize) -> Vec<Bytes> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, text));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("reads") {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_are_split_wherever_the_reads_end() {
        for buffer in [1, 2, 3, 100] {
            assert_eq!(lines(b"", buffer).await, [""; 0], "{buffer}");
            assert_eq!(lines(b"\n", buffer).await, [""], "{buffer}");
            assert_eq!(lines(b"one\n\ntwo\r\nlast", buffer).await, ["one", "", "two", "last"], "{buffer}");
            assert_eq!(lines(b"\xff\r\r\n", buffer).await, [&b"\xff\r"[..]], "{buffer}");
        }
    }
}
