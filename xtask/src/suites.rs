//! The list of suites: one place to add one. They run in this order, each with what it needs.

use crate::compat;
pub use crate::count::{Count, Tally};
use crate::util::ci;
use anyhow::Result;

/// Something outside our sources that a suite needs. It is started or installed when the first suite asks for it,
/// and tells the suite where it is by environment variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// `CHROMIUM`, the browser.
    Chromium,
    /// `PULSAR_BROKER_URL`, `PULSAR_PROXY_URL` and so on: see [`crate::pulsar::RealPulsar::environment`].
    RealPulsar,
    /// `PULSAR_GUARDED_PROXY_URL_TLS`, `PULSAR_GUARDED_WEB_URL`: another one, whose broker and proxy ask for tokens.
    /// `PULSAR_GUARDED_DATA`: where its `secret.key`, `ca.pem`, `server.pem` and `server-key.pem` are, and all its logs.
    GuardedPulsar,
    /// `PULSAR_OLDER_URL`, `PULSAR_OLDER_WEB_URL`: see [`crate::older`].
    OlderPulsar,
    /// `PULSEWIRE_PYTHON`, an interpreter that has the official client.
    Python,
    /// `PULSEWIRE_WEBSOCKETS`, an interpreter that has the library `websockets`.
    WebSockets,
    /// `PULSEWIRE_KUBERNETES_VALIDATE` and `PULSEWIRE_HADOLINT`, programs that judge what `gateway/deploy` has.
    Deploy,
    /// `PULSEWIRE_OPENAPI`, an interpreter that has `openapi-spec-validator`.
    OpenApi,
    /// `PULSEWIRE_JAVA`, a class path that has the official client and our witness.
    Java,
    /// `PULSEWIRE_GO`, the script of the official Go client, built.
    Go,
    /// The Rust target `wasm32-unknown-unknown`.
    WasmTarget,
    /// The npm package, built.
    Package,
    /// The console, built.
    Console,
    /// `PULSEWIRE_BINARY`, the native binary `pulsewire`.
    Binary,
    /// `PULSEWIRE_WORLD`, a file that says where brokers and gateways are. Wants [`Need::RealPulsar`] and [`Need::OlderPulsar`] before it.
    World,
    /// The scenarios as a WebAssembly module.
    Scenarios,
}

