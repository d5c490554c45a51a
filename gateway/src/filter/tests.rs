use bytes::BufMut;
use pulsewire_proto::wire::frame::{FrameDecoder, encode_with_entry};
use pulsewire_proto::wire::*;

use super::*;
use crate::narrow::permits;

fn new_filter() -> Filter {
    Filter::new(permits(&["out-*"], &["in", "lists/all/*"]), Arc::new(Metrics::new()))
}

/// Whose upstream has said CONNECTED.
fn filter() -> Filter {
    let mut filter = new_filter();
    let connected = frame(CommandConnected::default());
    assert_eq!(filter.down(&mut BytesMut::from(&connected[..])).expect("frames"), connected);
    filter
}

/// The upstream's word that a transaction is open.
fn opened(filter: &mut Filter, number: (u64, u64)) {
    let said = frame(CommandNewTxnResponse {
        txnid_most_bits: Some(number.0),
        txnid_least_bits: Some(number.1),
        ..Default::default()
    });
    assert_eq!(filter.down(&mut BytesMut::from(&said[..])).expect("frames"), said);
}

fn frame(command: impl Into<Command>) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode_command(&command.into(), &mut out);
    out.to_vec()
}

fn frames(bytes: &[u8]) -> Vec<Command> {
    let mut decoder = FrameDecoder::new(1 << 24);
    decoder.push(Bytes::copy_from_slice(bytes));
    let mut all = Vec::new();
    while let Some(frame) = decoder.next_frame().expect("frames") {
        all.push(frame.decode().expect("a command"));
    }
    all
}

fn passed(filter: &mut Filter) -> Vec<u8> {
    std::iter::from_fn(|| filter.next().expect("frames")).collect::<Vec<_>>().concat()
}

/// What passes and what is answered.
fn judged(command: impl Into<Command>) -> (Vec<Command>, Vec<Command>) {
    let mut filter = filter();
    opened(&mut filter, (0, 0));
    opened(&mut filter, (3, 0));
    filter.push(&frame(command).into()).expect("a frame");
    let replies = filter.replies_now().unwrap_or_default();
    (frames(&passed(&mut filter)), frames(&replies))
}

fn producer(topic: &str) -> CommandProducer {
    CommandProducer { topic: topic.to_owned(), producer_id: 1, request_id: 7, ..Default::default() }
}

fn subscribe(topic: &str) -> CommandSubscribe {
    CommandSubscribe { topic: topic.to_owned(), request_id: 7, ..Default::default() }
}

#[test]
fn what_is_permitted_passes() {
    for command in [
        Command::from(producer("out-1")),
        subscribe("persistent://public/default/in-partition-0").into(),
        CommandLookupTopic { topic: "in".to_owned(), ..Default::default() }.into(),
        CommandLookupTopic { topic: "out-x".to_owned(), ..Default::default() }.into(),
        CommandPartitionedTopicMetadata { topic: "out-x".to_owned(), ..Default::default() }.into(),
        CommandGetSchema { topic: "in".to_owned(), ..Default::default() }.into(),
        CommandGetOrCreateSchema { topic: "out-x".to_owned(), ..Default::default() }.into(),
        CommandGetTopicsOfNamespace { namespace: "lists/all".to_owned(), ..Default::default() }.into(),
        CommandWatchTopicList { namespace: "lists/all".to_owned(), ..Default::default() }.into(),
        CommandAddPartitionToTxn { partitions: vec!["out-1".to_owned()], ..Default::default() }.into(),
        CommandSeek::default().into(),
        CommandPing::default().into(),
        CommandFlow::default().into(),
        CommandNewTxn::default().into(),
        CommandEndTxn::default().into(),
        CommandConnect { client_version: "x".to_owned(), ..Default::default() }.into(),
    ] {
        assert_eq!(judged(command.clone()), (vec![command], vec![]));
    }
}

