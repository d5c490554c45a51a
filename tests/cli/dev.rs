//! `pulsewire dev`: all in one process.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Broker, PATIENCE, Process, run};

const FREE: [&str; 5] = ["dev", "--gateway-port", "0", "--console-port", "0"];

struct Dev {
    process: Process,
    gateway: String,
    broker: String,
    console: String,
}

fn dev(more: &[&str]) -> Dev {
    let mut process = Process::start(&[&FREE, more].concat());
    // In this order: the page is the last thing said.
    let (gateway, broker) = (process.said("gateway"), process.said("broker"));
    let console = process.said("console");
    Dev { process, gateway, broker, console }
}

const ALL_FREE: [&str; 4] = ["--port", "0", "--admin-port", "0"];

/// Asks for a page; the head and the body of the answer.
fn get(url: &str, headers: &str) -> (String, String) {
    let (host, path) = url.split_once("://").expect("a URL").1.split_once('/').expect("a path");
    let port = host.rsplit_once(':').expect("a port").1;
    let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(socket, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").expect("it reads");
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = socket.read(&mut chunk).expect("it answers");
        answer.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            if read == 0 || head.starts_with("http/1.1 101") {
                return (head, body.to_owned());
            }
        }
        assert!(read > 0, "cut off after {text:?}");
    }
}

