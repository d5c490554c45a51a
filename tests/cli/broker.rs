//! The options of `pulsewire broker`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{PATIENCE, Process, Scratch, run};

const FREE: [&str; 5] = ["broker", "--port", "0", "--admin-port", "0"];

fn broker(more: &[&str]) -> Process {
    Process::start(&[&FREE[..], more].concat())
}

/// An admin call with that token; status and body.
fn admin(url: &str, call: &str, token: Option<&str>) -> (u16, String) {
    let host = url.strip_prefix("http://").expect("HTTP");
    let (call, body) = call.split_once('|').unwrap_or((call, ""));
    let (method, path) = call.split_once(' ').expect("method and path");
    let port = host.rsplit_once(':').expect("a port").1;
    let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{token}Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Tokens of the roles `admin` and `joe` by the key of 32 times `k`, made by `pulsar tokens create`.
const ADMIN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.m4xUDSAEUABKTDOlwv2Fc3nslBNmavQr8pxkyq25o8U";
const JOE: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqb2UifQ.254HsGMqK00UxIdDuTFNuHoU_lLaYCs-V-cwy3fKVf0";

#[test]
fn the_ready_line_is_last_and_health_answers() {
    let mut broker = broker(&[]);
    let admin_line = broker.line();
    let url = admin_line.strip_prefix("admin").expect("the admin line first").trim().to_owned();
    assert!(broker.line().starts_with("broker    pulsar://localhost:"));
    assert_eq!(admin(&url, "GET /admin/v2/brokers/health", None), (200, "ok".to_owned()));
}

#[test]
fn tokens_are_asked_for_everywhere() {
    let key = Scratch::new("secret.key", &[b'k'; 32]);
    let mut broker = broker(&["--auth-token-secret-key", key.path(), "--superuser", "admin"]);
    let web = broker.said("admin");
    let url = broker.said("broker");
    let wrong = format!("{}x", &ADMIN[..ADMIN.len() - 4]);
    for token in [None, Some(wrong.as_str())] {
        let mut arguments = vec!["produce", "t", "m", "--url", &url];
        arguments.extend(token.iter().flat_map(|token| ["--token", token]));
        let ran = run(&arguments);
        ran.failed(1, &["Failed to authenticate", "token"]);
        let (status, body) = admin(&web, "GET /admin/v2/brokers/health", token);
        assert!(status == 401 && body.contains("Authentication required"), "{status} {body}");
    }
    run(&["produce", "t", "m", "--url", &url, "--token", ADMIN]).quiet_success();
    let joe = ["--url", &url, "--token", JOE];
    run(&[&["produce", "t", "m"], &joe[..]].concat()).failed(1, &["not authorized"]);
    run(&[&["consume", "t", "-s", "s"], &joe[..]].concat()).failed(1, &["not authorized"]);
    let permissions = "/admin/v2/namespaces/public/default/permissions";
    assert_eq!(admin(&web, &format!("POST {permissions}/joe|[\"consume\"]"), Some(JOE)).0, 403);
    assert_eq!(admin(&web, &format!("POST {permissions}/joe|[\"consume\"]"), Some(ADMIN)).0, 204);
    assert_eq!(
        admin(&web, &format!("GET {permissions}"), Some(ADMIN)),
        (200, r#"{"joe":["consume"]}"#.to_owned())
    );
    let read = run(&[&["consume", "t", "-s", "s"], &joe[..]].concat());
    assert_eq!(read.quiet_success().text(), "m\n");
    run(&[&["produce", "t", "m"], &joe[..]].concat()).failed(1, &["not authorized"]);
    assert_eq!(admin(&web, &format!("DELETE {permissions}/joe"), Some(ADMIN)).0, 204);
    run(&[&["consume", "t", "-s", "s"], &joe[..]].concat()).failed(1, &["not authorized"]);
    for (call, status) in [
        ("GET /admin/v2/brokers/health", 401),
        ("GET /admin/v2/clusters", 200),
        ("GET /admin/v2/tenants", 401),
        ("PUT /admin/v2/namespaces/public/joes", 401),
        ("DELETE /admin/v2/persistent/public/default/t", 403),
        ("GET /admin/v2/persistent/public/default/t/stats", 401),
        ("GET /lookup/v2/topic/persistent/public/default/t", 401),
    ] {
        assert_eq!(admin(&web, call, Some(JOE)).0, status, "{call}");
    }
    assert_eq!(admin(&web, "GET /admin/v2/brokers/health", Some(ADMIN)), (200, "ok".to_owned()));
    broker.signal(Signal::INT);
    let log = broker.end().stderr;
    for word in ["Failed", "may not do this: Producer", "admin call refused", "topic created", "signature"] {
        assert!(word == "Failed" || log.contains(word), "{word} is not in {log}");
    }
    for secret in [ADMIN, JOE, &wrong, "kkkk"] {
        assert!(!log.contains(secret), "a secret is in {log}");
    }
}

/// As `anonymousUserRole` of Pulsar: who shows nothing has a role, and may do what that is granted.
#[test]
fn who_shows_nothing_has_the_anonymous_role() {
    let key = Scratch::new("anonymous.key", &[b'k'; 32]);
    let arguments =
        ["--auth-token-secret-key", key.path(), "--superuser", "admin", "--anonymous-role", "nobody"];
    let mut broker = broker(&[&arguments[..], &["--max-message-size", "2000"]].concat());
    let (web, url) = (broker.said("admin"), broker.said("broker"));
    run(&["produce", "t", "m", "--url", &url]).failed(1, &["not authorized"]);
    assert_eq!(admin(&web, "GET /admin/v2/tenants", None).0, 401);
    let grant = "POST /admin/v2/namespaces/public/default/permissions/nobody|[\"produce\"]";
    assert_eq!(admin(&web, grant, None).0, 403);
    assert_eq!(admin(&web, grant, Some(ADMIN)).0, 204);
    run(&["produce", "t", "m", "--url", &url]).quiet_success();
    run(&["produce", "t", "m", "--url", &url, "--token", JOE]).failed(1, &["not authorized"]);
    let wrong = format!("{}x", &ADMIN[..ADMIN.len() - 4]);
    run(&["produce", "t", "m", "--url", &url, "--token", &wrong]).failed(1, &["Failed to authenticate"]);
    assert_eq!(admin(&web, "GET /admin/v2/tenants", Some(&wrong)).0, 401);
    // Larger than clients are told that a message may be.
    run(&["produce", "t", &"m".repeat(3000), "--url", &url])
        .failed(1, &["larger than the broker takes: 2000 bytes"]);
}

#[test]
fn a_public_key_checks_what_the_private_one_signed() {
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/broker/tests/keys/rsa.der");
    let url = format!("file://{key}");
    let mut broker = broker(&["--auth-token-public-key", &url]);
    let url = broker.said("broker");
    let token = include_str!("../../broker/tests/keys/joe.rs256.jwt");
    run(&["produce", "t", "m", "--url", &url, "--token", token]).quiet_success();
    run(&["produce", "t", "m", "--url", &url, "--token", JOE]).failed(1, &["Failed to authenticate"]);
}

#[test]
fn several_brokers_share_the_topics() {
    let mut broker = broker(&["--brokers", "3"]);
    let web = broker.said("admin");
    let more: Vec<String> = (0..2).map(|_| broker.said("more")).collect();
    let first = broker.said("broker");
    let urls: Vec<&str> =
        more.iter().map(|line| line.split(' ').next().expect("a URL")).chain([first.as_str()]).collect();
    for n in 0..6 {
        let topic = format!("spread-{n}");
        run(&["produce", &topic, "m", "--url", urls[n % 3]]).quiet_success();
        let read = run(&["consume", &topic, "-s", "s", "--url", urls[(n + 1) % 3]]);
        assert_eq!(read.quiet_success().text(), "m\n");
    }
    let (_, ids) = admin(&web, "GET /admin/v2/brokers/standalone", None);
    let ids: Vec<String> = serde_json::from_str(&ids).expect("a list");
    assert_eq!(ids.len(), 3);
    let owns =
        |id: &String| admin(&web, &format!("GET /admin/v2/brokers/standalone/{id}/ownedNamespaces"), None).1;
    assert!(ids.iter().filter(|id| owns(id).contains("public/default/0x")).count() > 1, "not spread");
    assert_eq!(admin(&web, "PUT /admin/v2/namespaces/public/default/unload", None).0, 204);
    run(&["produce", "spread-0", "again", "--url", &first]).quiet_success();
}

#[test]
fn ports_that_are_named_are_counted_up() {
    // Somewhere there are four in a row.
    for base in (20_000..60_000).step_by(997) {
        let free = (base..base + 4).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
        if !free {
            continue;
        }
        let (port, web) = (base.to_string(), (base + 2).to_string());
        let mut broker = Process::start(&["broker", "--port", &port, "--admin-port", &web, "--brokers", "2"]);
        assert_eq!(broker.said("admin"), format!("http://localhost:{web}"));
        let more = broker.said("more");
        assert_eq!(more, format!("pulsar://localhost:{} http://localhost:{}", base + 1, base + 3));
        return;
    }
    panic!("no free ports");
}

#[test]
fn a_silent_stranger_is_cut_when_the_keep_alive_says_so() {
    let mut broker = broker(&["--keep-alive", "1"]);
    let url = broker.said("broker");
    let port = url.rsplit_once(':').expect("a port").1;
    let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // Half a frame.
    socket.write_all(&[0, 0, 0, 40, 0, 0]).expect("it reads");
    assert_eq!(socket.read_to_end(&mut Vec::new()).expect("an end"), 0);
    std::thread::sleep(Duration::from_millis(100));
    broker.signal(Signal::INT);
    let log = broker.end().stderr;
    assert!(log.contains("did not say CONNECT in time"), "{log}");
}

#[test]
fn what_it_does_is_logged() {
    let variables = [("RUST_LOG", "pulsewire_broker=trace")];
    let mut broker = Process::start_with(&FREE, &variables);
    let (web, url) = (broker.said("admin"), broker.said("broker"));
    run(&["produce", "t", "m", "--url", &url]).quiet_success();
    run(&["consume", "t", "-s", "s", "--url", &url]).quiet_success();
    let topic = "/admin/v2/persistent/public/default/t";
    for call in [
        format!("PUT {topic}/unload"),
        format!("POST {topic}/terminate"),
        format!("DELETE {topic}/subscription/s"),
    ] {
        assert!(admin(&web, &call, None).0 < 300, "{call}");
    }
    broker.signal(Signal::INT);
    let log = broker.end().stderr;
    let t = "persistent://public/default/t";
    for (level, line) in [
        ("TRACE", format!("lookup of {t}: served at pulsar://localhost:")),
        ("INFO", format!("topic created: {t}")),
        ("DEBUG", "producer 0 opened: ".to_owned()),
        ("DEBUG", format!("producer 0 closed: {t}")),
        ("INFO", format!("subscription created: \"s\" on {t}")),
        ("DEBUG", format!("consumer 0 opened: \"s\" on {t}")),
        ("DEBUG", format!("consumer 0 closed: \"s\" on {t}")),
        ("INFO", format!("unloaded: {t}")),
        ("INFO", format!("topic terminated: {t}")),
        ("INFO", format!("subscription deleted: \"s\" on {t}")),
    ] {
        let printed = |it: &str| it.contains(&format!(" {level} ")) && it.contains(&line);
        assert!(log.lines().any(printed), "{level} {line} is not in {log}");
    }
}

#[test]
fn what_is_kept_is_there_again() {
    let folder = Scratch::folder("data");
    for expected in ["one\n", "two\n"] {
        let mut broker = broker(&["--data", folder.path(), "--sync"]);
        let url = broker.said("broker");
        run(&["produce", "t", expected.trim(), "--url", &url]).quiet_success();
        assert_eq!(run(&["consume", "t", "-s", "s", "--url", &url]).quiet_success().text(), expected);
        broker.signal(Signal::KILL);
        broker.end();
    }
}

#[test]
fn what_cannot_be_read_again_is_told_in_a_sentence() {
    let folder = Scratch::folder("damaged");
    let file = folder.0.join("pulsewire-broker.redb");
    let mut first = broker(&["--data", folder.path()]);
    run(&["produce", "t", "m", "--url", &first.said("broker")]).quiet_success();
    let again = || run(&[&FREE[..], &["--data", folder.path()]].concat());
    let second = again().failed(1, &["in use by another broker", folder.path()]);
    assert!(!second.stderr.contains(".."), "{}", second.stderr);
    first.signal(Signal::KILL);
    first.end();
    for part in [2, 0] {
        let bytes = std::fs::read(&file).expect("a file");
        std::fs::write(&file, &bytes[..bytes.len() / 4 * part]).expect("a file");
        let ran = again().failed(1, &["is damaged", "begins anew", folder.path()]);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
    let none = ["--data", "/proc/nope"];
    run(&[&FREE[..], &none].concat()).failed(1, &["/proc/nope cannot be used: "]);
}

/// What is kept is not in memory twice, neither while it comes in nor when it is read again.
#[test]
#[cfg(target_os = "linux")]
fn a_restart_takes_little_more_than_what_is_kept() {
    let folder = Scratch::folder("large");
    for fill in [true, false] {
        let mut broker = broker(&["--data", folder.path(), "--memory", "128"]);
        let url = broker.said("broker");
        if fill {
            let load = ["--topic", "t", "--messages", "5000", "--size", "20000", "--url", &url];
            assert_eq!(run(&[&["perf", "produce"], &load[..]].concat()).code, Some(0));
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", broker.id())).expect("a process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        // 100 MB of messages.
        assert!((100_000..190_000).contains(&peak), "{peak} kB");
        broker.signal(Signal::KILL);
        broker.end();
    }
}

#[test]
fn topics_are_made_as_it_is_told() {
    let mut strict = broker(&["--no-auto-create"]);
    let url = strict.said("broker");
    run(&["produce", "t", "m", "--url", &url]).failed(1, &["does not make topics on demand"]);
    let mut parted = broker(&["--partitions", "2", "--deduplication", "--upkeep", "1", "--memory", "16"]);
    let web = parted.said("admin");
    let url = parted.said("broker");
    run(&["produce", "t", "m", "--url", &url]).quiet_success();
    let (_, found) = admin(&web, "GET /admin/v2/persistent/public/default/t/partitions", None);
    assert!(found.contains("\"partitions\":2"), "{found}");
    let (_, stats) = admin(&web, "GET /admin/v2/persistent/public/default/t-partition-0/stats", None);
    assert!(stats.contains("\"deduplicationStatus\":\"Enabled\""), "{stats}");
}

#[test]
fn the_host_that_clients_are_told() {
    let mut broker = broker(&["--advertise", "broker.example", "--listen", "127.0.0.1"]);
    assert!(broker.said("admin").starts_with("http://broker.example:"));
    assert!(broker.said("broker").starts_with("pulsar://broker.example:"));
    for (listen, host) in [("::1", "[::1]"), ("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "localhost")] {
        if TcpListener::bind((listen, 0)).is_ok() {
            let mut broker = self::broker(&["--listen", listen]);
            assert!(broker.said("broker").starts_with(&format!("pulsar://{host}:")), "{listen}");
        }
    }
}

#[test]
fn a_listener_that_is_named_and_a_cluster() {
    let listeners = "outside:pulsar://broker.example:1,secret:pulsar+ssl://broker.example:2";
    let mut broker = broker(&["--advertised-listeners", listeners, "--cluster", "fruit"]);
    let (web, url) = (broker.said("admin"), broker.said("broker"));
    let lookup = "GET /lookup/v2/topic/persistent/public/default/t";
    let found = |listener: &str| -> Vec<Option<String>> {
        let (status, body) = admin(&web, &format!("{lookup}{listener}"), None);
        assert_eq!(status, 200, "{body}");
        let found: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        ["brokerUrl", "nativeUrl", "brokerUrlTls"].map(|key| found[key].as_str().map(str::to_owned)).into()
    };
    let plain = Some("pulsar://broker.example:1".to_owned());
    assert_eq!(found("?listenerName=outside"), [plain.clone(), plain, None]);
    let secret = [None, None, Some("pulsar+ssl://broker.example:2".to_owned())];
    assert_eq!(found("?listenerName=secret"), secret);
    assert_eq!(found(""), [Some(url.clone()), Some(url), None]);
    assert_eq!(admin(&web, &format!("{lookup}?listenerName=none"), None).0, 500);
    assert_eq!(admin(&web, "GET /admin/v2/clusters", None), (200, "[\"fruit\"]".to_owned()));
    let (_, settings) = admin(&web, "GET /admin/v2/brokers/configuration/runtime", None);
    assert!(settings.contains(&format!("\"advertisedListeners\":\"{listeners}\"")), "{settings}");
}

#[test]
fn help_says_how_it_logs_and_leaves_lines_whole() {
    let help = run(&["broker", "--help"]).text();
    for word in ["RUST_LOG=debug", "PULSEWIRE_LOG=json", "0.0.0.0"] {
        assert!(help.contains(word), "{word}");
    }
    let end = help.find("It is a development broker").expect("the closing text");
    // Lines end where the width of 100 breaks them, and nowhere else.
    for paragraph in help[end..].split("\n\n") {
        for (line, next) in paragraph.lines().zip(paragraph.lines().skip(1)) {
            let word = next.split(' ').next().unwrap_or_default();
            assert!(line.len() + 1 + word.len() > 100, "{line:?} {next:?}");
        }
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let short = Scratch::new("short.key", b"short");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let cert = Scratch::new("broker-cert.pem", made.cert.pem().as_bytes());
    let arguments = [
        "broker",
        "--sync",
        "--brokers",
        "0",
        "--keep-alive",
        "0",
        "--upkeep",
        "0",
        "--memory",
        "0",
        "--max-message-size",
        "0",
        "--anonymous-role",
        "",
        "--auth-token-secret-key",
        short.path(),
        "--auth-token-public-key",
        "!",
        "--auth-basic",
        short.path(),
        "--auth-tls",
        "--superuser",
        " ",
        "--tls-cert",
        cert.path(),
    ];
    let ran = run(&arguments).failed(2, &["14 things are wrong"]);
    for flag in [
        "--sync",
        "--brokers",
        "--keep-alive",
        "--upkeep",
        "--memory",
        "--max-message-size",
        "--anonymous-role",
        "--auth-token-secret-key",
        "--auth-token-public-key",
        "--auth-basic",
        "--auth-tls",
        "--superuser",
        "--tls-cert",
    ] {
        assert!(ran.stderr.contains(&format!("\n  {flag}: ")), "{flag} is not in {}", ran.stderr);
    }
    assert!(ran.stderr.contains("40 bits") && !ran.stderr.contains("short\""), "{}", ran.stderr);

    let wrong = |more: &[&str], words: &[&str]| {
        run(&[&FREE[..], more].concat()).failed(2, words);
    };
    wrong(&["--tls-port", "0"], &["--tls-cert: it is missing", "--tls-key: it is missing"]);
    wrong(&["--tls-admin-port", "0"], &["--tls-port: it is missing", "--tls-cert: it is missing"]);
    let no = ["--tls-port", "0", "--tls-cert", "no such file", "--tls-key", "nor this"];
    wrong(&no, &["2 things are wrong", "cannot read no such file", "cannot read nor this"]);
    let tls = ["--tls-port", "0", "--tls-cert", short.path(), "--tls-key", cert.path()];
    let certificate = format!("--tls-cert: no certificate in {}", short.path());
    wrong(&tls, &[&certificate, &format!("--tls-key: no private key in {}", cert.path())]);
    let pair = Scratch::new("pair.pem", made.signing_key.serialize_pem().as_bytes());
    let public = Scratch::new("pair-public.pem", made.signing_key.public_key_pem().as_bytes());
    wrong(&["--auth-token-public-key", pair.path()], &["--auth-token-public-key: it is a private key"]);
    wrong(&["--auth-token-secret-key", public.path()], &["--auth-token-secret-key: it is one key of a pair"]);
    wrong(&["--superuser", "admin"], &["--superuser: nobody has a role"]);
    wrong(&["--anonymous-role", "nobody"], &["--anonymous-role: all are anonymous"]);
    wrong(&["--auth-token-secret-key", "no/such.key"], &["no such file"]);
    // Names that are base64, too.
    let secret = "--auth-token-secret-key: there is no such file; read as base64, the secret key has 24 bits";
    wrong(&["--auth-token-secret-key", "none"], &[secret]);
    let public = "--auth-token-public-key: there is no such file; read as base64, it is no public key";
    wrong(&["--auth-token-public-key", "none"], &[public]);
    wrong(&["--auth-basic", "nope"], &["--auth-basic: there is no such file; read as base64, it is no text"]);
    wrong(&["--auth-token-public-key", short.path()], &["neither of RSA nor of an elliptic curve"]);
    wrong(&["--data", cert.path()], &["is not a folder"]);
    wrong(&["--advertise", "pulsar://x"], &["--advertise", "without a scheme"]);
    wrong(
        &["--advertised-listeners", "pulsar://x:1"],
        &["--advertised-listeners: ", "must begin with pulsar://"],
    );
    let several = ["--advertised-listeners", "a:pulsar://x:1", "--brokers", "2"];
    wrong(&several, &["--advertised-listeners: they are those of one broker"]);
    wrong(&["--cluster", "a b"], &["--cluster: \"a b\" must be of letters"]);
    wrong(&["--also-at", "broker-2"], &["--also-at", "ADDR=HOST"]);
    wrong(&["--also-at", "broker-2=x"], &["broker-2 is no IP address"]);
    wrong(&["--also-at", "127.0.0.2=a:1"], &["is no host"]);
    wrong(&["--data-less"], &["--data-less"]);
    let clash = ["broker", "--port", "7000", "--admin-port", "7001", "--brokers", "2"];
    run(&clash).failed(2, &["--admin-port: 7001 is taken by --port"]);
    run(&["broker", "--port", "65535", "--admin-port", "0", "--brokers", "2"]).failed(2, &["beyond 65535"]);
}

#[test]
fn certificates_are_asked_for() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let cert = Scratch::new("auth-cert.pem", made.cert.pem().as_bytes());
    let key = Scratch::new("auth-key.pem", made.signing_key.serialize_pem().as_bytes());
    let files = ["--tls-cert", cert.path(), "--tls-key", key.path(), "--tls-ca", cert.path()];
    let ports = ["--tls-port", "0", "--tls-admin-port", "0", "--auth-tls", "--superuser", "boss"];
    let mut broker = broker(&[&ports[..], &files].concat());
    let web = broker.said("admin");
    assert!(broker.said("admin-tls").starts_with("https://localhost:"));
    let tls = broker.said("tls");
    let plain = broker.said("broker");
    for url in [&tls, &plain] {
        let ran = run(&["produce", "t", "m", "--ca", cert.path(), "--url", url]);
        ran.failed(1, &["Failed to authenticate"]);
    }
    assert_eq!(admin(&web, "GET /admin/v2/clusters", None).0, 401);
    broker.signal(Signal::INT);
    let log = broker.end().stderr;
    assert!(log.contains("does not take the method") && log.contains("authentication=true"), "{log}");
}
