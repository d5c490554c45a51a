//! Code of the user's own that the client calls: a panic in it ends where it was called.
//!
//! In WebAssembly a panic ends the program, as it does anywhere else there.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pulsewire_proto::{Error, ErrorKind};

/// Calls it; or what it said when it panicked.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    // The user's own state may be halfway, which is the user's to know: the panic is told.
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| words(&*panic))
}

/// The same, as the error of the call that `what` is an argument of.
pub(crate) fn typed<T>(what: &str, call: impl FnOnce() -> T) -> Result<T, Error> {
    guarded(call).map_err(|words| Error::new(ErrorKind::InvalidOption, format!("{what} panicked: {words}")))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
