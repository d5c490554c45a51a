//! A broker of an older Apache Pulsar, for what our client does where its peer knows less.
//!
//! The registry holds no distribution of it, but its jars; what stands around them is the tested distribution's.

use crate::pulsar::{Server, configuration, scratch, settings};
use crate::util::{TempDir, cache_dir, free_ports, root, run};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version: it speaks protocol 19, and knows no feature flags.
pub const VERSION: &str = "2.10.5";

/// What `bin/pulsar` of the distribution opens for Java 17.
const OPENED: [&str; 7] = [
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/java.util.zip",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.platform",
    "java.management/sun.management",
    "jdk.management/com.sun.management.internal",
];

/// Its jars, fetched the first time.
pub(crate) fn jars() -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("apache-pulsar-broker-{VERSION}"));
    let ready = dir.join("ready");
    if !ready.is_file() {
        crate::setup::maven()?;
        println!(
            "fetching the jars of Apache Pulsar {VERSION} (170 MB, kept for the next time): an older broker shows that our client falls back"
        );
        let mut maven = Command::new("mvn");
        maven.args(["-B", "-q", "-f"]).arg(root().join("tests/world/older.xml"));
        maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        run(maven.arg(format!("-DoutputDirectory={}", dir.display())))?;
        std::fs::write(&ready, VERSION)?;
    }
    Ok(dir)
}

/// A running one.
#[derive(Debug)]
pub struct OlderPulsar {
    /// `pulsar://` of the broker.
    pub broker_url: String,
    /// `http://` of its admin API.
    pub web_url: String,
    // Dropped in this order.
    _server: Server,
    _data: TempDir,
}

impl OlderPulsar {
    /// Starts it and waits until it answers.
    pub fn start() -> Result<Self> {
        crate::setup::jdk()?;
        let (home, jars) = (crate::pulsar::distribution()?, jars()?);
        match Self::attempt(&home, &jars) {
            // Another process may have taken one of the free ports meanwhile.
            Err(error) if format!("{error:#}").contains("Address already in use") => {
                Self::attempt(&home, &jars)
            }
            started => started,
        }
    }

    fn attempt(home: &Path, jars: &Path) -> Result<Self> {
        let data = TempDir::new("older-pulsar")?;
        let dir = data.path();
        let [plain, web, keeper, bookie] = free_ports()?;
        let broker = settings([
            ("clusterName", "standalone".into()),
            ("bindAddress", "127.0.0.1".into()),
            ("advertisedAddress", "localhost".into()),
            ("brokerServicePort", plain.to_string()),
            ("webServicePort", web.to_string()),
            ("loadBalancerEnabled", "false".into()),
            ("acknowledgmentAtBatchIndexLevelEnabled", "true".into()),
            ("brokerDeleteInactiveTopicsEnabled", "false".into()),
            ("journalSyncData", "false".into()),
            ("diskUsageThreshold", "0.99".into()),
            ("diskUsageWarnThreshold", "0.98".into()),
        ]);
        let file = dir.join("standalone.conf");
        std::fs::write(&file, configuration(&home.join("conf/standalone.conf"), &broker)?)?;
        std::fs::copy(home.join("conf/log4j2.yaml"), dir.join("log4j2.yaml"))?;
        let text = |path: &Path| path.display().to_string();
        let mut arguments: Vec<String> =
            OPENED.iter().map(|package| format!("--add-opens={package}=ALL-UNNAMED")).collect();
        arguments.extend(
            ["-Xms128m", "-Xmx512m", "-XX:MaxDirectMemorySize=512m", "-XX:+UseSerialGC"].map(String::from),
        );
        arguments.extend([
            "-Dio.netty.tryReflectionSetAccessible=true".to_owned(),
            "-Djute.maxbuffer=10485760".to_owned(),
            "-Dpulsar.log.appender=Console".to_owned(),
            format!("-Dpulsar.log.dir={}", text(&dir.join("logs"))),
            format!("-Djava.io.tmpdir={}", text(&scratch(dir, "broker")?)),
            "-cp".to_owned(),
            format!("{}:{}", text(dir), text(&jars.join("*"))),
            "org.apache.pulsar.PulsarStandaloneStarter".to_owned(),
        ]);
        for (name, value) in [
            ("--config", text(&file)),
            ("--zookeeper-dir", text(&dir.join("keeper"))),
            ("--zookeeper-port", keeper.to_string()),
            ("--bookkeeper-dir", text(&dir.join("books"))),
            ("--bookkeeper-port", bookie.to_string()),
        ] {
            arguments.extend([name.to_owned(), value]);
        }
        arguments.extend(["-nfw", "-nss"].map(String::from));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut server = Server::run(Path::new("java"), dir, "broker", &arguments, &[])?;
        server.ready(&format!("Apache Pulsar {VERSION}"), web, "/admin/v2/brokers/health")?;
        Ok(Self {
            broker_url: format!("pulsar://localhost:{plain}"),
            web_url: format!("http://localhost:{web}"),
            _server: server,
            _data: data,
        })
    }

    /// What test processes are told, as environment variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("PULSAR_OLDER_URL", self.broker_url.clone()), ("PULSAR_OLDER_WEB_URL", self.web_url.clone())]
    }
}
