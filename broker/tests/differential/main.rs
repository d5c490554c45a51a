//! The same conversation with Apache Pulsar 4.0.8 and with this broker, line by line.
//!
//! A script (`scripts/*.rs`) says what clients say and which admin calls are made; what they hear is
//! written down, with names and numbers that differ from run to run replaced. What the real broker
//! said is kept in `heard/`; this broker must say the same. With `PULSAR_BROKER_URL` and
//! `PULSAR_WEB_URL` in the environment the real one is asked again and held to the same file; with
//! `RECORD=1` its answers are written there.
//!
//! This broker is asked in this process, without sockets and in a time that passes at once ([`far::Inside`]);
//! with `SOCKETS=1` on sockets and in real time, as the real one, which takes some minutes of waiting.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(feature = "server")]

#[path = "../common/mod.rs"]
mod common;
mod far;
mod scripts;
mod side;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use far::{Far, Inside, Sockets};
use pulsewire_broker::auth::{Methods, TokenKey};
use pulsewire_broker::core::Access;
use pulsewire_broker::{BrokerConfig, Server, ServerConfig};
use side::Side;

/// A broker of ours.
struct Ours {
    config: fn() -> BrokerConfig,
    /// Where it listens, once it does: one for all scripts.
    listening: OnceLock<(String, String)>,
}

static OPEN: Ours = Ours { config: BrokerConfig::default, listening: OnceLock::new() };

/// It asks for tokens.
static GUARDED: Ours = Ours { config: guarded, listening: OnceLock::new() };

/// It adds nothing to messages.
static PLAIN: Ours = Ours { config: plain, listening: OnceLock::new() };

impl Ours {
    fn reach(&self, sockets: bool) -> Box<dyn Far> {
        if !sockets && std::env::var_os("SOCKETS").is_none() {
            return Box::new(Inside::new((self.config)()));
        }
        Box::new(Sockets::new(self.listening.get_or_init(|| start((self.config)()))))
    }
}

fn plain() -> BrokerConfig {
    BrokerConfig { entry_metadata: false, ..BrokerConfig::default() }
}

fn guarded() -> BrokerConfig {
    let tokens = Some(TokenKey::secret(SECRET).unwrap());
    let access = Access {
        authenticator: Arc::new(Methods { tokens, ..Methods::default() }),
        superusers: Some(["admin".to_owned()].into()),
        refresh_check: Duration::from_secs(2),
    };
    BrokerConfig { access: Some(Arc::new(access)), ..BrokerConfig::default() }
}

fn start(broker: BrokerConfig) -> (String, String) {
    {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let any = ([127, 0, 0, 1], 0).into();
                let config =
                    ServerConfig { listen: any, admin_listen: Some(any), broker, ..ServerConfig::default() };
                let server = Server::bind(config).await.unwrap();
                tell.send((server.local_addr().to_string(), server.admin_addr().unwrap().to_string()))
                    .unwrap();
                server.run(std::future::pending()).await.unwrap();
            });
        });
        told.recv().unwrap()
    }
}

/// What signs tokens, here and there: `tokenSecretKey`.
pub(crate) const SECRET: &[u8] = b"pulsewire-test-key-of-32-bytes!!";

/// Where the real one listens, if it is there.
fn real(names: [&str; 2]) -> Option<(String, String)> {
    let address =
        |name: &str| Some(std::env::var(name).ok()?.split_once("://")?.1.trim_matches('/').to_owned());
    Some((address(names[0])?, address(names[1])?))
}

/// Plays a script and compares.
pub(crate) fn play(name: &str, script: fn(&mut Side)) {
    compare(name, script, real(["PULSAR_BROKER_URL", "PULSAR_WEB_URL"]), OPEN.reach(false));
}

/// The same, with ours on sockets always.
pub(crate) fn play_on_sockets(name: &str, script: fn(&mut Side)) {
    compare(name, script, real(["PULSAR_BROKER_URL", "PULSAR_WEB_URL"]), OPEN.reach(true));
}

/// The same with brokers that ask who is there: the real one with `authenticationRefreshCheckSeconds=2`,
/// `superUserRoles=admin` and the key [`SECRET`].
pub(crate) fn play_guarded(name: &str, script: fn(&mut Side)) {
    let real = real(["PULSAR_GUARDED_BROKER_URL", "PULSAR_GUARDED_WEB_URL"]);
    compare(name, script, real, GUARDED.reach(false));
}

/// The same with brokers that add nothing to messages: the real one without `brokerEntryMetadataInterceptors`.
pub(crate) fn play_plain(name: &str, script: fn(&mut Side)) {
    compare(name, script, real(["PULSAR_PLAIN_BROKER_URL", "PULSAR_PLAIN_WEB_URL"]), PLAIN.reach(false));
}

/// The same with a broker that nobody else uses: a real one is asked only to be recorded.
pub(crate) fn play_alone(name: &str, script: fn(&mut Side)) {
    let real = real(["PULSAR_BROKER_URL", "PULSAR_WEB_URL"]).filter(|_| std::env::var_os("RECORD").is_some());
    let ours = Ours { config: BrokerConfig::default, listening: OnceLock::new() };
    compare(name, script, real, ours.reach(false));
}

fn compare(name: &str, script: fn(&mut Side), real: Option<(String, String)>, ours: Box<dyn Far>) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/differential/heard")
        .join(format!("{name}.txt"));
    let run = |far: Box<dyn Far>, real| {
        let mut side = Side::new(name, far, real);
        script(&mut side);
        side.finish()
    };
    let record = std::env::var_os("RECORD").is_some();
    let mut kept = std::fs::read_to_string(&file).unwrap_or_default();
    let mut theirs = None;
    if let Some(real) = real {
        // It is slower at times than a script is patient.
        for _ in 0..if record { 1 } else { 3 } {
            let said = run(Box::new(Sockets::new(&real)), true);
            let same = said == kept;
            theirs = Some(said);
            if same {
                break;
            }
        }
    }
    if let Some(said) = theirs.as_ref().filter(|_| record) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, said).unwrap();
        kept.clone_from(said);
    }
    let ours = run(ours, false);
    report(name, &kept, &ours, theirs.is_some());
    if ours != kept {
        panic!("{name}: this broker differs from what the real one said\n{}", difference(&kept, &ours));
    }
    if let Some(theirs) = theirs.filter(|theirs| *theirs != kept) {
        panic!("{name}: the real broker says something else today\n{}", difference(&kept, &theirs));
    }
}

/// Leaves a page for each script in the target directory: `tmp/differential/NAME.txt`.
fn report(name: &str, kept: &str, ours: &str, asked: bool) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("differential");
    std::fs::create_dir_all(&folder).unwrap();
    let verdict = if kept == ours { "equal" } else { "different" };
    let asked = if asked { "asked again in this run" } else { "as it was heard before" };
    let page = format!("{name}: {verdict} (Apache Pulsar 4.0.8, {asked})\n\n{}", difference(kept, ours));
    std::fs::write(folder.join(format!("{name}.txt")), page).unwrap();
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
