//! The world in which scenarios run: `pulsewire-test-world WORLD.json`.
//!
//! Starts the embedded broker (TCP, TLS) and gateways in front of it and in front of the real Pulsar that
//! the environment names (`PULSAR_BROKER_URL` and so on; `PULSAR_OLDER_URL` for one of an older version), writes where all of it is to WORLD.json, says
//! `ready`, and ends when its standard input does.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod relay;
mod restarted;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};

use pulsewire_broker::core::BrokerConfig;
use pulsewire_broker::server::{Server, ServerConfig, TlsConfig};
use pulsewire_gateway::{Gateway, GatewayConfig, ListenTls, Pem, UpstreamTls};
use pulsewire_tests::{Endpoint, Kind};
use pulsewire_transport::{Target, conformance};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const EMBEDDED: &str = "pulsewire embedded broker";
const REAL: &str = "Apache Pulsar 4.0.8";
const PROXY: &str = "Apache Pulsar 4.0.8 proxy";
const OLDER: &str = "Apache Pulsar 2.10.5";

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: pulsewire-test-world WORLD.json")?;
    if file == restarted::EMBEDDED {
        return restarted::embedded(arguments).await;
    }
    // Gateways let in pages by their origin, so the port of the page is chosen here.
    let page_port = std::net::TcpListener::bind(any())?.local_addr()?.port();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let world = World { page_port, cert_pem: cert.pem(), key_pem: signing_key.serialize_pem() };

    let mut endpoints = world.embedded().await?;
    if let Ok(url) = std::env::var("PULSAR_BROKER_URL") {
        endpoints.extend(world.real(&url).await?);
    }
    if let (Ok(url), Ok(web)) = (std::env::var("PULSAR_OLDER_URL"), std::env::var("PULSAR_OLDER_WEB_URL")) {
        let admin = web.trim_start_matches("http://");
        make_partitions(admin).await?;
        for endpoint in world.relayed(OLDER, Kind::Older, &url, admin).await? {
            endpoints.push(Endpoint { entry_metadata: false, ..endpoint });
        }
    }
    for (witness, home) in [(EMBEDDED, None), (REAL, std::env::var_os("PULSAR_HOME").map(Into::into))] {
        if witness == EMBEDDED || home.is_some() {
            endpoints.extend(world.restarted(witness, home).await?);
        }
    }
    endpoints.extend(world.several().await?);
    // What the conformance cases of the browser's transport run against.
    let helper = conformance::server::Server::websocket().await?;
    let url = |target: &Target| format!("ws://{}:{}", target.host, target.port);
    let peers = helper.peers();
    let peers = json!({ "url": url(&peers.target), "refused": url(&peers.refused) });
    let world = json!({ "page_port": page_port, "endpoints": endpoints, "conformance": peers });
    std::fs::write(file, world.to_string())?;
    println!("ready");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

struct World {
    page_port: u16,
    cert_pem: String,
    key_pem: String,
}

impl World {
    /// The embedded broker, and the ways to it.
    async fn embedded(&self) -> Result<Vec<Endpoint>> {
        let server = Server::bind(ServerConfig {
            listen: any(),
            admin_listen: Some(any()),
            tls: Some(TlsConfig {
                listen: any(),
                admin_listen: None,
                client_ca_pem: None,
                cert_pem: self.cert_pem.clone().into_bytes(),
                key_pem: self.key_pem.clone().into_bytes(),
            }),
            broker: BrokerConfig::default(),
            ..ServerConfig::default()
        })
        .await?;
        let tcp = format!("pulsar://localhost:{}", server.local_addr().port());
        let tls =
            server.tls_addr().map(|a| format!("pulsar+ssl://localhost:{}", a.port())).unwrap_or_default();
        let admin = server.admin_addr().ok_or("no admin address")?.to_string();
        tokio::spawn(server.run(pending()));
        make_partitions(&admin).await?;
        let endpoint = |transport: &str, url: String| endpoint(EMBEDDED, transport, url, &tcp, &admin);
        let ws = self.gateway(&tcp, None, false).await?;
        let wss = self.gateway(&tls, Some(self.cert_pem.clone()), true).await?;
        let strange = self.relayed(EMBEDDED, Kind::Strange, &tcp, &admin).await?;
        let usual = vec![
            endpoint("tcp", tcp.clone()),
            Endpoint { ca_pem: Some(self.cert_pem.clone()), ..endpoint("tls", tls) },
            endpoint("ws", ws),
            Endpoint { ca_pem: Some(self.cert_pem.clone()), ..endpoint("wss", wss) },
        ];
        Ok([usual, strange].concat())
    }

