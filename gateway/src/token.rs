//! Tokens at the upgrade: a JWT that is checked before anything reaches the upstream.
//!
//! # How a token is judged
//!
//! ```text
//! request --found in exactly one of the places--> header parsed --a key of its algorithm's family verifies it-->
//!     signature good --exp (required), nbf, iss, aud--> Verified { subject, expires }
//!     --a Pulsar token is mapped to the subject, where any are--> granted
//! ```
//!
//! A key has one family of algorithms, given by what the key is and not by what the token says: a public key
//! never serves as the secret of an HMAC, and `none` is no algorithm of any key.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{self, HeaderName};
use http::{HeaderMap, Uri};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::brokers::glob;
use crate::error::{ConfigError, Problem};

/// The subprotocol that the gateway speaks, for clients that name any.
pub const SUBPROTOCOL: &str = "pulsewire";

/// A token as a subprotocol stands behind this prefix, beside [`SUBPROTOCOL`].
pub const TOKEN_SUBPROTOCOL: &str = "pulsewire.token.";

/// Longer than any token that is one.
const MAX_TOKEN: usize = 12 * 1024;
/// Keys in all: each may be tried for a token that does not name its own.
const MAX_KEYS: usize = 64;
/// The least secret, in bytes: the width of the shortest HMAC.
const MIN_SECRET: usize = 32;
/// Of a subject, in logs and `/connz`.
const MAX_SUBJECT: usize = 128;

/// Tokens that clients have to show when they open a WebSocket: JWTs signed by HS256-512, RS256-512, ES256 or
/// ES384, with an expiry.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Tokens {
    /// Where they are looked for. One that stands in two places is refused.
    pub from: Vec<TokenSource>,
    /// Files of secrets for HS tokens: the bytes as they are, 32 at least.
    pub secret_files: Vec<PathBuf>,
    /// Files of public keys for RS and ES tokens, in PEM.
    pub public_key_files: Vec<PathBuf>,
    /// Files of key sets (JWKS).
    pub jwks_files: Vec<PathBuf>,
    /// Who may have issued tokens (`iss`); anybody who has a key when empty.
    pub issuers: Vec<String>,
    /// Whom tokens may be for (`aud`); anybody when empty.
    pub audiences: Vec<String>,
    /// How far clocks may differ. Default: 30 seconds.
    pub leeway: Option<Duration>,
    /// Keeps connections open beyond their token's expiry. By default they are closed with 1008 `token-expired`.
    pub outlive_expiry: bool,
    /// Pulsar tokens that the gateway puts into the client's CONNECT, by subject; the first that fits. With any
    /// of them, a subject that none fits is refused, and what the client says of its own authentication is
    /// taken out.
    pub pulsar: Vec<PulsarToken>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("from", &self.from).finish_non_exhaustive()
    }
}

/// The Pulsar token of some subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulsarToken {
    /// The subjects, `*` standing for any characters.
    pub subject: String,
    /// The file that holds the token.
    pub file: PathBuf,
}

/// Where a token is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenSource {
    /// `header`: `Authorization: Bearer TOKEN`.
    Header,
    /// `cookie:NAME`: a cookie.
    Cookie(String),
    /// `subprotocol`: a subprotocol [`TOKEN_SUBPROTOCOL`]`TOKEN`, offered together with [`SUBPROTOCOL`]. What
    /// pages can do without a cookie or a token in an address.
    Subprotocol,
    /// `query:NAME`: a parameter of the query. It may end up in the logs of whatever stands before the gateway.
    Query(String),
}

/// A text is no [`TokenSource`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSourceError;

impl fmt::Display for TokenSourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected \"header\", \"subprotocol\", \"cookie:NAME\" or \"query:NAME\"")
    }
}

impl std::error::Error for TokenSourceError {}

impl FromStr for TokenSource {
    type Err = TokenSourceError;

