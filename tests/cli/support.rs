//! Real processes of the binary, and a broker for them.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes that goes well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The binary, untouched by the environment of whoever runs the tests.
pub(crate) fn pulsewire(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulsewire"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["RUST_LOG", "PULSEWIRE_URL", "PULSEWIRE_TOKEN"] {
        command.env_remove(variable);
    }
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// It went well, and there was nothing to say.
    #[track_caller]
    pub(crate) fn quiet_success(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self
    }

    /// It failed with one sentence or two for people.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {:?}", self.stderr);
        }
        for dump in ["panicked", "Error {", "backtrace", "Kind::", "Err("] {
            assert!(!self.stderr.contains(dump), "{:?}", self.stderr);
        }
        self
    }
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    Ran::new(pulsewire(arguments).output().expect("the binary starts"))
}

/// Runs a command with this on its stdin.
pub(crate) fn run_with(arguments: &[&str], stdin: &[u8]) -> Ran {
    let mut process = Process::start(arguments);
    // It may have seen enough before the end.
    let _ = process.stdin.as_mut().expect("open").write_all(stdin);
    process.end_input();
    process.end()
}

/// A command that runs.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Option<thread::JoinHandle<String>>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// The same with more variables in its environment.
    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = pulsewire(arguments);
        command.envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("piped");
        let mut errors = child.stderr.take().expect("piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines, seen: Vec::new(), stderr: Some(stderr) }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().expect("open").write_all(bytes).expect("it reads");
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of its stdout.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line in time");
        self.seen.push(line.clone());
        line
    }

    /// The first line of its stdout that begins so; what follows the word.
    #[track_caller]
    pub(crate) fn said(&mut self, word: &str) -> String {
        loop {
            let line = self.line();
            if let Some(rest) = line.trim_start().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).expect("it is there");
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < until, "it does not end; it said {:?}", self.seen);
            thread::sleep(Duration::from_millis(5));
        };
        let stderr = self.stderr.take().and_then(|it| it.join().ok()).unwrap_or_default();
        let mut lines = std::mem::take(&mut self.seen);
        lines.extend(self.lines.iter());
        let stdout = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        Ran { code: status.code(), stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `pulsewire broker` on free ports.
pub(crate) struct Broker {
    pub(crate) process: Process,
    pub(crate) url: String,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let mut process = Process::start(&["broker", "--port", "0", "--admin-port", "0"]);
        let url = process.said("broker");
        Self { process, url }
    }

    pub(crate) fn produce(&self, arguments: &[&str]) -> Ran {
        run(&[&["produce", "--url", &self.url], arguments].concat())
    }

    pub(crate) fn consume(&self, arguments: &[&str]) -> Ran {
        run(&[&["consume", "--url", &self.url, "-s", "test"], arguments].concat())
    }
}

/// A file that goes away with it.
pub(crate) struct Scratch(pub(crate) std::path::PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str, content: &[u8]) -> Self {
        let path =
            std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a directory");
        }
        std::fs::write(&path, content).expect("a file");
        Self(path)
    }

    /// A folder, not made yet.
    pub(crate) fn folder(name: &str) -> Self {
        let scratch = Self::new(name, b"");
        std::fs::remove_file(&scratch.0).expect("it was made");
        scratch
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