#[test]
fn what_is_not_gets_the_error_that_belongs_to_it() {
    let text = Some("this gateway does not let this client do that".to_owned());
    let error = Some(ServerError::AUTHORIZATION_ERROR);
    let plain = |request_id| {
        let (error, message) = (ServerError::AUTHORIZATION_ERROR, text.clone().unwrap_or_default());
        Command::from(CommandError { request_id, error, message })
    };
    let topic = || "secret".to_owned();
    let own = Subscription { topic: topic(), subscription: "s".to_owned() };
    for (command, reply) in [
        (Command::from(producer("in")), plain(7)),
        (subscribe("out-1").into(), plain(7)),
        (
            CommandGetTopicsOfNamespace {
                request_id: 7,
                namespace: "public/other".to_owned(),
                ..Default::default()
            }
            .into(),
            plain(7),
        ),
        (
            CommandGetTopicsOfNamespace {
                request_id: 7,
                namespace: "lists/all".to_owned(),
                mode: Some(TopicsMode::NON_PERSISTENT),
                ..Default::default()
            }
            .into(),
            plain(7),
        ),
        (
            CommandWatchTopicList { request_id: 7, namespace: "a/b".to_owned(), ..Default::default() }.into(),
            plain(7),
        ),
        (CommandEndTxnOnPartition { request_id: 7, ..Default::default() }.into(), plain(7)),
        (
            CommandLookupTopic { topic: topic(), request_id: 7, ..Default::default() }.into(),
            CommandLookupTopicResponse {
                request_id: 7,
                response: Some(LookupResult::FAILED),
                error,
                message: text.clone(),
                ..Default::default()
            }
            .into(),
        ),
        (
            CommandPartitionedTopicMetadata { topic: topic(), request_id: 7, ..Default::default() }.into(),
            CommandPartitionedTopicMetadataResponse {
                request_id: 7,
                response: Some(PartitionedMetadataResult::FAILED),
                error,
                message: text.clone(),
                ..Default::default()
            }
            .into(),
        ),
        (
            CommandGetSchema { topic: topic(), request_id: 7, ..Default::default() }.into(),
            CommandGetSchemaResponse {
                request_id: 7,
                error_code: error,
                error_message: text.clone(),
                ..Default::default()
            }
            .into(),
        ),
        (
            CommandGetOrCreateSchema { topic: topic(), request_id: 7, ..Default::default() }.into(),
            CommandGetOrCreateSchemaResponse {
                request_id: 7,
                error_code: error,
                error_message: text.clone(),
                ..Default::default()
            }
            .into(),
        ),
        (
            CommandAddPartitionToTxn {
                request_id: 7,
                txnid_most_bits: Some(3),
                partitions: vec!["out-1".to_owned(), topic()],
                ..Default::default()
            }
            .into(),
            CommandAddPartitionToTxnResponse {
                request_id: 7,
                txnid_most_bits: Some(3),
                error,
                message: text.clone(),
                ..Default::default()
            }
            .into(),
        ),
        (
            CommandAddSubscriptionToTxn { request_id: 7, subscription: vec![own], ..Default::default() }
                .into(),
            CommandAddSubscriptionToTxnResponse {
                request_id: 7,
                error,
                message: text.clone(),
                ..Default::default()
            }
            .into(),
        ),
    ] {
        assert_eq!(judged(command), (vec![], vec![reply]));
    }
}

/// Any cut of the stream gives the same.
#[test]
fn however_it_is_cut() {
    let mut stream = BytesMut::new();
    stream.extend_from_slice(&frame(producer("out-1")));
    for n in 0..4u8 {
        let send = CommandSend { producer_id: 1, sequence_id: u64::from(n), ..Default::default() };
        encode_with_entry(&send.into(), &[n; 300], &mut stream);
        stream.extend_from_slice(&frame(producer("secret")));
    }
    let stream = stream.freeze();
    let mut whole = filter();
    whole.push(&stream).expect("frames");
    let wanted = (passed(&mut whole), whole.replies_now().expect("replies"));
    assert_eq!(frames(&wanted.1).len(), 4);
    for size in 1..200 {
        let mut filter = filter();
        let mut got = Vec::new();
        for piece in stream.chunks(size) {
            filter.push(&Bytes::copy_from_slice(piece)).expect("frames");
            got.extend(passed(&mut filter));
        }
        assert!(got == wanted.0, "{size}");
        assert_eq!(filter.replies_now().expect("replies"), wanted.1, "{size}");
    }
}

