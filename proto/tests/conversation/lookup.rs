//! Finding the broker of a topic: partitions, redirects, proxies, gateways, the pool.

use pulsewire_proto::wire::*;
use pulsewire_proto::{ClientConfig, ConnId, ConsumerConfig, ErrorKind, Output, TopicName};

use crate::talk::*;

fn redirects(request_id: u64, url: &str) -> CommandLookupTopicResponse {
    CommandLookupTopicResponse { response: Some(LookupResult::REDIRECT), ..serves(request_id, url) }
}

fn through_proxy(request_id: u64, url: &str) -> CommandLookupTopicResponse {
    CommandLookupTopicResponse { proxy_through_service_url: Some(true), ..serves(request_id, url) }
}

/// A producer that has asked for its partitions and is told that there are none.
fn asks_for_its_broker(talk: &mut Talk, service: &str) -> (pulsewire_proto::OpId, ConnId) {
    let (_, op) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    let conn = talk.accept(service);
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    talk.say(conn, partitions(asked.request_id, 0));
    (op, conn)
}

#[test]
fn r01_partitions_are_asked_for_without_creating_the_topic() {
    let mut talk = Talk::new();
    let op = talk.client.partitions(topic(), talk.now);
    let conn = talk.accept(BROKER);
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    assert_eq!(asked.topic, TOPIC);
    assert_eq!(asked.metadata_auto_creation_enabled, Some(false));
    talk.say(conn, partitions(asked.request_id, 12));
    assert_eq!(talk.ended(op), Ok(Output::Partitions(12)));
}

#[test]
fn r01_a_failure_that_may_pass_does_not_reach_the_user_before_the_deadline() {
    let mut talk = Talk::new();
    let op = talk.client.partitions(topic(), talk.now);
    let conn = talk.accept(BROKER);
    for _ in 0..4 {
        let asked = hear!(talk, conn, PartitionedTopicMetadata);
        talk.say(
            conn,
            CommandPartitionedTopicMetadataResponse {
                request_id: asked.request_id,
                response: Some(PartitionedMetadataResult::FAILED),
                error: Some(ServerError::TOO_MANY_REQUESTS),
                ..Default::default()
            },
        );
        assert_eq!(talk.ended_yet(op), None);
        talk.quiet(conn);
        talk.pass(secs(2));
    }
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    talk.say(conn, partitions(asked.request_id, 1));
    assert_eq!(talk.ended(op), Ok(Output::Partitions(1)));
}

#[test]
fn r01_a_failure_that_will_not_pass_ends_the_operation_with_the_brokers_words() {
    for error in [ServerError::AUTHORIZATION_ERROR, ServerError::TOPIC_NOT_FOUND, ServerError(777)] {
        let mut talk = Talk::new();
        let op = talk.client.partitions(topic(), talk.now);
        let conn = talk.accept(BROKER);
        let asked = hear!(talk, conn, PartitionedTopicMetadata);
        talk.say(conn, failure(asked.request_id, error));
        let ended = talk.ended(op).expect_err("a failure");
        assert_eq!(ended.kind(), ErrorKind::Broker(error));
        assert!(ended.to_string().contains("the script says so"));
    }
}

#[test]
fn r01_an_operation_ends_at_its_deadline_whatever_happens() {
    let mut talk = Talk::new();
    let op = talk.client.partitions(topic(), talk.now);
    let conn = talk.accept(BROKER);
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    talk.pass(secs(30));
    assert_eq!(kind(talk.ended(op)), ErrorKind::Timeout);
    // The answer comes late and does nothing.
    hear!(talk, conn, Ping);
    talk.say(conn, partitions(asked.request_id, 3));
    assert!(talk.is_open(conn));
}

#[test]
fn k12_topics_of_a_namespace_are_listed() {
    let mut talk = Talk::new();
    let op = talk.client.topics("public/default", talk.now);
    let conn = talk.accept(BROKER);
    let asked = hear!(talk, conn, GetTopicsOfNamespace);
    assert_eq!((asked.namespace.as_str(), asked.mode), ("public/default", Some(TopicsMode::PERSISTENT)));
    talk.say(
        conn,
        CommandGetTopicsOfNamespaceResponse {
            request_id: asked.request_id,
            topics: vec![TOPIC.to_owned()],
            ..Default::default()
        },
    );
    assert_eq!(talk.ended(op), Ok(Output::Topics(vec![TOPIC.to_owned()])));
}

