//! `pulsewire consume`.

mod format;

use std::time::Duration;

use clap::{Args, ValueEnum};
use pulsewire::{Client, Consumer, Error, InitialPosition, Message, MessageId, SubscriptionType};
use tokio::time::Instant;

use crate::connect::{Connection, close, seconds};
use crate::failure::{Ended, Failure, note};
use crate::interrupt::Interrupts;
use crate::output::{Output, reader_gone};
use crate::progress::Progress;
use format::{Format, Printer};

/// How long silence must last before what was there counts as printed.
const QUIET: Duration = Duration::from_secs(2);
/// Messages that wait in the client.
const QUEUE: u64 = 1000;
/// Bytes that are written, and then acknowledged, together.
const TOGETHER: usize = 128 * 1024;
/// Unreadable messages that are told one by one.
const TOLD: u64 = 5;

const AFTER_HELP: &str = "\
Without --follow and -n it prints what the topic has when it begins and then ends: at the topic's last
message, or after 2 s (--timeout) without one, since the subscription may have had the last ones already.

A message is acknowledged after it is written to stdout: what could not be written comes again.

Formats:
  text  the payload and a line end; on a terminal control characters are escaped
  json  one object a line: id, topic, key, keyEncoding (text, or base64 for keys of bytes), properties,
        publishTime, eventTime (ms since 1970, or null), redeliveryCount, producerName, payload and
        payloadEncoding (text, or base64 where the bytes are not UTF-8; both null for a null value)
  hex   the payload as lower-case hexadecimal digits

Examples:
  pulsewire consume news -s me
  pulsewire consume news -s me --follow --format json | jq .payload
  pulsewire consume news -s me -n 1 --timeout 5 || echo nothing came

Exit code 1 also when fewer than -n messages came before --timeout; 130 after Ctrl-C.";

/// Print the messages of a topic.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The topic: `name` or `[persistent://]tenant/namespace/name`
    topic: String,
    /// The subscription, which remembers what is acknowledged. It is made when it is not there, and stays
    #[arg(short, long, value_name = "NAME")]
    subscription: String,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// End after so many messages, waiting for them
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    /// Where a subscription begins that is not there yet
    #[arg(long, value_enum, default_value_t = From::Earliest)]
    from: From,
    /// How the subscription shares its messages
    #[arg(short = 't', long = "type", value_enum, default_value_t = Type::Exclusive)]
    kind: Type,
    /// How messages are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Leave the messages unacknowledged: they come again
    #[arg(long)]
    no_ack: bool,
    /// The consumer's name. Default: a random one
    #[arg(long)]
    name: Option<String>,
    /// End when no message has come for so long. Default: 2 without --follow and -n, else never
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    timeout: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    /// The first message that is still there
    Earliest,
    /// What comes after this moment
    Latest,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    /// One consumer
    Exclusive,
    /// Any number, each message to one of them
    Shared,
    /// One is active, the others wait
    Failover,
    /// Any number, messages of one key to one of them
    KeyShared,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Ended, Failure> {
    let mut interrupts = Interrupts::new()?;
    let client = arguments.connection.client()?;
    let opening = open(&client, &arguments);
    let Some((consumer, last)) = arguments.connection.open(&mut interrupts, opening).await? else {
        return Ok(Ended::Interrupted);
    };
    let mut run = Run {
        arguments: &arguments,
        printer: Printer::new(arguments.format),
        output: Output::new(),
        progress: Progress::new(arguments.number, true),
        printed: 0,
        unreadable: 0,
    };
    let stopped = match last {
        // Entry -1: there is none.
        Some(last) if last.entry_id == MessageId::EARLIEST.entry_id => Ok(Stopped::AtEnd),
        last => run.print(&consumer, last, &mut interrupts).await,
    };
    run.progress.finish("");
    // Sends the acknowledgments as well.
    let closed = close(&client, &mut interrupts).await;
    if !closed && !arguments.no_ack && run.printed > 0 {
        note("the broker did not confirm in time: the last messages may come again.");
    }
    run.conclude(stopped?)
}

/// Subscribes, and asks for the last message where it ends there.
async fn open(client: &Client, arguments: &Arguments) -> Result<(Consumer, Option<MessageId>), Error> {
    let wanted = arguments.number.unwrap_or(QUEUE).min(QUEUE);
    let mut builder = client
        .consumer(&arguments.topic, &arguments.subscription)
        .receiver_queue_size(u32::try_from(wanted).unwrap_or(1))
        .initial_position(match arguments.from {
            From::Earliest => InitialPosition::Earliest,
            From::Latest => InitialPosition::Latest,
        })
        .subscription_type(match arguments.kind {
            Type::Exclusive => SubscriptionType::Exclusive,
            Type::Shared => SubscriptionType::Shared,
            Type::Failover => SubscriptionType::Failover,
            Type::KeyShared => SubscriptionType::KeyShared,
        });
    if let Some(name) = &arguments.name {
        builder = builder.name(name);
    }
    let consumer = builder.subscribe().await?;
    // What is not kept has no last message: it ends by silence.
    let ends = !arguments.follow && arguments.number.is_none() && consumer.topic().starts_with("persistent:");
    let last = if ends { Some(consumer.last_message_id().await?) } else { None };
    Ok((consumer, last))
}

