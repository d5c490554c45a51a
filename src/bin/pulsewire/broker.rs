//! `pulsewire broker`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use pulsewire_broker::server::{DataConfig, TlsConfig};
use pulsewire_broker::{BrokerConfig, Server, ServerConfig};

use crate::connect::unreadable;
use crate::failure::{Ended, Failure};
use crate::interrupt::Interrupts;
use crate::output::say;
use crate::ports;

const AFTER_HELP: &str = "\
Examples:
  pulsewire broker
  pulsewire broker --port 0 --admin-port 0
  pulsewire broker --tls-port 6651 --tls-cert cert.pem --tls-key key.pem
  pulsewire broker --data ./data

It keeps everything in memory unless --data is given, and has no authentication: it is for development and
tests on one machine.
When it listens it prints its addresses on stdout. SIGINT and SIGTERM end it with 0.";

/// Run the embedded development broker.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The port for pulsar://; 0 takes a free one
    #[arg(long, default_value_t = 6650)]
    port: u16,
    /// The port for admin calls over HTTP; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    admin_port: u16,
    /// The port for pulsar+ssl://; 0 takes a free one. Without it there is none
    #[arg(long, requires_all = ["tls_cert", "tls_key"])]
    tls_port: Option<u16>,
    /// The certificate chain for it (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_port")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_port")]
    tls_key: Option<PathBuf>,
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The host that clients are told to use. Default: localhost, or the address of --listen where that
    /// is no loopback one
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Keep topics, subscriptions, schemas and settings in this folder. Without it they end with the broker
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer only when the disk has it: what was answered survives the end of the machine too
    #[arg(long, requires = "data")]
    sync: bool,
    /// Partitions of topics that come into being when they are first used; 0 makes them without
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    partitions: u32,
    /// Do not make topics when they are first used
    #[arg(long)]
    no_auto_create: bool,
    /// Drop messages whose sequence id was stored before
    #[arg(long)]
    deduplication: bool,
    /// Mebibytes of messages held in memory; then consumed ones go, and producers are refused
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: usize,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Ended, Failure> {
    let mut interrupts = Interrupts::new()?;
    let server = arguments.bind().await?;
    let host = host(arguments.advertise.as_deref(), arguments.listen);
    if let Some(admin) = server.admin_addr() {
        say(&format!("admin   http://{host}:{}", admin.port()));
    }
    if let Some(tls) = server.tls_addr() {
        say(&format!("tls     pulsar+ssl://{host}:{}", tls.port()));
    }
    say(&format!("broker  {}", server.service_url()));
    server.run(interrupts.next()).await;
    Ok(Ended::Done)
}

/// What clients call a listener on this address.
fn host(advertised: Option<&str>, listen: IpAddr) -> String {
    match (advertised, listen) {
        (Some(host), _) => host.to_owned(),
        (None, listen) if listen.is_loopback() || listen.is_unspecified() => "localhost".to_owned(),
        (None, IpAddr::V4(listen)) => listen.to_string(),
        (None, IpAddr::V6(listen)) => format!("[{listen}]"),
    }
}

impl Arguments {
    async fn bind(&self) -> Result<Server, Failure> {
        let read = |file: &Option<PathBuf>| match file {
            Some(file) => std::fs::read(file).map_err(|error| unreadable(file, &error)),
            None => Ok(Vec::new()),
        };
        let tls = match self.tls_port {
            None => None,
            Some(port) => Some(TlsConfig {
                listen: SocketAddr::new(self.listen, port),
                cert_pem: read(&self.tls_cert)?,
                key_pem: read(&self.tls_key)?,
            }),
        };
        if let Some(tls) = &tls {
            ports::check(tls.listen, "--tls-port")?;
        }
        let config = ServerConfig {
            listen: SocketAddr::new(self.listen, self.port),
            admin_listen: Some(SocketAddr::new(self.listen, self.admin_port)),
            tls,
            advertised_host: host(self.advertise.as_deref(), self.listen),
            data: self.data.clone().map(|folder| DataConfig { folder, sync: self.sync }),
            broker: BrokerConfig {
                auto_create_topics: !self.no_auto_create,
                default_partitions: self.partitions,
                deduplication: self.deduplication,
                max_stored_bytes: self.memory.saturating_mul(1 << 20),
                ..BrokerConfig::default()
            },
            ..ServerConfig::default()
        };
        bind(config).await
    }
}

/// Binds a broker, and says what cannot be had.
pub(crate) async fn bind(config: ServerConfig) -> Result<Server, Failure> {
    ports::check(config.listen, "--port")?;
    if let Some(admin) = config.admin_listen {
        ports::check(admin, "--admin-port")?;
    }
    Server::bind(config).await.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Failure::usage(format!("{error}.")),
        _ => Failure::failed(format!("the broker cannot listen: {error}.")),
    })
}
