//! First byte of a key: what it is. They are read in this order.

pub(in crate::core) const RUN: u8 = b'0';
pub(in crate::core) const TENANT: u8 = b'1';
pub(in crate::core) const NAMESPACE: u8 = b'2';
pub(in crate::core) const PARTITIONED: u8 = b'3';
pub(in crate::core) const SETTINGS: u8 = b'4';
pub(in crate::core) const SCHEMAS: u8 = b'5';
pub(in crate::core) const TOPIC: u8 = b'6';
pub(in crate::core) const ENTRY: u8 = b'7';
pub(in crate::core) const COMPACTED: u8 = b'8';
pub(in crate::core) const SEQUENCES: u8 = b'9';
pub(in crate::core) const SUBSCRIPTION: u8 = b'A';
pub(in crate::core) const CLUSTER: u8 = b'C';
pub(in crate::core) const NOTED: u8 = b'N';
pub(in crate::core) const GRANTS: u8 = b'a';
pub(in crate::core) const ADMINS: u8 = b'b';
pub(in crate::core) const COORDINATOR: u8 = b'T';
pub(in crate::core) const TRANSACTION: u8 = b'U';
pub(in crate::core) const PENDING: u8 = b'V';