    fn from_str(text: &str) -> Result<Self, TokenSourceError> {
        let named = |name: &str| {
            let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
            let fits = !name.is_empty() && name.bytes().all(plain);
            if fits { Ok(name.to_owned()) } else { Err(TokenSourceError) }
        };
        match text.split_once(':') {
            None if text == "header" => Ok(TokenSource::Header),
            None if text == "subprotocol" => Ok(TokenSource::Subprotocol),
            Some(("cookie", name)) => named(name).map(TokenSource::Cookie),
            Some(("query", name)) => named(name).map(TokenSource::Query),
            _ => Err(TokenSourceError),
        }
    }
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenRefused {
    Missing,
    Ambiguous,
    Malformed,
    Algorithm,
    Signature,
    Expired,
    NotYet,
    Issuer,
    Audience,
    Unmapped,
}

impl TokenRefused {
    /// The stable name and the sentence.
    pub(crate) fn row(self) -> (&'static str, &'static str) {
        match self {
            TokenRefused::Missing => ("token-missing", "this gateway wants a token"),
            TokenRefused::Ambiguous => ("token-ambiguous", "more than one token"),
            TokenRefused::Malformed => ("token-malformed", "the token is no JWT with an expiry"),
            TokenRefused::Algorithm => {
                ("token-algorithm", "no key here is for the token's algorithm and key id")
            }
            TokenRefused::Signature => ("token-signature", "the token is not signed by a key known here"),
            TokenRefused::Expired => ("token-expired", "the token has expired"),
            TokenRefused::NotYet => ("token-not-yet-valid", "the token is not valid yet"),
            TokenRefused::Issuer => ("token-issuer", "the token's issuer is not accepted here"),
            TokenRefused::Audience => ("token-audience", "the token is not for this gateway"),
            TokenRefused::Unmapped => ("token-unmapped", "the token's subject may not use this gateway"),
        }
    }
}

/// A Pulsar token, never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) Arc<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// As the token has it.
    pub(crate) subject: String,
    /// When the connection has to end, if it has to.
    pub(crate) until: Option<SystemTime>,
    /// What the gateway says to Pulsar in the client's place.
    pub(crate) pulsar: Option<Secret>,
}

/// The subject as logs and `/connz` have it: short, and without characters that could pass for something else.
pub(crate) fn shown(subject: &str) -> String {
    let clean = |c: char| if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() { c } else { '?' };
    subject.chars().take(MAX_SUBJECT).map(clean).collect()
}

struct Key {
    id: Option<String>,
    key: DecodingKey,
    algorithms: &'static [Algorithm],
}

const HS: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RS: &[Algorithm] = &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];
const ES: &[Algorithm] = &[Algorithm::ES256, Algorithm::ES384];

/// [`Tokens`] with their keys read.
pub(crate) struct TokenCheck {
    from: Vec<TokenSource>,
    keys: Vec<Key>,
    issuers: Option<HashSet<String>>,
    audiences: Option<HashSet<String>>,
    leeway: Duration,
    outlive_expiry: bool,
    pulsar: Vec<(String, Secret)>,
}

