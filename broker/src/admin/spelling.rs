//! How paths are written: each part decoded as the real broker decodes it.

use super::{AdminError, Form, Result, error, unexpected};

/// Which parts of a path are names of topics and of subscriptions.
pub(super) struct Places {
    topic: usize,
    subscription: usize,
}

impl Places {
    pub(super) fn of(path: &[&str]) -> Self {
        const NONE: usize = usize::MAX;
        let topic = match path {
            ["admin", "v2", "persistent" | "non-persistent" | "schemas", ..] => 5,
            ["admin", "v3", "transactions", _, _, _, _, ..] => 6,
            ["lookup", "v2", "topic", ..] => 6,
            ["topics", ..] => 4,
            _ => NONE,
        };
        let subscription = match path {
            ["admin", "v2", "persistent" | "non-persistent", _, _, _, "subscription", ..] => 7,
            _ => NONE,
        };
        Self { topic, subscription }
    }

    /// What a part says. What stands behind a `;` in it is not looked at.
    pub(super) fn read(&self, n: usize, part: &str) -> Result<String> {
        if part.contains("%00") {
            return Err(AdminError {
                form: Form::Page,
                ..error(400, format!("{part:?} cannot be in a URL"))
            });
        }
        let part = part.split(';').next().unwrap_or_default();
        if n == self.topic {
            return decode(&part.replace('+', " "));
        }
        let said = decode(part)?;
        if n == self.subscription {
            // Names of subscriptions are decoded twice there.
            let again = || unexpected("URLDecoder: Illegal hex characters in escape (%) pattern");
            return decode(&said.replace('+', " ")).map_err(|_| again());
        }
        Ok(said)
    }
}

/// Decodes `%xx`.
pub(super) fn decode(text: &str) -> Result<String> {
    let wrong =
        || AdminError { form: Form::Page, ..error(400, format!("{text:?} is not encoded as URLs are")) };
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next().ok_or_else(wrong)?, bytes.next().ok_or_else(wrong)?];
                let hex = std::str::from_utf8(&digits)
                    .ok()
                    .filter(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
                hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or_else(wrong)?
            }
            byte => byte,
        });
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Places, decode};

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("a%2Fb%20c").unwrap(), "a/b c");
        assert_eq!(decode("%ff").unwrap(), "\u{fffd}");
        for bad in ["100%", "%zz", "%4", "%+1"] {
            assert_eq!(decode(bad).unwrap_err().status, 400, "{bad}");
        }
    }

    #[test]
    fn names_of_topics_and_subscriptions_have_plus_for_a_blank() {
        let at = Places::of(&["admin", "v2", "persistent", "t", "n", "a", "subscription", "s"]);
        assert_eq!(at.read(3, "a+b;c").unwrap(), "a+b");
        assert_eq!(at.read(5, "a+b%2Bc").unwrap(), "a b+c");
        assert_eq!(at.read(7, "a%252Fb%2Bc").unwrap(), "a/b c");
        assert_eq!(at.read(7, "a%25b").unwrap_err().status, 500);
    }
}
