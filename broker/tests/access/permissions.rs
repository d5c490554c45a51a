//! Who may do what.

use super::commands::{NO, NOT_FOUND, error_in, with_something_to_guard};
use super::*;

#[test]
fn owners_of_transactions_outlive_the_broker() {
    let config = world(Some(&["boss"])).broker.config().clone();
    let mut w = World::with(config.clone());
    w.broker = Broker::restored(config.clone(), [], w.now).unwrap();
    let (_, txn) = with_something_to_guard(&mut w);
    let kept = w.broker.poll_kept().into_iter().filter_map(|kept| match kept {
        pulsewire_broker::core::Kept::Put(key, value) => Some((key, value)),
        pulsewire_broker::core::Kept::Remove(..) => None,
    });
    let kept: std::collections::BTreeMap<_, _> = kept.collect();
    let mut w = World::with(config.clone());
    w.broker = Broker::restored(config, kept, w.now).unwrap();
    let joe = client(&mut w, "joe");
    let end = CommandEndTxn {
        request_id: 2,
        txnid_most_bits: Some(0),
        txnid_least_bits: Some(txn),
        txn_action: Some(TxnAction::ABORT),
        ..Default::default()
    };
    let (error, text) = error_in(&w.ask(joe, end)).unwrap();
    assert_eq!(error, NOT_FOUND);
    assert!(text.unwrap().contains("neither the owner"));
}

#[test]
fn a_subscription_can_be_for_some_roles_only() {
    let mut w = world(Some(&["boss"]));
    let boss = client(&mut w, "boss");
    w.produce(boss, 1, TOPIC);
    for role in ["joe", "ann"] {
        w.broker.grant("public/default", role, [Action::Produce, Action::Consume].into(), NOW);
    }
    w.broker.let_use_subscription("public/default", "s", ["ann".to_owned()].into(), NOW);
    let (joe, ann) = (client(&mut w, "joe"), client(&mut w, "ann"));
    let why = "Client is not authorized to subscribe";
    assert_eq!(refusal(w.ask(joe, subscribe(1, TOPIC, "s", SubType::SHARED))), (NO, why.to_owned()));
    w.consume(joe, 2, TOPIC, "other", SubType::SHARED);
    w.consume(ann, 1, TOPIC, "s", SubType::SHARED);
    w.consume(boss, 1, TOPIC, "s", SubType::SHARED);
    let first = CommandProducer {
        initial_subscription_name: Some("s".to_owned()),
        ..producer_on(7, "persistent://public/default/new")
    };
    assert_eq!(refusal(w.ask(joe, first)), (NO, "Client is not authorized to Produce".to_owned()));
    let told = w.broker.subscription_grants("public/default");
    assert_eq!(told, [("s".to_owned(), ["ann".to_owned()].into())].into());
    assert!(w.broker.take_subscription("public/default", "s", "ann", NOW));
    w.consume(joe, 1, TOPIC, "s", SubType::SHARED);
}

#[test]
fn who_loses_a_permission_loses_what_is_open() {
    let mut w = world(Some(&["boss"]));
    let boss = client(&mut w, "boss");
    w.produce(boss, 1, TOPIC);
    w.broker.grant("public/default", "joe", [Action::Produce, Action::Consume].into(), NOW);
    let joe = client(&mut w, "joe");
    w.produce(joe, 1, TOPIC);
    w.consume(joe, 1, TOPIC, "s", SubType::FAILOVER);
    w.consume(boss, 1, TOPIC, "s", SubType::FAILOVER);
    w.broker.grant("public/default", "joe", [Action::Consume].into(), w.now);
    w.settle();
    assert!(matches!(w.hear(joe), Command::CloseProducer(CommandCloseProducer { producer_id: 1, .. })));
    assert!(w.silent(joe), "he may go on to consume: {:?}", w.hear(joe));
    assert_eq!(refusal(w.ask(joe, producer_on(2, TOPIC))).0, NO);
    w.broker.grant("public/default", "joe", BTreeSet::new(), w.now);
    w.settle();
    assert!(matches!(w.hear(joe), Command::CloseConsumer(CommandCloseConsumer { consumer_id: 1, .. })));
    // Whoever may goes on, and is the active one now.
    w.flow(boss, 1, 10);
    wait(&mut w, boss, 2);
    w.publish(boss, 1, 0, "for those who may");
    assert_eq!(w.payloads(boss), ["for those who may"]);
}

