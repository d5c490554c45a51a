//! pulsewire
#![forbid(unsafe_code)]