#[test]
fn k02_a_redirect_is_followed_with_its_authority() {
    let mut talk = Talk::new();
    let (op, service) = asks_for_its_broker(&mut talk, BROKER);
    let asked = hear!(talk, service, LookupTopic);
    assert_eq!((asked.topic.as_str(), asked.authoritative), (TOPIC, Some(false)));
    talk.say(service, redirects(asked.request_id, "pulsar://second:6650"));
    let second = talk.accept("pulsar://second:6650");
    let asked = hear!(talk, second, LookupTopic);
    assert_eq!(asked.authoritative, Some(true));
    let unsure = CommandLookupTopicResponse {
        authoritative: Some(false),
        ..redirects(asked.request_id, "pulsar://third:1234")
    };
    talk.say(second, unsure);
    let third = talk.accept("pulsar://third:1234");
    let asked = hear!(talk, third, LookupTopic);
    assert_eq!(asked.authoritative, Some(false));
    talk.say(third, serves(asked.request_id, "pulsar://second:6650"));
    // The connection to the second is there already.
    assert_eq!(talk.asked(), None);
    let open = hear!(talk, second, Producer);
    talk.say(second, producer_success(open.request_id, "p", -1));
    assert_eq!(talk.ended(op), Ok(Output::Producer { name: "p".to_owned() }));
}

#[test]
fn k13_a_chain_of_redirects_is_bounded() {
    let mut talk = Talk::with(ClientConfig { max_lookup_redirects: 3, ..config(BROKER) });
    let (op, mut conn) = asks_for_its_broker(&mut talk, BROKER);
    for hop in 1..=4 {
        let asked = hear!(talk, conn, LookupTopic);
        let url = format!("pulsar://hop{hop}:6650");
        talk.say(conn, redirects(asked.request_id, &url));
        if hop < 4 {
            conn = talk.accept(&url);
        }
    }
    assert_eq!(talk.asked(), None);
    let error = talk.ended(op).expect_err("a failure");
    assert!(error.to_string().contains("redirected more than 3 times"), "{error}");
}

#[test]
fn k13_two_brokers_that_redirect_to_each_other_are_left() {
    let mut talk = Talk::new();
    let (op, first) = asks_for_its_broker(&mut talk, BROKER);
    let asked = hear!(talk, first, LookupTopic);
    talk.say(first, redirects(asked.request_id, "pulsar://other:6650"));
    let second = talk.accept("pulsar://other:6650");
    let mut hops = 1;
    while talk.ended_yet(op).is_none() {
        let (at, to) = if hops % 2 == 1 { (second, BROKER) } else { (first, "pulsar://other:6650") };
        let asked = hear!(talk, at, LookupTopic);
        talk.say(at, redirects(asked.request_id, to));
        hops += 1;
        assert!(hops < 100, "it goes round for ever");
    }
    assert_eq!(hops, 21);
}

#[test]
fn k03_a_proxied_broker_gets_a_connection_of_its_own() {
    let mut talk = Talk::new();
    let (op, service) = asks_for_its_broker(&mut talk, BROKER);
    let asked = hear!(talk, service, LookupTopic);
    talk.say(service, through_proxy(asked.request_id, "pulsar://inside:7777"));
    // The same address again: the proxy binds the connection to the broker that CONNECT names.
    let bound = talk.answer(BROKER);
    assert_ne!(bound, service);
    let connect = hear!(talk, bound, Connect);
    assert_eq!(connect.proxy_to_broker_url.as_deref(), Some("inside:7777"));
    talk.say(bound, connected(0));
    let open = hear!(talk, bound, Producer);
    talk.say(bound, producer_success(open.request_id, "p", -1));
    talk.ended(op).expect("a producer");
    // A second topic on the same broker shares it; one on another broker does not.
    let other = TopicName::parse("other").expect("a topic");
    talk.client.subscribe(ConsumerConfig::new(other.clone(), "s"), talk.now).expect("options");
    let asked = hear!(talk, service, PartitionedTopicMetadata);
    talk.say(service, partitions(asked.request_id, 0));
    let asked = hear!(talk, service, LookupTopic);
    talk.say(service, through_proxy(asked.request_id, "pulsar://inside:7777"));
    assert_eq!(talk.asked(), None);
    hear!(talk, bound, Subscribe);
    talk.client.subscribe(ConsumerConfig::new(other, "t"), talk.now).expect("options");
    let asked = hear!(talk, service, PartitionedTopicMetadata);
    talk.say(service, partitions(asked.request_id, 0));
    let asked = hear!(talk, service, LookupTopic);
    talk.say(service, through_proxy(asked.request_id, "pulsar://[::2]:6650"));
    let third = talk.answer(BROKER);
    let connect = hear!(talk, third, Connect);
    assert_eq!(connect.proxy_to_broker_url.as_deref(), Some("[::2]:6650"));
}

