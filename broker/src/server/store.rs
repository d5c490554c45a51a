//! What the broker keeps, in a file: one table of keys and values.

use std::io;
use std::path::Path;

use bytes::Bytes;
use redb::{Database, Durability, ReadableTable, TableDefinition};

use crate::core::Kept;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("kept");

/// The file that a broker keeps its state in.
pub(super) struct Store {
    database: Database,
    sync: bool,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

impl Store {
    /// Opens the file in that folder; makes both if they are not there.
    pub(super) fn open(folder: &Path, sync: bool) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let database = Database::create(folder.join("pulsewire-broker.redb")).map_err(failed)?;
        Ok(Self { database, sync })
    }

    /// All that is kept, in the order of keys.
    pub(super) fn read(&self) -> io::Result<Vec<(Vec<u8>, Bytes)>> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = match read.open_table(TABLE) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut all = Vec::new();
        for pair in table.iter().map_err(failed)? {
            let (key, value) = pair.map_err(failed)?;
            all.push((key.value().to_vec(), Bytes::copy_from_slice(value.value())));
        }
        Ok(all)
    }

    /// Writes changes. They are in the system's hands then: the end of this process does not lose
    /// them; with `sync` also not the end of the machine.
    pub(super) fn write(&mut self, changes: &[Kept]) -> io::Result<()> {
        let mut write = self.database.begin_write().map_err(failed)?;
        write.set_durability(if self.sync { Durability::Immediate } else { Durability::Eventual });
        {
            let mut table = write.open_table(TABLE).map_err(failed)?;
            for change in changes {
                match change {
                    Kept::Put(key, value) => {
                        table.insert(key.as_slice(), value.as_ref()).map_err(failed)?;
                    }
                    Kept::Remove(from, to) => {
                        table.retain_in(from.as_slice()..to.as_slice(), |_, _| false).map_err(failed)?;
                    }
                }
            }
        }
        write.commit().map_err(failed)
    }
}
