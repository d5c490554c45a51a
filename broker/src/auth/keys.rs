//! Keys as Apache Pulsar's configuration names them: `file:///path`, `data:;base64,...`, a path, or base64.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError(pub String);

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

/// The bytes of a key: of the file that a path or a `file:` URL names, of a `data:` URL, or as base64.
///
/// # Errors
/// The file cannot be read, or the text is none of these.
pub fn read_key(from: &str) -> Result<Vec<u8>, KeyError> {
    let file = |path: &str| {
        std::fs::read(path).map_err(|error| KeyError(format!("the key file {path} cannot be read: {error}")))
    };
    if let Some(rest) = from.strip_prefix("file:") {
        // file:/p, file:///p and file://host/p, of which the host means nothing.
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.find('/').map_or(rest, |at| &rest[at..]),
            None => rest,
        };
        return file(path);
    }
    if let Some(rest) = from.strip_prefix("data:") {
        let (kind, data) =
            rest.split_once(',').ok_or_else(|| KeyError("the data: URL has no data".into()))?;
        return match kind.split(';').any(|part| part == "base64") {
            true => STANDARD
                .decode(data.trim())
                .map_err(|error| KeyError(format!("the data: URL is not base64: {error}"))),
            false => Ok(data.as_bytes().to_vec()),
        };
    }
    if Path::new(from).exists() {
        return file(from);
    }
    // What it is stays unsaid: it may be a secret with a slip of the pen.
    STANDARD
        .decode(from.trim())
        .map_err(|_| KeyError("there is no such file, and it is not a key in base64 either".to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::read_key;

    #[test]
    fn keys_are_named_as_pulsar_names_them() {
        let path = std::env::temp_dir().join(format!("pulsewire-key-{}", std::process::id()));
        std::fs::write(&path, b"\0raw\xff").unwrap();
        let name = path.to_str().unwrap();
        for from in [name.to_owned(), format!("file://{name}"), format!("file:{name}")] {
            assert_eq!(read_key(&from).unwrap(), b"\0raw\xff", "{from}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read_key("data:;base64,AAEC").unwrap(), [0, 1, 2]);
        assert_eq!(read_key("data:application/octet-stream;base64,AAEC").unwrap(), [0, 1, 2]);
        assert_eq!(read_key("data:,plain").unwrap(), b"plain");
        assert_eq!(read_key("AAEC").unwrap(), [0, 1, 2]);
        for bad in ["file:///not/there", "data:;base64,?", "data:x", "/not/there/either"] {
            assert!(read_key(bad).is_err(), "{bad}");
        }
    }
}
