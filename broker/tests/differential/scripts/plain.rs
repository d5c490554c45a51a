//! A broker that adds nothing to messages, as Pulsar without settings: what asks by time goes by what producers say.

use pulsewire_proto::wire::*;

use crate::common::{WALL as T, producer_on, subscribe};
use crate::side::Side;

#[test]
fn times_are_what_producers_say() {
    fn script(s: &mut Side) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, CommandProducer { producer_name: Some("p".to_owned()), ..producer_on(1, &topic) });
        for (n, later) in [0, 1, 1, 2].into_iter().enumerate() {
            let metadata = MessageMetadata {
                publish_time: T + later,
                producer_name: "p".to_owned(),
                ..MessageMetadata::default()
            };
            s.publish(a, 1, n as u64, metadata, &format!("m{n}"));
        }
        for (durable, name, id) in [(true, "s", 1), (false, "r", 2)] {
            s.note(format!("-- durable {durable}"));
            let again = CommandSubscribe {
                durable: Some(durable),
                ..subscribe(id, &topic, name, SubType::EXCLUSIVE)
            };
            s.ask(a, again.clone());
            for time in [T - 1, T, T + 1, T + 2, T + 3] {
                s.note(format!("-- {}", time as i64 - T as i64));
                let seek = CommandSeek {
                    consumer_id: id,
                    request_id: 30,
                    message_publish_time: Some(time),
                    ..CommandSeek::default()
                };
                s.ask(a, seek);
                s.hear_all(a);
                s.ask(a, again.clone());
                s.flow(a, id, 100);
                s.hear_all(a);
            }
        }
        for time in [T, T + 1, T + 3] {
            let (status, found) = s.admin("GET", &format!("{path}/messageid/{time}"), "");
            let id: serde_json::Value = serde_json::from_str(&found).unwrap_or_default();
            s.note(format!("from {} -> {status} {}", time - T, id["entryId"]));
        }
        s.look(&format!("{path}/internalStats"), &["totalSize", "numberOfEntries"]);
        s.order("PUT", &format!("{path}/subscription/old"), "{\"ledgerId\":-1,\"entryId\":-1}");
        let waits = format!("{path}/stats?getPreciseBacklog=true&getEarliestTimeInBacklog=true");
        s.look(
            &waits,
            &["subscriptions.old.msgBacklog", "subscriptions.old.earliestMsgPublishTimeInBacklog"],
        );
        s.order("POST", &format!("{path}/subscription/old/expireMessages/60"), "");
        s.pause(500);
        s.look(
            &waits,
            &["subscriptions.old.msgBacklog", "subscriptions.old.earliestMsgPublishTimeInBacklog"],
        );
    }
    crate::play_plain("times_are_what_producers_say", script);
}
