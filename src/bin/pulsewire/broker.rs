//! `pulsewire broker`.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pulsewire_broker::auth::{Methods, Passwords, TokenKey, read_key};
use pulsewire_broker::core::names::is_entity;
use pulsewire_broker::core::{Access, AdvertisedListener};
use pulsewire_broker::server::{DataConfig, TlsConfig};
use pulsewire_broker::{BrokerConfig, Server, ServerConfig};

use crate::failure::{Ended, Failure};
use crate::interrupt::Interrupts;
use crate::output::say;
use crate::ports;

const AFTER_HELP: &str = "\
Examples:
  pulsewire broker
  pulsewire broker --port 0 --admin-port 0
  pulsewire broker --tls-port 6651 --tls-cert cert.pem --tls-key key.pem
  pulsewire broker --auth-token-secret-key secret.key --superuser admin
  pulsewire broker --data ./data --sync

It is a development broker for one machine: it keeps everything in memory unless --data is given, and lets \
everybody in unless --auth-... is. Whoever outgrows it runs Apache Pulsar and changes the service URL.

When it listens it prints its addresses on stdout, the one for pulsar:// last. All that is wrong with the \
configuration is told at once, with exit code 2, before it listens. SIGINT and SIGTERM end it with 0.

It logs to stderr, at the level info: RUST_LOG=warn says less, RUST_LOG=debug more, and PULSEWIRE_LOG=json makes \
each line an object.";

/// What is in PEM files, and the end of the line before it.
const CERTIFICATE: (&str, &[u8]) = ("certificate", b"BEGIN CERTIFICATE-----");
const PRIVATE_KEY: (&str, &[u8]) = ("private key", b"PRIVATE KEY-----");

/// Ways to show who one is.
const WAYS: &str = "--auth-token-secret-key, --auth-token-public-key, --auth-basic or --auth-tls";

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
    #[arg(long)]
    tls_port: Option<u16>,
    /// The port for admin calls over HTTPS; 0 takes a free one. Without it there is none
    #[arg(long)]
    tls_admin_port: Option<u16>,
    /// The certificate chain for both (PEM)
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The authorities of certificates that clients may show (PEM)
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Let clients in who show a token (JWT) signed with this secret key: a file, a file: or data: URL, or
    /// base64. The token's subject is the client's role
    #[arg(long, value_name = "KEY")]
    auth_token_secret_key: Option<String>,
    /// The same with a public key, as DER or PEM; tokens are signed by RSA (RS256, ...) or ECDSA (ES256, ...)
    #[arg(long, value_name = "KEY")]
    auth_token_public_key: Option<String>,
    /// Let clients in who show a name and its password: a file of htpasswd (-m), or one as a key is given. The
    /// name is the client's role
    #[arg(long, value_name = "FILE")]
    auth_basic: Option<String>,
    /// Let clients in who show a certificate of --tls-ca; its common name is the client's role
    #[arg(long)]
    auth_tls: bool,
    /// The role of clients that show nothing of that. Without it they are not let in
    #[arg(long, value_name = "ROLE")]
    anonymous_role: Option<String>,
    /// A role that may do everything; may be given several times. With one, others may do only what is granted
    /// to them on a namespace or a topic; without, everybody who is let in may do everything
    #[arg(long = "superuser", value_name = "ROLE")]
    superusers: Vec<String>,
    /// How often credentials are looked at for whether they have expired
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    auth_refresh_check: u64,
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The host that clients are told to use, as they reach it. Default: the address of --listen, or localhost
    /// where that is 127.0.0.1 or all addresses (0.0.0.0, ::)
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Other addresses of the broker, for clients that name one (listenerName) in lookups: NAME:URL,... as
    /// outside:pulsar://broker.example:6650. Who names none is told that of --advertise
    #[arg(long, value_name = "NAME:URL,...")]
    advertised_listeners: Option<String>,
    /// The name of the cluster
    #[arg(long, value_name = "NAME", default_value = "standalone")]
    cluster: String,
    /// Play so many brokers, each with ports of its own (the numbers that follow, or free ones): topics are
    /// spread over them by bundles, and lookups redirect
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    brokers: u16,
    /// Play another broker: the same ports at another address, and the host that clients are told to use for it;
    /// may be given several times
    #[arg(long = "also-at", value_name = "ADDR=HOST", value_parser = another)]
    also_at: Vec<(IpAddr, String)>,
    /// Keep a copy of what is in memory (topics with their messages, subscriptions, schemas, settings) in this
    /// folder. Without it all ends with the broker
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer only when the disk has it: what was answered survives the end of the machine too
    #[arg(long)]
    sync: bool,
    /// Partitions of topics that come into being when they are first used; 0 makes them without
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    partitions: u32,
    /// Do not make topics when they are first used
    #[arg(long)]
    no_auto_create: bool,
    /// Give messages no time and number of the broker's: what is sought or expires by time goes by the producers'
    /// times, as in Apache Pulsar without settings
    #[arg(long)]
    no_entry_metadata: bool,
    /// Divide the keys of key-shared subscriptions by halves of ranges and not by consistent hashing: two
    /// consumers then have a half each, whatever their names are
    #[arg(long)]
    key_shared_ranges: bool,
    /// Refuse transactions
    #[arg(long)]
    no_transactions: bool,
    /// Drop messages whose sequence id was stored before
    #[arg(long)]
    deduplication: bool,
    /// Bytes of the largest message that is taken, as clients are told
    #[arg(long, value_name = "BYTES", default_value_t = 5 << 20)]
    max_message_size: u32,
    /// Mebibytes of messages held in memory, with or without --data; then consumed ones go, and producers are
    /// refused
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: usize,
    /// How often clients that are silent are asked whether they are there; twice in vain, and they are cut
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    keep_alive: u64,
    /// How often old messages and large backlogs are looked for
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    upkeep: u64,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Ended, Failure> {
    let mut interrupts = Interrupts::new()?;
    keep_freed_memory();
    let server = bind(arguments.config()?).await?;
    let mut nodes = server.nodes().into_iter();
    let first = nodes.next().unwrap_or_default();
    for (word, url) in
        [("admin", first.admin_url), ("admin-tls", first.admin_url_tls), ("tls", first.service_url_tls)]
    {
        if let Some(url) = url {
            say(&format!("{word:<9} {url}"));
        }
    }
    for more in nodes {
        let urls = [Some(more.service_url), more.service_url_tls, more.admin_url, more.admin_url_tls];
        say(&format!("more      {}", urls.into_iter().flatten().collect::<Vec<_>>().join(" ")));
    }
    say(&format!("broker    {}", first.service_url));
    server
        .run(interrupts.next())
        .await
        .map_err(|error| Failure::failed(format!("the broker stopped: {error}.")))?;
    Ok(Ended::Done)
}

