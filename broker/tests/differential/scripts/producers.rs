//! Producers: who may be one, and what becomes of what they send.

use std::time::Duration;

use pulsewire_proto::wire::*;

use super::{close_producer, scripts};
use crate::common::{batch_of, producer_on};

fn with(producer: u64, topic: &str, access: ProducerAccessMode) -> CommandProducer {
    CommandProducer { producer_access_mode: Some(access), ..producer_on(producer, topic) }
}

fn named(producer: u64, topic: &str, name: &str, epoch: u64) -> CommandProducer {
    CommandProducer {
        producer_name: Some(name.to_owned()),
        user_provided_producer_name: Some(true),
        epoch: Some(epoch),
        ..producer_on(producer, topic)
    }
}

scripts! {
    fn shared_and_exclusive_producers_exclude_each_other(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        s.ask(a, with(1, &topic, ProducerAccessMode::SHARED));
        s.ask(b, with(1, &topic, ProducerAccessMode::EXCLUSIVE));
        s.ask(b, with(2, &topic, ProducerAccessMode::SHARED));
        s.ask(a, close_producer(1));
        s.ask(b, close_producer(2));
        s.ask(b, with(3, &topic, ProducerAccessMode::EXCLUSIVE));
        s.ask(a, with(4, &topic, ProducerAccessMode::SHARED));
        s.ask(a, with(5, &topic, ProducerAccessMode::EXCLUSIVE));
        s.ask(b, with(6, &topic, ProducerAccessMode::EXCLUSIVE));
        s.leave(b);
        s.ask(a, with(7, &topic, ProducerAccessMode::SHARED));
        s.ask(a, close_producer(7));
        s.ask(a, with(8, &topic, ProducerAccessMode::EXCLUSIVE));
    }

    fn an_epoch_that_has_passed_is_fenced(s) {
        let topic = s.topic();
        let a = s.client();
        let at = |id, epoch, access| CommandProducer { topic_epoch: epoch, ..with(id, &topic, access) };
        s.ask(a, at(1, None, ProducerAccessMode::EXCLUSIVE));
        s.ask(a, close_producer(1));
        s.ask(a, at(2, Some(0), ProducerAccessMode::EXCLUSIVE));
        s.ask(a, close_producer(2));
        s.ask(a, at(3, None, ProducerAccessMode::EXCLUSIVE));
        s.ask(a, close_producer(3));
        s.ask(a, at(4, Some(0), ProducerAccessMode::EXCLUSIVE));
        s.ask(a, at(5, Some(0), ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
        s.ask(a, at(6, Some(0), ProducerAccessMode::EXCLUSIVE_WITH_FENCING));
        s.ask(a, at(7, Some(7), ProducerAccessMode::EXCLUSIVE));
        s.ask(a, close_producer(7));
        s.ask(a, at(8, None, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
    }

    fn those_who_wait_come_in_turn(s) {
        let topic = s.topic();
        let (a, b, c) = (s.client(), s.client(), s.client());
        s.ask(a, with(1, &topic, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
        s.ask(b, with(2, &topic, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
        s.ask(c, with(3, &topic, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
        s.ask(c, with(4, &topic, ProducerAccessMode::SHARED));
        s.ask(a, close_producer(1));
        s.hear(b);
        s.ask(b, close_producer(2));
        s.hear(c);
        s.send(c, 3, 0, MessageMetadata::default(), "x");
        s.hear(c);
        s.ask(a, with(5, &topic, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
        s.leave(c);
        s.hear(a);
    }

    fn one_that_waits_hears_of_an_unloading(s) {
        let topic = s.topic();
        let path = topic.replace("://", "/");
        let (a, b) = (s.client(), s.client());
        s.ask(a, with(1, &topic, ProducerAccessMode::EXCLUSIVE));
        s.ask(b, with(2, &topic, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
        s.order("PUT", &format!("{path}/unload"), "");
        s.hear_all(a);
        s.hear_all(b);
        s.find(a, &topic);
        let known = CommandProducer { topic_epoch: Some(0), ..with(3, &topic, ProducerAccessMode::EXCLUSIVE) };
        s.ask(a, known);
        s.ask(b, with(3, &topic, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
    }

    fn one_that_gives_up_waiting_does_not_come_in(s) {
        let topic = s.topic();
        let (a, b, c) = (s.client(), s.client(), s.client());
        s.ask(a, with(1, &topic, ProducerAccessMode::SHARED));
        s.ask(b, with(2, &topic, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
        s.ask(c, with(3, &topic, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
        s.leave(b);
        s.ask(c, close_producer(3));
        s.hear_all(c);
        s.ask(a, close_producer(1));
        s.pause(500);
        s.ask(a, with(4, &topic, ProducerAccessMode::EXCLUSIVE));
    }

    fn fencing_sends_everybody_else_away(s) {
        let topic = s.topic();
        let (a, b, c) = (s.client(), s.client(), s.client());
        s.ask(a, with(1, &topic, ProducerAccessMode::SHARED));
        s.ask(b, with(2, &topic, ProducerAccessMode::WAIT_FOR_EXCLUSIVE));
        s.ask(c, with(3, &topic, ProducerAccessMode::EXCLUSIVE_WITH_FENCING));
        s.hear_all(a);
        s.hear_all(b);
        s.send(a, 1, 0, MessageMetadata::default(), "late");
        s.hear_all(a);
        s.ask(a, CommandProducer { topic_epoch: None, ..with(4, &topic, ProducerAccessMode::EXCLUSIVE) });
        s.ask(b, with(5, &topic, ProducerAccessMode::EXCLUSIVE_WITH_FENCING));
        s.hear_all(c);
        s.ask(c, CommandProducer { topic_epoch: Some(0), ..with(6, &topic, ProducerAccessMode::EXCLUSIVE_WITH_FENCING) });
        s.hear_all(b);
    }

    fn a_name_is_taken_and_a_higher_epoch_takes_it_over(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        s.ask(a, named(1, &topic, "n", 0));
        s.ask(a, named(1, &topic, "n", 0));
        s.ask(a, named(2, &topic, "n", 0));
        s.ask(a, named(2, &topic, "n", 1));
        s.ask(b, named(1, &topic, "n", 1));
        s.hear_all(a);
        s.ask(a, close_producer(1));
        s.ask(b, named(1, &topic, "n", 0));
        s.ask(b, close_producer(77));
    }

    fn a_name_held_by_a_dead_connection_is_freed(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        s.ask(a, named(1, &topic, "n", 0));
        s.die(a);
        s.say(b, named(1, &topic, "n", 0));
        s.hear_within(b, Duration::from_secs(2));
        s.say(b, CommandProducer { request_id: 333, ..named(1, &topic, "n", 0) });
        s.hear_within(b, Duration::from_secs(1));
        s.hear(b);
        s.hear(a);
    }

    fn generated_names_and_epochs_of_theirs(s) {
        let topic = s.topic();
        let (a, b) = (s.client(), s.client());
        let Some(Command::ProducerSuccess(opened)) = s.ask(a, producer_on(1, &topic)) else { panic!() };
        let again = CommandProducer {
            producer_name: Some(opened.producer_name.clone()),
            user_provided_producer_name: Some(false),
            epoch: Some(1),
            ..producer_on(1, &topic)
        };
        s.ask(b, again);
        s.hear_all(a);
        s.send(b, 1, 0, MessageMetadata::default(), "x");
        s.hear(b);
    }

    fn duplicates_are_dropped_where_the_topic_says_so(s) {
        let topic = s.topic();
        let a = s.client();
        let unique = s.unique().to_owned();
        s.ask(a, producer_on(9, &topic));
        s.order("POST", &format!("persistent/public/default/{unique}/deduplicationEnabled"), "true");
        s.pause(1000);
        s.inquire("GET", &format!("persistent/public/default/{unique}/deduplicationEnabled"), "");
        s.ask(a, named(1, &topic, "n", 0));
        for sequence in [0, 1, 1, 0, 5, 4, 5, 6] {
            s.send(a, 1, sequence, MessageMetadata::default(), "x");
            s.hear(a);
        }
        s.ask(a, close_producer(1));
        s.ask(a, named(2, &topic, "n", 0));
        s.send(a, 2, 6, MessageMetadata::default(), "x");
        s.hear(a);
        s.leave(a);
        let b = s.client();
        s.ask(b, named(3, &topic, "n", 0));
        s.ask(b, named(4, &topic, "other", 0));
        s.look(&format!("persistent/public/default/{unique}/stats"), &["deduplicationStatus", "msgInCounter"]);
    }

    fn duplicates_of_batches_and_chunks(s) {
        let topic = s.topic();
        let a = s.client();
        let unique = s.unique().to_owned();
        s.ask(a, producer_on(9, &topic));
        s.order("POST", &format!("persistent/public/default/{unique}/deduplicationEnabled"), "true");
        s.pause(1000);
        s.ask(a, named(1, &topic, "n", 0));
        let batch = |first: u64, last: u64| {
            let metadata = MessageMetadata { highest_sequence_id: Some(last), ..batch_of((last - first + 1) as i32) };
            let command = CommandSend {
                producer_id: 1,
                sequence_id: first,
                highest_sequence_id: Some(last),
                num_messages: Some((last - first + 1) as i32),
                ..CommandSend::default()
            };
            (command, metadata)
        };
        for (first, last) in [(0, 9), (0, 9), (5, 12), (10, 12)] {
            let (command, metadata) = batch(first, last);
            s.send_as(a, command, metadata, "x");
            s.hear(a);
        }
        let chunk = |sequence: u64, n: i32, of: i32| {
            let metadata = MessageMetadata {
                uuid: Some("u".to_owned()),
                chunk_id: Some(n),
                num_chunks_from_msg: Some(of),
                total_chunk_msg_size: Some(of),
                ..MessageMetadata::default()
            };
            let command =
                CommandSend { producer_id: 1, sequence_id: sequence, is_chunk: Some(true), ..CommandSend::default() };
            (command, metadata)
        };
        for (sequence, n) in [(13, 0), (13, 1), (13, 2), (13, 0), (13, 1), (13, 2), (14, 0), (14, 2)] {
            let (command, metadata) = chunk(sequence, n, 3);
            s.send_as(a, command, metadata, "x");
            s.hear(a);
        }
        s.ask(a, close_producer(1));
        s.ask(a, named(2, &topic, "n", 0));
    }

    fn without_deduplication_sequences_mean_nothing(s) {
        let topic = s.topic();
        let a = s.client();
        s.ask(a, named(1, &topic, "n", 0));
        for sequence in [5, 5, 0] {
            s.send(a, 1, sequence, MessageMetadata::default(), "x");
            s.hear(a);
        }
        s.ask(a, close_producer(1));
        s.ask(a, named(1, &topic, "n", 0));
    }

    fn a_namespace_turns_deduplication_on_and_off(s) {
        let namespace = format!("public/{}", s.unique());
        s.order("PUT", &format!("namespaces/{namespace}"), "{}");
        s.order("PUT", &format!("namespaces/{namespace}"), "{}");
        s.order("POST", &format!("namespaces/{namespace}/deduplication"), "true");
        s.inquire("GET", &format!("namespaces/{namespace}/deduplication"), "");
        s.pause(500);
        let topic = format!("persistent://{namespace}/t");
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, named(1, &topic, "n", 0));
        for sequence in [3, 3] {
            s.send(a, 1, sequence, MessageMetadata::default(), "x");
            s.hear(a);
        }
        s.order("POST", &format!("namespaces/{namespace}/deduplication"), "false");
        s.pause(1000);
        s.send(a, 1, 3, MessageMetadata::default(), "x");
        s.hear(a);
        s.ask(a, close_producer(1));
        s.ask(a, named(1, &topic, "n", 0));
        s.order("DELETE", &format!("namespaces/{namespace}/deduplication"), "");
        s.inquire("GET", &format!("namespaces/{namespace}/deduplication"), "");
    }

    fn a_producer_makes_its_first_subscription(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let a = s.client();
        let first = |id| CommandProducer { initial_subscription_name: Some("first".to_owned()), ..producer_on(id, &topic) };
        s.ask(a, first(1));
        s.ask(a, first(2));
        s.inquire("GET", &format!("persistent/public/default/{unique}/subscriptions"), "");
        s.ask(a, CommandProducer { topic: topic.replace("persistent", "non-persistent"), ..first(3) });
    }
}
