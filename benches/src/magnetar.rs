//! magnetar-proto, driven as magnetar-runtime-tokio 1.7.4 drives it, less its locks, tasks and wakes:
//! a send is `ProducerSlot::queue_send` and one poll of its future (`register_waker`); the driver's
//! turn is `poll_transmit_owned` and `poll_timeout`; bytes go in by `handle_bytes_owned`, followed by
//! a look for events that the driver acts on; a woken future asks `take_outcome`; receiving is
//! `pop_message`.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use magnetar_proto::producer::OutgoingMessage;
use magnetar_proto::{
    Connection, ConnectionConfig, ConnectionEvent, ConsumerHandle, CreateProducerRequest, OpOutcome,
    PendingOpKey, ProducerHandle, ProducerSlot, SubscribeRequest, TransmitOwned, pb,
};
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command};
use pulsewire_proto::wire::{Command, DEFAULT_MAX_MESSAGE_SIZE};

use crate::Client;
use crate::ours::answer;

pub(crate) struct Magnetar {
    conn: Connection,
    producer: ProducerHandle,
    slot: Arc<ProducerSlot>,
    consumer: ConsumerHandle,
    now: Instant,
    waker: Waker,
    /// Futures of sends, oldest first.
    waiting: VecDeque<PendingOpKey>,
}

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

impl Magnetar {
    fn transmit(&mut self) -> Vec<Bytes> {
        match self.conn.poll_transmit_owned() {
            TransmitOwned::Contiguous(bytes) => vec![bytes],
            TransmitOwned::Vectored(segments) => segments,
        }
    }

    fn handshake(&mut self) {
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_MESSAGE_SIZE);
        loop {
            let mut answers = BytesMut::new();
            let mut subscribed = false;
            for bytes in self.transmit().into_iter().filter(|bytes| !bytes.is_empty()) {
                decoder.push(bytes);
                while let Some(frame) = decoder.next_frame().expect("a frame") {
                    let command = frame.decode().expect("a command");
                    subscribed |= matches!(command, Command::Subscribe(_));
                    if let Some(answer) = answer(command) {
                        encode_command(&answer, &mut answers);
                    }
                }
            }
            if answers.is_empty() {
                break;
            }
            self.conn.handle_bytes_owned(self.now, answers).expect("answers");
            if subscribed {
                self.conn.initial_flow(self.consumer, self.now);
            }
        }
        while self.conn.poll_event().is_some() {}
    }
}

impl Client for Magnetar {
    const NAME: &'static str = "magnetar-proto 1.7.4";

    fn open() -> Self {
        let mut conn = Connection::new(ConnectionConfig::default(), Arc::new(SystemTime::now));
        conn.begin_handshake().expect("a handshake");
        let now = Instant::now();
        let connected = conn.poll_transmit();
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_MESSAGE_SIZE);
        decoder.push(connected);
        let connect = decoder.next_frame().expect("a frame").expect("a whole frame");
        let mut answers = BytesMut::new();
        encode_command(&answer(connect.decode().expect("CONNECT")).expect("CONNECTED"), &mut answers);
        conn.handle_bytes_owned(now, answers).expect("CONNECTED");
        let topic = "persistent://public/default/bench".to_owned();
        let producer =
            conn.create_producer(CreateProducerRequest { topic: topic.clone(), ..Default::default() });
        let consumer =
            conn.subscribe(SubscribeRequest { topic, subscription: "s".to_owned(), ..Default::default() });
        let slot = conn.producer(producer).expect("a producer").clone();
        let waker = Waker::from(Arc::new(Nothing));
        let mut this = Self { conn, producer, slot, consumer, now, waker, waiting: VecDeque::new() };
        this.handshake();
        this
    }

    fn ids(&self) -> (u64, u64) {
        (self.producer.0, self.consumer.0)
    }

    fn send(&mut self, payload: &Bytes) {
        let message = OutgoingMessage {
            payload: payload.clone(),
            metadata: pb::MessageMetadata::default(),
            uncompressed_size: payload.len() as u32,
            num_messages: 1,
            txn_id: None,
            source_message_id: None,
        };
        let sequence_id = self.slot.queue_send(message, 1_700_000_000_000, self.now).expect("a send");
        let key = PendingOpKey::Send(self.producer, sequence_id);
        assert!(self.conn.take_outcome(key).is_none());
        self.conn.register_waker(key, self.waker.clone());
        self.waiting.push_back(key);
    }

    fn turn(&mut self) {
        black_box(self.conn.poll_transmit_owned());
        black_box(self.conn.poll_timeout());
    }

    fn read(&mut self, bytes: Bytes) {
        self.now += Duration::from_micros(20);
        // Its driver owns the buffer that it read into; so does this one.
        let chunk = bytes.try_into_mut().expect("a buffer of its own");
        self.conn.handle_bytes_owned(self.now, chunk).expect("frames");
        let event = self.conn.poll_event_if(|event| {
            matches!(
                event,
                ConnectionEvent::AuthChallenge { .. }
                    | ConnectionEvent::TopicListChanged { .. }
                    | ConnectionEvent::TopicMigrated { .. }
                    | ConnectionEvent::RedirectUrlRejected { .. }
                    | ConnectionEvent::ReplicatedSubscriptionMarkerObserved { .. }
                    | ConnectionEvent::ChecksumMismatch { .. }
                    | ConnectionEvent::ActiveConsumerChanged { .. }
                    | ConnectionEvent::ConsumerStalled { .. }
            )
        });
        assert!(event.is_none(), "{event:?}");
    }

    fn outcomes(&mut self) -> usize {
        let mut sent = 0;
        while let Some(&key) = self.waiting.front() {
            match self.conn.take_outcome(key) {
                Some(OpOutcome::SendReceipt { message_id, .. }) => {
                    black_box(message_id);
                }
                Some(other) => panic!("{other:?}"),
                // Its future was not woken.
                None => break,
            }
            self.waiting.pop_front();
            sent += 1;
        }
        sent
    }

    fn receive(&mut self) -> usize {
        let mut bytes = 0;
        while let Some(message) = self.conn.pop_message(self.consumer, self.now) {
            bytes += message.payload.len();
            black_box(message.message_id);
        }
        bytes
    }
}
