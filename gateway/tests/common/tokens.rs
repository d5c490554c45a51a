//! Keys and tokens, made for each test.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

pub(crate) const SECRET: &[u8] = b"a secret of more than thirty-two bytes, for tests";

/// A directory that goes away with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let name = format!("gateway-{}-{:x}", std::process::id(), fastrand::u64(..));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        Scratch(path)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Claims of `subject` that expire in so many seconds.
pub(crate) fn claims(subject: &str, expires_in: i64) -> Value {
    json!({ "sub": subject, "exp": now() as i64 + expires_in })
}

pub(crate) fn hs(subject: &str, expires_in: i64) -> String {
    signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), &claims(subject, expires_in))
}

pub(crate) fn signed(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, key).expect("a token")
}

/// A token of parts that nobody signed.
pub(crate) fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let (header, claims) = (header.to_string(), claims.to_string());
    format!("{}.{}.{}", part(header.as_bytes()), part(claims.as_bytes()), part(signature))
}

pub(crate) struct Pair {
    pub(crate) private: EncodingKey,
    pub(crate) public_pem: String,
}

pub(crate) fn rsa_pair() -> Pair {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let private: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
    let public: PublicKeyX509Der<'_> =
        aws_lc_rs::signature::KeyPair::public_key(&pair).as_der().expect("DER");
    Pair {
        private: EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).expect("a key"),
        public_pem: pem("PUBLIC KEY", public.as_ref()),
    }
}

pub(crate) fn ec_pair() -> Pair {
    let pair = rcgen::KeyPair::generate().expect("a key");
    Pair {
        private: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a key"),
        public_pem: pair.public_key_pem(),
    }
}

fn pem(name: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n"))
}
