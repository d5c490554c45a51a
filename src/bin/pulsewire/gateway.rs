//! `pulsewire gateway`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use pulsewire_gateway::{
    AdminAddress, ConfigError, ConfigErrors, Gateway, GatewayConfig, GatewayError, Handle, ListenTls, Origin,
    Pem, Problem, Upstream, UpstreamError,
};

use crate::failure::{Ended, Failure};
use crate::interrupt::{Hangups, Interrupts};
use crate::output::say;
use crate::ports::cannot_listen;

const AFTER_HELP: &str = "\
Examples:
  pulsewire gateway --upstream pulsar://localhost:6650 --allow-origin http://localhost:3000
  pulsewire gateway --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem \\
      --upstream pulsar+ssl://pulsar-proxy:6651 --allow-origin https://app.example

  pulsewire gateway --config gateway.toml
  pulsewire gateway --check gateway.toml

Options stand over what the file says; gateway/README.md has every key. When it listens it prints the
WebSocket's URL on stdout. All that is wrong with the configuration is told at once, with exit code 2,
before it listens. SIGINT and SIGTERM close all connections in order, spread over `limits.lame_duck`; a
second one closes them at once; it ends with 0 then. SIGHUP reads the file, and the certificates and keys
that it names, anew: for new connections, nobody is dropped. Certificates and keys that are replaced on
disk are taken without it. RUST_LOG=warn makes it quieter, PULSEWIRE_LOG=json its log an object a line.";

/// Carry the Pulsar protocol between WebSockets and one broker or proxy.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only look for mistakes in this configuration: ends with 0 when there are none, else with 2
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    check: Option<PathBuf>,
    /// Where WebSockets are served, at /pulsar; port 0 takes a free one. Default: 127.0.0.1:8081
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Where /healthz, /readyz, /metrics and /connz are served, if anywhere; a port alone is on loopback
    #[arg(long, value_name = "[ADDR:]PORT")]
    admin_listen: Option<String>,
    /// The one broker or proxy behind it: pulsar[+ssl]://host[:port]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Trust only the authorities of this PEM file at a pulsar+ssl:// upstream, not the system's
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// The name that the upstream's certificate must be for, in place of its host
    #[arg(long, value_name = "NAME")]
    upstream_server_name: Option<String>,
    /// A page's origin that may connect, exactly, as `https://app.example`; may be given several times
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    allow_origins: Vec<String>,
    /// Let programs connect that are no browsers and send no Origin
    #[arg(long)]
    allow_missing_origin: bool,
    /// Serve wss:// with this certificate chain (PEM)
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// WebSockets that may be open at once. Default: 10000
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<usize>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Ended, Failure> {
    let mut interrupts = Interrupts::new()?;
    let mut hangups = Hangups::new()?;
    take_open_files();
    let config = arguments.config()?;
    if let Some(file) = &arguments.check {
        say(&format!("{}: nothing is wrong", file.display()));
        return Ok(Ended::Done);
    }
    let listen = config.listen;
    let upstream = match (&config.upstream, &config.brokers) {
        (Some(upstream), _) => upstream.to_string(),
        (None, Some(_)) => "brokers that clients name".to_owned(),
        (None, None) => String::new(),
    };
    let gateway = Gateway::bind(config).await.map_err(|error| bind_failure(error, listen))?;
    if let Some(admin) = gateway.admin_addr() {
        say(&format!("health    http://{admin}/healthz"));
    }
    say(&format!("upstream  {upstream}"));
    say(&format!("gateway   {}", gateway.url()));
    let handle = gateway.handle();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut running = std::pin::pin!(gateway.run(async {
        // Nobody there to stop it any more: it stops.
        let _ = stopped.await;
    }));
    let mut stop = Some(stop);
    loop {
        tokio::select! {
            () = &mut running => return Ok(Ended::Done),
            () = interrupts.next() => match stop.take() {
                Some(stop) => drop(stop),
                None => handle.stop_now(),
            },
            () = hangups.next() => arguments.reload(&handle),
        }
    }
}

/// Two for each connection: as many as the system allows this process, which is more than it begins with.
fn take_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let now = getrlimit(Resource::Nofile);
        // What cannot be had is missed when connections come, and said then.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
}

/// Why a gateway cannot be bound.
pub(crate) fn bind_failure(error: GatewayError, listen: SocketAddr) -> Failure {
    match error {
        GatewayError::Config(errors) => {
            let wrong: Vec<String> = errors.iter().map(|error| flag_for(&error.key, error)).collect();
            Failure::configuration(&wrong)
        }
        GatewayError::Listen { key, address, source } => {
            cannot_listen(address, if address == listen { "--listen" } else { flag(key) }, &source)
        }
        other => Failure::failed(other.to_string()),
    }
}

/// The option that a key of the configuration comes from.
fn flag(key: &str) -> &str {
    match key {
        "listen" => "--listen",
        "admin_listen" => "--admin-listen",
        "upstream_tls" | "upstream_tls.authorities" => "--upstream-ca",
        "upstream_tls.server_name" => "--upstream-server-name",
        "limits.max_connections" => "--max-connections",
        "tls.certificates" => "--tls-cert",
        "tls.key" => "--tls-key",
        other => other,
    }
}

