//! How clients show who they are: by tokens (JWT), by certificates of their TLS connection,
//! by names and passwords.
//!
//! [`Methods`] is what the broker's core is given as its [`Authenticator`].

mod basic;
mod keys;
mod times;
mod tokens;

pub use basic::Passwords;
pub use keys::{KeyError, read_key};
pub use tokens::TokenKey;

use crate::core::{Authenticator, Identity, Proof};

/// The ways to show who one is that a broker takes.
#[derive(Debug, Clone, Default)]
pub struct Methods {
    /// Method `token`: tokens that this key has signed.
    pub tokens: Option<TokenKey>,
    /// Method `basic`: a name, which is the role, and its password.
    pub passwords: Option<Passwords>,
    /// Method `tls`: the common name of the client's certificate is its role.
    pub certificates: bool,
    /// The role of those who come by any other way, or by none; without it they are not let in.
    pub anonymous: Option<String>,
}

impl Authenticator for Methods {
    fn identify(&self, proof: Proof<'_>, wall_ms: u64) -> Result<Identity, String> {
        match (proof.method, &self.tokens, &self.passwords) {
            ("token", Some(key), _) => {
                let token = std::str::from_utf8(proof.data).map_err(|_| "the token is no text".to_owned())?;
                key.identify(token.trim_end(), wall_ms)
            }
            ("basic", _, Some(known)) => known
                .identify(std::str::from_utf8(proof.data).map_err(|_| "the password is no text".to_owned())?),
            ("tls", ..) if self.certificates => {
                let role = proof.certified.ok_or("it showed no certificate with a common name")?;
                Ok(Identity { role: role.to_owned(), expires_ms: None })
            }
            (method, ..) => match &self.anonymous {
                Some(role) => Ok(Identity { role: role.clone(), expires_ms: None }),
                None => Err(format!("this broker does not take the method {method:?}")),
            },
        }
    }
}
