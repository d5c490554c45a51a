//! `pulsewire dev`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pulsewire::transport::tls::TlsOptions;
use pulsewire::transport::{Connector as _, NativeConnector, Scheme, Target};
use pulsewire::{Client, ErrorKind};
use pulsewire_broker::{Server, ServerConfig};
use pulsewire_gateway::{Gateway, GatewayConfig, Origin, Pem, Upstream, UpstreamTls};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::broker;
use crate::connect::tls;
use crate::console::{self, PageConfig};
use crate::failure::{Ended, Failure, note};
use crate::gateway::bind_failure;
use crate::interrupt::Interrupts;
use crate::output::say;
use crate::ports;

/// All of it is for this machine alone.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What reaching an upstream may take.
const REACH: Duration = Duration::from_secs(5);
/// What closing the gateway's connections may take; the gateway adds a second of its own.
const CLOSE: Duration = Duration::from_millis(400);
/// What all may take to end.
const END: Duration = Duration::from_millis(1800);
/// Where the console is built in a checkout.
const BUILT_CONSOLE: &str = "www/dist";

const AFTER_HELP: &str = "\
Examples:
  pulsewire dev
  pulsewire dev --upstream pulsar://localhost:6650
  pulsewire dev --port 0 --admin-port 0 --gateway-port 0 --console-port 0

It runs the embedded broker (or takes --upstream in its place), the gateway in front of it and the web
console, all on loopback, and prints their addresses, last. Where one of the usual ports is taken it takes
a free one and says so; a port that you name must be free.

Pages may connect to the gateway from the console's own addresses and from --allow-origin; programs that
send no Origin may as well, since nobody but this machine reaches it. Ctrl-C ends all with 0.";

/// Run broker, gateway and web console together, for development.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Use this Pulsar in place of the embedded broker: pulsar[+ssl]://host[:port]
    #[arg(long, value_name = "URL", conflicts_with_all = ["port", "admin_port"])]
    upstream: Option<String>,
    /// Trust only the authorities of this PEM file at a pulsar+ssl:// upstream, not the system's
    #[arg(long, value_name = "FILE", requires = "upstream")]
    upstream_ca: Option<PathBuf>,
    /// The broker's port for pulsar://; 0 takes a free one. Default: 6650
    #[arg(long)]
    port: Option<u16>,
    /// The broker's port for admin calls. Default: 8080
    #[arg(long)]
    admin_port: Option<u16>,
    /// The gateway's port. Default: 8081
    #[arg(long, value_name = "PORT")]
    gateway_port: Option<u16>,
    /// The console's port. Default: 5173
    #[arg(long, value_name = "PORT")]
    console_port: Option<u16>,
    /// The directory of the built console. Default: www/dist, where it is there
    #[arg(long, value_name = "DIR")]
    console: Option<PathBuf>,
    /// Let pages of this origin connect to the gateway too; may be given several times
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    allow_origins: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Ended, Failure> {
    let mut interrupts = Interrupts::new()?;
    let checked = arguments.check()?;
    tokio::select! {
        biased;
        () = interrupts.next() => Ok(Ended::Interrupted),
        started = Running::start(&arguments, checked) => {
            started?.serve(&mut interrupts).await;
            Ok(Ended::Done)
        }
    }
}

/// What the arguments mean.
struct Checked {
    upstream: Option<Upstream>,
    origins: Vec<Origin>,
    console: Option<PathBuf>,
}

impl Arguments {
    /// All that is wrong, before anything begins.
    fn check(&self) -> Result<Checked, Failure> {
        let mut wrong = Vec::new();
        let upstream = match self.upstream.as_deref().map(|text| (text, text.parse::<Upstream>())) {
            Some((text, Err(error))) => {
                wrong.push(match error {
                    pulsewire_gateway::UpstreamError::UserInfo => format!("--upstream: {error}"),
                    _ => format!("--upstream: {text:?}: {error}"),
                });
                None
            }
            Some((_, Ok(upstream))) => Some(upstream),
            None => None,
        };
        let mut origins = Vec::new();
        for text in &self.allow_origins {
            match text.parse() {
                Ok(origin) => origins.push(origin),
                Err(error) => wrong.push(format!("--allow-origin: {text:?}: {error}")),
            }
        }
        let console = match &self.console {
            None => Some(PathBuf::from(BUILT_CONSOLE)).filter(|built| has_page(built)),
            Some(directory) if has_page(directory) => Some(directory.clone()),
            Some(directory) => {
                wrong.push(format!(
                    "--console: {} has no index.html; is the console built?",
                    directory.display()
                ));
                None
            }
        };
        match wrong.is_empty() {
            true => Ok(Checked { upstream, origins, console }),
            false => Err(Failure::configuration(&wrong)),
        }
    }
}

fn has_page(directory: &Path) -> bool {
    directory.join("index.html").is_file()
}

/// Everything, listening.
struct Running {
    broker: Option<Server>,
    gateway: Gateway,
    console: TcpListener,
    page: axum::Router,
    /// What is said last.
    addresses: Vec<String>,
}

