//! What is refused, and how it is said.

use std::net::TcpListener;

use crate::support::{Broker, run, run_with};

/// A port where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    format!("pulsar://{address}")
}

#[test]
fn nobody_listens() {
    let url = nobody();
    let words = [url.as_str(), "refused", "`pulsewire broker` starts one"];
    run(&["produce", "t", "m", "--operation-timeout", "0.5", "--url", &url]).failed(1, &words);
    run(&["consume", "t", "-s", "s", "--operation-timeout", "0.5", "--url", &url]).failed(1, &words);
}

#[test]
fn somebody_listens_and_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("pulsar://{}", listener.local_addr().expect("an address"));
    let ran = run(&["produce", "t", "m", "--operation-timeout", "0.5", "--url", &url]);
    ran.failed(1, &[&url, "in time"]);
}

#[test]
fn somebody_listens_who_is_no_broker() {
    use std::io::Write as _;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("pulsar://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    run(&["produce", "t", "m", "--operation-timeout", "1", "--url", &url]).failed(1, &[&url]);
}

#[test]
fn what_is_no_topic_or_url_is_said_before_anything_happens() {
    let url = nobody();
    run(&["produce", "a/b", "m", "--url", &url]).failed(2, &["a/b", "not a topic name"]);
    run(&["consume", "ftp://t/n/x", "-s", "s", "--url", &url]).failed(2, &["neither persistent"]);
    run(&["produce", "t", "m", "--url", "localhost:6650"]).failed(2, &["localhost:6650", "pulsar://"]);
    run(&["produce", "t", "m", "--url", "pulsar://h:99999"]).failed(2, &["between 1 and 65535"]);
}

#[test]
fn wrong_arguments() {
    run(&["produce"]).failed(2, &["<TOPIC>", "Usage"]);
    run(&["consume", "t"]).failed(2, &["--subscription"]);
    run(&["produce", "t", "m", "-p", "nothing"]).failed(2, &["name=value"]);
    run(&["produce", "t", "m", "-n", "0"]).failed(2, &["--repeat"]);
    run(&["consume", "t", "-s", "s", "--timeout", "soon"]).failed(2, &["number of seconds"]);
    run(&["produce", "t", "-f", "no such file"]).failed(2, &["cannot read no such file"]);
    run(&["produce", "t", "m", "--token-file", "no such file"]).failed(2, &["cannot read no such file"]);
    run(&["produce", "t", "m", "--ca", "no such file"]).failed(2, &["cannot read no such file"]);
    run(&["dance"]).failed(2, &["dance"]);
}

#[test]
fn help_tells_the_exit_codes_and_examples() {
    let help = run(&["--help"]).quiet_success().text();
    for word in ["130", "Exit codes", "Examples", "pulsewire dev"] {
        assert!(help.contains(word), "{word}");
    }
    for command in ["produce", "consume", "gateway", "broker", "dev"] {
        let help = run(&[command, "--help"]).quiet_success().text();
        assert!(help.contains("Examples:"), "{command}");
    }
    let version = run(&["--version"]).quiet_success().text();
    assert_eq!(version, format!("pulsewire {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_subscription_that_is_taken() {
    let broker = Broker::start();
    let arguments = ["consume", "t", "-s", "s", "--follow", "--url", &broker.url];
    let mut first = crate::support::Process::start(&arguments);
    broker.produce(&["t", "m"]).quiet_success();
    assert_eq!(first.line(), "m");
    run(&arguments).failed(1, &["--type shared"]);
}

#[test]
fn an_input_that_is_no_text_of_lines() {
    let broker = Broker::start();
    let endless = vec![b'x'; 40 << 20];
    let ran = run_with(&["produce", "t", "--url", &broker.url], &endless);
    ran.failed(1, &["stdin", "line 1 is longer than 32 MiB", "0 messages are stored"]);
}
