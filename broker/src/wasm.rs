//! What the module behind the npm package's `pulsewire/testing` exports. Conversion only: the other side
//! of this boundary is `js/src/testing/module.ts`.

#![allow(unreachable_pub, reason = "reached from JavaScript")]

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use js_sys::{Array, BigInt, Function, Object, Reflect, Uint8Array};
use pulsewire_proto::wire::{CompressionType, ServerError};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use crate::core::names::TopicName;
use crate::core::{ConnId, Now, SendFailure, StoredMessage};
use crate::testing::{Harness, TestError};

thread_local! {
    static PANIC: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Calls `handler` with the message of a panic, just before the module aborts.
#[wasm_bindgen(js_name = setPanicHandler)]
pub fn set_panic_handler(handler: Function) {
    PANIC.with_borrow_mut(|set| *set = Some(handler));
    std::panic::set_hook(Box::new(|panic| {
        PANIC.with_borrow(|handler| {
            if let Some(handler) = handler {
                // It is over in any case.
                let _ = handler.call1(&JsValue::UNDEFINED, &JsValue::from_str(&panic.to_string()));
            }
        });
    }));
}

/// One broker. Every call takes the host's time: milliseconds of a monotonic clock, and since the Unix
/// epoch.
#[wasm_bindgen]
pub struct TestEngine {
    harness: Harness,
}

#[wasm_bindgen]
impl TestEngine {
    /// Makes a broker. The options are checked already.
    #[wasm_bindgen(constructor)]
    pub fn new(
        max_stored_bytes: f64,
        max_message_size: f64,
        auto_create_topics: bool,
        default_partitions: u32,
        deduplication: bool,
    ) -> Self {
        let mut config = Harness::config();
        config.max_stored_bytes = max_stored_bytes as usize;
        config.max_message_size = max_message_size as usize;
        config.auto_create_topics = auto_create_topics;
        config.default_partitions = default_partitions;
        config.deduplication = deduplication;
        Self { harness: Harness::new(config) }
    }

    /// A connection's number; 0 when nobody is let in.
    pub fn connect(&mut self, mono: f64, wall: f64) -> f64 {
        self.harness.connect(now(mono, wall)).map_or(0.0, |id| id.0 as f64)
    }

    /// Bytes came from a client.
    pub fn received(&mut self, conn: f64, bytes: Vec<u8>, mono: f64, wall: f64) {
        self.harness.received(id(conn), Bytes::from(bytes), now(mono, wall));
    }

    /// A client's connection is gone.
    pub fn closed(&mut self, conn: f64, mono: f64, wall: f64) {
        self.harness.closed(id(conn), now(mono, wall));
    }

    /// The next bytes for a client, `{ conn, bytes }`. They count as written.
    #[wasm_bindgen(js_name = pollTransmit)]
    pub fn poll_transmit(&mut self, mono: f64, wall: f64) -> Option<Object> {
        let (conn, segments) = self.harness.poll_transmit()?;
        let size: usize = segments.iter().map(Bytes::len).sum();
        let bytes = Uint8Array::new_with_length(u32::try_from(size).ok()?);
        let mut at = 0;
        for segment in &segments {
            let end = at + segment.len() as u32;
            bytes.subarray(at, end).copy_from(segment);
            at = end;
        }
        self.harness.transmitted(conn, size, now(mono, wall));
        Some(object(&[("conn", (conn.0 as f64).into()), ("bytes", bytes.into())]))
    }

    /// The next connection to be closed, `{ conn, reason }`.
    #[wasm_bindgen(js_name = pollDisconnect)]
    pub fn poll_disconnect(&mut self) -> Option<Object> {
        let (conn, reason) = self.harness.poll_disconnect()?;
        Some(object(&[("conn", (conn.0 as f64).into()), ("reason", reason.into())]))
    }

    /// When `timeout` is due, by the monotonic clock.
    #[wasm_bindgen(js_name = nextDeadline)]
    pub fn next_deadline(&self) -> Option<f64> {
        self.harness.next_deadline().map(|at| at.as_secs_f64() * 1000.0)
    }

    /// Time passed.
    pub fn timeout(&mut self, mono: f64, wall: f64) {
        self.harness.timeout(now(mono, wall));
    }

    /// Whether bytes of a client are wanted.
    pub fn wants(&self, conn: f64) -> bool {
        self.harness.wants_bytes(id(conn))
    }

    /// Milliseconds that the clocks can still be put forward.
    #[wasm_bindgen(js_name = advanceLeft)]
    pub fn advance_left(&self) -> f64 {
        self.harness.advance_left().as_secs_f64() * 1000.0
    }

    /// Puts the clocks forward.
    pub fn advance(&mut self, by: f64, mono: f64, wall: f64) {
        self.harness.advance(millis(by), now(mono, wall));
    }

    /// What the broker's wall clock shows.
    pub fn wall(&self, mono: f64, wall: f64) -> f64 {
        self.harness.wall_ms(now(mono, wall)) as f64
    }

    /// Plans sends to fail; the error is Pulsar's number, or negative for no answer.
    #[wasm_bindgen(js_name = failSends)]
    pub fn fail_sends(
        &mut self,
        error: i32,
        message: String,
        topic: Option<String>,
        times: u32,
    ) -> Result<(), JsValue> {
        let name = |topic: String| {
            TopicName::parse(&topic)
                .map_err(|message| TestError { code: ServerError::INVALID_TOPIC_NAME, message })
        };
        let topic = topic.map(name).transpose().map_err(thrown)?;
        let error = (error >= 0).then_some(ServerError(error));
        self.harness.fail_sends(SendFailure { error, message, topic, times }).map_err(thrown)
    }

    /// All connections.
    pub fn connections(&self) -> Array {
        let connections = self.harness.connections().into_iter().map(|conn| {
            let producers = conn
                .producers
                .into_iter()
                .map(|(topic, name)| object(&[("topic", topic.into()), ("name", name.into())]));
            let consumers = conn.consumers.into_iter().map(|(topic, subscription, name)| {
                object(&[
                    ("topic", topic.into()),
                    ("subscription", subscription.into()),
                    ("name", name.into()),
                ])
            });
            object(&[
                ("id", (conn.id as f64).into()),
                ("producers", producers.collect::<Array>().into()),
                ("consumers", consumers.collect::<Array>().into()),
            ])
        });
        connections.collect()
    }

    /// Cuts a connection; false when it is not there.
    pub fn disconnect(&mut self, conn: f64, mono: f64, wall: f64) -> bool {
        self.harness.disconnect(id(conn), now(mono, wall))
    }

    /// Whether newcomers are let in.
    #[wasm_bindgen(js_name = setReachable)]
    pub fn set_reachable(&mut self, reachable: bool) {
        self.harness.set_reachable(reachable);
    }

    /// Makes a topic, with 0 partitions one without.
    #[wasm_bindgen(js_name = createTopic)]
    pub fn create_topic(
        &mut self,
        topic: &str,
        partitions: u32,
        mono: f64,
        wall: f64,
    ) -> Result<(), JsValue> {
        self.harness.create_topic(topic, partitions, now(mono, wall)).map_err(thrown)
    }

    /// Deletes a topic.
    #[wasm_bindgen(js_name = deleteTopic)]
    pub fn delete_topic(&mut self, topic: &str, mono: f64, wall: f64) -> Result<(), JsValue> {
        self.harness.delete_topic(topic, now(mono, wall)).map_err(thrown)
    }

    /// Sets after how many seconds subscriptions pass over a message.
    #[wasm_bindgen(js_name = setMessageTtl)]
    pub fn set_message_ttl(
        &mut self,
        topic: &str,
        seconds: u32,
        mono: f64,
        wall: f64,
    ) -> Result<(), JsValue> {
        self.harness.set_message_ttl(topic, seconds.into(), now(mono, wall)).map_err(thrown)
    }

    /// Names of all topics.
    pub fn topics(&self) -> Vec<String> {
        self.harness.topics()
    }

    /// How many partitions a topic has.
    pub fn partitions(&self, topic: &str) -> Result<u32, JsValue> {
        self.harness.partitions(topic).map_err(thrown)
    }

    /// The messages that a topic stores.
    pub fn messages(&self, topic: &str) -> Result<Array, JsValue> {
        Ok(self.harness.messages(topic).map_err(thrown)?.into_iter().map(message).collect())
    }

    /// The subscriptions of a topic.
    pub fn subscriptions(&self, topic: &str) -> Result<Array, JsValue> {
        let subscriptions = self.harness.subscriptions(topic).map_err(thrown)?;
        let subscriptions = subscriptions.into_iter().map(|sub| {
            let consumers: Array = sub.consumers.into_iter().map(JsValue::from).collect();
            object(&[
                ("name", sub.name.into()),
                ("kind", sub.kind.into()),
                ("durable", sub.durable.into()),
                ("backlog", (sub.backlog as f64).into()),
                ("unacked", (sub.unacked as f64).into()),
                ("delayed", (sub.delayed as f64).into()),
                ("consumers", consumers.into()),
            ])
        });
        Ok(subscriptions.collect())
    }
}

fn message(message: StoredMessage) -> Object {
    let mut properties = Vec::new();
    for (name, value) in message.properties {
        properties.extend([JsValue::from(name), value.into()]);
    }
    let bytes = |bytes: &Bytes| JsValue::from(Uint8Array::from(bytes.as_ref()));
    let packed = match message.compression {
        CompressionType::NONE => JsValue::UNDEFINED,
        CompressionType::LZ4 => "LZ4".into(),
        CompressionType::ZLIB => "ZLIB".into(),
        CompressionType::ZSTD => "ZSTD".into(),
        CompressionType::SNAPPY => "SNAPPY".into(),
        other => format!("codec {}", other.0).into(),
    };
    object(&[
        ("topic", message.topic.into()),
        ("ledger", BigInt::from(message.ledger_id).into()),
        ("entry", BigInt::from(message.entry_id).into()),
        ("partition", message.partition.into()),
        ("batchIndex", message.batch_index.into()),
        ("batchSize", message.batch_size.into()),
        ("payload", bytes(&message.payload)),
        ("nullValue", message.null_value.into()),
        ("key", message.key.into()),
        ("keyIsBase64", message.key_is_base64.into()),
        ("orderingKey", message.ordering_key.as_ref().map_or(JsValue::UNDEFINED, bytes)),
        ("properties", properties.into_iter().collect::<Array>().into()),
        ("producerName", message.producer_name.into()),
        ("sequenceId", BigInt::from(message.sequence_id).into()),
        ("publishTime", (message.publish_time as f64).into()),
        ("storedTime", (message.stored_time as f64).into()),
        ("eventTime", (message.event_time as f64).into()),
        ("deliverAt", (message.deliver_at as f64).into()),
        ("compression", packed),
        ("encrypted", message.encrypted.into()),
    ])
}

fn object(fields: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in fields {
        // That cannot fail on an object of ours.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object
}

/// An error as JavaScript is told it: `{ code, message, retryable }`.
fn thrown(error: TestError) -> JsValue {
    let code = match error.code {
        ServerError::INVALID_TOPIC_NAME => "InvalidTopicName",
        ServerError::TOPIC_NOT_FOUND => "TopicNotFound",
        _ => "NotAllowed",
    };
    object(&[("code", code.into()), ("message", error.message.into()), ("retryable", false.into())])
        .unchecked_into()
}

/// Numbers of connections count up from 1: they stay exact in a double.
fn id(conn: f64) -> ConnId {
    ConnId(conn as u64)
}

fn now(mono: f64, wall: f64) -> Now {
    Now::new(millis(mono), wall as u64)
}

fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
}
