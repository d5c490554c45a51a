//! Why bytes could not be read.

use std::fmt;

/// Why bytes could not be read. The peer broke the protocol; a retry on the same bytes cannot help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A value ends after its container.
    Truncated,
    /// A number is longer than ten bytes, or too large for its field.
    Varint,
    /// A field does not have the wire type of its definition.
    WireType,
    /// A string is not UTF-8.
    Utf8,
    /// Messages nest deeper than the protocol has reason to.
    TooDeep,
    /// A required field is missing.
    MissingField {
        /// Its number.
        number: u32,
    },
    /// A frame is larger than was agreed.
    FrameTooLarge {
        /// The size that it claims, in bytes.
        size: usize,
        /// The largest size agreed, in bytes.
        limit: usize,
    },
    /// The sizes within a frame contradict each other.
    FrameSizes,
    /// A message of a batch reaches beyond the batch.
    BatchSizes,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("a value is cut off"),
            Self::Varint => f.write_str("a number is too long"),
            Self::WireType => f.write_str("a field has the wrong wire type"),
            Self::Utf8 => f.write_str("a string is not UTF-8"),
            Self::TooDeep => f.write_str("messages are nested too deep"),
            Self::MissingField { number } => write!(f, "required field {number} is missing"),
            Self::FrameTooLarge { size, limit } => {
                write!(f, "a frame of {size} bytes is larger than the {limit} agreed")
            }
            Self::FrameSizes => f.write_str("the sizes within a frame contradict each other"),
            Self::BatchSizes => f.write_str("a message of a batch reaches beyond it"),
        }
    }
}

impl std::error::Error for DecodeError {}