/// Lets glibc keep up to 48 MB of what is freed: it keeps twice the largest block that it ever saw freed, up to
/// 32 MB of one. Memory that comes and goes with the backlogs of topics would else be taken from the system
/// page by page each time, a tenth of all CPU time under load. Elsewhere it does nothing.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(24 << 20)));
}

/// What clients call a listener on this address.
fn host(advertised: Option<&str>, listen: IpAddr) -> String {
    match (advertised, listen) {
        (Some(host), _) => host.to_owned(),
        (None, listen) if listen.is_unspecified() => "localhost".to_owned(),
        (None, IpAddr::V4(Ipv4Addr::LOCALHOST)) => "localhost".to_owned(),
        (None, IpAddr::V4(listen)) => listen.to_string(),
        (None, IpAddr::V6(listen)) => format!("[{listen}]"),
    }
}

/// Where another broker is.
fn another(text: &str) -> Result<(IpAddr, String), String> {
    let (address, host) = text.split_once('=').ok_or("it must be ADDR=HOST, as 127.0.0.2=broker-2")?;
    let address = address.parse().map_err(|_| format!("{address} is no IP address"))?;
    match host.is_empty() || host.contains(['/', ' ', ':']) {
        true => Err(format!("{host:?} is no host")),
        false => Ok((address, host.to_owned())),
    }
}

