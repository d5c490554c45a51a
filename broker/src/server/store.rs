//! What the broker keeps, in a file: one table of keys and values, one with the version of their format.
//!
//! The library panics on some damage. So each call of it that opens, reads or closes is [`guarded`].

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;

use bytes::Bytes;
use redb::{Builder, Database, DatabaseError, Durability, ReadableTable, StorageError, TableDefinition};

use crate::core::{FORMAT, Kept, Unreadable};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("kept");

/// The version of the format under an empty name. Files of version 1 may have none.
const ABOUT: TableDefinition<'_, &str, u32> = TableDefinition::new("about");

const FILE: &str = "pulsewire-broker.redb";

/// Bytes of the file that are held in memory, beside what the broker itself holds of it.
const CACHE: usize = 16 << 20;

/// Why a broker cannot go on with what is kept in a folder. It is inside the [`io::Error`] of
/// [`Server::bind`](super::Server::bind).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataError {
    /// Folder or file cannot be made, opened, read or written.
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Another broker has it open.
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// What is in it is not what a broker wrote.
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// How that shows.
        why: String,
    },
    /// Another version of pulsewire wrote it.
    OtherVersion {
        /// The folder.
        folder: PathBuf,
        /// The version of its format.
        found: u32,
    },
}

impl std::fmt::Display for DataError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unusable { folder, why } => {
                write!(f, "the data folder {} cannot be used: {why}", folder.display())
            }
            Self::InUse { folder } => {
                write!(f, "the data folder {} is in use by another broker", folder.display())
            }
            Self::Damaged { folder, why } => {
                let folder = folder.display();
                write!(f, "the data in {folder} is damaged: {why}; deleting {folder} begins anew")
            }
            Self::OtherVersion { folder, found } => {
                let folder = folder.display();
                write!(
                    f,
                    "the data in {folder} has version {found} of the format, and this broker reads {FORMAT}; \
                     deleting {folder} begins anew"
                )
            }
        }
    }
}

impl std::error::Error for DataError {}

impl From<DataError> for io::Error {
    fn from(error: DataError) -> Self {
        let kind = match error {
            DataError::Unusable { .. } => io::ErrorKind::Other,
            DataError::InUse { .. } => io::ErrorKind::ResourceBusy,
            DataError::Damaged { .. } | DataError::OtherVersion { .. } => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// What went wrong, before it is known where.
enum Wrong {
    InUse,
    Version(u32),
    Damage(String),
    System(io::Error),
}

impl Wrong {
    fn at(self, folder: &Path) -> io::Error {
        let folder = folder.to_owned();
        match self {
            Self::InUse => DataError::InUse { folder }.into(),
            Self::Version(found) => DataError::OtherVersion { folder, found }.into(),
            Self::Damage(why) => DataError::Damaged { folder, why }.into(),
            Self::System(error) => {
                // The folder is what is wrong with the configuration then, not its form.
                let kind = match error.kind() {
                    io::ErrorKind::InvalidInput => io::ErrorKind::Other,
                    kind => kind,
                };
                io::Error::new(kind, DataError::Unusable { folder, why: error.to_string() })
            }
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Wrong {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            redb::Error::Io(error) => match error.kind() {
                io::ErrorKind::InvalidData => Self::Damage("the file is not one of a broker".to_owned()),
                io::ErrorKind::UnexpectedEof => Self::Damage("the file ends too early".to_owned()),
                _ => Self::System(error),
            },
            redb::Error::PreviousIo => Self::System(io::Error::other("an earlier write failed")),
            error => Self::Damage(error.to_string()),
        }
    }
}

impl From<Unreadable> for Wrong {
    fn from(error: Unreadable) -> Self {
        Self::Damage(error.to_string())
    }
}

/// Calls the library; its panics are damage, of which nothing is printed.
fn guarded<T>(call: impl FnOnce() -> Result<T, Wrong>) -> Result<T, Wrong> {
    thread_local! {
        static SILENT: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !SILENT.get() {
                others(panic);
            }
        }));
    });
    let before = SILENT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    SILENT.set(before);
    result.unwrap_or_else(|_| Err(Wrong::Damage("it is not as the broker wrote it".to_owned())))
}

/// The file that a broker keeps its state in.
pub(super) struct Store {
    /// `None` when it is closed.
    database: Option<Database>,
    folder: PathBuf,
    sync: bool,
}

