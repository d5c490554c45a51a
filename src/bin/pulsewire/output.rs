//! stdout, without holding up the client when who reads it is slow.

use std::io::{self, ErrorKind, Write as _};

use tokio::io::AsyncWriteExt as _;

/// Gathers output and writes it in the background of the client's driver.
pub(crate) struct Output {
    stdout: tokio::io::Stdout,
    pub(crate) buffer: Vec<u8>,
    /// Whoever read it has gone.
    gone: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { stdout: tokio::io::stdout(), buffer: Vec::new(), gone: false }
    }

    /// Writes what is gathered; `false` when nobody reads it any more.
    pub(crate) async fn flush(&mut self) -> io::Result<bool> {
        if !self.gone && !self.buffer.is_empty() {
            let written = match self.stdout.write_all(&self.buffer).await {
                Ok(()) => self.stdout.flush().await,
                failed => failed,
            };
            match written {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.gone = true,
                other => other?,
            }
        }
        self.buffer.clear();
        Ok(!self.gone)
    }
}

/// Writes a line for whoever started us, at once. That nobody reads it is no failure of a server.
pub(crate) fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// Ends when stdout is a pipe and its reader has gone: without that, `consume --follow | head` would
/// stay until the next message.
#[cfg(unix)]
pub(crate) async fn reader_gone() {
    use std::os::fd::AsFd as _;
    use tokio::io::Interest;
    use tokio::net::unix::pipe::Sender;

    let watched = io::stdout().as_fd().try_clone_to_owned().and_then(|fd| {
        // Unchecked: it is only watched, and so need not be made non-blocking for all who share it.
        Sender::from_owned_fd_unchecked(fd)
    });
    // Of files and such there is nothing to watch.
    if let Ok(pipe) = watched {
        while let Ok(ready) = pipe.ready(Interest::ERROR).await {
            if ready.is_error() || ready.is_write_closed() {
                return;
            }
        }
    }
    std::future::pending().await
}

#[cfg(not(unix))]
pub(crate) async fn reader_gone() {
    std::future::pending().await
}
