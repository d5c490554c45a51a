//! Workloads whose memory is counted; `held` says how many bytes are allocated now.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::entry::encode_entry;
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command, encode_with_entry};
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    Action, Client, ClientConfig, ConnId, ConsumerConfig, ConsumerId, MessageId, Now, RedeliveryBackoff,
    ServiceUrl, SubscriptionType, Time, TopicName,
};

/// How many there are of everything.
pub(crate) const MANY: u64 = 1_000_000;

struct Host {
    client: Client,
    conn: ConnId,
    consumer: ConsumerId,
    now: Now,
    out: VecDeque<Bytes>,
    decoder: FrameDecoder,
}

impl Host {
    /// A consumer of a shared subscription.
    fn open(config: impl FnOnce(&mut ConsumerConfig)) -> Self {
        let url = ServiceUrl::parse("pulsar://broker").expect("a URL");
        let mut client = Client::new(ClientConfig::new(url), 1).expect("options");
        let now = Now { time: Time::from_micros(1_000_000), wall_ms: 1_700_000_000_000 };
        let mut options = ConsumerConfig::new(TopicName::parse("t").expect("a topic"), "s");
        options.subscription_type = SubscriptionType::Shared;
        config(&mut options);
        let (consumer, _) = client.subscribe(options, now).expect("options");
        let Some(Action::Connect { conn, .. }) = client.poll_action() else { panic!("a connection") };
        client.connected(conn, now);
        let decoder = FrameDecoder::new(DEFAULT_MAX_MESSAGE_SIZE);
        let mut host = Self { client, conn, consumer, now, out: VecDeque::new(), decoder };
        while let answers @ 1.. = host.turn() {
            assert!(answers < 10);
        }
        host
    }

    /// Writes what there is to write, and answers it; how many answers there were.
    fn turn(&mut self) -> usize {
        self.client.poll_transmit(self.conn, &mut self.out);
        let mut answers = BytesMut::new();
        let mut n = 0;
        for bytes in self.out.drain(..) {
            self.decoder.push(bytes);
            while let Some(frame) = self.decoder.next_frame().expect("a frame") {
                if let Some(answer) = answer(frame.decode().expect("a command")) {
                    encode_command(&answer, &mut answers);
                    n += 1;
                }
            }
        }
        if n > 0 {
            self.client.received(self.conn, answers.freeze(), self.now);
        }
        while self.client.poll_event().is_some() {}
        n
    }

    fn pass(&mut self, duration: Duration) {
        self.now.time = self.now.time + duration;
        self.client.timeout(self.now);
        self.turn();
    }
}

fn answer(command: Command) -> Option<Command> {
    Some(match command {
        Command::Connect(_) => CommandConnected {
            server_version: "test".to_owned(),
            protocol_version: Some(PROTOCOL_VERSION),
            ..Default::default()
        }
        .into(),
        Command::PartitionedTopicMetadata(asked) => CommandPartitionedTopicMetadataResponse {
            partitions: Some(0),
            request_id: asked.request_id,
            response: Some(PartitionedMetadataResult::SUCCESS),
            ..Default::default()
        }
        .into(),
        Command::LookupTopic(asked) => CommandLookupTopicResponse {
            broker_service_url: Some("pulsar://broker:6650".to_owned()),
            response: Some(LookupResult::CONNECT),
            request_id: asked.request_id,
            ..Default::default()
        }
        .into(),
        Command::Subscribe(asked) => CommandSuccess { request_id: asked.request_id, schema: None }.into(),
        Command::Ping(_) => CommandPong::default().into(),
        _ => return None,
    })
}

fn at(entry_id: u64) -> MessageId {
    "1:0".parse::<MessageId>().map(|id| MessageId { entry_id, ..id }).expect("an id")
}

/// Bytes for a million outstanding negative acknowledgements: of every `step`-th entry, at as many times as
/// `counts` different redelivery counts give, and handed in over ten seconds.
pub(crate) fn negative_acks(step: u64, counts: u64, held: fn() -> usize) -> usize {
    let backoff = RedeliveryBackoff {
        min_delay: Duration::from_secs(11),
        max_delay: Duration::from_secs(600),
        multiplier: 1.2,
    };
    let mut host = Host::open(|config| config.negative_ack_redelivery_backoff = Some(backoff));
    let before = held();
    for n in 0..MANY {
        if n % (MANY / 1000) == 0 {
            host.pass(Duration::from_millis(10));
        }
        let count = (n * 7 % counts) as u32;
        let nacked = host.client.negative_acknowledge_all(host.consumer, [(at(n * step), count)], host.now);
        nacked.expect("open");
    }
    let most = held().saturating_sub(before);
    // They all come again, and then nothing is left of them.
    for _ in 0..6_000 {
        host.pass(Duration::from_millis(100));
    }
    let left = held().saturating_sub(before);
    assert!(left < 256 * 1024, "{left} bytes are left");
    most
}

/// The most bytes while a million messages of 10 bytes are received from a queue of 1,000 and each is
/// acknowledged; and how much of that is left when all are.
pub(crate) fn individual_acks(batch: u64, held: fn() -> usize) -> (usize, usize) {
    let mut host = Host::open(|_| {});
    let metadata = MessageMetadata {
        producer_name: "p".to_owned(),
        num_messages_in_batch: (batch > 1).then_some(batch as i32),
        ..Default::default()
    };
    let mut payload = BytesMut::new();
    for _ in 0..batch {
        wire_message(&mut payload, batch > 1);
    }
    let mut entry = BytesMut::new();
    encode_entry(&metadata, &payload, &mut entry);
    let before = held();
    let (mut most, mut received) = (0, 0);
    for n in 0..MANY / batch {
        let command = CommandMessage {
            consumer_id: host.consumer.0,
            message_id: MessageIdData { ledger_id: 1, entry_id: n, ..Default::default() },
            ..Default::default()
        };
        let mut frame = BytesMut::new();
        encode_with_entry(&command.into(), &entry, &mut frame);
        host.client.received(host.conn, frame.freeze(), host.now);
        if n % (1000 / batch) > 0 {
            continue;
        }
        while let Some(message) = host.client.take(host.consumer).expect("open") {
            host.client.delivered(host.consumer, 1);
            let id = message.expect("a message").id();
            host.client.acknowledge(host.consumer, id, false, host.now).expect("open");
            received += 1;
        }
        most = most.max(held().saturating_sub(before));
        host.pass(Duration::from_millis(1));
    }
    assert!(received + 1000 > MANY, "{received} messages were received");
    host.pass(Duration::from_secs(1));
    (most, held().saturating_sub(before))
}

fn wire_message(out: &mut BytesMut, in_batch: bool) {
    let payload = Bytes::from_static(b"0123456789");
    if in_batch {
        batch::push(out, &mut SingleMessageMetadata::default(), &payload);
    } else {
        out.extend_from_slice(&payload);
    }
}