fn upgrade(url: &str, origin: &str) -> String {
    let headers = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{origin}"
    );
    get(url, &headers).0.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn messages_go_through_all_of_it() {
    let dev = dev(&ALL_FREE);
    run(&["produce", "t", "by the gateway", "--url", &dev.gateway]).quiet_success();
    run(&["produce", "t", "by the broker", "--url", &dev.broker]).quiet_success();
    let read = run(&["consume", "t", "-s", "s", "--url", &dev.gateway]).quiet_success();
    assert_eq!(read.text(), "by the gateway\nby the broker\n");

    let mut following = Process::start(&["consume", "t", "-s", "f", "--follow", "--url", &dev.gateway]);
    following.line();
    let _kept_open = TcpStream::connect(dev.console.trim_start_matches("http://").trim_end_matches('/'));
    let began = Instant::now();
    dev.process.signal(Signal::INT);
    let ran = dev.process.end();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn the_page_is_served_with_its_configuration() {
    let page = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{}", std::process::id()));
    std::fs::create_dir_all(page.join("assets")).expect("a directory");
    for (name, content) in [
        ("index.html", "<p>console"),
        ("assets/m.js", "1"),
        ("assets/m.wasm", "\0asm"),
        ("config.json", "no"),
    ] {
        std::fs::write(page.join(name), content).expect("a file");
    }
    let dev = dev(&[&ALL_FREE[..], &["--console", page.to_str().expect("UTF-8")]].concat());
    let close = "Connection: close\r\n";
    let (head, body) = get(&dev.console, close);
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/html"), "{head}");
    assert_eq!(body, "<p>console");
    let kind = |file: &str| get(&format!("{}assets/{file}", dev.console), close).0;
    assert!(kind("m.js").contains("content-type: text/javascript"));
    assert!(kind("m.wasm").contains("content-type: application/wasm"));
    assert!(kind("none").starts_with("http/1.1 404"));
    assert!(kind("../../secret").starts_with("http/1.1 404"));

    let (head, body) = get(&format!("{}config.json", dev.console), close);
    assert!(head.contains("content-type: application/json"), "{head}");
    let config: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(config["gatewayUrl"], dev.gateway);
    assert_eq!(config["gateway"], dev.gateway);
    assert_eq!(config["brokerUrl"], dev.broker);
    assert_eq!(config["upstream"], false);
    let _ = std::fs::remove_dir_all(page);
}

/// The page sees what the gateway does, on its own origin; nobody else does.
#[test]
fn the_page_is_given_the_gateway_s_connections_and_figures() {
    let dev = dev(&ALL_FREE);
    let close = "Connection: close\r\n";
    let (_, config) = get(&format!("{}config.json", dev.console), close);
    assert!(config.contains(r#""admin":"./""#), "{config}");
    run(&["produce", "t", "m", "--url", &dev.gateway]).quiet_success();

    let began = Instant::now();
    let rows = loop {
        let (head, body) = get(&format!("{}connz?state=closed", dev.console), close);
        assert!(
            head.starts_with("http/1.1 200") && head.contains("content-type: application/json"),
            "{head}"
        );
        assert!(!head.contains("access-control"), "{head}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        match answer["connections"].as_array() {
            Some(rows) if !rows.is_empty() => break rows.clone(),
            _ => assert!(began.elapsed() < PATIENCE, "{answer}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(rows[0]["state"], "closed");
    assert!(rows[0]["up"].as_u64() > Some(0), "{rows:?}");
    // The client has several connections, and they end one after the other.
    loop {
        let (_, metrics) = get(&format!("{}metrics", dev.console), close);
        if metrics.contains("pulsewire_gateway_connections_open 0\n") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (head, _) = get(&format!("{}connz?sort=token", dev.console), close);
    assert!(head.starts_with("http/1.1 400"), "{head}");

    // A page of elsewhere whose name was made to point here.
    let rebound = dev.console.replace("localhost", "evil.example");
    for path in ["connz", "metrics"] {
        let (head, body) = get(&format!("{rebound}{path}"), close);
        assert!(head.starts_with("http/1.1 403") && !body.contains("pulsewire"), "{head} {body}");
    }
}

#[test]
fn only_the_console_s_own_pages_reach_the_gateway() {
    let dev = dev(&[&ALL_FREE[..], &["--allow-origin", "http://localhost:3"]].concat());
    let port = dev.console.trim_end_matches('/').rsplit_once(':').expect("a port").1;
    for origin in [
        format!("Origin: http://localhost:{port}\r\n"),
        format!("Origin: http://127.0.0.1:{port}\r\n"),
        "Origin: http://localhost:3\r\n".to_owned(),
        // A program.
        String::new(),
    ] {
        assert!(upgrade(&dev.gateway, &origin).contains("101"), "{origin}");
    }
    for origin in [format!("Origin: http://evil.example:{port}\r\n"), "Origin: null\r\n".to_owned()] {
        assert!(upgrade(&dev.gateway, &origin).contains("403"), "{origin}");
    }
}

#[test]
fn an_upstream_takes_the_broker_s_place() {
    let broker = Broker::start();
    let mut dev = dev(&["--upstream", &broker.url]);
    assert_eq!(dev.broker, format!("{} (yours)", broker.url));
    run(&["produce", "t", "m", "--url", &dev.gateway]).quiet_success();
    assert_eq!(broker.consume(&["t"]).quiet_success().text(), "m\n");
    let (_, config) = get(&format!("{}config.json", dev.console), "Connection: close\r\n");
    assert!(config.contains(r#""upstream":true"#), "{config}");
    assert!(dev.process.running());
}

#[test]
fn an_upstream_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("pulsar://{}", listener.local_addr().expect("an address"));
    let with = [&FREE[..], &["--upstream", &url]].concat();
    run(&with).failed(1, &[&url, "does not answer as a Pulsar broker does"]);
    drop(listener);
    let began = Instant::now();
    run(&with).failed(1, &[&url, "refused", "without it, dev brings a broker of its own"]);
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_port_that_is_named_must_be_free_and_a_usual_one_need_not() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let ran = run(&["dev", "--port", &port]);
    ran.failed(1, &[&port, "another program"]);

    // Whoever has the usual ports now, both of these start.
    let mut one = Process::start(&["dev"]);
    let first = one.said("console");
    let mut other = Process::start(&["dev"]);
    assert_ne!(first, other.said("console"));
    one.signal(Signal::INT);
    other.signal(Signal::INT);
    let said = [one.end().stderr, other.end().stderr].concat();
    assert!(said.contains("port 5173 is taken, a free one takes its place"), "{said}");
}

#[test]
fn what_is_wrong_with_the_arguments() {
    let wrong = ["dev", "--console", "nowhere", "--upstream", "bla", "--allow-origin", "x"];
    run(&wrong).failed(2, &["3 things are wrong", "no index.html"]);
}