impl TokenCheck {
    /// Reads the keys; what is wrong is added to `errors`.
    pub(crate) fn prepare(tokens: &Tokens, errors: &mut Vec<ConfigError>) -> Self {
        if tokens.from.is_empty() {
            errors.push(ConfigError::at("tokens.from", Problem::EmptyGuard));
        }
        let mut keys = Vec::new();
        for (key, files, read) in [
            ("tokens.secret_files", &tokens.secret_files, secret as fn(&[u8]) -> Result<Vec<Key>, String>),
            ("tokens.public_key_files", &tokens.public_key_files, public_key),
            ("tokens.jwks_files", &tokens.jwks_files, key_set),
        ] {
            for path in files {
                let read = read_file(path).and_then(|bytes| {
                    read(&bytes).map_err(|why| Problem::BadKey { path: path.clone(), why })
                });
                match read {
                    Ok(more) => keys.extend(more),
                    Err(problem) => errors.push(ConfigError::at(key, problem)),
                }
            }
        }
        let files = tokens.secret_files.len() + tokens.public_key_files.len() + tokens.jwks_files.len();
        if files == 0 {
            errors.push(ConfigError::at("tokens", Problem::NoTokenKeys));
        }
        if keys.len() > MAX_KEYS {
            let problem = Problem::OutOfRange { value: keys.len(), low: 1, high: MAX_KEYS };
            errors.push(ConfigError::at("tokens", problem));
        }
        let leeway = tokens.leeway.unwrap_or(Duration::from_secs(30));
        let most = Duration::from_secs(600);
        if leeway > most {
            let problem = Problem::DurationOutOfRange { value: leeway, low: Duration::ZERO, high: most };
            errors.push(ConfigError::at("tokens.leeway", problem));
        }
        let mut pulsar = Vec::new();
        for PulsarToken { subject, file } in &tokens.pulsar {
            let read = read_file(file).and_then(|bytes| {
                let text = String::from_utf8(bytes).unwrap_or_default().trim().to_owned();
                let fits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic());
                let why = "not one token".to_owned();
                if fits { Ok(text) } else { Err(Problem::BadKey { path: file.clone(), why }) }
            });
            match read {
                Ok(text) => pulsar.push((subject.clone(), Secret(text.into()))),
                Err(problem) => errors.push(ConfigError::at("tokens.pulsar", problem)),
            }
        }
        let set = |list: &[String]| (!list.is_empty()).then(|| list.iter().cloned().collect());
        TokenCheck {
            from: tokens.from.clone(),
            keys,
            issuers: set(&tokens.issuers),
            audiences: set(&tokens.audiences),
            leeway,
            outlive_expiry: tokens.outlive_expiry,
            pulsar,
        }
    }

    /// Whether the gateway puts Pulsar tokens into CONNECT.
    pub(crate) fn maps(&self) -> bool {
        !self.pulsar.is_empty()
    }

    /// Judges what a request brings.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Verified, TokenRefused> {
        let mut found: Option<String> = None;
        for source in &self.from {
            if let Some(token) = source.find(uri, headers)?
                && found.replace(token).is_some()
            {
                return Err(TokenRefused::Ambiguous);
            }
        }
        self.verify(&found.ok_or(TokenRefused::Missing)?)
    }

    fn verify(&self, token: &str) -> Result<Verified, TokenRefused> {
        if token.len() > MAX_TOKEN {
            return Err(TokenRefused::Malformed);
        }
        // An algorithm that the library does not know, `none` first of all, does not parse.
        let header = decode_header(token).map_err(|error| match error.kind() {
            ErrorKind::Json(_) if names_unknown_algorithm(token) => TokenRefused::Algorithm,
            _ => TokenRefused::Malformed,
        })?;
        if !header.extras_are_harmless() {
            return Err(TokenRefused::Malformed);
        }
        let mut refused = TokenRefused::Algorithm;
        for key in &self.keys {
            // A token that names its key is for that key; a key without a name serves any token.
            let named_other = matches!((&key.id, &header.kid), (Some(own), Some(wanted)) if own != wanted);
            if named_other || !key.algorithms.contains(&header.alg) {
                continue;
            }
            match decode::<Value>(token, &key.key, &self.validation(key)) {
                Ok(data) => return self.accept(&data.claims),
                Err(error) => {
                    refused = why(error.kind());
                    // Another key may have signed it; anything else is said by the one that did.
                    if refused != TokenRefused::Signature {
                        return Err(refused);
                    }
                }
            }
        }
        Err(refused)
    }

    fn validation(&self, key: &Key) -> Validation {
        let mut validation = Validation::new(key.algorithms[0]);
        validation.algorithms = key.algorithms.to_vec();
        validation.leeway = self.leeway.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = self.audiences.is_some();
        validation.aud.clone_from(&self.audiences);
        validation.iss.clone_from(&self.issuers);
        for (claim, wanted) in [("aud", self.audiences.is_some()), ("iss", self.issuers.is_some())] {
            if wanted {
                validation.required_spec_claims.insert(claim.to_owned());
            }
        }
        validation
    }

    fn accept(&self, claims: &Value) -> Result<Verified, TokenRefused> {
        let subject = match claims.get("sub") {
            None => String::new(),
            Some(Value::String(subject)) => subject.clone(),
            Some(_) => return Err(TokenRefused::Malformed),
        };
        let pulsar = match self.pulsar.iter().find(|(pattern, _)| glob(pattern, &subject)) {
            Some((_, token)) => Some(token.clone()),
            None if self.pulsar.is_empty() => None,
            None => return Err(TokenRefused::Unmapped),
        };
        // The library has seen that it is a number in the future.
        let expires = claims.get("exp").and_then(Value::as_f64).map(|at| at.clamp(0.0, 1e12));
        let until = expires
            .filter(|_| !self.outlive_expiry)
            .map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(at) + self.leeway);
        Ok(Verified { subject, until, pulsar })
    }
}

