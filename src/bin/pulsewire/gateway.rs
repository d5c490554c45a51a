//! `pulsewire gateway`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use pulsewire_gateway::{
    Gateway, GatewayConfig, GatewayError, ListenTls, Origin, Pem, Upstream, UpstreamTls,
};

use crate::failure::{Ended, Failure};
use crate::interrupt::Interrupts;
use crate::output::say;
use crate::ports::cannot_listen;

const AFTER_HELP: &str = "\
Examples:
  pulsewire gateway --upstream pulsar://localhost:6650 --allow-origin http://localhost:3000
  pulsewire gateway --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem \\
      --upstream pulsar+ssl://pulsar-proxy:6651 --allow-origin https://app.example

When it listens it prints the WebSocket's URL on stdout. All that is wrong with the configuration is told
at once, with exit code 2, before it listens. SIGINT and SIGTERM close all connections in order; it ends
with 0 then. RUST_LOG=warn makes it quieter.";

/// Carry the Pulsar protocol between WebSockets and one broker or proxy.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Where WebSockets are served, at /pulsar; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8081")]
    listen: String,
    /// Where /healthz and /readyz are served, if anywhere; keep it from strangers
    #[arg(long, value_name = "ADDR:PORT")]
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
    let config = arguments.config()?;
    let (listen, upstream) = (config.listen, config.upstream.clone());
    let gateway = Gateway::bind(config).await.map_err(|error| bind_failure(error, listen))?;
    let upstream = upstream.map(|it| it.to_string()).unwrap_or_default();
    if let Some(admin) = gateway.admin_addr() {
        say(&format!("health    http://{admin}/healthz"));
    }
    say(&format!("upstream  {upstream}"));
    say(&format!("gateway   {}", gateway.url()));
    gateway.run(interrupts.next()).await;
    Ok(Ended::Done)
}

/// Why a gateway cannot be bound.
pub(crate) fn bind_failure(error: GatewayError, listen: SocketAddr) -> Failure {
    match error {
        GatewayError::Config(errors) => {
            let wrong: Vec<String> = errors.iter().map(|error| flag_for(error.key, error)).collect();
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

fn flag_for(key: &str, error: &pulsewire_gateway::ConfigError) -> String {
    format!("{}: {}", flag(key), error.problem)
}

impl Arguments {
    /// The configuration, or all that is wrong with it.
    fn config(&self) -> Result<GatewayConfig, Failure> {
        let mut wrong = Vec::new();
        let mut address = |flag: &str, text: &str| match text.parse::<SocketAddr>() {
            Ok(address) => address,
            Err(_) => {
                wrong.push(format!(
                    "{flag}: {text:?} is no address with a port, as 127.0.0.1:8081 or [::1]:8081"
                ));
                SocketAddr::from(([127, 0, 0, 1], 0))
            }
        };
        let mut config = GatewayConfig::new(address("--listen", &self.listen));
        config.admin_listen = self.admin_listen.as_deref().map(|text| address("--admin-listen", text));
        match self.upstream.as_deref().map(|text| (text, text.parse::<Upstream>())) {
            Some((_, Ok(upstream))) => config.upstream = Some(upstream),
            Some((text, Err(error))) => wrong.push(format!("--upstream: {text:?}: {error}")),
            None => wrong.push(
                "--upstream: it is missing; name the broker or proxy, as pulsar://localhost:6650".to_owned(),
            ),
        }
        for text in &self.allow_origins {
            match text.parse::<Origin>() {
                Ok(origin) => config.allow_origins.push(origin),
                Err(error) => wrong.push(format!("--allow-origin: {text:?}: {error}")),
            }
        }
        config.allow_missing_origin = self.allow_missing_origin;
        config.tls = match (&self.tls_cert, &self.tls_key) {
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
        if self.upstream_ca.is_some() || self.upstream_server_name.is_some() {
            let mut tls = UpstreamTls::default();
            tls.authorities = self.upstream_ca.clone().map(Pem::File);
            tls.server_name.clone_from(&self.upstream_server_name);
            config.upstream_tls = Some(tls);
        }
        if let Some(most) = self.max_connections {
            config.limits.max_connections = most;
        }
        // What the gateway itself finds stands beside it; without an upstream that can be used it would
        // not look at the options for it.
        let mut checked = config.clone();
        if checked.upstream.is_none() && checked.upstream_tls.is_some() {
            checked.upstream = "pulsar+ssl://localhost".parse().ok();
        }
        if let Err(errors) = checked.validate() {
            wrong.extend(errors.iter().map(|error| flag_for(error.key, error)));
        }
        if wrong.is_empty() { Ok(config) } else { Err(Failure::configuration(&wrong)) }
    }
}
