//! Messages out and in.

use serde_json::Value;

use crate::support::{Broker, Process, Scratch, pulsewire, run, run_with};

#[test]
fn arguments_are_stored_and_printed_once() {
    let broker = Broker::start();
    let produced = broker.produce(&["news", "hello", "wörld", "--ids"]).quiet_success();
    // In one batch, or one by one when the second came late.
    let ids = produced.lines();
    assert!(ids == ["7:0:-1:0", "7:0:-1:1"] || ids == ["7:0:-1", "7:1:-1"], "{ids:?}");
    assert_eq!(broker.produce(&["news", "again"]).quiet_success().text(), "");
    assert_eq!(broker.consume(&["news"]).quiet_success().text(), "hello\nwörld\nagain\n");
    // All of it is acknowledged; another subscription begins at the beginning.
    assert_eq!(broker.consume(&["news", "--timeout", "0.3"]).quiet_success().text(), "");
    let other = run(&["consume", "news", "-s", "other", "-n", "2", "--url", &broker.url]);
    assert_eq!(other.quiet_success().text(), "hello\nwörld\n");
    let rest = run(&["consume", "news", "-s", "other", "--url", &broker.url]);
    assert_eq!(rest.quiet_success().text(), "again\n");
}

#[test]
fn an_empty_topic_ends_at_once() {
    let broker = Broker::start();
    let began = std::time::Instant::now();
    assert_eq!(broker.consume(&["empty"]).quiet_success().text(), "");
    assert!(began.elapsed().as_millis() < 1500, "{:?}", began.elapsed());
}

#[test]
fn lines_of_stdin_are_messages_byte_for_byte() {
    let broker = Broker::start();
    let sent =
        run_with(&["produce", "lines", "--url", &broker.url], b"one\r\n\n\xff\x00two\nlast without end");
    assert_eq!(sent.quiet_success().text(), "");
    let got = broker.consume(&["lines"]).quiet_success();
    assert_eq!(got.stdout, b"one\n\n\xff\x00two\nlast without end\n");
}

#[test]
fn a_file_of_many_lines_is_stored_in_order_each_line_repeated() {
    let broker = Broker::start();
    let text: String = (0..30_000).map(|n| format!("{n}\n")).collect();
    let file = Scratch::new("lines.txt", text.as_bytes());
    broker.produce(&["many", "--file", file.path()]).quiet_success();
    assert!(broker.consume(&["many"]).quiet_success().text() == text, "order or content differs");
    let dash = run_with(&["produce", "twice", "-n", "2", "--file", "-", "--url", &broker.url], b"a\nb\n");
    dash.quiet_success();
    assert_eq!(broker.consume(&["twice"]).quiet_success().text(), "a\na\nb\nb\n");
}

#[test]
fn json_tells_everything() {
    let broker = Broker::start();
    let arguments =
        ["things", "text", "--key", "k", "-p", "a=1", "-p", "b=x=y", "--name", "me", "--json-ids"];
    let produced = broker.produce(&arguments).quiet_success();
    let receipt: Value = serde_json::from_str(&produced.text()).expect("JSON");
    assert_eq!(receipt, serde_json::json!({"message": 1, "id": "7:0:-1"}));
    run_with(&["produce", "things", "--url", &broker.url], b"\xff\xfe\n").quiet_success();

    let lines = broker.consume(&["things", "--format", "json"]).quiet_success().lines();
    let messages: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut first = messages[0].clone();
    let time = first.as_object_mut().expect("an object").remove("publishTime").expect("a publish time");
    assert!(time.as_u64().expect("a number") > 1_700_000_000_000);
    assert_eq!(
        first,
        serde_json::json!({
            "id": "7:0:-1", "topic": "persistent://public/default/things",
            "key": "k", "keyEncoding": "text", "properties": {"a": "1", "b": "x=y"},
            "eventTime": null, "redeliveryCount": 0, "producerName": "me",
            "payload": "text", "payloadEncoding": "text",
        })
    );
    assert_eq!(messages[1]["payload"], "//4=");
    assert_eq!(messages[1]["payloadEncoding"], "base64");
    assert_eq!(messages[1]["key"], Value::Null);
}

#[test]
fn hexadecimal_output() {
    let broker = Broker::start();
    broker.produce(&["hex", "Az", ""]).quiet_success();
    assert_eq!(broker.consume(&["hex", "--format", "hex"]).quiet_success().text(), "417a\n\n");
}

#[test]
fn unacknowledged_messages_come_again() {
    let broker = Broker::start();
    broker.produce(&["again", "one"]).quiet_success();
    assert_eq!(broker.consume(&["again", "--no-ack"]).quiet_success().text(), "one\n");
    let shared = ["again", "--type", "shared", "--timeout", "0.5"];
    assert_eq!(broker.consume(&shared).quiet_success().text(), "one\n");
    assert_eq!(broker.consume(&shared).quiet_success().text(), "");
}

#[test]
fn following_prints_what_comes_and_ends_quietly_with_its_reader() {
    let broker = Broker::start();
    broker.produce(&["live", "before"]).quiet_success();
    let consume = pulsewire(&["consume", "live", "-s", "s", "--follow", "--url", &broker.url])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut consume = consume.expect("the binary starts");
    let input = consume.stdout.take().expect("piped");
    // In one go: the command itself holds our end of the pipe.
    let head = std::process::Command::new("head")
        .args(["-n", "2"])
        .stdin(input)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("head starts");
    broker.produce(&["live", "after"]).quiet_success();
    let read = head.wait_with_output().expect("head ends");
    assert_eq!(String::from_utf8_lossy(&read.stdout), "before\nafter\n");
    // No further message is needed for it to notice.
    let ended = consume.wait_with_output().expect("consume ends");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
    // What was printed is acknowledged.
    let rest = run(&["consume", "live", "-s", "s", "--timeout", "0.3", "--url", &broker.url]);
    assert_eq!(rest.quiet_success().text(), "");
}

#[test]
fn latest_begins_after_what_is_there() {
    let broker = Broker::start();
    broker.produce(&["late", "before"]).quiet_success();
    let from = ["consume", "late", "-s", "s", "--from", "latest", "-n", "1", "--url", &broker.url];
    let mut consume = Process::start(&from);
    // Whenever it has subscribed, one of these is the first that it may print.
    while consume.running() {
        broker.produce(&["late", "after"]).quiet_success();
    }
    assert_eq!(consume.end().quiet_success().text(), "after\n");
}

#[test]
fn a_count_that_is_not_reached_in_time_is_a_failure() {
    let broker = Broker::start();
    broker.produce(&["few", "one"]).quiet_success();
    let few = broker.consume(&["few", "-n", "3", "--timeout", "0.4"]);
    let few = few.failed(1, &["only 1 of 3 messages came in time"]);
    assert_eq!(few.text(), "one\n");
}

#[test]
fn a_message_that_is_too_large_fails_alone() {
    let broker = Broker::start();
    let mut input = b"before\n".to_vec();
    input.resize(input.len() + 6_000_000, b'x');
    input.extend_from_slice(b"\nafter\n");
    let sent = run_with(&["produce", "large", "--json-ids", "--url", &broker.url], &input);
    let sent = sent.failed(1, &["message 2 is not stored", "5242880 bytes", "2 messages are stored, 1 not"]);
    assert!(sent.lines()[1].contains(r#""error":"MessageTooLarge""#), "{sent:?}");
    assert_eq!(broker.consume(&["large"]).quiet_success().text(), "before\nafter\n");
}
