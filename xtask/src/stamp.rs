//! Building only what changed: a stamp holds the hash of a build's inputs, contents and not times.

use anyhow::{Context, Result};
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

/// One build and what it depends on.
#[derive(Debug)]
pub struct Stamp {
    file: PathBuf,
    hash: String,
    outputs: Vec<PathBuf>,
}

impl Stamp {
    /// Reads all inputs (files, or whole directories) and remembers what they are now. `salt` tells apart builds
    /// of the same inputs, a profile for example. Paths are relative to the top of the working tree.
    pub fn new(name: &str, salt: &str, inputs: &[&str], outputs: &[&str]) -> Result<Self> {
        let root = crate::util::root();
        let mut hasher = DefaultHasher::new();
        hasher.write(salt.as_bytes());
        for input in inputs {
            hash(&root.join(input), &mut hasher)?;
        }
        Ok(Self {
            file: root.join("target/stamps").join(name),
            hash: format!("{:016x}", hasher.finish()),
            outputs: outputs.iter().map(|output| root.join(output)).collect(),
        })
    }

    /// Whether the build was done with these inputs, and its outputs are still there.
    pub fn fresh(&self) -> bool {
        self.outputs.iter().all(|output| output.exists())
            && std::fs::read_to_string(&self.file).is_ok_and(|old| old == self.hash)
    }

    /// To be called when the build succeeded.
    pub fn done(&self) -> Result<()> {
        if let Some(dir) = self.file.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(&self.file, &self.hash)
            .with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// Builds if anything changed.
    pub fn ensure(&self, build: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.fresh() {
            return Ok(());
        }
        build()?;
        self.done()
    }
}

const SKIPPED: [&str; 5] = ["node_modules", "target", "dist", ".git", ".vite"];

fn hash(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    if path.is_dir() {
        let mut entries = std::fs::read_dir(path)?.collect::<std::io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            if !SKIPPED.iter().any(|skipped| name == *skipped) {
                hasher.write(name.as_encoded_bytes());
                hash(&entry.path(), hasher)?;
            }
        }
    } else {
        // What is not there counts too: its coming must be noticed.
        let bytes = std::fs::read(path).unwrap_or_default();
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    Ok(())
}