#[test]
fn sends_are_not_copied() {
    let mut stream = BytesMut::new();
    for _ in 0..100 {
        encode_with_entry(&CommandSend::default().into(), &[0; 1000], &mut stream);
    }
    let stream = stream.freeze();
    let mut filter = filter();
    filter.push(&stream).expect("frames");
    let all = filter.next().expect("frames").expect("a piece");
    assert_eq!((all.as_ptr(), all.len()), (stream.as_ptr(), stream.len()));
    assert_eq!(filter.next(), Ok(None));
}

fn raw(command: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32(command.len() as u32 + 4);
    out.put_u32(command.len() as u32);
    out.put_slice(command);
    out.freeze()
}

/// What another reader might take for another command is none.
#[test]
fn commands_of_two_meanings() {
    let mut body = BytesMut::new();
    producer("secret").encode(&mut body);
    let named = |number: u8, field: u8| {
        let mut out = vec![0x08, number, field << 3 | 2, body.len() as u8];
        out.extend_from_slice(&body);
        out
    };
    let flow = [0x08, 11, 11 << 3 | 2, 0];
    for (what, command) in [
        ("two types", [&[0x08, 11][..], &named(5, 5)].concat()),
        ("a second body", [&flow[..], &named(5, 5)].concat()),
        ("the body of another", named(11, 5)),
        ("a type of two bytes", [&[0x08, 0x85, 0x00][..], &named(5, 5)[2..]].concat()),
        ("the body first", [&named(5, 5)[2..], &[0x08, 5][..]].concat()),
        ("no type", named(5, 5)[2..].to_vec()),
        ("no body", vec![0x08, 5]),
        ("nothing", vec![]),
        ("a long length", [&[0x08, 5, 42, body.len() as u8 | 0x80, 0x80, 0x80, 0x80, 0][..], &body].concat()),
    ] {
        let pushed = filter().push(&raw(&command));
        assert!(matches!(pushed, Err(Ending::BadFrame)), "{what}: {pushed:?}");
    }
    // The last of two topics counts for every reader; what goes on has one.
    let mut two = body.clone();
    two.put_slice(&[10, 5]);
    two.put_slice(b"out-1");
    let mut command = vec![0x08, 5, 42, two.len() as u8];
    command.extend_from_slice(&two);
    let mut filter = filter();
    filter.push(&raw(&command)).expect("a frame");
    assert_eq!(passed(&mut filter), frame(producer("out-1")));
}

#[test]
fn frames_that_are_none() {
    for bytes in [&[0xff; 8][..], &[0, 0, 0, 3, 0, 0, 0, 0], &[0, 0, 0, 8, 0, 0, 0, 5], b"GET / HT"] {
        assert_eq!(filter().push(&Bytes::copy_from_slice(bytes)), Err(Ending::BadFrame));
    }
}

/// The connection lives, and what comes after them passes.
#[test]
fn unknown_commands_are_answered_and_go_nowhere() {
    let success = Bytes::from(frame(CommandSuccess::default()));
    let newer = [raw(&[0x08, 47, 0xfa, 0x02, 0]), raw(&[0x08, 0x80, 0x01, 0x82, 0x08, 0])];
    let ping = frame(CommandPing::default());
    for command in [success].iter().chain(&newer) {
        let mut filter = filter();
        filter.push(&[&command[..], &ping[..]].concat().into()).expect("frames");
        assert_eq!(passed(&mut filter), ping);
        let replies = frames(&filter.replies_now().expect("an answer"));
        let [Command::Error(error)] = &replies[..] else { panic!("{replies:?}") };
        assert_eq!((error.request_id, error.error), (NO_REQUEST, ServerError::AUTHORIZATION_ERROR));
    }
}

/// Our errors stand between two frames of the upstream, never within one.
#[test]
fn replies_stand_between_frames() {
    let ping = frame(CommandPing::default());
    let down = [ping.clone(), ping.clone(), ping.clone()].concat();
    for cut in 0..=down.len() {
        let mut filter = filter();
        let mut out = Vec::new();
        let mut said = BytesMut::from(&down[..cut]);
        out.extend(filter.down(&mut said).expect("frames"));
        filter.push(&frame(producer("secret")).into()).expect("a frame");
        out.extend(filter.replies_now().unwrap_or_default());
        said.extend_from_slice(&down[cut..]);
        out.extend(filter.down(&mut said).expect("frames"));
        out.extend(filter.replies_now().unwrap_or_default());
        let names: Vec<_> = frames(&out).iter().map(Command::name).collect();
        assert_eq!(names.len(), 4, "{cut}");
        assert_eq!(names.iter().filter(|name| **name == "Error").count(), 1, "{cut}");
    }
}

