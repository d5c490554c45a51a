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

/// What is made of a key: of the bytes of the file that a path or a `file:` URL names, of a `data:` URL, or of base64.
///
/// # Errors
/// The file cannot be read, the text is none of these, or nothing can be made of it.
pub fn read_key<T>(from: &str, make: impl FnOnce(&[u8]) -> Result<T, KeyError>) -> Result<T, KeyError> {
    match named(from) {
        Some(key) => make(&key?),
        // Most names of files that are not there are base64, too. What it is stays unsaid: it may be a secret with
        // a slip of the pen.
        None => match STANDARD.decode(from.trim()) {
            Ok(key) => make(&key).map_err(|KeyError(error)| {
                KeyError(format!("there is no such file; read as base64, {error}"))
            }),
            Err(_) => Err(KeyError("there is no such file, and it is not a key in base64 either".to_owned())),
        },
    }
}

/// The bytes of a key that is named by a URL, or by the path of what is there.
fn named(from: &str) -> Option<Result<Vec<u8>, KeyError>> {
    let file = |path: &str| {
        std::fs::read(path).map_err(|error| KeyError(format!("the key file {path} cannot be read: {error}")))
    };
    if let Some(rest) = from.strip_prefix("file:") {
        // file:/p, file:///p and file://host/p, of which the host means nothing.
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.find('/').map_or(rest, |at| &rest[at..]),
            None => rest,
        };
        return Some(file(path));
    }
    if let Some(rest) = from.strip_prefix("data:") {
        return Some(data(rest));
    }
    Path::new(from).exists().then(|| file(from))
}

/// The bytes of a `data:` URL.
fn data(url: &str) -> Result<Vec<u8>, KeyError> {
    let (kind, data) = url.split_once(',').ok_or_else(|| KeyError("the data: URL has no data".into()))?;
    if !kind.split(';').any(|part| part == "base64") {
        return Ok(data.as_bytes().to_vec());
    }
    STANDARD.decode(data.trim()).map_err(|error| KeyError(format!("the data: URL is not base64: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::KeyError;

    fn read_key(from: &str) -> Result<Vec<u8>, KeyError> {
        super::read_key(from, |key| Ok(key.to_vec()))
    }

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

    #[test]
    fn a_file_that_is_not_there_is_said_to_be_missing() {
        let wrong = |_: &[u8]| -> Result<(), _> { Err(KeyError("it is too short".to_owned())) };
        let error = |from| super::read_key(from, wrong).unwrap_err().0;
        assert_eq!(error("none"), "there is no such file; read as base64, it is too short");
        assert_eq!(error("data:,none"), "it is too short");
    }
}
