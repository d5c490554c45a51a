//! The same conversation with Apache Pulsar 4.0.8 and with this broker, line by line.
//!
//! A script (`scripts/*.rs`) says what clients say and which admin calls are made; what they hear is
//! written down, with names and numbers that differ from run to run replaced. What the real broker
//! said is kept in `heard/`; this broker must say the same. With `PULSAR_BROKER_URL` and
//! `PULSAR_WEB_URL` in the environment the real one is asked again and held to the same file; with
//! `RECORD=1` its answers are written there.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(feature = "server")]

#[path = "../common/mod.rs"]
mod common;
mod scripts;
mod side;

use std::path::PathBuf;
use std::sync::OnceLock;

use pulsewire_broker::{Server, ServerConfig};
use side::Side;

/// Where this broker listens: one for all scripts.
fn embedded() -> &'static (String, String) {
    static HERE: OnceLock<(String, String)> = OnceLock::new();
    HERE.get_or_init(|| {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let any = ([127, 0, 0, 1], 0).into();
                let config = ServerConfig { listen: any, admin_listen: Some(any), ..ServerConfig::default() };
                let server = Server::bind(config).await.unwrap();
                tell.send((server.local_addr().to_string(), server.admin_addr().unwrap().to_string()))
                    .unwrap();
                server.run(std::future::pending()).await;
            });
        });
        told.recv().unwrap()
    })
}

/// Where the real one listens, if it is there.
fn real() -> Option<(String, String)> {
    let address =
        |name: &str| Some(std::env::var(name).ok()?.split_once("://")?.1.trim_matches('/').to_owned());
    Some((address("PULSAR_BROKER_URL")?, address("PULSAR_WEB_URL")?))
}

/// Plays a script and compares.
pub(crate) fn play(name: &str, script: fn(&mut Side)) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/differential/heard")
        .join(format!("{name}.txt"));
    let run = |(broker, web): &(String, String)| {
        let mut side = Side::new(name, broker, web);
        script(&mut side);
        side.finish()
    };
    let theirs = real().map(|real| run(&real));
    if let Some(theirs) = &theirs
        && std::env::var_os("RECORD").is_some()
    {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, theirs).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let ours = run(embedded());
    if ours != kept {
        panic!("{name}: this broker differs from what the real one said\n{}", difference(&kept, &ours));
    }
    if let Some(theirs) = theirs.filter(|theirs| *theirs != kept) {
        panic!("{name}: the real broker says something else today\n{}", difference(&kept, &theirs));
    }
}

/// Both, side by side where they differ: `-` the real one, `+` the other.
fn difference(kept: &str, other: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (kept.lines().collect(), other.lines().collect());
    let mut longest = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = if a[i] == b[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            out += &format!("  {}\n", a[i]);
            (i, j) = (i + 1, j + 1);
        } else if j >= b.len() || (i < a.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            out += &format!("- {}\n", a[i]);
            i += 1;
        } else {
            out += &format!("+ {}\n", b[j]);
            j += 1;
        }
    }
    out
}