trait Harmless {
    fn extras_are_harmless(&self) -> bool;
}

impl Harmless for jsonwebtoken::Header {
    /// Extensions that a receiver has to understand (`crit`) are none that we do, and a payload that is
    /// encrypted or nested is not what is meant here.
    fn extras_are_harmless(&self) -> bool {
        self.crit.as_ref().is_none_or(Vec::is_empty) && self.enc.is_none()
    }
}

/// Whether it is the algorithm that keeps a header from being read.
fn names_unknown_algorithm(token: &str) -> bool {
    use base64::Engine as _;
    let head = token.split('.').next().unwrap_or_default();
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(head)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .is_some_and(|header| header.get("alg").is_some_and(Value::is_string))
}

fn why(kind: &ErrorKind) -> TokenRefused {
    match kind {
        ErrorKind::InvalidSignature => TokenRefused::Signature,
        ErrorKind::ExpiredSignature => TokenRefused::Expired,
        ErrorKind::ImmatureSignature => TokenRefused::NotYet,
        ErrorKind::InvalidIssuer => TokenRefused::Issuer,
        ErrorKind::InvalidAudience => TokenRefused::Audience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenRefused::Audience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => TokenRefused::Issuer,
        // A key of another curve or width than the algorithm wants has not signed it either.
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidEcdsaKey
        | ErrorKind::InvalidRsaKey(_)
        | ErrorKind::InvalidKeyFormat
        | ErrorKind::Provider(_) => TokenRefused::Signature,
        _ => TokenRefused::Malformed,
    }
}

impl TokenSource {
    fn find(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, TokenRefused> {
        match self {
            TokenSource::Header => one(texts(headers, header::AUTHORIZATION)?.filter_map(|value| {
                let (scheme, token) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            })),
            TokenSource::Cookie(name) => one(texts(headers, header::COOKIE)?
                .flat_map(|value| value.split(';'))
                .filter_map(|pair| pair.trim().split_once('='))
                .filter(|(own, _)| own == name)
                .map(|(_, value)| value.trim_matches('"'))),
            TokenSource::Subprotocol => {
                let token = one(subprotocols(headers)?.filter_map(|it| it.strip_prefix(TOKEN_SUBPROTOCOL)))?;
                // A server has to choose one that was offered, and that must not be the token.
                if token.is_some() && !subprotocols(headers)?.any(|it| it == SUBPROTOCOL) {
                    return Err(TokenRefused::Malformed);
                }
                Ok(token)
            }
            TokenSource::Query(name) => one(uri
                .query()
                .unwrap_or_default()
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .filter_map(|(own, value)| (own == name).then_some(value))),
        }
    }
}

/// The subprotocols that a client offers.
pub(crate) fn subprotocols(headers: &HeaderMap) -> Result<impl Iterator<Item = &str>, TokenRefused> {
    Ok(texts(headers, header::SEC_WEBSOCKET_PROTOCOL)?.flat_map(|value| value.split(',')).map(str::trim))
}

/// A header's values, unless one is no text.
fn texts(headers: &HeaderMap, name: HeaderName) -> Result<impl Iterator<Item = &str>, TokenRefused> {
    let values = headers.get_all(&name);
    if values.iter().any(|value| value.to_str().is_err()) {
        return Err(TokenRefused::Malformed);
    }
    Ok(values.into_iter().filter_map(|value| value.to_str().ok()))
}

fn one<'a>(mut found: impl Iterator<Item = &'a str>) -> Result<Option<String>, TokenRefused> {
    let first = found.next().map(str::to_owned);
    if found.next().is_some() { Err(TokenRefused::Ambiguous) } else { Ok(first) }
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| Problem::Unreadable { path: path.clone(), why: error.to_string() })
}

