//! How a command ends: exit codes, and errors as one or two sentences that say what to do.

use std::fmt::Write as _;
use std::process::ExitCode;

use pulsewire::{Error, ErrorKind};

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All was done.
    Done,
    /// By Ctrl-C or SIGTERM, before all was done.
    Interrupted,
}

impl Ended {
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Ended::Done => ExitCode::SUCCESS,
            Ended::Interrupted => ExitCode::from(130),
        }
    }
}

/// Why a command failed, for a person.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Something did not work.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// The arguments or the configuration are wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// All that is wrong with a configuration, one line each.
    pub(crate) fn configuration(wrong: &[String]) -> Self {
        let mut message = match wrong.len() {
            1 => "the configuration is wrong:".to_owned(),
            n => format!("{n} things are wrong with the configuration:"),
        };
        for line in wrong {
            let _ = write!(message, "\n  {line}");
        }
        Self::usage(message)
    }

    /// An error of the client, with what can be done about it.
    pub(crate) fn client(error: &Error, url: &str) -> Self {
        let message = explain(error, url);
        match error.kind() {
            ErrorKind::InvalidOption
            | ErrorKind::InvalidServiceUrl
            | ErrorKind::InvalidTopicName
            | ErrorKind::InvalidMessageId => Self::usage(message),
            _ => Self::failed(message),
        }
    }

    pub(crate) fn report(self) -> ExitCode {
        note(&self.message);
        ExitCode::from(self.code)
    }
}

/// Says something to the person, apart from the output.
pub(crate) fn note(message: &str) {
    eprintln!("pulsewire: {message}");
}

fn explain(error: &Error, url: &str) -> String {
    let said = error.to_string();
    let said = said.trim_end_matches('.');
    let advice = match error.code() {
        "InvalidServiceUrl" => "Give one with --url, for example pulsar://localhost:6650.",
        "InvalidTopicName" => "Topics are called `name` or `tenant/namespace/name`.",
        "Timeout" | "ConnectError" | "Disconnected" => {
            let said = said.trim_start_matches("opening it was not done in time: ");
            return format!(
                "{url} did not serve us: {said}. Is a broker running there? `pulsewire broker` starts one, --url names another."
            );
        }
        "ConnectionRefused" => {
            return format!(
                "{url} refused the connection: {said}. Look at the address and, for TLS, at --ca."
            );
        }
        "ProtocolError" => {
            return format!("what listens at {url} does not speak Pulsar as it should: {said}.");
        }
        "AuthenticationError" => "Give a token that the broker knows with --token-file or --token.",
        "AuthorizationError" => "The token's role may not do that; ask who runs the broker.",
        "ConsumerBusy" => {
            "Another consumer holds the subscription: take another name with -s, or share it with --type shared."
        }
        "ProducerBusy" => "A producer of that name is connected: take another one with --name.",
        "TopicNotFound" => "The broker does not make topics on demand: create it first, or look at its name.",
        _ => "",
    };
    if advice.is_empty() { said.to_owned() } else { format!("{said}. {advice}") }
}
