//! What can be wrong before the gateway runs. What goes wrong with a connection afterwards is in
//! the crate's table of endings.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The gateway could not be bound.
#[derive(Debug)]
#[non_exhaustive]
pub enum GatewayError {
    /// The configuration is wrong; everything that is wrong with it.
    Config(ConfigErrors),
    /// An address could not be listened on.
    Listen {
        /// The key of the configuration that named the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GatewayError::Config(errors) => errors.fmt(f),
            GatewayError::Listen { key, address, source } => {
                write!(f, "{key}: cannot listen on {address}: {source}")
            }
        }
    }
}

impl std::error::Error for GatewayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            GatewayError::Config(errors) => Some(errors),
            GatewayError::Listen { source, .. } => Some(source),
        }
    }
}

impl From<ConfigErrors> for GatewayError {
    fn from(errors: ConfigErrors) -> Self {
        GatewayError::Config(errors)
    }
}

/// Everything that is wrong with a configuration, never empty. Displays as one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub(crate) Vec<ConfigError>);

impl ConfigErrors {
    /// Each error.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl ConfigErrors {
    /// What reading found wrong, and of what checking found that which does not merely follow from it: a list of
    /// which nothing could be read is not empty, and what the upstream is cannot be told.
    pub(crate) fn beside(mut read: Vec<ConfigError>, found: Vec<ConfigError>) -> Result<(), ConfigErrors> {
        let files = ["tokens.secret_files", "tokens.public_key_files", "tokens.jwks_files"];
        let follows = |found: &ConfigError| {
            let within = |key: &str| {
                let rest = key.strip_prefix(found.key.as_ref());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            let from = |wrong: &ConfigError| match found.problem {
                Problem::EmptyGuard => wrong.problem != Problem::UnknownKey && within(&wrong.key),
                Problem::NoTokenKeys => files.contains(&wrong.key.as_ref()),
                Problem::UpstreamIsNotTls => wrong.key == "upstream" || wrong.key.starts_with("brokers"),
                Problem::NeedsTokens => wrong.key == "tokens",
                _ => wrong.key == found.key,
            };
            read.iter().any(from)
        };
        let more: Vec<ConfigError> = found.into_iter().filter(|found| !follows(found)).collect();
        read.extend(more);
        if read.is_empty() { Ok(()) } else { Err(ConfigErrors(read)) }
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key it stands at, as `limits.max_connections`.
    pub key: Cow<'static, str>,
    /// What is wrong there.
    pub problem: Problem,
}

impl ConfigError {
    pub(crate) fn at(key: impl Into<Cow<'static, str>>, problem: Problem) -> Self {
        ConfigError { key: key.into(), problem }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// What can be wrong at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A key that is not known.
    UnknownKey,
    /// A key that must be there.
    Missing,
    /// A value of another kind.
    Expected(&'static str),
    /// A text that does not say what it should.
    Value {
        /// The text, without what may be credentials.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that is no TOML.
    NotToml(String),
    /// An empty list where the list is what guards.
    EmptyGuard,
    /// Subjects of tokens, where none are demanded.
    NeedsTokens,
    /// Tokens are demanded, but nothing says whose.
    NoTokenKeys,
    /// A file that holds no key or token as it should.
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, without its content.
        why: String,
    },
    /// A value that cannot stand beside another one.
    Contradicts {
        /// What was given.
        value: String,
        /// The other key.
        other: &'static str,
    },
    /// A certificate whose time is over.
    Expired(String),
    /// A certificate whose time has not come.
    NotYetValid(String),
    /// What cannot be changed while the gateway runs.
    Fixed,
    /// A number outside its range.
    OutOfRange {
        /// What was given.
        value: usize,
        /// The least that is allowed.
        low: usize,
        /// The most that is allowed.
        high: usize,
    },
    /// A duration outside its range.
    DurationOutOfRange {
        /// What was given.
        value: Duration,
        /// The least that is allowed.
        low: Duration,
        /// The most that is allowed.
        high: Duration,
    },
    /// The public and the admin listener cannot share an address, nor a port where one of them is on all addresses.
    SameAsListen,
    /// TLS options for an upstream that is not `pulsar+ssl://`, or for none.
    UpstreamIsNotTls,
    /// A server name that TLS cannot verify.
    BadServerName(String),
    /// A file that cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// PEM that cannot be read.
    BadPem(String),
    /// PEM without a single certificate.
    NoCertificate,
    /// PEM without a private key.
    NoKey,
    /// TLS refuses the certificate or the key, or they are not of one pair.
    BadCertificate(String),
    /// The system's trust store cannot be used.
    NoSystemTrust(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::UnknownKey => f.write_str("no such key"),
            Problem::Missing => f.write_str("it is missing"),
            Problem::Expected(what) => write!(f, "expected {what}"),
            Problem::Value { value, why } => write!(f, "{value:?}: {why}"),
            Problem::NotToml(why) => write!(f, "not TOML: {why}"),
            Problem::EmptyGuard => {
                f.write_str("an empty list guards nothing and lets nothing through; name what may pass")
            }
            Problem::NeedsTokens => {
                f.write_str("no client has a subject where no [tokens] are demanded: this fits nobody")
            }
            Problem::NoTokenKeys => f.write_str("no keys: name secret_files, public_key_files or jwks_files"),
            Problem::BadKey { path, why } => write!(f, "{}: {why}", path.display()),
            Problem::Contradicts { value, other } => write!(f, "{value} contradicts {other}"),
            Problem::Expired(when) => write!(f, "the certificate expired at {when}"),
            Problem::NotYetValid(when) => write!(f, "the certificate is not valid before {when}"),
            Problem::Fixed => f.write_str("it cannot be changed while the gateway runs; start it anew"),
            Problem::OutOfRange { value, low, high } => {
                write!(f, "{value} is out of range, expected {low} to {high}")
            }
            Problem::DurationOutOfRange { value, low, high } => {
                write!(f, "{value:?} is out of range, expected {low:?} to {high:?}")
            }
            Problem::SameAsListen => f.write_str("the same address and port as the public listener"),
            Problem::UpstreamIsNotTls => {
                f.write_str("TLS options are given but the upstream is not a pulsar+ssl:// one")
            }
            Problem::BadServerName(name) => write!(f, "{name:?} is not a name that TLS can verify"),
            Problem::Unreadable { path, why } => write!(f, "cannot read {}: {why}", path.display()),
            Problem::BadPem(why) => write!(f, "not PEM: {why}"),
            Problem::NoCertificate => f.write_str("no certificate in the PEM"),
            Problem::NoKey => f.write_str("no private key in the PEM"),
            Problem::BadCertificate(why) => write!(f, "TLS refuses it: {why}"),
            Problem::NoSystemTrust(why) => write!(f, "the system's trust store cannot be used: {why}"),
        }
    }
}