#[test]
fn k03_the_broker_that_a_close_names_is_reached_through_the_same_proxy() {
    let mut talk = Talk::new();
    let (op, service) = asks_for_its_broker(&mut talk, BROKER);
    let asked = hear!(talk, service, LookupTopic);
    talk.say(service, through_proxy(asked.request_id, "pulsar://inside:7777"));
    let bound = talk.accept(BROKER);
    let open = hear!(talk, bound, Producer);
    talk.say(bound, producer_success(open.request_id, "p", -1));
    talk.ended(op).expect("a producer");
    talk.say(
        bound,
        CommandCloseProducer {
            producer_id: open.producer_id,
            request_id: 0,
            assigned_broker_service_url: Some("pulsar://next:7777".to_owned()),
            assigned_broker_service_url_tls: None,
        },
    );
    talk.pass(ms(100));
    let next = talk.answer(BROKER);
    assert_eq!(hear!(talk, next, Connect).proxy_to_broker_url.as_deref(), Some("next:7777"));
}

#[test]
fn n02_behind_a_gateway_every_broker_is_reached_through_it() {
    let gateway = "ws://edge:8080/pulsar";
    let mut talk = Talk::with(config("ws://edge:8080"));
    let (op, service) = asks_for_its_broker(&mut talk, gateway);
    let asked = hear!(talk, service, LookupTopic);
    talk.say(service, redirects(asked.request_id, "pulsar://second:6650"));
    let second = talk.answer(gateway);
    assert_eq!(hear!(talk, second, Connect).proxy_to_broker_url.as_deref(), Some("second:6650"));
    talk.say(second, connected(0));
    let asked = hear!(talk, second, LookupTopic);
    // A broker that has only a TLS address is named by it.
    let tls_only = CommandLookupTopicResponse {
        broker_service_url: Some(String::new()),
        broker_service_url_tls: Some("pulsar+ssl://third".to_owned()),
        ..serves(asked.request_id, "")
    };
    talk.say(second, tls_only);
    let third = talk.answer(gateway);
    assert_eq!(hear!(talk, third, Connect).proxy_to_broker_url.as_deref(), Some("third:6651"));
    talk.say(third, connected(0));
    let open = hear!(talk, third, Producer);
    talk.say(third, producer_success(open.request_id, "p", -1));
    talk.ended(op).expect("a producer");
    talk.cut(third);
    talk.pass(ms(100));
    // Also when it comes back, and the service's own connection is still the first.
    let asked = hear!(talk, service, LookupTopic);
    talk.say(service, serves(asked.request_id, "pulsar://third:6650"));
    let again = talk.answer(gateway);
    assert_eq!(hear!(talk, again, Connect).proxy_to_broker_url.as_deref(), Some("third:6650"));
}

#[test]
fn l01_a_tls_service_leads_to_the_brokers_tls_address() {
    let mut talk = Talk::with(config("pulsar+ssl://safe"));
    let (_, service) = asks_for_its_broker(&mut talk, "pulsar+ssl://safe:6651");
    let asked = hear!(talk, service, LookupTopic);
    let both = CommandLookupTopicResponse {
        broker_service_url_tls: Some("pulsar+ssl://b:6651".to_owned()),
        ..serves(asked.request_id, "pulsar://b:6650")
    };
    talk.say(service, both);
    talk.accept("pulsar+ssl://b:6651");
}

#[test]
fn l01_a_broker_without_a_tls_address_is_not_dialled_in_the_clear() {
    let mut talk = Talk::with(config("pulsar+ssl://safe"));
    let (op, service) = asks_for_its_broker(&mut talk, "pulsar+ssl://safe:6651");
    let asked = hear!(talk, service, LookupTopic);
    talk.say(service, serves(asked.request_id, "pulsar://b:6650"));
    assert!(talk.ended(op).is_err());
    assert_eq!(talk.asked(), None);
}