fn flag_for(key: &str, error: &ConfigError) -> String {
    format!("{}: {}", flag(key), error.problem)
}

impl Arguments {
    fn file(&self) -> Option<&PathBuf> {
        self.config.as_ref().or(self.check.as_ref())
    }

    /// Reads the file anew; what comes of it is logged by the gateway.
    fn reload(&self, handle: &Handle) {
        let (config, mut read, _) = self.read();
        if let Ok(wrong) = &mut read
            && config.upstream.is_none()
            && config.brokers.is_none()
            && !wrong.iter().any(|error| error.key == "upstream")
        {
            wrong.push(ConfigError { key: "upstream".into(), problem: Problem::Missing });
        }
        let _ = match read {
            Ok(wrong) => handle.reload_read(Some(&config), wrong),
            Err(errors) => handle.reload_read(None, errors.iter().cloned().collect()),
        };
    }

    /// The configuration, or all that is wrong with it.
    fn config(&self) -> Result<GatewayConfig, Failure> {
        let (config, read, mut wrong) = self.read();
        // What the gateway itself finds stands beside it; without an upstream that can be used it would
        // not look at the options for it.
        let mut checked = config.clone();
        if checked.upstream.is_none() && checked.brokers.is_none() && checked.upstream_tls.is_some() {
            checked.upstream = "pulsar+ssl://localhost".parse().ok();
        }
        let no_upstream = wrong.iter().any(|line| line.starts_with("--upstream: "));
        // A file that cannot be read says nothing: what is missing then is not missed.
        let (read, said) = match read {
            Ok(read) => (read, true),
            Err(errors) => (errors.iter().cloned().collect(), false),
        };
        if said
            && config.upstream.is_none()
            && config.brokers.is_none()
            && !no_upstream
            && !read.iter().any(|error| error.key == "upstream")
        {
            wrong.push(
                "--upstream: it is missing; name the broker or proxy, as pulsar://localhost:6650".to_owned(),
            );
        }
        if let Err(errors) = checked.validate_read(read) {
            let told = |error: &ConfigError| match self.file() {
                Some(_) => error.to_string(),
                None => flag_for(&error.key, error),
            };
            let errors = errors.iter().filter(|it| !no_upstream || it.problem != Problem::UpstreamIsNotTls);
            wrong.extend(errors.map(told));
        }
        if wrong.is_empty() { Ok(config) } else { Err(Failure::configuration(&wrong)) }
    }

    /// The configuration, what is wrong with the file (or that it cannot be read), and with the options.
    fn read(&self) -> (GatewayConfig, Result<Vec<ConfigError>, ConfigErrors>, Vec<String>) {
        let mut wrong = Vec::new();
        let mut config = GatewayConfig::new(SocketAddr::from(([127, 0, 0, 1], 8081)));
        let file = self.file().map_or(Ok(Vec::new()), |file| config.read_file(file));
        let mut no_address = |flag: &str, text: &str| {
            wrong
                .push(format!("{flag}: {text:?} is no address with a port, as 127.0.0.1:8081 or [::1]:8081"));
        };
        match self.listen.as_deref().map(|text| (text, text.parse())) {
            Some((_, Ok(listen))) => config.listen = listen,
            Some((text, Err(_))) => no_address("--listen", text),
            None => {}
        }
        match self.admin_listen.as_deref().map(|text| (text, text.parse::<AdminAddress>())) {
            Some((_, Ok(admin))) => config.admin_listen = Some(admin.0),
            Some((text, Err(_))) => no_address("--admin-listen", text),
            None => {}
        }
        match self.upstream.as_deref().map(|text| (text, text.parse::<Upstream>())) {
            Some((_, Ok(upstream))) => config.upstream = Some(upstream),
            // It may be a password.
            Some((_, Err(error @ UpstreamError::UserInfo))) => wrong.push(format!("--upstream: {error}")),
            Some((text, Err(error))) => wrong.push(format!("--upstream: {text:?}: {error}")),
            None => {}
        }
        if !self.allow_origins.is_empty() {
            config.allow_origins.clear();
        }
        for text in &self.allow_origins {
            match text.parse::<Origin>() {
                Ok(origin) => config.allow_origins.push(origin),
                Err(error) => wrong.push(format!("--allow-origin: {text:?}: {error}")),
            }
        }
        config.allow_missing_origin |= self.allow_missing_origin;
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => {
                Some(ListenTls { certificates: Pem::File(cert.clone()), key: Pem::File(key.clone()) })
            }
            (None, None) => None,
            (Some(_), None) => {
                wrong.push("--tls-key: it is missing, beside --tls-cert".to_owned());
                None
            }
            (None, Some(_)) => {
                wrong.push("--tls-cert: it is missing, beside --tls-key".to_owned());
                None
            }
        };
        config.tls = tls.or(config.tls);
        if self.upstream_ca.is_some() || self.upstream_server_name.is_some() {
            let mut tls = config.upstream_tls.unwrap_or_default();
            tls.authorities = self.upstream_ca.clone().map(Pem::File).or(tls.authorities);
            tls.server_name = self.upstream_server_name.clone().or(tls.server_name);
            config.upstream_tls = Some(tls);
        }
        if let Some(most) = self.max_connections {
            config.limits.max_connections = most;
        }
        (config, file, wrong)
    }
}