fn secret(bytes: &[u8]) -> Result<Vec<Key>, String> {
    if bytes.starts_with(b"-----BEGIN") {
        return Err("this is a PEM file: a public key is no secret, name it in public_key_files".to_owned());
    }
    if bytes.len() < MIN_SECRET {
        return Err(format!("a secret has at least {MIN_SECRET} bytes"));
    }
    Ok(vec![Key { id: None, key: DecodingKey::from_secret(bytes), algorithms: HS }])
}

fn public_key(bytes: &[u8]) -> Result<Vec<Key>, String> {
    if String::from_utf8_lossy(bytes).contains("PRIVATE KEY") {
        return Err("this is a private key: the gateway needs the public one only".to_owned());
    }
    let rsa = DecodingKey::from_rsa_pem(bytes).map(|key| (key, RS));
    let (key, algorithms) = rsa
        .or_else(|_| DecodingKey::from_ec_pem(bytes).map(|key| (key, ES)))
        .map_err(|_| "not a public key for RS or ES tokens in PEM".to_owned())?;
    Ok(vec![Key { id: None, key, algorithms }])
}

/// Whether the numbers of a public key can be those of one: the library finds out when a token comes.
fn fits(algorithm: &AlgorithmParameters) -> Result<(), String> {
    use base64::Engine as _;
    let number =
        |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    match algorithm {
        AlgorithmParameters::RSA(key) => {
            let modulus = number(&key.n);
            let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
            if !(2048..=8192).contains(&bits) || number(&key.e).iter().all(|byte| *byte == 0) {
                return Err("one of its RSA keys is none of 2048 to 8192 bits".to_owned());
            }
        }
        AlgorithmParameters::EllipticCurve(key) => {
            let width = match key.curve {
                EllipticCurve::P256 => 32,
                EllipticCurve::P384 => 48,
                _ => return Err("one of its EC keys is of another curve than P-256 and P-384".to_owned()),
            };
            if number(&key.x).len() != width || number(&key.y).len() != width {
                return Err("one of its EC keys is no point of its curve".to_owned());
            }
        }
        _ => {}
    }
    Ok(())
}

fn key_set(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let set: JwkSet = serde_json::from_slice(bytes).map_err(|_| "not a JWKS".to_owned())?;
    let mut keys = Vec::new();
    for jwk in &set.keys {
        let algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RS,
            AlgorithmParameters::EllipticCurve(_) => ES,
            AlgorithmParameters::OctetKey(_) => HS,
            _ => continue,
        };
        // Key sets may hold keys for other purposes.
        if matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature) {
            continue;
        }
        fits(&jwk.algorithm)?;
        let key = DecodingKey::from_jwk(jwk).map_err(|_| "one of its keys cannot be read".to_owned())?;
        if algorithms == HS && key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() < MIN_SECRET) {
            return Err(format!("a secret has at least {MIN_SECRET} bytes"));
        }
        keys.push(Key { id: jwk.common.key_id.clone(), key, algorithms });
    }
    if keys.is_empty() { Err("no key in it is for HS, RS or ES tokens".to_owned()) } else { Ok(keys) }
}