/// However many commands one message brings, the errors that wait are few, and all of them come in the end.
#[test]
fn replies_have_a_bound() {
    let (unknown, refused) =
        (raw(&[0x08, 0x80, 0x01, 0x82, 0x08, 0]), Bytes::from(frame(producer("secret"))));
    let ping = frame(CommandPing::default());
    for one in [unknown, refused] {
        let mut filter = filter();
        let mut message = one.repeat(20_000);
        message.extend_from_slice(&ping);
        filter.push(&message.into()).expect("frames");
        let (mut answers, mut went) = (0, Vec::new());
        loop {
            went.extend(passed(&mut filter));
            assert!(filter.replies.len() < MAX_REPLIES + 1024, "{}", filter.replies.len());
            let Some(replies) = filter.replies_now() else { break };
            answers += frames(&replies).len();
        }
        assert_eq!((answers, went), (20_000, ping.clone()));
    }
}

#[test]
fn pieces_have_a_bound() {
    let mut filter = filter();
    let lookup = frame(CommandLookupTopic { topic: "in".to_owned(), ..Default::default() });
    filter.push(&lookup.repeat(5_000).into()).expect("frames");
    assert!(filter.passed.len() <= 2 * MAX_PIECES);
    assert!(passed(&mut filter) == lookup.repeat(5_000));
}

/// Nothing is said before the upstream has answered CONNECT; a challenge is not that answer.
#[test]
fn replies_wait_for_connected() {
    let mut filter = new_filter();
    filter.push(&frame(producer("secret")).into()).expect("a frame");
    assert!(filter.has_replies() && filter.replies_now().is_none());
    let challenge = frame(CommandAuthChallenge::default());
    assert_eq!(filter.down(&mut BytesMut::from(&challenge[..])).expect("frames"), challenge);
    assert!(filter.replies_now().is_none());
    let connected = frame(CommandConnected::default());
    let mut said = BytesMut::new();
    for byte in &connected {
        assert!(filter.replies_now().is_none());
        said.extend_from_slice(&[*byte]);
        filter.down(&mut said).expect("frames");
    }
    // Told with the end of it, or right behind.
    assert!(filter.replies_now().is_some() || !filter.has_replies());
    let mut filter = new_filter();
    filter.push(&frame(producer("secret")).into()).expect("a frame");
    let told = filter.down(&mut BytesMut::from(&connected[..])).expect("frames");
    assert_eq!(frames(&told).iter().map(Command::name).collect::<Vec<_>>(), ["Connected", "Error"]);
}

/// Numbers of transactions are easily guessed.
#[test]
fn transactions_of_others() {
    let end = |number: (u64, u64)| CommandEndTxn {
        request_id: 7,
        txnid_most_bits: Some(number.0),
        txnid_least_bits: Some(number.1),
        ..Default::default()
    };
    let add = CommandAddPartitionToTxn {
        request_id: 7,
        txnid_most_bits: Some(1),
        txnid_least_bits: Some(5),
        partitions: strings(&["out-1"]),
        ..Default::default()
    };
    let own = Subscription { topic: "in".to_owned(), subscription: "s".to_owned() };
    let subscribed = CommandAddSubscriptionToTxn {
        request_id: 7,
        txnid_most_bits: Some(1),
        txnid_least_bits: Some(5),
        subscription: vec![own],
        ..Default::default()
    };
    let mut filter = filter();
    opened(&mut filter, (1, 4));
    for (command, name) in [
        (Command::from(end((1, 5))), "EndTxnResponse"),
        (end((4, 1)).into(), "EndTxnResponse"),
        (add.clone().into(), "AddPartitionToTxnResponse"),
        (subscribed.clone().into(), "AddSubscriptionToTxnResponse"),
    ] {
        filter.push(&frame(command).into()).expect("a frame");
        assert_eq!(passed(&mut filter), b"");
        let replies = frames(&filter.replies_now().expect("an answer"));
        assert_eq!(replies.iter().map(Command::name).collect::<Vec<_>>(), [name]);
    }
    // One that could not be opened is none.
    let refused = frame(CommandNewTxnResponse {
        txnid_most_bits: Some(1),
        txnid_least_bits: Some(5),
        error: Some(ServerError::TRANSACTION_COORDINATOR_NOT_FOUND),
        ..Default::default()
    });
    filter.down(&mut BytesMut::from(&refused[..])).expect("frames");
    filter.push(&frame(end((1, 5))).into()).expect("a frame");
    assert_eq!(passed(&mut filter), b"");
    assert!(filter.replies_now().is_some());
    opened(&mut filter, (1, 5));
    for command in [Command::from(add), subscribed.into(), end((1, 5)).into(), end((1, 5)).into()] {
        filter.push(&frame(command.clone()).into()).expect("a frame");
        assert_eq!(passed(&mut filter), frame(command));
    }
    let ended = frame(CommandEndTxnResponse {
        txnid_most_bits: Some(1),
        txnid_least_bits: Some(5),
        ..Default::default()
    });
    filter.down(&mut BytesMut::from(&ended[..])).expect("frames");
    filter.push(&frame(end((1, 5))).into()).expect("a frame");
    assert_eq!(passed(&mut filter), b"");
}