#[test]
fn k04_all_producers_and_consumers_of_a_broker_share_a_connection() {
    let mut talk = Talk::new();
    let (_, first) = talk.producer();
    let (_, second) = talk.producer();
    let (_, third) = talk.consumer();
    assert_eq!((first, first), (second, third));
    assert_eq!(talk.lines().len(), 1);
}

#[test]
fn k02_the_listener_is_named() {
    let mut talk = Talk::with(ClientConfig { listener_name: Some("outside".to_owned()), ..config(BROKER) });
    let (_, service) = asks_for_its_broker(&mut talk, BROKER);
    let asked = hear!(talk, service, LookupTopic);
    assert_eq!(asked.advertised_listener_name.as_deref(), Some("outside"));
}

#[test]
fn k02_a_lookup_that_fails_says_why() {
    let mut talk = Talk::new();
    let (op, service) = asks_for_its_broker(&mut talk, BROKER);
    let asked = hear!(talk, service, LookupTopic);
    talk.say(
        service,
        CommandLookupTopicResponse {
            request_id: asked.request_id,
            response: Some(LookupResult::FAILED),
            error: Some(ServerError::TOPIC_NOT_FOUND),
            message: Some("no such topic".to_owned()),
            ..Default::default()
        },
    );
    let error = talk.ended(op).expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::Broker(ServerError::TOPIC_NOT_FOUND));
    assert!(error.to_string().contains("no such topic"));
}

#[test]
fn k02_a_lookup_that_fails_without_a_reason_is_tried_again() {
    let mut talk = Talk::new();
    let (op, service) = asks_for_its_broker(&mut talk, BROKER);
    let asked = hear!(talk, service, LookupTopic);
    let failed = LookupResult::FAILED;
    talk.say(
        service,
        CommandLookupTopicResponse {
            request_id: asked.request_id,
            response: Some(failed),
            ..Default::default()
        },
    );
    assert_eq!(talk.ended_yet(op), None);
    talk.pass(ms(100));
    hear!(talk, service, PartitionedTopicMetadata);
}

#[test]
fn k02_a_late_answer_to_an_earlier_generation_does_nothing() {
    let mut talk = Talk::new();
    let (op, service) = asks_for_its_broker(&mut talk, BROKER);
    let first = hear!(talk, service, LookupTopic);
    // The operation ends before the broker answers.
    talk.pass(secs(30));
    assert_eq!(kind(talk.ended(op)), ErrorKind::Timeout);
    hear!(talk, service, Ping);
    let (_, op) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    let asked = hear!(talk, service, PartitionedTopicMetadata);
    talk.say(service, serves(first.request_id, "pulsar://wrong:6650"));
    assert_eq!(talk.asked(), None);
    talk.say(service, partitions(asked.request_id, 0));
    talk.locate_again(service);
    let open = hear!(talk, service, Producer);
    talk.say(service, producer_success(open.request_id, "p", -1));
    talk.ended(op).expect("a producer");
}

#[test]
fn k02_an_answer_on_another_connection_is_not_one() {
    let mut talk = Talk::new();
    let (op, service) = asks_for_its_broker(&mut talk, BROKER);
    let asked = hear!(talk, service, LookupTopic);
    talk.say(service, redirects(asked.request_id, "pulsar://second:6650"));
    let second = talk.accept("pulsar://second:6650");
    let asked = hear!(talk, second, LookupTopic);
    talk.say(service, serves(asked.request_id, "pulsar://wrong:6650"));
    assert_eq!(talk.asked(), None);
    assert_eq!(talk.ended_yet(op), None);
    talk.say(second, serves(asked.request_id, "pulsar://second:6650"));
    hear!(talk, second, Producer);
}

#[test]
fn k06_attempts_back_off() {
    let mut talk = Talk::new();
    let op = talk.client.partitions(topic(), talk.now);
    let mut tries = 0;
    let mut waited = ms(0);
    while talk.ended_yet(op).is_none() {
        while talk.asked().is_some_and(|(conn, _)| {
            talk.client.closed(conn, lost(), talk.now);
            true
        }) {
            tries += 1;
        }
        talk.pass(ms(10));
        waited += ms(10);
        assert!(waited <= secs(31));
    }
    assert_eq!(kind(talk.ended(op)), ErrorKind::Timeout);
    assert!((8..=11).contains(&tries), "{tries} tries in 30 s");
}
