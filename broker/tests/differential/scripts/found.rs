//! What the test suites of other clients came upon.

use pulsewire_proto::wire::*;

use super::scripts;
use crate::common::subscribe;

scripts! {
    fn what_is_not_stored_is_not_compacted(s) {
        let topic = format!("non-{}", s.topic());
        let c = s.client();
        for (n, kind) in [SubType::EXCLUSIVE, SubType::SHARED, SubType::FAILOVER].into_iter().enumerate() {
            let n = n as u64;
            let ask = CommandSubscribe { read_compacted: Some(true), ..subscribe(n, &topic, "s", kind) };
            s.ask(c, ask.clone());
            s.ask(c, CommandSubscribe { subscription: String::new(), ..ask.clone() });
            s.ask(c, CommandSubscribe { durable: Some(false), ..ask });
        }
        s.ask(c, subscribe(9, &topic, "s", SubType::EXCLUSIVE));
    }
}
