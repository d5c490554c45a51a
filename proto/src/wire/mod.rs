//! Bytes <-> values: frames, commands, metadata, batches.
//!
//! Everything on the wire is described here and nowhere else; the embedded broker uses the same
//! definitions, which the golden vectors hold to those of the Java client.

pub mod batch;
mod checksum;
pub(crate) mod codec;
mod commands;
pub mod entry;
mod error;
pub mod frame;
pub mod hot;
mod message;

pub use checksum::crc32c;
pub use commands::base::{Command, command_number};
pub(crate) use commands::base::{Outbound, locate, read_body};
pub use commands::common::*;
pub use commands::consuming::*;
pub use commands::metadata::*;
pub use commands::producing::*;
pub use commands::scalable::*;
pub use commands::schemas::*;
pub use commands::session::*;
pub use commands::topics::*;
pub use commands::transactions::*;
pub use error::DecodeError;
pub use message::FieldInfo;

/// The protocol version that is spoken here.
pub const PROTOCOL_VERSION: i32 = 21;

/// The largest message that a broker takes unless it says otherwise in CONNECTED: 5 MiB.
pub const DEFAULT_MAX_MESSAGE_SIZE: usize = 5 * 1024 * 1024;

/// What a frame may be larger than the largest message: 10 KiB, as in Java's `Commands`.
pub const FRAME_OVERHEAD: usize = 10 * 1024;
