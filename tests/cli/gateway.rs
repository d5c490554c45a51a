//! The gateway as people run it: its file, its signals, and what Pulsar's clients meet behind it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Broker, Process, Scratch, run};

/// A path of the admin listener, as text.
fn admin(address: &str, path: &str) -> String {
    let host = address.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let mut tcp = TcpStream::connect(host).expect("the admin listener");
    write!(tcp, "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

fn connz(address: &str, query: &str) -> Value {
    serde_json::from_str(&admin(address, &format!("/connz?{query}"))).expect("JSON")
}

fn patiently(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + crate::support::PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "never {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_file_is_checked_and_everything_wrong_is_told() {
    let good = Scratch::new("good.toml", b"upstream = \"pulsar://localhost\"\nallow_missing_origin = true\n");
    let checked = run(&["gateway", "--check", good.path()]).quiet_success();
    assert!(checked.text().contains("nothing is wrong"));

    let wrong = Scratch::new(
        "wrong.toml",
        br#"
listen = "here"
upstrem = "pulsar://localhost"
[limits]
max_connections = 0
idle_timeout = 5
[tokens]
from = []
secret_files = ["no-such-secret"]
[brokers]
hosts = []
ports = [6650]
networks = ["10.0.0.0/8"]
[tls]
certificates = "no-such-cert.pem"
key = "no-such-key.pem"
"#,
    );
    for option in ["--check", "--config"] {
        let ran = run(&["gateway", option, wrong.path()]).failed(2, &["9 things are wrong"]);
        for line in [
            "listen: ",
            "upstrem: no such key",
            "limits.max_connections: 0 is out of range",
            "limits.idle_timeout: expected a duration",
            "tokens.from: an empty list",
            "tokens.secret_files: cannot read",
            "brokers.hosts: an empty list",
            "no-such-cert.pem",
            "no-such-key.pem",
        ] {
            assert!(ran.stderr.contains(line), "{line} is not in {}", ran.stderr);
        }
    }
    run(&["gateway", "--check", "no/such/file"]).failed(2, &["cannot read no/such/file"]);
    let broken = Scratch::new("broken.toml", b"listen = \n");
    run(&["gateway", "--check", broken.path()]).failed(2, &["not TOML"]);
    run(&["gateway", "--check", "a", "--config", "b"]).failed(2, &["cannot be used with"]);
}

#[test]
fn an_expired_certificate_is_refused_before_it_listens() {
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = parameters.self_signed(&key).expect("a certificate");
    let cert = Scratch::new("expired.pem", cert.pem().as_bytes());
    let key = Scratch::new("expired-key.pem", key.serialize_pem().as_bytes());
    let arguments = ["gateway", "--upstream", "pulsar://localhost", "--tls-cert", cert.path()];
    run(&[&arguments[..], &["--tls-key", key.path()]].concat()).failed(2, &["--tls-cert", "expired at"]);
}

#[test]
fn options_stand_over_the_file() {
    let broker = Broker::start();
    let text =
        "listen = \"127.0.0.1:1\"\nupstream = \"pulsar://nobody.invalid\"\nallow_missing_origin = true\n";
    let file = Scratch::new("over.toml", text.as_bytes());
    let arguments = ["gateway", "--config", file.path(), "--listen", "127.0.0.1:0"];
    let mut gateway = Process::start(&[&arguments[..], &["--upstream", &broker.url]].concat());
    let url = gateway.said("gateway");
    run(&["produce", "t", "m", "--url", &url]).quiet_success();
}

/// A gateway with a configuration in a file that can be written anew.
struct Configured {
    process: Process,
    file: Scratch,
    admin: String,
    url: String,
}

impl Configured {
    fn start(name: &str, text: &str) -> Self {
        let listen = "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n";
        let file = Scratch::new(name, format!("{listen}{text}").as_bytes());
        let mut process = Process::start(&["gateway", "--config", file.path()]);
        let admin = process.said("health");
        let url = process.said("gateway");
        Configured { process, file, admin, url }
    }

    fn rewrite(&self, text: &str) {
        let listen = "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n";
        std::fs::write(&self.file.0, format!("{listen}{text}")).expect("written");
        self.process.signal(Signal::HUP);
    }
}

#[test]
fn narrowed_to_topics_by_the_frames() {
    let broker = Broker::start();
    let text = format!(
        "upstream = \"{}\"\nallow_missing_origin = true\n[[narrow]]\nproduce = [\"out-*\"]\nconsume = [\"in\", \"out-1\"]\n",
        broker.url
    );
    let gateway = Configured::start("narrow.toml", &text);
    let url = ["--url", &gateway.url, "--operation-timeout", "5"];
    run(&[&["produce", "out-1", "permitted"], &url[..]].concat()).quiet_success();
    let read = run(&[&["consume", "out-1", "-s", "s"], &url[..]].concat()).quiet_success();
    assert_eq!(read.text(), "permitted\n");
    run(&[&["produce", "in", "m"], &url[..]].concat()).failed(1, &["gateway does not let this client"]);
    run(&[&["consume", "out-2", "-s", "s"], &url[..]].concat())
        .failed(1, &["gateway does not let this client"]);
    run(&[&["produce", "secret", "m"], &url[..]].concat()).failed(1, &["gateway does not let this client"]);
    let metrics = admin(&gateway.admin, "/metrics");
    assert!(metrics.contains("commands_refused_total{command=\"Producer\"} 1"), "{metrics}");
}

#[test]
fn a_reload_drops_nobody_and_refuses_what_is_fixed() {
    let broker = Broker::start();
    let open = format!("upstream = \"{}\"\nallow_missing_origin = true\n", broker.url);
    let mut gateway = Configured::start("reload.toml", &open);
    broker.produce(&["t", "before"]).quiet_success();
    let mut following = Process::start(&["consume", "t", "-s", "s", "--follow", "--url", &gateway.url]);
    assert_eq!(following.line(), "before");

    // Programs are no longer let in; the one that is in stays.
    gateway.rewrite(&format!("upstream = \"{}\"\n", broker.url));
    patiently("closed to programs", || {
        run(&["produce", "t", "x", "--operation-timeout", "1", "--url", &gateway.url]).code == Some(1)
    });
    broker.produce(&["t", "after"]).quiet_success();
    assert_eq!(following.line(), "after");

    // What cannot change is said, and nothing of it is taken.
    let fixed = open.clone() + "[tls]\ncertificates = \"a\"\nkey = \"b\"\n";
    gateway.rewrite(&fixed);
    patiently("refused", || {
        admin(&gateway.admin, "/metrics").contains("reloads_total{outcome=\"refused\"}") || {
            std::fs::write(
                &gateway.file.0,
                "listen = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:2\"\nupstream = \"pulsar://x\"\n",
            )
            .expect("written");
            gateway.process.signal(Signal::HUP);
            false
        }
    });
    run(&["produce", "t", "x", "--operation-timeout", "1", "--url", &gateway.url])
        .failed(1, &["origin-missing"]);
    gateway.rewrite(&open);
    patiently("open again", || {
        run(&["produce", "t", "again", "--operation-timeout", "2", "--url", &gateway.url]).code == Some(0)
    });
    let still = connz(&gateway.admin, "state=open&sort=age&order=desc");
    assert_eq!(still["connections"][0]["id"], 1, "the one that follows: {still}");
    assert!(gateway.process.running());
    gateway.process.signal(Signal::TERM);
    let ran = gateway.process.end();
    for word in ["listen: it cannot be changed", "admin_listen: it cannot be changed", "tls"] {
        assert!(ran.stderr.contains(word), "{word} is not in {}", ran.stderr);
    }
    following.signal(Signal::INT);
}

#[test]
fn connections_end_one_after_the_other_and_at_once_when_told_twice() {
    let broker = Broker::start();
    let text =
        format!("upstream = \"{}\"\nallow_missing_origin = true\n[limits]\nlame_duck = \"2s\"\n", broker.url);
    let begin = |name: &str, text: &str| {
        let gateway = Configured::start(name, text);
        let mut clients = Vec::new();
        for n in 0..4 {
            let name = format!("s{n}");
            clients.push(Process::start(&["consume", "t", "-s", &name, "--follow", "--url", &gateway.url]));
        }
        patiently("all there", || connz(&gateway.admin, "state=open")["open"].as_u64() >= Some(4));
        (gateway, clients)
    };
    let (gateway, clients) = begin("duck.toml", &text);
    gateway.process.signal(Signal::TERM);
    patiently("not ready", || admin(&gateway.admin, "/readyz").contains("stopping"));
    let since = Instant::now();
    let mut seen = Vec::new();
    while seen.last() != Some(&0) && since.elapsed() < Duration::from_secs(5) {
        let Ok(mut tcp) =
            TcpStream::connect(gateway.admin.trim_start_matches("http://").trim_end_matches("/healthz"))
        else {
            break;
        };
        let _ = write!(tcp, "GET /connz HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut answer = String::new();
        let _ = tcp.read_to_string(&mut answer);
        let Some((_, body)) = answer.split_once("\r\n\r\n") else { break };
        let open = serde_json::from_str::<Value>(body).expect("JSON")["open"].as_u64().expect("a number");
        if seen.last() != Some(&open) {
            seen.push(open);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(gateway.process.end().code, Some(0));
    let took = since.elapsed();
    assert!(seen.len() >= 3, "one after the other: {seen:?}");
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(6), "{took:?}");
    drop(clients);

    let (gateway, clients) = begin("duck2.toml", &text.replace("2s", "1h"));
    let since = Instant::now();
    gateway.process.signal(Signal::TERM);
    patiently("stopping", || admin(&gateway.admin, "/readyz").contains("stopping"));
    gateway.process.signal(Signal::TERM);
    assert_eq!(gateway.process.end().code, Some(0));
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    drop(clients);
}