impl Arguments {
    /// The configuration, or all that is wrong with it.
    fn config(&self) -> Result<ServerConfig, Failure> {
        let mut wrong = Vec::new();
        let tls = self.tls(&mut wrong);
        let access = self.access(&mut wrong);
        if self.sync && self.data.is_none() {
            wrong.push("--sync: there is no disk without --data".to_owned());
        }
        if let Some(folder) = self.data.as_deref().filter(|folder| folder.exists() && !folder.is_dir()) {
            wrong.push(format!("--data: {} is not a folder", folder.display()));
        }
        for (flag, number) in [
            ("--brokers", u64::from(self.brokers)),
            ("--memory", self.memory as u64),
            ("--max-message-size", u64::from(self.max_message_size)),
            ("--keep-alive", self.keep_alive),
            ("--upkeep", self.upkeep),
            ("--auth-refresh-check", self.auth_refresh_check),
        ] {
            if number == 0 {
                wrong.push(format!("{flag}: it must be above 0"));
            }
        }
        self.check_ports(&mut wrong);
        if self.advertise.as_ref().is_some_and(|host| host.is_empty() || host.contains(['/', ' '])) {
            wrong.push(
                "--advertise: it must be a host, as broker.example, without a scheme or a port".to_owned(),
            );
        }
        let advertised_listeners = self.advertised_listeners(&mut wrong);
        if !is_entity(&self.cluster) {
            wrong.push(format!("--cluster: {:?} must be of letters, digits and -=:._", self.cluster));
        }
        if !wrong.is_empty() {
            return Err(Failure::configuration(&wrong));
        }
        Ok(ServerConfig {
            listen: SocketAddr::new(self.listen, self.port),
            admin_listen: Some(SocketAddr::new(self.listen, self.admin_port)),
            tls,
            brokers: self.brokers,
            others: self.also_at.clone(),
            advertised_host: host(self.advertise.as_deref(), self.listen),
            data: self.data.clone().map(|folder| DataConfig { folder, sync: self.sync }),
            broker: BrokerConfig {
                cluster: self.cluster.clone(),
                advertised_listeners,
                auto_create_topics: !self.no_auto_create,
                default_partitions: self.partitions,
                deduplication: self.deduplication,
                entry_metadata: !self.no_entry_metadata,
                key_shared_by_halves: self.key_shared_ranges,
                transactions: !self.no_transactions,
                max_message_size: self.max_message_size as usize,
                max_stored_bytes: self.memory.saturating_mul(1 << 20),
                keep_alive: Duration::from_secs(self.keep_alive),
                upkeep_interval: Duration::from_secs(self.upkeep),
                access,
                ..BrokerConfig::default()
            },
            ..ServerConfig::default()
        })
    }

    fn advertised_listeners(&self, wrong: &mut Vec<String>) -> Vec<AdvertisedListener> {
        let Some(setting) = &self.advertised_listeners else { return Vec::new() };
        if self.brokers > 1 || !self.also_at.is_empty() {
            wrong.push("--advertised-listeners: they are those of one broker, and there are more".to_owned());
        }
        let listeners = AdvertisedListener::parse(setting);
        listeners.map_err(|error| wrong.push(format!("--advertised-listeners: {error}"))).unwrap_or_default()
    }

    /// Ports that are named, and by which options. Each broker takes as many as there are.
    fn check_ports(&self, wrong: &mut Vec<String>) {
        let ports = [
            ("--port", Some(self.port)),
            ("--admin-port", Some(self.admin_port)),
            ("--tls-port", self.tls_port),
            ("--tls-admin-port", self.tls_admin_port),
        ];
        let named: Vec<(&str, u32)> = ports
            .iter()
            .filter_map(|(flag, port)| Some((*flag, u32::from(port.filter(|port| *port != 0)?))))
            .collect();
        let brokers = u32::from(self.brokers.max(1));
        for (at, (flag, port)) in named.iter().enumerate() {
            if port + brokers - 1 > u32::from(u16::MAX) {
                wrong.push(format!("{flag}: the ports of {brokers} brokers go beyond 65535"));
            }
            for (other, taken) in named.iter().take(at) {
                if port.abs_diff(*taken) < brokers {
                    wrong.push(format!("{flag}: {port} is taken by {other}, with {brokers} of each"));
                }
            }
        }
    }

    fn tls(&self, wrong: &mut Vec<String>) -> Option<TlsConfig> {
        let before = wrong.len();
        let wanted = self.tls_port.is_some() || self.tls_admin_port.is_some();
        let files = [
            ("--tls-cert", &self.tls_cert, wanted, CERTIFICATE),
            ("--tls-key", &self.tls_key, wanted, PRIVATE_KEY),
            ("--tls-ca", &self.tls_ca, false, CERTIFICATE),
        ];
        let [cert_pem, key_pem, ca] = files.map(|(flag, file, needed, what)| match file {
            Some(_) if !wanted => {
                wrong.push(format!("{flag}: it is for nothing without --tls-port"));
                None
            }
            Some(file) => read_pem(flag, file, what, wrong),
            None if needed => {
                wrong.push(format!("{flag}: it is missing, beside --tls-port"));
                None
            }
            None => None,
        });
        if self.tls_admin_port.is_some() && self.tls_port.is_none() {
            wrong.push("--tls-port: it is missing, beside --tls-admin-port".to_owned());
        }
        let tls = TlsConfig {
            listen: SocketAddr::new(self.listen, self.tls_port?),
            admin_listen: self.tls_admin_port.map(|port| SocketAddr::new(self.listen, port)),
            client_ca_pem: ca,
            cert_pem: cert_pem?,
            key_pem: key_pem?,
        };
        if wrong.len() == before
            && let Err(error) = tls.check()
        {
            wrong.push(format!("--tls-cert, --tls-key, --tls-ca: {error}"));
        }
        Some(tls)
    }

