//! Progress on stderr, when a person sees it.

use std::fmt::Write;
use std::io::{IsTerminal as _, stderr, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A line that tells how far things are; nothing when stderr is not a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `prints`: whether stdout is written to. Where both are the same terminal there is no line then.
    pub(crate) fn new(total: Option<u64>, prints: bool) -> Self {
        if !stderr().is_terminal() || (prints && stdout().is_terminal()) {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let template = match total {
            Some(_) => "{bar:30} {human_pos}/{human_len} {msg} ({rate}, {eta} left)",
            None => "{spinner} {human_pos} {msg} ({rate})",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            let rate = |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{:.0}/s", state.per_sec());
            };
            bar.set_style(style.with_key("rate", rate));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    /// Says what is waited for before the first message.
    pub(crate) fn waiting(what: String) -> Self {
        let progress = Self::new(None, false);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            progress.bar.set_style(style);
        }
        progress.bar.set_message(what);
        progress
    }

    pub(crate) fn set(&self, done: u64, what: &'static str) {
        self.bar.set_position(done);
        self.bar.set_message(what);
    }

    /// Writes a line above the progress.
    pub(crate) fn note(&self, message: &str) {
        self.bar.suspend(|| crate::failure::note(message));
    }

    /// Takes the line away, and says how it ended where a line was.
    pub(crate) fn finish(&self, summary: &str) {
        let shown = !self.bar.is_hidden();
        self.bar.finish_and_clear();
        if shown && !summary.is_empty() {
            eprintln!("{summary}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