impl Drop for Store {
    fn drop(&mut self) {
        // The library writes when it closes.
        let database = self.database.take();
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

impl Store {
    /// Opens the file in that folder; makes both if they are not there.
    pub(super) fn open(folder: &Path, sync: bool) -> io::Result<Self> {
        let database = std::fs::create_dir_all(folder)
            .map_err(Wrong::System)
            .and_then(|()| guarded(|| open(&folder.join(FILE))))
            .map_err(|wrong| wrong.at(folder))?;
        let store = Self { database: Some(database), folder: folder.to_owned(), sync };
        guarded(|| store.check_version()).map_err(|wrong| wrong.at(folder))?;
        Ok(store)
    }

    fn database(&self) -> Result<&Database, Wrong> {
        self.database.as_ref().ok_or_else(|| Wrong::Damage("it is closed".to_owned()))
    }

    /// The version is that of this broker, or it is from before there was one, or new.
    fn check_version(&self) -> Result<(), Wrong> {
        let database = self.database()?;
        let found = match database.begin_read()?.open_table(ABOUT) {
            Ok(table) => table.get("")?.map(|version| version.value()),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let found = match (found, database.begin_read()?.open_table(TABLE)) {
            (Some(found), _) => found,
            (None, Ok(_)) => 1,
            (None, Err(redb::TableError::TableDoesNotExist(_))) => {
                let write = database.begin_write()?;
                write.open_table(ABOUT)?.insert("", FORMAT)?;
                return Ok(write.commit()?);
            }
            (None, Err(error)) => return Err(error.into()),
        };
        match found {
            FORMAT => Ok(()),
            found => Err(Wrong::Version(found)),
        }
    }

    /// Gives all that is kept to `restore`, in the order of keys, and what comes of it.
    pub(super) fn read<T>(
        &self,
        restore: impl FnOnce(&mut dyn Iterator<Item = (Vec<u8>, Bytes)>) -> Result<T, Unreadable>,
    ) -> io::Result<T> {
        let read = || {
            let table = match self.database()?.begin_read()?.open_table(TABLE) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(restore(&mut std::iter::empty())?),
                Err(error) => return Err(error.into()),
            };
            // What cannot be read ends it, and is told then.
            let mut failed = None;
            let mut pairs = table.iter()?.map_while(|pair| match pair {
                Ok((key, value)) => Some((key.value().to_vec(), Bytes::copy_from_slice(value.value()))),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            });
            let restored = restore(&mut pairs);
            drop(pairs);
            match failed {
                Some(error) => Err(error.into()),
                None => Ok(restored?),
            }
        };
        guarded(read).map_err(|wrong| wrong.at(&self.folder))
    }

    /// Writes changes. They are in the system's hands then: the end of this process does not lose
    /// them; with `sync` also not the end of the machine.
    pub(super) fn write(&mut self, changes: &[Kept]) -> io::Result<()> {
        guarded(|| self.put(changes)).map_err(|wrong| wrong.at(&self.folder))
    }

    fn put(&self, changes: &[Kept]) -> Result<(), Wrong> {
        let mut write = self.database()?.begin_write()?;
        write.set_durability(if self.sync { Durability::Immediate } else { Durability::Eventual });
        {
            let mut table = write.open_table(TABLE)?;
            for change in changes {
                match change {
                    Kept::Put(key, value) => {
                        table.insert(key.as_slice(), value.as_ref())?;
                    }
                    Kept::Remove(from, to) => {
                        table.retain_in(from.as_slice()..to.as_slice(), |_, _| false)?;
                    }
                }
            }
        }
        Ok(write.commit()?)
    }
}

/// Opens the file, and looks over all of it: what follows trusts what it reads there.
fn open(file: &Path) -> Result<Database, Wrong> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    match std::fs::metadata(file) {
        Ok(there) if there.len() == 0 => return Err(Wrong::Damage("the file is empty".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(builder.create(file)?),
        Err(error) => return Err(Wrong::System(error)),
    }
    let mut database = builder.open(file)?;
    match database.check_integrity() {
        // Repaired is what was not finished when a broker was killed.
        Ok(_) => Ok(database),
        Err(DatabaseError::Storage(StorageError::Corrupted(_))) => {
            Err(Wrong::Damage("its checksums do not fit".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("pulsewire-store-{name}-{}", std::process::id()));
            drop(std::fs::remove_dir_all(&folder));
            Self(folder)
        }

        /// With a megabyte in it.
        fn filled(name: &str) -> Self {
            let folder = Self::new(name);
            let value = |n: u32| Bytes::from(n.to_be_bytes().repeat(250));
            let put = |n: u32| Kept::Put(n.to_be_bytes().to_vec(), value(n));
            Store::open(&folder.0, false).unwrap().write(&(0..1000).map(put).collect::<Vec<_>>()).unwrap();
            folder
        }

        fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
            let mut bytes = std::fs::read(self.0.join(FILE)).unwrap();
            change(&mut bytes);
            std::fs::write(self.0.join(FILE), bytes).unwrap();
        }

        fn read(&self) -> io::Result<usize> {
            Store::open(&self.0, false)?.read(|kept| Ok(kept.count()))
        }

        /// What is wrong, which names the folder.
        fn wrong(&self) -> (DataError, String) {
            let error = self.read().unwrap_err();
            let text = error.to_string();
            assert!(text.contains(self.0.to_str().unwrap()) && !text.ends_with('.'), "{text}");
            (error.get_ref().unwrap().downcast_ref::<DataError>().unwrap().clone(), text)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn damage_is_told_and_does_not_panic() {
        let folder = Folder::filled("damage");
        assert_eq!(folder.read().unwrap(), 1000);
        let good = std::fs::read(folder.0.join(FILE)).unwrap();
        let told = |what: &str| {
            let (error, text) = folder.wrong();
            assert!(matches!(error, DataError::Damaged { .. }), "{what}: {error:?}");
            assert!(text.contains("is damaged: ") && text.contains("begins anew"), "{what}: {text}");
        };
        for part in 0..8 {
            folder.change(|bytes| bytes.truncate(good.len() * part / 8));
            told(&format!("cut to {part} of 8"));
            folder.change(|bytes| bytes.clone_from(&good));
        }
        folder.change(|bytes| bytes[..512].fill(7));
        told("another file");
        // Wherever it is, it is found, unless nothing is there.
        let mut found = 0;
        for start in (4096..good.len()).step_by(64 << 10) {
            folder.change(|bytes| {
                bytes.clone_from(&good);
                let end = good.len().min(start + (64 << 10));
                let mut seed = start as u32 | 1;
                for byte in &mut bytes[start..end] {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *byte = (seed >> 24) as u8;
                }
            });
            if let Ok(count) = folder.read() {
                assert_eq!(count, 1000);
            } else {
                found += 1;
                told(&format!("noise at {start}"));
            }
        }
        assert!(found > 10, "{found}");
    }

    #[test]
    fn one_bit_of_a_value_is_missed() {
        let folder = Folder::filled("bit");
        folder.change(|bytes| {
            let value = 500u32.to_be_bytes().repeat(250);
            let at = bytes.windows(value.len()).position(|bytes| bytes == value).unwrap();
            bytes[at + 500] ^= 1;
        });
        assert!(folder.wrong().1.contains("checksums"));
    }

    #[test]
    fn the_version_of_the_format_is_looked_at() {
        let folder = Folder::filled("version");
        let change = |to: Option<u32>| {
            let database = Database::open(folder.0.join(FILE)).unwrap();
            let write = database.begin_write().unwrap();
            match to {
                Some(version) => drop(write.open_table(ABOUT).unwrap().insert("", version).unwrap()),
                None => assert!(write.delete_table(ABOUT).unwrap()),
            }
            write.commit().unwrap();
        };
        change(Some(FORMAT + 1));
        let (error, text) = folder.wrong();
        assert_eq!(error, DataError::OtherVersion { folder: folder.0.clone(), found: FORMAT + 1 });
        assert!(text.contains("has version 2") && text.contains("begins anew"), "{text}");
        // As it was before there was one.
        change(None);
        assert_eq!(folder.read().unwrap(), 1000);
    }

    #[test]
    fn one_broker_at_a_time() {
        let folder = Folder::filled("twice");
        let open = Store::open(&folder.0, false).unwrap();
        assert_eq!(folder.wrong().0, DataError::InUse { folder: folder.0.clone() });
        drop(open);
        assert_eq!(folder.read().unwrap(), 1000);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let folder = Folder::new("unusable");
        std::fs::write(&folder.0, "a file").unwrap();
        let below = Folder(folder.0.join("below"));
        assert!(matches!(below.wrong().0, DataError::Unusable { .. }));
        std::fs::remove_file(&folder.0).unwrap();
    }
}
