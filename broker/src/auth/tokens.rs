//! Tokens: JSON Web Tokens whose subject is the role.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo};

use super::keys::KeyError;
use crate::core::Identity;

/// The shortest secrets that the algorithms allow, in bytes, as Apache Pulsar sees to it.
const SECRETS: [(Algorithm, usize); 3] =
    [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];

const PEM: &[u8] = b"-----BEGIN";

const PRIVATE: &[u8] = b" PRIVATE KEY-----";

/// The key that tokens are checked with.
#[derive(Clone)]
pub struct TokenKey {
    key: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey").field("algorithms", &self.validation.algorithms).finish_non_exhaustive()
    }
}

impl TokenKey {
    /// A secret key: tokens are signed with HS256; with 384 bits also with HS384, with 512 with HS512.
    ///
    /// # Errors
    /// It is shorter than 256 bits, a PEM file, or a public key, which is no secret.
    pub fn secret(key: &[u8]) -> Result<Self, KeyError> {
        if key.trim_ascii_start().starts_with(PEM) || Self::public(key).is_ok() {
            return Err(KeyError(
                "it is one key of a pair (or a certificate), not a secret key of random bytes".to_owned(),
            ));
        }
        let fit = |(algorithm, least): (_, usize)| (key.len() >= least).then_some(algorithm);
        let algorithms: Vec<Algorithm> = SECRETS.into_iter().filter_map(fit).collect();
        if algorithms.is_empty() {
            let bits = key.len() * 8;
            return Err(KeyError(format!("the secret key has {bits} bits; 256 are the least for HS256")));
        }
        Ok(Self::new(DecodingKey::from_secret(key), &algorithms))
    }

    /// A public key, as DER (what `pulsar tokens create-key-pair` writes) or PEM: tokens are signed with
    /// RS256 and its like by an RSA key, with ES256 or ES384 by one of an elliptic curve.
    ///
    /// # Errors
    /// It is no such key, or a private one.
    pub fn public(key: &[u8]) -> Result<Self, KeyError> {
        let neither = || KeyError("it is no public key: neither of RSA nor of an elliptic curve".to_owned());
        let pem = match key.trim_ascii_start().starts_with(PEM) {
            true if key.windows(PRIVATE.len()).any(|part| part == PRIVATE) => {
                return Err(KeyError(
                    "it is a private key, which signs tokens; the public one of the pair checks them"
                        .to_owned(),
                ));
            }
            true => key.to_vec(),
            false => {
                // Parts of a private key would pass for a public one.
                SubjectPublicKeyInfo::from_der(key).map_err(|_| neither())?;
                let text = STANDARD.encode(key);
                format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n").into_bytes()
            }
        };
        if let Ok(key) = DecodingKey::from_rsa_pem(&pem) {
            use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
            return Ok(Self::new(key, &[RS256, RS384, RS512, PS256, PS384, PS512]));
        }
        let key = DecodingKey::from_ec_pem(&pem).map_err(|_| neither())?;
        Ok(Self::new(key, &[Algorithm::ES256, Algorithm::ES384]))
    }

    fn new(key: DecodingKey, algorithms: &[Algorithm]) -> Self {
        let mut validation = Validation { algorithms: algorithms.to_vec(), ..Validation::default() };
        validation.required_spec_claims.clear();
        // Times are looked at here, by the clock that is handed in.
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self { key, validation }
    }

    /// Who the bearer of a token is.
    pub(super) fn identify(&self, token: &str, wall_ms: u64) -> Result<Identity, String> {
        let claims =
            decode::<Value>(token, &self.key, &self.validation).map_err(|error| why(error.kind()))?;
        let claims = claims.claims;
        let time = |name: &str| match claims.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(claim) => match super::times::milliseconds(claim) {
                Some(ms) => Ok(Some(u64::try_from(ms).unwrap_or(0))),
                None => Err(format!("the token's {name} is neither a time in seconds nor one of ISO 8601")),
            },
        };
        let expires_ms = time("exp")?;
        if expires_ms.is_some_and(|at| at < wall_ms) {
            return Err("the token has expired".to_owned());
        }
        if time("nbf")?.is_some_and(|at| at > wall_ms) {
            return Err("the token is not valid yet".to_owned());
        }
        match claims.get("sub").and_then(Value::as_str) {
            Some(role) if !role.is_empty() => Ok(Identity { role: role.to_owned(), expires_ms }),
            _ => Err("the token has no subject".to_owned()),
        }
    }
}

