//! RFC 6455 as other people's libraries speak it: Python `websockets` and npm `ws`, against a gateway in front of an
//! echo. Each script runs its cases and prints `ok NAME` for each.

mod common;

use std::path::Path;

use common::*;
use tokio::process::Command;

/// Cases that a script has to have run at least: a script that ends early has not passed.
async fn run(mut command: Command, script: &str, least: usize) {
    let gateway = start(echo_upstream().await, |config| {
        config.limits.max_frame_bytes = 1 << 20;
        config.allow_origins = vec!["https://app.example".parse().expect("an origin")];
    })
    .await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(script);
    command.arg(script).arg(gateway.addr.to_string()).kill_on_drop(true);
    let ran = soon("the script", command.output()).await.expect("the script starts");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let cases = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(cases >= least, "only {cases} cases ran:\n{said}");
    eprint!("{said}");
    gateway.stop().await;
}

#[tokio::test]
#[ignore = "run by the suite foreign WebSockets, which has that client"]
async fn python_websockets() {
    let python = std::env::var_os("PULSEWIRE_WEBSOCKETS").expect("PULSEWIRE_WEBSOCKETS is set");
    run(Command::new(python), "websockets_client.py", 30).await;
}

#[tokio::test]
#[ignore = "run by the suite foreign WebSockets, which has that client"]
async fn npm_ws() {
    run(Command::new("node"), "ws_client.mjs", 12).await;
}
