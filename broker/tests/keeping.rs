//! What outlives a broker.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::*;
use pulsewire_broker::core::{Kept, Scope, names::TopicName};
use pulsewire_broker::{Broker, BrokerConfig};
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";

/// A host's store.
#[derive(Default)]
struct Disk(BTreeMap<Vec<u8>, Bytes>);

impl Disk {
    /// A broker that goes on with what is kept.
    fn start(&self) -> World {
        let mut w = World::new();
        w.broker = Broker::restored(BrokerConfig::default(), self.0.clone(), w.now).unwrap();
        w
    }

    fn keep(&mut self, w: &mut World) {
        for change in w.broker.poll_kept() {
            match change {
                Kept::Put(key, value) => drop(self.0.insert(key, value)),
                Kept::Remove(from, to) => self.0.retain(|key, _| *key < from || *key >= to),
            }
        }
    }
}

#[test]
fn what_was_stored_as_it_came_comes_back_so() {
    let mut disk = Disk::default();
    let plain = || BrokerConfig { entry_metadata: false, ..BrokerConfig::default() };
    let mut w = World::new();
    w.broker = Broker::restored(plain(), disk.0.clone(), w.now).unwrap();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.send(c, 1, 0, MessageMetadata { publish_time: WALL - 5, ..MessageMetadata::default() }, "early");
    w.receipt(c);
    disk.keep(&mut w);

    // With settings of another kind: what is there stays as it is.
    let mut w = disk.start();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.publish(c, 1, 1, "late");
    let topic = TopicName::parse(TOPIC).unwrap();
    let added: Vec<_> = [1, 2].map(|at| w.broker.examine(&topic, true, at).unwrap().added).to_vec();
    assert_eq!(added, [None, Some((w.now.wall_ms, 1))]);
    let [first, second] = [WALL - 5, WALL - 4].map(|time| w.broker.id_by_time(&topic, time).unwrap());
    assert!(first < second, "the second one has a ledger of its own: {first:?}, {second:?}");
}

/// As in a shadow topic, which has the messages of transactions, and none of these.
#[test]
fn a_message_that_names_a_transaction_of_others_comes_back_to_be_read() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let names = MessageMetadata {
        txnid_most_bits: Some(1),
        txnid_least_bits: Some(2),
        producer_name: "p".to_owned(),
        publish_time: WALL,
        ..MessageMetadata::default()
    };
    w.send(c, 1, 0, names, "named");
    w.receipt(c);
    w.publish(c, 1, 1, "after");
    disk.keep(&mut w);

    let mut w = disk.start();
    let c = w.client();
    let from_the_first = CommandSubscribe {
        initial_position: Some(InitialPosition::EARLIEST),
        ..subscribe(1, TOPIC, "s", SubType::EXCLUSIVE)
    };
    assert!(matches!(w.ask(c, from_the_first), Command::Success(_)));
    w.flow(c, 1, 10);
    assert_eq!(w.payloads(c), ["named", "after"]);
}

#[test]
fn topics_cursors_schemas_and_settings_come_back() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = w.client();
    let here = Scope::Namespace("public/default".to_owned());
    w.broker.set_policies(&here, |p| p.deduplication = Some(true), w.now).unwrap();
    let parts = TopicName::parse("parts").unwrap();
    w.broker.create_partitioned_topic(&parts, 3, w.now).unwrap();
    let schema = Schema {
        name: "s".to_owned(),
        schema_data: Bytes::new(),
        r#type: SchemaType::STRING,
        properties: Vec::new(),
    };
    let named = CommandProducer {
        producer_name: Some("p".to_owned()),
        schema: Some(schema.clone()),
        ..producer_on(1, TOPIC)
    };
    assert!(matches!(w.ask(c, named.clone()), Command::ProducerSuccess(_)));
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    let ids: Vec<MessageIdData> = (0..5).map(|n| w.publish(c, 1, n, &format!("m{n}"))).collect();
    w.send(c, 1, 5, batch_of(3), "batch");
    let batch = w.receipt(c);
    w.flow(c, 1, 100);
    w.payloads(c);
    w.ack(c, 1, AckType::INDIVIDUAL, &[ids[0].clone(), ids[2].clone()]);
    w.ack(c, 1, AckType::INDIVIDUAL, &[MessageIdData { ack_set: vec![0b101], ..batch }]);
    disk.keep(&mut w);
    assert_eq!(w.broker.poll_kept(), [], "nothing happened since");

    let mut w = disk.start();
    disk.keep(&mut w);
    assert_eq!(w.broker.partitions(&parts), 3);
    let c = w.client();
    let Command::ProducerSuccess(again) = w.ask(c, named) else { panic!() };
    assert_eq!(again.last_sequence_id, Some(5));
    assert_eq!(again.schema_version, Some(Bytes::from_static(&[0; 8])));
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.flow(c, 1, 100);
    let found = w.deliveries(c);
    let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["m1", "m3", "m4", "batch"]);
    assert_eq!((&found[0].0.message_id.entry_id, &found[3].0.ack_set), (&1, &vec![0b101]));
    let next = w.publish(c, 1, 6, "m6");
    assert!(next.ledger_id > ids[0].ledger_id && next.entry_id == 0, "{next:?}");
}

#[test]
fn what_is_deleted_stays_away() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.publish(c, 1, 0, "x");
    disk.keep(&mut w);
    w.broker.delete_topic(&TopicName::parse(TOPIC).unwrap(), true, w.now).unwrap();
    disk.keep(&mut w);
    let w = disk.start();
    assert_eq!(w.broker.topics("public/default", true), Vec::<String>::new());
}

#[test]
fn a_compacted_topic_comes_back_compacted() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    for (n, text) in ["1", "2", "3"].iter().enumerate() {
        w.send(c, 1, n as u64, key("k"), text);
        w.receipt(c);
    }
    w.broker.compact(&TopicName::parse(TOPIC).unwrap(), w.now).unwrap();
    disk.keep(&mut w);
    let mut w = disk.start();
    let c = w.client();
    let read =
        CommandSubscribe { read_compacted: Some(true), ..subscribe(1, TOPIC, "r", SubType::EXCLUSIVE) };
    assert!(matches!(w.ask(c, read), Command::Success(_)));
    w.flow(c, 1, 10);
    assert_eq!(w.payloads(c), ["3"]);
}

#[test]
fn damage_is_told() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.publish(c, 1, 0, "x");
    disk.keep(&mut w);
    for (key, value) in disk.0.clone() {
        for cut in 0..value.len() {
            let mut damaged = disk.0.clone();
            damaged.insert(key.clone(), value.slice(..cut));
            // It may be readable all the same; it must not panic.
            if let Err(error) = Broker::restored(BrokerConfig::default(), damaged, w.now) {
                assert!(error.to_string().contains("damaged"));
            }
        }
    }
}

#[test]
fn what_is_only_told_again_comes_back() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    w.broker.set_noted("a", Some("{}".to_owned()));
    w.broker.set_noted("b", Some("1".to_owned()));
    w.broker.split_bundle("public/default", "0x00000000_0x40000000", true, w.now).unwrap();
    disk.keep(&mut w);
    w.broker.set_noted("b", None);
    disk.keep(&mut w);
    let w = disk.start();
    assert_eq!((w.broker.noted("a"), w.broker.noted("b")), (Some("{}"), None));
    assert_eq!(
        w.broker.bundles("public/default").texts()[..3],
        ["0x00000000", "0x20000000", "0x40000000"],
        "of 5 bundles"
    );
}
