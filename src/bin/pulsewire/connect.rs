//! How produce and consume reach a broker.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pulsewire::transport::tls::TlsOptions;
use pulsewire::{Client, Error};

use crate::failure::{Failure, note};
use crate::interrupt::Interrupts;
use crate::progress::Progress;

/// Where a token is looked for when none is given.
const TOKEN_VARIABLE: &str = "PULSEWIRE_TOKEN";

/// What closing may take at the end.
const CLOSE: Duration = Duration::from_secs(3);

#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The broker, a proxy (pulsar://, pulsar+ssl://) or a gateway (ws://, wss://)
    #[arg(long, value_name = "URL", env = "PULSEWIRE_URL", default_value = "pulsar://localhost:6650")]
    pub(crate) url: String,
    /// A token (JWT) for the broker. Others see it in the list of processes: prefer --token-file, or the
    /// variable PULSEWIRE_TOKEN
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Trust only the certificate authorities of this PEM file, not the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Take any certificate of anybody
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// How long the broker may take to be reached and to answer
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "10")]
    operation_timeout: Duration,
}

impl Connection {
    /// A client that connects when it is first needed.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let mut builder = Client::builder(&self.url)
            .operation_timeout(self.operation_timeout)
            // So that the operation can tell why it was not done.
            .connection_timeout(self.operation_timeout.mul_f64(0.8).max(Duration::from_millis(1)))
            .backoff(Duration::from_millis(100), Duration::from_secs(5))
            .tls(tls(self.ca.as_deref(), self.insecure)?);
        if let Some(token) = self.token()? {
            builder = builder.token(token);
        }
        builder.build().map_err(|error| Failure::client(&error, &self.url))
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?,
            (None, None) => match std::env::var(TOKEN_VARIABLE) {
                Ok(token) if !token.is_empty() => token,
                _ => return Ok(None),
            },
        };
        match token.trim() {
            "" => Err(Failure::usage("the token is empty")),
            token => Ok(Some(token.to_owned())),
        }
    }

    /// Waits for the client to open something; `None` when it was interrupted.
    pub(crate) async fn open<T>(
        &self,
        interrupts: &mut Interrupts,
        opening: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, Failure> {
        let _progress = Progress::waiting(format!("connecting to {}", self.url));
        tokio::select! {
            biased;
            () = interrupts.next() => Ok(None),
            opened = opening => opened.map(Some).map_err(|error| Failure::client(&error, &self.url)),
        }
    }
}

/// Closes the client, so that what was said to the broker gets there. Not for ever.
pub(crate) async fn close(client: &Client, interrupts: &mut Interrupts) -> bool {
    tokio::select! {
        closed = tokio::time::timeout(CLOSE, client.close()) => matches!(closed, Ok(Ok(()))),
        () = interrupts.next() => false,
    }
}

/// Whom to trust.
pub(crate) fn tls(ca: Option<&Path>, insecure: bool) -> Result<TlsOptions, Failure> {
    let mut options = TlsOptions::new();
    if let Some(file) = ca {
        options = options.trust_pem(std::fs::read(file).map_err(|error| unreadable(file, &error))?);
    }
    if insecure {
        note("--insecure: whoever sits between here and the broker can read and change everything.");
        options = options.allow_insecure(true);
    }
    Ok(options)
}

pub(crate) fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", file.display()))
}

/// A time in seconds, with a fraction where wanted.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds is wanted, for example 5 or 0.5".to_owned();
    let number: f64 = text.parse().map_err(|_| wrong())?;
    let limits = Duration::from_millis(1)..=Duration::from_secs(365 * 24 * 3600);
    Duration::try_from_secs_f64(number).ok().filter(|time| limits.contains(time)).ok_or_else(wrong)
}

/// `name=value`.
pub(crate) fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("the form is name=value".to_owned()),
    }
}