/// What is wrong with a token, without a letter of it.
fn why(error: &ErrorKind) -> String {
    match error {
        ErrorKind::InvalidSignature => "the token's signature is not by the broker's key",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "the token is signed by an algorithm that does not go with the broker's key"
        }
        _ => "the token is malformed",
    }
    .to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_700_000_000_000;
    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn signed(algorithm: Algorithm, secret: &[u8], claims: Value) -> String {
        encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    #[test]
    fn the_subject_is_the_role() {
        let secret = SECRET.repeat(2);
        let key = TokenKey::secret(&secret).unwrap();
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = signed(algorithm, &secret, json!({ "sub": "joe" }));
            assert_eq!(key.identify(&token, NOW), Ok(Identity { role: "joe".to_owned(), expires_ms: None }));
        }
    }

    #[test]
    fn a_secret_is_as_long_as_the_algorithm_wants() {
        let secret = SECRET.repeat(2);
        for (algorithm, bits) in [(Algorithm::HS256, 256), (Algorithm::HS384, 384), (Algorithm::HS512, 512)] {
            for length in [32, 47, 48, 63, 64] {
                let secret = &secret[..length];
                let token = signed(algorithm, secret, json!({ "sub": "joe" }));
                let taken = TokenKey::secret(secret).unwrap().identify(&token, NOW);
                assert_eq!(taken.is_ok(), length * 8 >= bits, "{algorithm:?} {length}: {taken:?}");
            }
        }
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        let key = TokenKey::secret(SECRET).unwrap();
        for bad in [json!("x"), json!(""), json!(true), json!([1]), json!({})] {
            for name in ["exp", "nbf"] {
                let token = signed(Algorithm::HS256, SECRET, json!({ "sub": "joe", name: bad }));
                assert!(key.identify(&token, NOW).is_err(), "{name} {bad}");
            }
        }
        let token = signed(Algorithm::HS256, SECRET, json!({ "sub": "joe", "exp": "1700000001" }));
        assert_eq!(key.identify(&token, NOW).unwrap().expires_ms, Some(NOW + 1000));
        let token = signed(Algorithm::HS256, SECRET, json!({ "sub": "joe", "exp": null }));
        assert_eq!(key.identify(&token, NOW).unwrap().expires_ms, None);
    }

    #[test]
    fn the_wrong_key_of_a_pair_is_told_at_once() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let error = |key: Result<TokenKey, KeyError>| key.unwrap_err().0;
        assert!(error(TokenKey::public(pair.serialize_pem().as_bytes())).contains("private key"));
        assert!(TokenKey::public(&pair.serialize_der()).is_err());
        let spki = pair.public_key_pem();
        let lines = spki.lines().filter(|line| !line.starts_with("-----"));
        let der = STANDARD.decode(lines.collect::<String>()).unwrap();
        for key in [spki.as_bytes(), pair.serialize_pem().as_bytes(), &der] {
            assert!(error(TokenKey::secret(key)).contains("one key of a pair"));
        }
    }

    #[test]
    fn times_are_those_of_the_clock_that_is_handed_in() {
        let key = TokenKey::secret(SECRET).unwrap();
        let token = signed(Algorithm::HS256, SECRET, json!({ "sub": "j", "exp": 1_700_000_001 }));
        assert_eq!(key.identify(&token, NOW).unwrap().expires_ms, Some(NOW + 1000));
        assert!(key.identify(&token, NOW + 1000).is_ok());
        assert_eq!(key.identify(&token, NOW + 1001), Err("the token has expired".to_owned()));
        let token = signed(Algorithm::HS256, SECRET, json!({ "sub": "j", "nbf": 1_700_000_001 }));
        assert!(key.identify(&token, NOW).is_err() && key.identify(&token, NOW + 1000).is_ok());
    }

    #[test]
    fn what_is_no_good_token_is_refused() {
        let key = TokenKey::secret(SECRET).unwrap();
        let other =
            signed(Algorithm::HS256, b"another key of a size that is allowed", json!({ "sub": "joe" }));
        let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2UifQ.";
        let nobody = signed(Algorithm::HS256, SECRET, json!({ "name": "joe" }));
        for bad in ["", "x", "a.b.c", &other, unsigned, &nobody] {
            let error = key.identify(bad, NOW).unwrap_err();
            assert!(bad.is_empty() || bad.len() < 6 || !error.contains(bad));
        }
        assert!(TokenKey::secret(&SECRET[1..]).is_err() && TokenKey::public(SECRET).is_err());
    }

    /// A public key must never serve as the secret of a token signed with HS256.
    #[test]
    fn keys_are_not_mixed_up() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let pem = pair.public_key_pem();
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        let der = STANDARD.decode(lines.collect::<String>()).unwrap();
        let key = TokenKey::public(&der).unwrap();
        let forged = signed(Algorithm::HS256, &der, json!({ "sub": "joe" }));
        assert!(key.identify(&forged, NOW).is_err());
        let signing = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let token = encode(&Header::new(Algorithm::ES256), &json!({ "sub": "joe" }), &signing).unwrap();
        assert_eq!(key.identify(&token, NOW).unwrap().role, "joe");
        assert_eq!(
            TokenKey::public(pair.public_key_pem().as_bytes()).unwrap().identify(&token, NOW).unwrap().role,
            "joe"
        );
    }
}
