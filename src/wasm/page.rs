//! What comes out of the core, on its way to the page: collected under the lock, called after it.

use js_sys::{Array, Object, Promise, Uint32Array};
use pulsewire_proto::{ConnectionState, Error, Event, OpId, Output, SendOutcome};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::options::{error_object, set};
use crate::shared::Sink;

#[wasm_bindgen]
extern "C" {
    /// `Sink` in `js/src/core.ts`.
    #[derive(Clone)]
    pub(crate) type PageSink;

    #[wasm_bindgen(method, catch)]
    fn completed(this: &PageSink, op: f64, error: &JsValue, value: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn receipts(this: &PageSink, packed: &Uint32Array, errors: &Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn ready(this: &PageSink, consumer: u32) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn reset(this: &PageSink, consumer: u32) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn ended(this: &PageSink, kind: &str, handle: u32, error: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn state(this: &PageSink, event: &JsValue) -> Result<(), JsValue>;
}

/// A producer or consumer that is being opened: what the page is told when it is open.
pub(crate) struct Opening {
    pub(crate) handle: u64,
    pub(crate) topic: String,
    /// Empty for one that the broker names.
    pub(crate) name: String,
}

pub(crate) struct Page {
    sink: PageSink,
    /// A few at a time: searched one by one.
    opening: Vec<(OpId, Opening)>,
}

impl Page {
    pub(crate) fn new(sink: PageSink) -> Self {
        Self { sink, opening: Vec::new() }
    }

    pub(crate) fn expect(&mut self, op: OpId, opening: Opening) {
        self.opening.push((op, opening));
    }
}

/// Calls to make into the page.
#[derive(Default)]
pub(crate) struct Calls {
    sink: Option<PageSink>,
    /// Records of receipts, one after the other.
    receipts: Vec<u32>,
    errors: Vec<Error>,
    events: Vec<Call>,
}

enum Call {
    Completed(OpId, Result<Output, Error>, Option<Opening>),
    Ready(u64),
    Reset(u64),
    Ended(&'static str, u64, Error),
    State(String, ConnectionState),
}

impl Sink for Page {
    type Deferred = Calls;

    fn event(&mut self, event: Event, calls: &mut Calls) {
        let call = match event {
            Event::Completed { op, result } => {
                let opening = self.opening.iter().position(|(expected, _)| *expected == op);
                Call::Completed(op, result, opening.map(|at| self.opening.swap_remove(at).1))
            }
            Event::Ready(consumer) => Call::Ready(consumer.0),
            Event::ConsumerReset(consumer) => Call::Reset(consumer.0),
            Event::ConsumerEnded { consumer, error } => Call::Ended("consumer", consumer.0, error),
            Event::ProducerEnded { producer, error } => Call::Ended("producer", producer.0, error),
            Event::Connection { endpoint, state } => Call::State(endpoint.to_string(), state),
            // Sends of a page never wait for memory: they fail with QueueFull. A page is not told of the
            // others yet.
            Event::Writable
            | Event::ActiveConsumer { .. }
            | Event::Redelivering { .. }
            | Event::PartitionsChanged { .. }
            | Event::ProducerPartitionsChanged { .. }
            | Event::EndOfTopic(_) => return,
        };
        calls.sink.get_or_insert_with(|| self.sink.clone());
        calls.events.push(call);
    }

    fn sent(&mut self, outcome: SendOutcome, calls: &mut Calls) {
        calls.sink.get_or_insert_with(|| self.sink.clone());
        let lo = |value: u64| value as u32;
        let hi = |value: u64| (value >> 32) as u32;
        let (status, id) = match outcome.result {
            Ok(id) => (0, Some(id)),
            Err(error) => {
                // The sends of a closed producer all fail in the same way: tell it once.
                if calls.errors.last() != Some(&error) {
                    calls.errors.push(error);
                }
                (calls.errors.len() as u32, None)
            }
        };
        let (ledger, entry) = id.map_or((0, 0), |id| (id.ledger_id, id.entry_id));
        let (partition, batch_index) = id.map_or((-1, -1), |id| (id.partition, id.batch_index));
        calls.receipts.extend([
            lo(outcome.producer.0),
            lo(outcome.token.0),
            hi(outcome.token.0),
            status,
            lo(ledger),
            hi(ledger),
            lo(entry),
            hi(entry),
            partition.cast_unsigned(),
            batch_index.cast_unsigned(),
            id.map_or(0, |id| id.batch_size.max(0).cast_unsigned()),
        ]);
    }

    /// The page learns the end from its own `close()`, or from the trap that ended the driver.
    fn ended(&mut self, _calls: &mut Calls) {}

    fn run(calls: Calls) {
        let Some(sink) = calls.sink else { return };
        if !calls.receipts.is_empty() {
            let errors = calls.errors.iter().map(error_object).collect::<Array>();
            surface(sink.receipts(&Uint32Array::from(calls.receipts.as_slice()), &errors));
        }
        for event in calls.events {
            surface(event.make(&sink));
        }
    }
}

impl Call {
    fn make(self, sink: &PageSink) -> Result<(), JsValue> {
        match self {
            Self::Completed(op, Ok(output), opening) => {
                sink.completed(op.0 as f64, &JsValue::NULL, &value(output, opening))
            }
            Self::Completed(op, Err(error), _) => {
                sink.completed(op.0 as f64, &error_object(&error), &JsValue::UNDEFINED)
            }
            Self::Ready(consumer) => sink.ready(consumer as u32),
            Self::Reset(consumer) => sink.reset(consumer as u32),
            Self::Ended(kind, handle, error) => sink.ended(kind, handle as u32, &error_object(&error)),
            Self::State(url, state) => sink.state(&connection(&url, &state)),
        }
    }
}

/// An error of the sink is a bug of the package: nobody here can handle it, so that it goes where
/// unhandled errors go, and is seen.
fn surface(called: Result<(), JsValue>) {
    if let Err(error) = called {
        let _ = Promise::reject(&error);
    }
}

fn value(output: Output, opening: Option<Opening>) -> JsValue {
    if let Some(opening) = opening {
        let name = match output {
            Output::Producer { name } => name,
            _ => opening.name,
        };
        let object = Object::new();
        set(&object, "handle", &JsValue::from_f64(opening.handle as f64));
        set(&object, "name", &JsValue::from_str(&name));
        set(&object, "topic", &JsValue::from_str(&opening.topic));
        return object.into();
    }
    match output {
        Output::Partitions(partitions) => JsValue::from_f64(partitions.into()),
        Output::Topics(topics) => {
            topics.iter().map(|topic| JsValue::from_str(topic)).collect::<Array>().unchecked_into()
        }
        _ => JsValue::UNDEFINED,
    }
}

fn connection(url: &str, state: &ConnectionState) -> JsValue {
    let object = Object::new();
    let name = match state {
        ConnectionState::Connecting => "connecting",
        ConnectionState::Connected => "connected",
        ConnectionState::Disconnected(error) => {
            set(&object, "error", &error_object(error));
            "disconnected"
        }
    };
    set(&object, "url", &JsValue::from_str(url));
    set(&object, "state", &JsValue::from_str(name));
    object.into()
}
