//! A real Apache Pulsar, standalone and behind its own proxy, for tests and for developers.
//!
//! The distribution is fetched once through Maven and kept in the cache directory. Every start has free ports, its
//! own certificates and its own data, which go away with [`RealPulsar`]. Processes are ended by their own ids.

use crate::util::{TempDir, cache_dir, free_ports, http_status, run, tail, wait_for};
use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The version that tests run against.
pub const VERSION: &str = "4.0.8";

/// How the broker is named in results.
pub const WITNESS: &str = "Apache Pulsar 4.0.8";

/// How its proxy is named in results.
pub const WITNESS_PROXY: &str = "Apache Pulsar 4.0.8 proxy";

/// How long a server may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Where the unpacked distribution is, fetching it the first time.
pub fn distribution() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("PULSAR_HOME").map(PathBuf::from)
        && home.join("lib").is_dir()
        && home.file_name().is_some_and(|name| name.to_string_lossy().ends_with(VERSION))
    {
        return Ok(home);
    }
    let cache = cache_dir()?;
    let home = cache.join(format!("apache-pulsar-{VERSION}"));
    if home.join("bin/pulsar").is_file() {
        return Ok(home);
    }
    let coordinates = format!("org.apache.pulsar:pulsar-server-distribution:{VERSION}:tar.gz:bin");
    let name = format!("pulsar-server-distribution-{VERSION}-bin.tar.gz");
    println!(
        "fetching Apache Pulsar {VERSION} (245 MB, kept for the next time): tests run against the real thing"
    );
    crate::setup::maven()?;
    // Beside its final place and moved when whole: an interrupted run leaves nothing that looks ready.
    let unpack = cache.join(format!("unpack-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&unpack);
    std::fs::create_dir_all(&unpack)?;
    run(Command::new("mvn")
        .args(["-B", "-q", "dependency:copy"])
        .arg(format!("-Dartifact={coordinates}"))
        .arg(format!("-DoutputDirectory={}", unpack.display())))?;
    let tarball = unpack.join(name);
    run(Command::new("tar").arg("xzf").arg(&tarball).arg("-C").arg(&unpack))?;
    // Its 245 MB are in Maven's own cache too.
    std::fs::remove_file(&tarball)?;
    let inner = unpack.join(format!("apache-pulsar-{VERSION}"));
    if std::fs::rename(&inner, &home).is_err() && !home.join("bin/pulsar").is_file() {
        bail!("cannot move {} to {}", inner.display(), home.display());
    }
    let _ = std::fs::remove_dir_all(&unpack);
    Ok(home)
}

/// Settings of one server over those of the distribution's own file.
pub(crate) fn configuration(original: &Path, settings: &BTreeMap<String, String>) -> Result<String> {
    let text =
        std::fs::read_to_string(original).with_context(|| format!("cannot read {}", original.display()))?;
    let mut lines: Vec<String> = text
        .lines()
        // A key given twice is a trap: every key of ours is taken out and written once, at the end.
        .filter(|line| line.split_once('=').is_none_or(|(key, _)| !settings.contains_key(key.trim())))
        .map(str::to_owned)
        .collect();
    lines.extend(settings.iter().map(|(key, value)| format!("{key}={value}")));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

pub(crate) fn settings<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A certificate authority and one certificate for `localhost`, as files in `dir`. Keys are PKCS#8.
fn certificates(dir: &Path) -> Result<Certificates> {
    let mut authority = CertificateParams::new(Vec::<String>::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "pulsewire test authority");
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?;

    let files = Certificates {
        authority: dir.join("ca.pem"),
        certificate: dir.join("server.pem"),
        key: dir.join("server-key.pem"),
    };
    std::fs::write(&files.authority, authority_certificate.pem())?;
    std::fs::write(&files.certificate, certificate.pem())?;
    std::fs::write(&files.key, server_key.serialize_pem())?;
    Ok(files)
}

/// Settings with which a server authenticates everybody by a token and speaks to others with one of its own.
struct Guard {
    broker: BTreeMap<String, String>,
    proxy: BTreeMap<String, String>,
    /// A token of `admin`, who may do everything.
    admin: String,
}

/// Broker and proxy that ask everybody for a token. The key is in `dir/secret.key`.
fn guard(home: &Path, dir: &Path) -> Result<Guard> {
    let key = dir.join("secret.key");
    let tokens = |arguments: &[&str]| {
        let mut command = Command::new(home.join("bin/pulsar"));
        crate::util::output(command.arg("tokens").args(arguments).env("PULSAR_MEM", "-Xmx64m"))
    };
    tokens(&["create-secret-key", "--output", &key.display().to_string()])?;
    let secret = format!("file://{}", key.display());
    let token = |subject: &str| -> Result<(String, BTreeMap<String, String>)> {
        let said = tokens(&["create", "--secret-key", &secret, "--subject", subject])?;
        let made = said.split_whitespace().last().context("Pulsar made no token")?.to_owned();
        let file = dir.join(format!("{subject}.jwt"));
        std::fs::write(&file, &made)?;
        let [provider, own] =
            ["broker.authentication.AuthenticationProviderToken", "client.impl.auth.AuthenticationToken"]
                .map(|class| format!("org.apache.pulsar.{class}"));
        let settings = settings([
            ("authenticationEnabled", "true".into()),
            ("authorizationEnabled", "true".into()),
            ("authenticationProviders", provider),
            ("tokenSecretKey", secret.clone()),
            ("superUserRoles", "admin,proxy".into()),
            ("proxyRoles", "proxy".into()),
            ("brokerClientAuthenticationPlugin", own),
            ("brokerClientAuthenticationParameters", format!("file://{}", file.display())),
        ]);
        Ok((made, settings))
    };
    let (admin, broker) = token("admin")?;
    let (_, mut proxy) = token("proxy")?;
    // Who may do what is the broker's to say: the proxy would have to see its metadata.
    proxy.insert("authorizationEnabled".to_owned(), "false".to_owned());
    Ok(Guard { broker, proxy, admin })
}

struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

/// One running Java process, ended with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(
        home: &Path,
        data: &Path,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> Result<Self> {
        let mut environment = environment.to_vec();
        environment.extend([
            ("PULSAR_LOG_DIR", data.join(name).join("logs").display().to_string()),
            ("PULSAR_LOG_APPENDER", "Console".to_owned()),
            ("PULSAR_GC", "-XX:+UseSerialGC".to_owned()),
            ("PULSAR_GC_LOG", " ".to_owned()),
        ]);
        let arguments = [&[name], arguments].concat();
        let script = home.join("bin/pulsar");
        // Native libraries are unpacked there, and nobody would sweep them up.
        let scratch = format!("-Djava.io.tmpdir={}", scratch(data, name)?.display());
        environment.push(("PULSAR_EXTRA_OPTS", scratch));
        Self::run(&script, data, name, &arguments, &environment)
    }

    /// Starts a program whose output goes to a file of its own.
    pub(crate) fn run(
        program: &Path,
        data: &Path,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> Result<Self> {
        std::fs::create_dir_all(data.join(name))?;
        let log = data.join(name).join("output.log");
        let out = File::create(&log)?;
        let mut command = Command::new(program);
        // Where the system can, the server also ends when we are killed. The signal comes with the end of the
        // starting thread, so only the main one may ask for it.
        if crate::util::which("setpriv").is_some() && std::thread::current().name() == Some("main") {
            command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        }
        command.args(arguments).envs(environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, log })
    }

    /// Waits until the server answers 200 at the path.
    pub(crate) fn ready(&mut self, what: &str, port: u16, path: &str) -> Result<()> {
        self.ready_for(what, port, path, None)
    }

    /// The same for a server that asks for a token.
    fn ready_for(&mut self, what: &str, port: u16, path: &str, token: Option<&str>) -> Result<()> {
        let log = self.log.clone();
        let child = &mut self.child;
        wait_for(what, START_LIMIT, || {
            if let Some(status) = child.try_wait()? {
                bail!("{what} ended with {status}");
            }
            Ok(http_status(port, path, token).is_ok_and(|code| code == 200))
        })
        .with_context(|| format!("the end of its log:\n{}", tail(&log, 30)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data goes away too, so there is nothing to be saved by a slow end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory for what a server unpacks.
pub(crate) fn scratch(data: &Path, name: &str) -> Result<PathBuf> {
    let dir = data.join(name).join("tmp");
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// A running broker and its proxy.
#[derive(Debug)]
pub struct RealPulsar {
    /// `pulsar://` of the broker.
    pub broker_url: String,
    /// `pulsar+ssl://` of the broker.
    pub broker_url_tls: String,
    /// `http://` of the broker: admin API and, under `/ws/v2`, its WebSocket API.
    pub web_url: String,
    /// `https://` of the broker.
    pub web_url_tls: String,
    /// `pulsar://` of the proxy.
    pub proxy_url: String,
    /// `pulsar+ssl://` of the proxy.
    pub proxy_url_tls: String,
    /// `http://` of the proxy: the same as the broker's.
    pub proxy_web_url: String,
    /// The authority that signed the certificates of both.
    pub ca_pem: PathBuf,
    /// The unpacked distribution.
    pub pulsar_home: PathBuf,
    /// How long the proxy took to start, after the broker.
    proxy_took: Duration,
    // Dropped in this order: first the proxy, then the broker, then what they wrote.
    proxy: Server,
    broker: Server,
    data: TempDir,
}

impl RealPulsar {
    /// Starts both and waits until both answer.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The same for scenarios: they leave thousands of topics, and by default all of them are looked through for
    /// what may leave the cache a hundred times a second, which keeps one core busy.
    pub fn start_for_scenarios() -> Result<Self> {
        Self::start_with(&[("managedLedgerCacheEvictionFrequency", "1")])
    }

    /// The same with further settings for the broker.
    pub fn start_with(extra: &[(&str, &str)]) -> Result<Self> {
        Self::start_as(extra, false)
    }

    /// One in which broker and proxy ask everybody for a token: tokens signed with `secret.key` in its data.
    pub fn start_guarded() -> Result<Self> {
        Self::start_as(&[], true)
    }

    fn start_as(extra: &[(&str, &str)], guarded: bool) -> Result<Self> {
        crate::setup::jdk()?;
        let home = distribution()?;
        match Self::attempt(&home, extra, guarded) {
            Ok(pulsar) => Ok(pulsar),
            // Another process may have taken one of the free ports meanwhile.
            Err(error) if format!("{error:#}").contains("Address already in use") => {
                Self::attempt(&home, extra, guarded)
            }
            Err(error) => Err(error),
        }
    }

    fn attempt(home: &Path, extra: &[(&str, &str)], guarded: bool) -> Result<Self> {
        let data = TempDir::new("pulsar")?;
        let dir = data.path();
        let files = certificates(dir)?;
        let [plain, tls, web, web_tls, bookie, proxy_plain, proxy_tls, proxy_web] = free_ports()?;
        let tls_settings = settings([
            ("tlsCertificateFilePath", files.certificate.display().to_string()),
            ("tlsKeyFilePath", files.key.display().to_string()),
            ("tlsTrustCertsFilePath", files.authority.display().to_string()),
        ]);

        let interceptors = ["AppendBrokerTimestampMetadataInterceptor", "AppendIndexMetadataInterceptor"]
            .map(|name| format!("org.apache.pulsar.common.intercept.{name}"));
        let mut broker = settings([
            ("clusterName", "standalone".into()),
            ("bindAddress", "127.0.0.1".into()),
            ("advertisedAddress", "localhost".into()),
            ("brokerServicePort", plain.to_string()),
            ("brokerServicePortTls", tls.to_string()),
            ("webServicePort", web.to_string()),
            ("webServicePortTls", web_tls.to_string()),
            ("webSocketServiceEnabled", "true".into()),
            ("loadBalancerEnabled", "false".into()),
            ("transactionCoordinatorEnabled", "true".into()),
            ("systemTopicEnabled", "true".into()),
            ("topicLevelPoliciesEnabled", "true".into()),
            ("acknowledgmentAtBatchIndexLevelEnabled", "true".into()),
            ("brokerDeleteInactiveTopicsEnabled", "false".into()),
            ("journalSyncData", "false".into()),
            ("exposingBrokerEntryMetadataToClientEnabled", "true".into()),
            ("diskUsageThreshold", "0.99".into()),
            ("diskUsageWarnThreshold", "0.98".into()),
            ("brokerEntryMetadataInterceptors", interceptors.join(",")),
        ]);
        broker.extend(tls_settings.clone());
        let guard = if guarded { Some(guard(home, dir)?) } else { None };
        let token = guard.as_ref().map(|guard| guard.admin.as_str());
        broker.extend(guard.iter().flat_map(|guard| guard.broker.clone()));
        broker.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let broker_file = dir.join("standalone.conf");
        std::fs::write(&broker_file, configuration(&home.join("conf/standalone.conf"), &broker)?)?;
        let (metadata, books) =
            (dir.join("meta").display().to_string(), dir.join("books").display().to_string());
        let bookie = bookie.to_string();
        let mut arguments = vec!["-nfw", "-nss", "--metadata-dir", &metadata, "--bookkeeper-dir", &books];
        arguments.extend(["--bookkeeper-port", &bookie]);
        let environment = [
            ("PULSAR_STANDALONE_CONF", broker_file.display().to_string()),
            ("PULSAR_MEM", "-Xms256m -Xmx2g -XX:MaxDirectMemorySize=768m".to_owned()),
        ];
        let mut broker = Server::start(home, dir, "standalone", &arguments, &environment)?;
        broker.ready_for("Apache Pulsar standalone", web, "/admin/v2/brokers/health", token)?;
        let broker_ready = Instant::now();

        let mut proxy = settings([
            ("clusterName", "standalone".into()),
            ("bindAddress", "127.0.0.1".into()),
            ("advertisedAddress", "localhost".into()),
            ("servicePort", proxy_plain.to_string()),
            ("servicePortTls", proxy_tls.to_string()),
            ("webServicePort", proxy_web.to_string()),
            ("brokerServiceURL", format!("pulsar://localhost:{plain}")),
            ("brokerWebServiceURL", format!("http://localhost:{web}")),
            ("brokerProxyAllowedHostNames", "localhost".into()),
            ("brokerProxyAllowedIPAddresses", "127.0.0.1".into()),
            ("brokerProxyAllowedTargetPorts", format!("{plain},{tls}")),
            ("webSocketServiceEnabled", "true".into()),
        ]);
        proxy.extend(tls_settings);
        proxy.extend(guard.iter().flat_map(|guard| guard.proxy.clone()));
        let proxy_file = dir.join("proxy.conf");
        std::fs::write(&proxy_file, configuration(&home.join("conf/proxy.conf"), &proxy)?)?;
        let environment = [
            ("PULSAR_PROXY_CONF", proxy_file.display().to_string()),
            ("PULSAR_MEM", "-Xms64m -Xmx256m -XX:MaxDirectMemorySize=256m".to_owned()),
        ];
        let mut proxy = Server::start(home, dir, "proxy", &[], &environment)?;
        proxy.ready_for("the Apache Pulsar proxy", proxy_web, "/admin/v2/brokers/health", token)?;

        Ok(Self {
            broker_url: format!("pulsar://localhost:{plain}"),
            broker_url_tls: format!("pulsar+ssl://localhost:{tls}"),
            web_url: format!("http://localhost:{web}"),
            web_url_tls: format!("https://localhost:{web_tls}"),
            proxy_url: format!("pulsar://localhost:{proxy_plain}"),
            proxy_url_tls: format!("pulsar+ssl://localhost:{proxy_tls}"),
            proxy_web_url: format!("http://localhost:{proxy_web}"),
            ca_pem: files.authority,
            pulsar_home: home.to_owned(),
            proxy_took: broker_ready.elapsed(),
            proxy,
            broker,
            data,
        })
    }

    /// What test processes are told, as environment variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PULSAR_BROKER_URL", self.broker_url.clone()),
            ("PULSAR_BROKER_URL_TLS", self.broker_url_tls.clone()),
            ("PULSAR_WEB_URL", self.web_url.clone()),
            ("PULSAR_WEB_URL_TLS", self.web_url_tls.clone()),
            ("PULSAR_PROXY_URL", self.proxy_url.clone()),
            ("PULSAR_PROXY_URL_TLS", self.proxy_url_tls.clone()),
            ("PULSAR_PROXY_WEB_URL", self.proxy_web_url.clone()),
            ("PULSAR_CA_PEM", self.ca_pem.display().to_string()),
            ("PULSAR_HOME", self.pulsar_home.display().to_string()),
        ]
    }

    /// Process ids of the broker and of the proxy.
    pub fn processes(&self) -> [u32; 2] {
        [self.broker.child.id(), self.proxy.child.id()]
    }

    /// How long the proxy took to start, after the broker was ready.
    pub fn proxy_start(&self) -> Duration {
        self.proxy_took
    }

    /// The log files of the broker and of the proxy.
    pub fn logs(&self) -> [&Path; 2] {
        [&self.broker.log, &self.proxy.log]
    }

    /// An error if either has ended meanwhile.
    pub fn check(&mut self) -> Result<()> {
        for (name, server) in [("broker", &mut self.broker), ("proxy", &mut self.proxy)] {
            if let Some(status) = server.child.try_wait()? {
                bail!("the Pulsar {name} ended with {status}\n{}", tail(&server.log, 30));
            }
        }
        Ok(())
    }

    /// Where everything that belongs to this start is.
    pub fn data(&self) -> &Path {
        self.data.path()
    }
}

/// `cargo xtask pulsar`: runs one in the foreground until Ctrl-C.
pub fn foreground() -> Result<()> {
    let (sender, stop) = std::sync::mpsc::channel();
    let interrupt = sender.clone();
    ctrlc::set_handler(move || {
        let _ = interrupt.send(());
    })?;
    let mut pulsar = RealPulsar::start()?;
    println!("Apache Pulsar {VERSION} is ready.");
    for (name, value) in pulsar.environment() {
        println!("  {name}={value}");
    }
    for log in pulsar.logs() {
        println!("  log: {}", log.display());
    }
    println!("Ctrl-C ends it.");
    loop {
        match stop.recv_timeout(Duration::from_secs(1)) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => pulsar.check()?,
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_written_once() {
        let dir = TempDir::new("configuration").expect("a directory");
        let file = dir.path().join("a.conf");
        std::fs::write(&file, "# tls=1\na=1\nb = 2\na=3\n").expect("written");
        let text = configuration(&file, &settings([("a", "9".into()), ("c", "4".into())])).expect("read");
        assert_eq!(text, "# tls=1\nb = 2\na=9\nc=4\n");
    }
}
