//! The processes that are measured, and clients of them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The variable that makes this program an upstream: `echo` or `silent`.
pub(crate) const ROLE: &str = "PULSEWIRE_BENCH_UPSTREAM";

/// An upstream in a process of its own, so that its open files are not ours.
pub(crate) struct Upstream {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Upstream {
    pub(crate) fn start(role: &str) -> Self {
        let own = std::env::current_exe().expect("our own path");
        let mut command = Command::new(own);
        // It ends when its input does: with us.
        let spawned = command.env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its address");
        let addr = line.trim().parse().expect("its address");
        Self { child, addr }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program as an upstream.
pub(crate) fn upstream(role: &str) {
    take_open_files();
    let echoes = role == "echo";
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        std::io::stdout().flush().expect("written");
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.set_nodelay(true);
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(n @ 1..) = tcp.read(&mut buffer).await {
                    if echoes && tcp.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
}

/// As many open files as this process may have, and how many that are.
pub(crate) fn take_open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    most.map_or(usize::MAX, |most| most as usize)
}

/// Seconds of CPU that a process has taken, and those of its children that it has waited for.
pub(crate) fn cpu(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12) + ticks(13) + ticks(14)) / 100.0
}

/// A process that is ended with this.
pub(crate) struct Process {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub(crate) fn spawn(program: &str, arguments: &[String], addr: SocketAddr) -> Option<Self> {
        Self::spawn_with(program, arguments, addr, 2)
    }

    fn spawn_with(program: &str, arguments: &[String], addr: SocketAddr, threads: usize) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.env("RUST_LOG", "error").env("TOKIO_WORKER_THREADS", threads.to_string()).spawn().ok()?;
        Some(Process { child, addr })
    }

    /// Seconds of CPU so far.
    pub(crate) fn cpu(&self) -> f64 {
        // `websockify` forks for each connection.
        let own = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        cpu(own) + children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(cpu).sum::<f64>()
    }

    /// The same of a process of few threads, all of which live as long as it does: to the nanosecond.
    pub(crate) fn cpu_of_threads(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let of = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<f64>().ok()
        };
        tasks.into_iter().flatten().flatten().filter_map(of).sum::<f64>() / 1e9
    }

    pub(crate) fn rss_kib(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0.0)
    }

    pub(crate) async fn listening(&self) {
        for _ in 0..200 {
            if TcpStream::connect(self.addr).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("nobody listens at {}", self.addr);
    }
}

pub(crate) async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

pub(crate) async fn gateway(upstream: SocketAddr, more: &str, extra: &[String]) -> Process {
    gateway_of(&upstream.to_string(), more, extra, 2).await
}

/// A gateway with so many worker threads.
pub(crate) async fn gateway_of(upstream: &str, more: &str, extra: &[String], threads: usize) -> Process {
    let addr = free_port().await;
    let program = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/pulsewire"));
    let config =
        std::env::temp_dir().join(format!("pulsewire-bench-{}-{}.toml", std::process::id(), addr.port()));
    let text = format!(
        "listen = \"{addr}\"\nupstream = \"pulsar://{upstream}\"\nallow_missing_origin = true\n{more}\
         [limits]\nmax_connections = 20000\nmax_connections_per_address = 20000\n"
    );
    std::fs::write(&config, text).expect("written");
    let mut arguments = vec!["gateway".to_owned(), "--config".to_owned(), config.display().to_string()];
    arguments.extend_from_slice(extra);
    let process = Process::spawn_with(&program.display().to_string(), &arguments, addr, threads);
    let process =
        process.expect("target/release/pulsewire: build it with `cargo build --release --features cli`");
    process.listening().await;
    let _ = std::fs::remove_file(config);
    process
}

pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    addr: SocketAddr,
) -> WebSocketStream<S> {
    let config = WebSocketConfig::default().read_buffer_size(256 * 1024).max_frame_size(None);
    let url = format!("ws://{addr}/pulsar");
    client_async_with_config(url, stream, Some(config)).await.expect("upgraded").0
}

pub(crate) async fn connected(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).await.expect("connected");
    tcp.set_nodelay(true).expect("no delay");
    tcp
}
