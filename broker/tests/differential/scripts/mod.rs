//! The scripts. Each is a test of its name.

mod admin;
mod broken;
mod codes;
mod consumers;
mod cursors;
mod ending;
mod found;
mod granted;
mod guarded;
mod internals;
mod limits;
mod numbers;
mod older;
mod peeking;
mod pending;
mod places;
mod plain;
mod producers;
mod readers;
mod running;
mod schemas;
mod settings;
mod statistics;
mod strange;
mod tools;
mod topics;
mod transactions;
mod uncompacted;
mod wrong;

use pulsewire_proto::wire::*;

/// Declares scripts as tests.
macro_rules! scripts {
    ($($(#[$doc:meta])* fn $name:ident($side:ident) $body:block)*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            fn script($side: &mut crate::side::Side) $body
            crate::play(stringify!($name), script);
        }
    )*};
}
use scripts;

fn close_producer(producer: u64) -> CommandCloseProducer {
    CommandCloseProducer {
        producer_id: producer,
        request_id: 900 + producer,
        ..CommandCloseProducer::default()
    }
}

fn close_consumer(consumer: u64) -> CommandCloseConsumer {
    CommandCloseConsumer {
        consumer_id: consumer,
        request_id: 950 + consumer,
        ..CommandCloseConsumer::default()
    }
}