    fn access(&self, wrong: &mut Vec<String>) -> Option<Arc<Access>> {
        let mut key = |flag: &str, text: &Option<String>, make: fn(&[u8]) -> Result<TokenKey, _>| {
            let key = read_key(text.as_ref()?, make);
            key.map_err(|error| wrong.push(format!("{flag}: {error}"))).ok()
        };
        let secret = key("--auth-token-secret-key", &self.auth_token_secret_key, TokenKey::secret);
        let public = key("--auth-token-public-key", &self.auth_token_public_key, TokenKey::public);
        if self.auth_token_secret_key.is_some() && self.auth_token_public_key.is_some() {
            wrong.push("--auth-token-public-key: there is --auth-token-secret-key already".to_owned());
        }
        let passwords = self.auth_basic.as_ref().and_then(|from| {
            let known = read_key(from, Passwords::read);
            known.map_err(|error| wrong.push(format!("--auth-basic: {error}"))).ok()
        });
        if self.auth_tls && self.tls_ca.is_none() {
            wrong.push("--auth-tls: --tls-ca is missing, which says whose certificates are good".to_owned());
        }
        let ways = [&self.auth_token_secret_key, &self.auth_token_public_key, &self.auth_basic];
        let wanted = self.auth_tls || ways.into_iter().any(Option::is_some);
        if !wanted && !self.superusers.is_empty() {
            wrong.push(format!("--superuser: nobody has a role without {WAYS}"));
        }
        if !wanted && self.anonymous_role.is_some() {
            wrong.push(format!("--anonymous-role: all are anonymous without {WAYS}"));
        }
        for (flag, mut roles) in [
            ("--superuser", self.superusers.iter()),
            ("--anonymous-role", self.anonymous_role.as_slice().iter()),
        ] {
            if roles.any(|role| role.trim().is_empty()) {
                wrong.push(format!("{flag}: the role is empty"));
            }
        }
        let superusers: BTreeSet<String> = self.superusers.iter().cloned().collect();
        wanted.then(|| {
            Arc::new(Access {
                authenticator: Arc::new(Methods {
                    tokens: secret.or(public),
                    passwords,
                    certificates: self.auth_tls,
                    anonymous: self.anonymous_role.clone(),
                }),
                superusers: Some(superusers).filter(|roles| !roles.is_empty()),
                refresh_check: Duration::from_secs(self.auth_refresh_check),
            })
        })
    }
}

/// The bytes of a PEM file with such a thing in it.
fn read_pem(
    flag: &str,
    file: &Path,
    (what, mark): (&str, &[u8]),
    wrong: &mut Vec<String>,
) -> Option<Vec<u8>> {
    let name = file.display();
    match std::fs::read(file) {
        Ok(bytes) if bytes.windows(mark.len()).any(|part| part == mark) => return Some(bytes),
        Ok(_) => wrong.push(format!("{flag}: no {what} in {name} (PEM)")),
        Err(error) => wrong.push(format!("{flag}: cannot read {name}: {error}")),
    }
    None
}

/// Binds a broker, and says what cannot be had.
pub(crate) async fn bind(config: ServerConfig) -> Result<Server, Failure> {
    let tls = config.tls.as_ref();
    for number in 0..config.brokers.max(1) {
        let check = |address: Option<SocketAddr>, flag| match address {
            Some(mut address) if address.port() != 0 => {
                address.set_port(address.port().saturating_add(number));
                ports::check(address, flag)
            }
            Some(address) => ports::check(address, flag),
            None => Ok(()),
        };
        check(Some(config.listen), "--port")?;
        check(config.admin_listen, "--admin-port")?;
        check(tls.map(|tls| tls.listen), "--tls-port")?;
        check(tls.and_then(|tls| tls.admin_listen), "--tls-admin-port")?;
    }
    Server::bind(config).await.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Failure::usage(format!("{error}.")),
        _ => Failure::failed(format!("the broker cannot start: {error}.")),
    })
}
