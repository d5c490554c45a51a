//! What the compiled module of the npm package exports. Conversion only: the other side of this
//! boundary, and its rules, are written down in `js/src/core.ts`.

#![allow(unreachable_pub, reason = "reached from JavaScript")]

mod block;
mod options;
mod page;

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use js_sys::{Function, Uint8Array};
use pulsewire_proto::{
    Client, ConsumerId, Error, Key, Message, MessageId, Now, OpId, Outgoing, Payload, ProducerId, TopicName,
};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use crate::driver::Driver;
use crate::runtime::{self, Clock};
use crate::shared::Shared;
use options::{Meta, client_config, consumer_config, error_object, producer_config};
use page::{Opening, Page, PageSink};

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

/// One client.
#[wasm_bindgen]
pub struct Engine {
    shared: Arc<Shared<Page>>,
    /// Errors of messages that could not be read, behind those that were taken.
    unread: RefCell<Vec<(ConsumerId, Error)>>,
    /// Used again from call to call.
    messages: RefCell<Vec<Message>>,
    packed: RefCell<Vec<u8>>,
}

/// A packed block that is kept between calls grows no larger than this.
const KEPT: usize = 4 * 1024 * 1024;

#[wasm_bindgen]
impl Engine {
    /// Makes a client. Throws an error object when the URL or an option is bad.
    #[wasm_bindgen(constructor)]
    pub fn new(service_url: &str, options: &JsValue, sink: JsValue) -> Result<Self, JsValue> {
        let make = || {
            let core = Client::new(client_config(service_url, options)?, runtime::seed()?)?;
            let page = Page::new(sink.unchecked_into::<PageSink>());
            #[expect(
                clippy::arc_with_non_send_sync,
                reason = "the driver and its state are shared with the native world"
            )]
            let shared = Arc::new(Shared::new(core, page, Clock::new()));
            runtime::spawn(Driver::new(shared.clone(), runtime::default_connector()))?;
            Ok(Self {
                shared,
                unread: RefCell::default(),
                messages: RefCell::default(),
                packed: RefCell::default(),
            })
        };
        make().map_err(thrown)
    }

    /// Opens a producer; completes with `{ handle, name, topic }`.
    #[wasm_bindgen(js_name = createProducer)]
    pub fn create_producer(&self, options: &JsValue) -> Result<f64, JsValue> {
        let config = producer_config(options).map_err(thrown)?;
        let topic = config.topic.to_string();
        self.open(|core, now| {
            let (id, op) = core.create_producer(config, now)?;
            Ok((op, Opening { handle: id.0, topic, name: String::new() }))
        })
    }

    /// Opens a consumer; completes with `{ handle, name, topic }`.
    pub fn subscribe(&self, options: &JsValue) -> Result<f64, JsValue> {
        let mut config = consumer_config(options).map_err(thrown)?;
        let topic = config.topic.to_string();
        // Made up here and not in the core, so that the application can be told.
        let name = config.name.get_or_insert_with(random_name).clone();
        self.open(|core, now| {
            let (id, op) = core.subscribe(config, now)?;
            Ok((op, Opening { handle: id.0, topic, name }))
        })
    }

    fn open(
        &self,
        start: impl FnOnce(&mut Client, Now) -> Result<(OpId, Opening), Error>,
    ) -> Result<f64, JsValue> {
        self.shared
            .command(|core, page, now| {
                let (op, opening) = start(core, now)?;
                page.expect(op, opening);
                Ok(number(op.0))
            })
            .map_err(thrown)
    }

    /// Sends a message; returns its token.
    pub fn send(&self, producer: u32, payload: Vec<u8>, meta: &JsValue) -> Result<f64, JsValue> {
        let payload = Bytes::from(payload);
        let meta = if meta.is_undefined() { Meta::default() } else { Meta::read(meta).map_err(thrown)? };
        let properties: Vec<(&str, &str)> =
            meta.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let text = meta.key.as_deref().map(Key::Text);
        let message = Outgoing {
            payload: (!meta.null_value).then_some(Payload::Shared(&payload)),
            key: text.or(meta.key_bytes.as_deref().map(Key::Bytes)),
            ordering_key: meta.ordering_key.as_deref(),
            properties: &properties,
            event_time: meta.event_time,
            sequence_id: meta.sequence_id,
            ..Outgoing::default()
        };
        self.shared
            .command(|core, _, now| core.send(ProducerId(producer.into()), &message, now))
            .map(|token| number(token.0))
            .map_err(thrown)
    }

    /// The next messages as a packed block.
    pub fn take(
        &self,
        consumer: u32,
        max_messages: u32,
        max_bytes: u32,
    ) -> Result<Option<Uint8Array>, JsValue> {
        let consumer = ConsumerId(consumer.into());
        if let Some(error) = self.unread(consumer) {
            return Err(thrown(error));
        }
        let mut messages = self.messages.borrow_mut();
        let failed = self.shared.command(|core, _, _| {
            let mut bytes = 0;
            while messages.len() < max_messages as usize && bytes < max_bytes as usize {
                match core.take(consumer) {
                    Ok(Some(Ok(message))) => {
                        bytes += message.payload().len();
                        messages.push(message);
                    }
                    Ok(Some(Err(error))) | Err(error) => return Some(error),
                    Ok(None) => return None,
                }
            }
            None
        });
        if let Some(error) = failed {
            if messages.is_empty() {
                return Err(thrown(error));
            }
            self.unread.borrow_mut().push((consumer, error));
        }
        if messages.is_empty() {
            return Ok(None);
        }
        let mut packed = self.packed.borrow_mut();
        block::pack(&messages, &mut packed);
        messages.clear();
        let block = Uint8Array::from(packed.as_slice());
        if packed.capacity() > KEPT {
            *packed = Vec::new();
        }
        Ok(Some(block))
    }

    fn unread(&self, consumer: ConsumerId) -> Option<Error> {
        let mut unread = self.unread.borrow_mut();
        let at = unread.iter().position(|(of, _)| *of == consumer)?;
        Some(unread.swap_remove(at).1)
    }

    /// So many of the taken messages were handed to the application.
    pub fn delivered(&self, consumer: u32, messages: u32) {
        self.shared.command(|core, _, _| core.delivered(ConsumerId(consumer.into()), messages));
    }

    /// Acknowledges a message, or all up to it.
    #[expect(clippy::too_many_arguments, reason = "an id in parts costs no object at the boundary")]
    pub fn acknowledge(
        &self,
        consumer: u32,
        ledger_lo: u32,
        ledger_hi: u32,
        entry_lo: u32,
        entry_hi: u32,
        partition: i32,
        batch_index: i32,
        batch_size: u32,
        cumulative: bool,
    ) -> Result<(), JsValue> {
        let id = id([ledger_lo, ledger_hi, entry_lo, entry_hi], partition, batch_index, batch_size);
        self.shared
            .command(|core, _, now| core.acknowledge(ConsumerId(consumer.into()), id, cumulative, now))
            .map_err(thrown)
    }

    /// Asks for a message to come again.
    #[wasm_bindgen(js_name = negativeAcknowledge)]
    #[expect(clippy::too_many_arguments, reason = "an id in parts costs no object at the boundary")]
    pub fn negative_acknowledge(
        &self,
        consumer: u32,
        ledger_lo: u32,
        ledger_hi: u32,
        entry_lo: u32,
        entry_hi: u32,
        partition: i32,
        batch_index: i32,
        batch_size: u32,
    ) -> Result<(), JsValue> {
        let id = id([ledger_lo, ledger_hi, entry_lo, entry_hi], partition, batch_index, batch_size);
        self.shared
            .command(|core, _, now| core.negative_acknowledge(ConsumerId(consumer.into()), id, now))
            .map_err(thrown)
    }

    /// Closes a producer.
    #[wasm_bindgen(js_name = closeProducer)]
    pub fn close_producer(&self, producer: u32) -> f64 {
        self.start(|core, now| core.close_producer(ProducerId(producer.into()), now))
    }

    /// Closes a consumer.
    #[wasm_bindgen(js_name = closeConsumer)]
    pub fn close_consumer(&self, consumer: u32) -> f64 {
        let consumer = ConsumerId(consumer.into());
        self.unread(consumer);
        self.start(|core, now| core.close_consumer(consumer, now))
    }

    /// Deletes the subscription of a consumer.
    pub fn unsubscribe(&self, consumer: u32) -> f64 {
        self.start(|core, now| core.unsubscribe(ConsumerId(consumer.into()), false, now))
    }

    /// Completes with the number of partitions of a topic.
    pub fn partitions(&self, topic: &str) -> Result<f64, JsValue> {
        let topic = TopicName::parse(topic).map_err(thrown)?;
        Ok(self.start(|core, now| core.partitions(topic, now)))
    }

    /// Completes with the names of a namespace's topics.
    pub fn topics(&self, namespace: &str) -> f64 {
        self.start(|core, now| core.topics(namespace, now))
    }

    /// Closes everything.
    pub fn close(&self) -> f64 {
        self.start(|core, now| core.close(now))
    }

    fn start(&self, start: impl FnOnce(&mut Client, Now) -> OpId) -> f64 {
        number(self.shared.command(|core, _, now| start(core, now)).0)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.command(|core, _, now| {
            if !core.is_closed() {
                core.close(now);
            }
        });
    }
}

fn thrown(error: Error) -> JsValue {
    error_object(&error)
}

/// Ids count up from 0: they stay exact in a double.
fn number(id: u64) -> f64 {
    id as f64
}

fn id(parts: [u32; 4], partition: i32, batch_index: i32, batch_size: u32) -> MessageId {
    let long = |lo: u32, hi: u32| u64::from(hi) << 32 | u64::from(lo);
    let [ledger_lo, ledger_hi, entry_lo, entry_hi] = parts;
    MessageId {
        ledger_id: long(ledger_lo, ledger_hi),
        entry_id: long(entry_lo, entry_hi),
        partition,
        batch_index,
        batch_size: i32::try_from(batch_size).unwrap_or(0),
        first_chunk: None,
    }
}

fn random_name() -> String {
    format!("{:08x}", (js_sys::Math::random() * f64::from(u32::MAX)) as u32)
}
