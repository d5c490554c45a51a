//! Options and errors between JavaScript objects and the core's types.

use std::time::Duration;

use js_sys::{Array, Object, Reflect, Uint8Array};
use pulsewire_proto::{
    ClientConfig, ConsumerConfig, Error, ErrorKind, InitialPosition, ProducerConfig, ServiceUrl,
    SubscriptionType, TopicName,
};
use wasm_bindgen::{JsCast, JsValue};

/// An error as JavaScript is told it: `{ code, message, retryable }`.
pub(crate) fn error_object(error: &Error) -> JsValue {
    let object = Object::new();
    for (name, value) in [
        ("code", JsValue::from_str(error.code())),
        ("message", JsValue::from_str(&error.to_string())),
        ("retryable", JsValue::from_bool(error.is_retryable())),
    ] {
        set(&object, name, &value);
    }
    object.into()
}

/// Sets a property of an object of ours; that cannot fail.
pub(crate) fn set(object: &Object, name: &str, value: &JsValue) {
    let _ = Reflect::set(object, &JsValue::from_str(name), value);
}

pub(crate) fn client_config(service_url: &str, options: &JsValue) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::new(ServiceUrl::parse(service_url)?);
    Options::of(options)?.each(|name, value| {
        match name {
            "operationTimeout" => config.operation_timeout = millis(name, value)?,
            "connectionTimeout" => config.connection_timeout = millis(name, value)?,
            "keepAliveInterval" => config.keep_alive_interval = millis(name, value)?,
            "initialBackoff" => config.initial_backoff = millis(name, value)?,
            "maxBackoff" => config.max_backoff = millis(name, value)?,
            "memoryLimit" => config.memory_limit = whole(name, value, u32::MAX.into())? as usize,
            "listenerName" => config.listener_name = Some(text(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(config)
}

pub(crate) fn producer_config(options: &JsValue) -> Result<ProducerConfig, Error> {
    let options = Options::of(options)?;
    let mut config = ProducerConfig::new(topic(&options)?);
    options.each(|name, value| {
        match name {
            "topic" => {}
            "name" => config.name = Some(text(name, value)?),
            "sendTimeout" => config.send_timeout = millis(name, value)?,
            "initialSequenceId" => config.initial_sequence_id = Some(big(name, value)?),
            "properties" => config.properties = pairs(name, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(config)
}

pub(crate) fn consumer_config(options: &JsValue) -> Result<ConsumerConfig, Error> {
    let options = Options::of(options)?;
    let subscription = text("subscription", &options.get("subscription"))?;
    let mut config = ConsumerConfig::new(topic(&options)?, subscription);
    options.each(|name, value| {
        match name {
            "topic" | "subscription" => {}
            "name" => config.name = Some(text(name, value)?),
            "type" => {
                config.subscription_type = match text(name, value)?.as_str() {
                    "exclusive" => SubscriptionType::Exclusive,
                    "shared" => SubscriptionType::Shared,
                    "failover" => SubscriptionType::Failover,
                    "keyShared" => SubscriptionType::KeyShared,
                    _ => return Err(wrong(name, "is exclusive, shared, failover or keyShared")),
                }
            }
            "initialPosition" => {
                config.initial_position = match text(name, value)?.as_str() {
                    "earliest" => InitialPosition::Earliest,
                    "latest" => InitialPosition::Latest,
                    _ => return Err(wrong(name, "is earliest or latest")),
                }
            }
            "receiverQueueSize" => {
                config.receiver_queue_size = whole(name, value, MAX_INT)? as u32;
            }
            "negativeAckRedeliveryDelay" => config.negative_ack_redelivery_delay = millis(name, value)?,
            "priorityLevel" => config.priority_level = whole(name, value, MAX_INT)? as i32,
            "properties" => config.properties = pairs(name, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(config)
}

fn topic(options: &Options) -> Result<TopicName, Error> {
    TopicName::parse(&text("topic", &options.get("topic"))?)
}

/// What a send carries beside its payload, owned: [`pulsewire_proto::Outgoing`] borrows from it.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    pub(crate) key: Option<String>,
    pub(crate) key_bytes: Option<Vec<u8>>,
    pub(crate) ordering_key: Option<Vec<u8>>,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) event_time: Option<u64>,
    pub(crate) sequence_id: Option<u64>,
    pub(crate) null_value: bool,
}

impl Meta {
    pub(crate) fn read(meta: &JsValue) -> Result<Self, Error> {
        let mut read = Self::default();
        Options::of(meta)?.each(|name, value| {
            match name {
                "key" => read.key = Some(text(name, value)?),
                "keyBytes" => read.key_bytes = Some(bytes(name, value)?),
                "orderingKey" => read.ordering_key = Some(bytes(name, value)?),
                "properties" => {
                    let flat: Vec<String> =
                        Array::from(value).iter().map(|part| text(name, &part)).collect::<Result<_, _>>()?;
                    read.properties =
                        flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
                }
                "eventTime" => read.event_time = Some(whole(name, value, MAX_SAFE)?),
                "sequenceId" => read.sequence_id = Some(big(name, value)?),
                "nullValue" => read.null_value = value.is_truthy(),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(read)
    }
}

/// The largest integer up to which doubles are exact.
const MAX_SAFE: u64 = (1 << 53) - 1;
/// What the wire has 31 bits for.
const MAX_INT: u64 = i32::MAX as u64;

struct Options(Object);

impl Options {
    fn of(value: &JsValue) -> Result<Self, Error> {
        value
            .dyn_ref::<Object>()
            .map(|object| Self(object.clone()))
            .ok_or_else(|| Error::new(ErrorKind::InvalidOption, "the options are not an object"))
    }

    fn get(&self, name: &str) -> JsValue {
        Reflect::get(&self.0, &JsValue::from_str(name)).unwrap_or_default()
    }

    /// Calls `read` with each option that is given. One that it does not know is refused: it would
    /// be a mistake that nobody sees.
    fn each(&self, mut read: impl FnMut(&str, &JsValue) -> Result<bool, Error>) -> Result<(), Error> {
        for name in Object::keys(&self.0).iter().filter_map(|name| name.as_string()) {
            let value = self.get(&name);
            if !value.is_undefined() && !read(&name, &value)? {
                return Err(wrong(&name, "is not an option"));
            }
        }
        Ok(())
    }
}

fn wrong(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, format!("{name} {why}"))
}

fn text(name: &str, value: &JsValue) -> Result<String, Error> {
    value.as_string().ok_or_else(|| wrong(name, "is a string"))
}

fn bytes(name: &str, value: &JsValue) -> Result<Vec<u8>, Error> {
    value.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec).ok_or_else(|| wrong(name, "is a Uint8Array"))
}

fn whole(name: &str, value: &JsValue, max: u64) -> Result<u64, Error> {
    value
        .as_f64()
        .filter(|number| number.fract() == 0.0 && (0.0..=max as f64).contains(number))
        .map(|number| number as u64)
        // Told as an integer: formatting of floats is 14 KB of code.
        .ok_or_else(|| wrong(name, &format!("is an integer from 0 to {max}")))
}

fn millis(name: &str, value: &JsValue) -> Result<Duration, Error> {
    Ok(Duration::from_millis(whole(name, value, MAX_SAFE)?))
}

fn big(name: &str, value: &JsValue) -> Result<u64, Error> {
    u64::try_from(value.clone()).map_err(|_| wrong(name, "is a bigint from 0 to 2^64-1"))
}

fn pairs(name: &str, value: &JsValue) -> Result<Vec<(String, String)>, Error> {
    let object = value.dyn_ref::<Object>().ok_or_else(|| wrong(name, "is an object of strings"))?;
    Object::entries(object)
        .iter()
        .map(|entry| {
            let entry = Array::from(&entry);
            Ok((text(name, &entry.get(0))?, text(name, &entry.get(1))?))
        })
        .collect()
}
