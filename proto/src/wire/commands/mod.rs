//! Every command of the protocol and every field of it, written down from the facts of the
//! definition of record (names, numbers, types) and checked against it in `tests/golden.rs`.

pub(super) mod base;
pub(super) mod common;
pub(super) mod consuming;
pub(super) mod metadata;
pub(super) mod producing;
pub(super) mod scalable;
pub(super) mod schemas;
pub(super) mod session;
pub(super) mod topics;
pub(super) mod transactions;