/// How a suite runs.
#[derive(Clone, Copy)]
pub enum Run {
    /// A command at the top of the working tree, with further environment variables.
    Command(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// A function of ours.
    Task(fn() -> Result<Tally>),
}

/// One suite.
pub struct Suite {
    /// What it is called, also on the command line.
    pub name: &'static str,
    /// How it runs.
    pub run: Run,
    /// How its output is counted; of no meaning for a task.
    pub count: Count,
    /// What it needs.
    pub needs: &'static [Need],
    /// After this many minutes it has failed.
    pub minutes: u64,
}

/// All suites.
pub const SUITES: &[Suite] = &[
    Suite {
        name: "format",
        run: Run::Command(&["cargo", "fmt", "--all", "--check"], &[]),
        count: Count::ExitCode,
        needs: &[],
        minutes: 2,
    },
    Suite {
        name: "clippy",
        run: Run::Command(
            &[
                "cargo",
                "clippy",
                "--workspace",
                "--all-targets",
                "--features",
                "pulsewire/cli,pulsewire/testing",
                "--",
                "-D",
                "warnings",
            ],
            &[],
        ),
        count: Count::ExitCode,
        needs: &[],
        minutes: 15,
    },
    Suite {
        name: "clippy wasm",
        run: Run::Task(crate::artifacts::clippy_wasm),
        count: Count::ExitCode,
        needs: &[Need::WasmTarget],
        minutes: 10,
    },
    Suite {
        name: "lint",
        run: Run::Command(&["npm", "run", "--silent", "lint"], &[]),
        count: Count::ExitCode,
        needs: &[],
        minutes: 2,
    },
    Suite {
        name: "rustdoc",
        run: Run::Command(
            &["cargo", "doc", "--workspace", "--no-deps", "--features", "pulsewire/testing"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
        count: Count::ExitCode,
        needs: &[],
        minutes: 15,
    },
    Suite {
        name: "purity",
        run: Run::Task(crate::purity::check),
        count: Count::ExitCode,
        needs: &[],
        minutes: 2,
    },
    Suite {
        name: "cargo tests",
        run: Run::Command(
            &[
                "cargo",
                "test",
                "--workspace",
                "--no-fail-fast",
                "--features",
                "pulsewire/cli,pulsewire/testing",
            ],
            &[],
        ),
        count: Count::Libtest,
        needs: &[],
        minutes: 20,
    },
    // Three hundred cases are among the cargo tests.
    Suite {
        name: "model",
        run: Run::Command(
            &["cargo", "test", "--package", "pulsewire-broker", "--test", "model"],
            &[("PROPTEST_CASES", "10000")],
        ),
        count: Count::Libtest,
        needs: &[],
        minutes: 5,
    },
    // Among the cargo tests these scripts have neither sockets nor a real clock. They wait most of the time.
    Suite {
        name: "scripts on sockets",
        run: Run::Command(
            &[
                "cargo",
                "test",
                "--package",
                "pulsewire-broker",
                "--test",
                "differential",
                "--",
                "--test-threads",
                "32",
            ],
            &[("SOCKETS", "1")],
        ),
        count: Count::Libtest,
        needs: &[],
        minutes: 5,
    },
    // Ignored among the cargo tests, which have neither client.
    Suite {
        name: "foreign clients",
        run: Run::Command(
            &[
                "cargo",
                "test",
                "--package",
                "pulsewire-broker",
                "--test",
                "foreign",
                "--",
                "--ignored",
                // A second try is told by what a test prints, also when it passes then.
                "--show-output",
                "--skip",
                "the_go_client",
            ],
            &[],
        ),
        count: Count::Libtest,
        needs: &[Need::RealPulsar, Need::Python, Need::OpenApi],
        minutes: 12,
    },
    Suite {
        name: "foreign clients, Go",
        run: Run::Command(
            &[
                "cargo",
                "test",
                "--package",
                "pulsewire-broker",
                "--test",
                "foreign",
                "--",
                "--ignored",
                "--show-output",
                "the_go_client",
            ],
            &[],
        ),
        count: Count::Libtest,
        needs: &[Need::RealPulsar, Need::Go],
        minutes: 8,
    },
    // Ignored among the cargo tests, which have neither library.
    Suite {
        name: "foreign WebSockets",
        run: Run::Command(
            &["cargo", "test", "--package", "pulsewire-gateway", "--test", "foreign", "--", "--ignored"],
            &[],
        ),
        count: Count::Libtest,
        needs: &[Need::WebSockets],
        minutes: 5,
    },
    // Ignored among the cargo tests, which have neither program.
    Suite {
        name: "gateway deploy",
        run: Run::Command(
            &["cargo", "test", "--features", "cli", "--test", "cli", "deploy", "--", "--ignored"],
            &[],
        ),
        count: Count::Libtest,
        needs: &[Need::Deploy],
        minutes: 5,
    },
    // Two minutes here; PULSEWIRE_SOAK=30m makes it longer than a suite may take, so run it by cargo then.
    Suite {
        name: "soak",
        run: Run::Command(
            &[
                "cargo",
                "test",
                "--package",
                "pulsewire-gateway",
                "--test",
                "soak",
                "--",
                "--ignored",
                "--nocapture",
            ],
            &[],
        ),
        count: Count::Libtest,
        needs: &[Need::Binary],
        minutes: 5,
    },
    Suite {
        name: "scenarios native",
        run: Run::Command(
            &["cargo", "run", "--quiet", "--package", "pulsewire-tests", "--bin", "pulsewire-scenarios"],
            &[("PULSEWIRE_SECOND_TRY", "1")],
        ),
        count: Count::Summary,
        needs: &[Need::RealPulsar, Need::OlderPulsar, Need::World, Need::Python, Need::Java],
        minutes: 10,
    },
    // What those scenarios saw of either broker; some run again.
    Suite {
        name: "differential",
        run: Run::Command(&["cargo", "xtask", "differential"], &[]),
        count: Count::Summary,
        needs: &[Need::RealPulsar, Need::OlderPulsar, Need::World, Need::Python, Need::Java],
        minutes: 10,
    },
    Suite {
        name: "scenarios wasm",
        run: Run::Command(&["node", "tests/wasm/run.mjs"], &[("PULSEWIRE_SECOND_TRY", "1")]),
        count: Count::Summary,
        needs: &[
            Need::RealPulsar,
            Need::OlderPulsar,
            Need::World,
            Need::Scenarios,
            Need::Chromium,
            Need::Python,
            Need::Java,
        ],
        minutes: 10,
    },
    // A build of its own.
    Suite {
        name: "mutants",
        run: Run::Command(&["cargo", "xtask", "mutants"], &[]),
        count: Count::Summary,
        needs: &[Need::RealPulsar, Need::World],
        minutes: 15,
    },
    // Three minutes, and a build of its own the first time.
    Suite { name: "fuzz", run: Run::Task(crate::fuzz::all), count: Count::ExitCode, needs: &[], minutes: 10 },
    Suite {
        name: "package",
        run: Run::Command(&["npm", "run", "--silent", "--workspace", "js", "check:package"], &[]),
        count: Count::ExitCode,
        needs: &[Need::Package],
        minutes: 3,
    },
    Suite {
        name: "module size",
        run: Run::Task(size),
        count: Count::ExitCode,
        needs: &[Need::Package],
        minutes: 1,
    },
    Suite {
        name: "npm package",
        run: Run::Command(
            &["npm", "run", "--silent", "--workspace", "tests/js", "test"],
            &[("PULSEWIRE_SECOND_TRY", "1")],
        ),
        count: Count::Summary,
        needs: &[Need::RealPulsar, Need::World, Need::Package, Need::Chromium],
        minutes: 10,
    },
    Suite {
        name: "test broker",
        run: Run::Command(&["npm", "run", "--silent", "--workspace", "tests/js", "test:testing"], &[]),
        count: Count::Summary,
        needs: &[Need::Package, Need::Chromium],
        minutes: 3,
    },
    Suite {
        name: "console",
        run: Run::Command(&["npm", "run", "--silent", "--workspace", "tests/js", "test:console"], &[]),
        count: Count::Summary,
        needs: &[Need::RealPulsar, Need::World, Need::Console, Need::Binary, Need::Python, Need::Chromium],
        minutes: 10,
    },
    // A page, a TLS gateway, a Pulsar proxy and a broker, each of which asks for a token.
    Suite {
        name: "guarded page",
        run: Run::Command(&["npm", "run", "--silent", "--workspace", "tests/js", "test:guarded"], &[]),
        count: Count::Summary,
        needs: &[Need::GuardedPulsar, Need::Package, Need::Binary, Need::Chromium],
        minutes: 5,
    },
    // Last: it reads what the others have written.
    Suite { name: "ledger", run: Run::Task(ledger), count: Count::ExitCode, needs: &[], minutes: 1 },
];

/// Prints how large the compiled module is; too large is a failure.
fn size() -> Result<Tally> {
    crate::wasm::size_report(&crate::util::root())?;
    Ok(Tally { passed: 1, ..Tally::default() })
}

/// Makes COMPAT.md. In CI a COMPAT.md that says something else than the run has shown is a failure.
fn ledger() -> Result<Tally> {
    let outcome = compat::run(ci())?;
    println!("{} pairs of row and world are green, {} red", outcome.green, outcome.red);
    if ci() && outcome.changed {
        println!("COMPAT.md is not what this run has shown; make it anew with: npm test");
        return Ok(Tally { failed: 1, ..Tally::default() });
    }
    Ok(Tally { passed: 1, ..Tally::default() })
}