/// Why no more is printed.
enum Stopped {
    AtEnd,
    Silence,
    Interrupted,
}

struct Run<'a> {
    arguments: &'a Arguments,
    printer: Printer,
    output: Output,
    progress: Progress,
    printed: u64,
    unreadable: u64,
}

impl Run<'_> {
    async fn print(
        &mut self,
        consumer: &Consumer,
        last: Option<MessageId>,
        interrupts: &mut Interrupts,
    ) -> Result<Stopped, Failure> {
        let bounded = self.arguments.follow || self.arguments.number.is_some();
        let quiet = self.arguments.timeout.or((!bounded).then_some(QUIET));
        let mut gone = std::pin::pin!(reader_gone());
        let mut together: Vec<MessageId> = Vec::new();
        loop {
            let silence = quiet.map(|quiet| Instant::now() + quiet);
            let received = tokio::select! {
                biased;
                () = interrupts.next() => return Ok(Stopped::Interrupted),
                () = &mut gone => return Ok(Stopped::AtEnd),
                received = consumer.receive() => received,
                () = sleep_until(silence) => return Ok(Stopped::Silence),
            };
            let mut at_end = self.take(received, last, &mut together)?;
            // What has come by now is written with it.
            while !at_end && self.output.buffer.len() < TOGETHER {
                match consumer.try_receive() {
                    Ok(None) => break,
                    Ok(Some(message)) => at_end = self.take(Ok(message), last, &mut together)?,
                    Err(error) => at_end = self.take(Err(error), last, &mut together)?,
                }
            }
            let written = tokio::select! {
                biased;
                written = self.output.flush() => written,
                () = interrupts.next() => return Ok(Stopped::Interrupted),
            };
            match written {
                Ok(true) => {}
                // Who read it has seen enough.
                Ok(false) => return Ok(Stopped::AtEnd),
                Err(error) => return Err(Failure::failed(format!("cannot write to stdout: {error}."))),
            }
            self.printed += together.len() as u64;
            self.progress.set(self.printed, "received");
            for id in together.drain(..) {
                if !self.arguments.no_ack {
                    consumer.acknowledge_id(id).map_err(|error| self.failure(&error))?;
                }
            }
            if at_end {
                return Ok(Stopped::AtEnd);
            }
        }
    }

    /// Puts a message to the output; whether it was the last one.
    fn take(
        &mut self,
        received: Result<Message, Error>,
        last: Option<MessageId>,
        together: &mut Vec<MessageId>,
    ) -> Result<bool, Failure> {
        let message = match received {
            Ok(message) => message,
            // Only that one: the next call goes on after it.
            Err(error) if matches!(error.code(), "Corrupted" | "NotSupported") => {
                self.unreadable += 1;
                if self.unreadable <= TOLD {
                    self.progress.note(&format!("a message cannot be read: {error}."));
                }
                return Ok(false);
            }
            Err(error) => return Err(self.failure(&error)),
        };
        self.printer.print(&message, &mut self.output.buffer);
        together.push(message.id());
        let enough = self.arguments.number == Some(self.printed + together.len() as u64);
        Ok(enough || last.is_some_and(|last| is_last(message.id(), last)))
    }

    fn failure(&self, error: &Error) -> Failure {
        Failure::client(error, &self.arguments.connection.url)
    }

    fn conclude(self, stopped: Stopped) -> Result<Ended, Failure> {
        let printed = self.printed;
        match (stopped, self.arguments.number) {
            (Stopped::Interrupted, _) => {
                let what = if self.arguments.no_ack { "printed" } else { "printed and acknowledged" };
                note(&format!("interrupted: {printed} messages {what}."));
                Ok(Ended::Interrupted)
            }
            (Stopped::Silence, Some(wanted)) => {
                Err(Failure::failed(format!("only {printed} of {wanted} messages came in time.")))
            }
            _ if self.unreadable > 0 => {
                Err(Failure::failed(format!("{} messages could not be read.", self.unreadable)))
            }
            _ => Ok(Ended::Done),
        }
    }
}

/// Whether nothing of what was there at the beginning comes after `id`.
fn is_last(id: MessageId, last: MessageId) -> bool {
    let (at, end) = ((id.ledger_id, id.entry_id), (last.ledger_id, last.entry_id));
    // Of a batch, its last message; not all brokers say which that is.
    at > end || (at == end && (id.batch_index + 1 >= id.batch_size))
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
