//! The broker and the gateway as processes.

use std::net::TcpListener;

use rustix::process::Signal;

use crate::support::{Broker, Process, Scratch, run};

#[test]
fn the_broker_ends_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let broker = Broker::start();
        broker.produce(&["t", "m"]).quiet_success();
        broker.process.signal(signal);
        assert_eq!(broker.process.end().code, Some(0));
    }
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    run(&["broker", "--port", &port]).failed(1, &[&port, "another program", "--port"]);
    run(&["broker", "--port", "0", "--admin-port", &port]).failed(1, &[&port, "--admin-port"]);
    let listen = format!("127.0.0.1:{port}");
    let gateway = run(&["gateway", "--listen", &listen, "--upstream", "pulsar://localhost"]);
    gateway.failed(1, &[&port, "another program", "--listen"]);
}

#[test]
fn messages_go_over_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let cert = Scratch::new("tls-cert.pem", made.cert.pem().as_bytes());
    let key = Scratch::new("tls-key.pem", made.signing_key.serialize_pem().as_bytes());
    let ports = ["broker", "--port", "0", "--admin-port", "0", "--tls-port", "0"];
    let files = ["--tls-cert", cert.path(), "--tls-key", key.path()];
    let mut broker = Process::start(&[&ports[..], &files].concat());
    let url = broker.said("tls");
    run(&["produce", "t", "sealed", "--ca", cert.path(), "--url", &url]).quiet_success();
    let read = run(&["consume", "t", "-s", "s", "--insecure", "--url", &url]);
    assert_eq!(read.text(), "sealed\n");
    read.failed(0, &["--insecure"]);
    let refused = run(&["produce", "t", "x", "--operation-timeout", "1", "--url", &url]);
    refused.failed(1, &["certificate", "--ca"]);

    let pem = std::fs::read(cert.path()).expect("a certificate");
    let no_key = Scratch::new("no-key.pem", &pem);
    let files = ["--tls-cert", cert.path(), "--tls-key", no_key.path()];
    run(&[&ports[..], &files].concat()).failed(2, &["no private key"]);
}

#[test]
fn all_that_is_wrong_with_a_gateway_is_said_at_once() {
    let wrong = ["gateway", "--listen", "here", "--upstream", "http://x", "--allow-origin", "foo"];
    let more = ["--tls-cert", "c", "--max-connections", "0", "--upstream-ca", "no such file"];
    let flags =
        ["--listen", "--upstream", "--allow-origin", "--tls-key", "--max-connections", "--upstream-ca"];
    let ran = run(&[&wrong[..], &more].concat()).failed(2, &["6 things are wrong", "no such file"]);
    for flag in flags {
        assert!(ran.stderr.contains(&format!("\n  {flag}: ")), "{flag} is not in {}", ran.stderr);
    }
    run(&["gateway"]).failed(2, &["--upstream: it is missing"]);
}

#[test]
fn messages_go_through_a_gateway_that_ends_in_order() {
    let broker = Broker::start();
    // It has two connections, the second of which ends in the middle of this time.
    let file = Scratch::new("in-order.toml", b"[limits]\nlame_duck = \"400ms\"\n");
    let listen =
        ["gateway", "--config", file.path(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let open = ["--upstream", &broker.url, "--allow-missing-origin"];
    let mut gateway = Process::start(&[&listen[..], &open].concat());
    assert!(gateway.said("health").starts_with("http://127.0.0.1:"));
    assert_eq!(gateway.said("upstream"), broker.url);
    let url = gateway.said("gateway");
    run(&["produce", "t", "through", "--url", &url]).quiet_success();
    assert_eq!(run(&["consume", "t", "-s", "s", "--url", &url]).quiet_success().text(), "through\n");

    let mut following = Process::start(&["consume", "t", "-s", "f", "--follow", "--url", &url]);
    assert_eq!(following.line(), "through");
    gateway.signal(Signal::TERM);
    let ran = gateway.end();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("gateway-shutdown"), "{ran:?}");
    following.signal(Signal::INT);
    assert_eq!(following.end().code, Some(130));
}

#[test]
fn a_gateway_denies_strangers() {
    let broker = Broker::start();
    let mut gateway = Process::start(&["gateway", "--listen", "127.0.0.1:0", "--upstream", &broker.url]);
    let url = gateway.said("gateway");
    let ran = run(&["produce", "t", "m", "--operation-timeout", "1", "--url", &url]);
    ran.failed(1, &["refused the connection", "origin-missing"]);
}