/// What only proxies may say of whom they speak for.
#[test]
fn a_connect_that_speaks_for_others() {
    let own = CommandConnect { client_version: "x".to_owned(), ..Default::default() };
    let forged = CommandConnect {
        original_principal: Some("admin".to_owned()),
        original_auth_data: Some("x".to_owned()),
        original_auth_method: Some("token".to_owned()),
        proxy_version: Some("4".to_owned()),
        ..own.clone()
    };
    assert_eq!(judged(forged), (vec![own.into()], vec![]));
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What the client sees of what the upstream says, cut in every way.
fn told(filter: impl Fn() -> Filter, said: &[u8]) -> Vec<Command> {
    let told = |piece: usize| {
        let (mut filter, mut waiting, mut told) = (filter(), BytesMut::new(), Vec::new());
        for piece in said.chunks(piece) {
            waiting.extend_from_slice(piece);
            told.extend(filter.down(&mut waiting).expect("frames"));
        }
        assert!(waiting.is_empty());
        told
    };
    let whole = told(said.len());
    for piece in 1..said.len() {
        assert!(told(piece) == whole, "{piece}");
    }
    frames(&whole)
}

#[test]
fn lists_name_what_may_be_consumed_from() {
    let ask = CommandGetTopicsOfNamespace {
        request_id: 7,
        namespace: "public/default".to_owned(),
        topics_hash: Some("known".to_owned()),
        ..Default::default()
    };
    let watch = CommandWatchTopicList {
        request_id: 8,
        watcher_id: 1,
        namespace: "public/default".to_owned(),
        topics_pattern: ".*".to_owned(),
        topics_hash: Some("known".to_owned()),
    };
    // A hash would tell whether what is not shown has changed.
    let without = Command::from(CommandGetTopicsOfNamespace { topics_hash: None, ..ask.clone() });
    assert_eq!(judged(ask), (vec![without], vec![]));
    let without = Command::from(CommandWatchTopicList { topics_hash: None, ..watch.clone() });
    assert_eq!(judged(watch.clone()), (vec![without], vec![]));

    let all = ["persistent://public/default/in", "persistent://public/default/secret", "in-partition-1"];
    let list = CommandGetTopicsOfNamespaceResponse {
        request_id: 7,
        topics: strings(&all),
        topics_hash: Some("all".to_owned()),
        changed: Some(true),
        ..Default::default()
    };
    let harmless = CommandGetTopicsOfNamespaceResponse { topics: strings(&["in"]), ..list.clone() };
    let success = CommandWatchTopicListSuccess {
        request_id: 8,
        watcher_id: 1,
        topic: strings(&all),
        topics_hash: "all".to_owned(),
    };
    let update = |new: &[&str], deleted: &[&str]| CommandWatchTopicUpdate {
        watcher_id: 1,
        new_topics: strings(new),
        deleted_topics: strings(deleted),
        topics_hash: "all".to_owned(),
    };
    let mut message = BytesMut::new();
    encode_with_entry(&CommandMessage::default().into(), b"persistent://public/default/secret", &mut message);
    let said = [
        frame(list.clone()),
        message.to_vec(),
        frame(harmless.clone()),
        frame(success.clone()),
        frame(update(&["secret", "in"], &["in-partition-1", "secret"])),
        frame(update(&["secret"], &["secret"])),
        frame(update(&["in"], &[])),
        frame(CommandPing::default()),
    ]
    .concat();
    let seen = strings(&[all[0], all[2]]);
    let cut = CommandGetTopicsOfNamespaceResponse { topics: seen.clone(), topics_hash: None, ..list };
    let told_all = |hash: &str| -> Vec<Command> {
        let hash = hash.to_owned();
        vec![
            cut.clone().into(),
            CommandMessage::default().into(),
            harmless.clone().into(),
            CommandWatchTopicListSuccess {
                topic: seen.clone(),
                topics_hash: String::new(),
                ..success.clone()
            }
            .into(),
            CommandWatchTopicUpdate { topics_hash: String::new(), ..update(&["in"], &["in-partition-1"]) }
                .into(),
            CommandWatchTopicUpdate { topics_hash: hash, ..update(&["in"], &[]) }.into(),
            CommandPing::default().into(),
        ]
    };
    // Whoever asked, and whatever for: the answers are cut.
    assert_eq!(told(filter, &said), told_all("all"));
    let watching = || {
        let mut filter = filter();
        filter.push(&frame(watch.clone()).into()).expect("a frame");
        filter
    };
    assert_eq!(told(watching, &said), told_all(""));
}

#[test]
fn lists_that_cannot_be_looked_through_go_nowhere() {
    for bytes in [&[0, 0, 0, 8, 0, 0, 0, 4, 0x08, 33, 7, 7][..], &[0, 0, 0, 8, 0, 0, 0, 9, 0x08, 65, 7, 7]] {
        assert_eq!(filter().down(&mut BytesMut::from(bytes)), Err(Ending::UpstreamLost));
    }
    let mut large = BytesMut::from(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 4, 0x08, 66][..]);
    assert_eq!(filter().down(&mut large), Err(Ending::UpstreamLost));
}

