//! Names and passwords: a file as Apache's `htpasswd -m` writes it, `name:$apr1$salt$hash` line by line.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

use super::keys::KeyError;
use crate::core::Identity;

/// Names and what their passwords hash to.
#[derive(Clone, Default)]
pub struct Passwords(BTreeMap<String, (String, String)>);

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Passwords {
    /// Reads such a file.
    ///
    /// # Errors
    /// A line is none, or its password is not hashed by `apr1`.
    pub fn read(file: &[u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(file).map_err(|_| KeyError("it is no text".to_owned()))?;
        let mut all = BTreeMap::new();
        let lines = text.lines().map(str::trim).enumerate();
        for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let wrong = || KeyError(format!("line {} is not name:$apr1$salt$hash", at + 1));
            let (name, hashed) = line.split_once(':').ok_or_else(wrong)?;
            let (salt, hash) =
                hashed.strip_prefix("$apr1$").and_then(|rest| rest.split_once('$')).ok_or_else(wrong)?;
            all.insert(name.to_owned(), (salt.to_owned(), hash.to_owned()));
        }
        Ok(Self(all))
    }

    /// Whose `name:password` it is.
    pub(super) fn identify(&self, shown: &str) -> Result<Identity, String> {
        let (name, password) = shown.split_once(':').ok_or("there is no password")?;
        match self.0.get(name) {
            Some((salt, hash)) if same(&apr1(password.as_bytes(), salt.as_bytes()), hash) => {
                Ok(Identity { role: name.to_owned(), expires_ms: None })
            }
            _ => Err("unknown user or invalid password".to_owned()),
        }
    }
}

/// In a time that does not tell where they differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// What Apache makes of a password: MD5, a thousand times, in an alphabet of its own.
fn apr1(password: &[u8], salt: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let salt = &salt[..salt.len().min(8)];
    let first = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut hash = Md5::new().chain_update(password).chain_update(b"$apr1$").chain_update(salt);
    for at in (0..password.len()).step_by(16) {
        hash.update(&first[..(password.len() - at).min(16)]);
    }
    let mut rest = password.len();
    while rest > 0 {
        hash.update(if rest & 1 == 1 { &[0][..] } else { &password[..1] });
        rest >>= 1;
    }
    let mut last = hash.finalize();
    for round in 0..1000 {
        let mut hash = Md5::new();
        hash.update(if round % 2 == 1 { password } else { &last[..] });
        if round % 3 != 0 {
            hash.update(salt);
        }
        if round % 7 != 0 {
            hash.update(password);
        }
        hash.update(if round % 2 == 1 { &last[..] } else { password });
        last = hash.finalize();
    }
    let mut out = String::new();
    let mut write = |bytes: [usize; 3], count: usize| {
        let mut bits =
            bytes.iter().fold(0u32, |bits, at| bits << 8 | last.get(*at).map_or(0, |b| u32::from(*b)));
        for _ in 0..count {
            out.push(char::from(LETTERS[(bits & 63) as usize]));
            bits >>= 6;
        }
    };
    const NONE: usize = 16;
    for bytes in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        write(bytes, 4);
    }
    write([NONE, NONE, 11], 2);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Passwords;

    /// Hashes that Apache's own tools made.
    const FILE: &[u8] = b"admin:$apr1$FG4AO6aX$KGYPuMoLUou3i6vUkPUUf.\n\n# nobody\nlong:$apr1$12345678$69bivv8mS8tZwrZu7csP..\n";

    #[test]
    fn passwords_are_those_that_apache_has_hashed() {
        let known = Passwords::read(FILE).unwrap();
        assert_eq!(known.identify("admin:123456").unwrap().role, "admin");
        for wrong in ["admin:12345", "admin:", "admin", "nobody:123456", ""] {
            assert!(known.identify(wrong).is_err(), "{wrong}");
        }
        assert!(known.identify("long:a password: of more than sixteen bytes").is_ok());
    }

    #[test]
    fn other_hashes_are_refused_at_once() {
        for bad in ["admin", "admin:plain", "admin:{SHA}x", "admin:$apr1$saltonly"] {
            assert!(Passwords::read(bad.as_bytes()).unwrap_err().0.contains("line 1"), "{bad}");
        }
    }
}
