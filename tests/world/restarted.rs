//! Brokers that a scenario may kill and start again, on the same ports and with the same data: a Pulsar and the embedded
//! one. Over HTTP: `PUT /start` starts one that does not run yet, `PUT /restart` kills it and starts it again; the
//! answer comes when it can be used.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pulsewire_broker::server::{DataConfig, Server, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::{Result, any};

/// The first argument of a process that is the embedded broker.
pub(crate) const EMBEDDED: &str = "--embedded";
/// It may take so long until it can be used.
const READY: Duration = Duration::from_secs(50);

/// Where one is, once it runs.
pub(crate) struct Restarted {
    pub(crate) url: String,
    pub(crate) admin: String,
    pub(crate) http: SocketAddr,
}

/// Prepares one; with the home of a distribution a Pulsar, without it the embedded broker.
pub(crate) async fn prepare(home: Option<PathBuf>) -> Result<Restarted> {
    let [broker, web, books] = ports()?;
    let name = if home.is_some() { "pulsar" } else { "embedded" };
    let dir = std::env::temp_dir().join(format!("pulsewire-world-{}-{name}", std::process::id()));
    let door = TcpListener::bind(any()).await?;
    let http = door.local_addr()?;
    tokio::spawn(serve(door, Broker { process: None, home, broker, web, books, dir: Dir(dir) }));
    Ok(Restarted { url: format!("pulsar://localhost:{broker}"), admin: format!("127.0.0.1:{web}"), http })
}

struct Broker {
    process: Option<Child>,
    home: Option<PathBuf>,
    broker: u16,
    web: u16,
    books: u16,
    // Dropped last.
    dir: Dir,
}

/// Removed when all is over.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One request after another.
async fn serve(door: TcpListener, mut broker: Broker) {
    while let Ok((mut socket, _)) = door.accept().await {
        let mut request = Vec::new();
        while !request.windows(4).any(|four| four == b"\r\n\r\n") {
            match socket.read_buf(&mut request).await {
                Ok(n) if n > 0 && request.len() < 16 * 1024 => {}
                _ => break,
            }
        }
        let again = request.starts_with(b"PUT /restart ");
        let (status, body) = match broker.start(again).await {
            Ok(()) => ("200 OK", String::new()),
            Err(error) => ("500 Internal Server Error", error.to_string()),
        };
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}", body.len());
        let _ = socket.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
    }
}

impl Broker {
    async fn start(&mut self, again: bool) -> std::result::Result<(), String> {
        if self.process.is_some() && !again {
            return Ok(());
        }
        if let Some(mut running) = self.process.take() {
            running.kill().await.map_err(|e| e.to_string())?;
        }
        self.process = Some(self.launch().map_err(|e| e.to_string())?);
        let host = format!("127.0.0.1:{}", self.web);
        let healthy = async {
            loop {
                let answer =
                    pulsewire_tests::admin::call("GET", &host, "/admin/v2/brokers/health", None).await;
                if answer.is_ok_and(|answer| answer.status == 200) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(READY, healthy).await.map_err(|_| format!("it was not ready in {READY:?}"))
    }

    fn launch(&self) -> Result<Child> {
        let dir = &self.dir.0;
        std::fs::create_dir_all(dir)?;
        let out = std::fs::File::options().create(true).append(true).open(dir.join("output.log"))?;
        // Where the system can, it also ends when we are killed.
        let mut command = Command::new("sh");
        let run =
            r#"command -v setpriv >/dev/null && exec setpriv --pdeathsig KILL -- "$0" "$@"; exec "$0" "$@""#;
        command.args(["-c", run]);
        if let Some(home) = &self.home {
            configure(home, dir, self.broker, self.web)?;
            command.arg(home.join("bin/pulsar")).args(["standalone", "-nfw", "-nss", "--metadata-dir"]);
            command.arg(dir.join("meta")).arg("--bookkeeper-dir").arg(dir.join("books"));
            command.args(["--bookkeeper-port", &self.books.to_string()]);
            command.env("PULSAR_STANDALONE_CONF", dir.join("standalone.conf"));
            command.env("PULSAR_LOG_DIR", dir.join("logs")).env("PULSAR_LOG_APPENDER", "Console");
            command.env("PULSAR_MEM", "-Xms128m -Xmx512m -XX:MaxDirectMemorySize=512m");
            command.env("PULSAR_GC", "-XX:+UseSerialGC").env("PULSAR_GC_LOG", " ");
            command.env("PULSAR_EXTRA_OPTS", format!("-Djava.io.tmpdir={}", dir.display()));
        } else {
            command.arg(std::env::current_exe()?).arg(EMBEDDED).arg(dir.join("data"));
            command.args([self.broker, self.web].map(|port| port.to_string()));
        }
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).kill_on_drop(true);
        Ok(command.spawn()?)
    }
}

/// The embedded broker as a process: a folder and two ports.
pub(crate) async fn embedded(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let mut next = || arguments.next().ok_or("an argument is missing");
    let folder = PathBuf::from(next()?);
    let [listen, admin] = [next()?, next()?].map(|port| format!("127.0.0.1:{port}").parse());
    let server = Server::bind(ServerConfig {
        listen: listen?,
        admin_listen: Some(admin?),
        // Its end is not the machine's.
        data: Some(DataConfig { folder, sync: false }),
        ..ServerConfig::default()
    });
    Ok(server.await?.run(std::future::pending()).await?)
}

fn configure(home: &Path, dir: &Path, broker: u16, web: u16) -> Result<()> {
    let ports = [("brokerServicePort", broker.to_string()), ("webServicePort", web.to_string())];
    let settings = [
        ("clusterName", "standalone"),
        ("bindAddress", "127.0.0.1"),
        ("advertisedAddress", "localhost"),
        ("loadBalancerEnabled", "false"),
        ("brokerDeleteInactiveTopicsEnabled", "false"),
        ("diskUsageThreshold", "0.99"),
        ("diskUsageWarnThreshold", "0.98"),
        ("exposingBrokerEntryMetadataToClientEnabled", "true"),
        (
            "brokerEntryMetadataInterceptors",
            "org.apache.pulsar.common.intercept.AppendBrokerTimestampMetadataInterceptor,\
             org.apache.pulsar.common.intercept.AppendIndexMetadataInterceptor",
        ),
    ];
    let settings = settings.map(|(name, value)| (name, value.to_owned()));
    let settings: BTreeMap<&str, String> = settings.into_iter().chain(ports).collect();
    let text = std::fs::read_to_string(home.join("conf/standalone.conf"))?;
    let key = |line: &&str| line.split('=').next().unwrap_or("").trim().to_owned();
    let others = text.lines().filter(|line| !settings.contains_key(key(line).as_str()));
    let mut lines: Vec<String> = others.map(str::to_owned).collect();
    lines.extend(settings.iter().map(|(key, value)| format!("{key}={value}")));
    std::fs::write(dir.join("standalone.conf"), lines.join("\n") + "\n")?;
    Ok(())
}

/// Free ports, all different.
fn ports() -> Result<[u16; 3]> {
    let sockets = [(); 3].map(|()| std::net::TcpListener::bind(any()));
    let mut ports = [0; 3];
    for (port, socket) in ports.iter_mut().zip(&sockets) {
        *port = socket.as_ref().map_err(ToString::to_string)?.local_addr()?.port();
    }
    Ok(ports)
}