/// What an upstream says that is no list is not copied, and our errors come between while a list is held.
#[test]
fn what_is_no_list_passes_as_it_comes() {
    let mut stream = BytesMut::new();
    for _ in 0..100 {
        encode_with_entry(&CommandMessage::default().into(), &[0; 1000], &mut stream);
    }
    let at = stream.as_ptr();
    let told = filter().down(&mut stream).expect("frames");
    assert_eq!(told.as_ptr(), at);

    let list = CommandGetTopicsOfNamespaceResponse { topics: strings(&["in"]), ..Default::default() };
    let list = frame(list);
    let mut filter = filter();
    let mut said = BytesMut::from(&list[..15]);
    assert!(filter.down(&mut said).expect("frames").is_empty());
    filter.push(&frame(producer("secret")).into()).expect("a frame");
    assert!(filter.replies_now().is_some());
    said.extend_from_slice(&list[15..]);
    assert_eq!(filter.down(&mut said).expect("frames"), list);
}

/// The short way lets nothing pass that the long way does not.
#[test]
fn what_is_plainly_harmless() {
    for number in 0..=u8::MAX {
        for tag in 0..=u8::MAX {
            for command in
                [&[0x08, number, tag, 2, 8, 1][..], &[0x08, number, tag, 1, 8, 1], &[0x08, number, tag]]
            {
                let harmless = matches!(canonical(command), Ok(Some(number)) if HARMLESS.contains(&number));
                assert!(harmless || !plainly_harmless(command), "{command:?}");
                let short = number < 16 && command.len() == 6;
                assert!(!short || harmless == plainly_harmless(command), "{command:?}");
            }
        }
    }
    assert!(plainly_harmless(&frame(CommandSend::default())[8..]));
    // What is there of a command that is not whole may look like one that is.
    let mut whole = raw(&[&[0x08, 6, 6 << 3 | 2, 2, 8, 1][..], &[0; 50]].concat());
    let rest = whole.split_off(14);
    let mut filter = filter();
    filter.push(&whole).expect("the beginning of a frame");
    assert_eq!((passed(&mut filter).len(), filter.push(&rest)), (0, Err(Ending::BadFrame)));
}
