//! The gateway as people run it: its file, its signals, and what Pulsar's clients meet behind it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use pulsewire::{Client, InitialPosition};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Broker, Process, Scratch, run};

/// A path of the admin listener, as text.
fn admin(address: &str, path: &str) -> String {
    let host = address.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let mut tcp = TcpStream::connect(host).expect("the admin listener");
    write!(tcp, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// What a path of the admin listener is answered with.
pub(crate) fn status(address: &str, path: &str) -> u16 {
    let host = address.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let mut tcp = TcpStream::connect(host).expect("the admin listener");
    write!(tcp, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).expect("an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
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

/// The README's file is one.
#[test]
fn the_manual_s_configuration_is_right() {
    let manual = include_str!("../../gateway/README.md");
    let (_, toml) = manual.split_once("```toml\n").expect("a configuration");
    let (toml, _) = toml.split_once("```").expect("an end");
    let file = Scratch::new("manual.toml", toml.as_bytes());
    let ran = run(&["gateway", "--check", file.path()]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    // Its files are not here; nothing else is wrong.
    for line in ran.stderr.lines().skip(1) {
        assert!(line.contains("cannot read"), "{line}");
    }
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

/// Machines read its log: an object a line, the connection's id in each that is of one.
#[test]
fn the_log_as_json() {
    let broker = Broker::start();
    let arguments =
        ["gateway", "--listen", "127.0.0.1:0", "--upstream", &broker.url, "--allow-missing-origin"];
    let mut gateway = Process::start_with(&arguments, &[("PULSEWIRE_LOG", "json"), ("RUST_LOG", "info")]);
    let url = gateway.said("gateway");
    run(&["produce", "t", "m", "--url", &url]).quiet_success();
    gateway.signal(Signal::TERM);
    let ran = gateway.end();
    let lines: Vec<Value> =
        ran.stderr.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let of = |message: &str| {
        lines.iter().find(|line| line["message"] == message && line["span"]["id"] == 1).expect("a line")
    };
    let (open, closed) = (of("open"), of("closed"));
    assert!(open["span"]["peer"].is_string(), "{open}");
    assert!(closed["up"].as_u64().is_some_and(|up| up > 0) && closed["reason"].is_string(), "{closed}");

    let wrong = Process::start_with(&arguments, &[("PULSEWIRE_LOG", "xml")]).end();
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("PULSEWIRE_LOG"), "{wrong:?}");
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
        self.rewrite_all(&format!("listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n{text}"));
    }

    fn rewrite_all(&self, text: &str) {
        std::fs::write(&self.file.0, text).expect("written");
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

/// A pattern's consumer meets the topics that it may consume from, those that come later too, and hears of no other.
#[test]
fn a_pattern_is_of_the_topics_that_one_is_narrowed_to() {
    let broker = Broker::start();
    let text = format!(
        "upstream = \"{}\"\nallow_missing_origin = true\n[[narrow]]\nconsume = [\"seen-*\"]\n",
        broker.url
    );
    let gateway = Configured::start("pattern.toml", &text);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let inside = Client::builder(&broker.url).build().expect("a client");
        let outside = Client::builder(&gateway.url).build().expect("a client");
        let produce = async |topic: &str| {
            let producer = inside.producer(topic).create().await.expect("a producer");
            producer.send(topic.to_owned()).await.expect("stored");
        };
        produce("seen-1").await;
        produce("hidden-1").await;
        let consumer = outside.consumer_of_pattern("public/default/.*", "s");
        let consumer = consumer.initial_position(InitialPosition::Earliest).subscribe().await;
        let consumer = consumer.expect("a consumer of what it may see");
        let receive = async || {
            let message =
                consumer.receive_timeout(Duration::from_secs(20)).await.expect("open").expect("a message");
            String::from_utf8_lossy(message.payload()).into_owned()
        };
        assert_eq!(receive().await, "seen-1");
        // The broker tells of them, long before they would be listed again.
        produce("hidden-2").await;
        produce("seen-2").await;
        assert_eq!(receive().await, "seen-2");
    });
    let metrics = admin(&gateway.admin, "/metrics");
    assert!(!metrics.contains("commands_refused_total{"), "{metrics}");
}

/// A file that cannot even be read is a refused reload, too, and said in a line of the log.
#[test]
fn a_reload_of_a_broken_file_counts() {
    let open = "upstream = \"pulsar://localhost\"\nallow_missing_origin = true\n";
    let gateway = Configured::start("broken-reload.toml", open);
    for (turn, text) in
        ["upstream = ", "surprise = 1\n", "upstream = \"pulsar://me:hunter2@x\"\n"].iter().enumerate()
    {
        gateway.rewrite(text);
        let counted = format!("reloads_total{{outcome=\"refused\"}} {}", turn + 1);
        patiently(&counted, || admin(&gateway.admin, "/metrics").contains(&counted));
    }
    gateway.process.signal(Signal::TERM);
    let ran = gateway.process.end();
    let lines: Vec<_> = ran.stderr.lines().filter(|line| line.contains("nothing is reloaded")).collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.contains("WARN")), "{}", ran.stderr);
    assert!(
        lines[1].contains("surprise: no such key") && lines[1].contains("upstream: it is missing"),
        "{}",
        lines[1]
    );
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
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
    let refused = |times: u32| {
        let counted = format!("reloads_total{{outcome=\"refused\"}} {times}\n");
        patiently("refused", || admin(&gateway.admin, "/metrics").contains(&counted));
    };
    gateway.rewrite(&(open.clone() + "[tls]\ncertificates = \"a\"\nkey = \"b\"\n"));
    refused(1);
    gateway
        .rewrite_all("listen = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:2\"\nupstream = \"pulsar://x\"\n");
    refused(2);
    run(&["produce", "t", "x", "--operation-timeout", "1", "--url", &gateway.url])
        .failed(1, &["origin-missing"]);
    gateway.rewrite(&open);
    patiently("open again", || {
        run(&["produce", "t", "again", "--operation-timeout", "2", "--url", &gateway.url]).code == Some(0)
    });
    let still = connz(&gateway.admin, "state=open&sort=age&order=desc");
    assert_eq!(still["connections"][0]["id"], 1, "the one that follows: {still}");
    assert!(gateway.process.running());
    // Connections that are open would end one after the other, in ten seconds.
    following.signal(Signal::INT);
    assert_eq!(following.end().code, Some(130));
    gateway.process.signal(Signal::TERM);
    let ran = gateway.process.end();
    for word in ["listen: it cannot be changed", "admin_listen: it cannot be changed", "tls"] {
        assert!(ran.stderr.contains(word), "{word} is not in {}", ran.stderr);
    }
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
        let _ = write!(tcp, "GET /connz HTTP/1.1\r\nhost: localhost\r\n\r\n");
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

/// What a client has seen, by payload.
#[derive(Default)]
struct Seen {
    receipted: std::collections::BTreeSet<String>,
    received: std::collections::BTreeSet<String>,
    acknowledged: std::collections::BTreeSet<String>,
    again: Vec<String>,
    /// While connections end, a message may be in the hands of one consumer and on its way to another: whoever
    /// acknowledges it then has it seen again, gateway or not.
    moving: bool,
}

const TOPICS: usize = 20;
/// Producers, and consumers, of each topic: 200 clients in all.
const EACH: usize = 5;

/// A gateway stops under 200 clients that produce and consume, and another takes its place.
#[test]
fn a_lame_duck_loses_nothing_and_makes_no_herd() {
    let broker = Broker::start();
    // A port that both can have, one after the other.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let text = format!(
        "listen = \"127.0.0.1:{port}\"\nadmin_listen = \"127.0.0.1:0\"\nupstream = \"{}\"\nallow_missing_origin = true\n\
         [limits]\nlame_duck = \"3s\"\n",
        broker.url
    );
    let file = Scratch::new("lame.toml", text.as_bytes());
    let start = || {
        let mut process = Process::start(&["gateway", "--config", file.path()]);
        let admin = process.said("health");
        (process, admin)
    };
    let (first, admin_of_first) = start();
    let url = format!("ws://127.0.0.1:{port}/pulsar");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let opened = runtime.expect("a runtime").block_on(async {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Seen::default()));
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let mut producing = tokio::task::JoinSet::new();
        let mut consuming = tokio::task::JoinSet::new();
        let ready = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for n in 0..TOPICS * EACH {
            let topic = format!("lame-{}", n % TOPICS);
            // In the tasks, because making a client takes a while.
            let client = |url: &str| Client::builder(url).build().expect("a client");
            let (at, kept, ready_too) = (url.clone(), seen.clone(), ready.clone());
            let of = topic.clone();
            consuming.spawn(async move {
                let consumer = client(&at)
                    .consumer(&of, "s")
                    .subscription_type(pulsewire::SubscriptionType::Shared)
                    .ack_receipt_enabled(true)
                    .initial_position(InitialPosition::Earliest)
                    .subscribe()
                    .await
                    .expect("subscribed");
                ready_too.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                loop {
                    let message = consumer.receive().await.expect("a message");
                    let payload = String::from_utf8_lossy(message.payload()).into_owned();
                    {
                        let mut seen = kept.lock().expect("a lock");
                        if seen.acknowledged.contains(&payload) {
                            seen.again.push(payload.clone());
                        }
                        seen.received.insert(payload.clone());
                    }
                    let moved = kept.lock().expect("a lock").moving;
                    let confirmed = consumer.acknowledge_confirmed(&[message.id()]).await.is_ok();
                    let mut seen = kept.lock().expect("a lock");
                    if confirmed && !moved && !seen.moving {
                        seen.acknowledged.insert(payload);
                    }
                }
            });
            let (at, kept, stopping, ready_too) =
                (url.clone(), seen.clone(), stopping.clone(), ready.clone());
            producing.spawn(async move {
                let producer = client(&at).producer(&topic).create().await.expect("a producer");
                ready_too.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                for m in 0.. {
                    if *stopping.borrow() {
                        return;
                    }
                    let payload = format!("{n}-{m}");
                    producer.send(payload.clone()).await.expect("a receipt");
                    kept.lock().expect("a lock").receipted.insert(payload);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
        let patience = Instant::now() + crate::support::PATIENCE * 2;
        while ready.load(std::sync::atomic::Ordering::SeqCst) < 2 * TOPICS * EACH {
            assert!(Instant::now() < patience, "{ready:?} clients");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        seen.lock().expect("a lock").moving = true;
        first.signal(Signal::TERM);
        // The port is free as soon as the first one takes nobody any more.
        while !admin(&admin_of_first, "/readyz").contains("stopping") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (second, admin_of_second) = start();
        let ended = tokio::task::spawn_blocking(move || first.end()).await.expect("ended");
        assert_eq!(ended.code, Some(0));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = {
            let mut seen = seen.lock().expect("a lock");
            seen.moving = false;
            seen.acknowledged.len()
        };
        assert!(before > 100, "{before} were acknowledged before it all moved");
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.send_replace(true);
        while let Some(ended) = producing.join_next().await {
            ended.expect("every send got its receipt");
        }
        let (mut least, mut patience) = (usize::MAX, Instant::now());
        loop {
            let lacking = {
                let seen = seen.lock().expect("a lock");
                seen.receipted.difference(&seen.received).count()
            };
            if lacking == 0 {
                break;
            }
            if lacking < least {
                (least, patience) = (lacking, Instant::now() + crate::support::PATIENCE);
            }
            assert!(Instant::now() < patience, "{lacking} receipted messages never came");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Whatever would come again has the time for it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        consuming.shutdown().await;
        let seen = seen.lock().expect("a lock");
        assert!(seen.receipted.len() > 500, "{}", seen.receipted.len());
        assert!(seen.receipted.is_subset(&seen.received), "nothing receipted is lost");
        assert_eq!(seen.again, Vec::<String>::new(), "nothing acknowledged comes again");
        let rows = connz(&admin_of_second, "state=all&limit=10000");
        drop(second);
        rows["connections"]
            .as_array()
            .expect("rows")
            .iter()
            .filter_map(|row| row["opened"].as_f64())
            .collect::<Vec<_>>()
    });
    // They came one after the other: no fifth of the time had half of them.
    assert!(opened.len() >= 2 * TOPICS * EACH, "{}", opened.len());
    let begin = opened.iter().copied().fold(f64::MAX, f64::min);
    let mut fifths = [0usize; 12];
    for at in &opened {
        fifths[(((at - begin) / 0.6) as usize).min(11)] += 1;
    }
    eprintln!("connections at the second gateway in each 0.6 s: {fifths:?}");
    assert!(fifths.iter().all(|some| *some <= opened.len() / 2), "a herd: {fifths:?}");
}