impl Running {
    async fn start(arguments: &Arguments, checked: Checked) -> Result<Self, Failure> {
        let broker = match &checked.upstream {
            Some(upstream) => {
                let tls = tls(arguments.upstream_ca.as_deref(), false)?;
                reach(upstream, tls).await?;
                None
            }
            None => Some(
                broker::bind(ServerConfig {
                    listen: ports::choose(HOST, arguments.port, 6650, "--port")?,
                    admin_listen: Some(ports::choose(HOST, arguments.admin_port, 8080, "--admin-port")?),
                    ..ServerConfig::default()
                })
                .await?,
            ),
        };
        let listen = ports::choose(HOST, arguments.console_port, 5173, "--console-port")?;
        let bound = TcpListener::bind(listen).await.and_then(|it| Ok((it.local_addr()?.port(), it)));
        let (page_port, console) =
            bound.map_err(|error| ports::cannot_listen(listen, "--console-port", &error))?;

        let listen = ports::choose(HOST, arguments.gateway_port, 8081, "--gateway-port")?;
        let mut config = GatewayConfig::new(listen);
        let internal = |text: String| Failure::failed(format!("{text}: this is a bug"));
        config.upstream = Some(match (&checked.upstream, &broker) {
            (Some(upstream), _) => upstream.clone(),
            (None, Some(broker)) => {
                let url = format!("pulsar://{}", broker.local_addr());
                url.parse().map_err(|error| internal(format!("{url}: {error}")))?
            }
            (None, None) => return Err(internal("no broker".to_owned())),
        });
        if let Some(ca) = &arguments.upstream_ca {
            let mut tls = UpstreamTls::default();
            tls.authorities = Some(Pem::File(ca.clone()));
            config.upstream_tls = Some(tls);
        }
        config.allow_origins = checked.origins;
        for host in ["localhost", "127.0.0.1"] {
            let origin = format!("http://{host}:{page_port}");
            config
                .allow_origins
                .push(origin.parse().map_err(|error| internal(format!("{origin}: {error}")))?);
        }
        // Only this machine can reach it, and its programs send none.
        config.allow_missing_origin = HOST.is_loopback();
        config.reveal_upstream = true;
        config.limits.close_timeout = CLOSE;
        config.limits.lame_duck = Duration::ZERO;
        let gateway = Gateway::bind(config).await.map_err(|error| bind_failure(error, listen))?;

        let gateway_url =
            format!("ws://localhost:{}{}", gateway.local_addr().port(), pulsewire_gateway::PATH);
        let broker_url = match (&checked.upstream, &broker) {
            (None, Some(broker)) => broker.service_url().to_owned(),
            (upstream, _) => upstream.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        let page = PageConfig {
            gateway: gateway_url.clone(),
            gateway_url: gateway_url.clone(),
            broker_url: broker_url.clone(),
            upstream: broker.is_none(),
            admin: "./",
            witness: format!("pulsewire consume TOPIC -s witness --follow --url {broker_url}"),
        };
        let mut addresses = Vec::new();
        if let Some(admin) = broker.as_ref().and_then(Server::admin_addr) {
            addresses.push(format!("  admin    http://localhost:{}", admin.port()));
        }
        addresses.push(format!("  gateway  {gateway_url}"));
        let whose = if broker.is_some() { "" } else { " (yours)" };
        addresses.push(format!("  broker   {broker_url}{whose}"));
        addresses.push(format!("  console  http://localhost:{page_port}/"));
        let page = console::router(checked.console.as_deref(), &page, &gateway.handle());
        Ok(Self { broker, gateway, console, page, addresses })
    }

    async fn serve(self, interrupts: &mut Interrupts) {
        let (stop, stopping) = watch::channel(false);
        let (stop_broker, broker_stopping) = watch::channel(false);
        let gateway = tokio::spawn(self.gateway.run(stopped(stopping.clone())));
        let broker = self.broker.map(|broker| tokio::spawn(broker.run(stopped(broker_stopping))));
        let page = axum::serve(self.console, self.page).with_graceful_shutdown(stopped(stopping));
        let page = tokio::spawn(page.into_future());

        say("pulsewire runs; Ctrl-C ends it.");
        self.addresses.iter().for_each(|line| say(line));
        interrupts.next().await;

        stop.send_replace(true);
        let ended = async {
            // The broker last, so that pages are told that the gateway stops.
            let _ = gateway.await;
            stop_broker.send_replace(true);
            if let Some(broker) = broker {
                let _ = broker.await;
            }
        };
        tokio::select! {
            _ = timeout(END, ended) => {}
            () = interrupts.next() => {}
        }
        // A browser may keep its connection open for as long as it likes.
        page.abort();
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // Its sender gone, all ends as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Whether a Pulsar answers there.
async fn reach(upstream: &Upstream, tls: TlsOptions) -> Result<(), Failure> {
    let failed = |why: String| {
        let why = why.trim_end_matches('.').to_owned();
        Failure::failed(format!(
            "the upstream {upstream} is not there: {why}. Start it or name another one with --upstream; without it, dev brings a broker of its own."
        ))
    };
    // First only a connection, which tells best why there is none.
    let target = Target {
        scheme: if upstream.is_tls() { Scheme::Tls } else { Scheme::Tcp },
        host: upstream.host(),
        port: upstream.port(),
        path: String::new(),
    };
    match timeout(REACH, NativeConnector::new(tls.clone()).connect(&target)).await {
        Ok(Ok(connection)) => drop(connection),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("nothing answered within {} s", REACH.as_secs()))),
    }
    let built = Client::builder(upstream.to_string()).operation_timeout(REACH).tls(tls).build();
    let client = built.map_err(|error| failed(error.to_string()))?;
    let answer = client.partitions("pulsewire-dev").await;
    let _ = timeout(Duration::from_millis(500), client.close()).await;
    match answer {
        Err(error) if error.code() == "AuthenticationError" => {
            note(&format!("{upstream} wants to know who connects: give the page a token ({error})."));
            Ok(())
        }
        // Whatever else a broker says, it is one.
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::Broker(_)) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Timeout => {
            Err(failed("something listens there but does not answer as a Pulsar broker does".to_owned()))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}
