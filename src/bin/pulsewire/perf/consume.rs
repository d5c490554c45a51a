//! `pulsewire perf consume`.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use pulsewire::{Consumer, ErrorKind, InitialPosition, MessageId, SubscriptionType};

use super::tally::{Clock, Tally, Tasks};
use super::{Run, topics};
use crate::connect::{Connection, close};
use crate::failure::{Ended, Failure, note};
use crate::interrupt::Interrupts;

const AFTER_HELP: &str = "\
The latency is that from the producer's publish time, in whole milliseconds and by two clocks: of messages that
waited in the topic it says how old they are.

Examples:
  pulsewire perf consume --topic t --subscription s
  pulsewire perf consume --topic t --subscription s --messages 1000000 --ack cumulative --json";

/// Receive messages as fast as they come.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// The topic: `name` or `[persistent://]tenant/namespace/name`
    #[arg(short, long)]
    topic: String,
    /// Use so many topics: the name with -0, -1, ...
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    topics: u32,
    /// The subscription. It is made when it is not there, and stays
    #[arg(short, long, value_name = "NAME", default_value = "perf")]
    subscription: String,
    /// How the subscription shares its messages. Default: exclusive, or shared between several --consumers
    #[arg(long, value_enum)]
    subscription_type: Option<Type>,
    /// Consumers on each topic
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    consumers: u32,
    /// Where a subscription begins that is not there yet
    #[arg(long, value_enum, default_value_t = Position::Earliest)]
    subscription_position: Position,
    /// What is acknowledged
    #[arg(long, value_enum, default_value_t = Ack::Individual)]
    ack: Ack,
    /// Messages that may wait in a consumer
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    receiver_queue_size: u32,
    #[command(flatten)]
    pub(super) run: Run,
    #[command(flatten)]
    connection: Connection,
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

#[derive(Clone, Copy, ValueEnum)]
enum Position {
    /// The first message that is still there
    Earliest,
    /// What comes after this moment
    Latest,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ack {
    /// Each message
    Individual,
    /// All of them at once, at the end
    Cumulative,
    /// Nothing
    None,
}

impl Arguments {
    fn subscription_type(&self) -> SubscriptionType {
        match self.subscription_type {
            Some(Type::Exclusive) => SubscriptionType::Exclusive,
            Some(Type::Shared) => SubscriptionType::Shared,
            Some(Type::Failover) => SubscriptionType::Failover,
            Some(Type::KeyShared) => SubscriptionType::KeyShared,
            None if self.consumers > 1 => SubscriptionType::Shared,
            None => SubscriptionType::Exclusive,
        }
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<Ended, Failure> {
    let mut interrupts = Interrupts::new()?;
    let client = arguments.connection.client()?;
    let clock = Clock::start();
    let mut consumers = Vec::new();
    for topic in topics(&arguments.topic, arguments.topics) {
        for _ in 0..arguments.consumers {
            let builder = client
                .consumer(&topic, &arguments.subscription)
                .subscription_type(arguments.subscription_type())
                .receiver_queue_size(arguments.receiver_queue_size)
                .initial_position(match arguments.subscription_position {
                    Position::Earliest => InitialPosition::Earliest,
                    Position::Latest => InitialPosition::Latest,
                });
            let opened = arguments.connection.open(&mut interrupts, builder.subscribe()).await?;
            let Some(consumer) = opened else { return Ok(Ended::Interrupted) };
            consumers.push(consumer);
        }
    }
    let mut tasks = Tasks::new(arguments.run.messages)?;
    for consumer in consumers {
        tasks.spawn(|tally| receive(consumer, arguments.ack, tally));
    }
    let (summary, ended) = tasks.run(&arguments.run, clock, &mut interrupts).await?;
    // Sends the acknowledgments as well.
    close(&client, &mut interrupts).await;
    match arguments.run.json {
        true => summary.print_json(),
        false => summary.print("from publish time to receive"),
    }
    if let Some(failure) = summary.first_failure {
        return Err(Failure::failed(format!("{} failures; the first: {failure}.", summary.failed)));
    }
    if ended == Ended::Interrupted {
        note("interrupted before the end.");
    }
    Ok(ended)
}

/// Receives until there are enough.
async fn receive(consumer: Consumer, ack: Ack, mut tally: Tally) {
    let mut last: Option<MessageId> = None;
    let mut stopped = std::pin::pin!(tally.stopped());
    loop {
        let received = tokio::select! {
            biased;
            received = consumer.receive() => received,
            () = &mut stopped => break,
        };
        // Not before there is one: who waits in vain must not keep it from those who have more.
        let Some(number) = tally.claim() else { break };
        match received {
            Ok(message) => {
                let id = message.id();
                // Those of a batch were published together.
                if id.batch_index <= 0 {
                    let age = wall().saturating_sub(Duration::from_millis(message.publish_time()));
                    tally.latency(age, u64::from(id.batch_size.max(1).unsigned_abs()));
                }
                tally.done(message.payload().len());
                last = Some(id);
                if ack == Ack::Individual
                    && let Err(error) = consumer.acknowledge_id(id)
                {
                    tally.failed(&error);
                }
            }
            Err(error) => {
                tally.failed(&error);
                // After one that cannot be read others come.
                if !matches!(error.kind(), ErrorKind::Corrupted | ErrorKind::NotSupported) {
                    break;
                }
            }
        }
        if tally.was_last(number) {
            break;
        }
    }
    if ack == Ack::Cumulative
        && let Some(last) = last
        && let Err(error) = consumer.acknowledge_cumulative(last)
    {
        tally.failed(&error);
    }
}

/// The time since the Unix epoch.
fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