    /// A real Pulsar and its proxy, and the ways to them.
    async fn real(&self, broker: &str) -> Result<Vec<Endpoint>> {
        let var = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let ca_pem = std::fs::read_to_string(var("PULSAR_CA_PEM")?)?;
        let admin = var("PULSAR_WEB_URL")?.trim_start_matches("http://").to_owned();
        make_partitions(&admin).await?;
        let endpoint = |witness, transport, url| endpoint(witness, transport, url, broker, &admin);
        let secure =
            |witness, url| Endpoint { ca_pem: Some(ca_pem.clone()), ..endpoint(witness, "tls", url) };
        let proxied = |endpoint| Endpoint { proxied: true, ..endpoint };
        let proxy = var("PULSAR_PROXY_URL")?;
        let proxy_tls = var("PULSAR_PROXY_URL_TLS")?;
        let strange = self.relayed(REAL, Kind::Strange, broker, &admin).await?;
        let usual = vec![
            endpoint(REAL, "tcp", broker.to_owned()),
            secure(REAL, var("PULSAR_BROKER_URL_TLS")?),
            endpoint(REAL, "ws", self.gateway(broker, None, false).await?),
            proxied(endpoint(PROXY, "tcp", proxy.clone())),
            proxied(secure(PROXY, proxy_tls.clone())),
            proxied(endpoint(PROXY, "ws", self.gateway(&proxy_tls, Some(ca_pem.clone()), false).await?)),
        ];
        Ok([usual, strange].concat())
    }

    /// Three embedded brokers that share topics, and the ways to the first.
    async fn several(&self) -> Result<Vec<Endpoint>> {
        let server = Server::bind(ServerConfig {
            listen: any(),
            admin_listen: Some(any()),
            tls: Some(TlsConfig {
                listen: any(),
                admin_listen: None,
                client_ca_pem: None,
                cert_pem: self.cert_pem.clone().into_bytes(),
                key_pem: self.key_pem.clone().into_bytes(),
            }),
            brokers: 3,
            ..ServerConfig::default()
        })
        .await?;
        let nodes = server.nodes();
        let [first, second, _] = nodes.as_slice() else { return Err("not three brokers".into()) };
        let admin = server.admin_addr().ok_or("no admin address")?.to_string();
        tokio::spawn(server.run(pending()));
        let tls = |node: &pulsewire_broker::core::Node| node.service_url_tls.clone().unwrap_or_default();
        let endpoint = |transport: &str, url: String, relay: String| Endpoint {
            kind: Kind::Several,
            relay,
            ..endpoint(EMBEDDED, transport, url, &first.service_url, &admin)
        };
        Ok(vec![
            endpoint("tcp", first.service_url.clone(), second.service_url.clone()),
            Endpoint { ca_pem: Some(self.cert_pem.clone()), ..endpoint("tls", tls(first), tls(second)) },
        ])
    }

    /// A broker that can be restarted, and the ways to it.
    async fn restarted(&self, witness: &str, home: Option<std::path::PathBuf>) -> Result<Vec<Endpoint>> {
        let restarted::Restarted { url, admin, http } = restarted::prepare(home).await?;
        let ws = self.gateway(&url, None, false).await?;
        let endpoint = |transport: &str, way: &str| Endpoint {
            kind: Kind::Restarted,
            relay: http.to_string(),
            ..endpoint(witness, transport, way.to_owned(), &url, &admin)
        };
        Ok(vec![endpoint("tcp", &url), endpoint("ws", &ws)])
    }

    /// A relay in front of a broker, and the ways to it.
    async fn relayed(&self, witness: &str, kind: Kind, broker: &str, admin: &str) -> Result<Vec<Endpoint>> {
        let relay = relay::start(broker, kind == Kind::Strange).await?;
        let endpoint = |transport: &str, url: String| Endpoint {
            kind,
            relay: relay.http.to_string(),
            ..endpoint(witness, transport, url, broker, admin)
        };
        let ws = self.gateway(&relay.url, None, false).await?;
        Ok(vec![endpoint("tcp", relay.url.clone()), endpoint("ws", ws)])
    }

    /// A gateway in front of `upstream`; its URL.
    async fn gateway(&self, upstream: &str, trust: Option<String>, secure: bool) -> Result<String> {
        let mut config = GatewayConfig::new(any());
        config.upstream = Some(upstream.parse()?);
        config.allow_origins = vec![format!("http://localhost:{}", self.page_port).parse()?];
        config.allow_missing_origin = true;
        config.upstream_tls = trust.map(|pem| {
            let mut tls = UpstreamTls::default();
            tls.authorities = Some(Pem::Text(pem.into_bytes()));
            tls
        });
        config.tls = secure.then(|| ListenTls {
            certificates: Pem::Text(self.cert_pem.clone().into_bytes()),
            key: Pem::Text(self.key_pem.clone().into_bytes()),
        });
        let gateway = Gateway::bind(config).await?;
        let url = gateway.url().replace("127.0.0.1", "localhost");
        tokio::spawn(gateway.run(pending()));
        Ok(url)
    }
}

fn endpoint(witness: &str, transport: &str, url: String, direct: &str, admin: &str) -> Endpoint {
    Endpoint {
        admin: admin.to_owned(),
        witness: witness.to_owned(),
        transport: transport.to_owned(),
        url,
        direct: direct.to_owned(),
        ca_pem: None,
        kind: Kind::Usual,
        relay: String::new(),
        proxied: false,
        entry_metadata: true,
        max_message_size: 5 * 1024 * 1024,
    }
}

/// Makes the partitioned topic that scenarios ask about.
async fn make_partitions(admin: &str) -> Result<()> {
    let path = "/admin/v2/persistent/public/default/three-partitions/partitions";
    let answer = pulsewire_tests::admin::call("PUT", admin, path, Some("3")).await?;
    // Made already, when a world is started again beside the same Pulsar.
    if [200, 204, 409].contains(&answer.status) {
        Ok(())
    } else {
        Err(format!("{admin} answered {answer:?}").into())
    }
}

/// A free port of this machine.
fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