#[test]
fn roles_may_do_what_they_are_granted() {
    let mut w = world(Some(&["boss"]));
    let boss = client(&mut w, "boss");
    w.produce(boss, 1, TOPIC);
    let joe = client(&mut w, "joe");
    let lookup = |w: &mut World, c| {
        let ask =
            CommandLookupTopic { topic: TOPIC.to_owned(), request_id: 7, ..CommandLookupTopic::default() };
        let Command::LookupTopicResponse(found) = w.ask(c, ask) else { panic!() };
        (found.request_id == 7).then_some(found.error).unwrap()
    };
    let partitions = |w: &mut World, c| {
        let ask =
            CommandPartitionedTopicMetadata { topic: TOPIC.to_owned(), request_id: 8, ..Default::default() };
        let Command::PartitionedTopicMetadataResponse(found) = w.ask(c, ask) else { panic!() };
        (found.error, found.message)
    };
    let list = || CommandGetTopicsOfNamespace {
        request_id: 9,
        namespace: "public/default".to_owned(),
        ..CommandGetTopicsOfNamespace::default()
    };
    let no = Some(ServerError::AUTHORIZATION_ERROR);
    assert_eq!(lookup(&mut w, joe), no);
    assert_eq!(
        partitions(&mut w, joe),
        (no, Some("Client is not authorized to Get Partition Metadata".to_owned()))
    );
    for (asked, text) in [
        (Command::from(producer_on(1, TOPIC)), "Client is not authorized to Produce"),
        (subscribe(1, TOPIC, "s", SubType::SHARED).into(), "Client is not authorized to subscribe"),
        (list().into(), "Client is not authorized to GetTopicsOfNamespace"),
    ] {
        assert_eq!(refusal(w.ask(joe, asked)), (ServerError::AUTHORIZATION_ERROR, text.to_owned()));
    }
    let grant = |broker: &mut Broker, place: &str, actions: &[Action]| {
        broker.grant(place, "joe", actions.iter().copied().collect::<BTreeSet<_>>(), NOW);
    };
    grant(&mut w.broker, "public/default", &[Action::Produce]);
    assert_eq!(lookup(&mut w, joe), None);
    w.produce(joe, 1, TOPIC);
    let refused = refusal(w.ask(joe, subscribe(1, TOPIC, "s", SubType::SHARED)));
    assert_eq!(refused.0, ServerError::AUTHORIZATION_ERROR);
    assert!(matches!(w.ask(joe, list()), Command::GetTopicsOfNamespaceResponse(_)));
    grant(&mut w.broker, "public/default", &[]);
    w.settle();
    assert!(matches!(w.hear(joe), Command::CloseProducer(_)), "his producer goes with the permission");
    assert_eq!(lookup(&mut w, joe), no);
    grant(&mut w.broker, TOPIC, &[Action::Consume]);
    w.consume(joe, 1, TOPIC, "s", SubType::SHARED);
    let other = refusal(w.ask(joe, subscribe(2, "persistent://public/default/other", "s", SubType::SHARED)));
    assert_eq!(other.0, ServerError::AUTHORIZATION_ERROR);
    // What is no topic at all is refused as such.
    assert_eq!(refusal(w.ask(joe, producer_on(5, "kafka://x"))).0, ServerError::INVALID_TOPIC_NAME);
    w.broker.set_tenant_admins("public", ["ann".to_owned()].into());
    let ann = client(&mut w, "ann");
    w.produce(ann, 1, TOPIC);
}

#[test]
fn without_superusers_everybody_who_is_known_may_do_all() {
    let mut w = world(None);
    let c = client(&mut w, "anybody");
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
}

#[test]
fn what_is_granted_outlives_the_broker() {
    let config = world(Some(&["boss"])).broker.config().clone();
    let mut first = Broker::restored(config.clone(), [], pulsewire_broker::Now::default()).unwrap();
    first.grant("public/default", "joe", [Action::Produce, Action::Consume].into(), NOW);
    first.grant(TOPIC, "ann", [Action::Functions].into(), NOW);
    first.grant("public/default", "bob", [Action::Sinks].into(), NOW);
    first.grant("public/default", "bob", BTreeSet::new(), NOW);
    first.set_tenant_admins("public", ["boss".to_owned(), "chef".to_owned()].into());
    let kept = first.poll_kept().into_iter().filter_map(|kept| match kept {
        pulsewire_broker::core::Kept::Put(key, value) => Some((key, value)),
        pulsewire_broker::core::Kept::Remove(..) => None,
    });
    let again = Broker::restored(config, kept, pulsewire_broker::Now::default()).unwrap();
    for place in ["public/default", TOPIC] {
        assert!(!again.grants(place).is_empty());
        assert_eq!(again.grants(place), first.grants(place));
    }
    assert_eq!(again.tenant_admins("public"), first.tenant_admins("public"));
}

#[test]
fn notes_tell_what_happens_and_no_secrets() {
    let mut w = world(Some(&["boss"]));
    w.broker.take_notes();
    let boss = client(&mut w, "boss until 99999999999999");
    w.produce(boss, 1, TOPIC);
    let joe = client(&mut w, "joe");
    w.ask(joe, producer_on(1, TOPIC));
    w.ask(boss, subscribe(1, TOPIC, " ", SubType::SHARED));
    let notes = w.broker.poll_notes();
    assert!(matches!(&notes[0], Note::Connected { role, .. } if role == "boss"), "{notes:?}");
    assert!(notes.contains(&Note::Created(TOPIC.to_owned())));
    assert!(notes.contains(&Note::Denied { id: joe, role: "joe".to_owned(), what: "Producer" }), "{notes:?}");
    assert!(notes.iter().any(|note| matches!(note, Note::Refused { .. })));
    assert!(notes.iter().all(|note| !note.to_string().contains("until")));
    assert!(w.broker.poll_notes().is_empty());
}
