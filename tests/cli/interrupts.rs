//! Ctrl-C and SIGTERM.

use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Broker, Process};

#[test]
fn ctrl_c_while_sends_are_pending_says_what_is_stored() {
    let broker = Broker::start();
    let mut produce = Process::start(&["produce", "t", "--ids", "--url", &broker.url]);
    produce.write(b"one\ntwo\n");
    produce.line();
    produce.line();
    // From here on the broker never answers.
    broker.process.signal(Signal::STOP);
    produce.write(&b"more\n".repeat(10));
    sleep(Duration::from_millis(300));
    let interrupted = Instant::now();
    produce.signal(Signal::INT);
    sleep(Duration::from_millis(500));
    assert!(produce.running(), "it waits for the receipts for a while");
    let words = ["interrupted: 2 messages are stored", "10 sent without a receipt"];
    produce.end().failed(130, &words);
    assert!(interrupted.elapsed() < Duration::from_secs(8), "{:?}", interrupted.elapsed());
}

#[test]
fn receipts_that_come_after_ctrl_c_still_count() {
    let broker = Broker::start();
    let mut produce = Process::start(&["produce", "t", "--ids", "--url", &broker.url]);
    produce.write(b"one\n");
    produce.line();
    broker.process.signal(Signal::STOP);
    produce.write(b"two\n");
    sleep(Duration::from_millis(300));
    produce.signal(Signal::TERM);
    sleep(Duration::from_millis(300));
    broker.process.signal(Signal::CONT);
    let ran = produce.end().failed(130, &["interrupted: 2 messages are stored."]);
    assert_eq!(ran.lines(), ["7:0:-1", "7:1:-1"]);
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let broker = Broker::start();
    let mut produce = Process::start(&["produce", "t", "--ids", "--url", &broker.url]);
    produce.write(b"one\n");
    produce.line();
    broker.process.signal(Signal::STOP);
    produce.write(b"two\n");
    sleep(Duration::from_millis(300));
    let interrupted = Instant::now();
    produce.signal(Signal::INT);
    sleep(Duration::from_millis(200));
    produce.signal(Signal::INT);
    produce.end().failed(130, &["1 message is stored, 1 sent without a receipt"]);
    assert!(interrupted.elapsed() < Duration::from_secs(2), "{:?}", interrupted.elapsed());
}

#[test]
fn ctrl_c_while_it_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("pulsar://{}", listener.local_addr().expect("an address"));
    let produce = Process::start(&["produce", "t", "m", "--url", &url]);
    let consume = Process::start(&["consume", "t", "-s", "s", "--url", &url]);
    listener.accept().expect("one");
    listener.accept().expect("the other");
    produce.signal(Signal::INT);
    consume.signal(Signal::INT);
    produce.end().failed(130, &["before anything was sent"]);
    assert_eq!(consume.end().code, Some(130));
}

#[test]
fn ctrl_c_while_following_leaves_nothing_unacknowledged() {
    let broker = Broker::start();
    let mut consume = Process::start(&["consume", "t", "-s", "test", "--follow", "--url", &broker.url]);
    broker.produce(&["t", "one", "two"]).quiet_success();
    assert_eq!([consume.line(), consume.line()], ["one", "two"]);
    // The acknowledgment follows the line.
    sleep(Duration::from_millis(100));
    consume.signal(Signal::INT);
    consume.end().failed(130, &["interrupted: 2 messages printed and acknowledged"]);
    assert_eq!(broker.consume(&["t", "--timeout", "0.3"]).quiet_success().text(), "");
}
