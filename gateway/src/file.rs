//! The configuration file: TOML whose keys are the fields of [`GatewayConfig`].
//!
//! ```toml
//! listen = "0.0.0.0:443"
//! admin_listen = "127.0.0.1:9090"
//! upstream = "pulsar+ssl://pulsar-proxy:6651"
//! allow_origins = ["https://app.example"]
//!
//! [tls]
//! certificates = "/etc/pulsewire/cert.pem"
//! key = "/etc/pulsewire/key.pem"
//!
//! [limits]
//! max_connections = 20000
//! idle_timeout = "10m"
//! ```
//!
//! Relative paths are relative to the file. Durations are texts: `500ms`, `10s`, `5m`, `1h`. Every key that
//! is unknown and every value that is none is told, together with what [`GatewayConfig::validate`] finds.

use std::fmt::Display;
use std::net::{AddrParseError, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::{Table, Value};

use crate::brokers::Brokers;
use crate::config::{GatewayConfig, ListenTls, Pem, UpstreamTls};
use crate::error::{ConfigError, ConfigErrors, Problem};
use crate::narrow::Narrow;
use crate::token::{PulsarToken, Tokens};

impl GatewayConfig {
    /// Changes the configuration to what a file says; what it does not name stays as it is. What is wrong
    /// is left out of the configuration and returned; nothing has been validated yet.
    ///
    /// # Errors
    /// The file cannot be read, or is no TOML.
    pub fn read_file(&mut self, path: &Path) -> Result<Vec<ConfigError>, ConfigErrors> {
        let failed = |problem| ConfigErrors(vec![ConfigError::at(path.display().to_string(), problem)]);
        let text = std::fs::read_to_string(path)
            .map_err(|error| failed(Problem::Unreadable { path: path.to_owned(), why: error.to_string() }))?;
        let table: Table =
            text.parse().map_err(|error: toml::de::Error| failed(Problem::NotToml(place(&text, &error))))?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut wrong = Vec::new();
        self.read_table(Keys { table, path: String::new(), directory: &directory, wrong: &mut wrong });
        Ok(wrong)
    }

    fn read_table(&mut self, mut keys: Keys<'_>) {
        keys.parsed("listen", "an address with a port", &mut self.listen);
        let mut admin = AdminAddress(self.listen);
        if keys.parsed("admin_listen", "an address with a port, or a port of loopback", &mut admin) {
            self.admin_listen = Some(admin.0);
        }
        if let Some(upstream) = keys.one("upstream") {
            self.upstream = Some(upstream);
        }
        keys.flag("reveal_upstream", &mut self.reveal_upstream);
        keys.flag("allow_missing_origin", &mut self.allow_missing_origin);
        if let Some(origins) = keys.several("allow_origins") {
            self.allow_origins = origins;
        }
        keys.duration("watch_files", &mut self.watch_files);
        if let Some(proxies) = keys.several("trusted_proxies") {
            self.trusted_proxies = proxies;
        }
        if let Some(names) = keys.several("host_names") {
            self.host_names = names;
        }
        keys.flag("behind_tls", &mut self.behind_tls);
        if let Some(mut tls) = keys.table("tls") {
            let (certificates, key) = (tls.file("certificates"), tls.file("key"));
            for (name, file) in [("certificates", &certificates), ("key", &key)] {
                if file.is_none() {
                    tls.wrong(name, Problem::Missing);
                }
            }
            tls.end();
            if let (Some(certificates), Some(key)) = (certificates, key) {
                self.tls = Some(ListenTls { certificates: Pem::File(certificates), key: Pem::File(key) });
            }
        }
        if let Some(mut tls) = keys.table("upstream_tls") {
            let authorities = tls.file("authorities").map(Pem::File);
            self.upstream_tls = Some(UpstreamTls { authorities, server_name: tls.text("server_name") });
            tls.end();
        }
        if let Some(mut brokers) = keys.table("brokers") {
            let mut own = Brokers {
                hosts: brokers.several("hosts").unwrap_or_default(),
                ports: brokers.ports("ports"),
                networks: brokers.several("networks").unwrap_or_default(),
                tls: false,
            };
            brokers.flag("tls", &mut own.tls);
            brokers.end();
            self.brokers = Some(own);
        }
        if let Some(mut tokens) = keys.table("tokens") {
            let mut own = Tokens {
                from: tokens.several("from").unwrap_or_default(),
                secret_files: tokens.files("secret_files"),
                public_key_files: tokens.files("public_key_files"),
                jwks_files: tokens.files("jwks_files"),
                ..Tokens::default()
            };
            for (key, into) in [("issuers", &mut own.issuers), ("audiences", &mut own.audiences)] {
                if let Some(list) = tokens.several(key) {
                    *into = list;
                    tokens.guard(key, into.is_empty());
                }
            }
            let mut leeway = Duration::ZERO;
            if tokens.duration("leeway", &mut leeway) {
                own.leeway = Some(leeway);
            }
            tokens.flag("outlive_expiry", &mut own.outlive_expiry);
            tokens.each("pulsar", |entry| {
                let (subject, file) = (entry.text("subject"), entry.file("file"));
                for (name, missing) in [("subject", subject.is_none()), ("file", file.is_none())] {
                    if missing {
                        entry.wrong(name, Problem::Missing);
                    }
                }
                if let (Some(subject), Some(file)) = (subject, file) {
                    own.pulsar.push(PulsarToken { subject, file });
                }
            });
            tokens.end();
            self.tokens = Some(own);
        }
        let mut narrow = Vec::new();
        keys.each("narrow", |rule| {
            let mut own = Narrow::default();
            if let Some(origins) = rule.several("origins") {
                own.origins = origins;
                rule.guard("origins", own.origins.is_empty());
            }
            if let Some(subjects) = rule.several("subjects") {
                own.subjects = subjects;
                rule.guard("subjects", own.subjects.is_empty());
            }
            own.produce = rule.several("produce").unwrap_or_default();
            own.consume = rule.several("consume").unwrap_or_default();
            narrow.push(own);
        });
        if !narrow.is_empty() {
            self.narrow = narrow;
        }
        if let Some(mut limits) = keys.table("limits") {
            let own = &mut self.limits;
            limits.number("max_connections_per_address", &mut own.max_connections_per_address);
            limits.optional_number("max_connections_per_origin", &mut own.max_connections_per_origin);
            limits.optional_number("bytes_per_second", &mut own.bytes_per_second);
            if let Some(over) = limits.one("over_rate") {
                own.over_rate = over;
            }
            limits.duration("lame_duck", &mut own.lame_duck);
            limits.number("max_connections", &mut own.max_connections);
            limits.number("buffer_bytes", &mut own.buffer_bytes);
            limits.number("max_frame_bytes", &mut own.max_frame_bytes);
            limits.duration("handshake_timeout", &mut own.handshake_timeout);
            limits.duration("connect_timeout", &mut own.connect_timeout);
            limits.duration("idle_timeout", &mut own.idle_timeout);
            limits.duration("message_timeout", &mut own.message_timeout);
            limits.duration("slow_client_timeout", &mut own.slow_client_timeout);
            limits.duration("close_timeout", &mut own.close_timeout);
            limits.end();
        }
        keys.end();
    }
}

/// What is wrong and where, without the text there: it may be a secret.
fn place(text: &str, error: &toml::de::Error) -> String {
    let said = error.message().lines().next().unwrap_or_default();
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let (line, column) =
        (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
    format!("line {line}, column {column}: {said}")
}

/// A value as it may be shown: without a user's name and password.
fn without_credentials(text: String) -> String {
    let Some(at) = text.rfind('@') else { return text };
    let from = text.find("://").map_or(0, |scheme| scheme + 3).min(at);
    format!("{}...{}", &text[..from], &text[at..])
}

/// Where the admin listener is: `address:port`, or a port alone, which is on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminAddress(pub SocketAddr);

impl FromStr for AdminAddress {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text.parse::<u16>() {
            Ok(port) => Ok(AdminAddress(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))),
            Err(_) => text.parse().map(AdminAddress),
        }
    }
}

/// What is left of a table: keys are taken out as they are read.
struct Keys<'a> {
    table: Table,
    /// Of the table, with a dot behind it; empty at the top.
    path: String,
    directory: &'a Path,
    wrong: &'a mut Vec<ConfigError>,
}

impl Keys<'_> {
    fn wrong(&mut self, key: &str, problem: Problem) {
        self.wrong.push(ConfigError::at(format!("{}{key}", self.path), problem));
    }

    fn expected(&mut self, key: &str, what: &'static str) {
        self.wrong(key, Problem::Expected(what));
    }

    /// A list that guards is not empty by mistake.
    fn guard(&mut self, key: &str, empty: bool) {
        if empty {
            self.wrong(key, Problem::EmptyGuard);
        }
    }

    fn table(&mut self, key: &str) -> Option<Keys<'_>> {
        match self.table.remove(key)? {
            Value::Table(table) => {
                let path = format!("{}{key}.", self.path);
                Some(Keys { table, path, directory: self.directory, wrong: self.wrong })
            }
            _ => {
                self.expected(key, "a table");
                None
            }
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.expected(key, "a text");
                None
            }
        }
    }

    fn file(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|text| self.directory.join(text))
    }

    fn flag(&mut self, key: &str, into: &mut bool) {
        match self.table.remove(key) {
            Some(Value::Boolean(value)) => *into = value,
            Some(_) => self.expected(key, "true or false"),
            None => {}
        }
    }

    fn number(&mut self, key: &str, into: &mut usize) {
        match self.table.remove(key) {
            Some(Value::Integer(value)) if value >= 0 => *into = usize::try_from(value).unwrap_or(usize::MAX),
            Some(_) => self.expected(key, "a whole number"),
            None => {}
        }
    }

    fn optional_number(&mut self, key: &str, into: &mut Option<usize>) {
        if self.table.contains_key(key) {
            let mut number = 0;
            self.number(key, &mut number);
            *into = Some(number);
        }
    }

    /// Whether there was one.
    fn duration(&mut self, key: &str, into: &mut Duration) -> bool {
        let Some(value) = self.table.remove(key) else { return false };
        let duration = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        match duration {
            Some(duration) => *into = duration,
            None => self.expected(key, "a duration, as \"500ms\", \"10s\", \"5m\" or \"1h\""),
        }
        duration.is_some()
    }

    fn ports(&mut self, key: &str) -> Vec<u16> {
        let Some(value) = self.table.remove(key) else { return Vec::new() };
        let port = |value: &Value| value.as_integer().and_then(|port| u16::try_from(port).ok());
        let ports = value.as_array().map(|all| all.iter().map(port).collect::<Option<Vec<_>>>());
        match ports {
            Some(Some(ports)) => ports,
            _ => {
                self.expected(key, "a list of ports");
                Vec::new()
            }
        }
    }

    fn files(&mut self, key: &str) -> Vec<PathBuf> {
        let names: Vec<String> = self.several(key).unwrap_or_default();
        names.into_iter().map(|name| self.directory.join(name)).collect()
    }

    /// Reads each table of a list of tables.
    fn each(&mut self, key: &str, mut read: impl FnMut(&mut Keys<'_>)) {
        let Some(value) = self.table.remove(key) else { return };
        let Value::Array(list) = value else { return self.expected(key, "a list of tables") };
        self.guard(key, list.is_empty());
        for (number, value) in list.into_iter().enumerate() {
            let Value::Table(table) = value else {
                self.expected(key, "a list of tables");
                continue;
            };
            let path = format!("{}{key}[{number}].", self.path);
            let mut keys = Keys { table, path, directory: self.directory, wrong: self.wrong };
            read(&mut keys);
            keys.end();
        }
    }

    /// Whether there was a value of the kind.
    fn parsed<T: FromStr>(&mut self, key: &str, what: &'static str, into: &mut T) -> bool {
        let Some(text) = self.text(key) else { return false };
        match text.parse() {
            Ok(value) => {
                *into = value;
                true
            }
            Err(_) => {
                self.expected(key, what);
                false
            }
        }
    }

    /// A text whose own error says what it should be.
    fn one<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        text.parse()
            .map_err(|error: T::Err| {
                let why = error.to_string();
                self.wrong(key, Problem::Value { value: without_credentials(text), why });
            })
            .ok()
    }

    fn several<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<Vec<T>> {
        let Value::Array(values) = self.table.remove(key)? else {
            self.expected(key, "a list of texts");
            return None;
        };
        let mut all = Vec::new();
        for value in values {
            match value {
                Value::String(text) => match text.parse() {
                    Ok(value) => all.push(value),
                    Err(error) => {
                        let why = T::Err::to_string(&error);
                        self.wrong(key, Problem::Value { value: without_credentials(text), why });
                    }
                },
                _ => self.expected(key, "a list of texts"),
            }
        }
        Some(all)
    }

    /// What is left is not known.
    fn end(&mut self) {
        for key in std::mem::take(&mut self.table).keys() {
            self.wrong(key, Problem::UnknownKey);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (GatewayConfig, Vec<String>) {
        let table = text.parse().expect("TOML");
        let mut config = GatewayConfig::new(([127, 0, 0, 1], 0).into());
        let mut wrong = Vec::new();
        config.read_table(Keys {
            table,
            path: String::new(),
            directory: Path::new("/etc/pw"),
            wrong: &mut wrong,
        });
        (config, wrong.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_admin_listener_is_on_loopback_unless_told() {
        for (text, address) in
            [("9090", "127.0.0.1:9090"), ("[::1]:9", "[::1]:9"), ("0.0.0.0:9", "0.0.0.0:9")]
        {
            let (config, wrong) = read(&format!("admin_listen = \"{text}\""));
            assert_eq!((config.admin_listen, wrong.len()), (address.parse().ok(), 0), "{text}");
        }
        for text in ["65536", "localhost", ":9090", ""] {
            assert_eq!(read(&format!("admin_listen = \"{text}\"")).1.len(), 1, "{text}");
        }
    }

    #[test]
    fn every_key_is_read() {
        let (config, wrong) = read(
            r#"
            listen = "0.0.0.0:443"
            admin_listen = "[::1]:9090"
            upstream = "pulsar+ssl://proxy"
            reveal_upstream = true
            watch_files = "1m"
            trusted_proxies = ["10.1.0.0/16", "fd00::/8"]
            allow_origins = ["https://app.example", "https://b.example:8443"]
            allow_missing_origin = true
            host_names = ["gw.example"]
            behind_tls = true
            [brokers]
            hosts = ["broker-*.pulsar.svc", "10.0.0.5"]
            ports = [6650, 6651]
            networks = ["10.0.0.0/8"]
            tls = true
            [tokens]
            from = ["header", "cookie:session", "subprotocol", "query:token"]
            secret_files = ["secret"]
            public_key_files = ["rsa.pem"]
            jwks_files = ["jwks.json"]
            issuers = ["https://login.example"]
            audiences = ["gateway"]
            leeway = "5s"
            outlive_expiry = true
            [[tokens.pulsar]]
            subject = "app-*"
            file = "app.jwt"
            [[narrow]]
            origins = ["https://app.example"]
            subjects = ["app-*"]
            produce = ["orders-*"]
            consume = ["persistent://acme/shop/in"]
            [[narrow]]
            consume = ["public/default/news"]
            [tls]
            certificates = "cert.pem"
            key = "/keys/key.pem"
            [upstream_tls]
            authorities = "ca.pem"
            server_name = "pulsar.internal"
            [limits]
            max_connections = 7
            buffer_bytes = 8192
            max_frame_bytes = 4096
            handshake_timeout = "1s"
            connect_timeout = "2s"
            idle_timeout = "10m"
            message_timeout = "7s"
            slow_client_timeout = "1500ms"
            close_timeout = "3s"
            lame_duck = "1m"
            max_connections_per_address = 5
            max_connections_per_origin = 6
            bytes_per_second = 9000
            over_rate = "close"
            "#,
        );
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(config.listen.to_string(), "0.0.0.0:443");
        assert_eq!(config.admin_listen.map(|a| a.to_string()).as_deref(), Some("[::1]:9090"));
        assert_eq!(config.upstream.map(|u| u.to_string()).as_deref(), Some("pulsar+ssl://proxy:6651"));
        assert!(config.reveal_upstream && config.allow_missing_origin);
        assert_eq!((config.allow_origins.len(), config.host_names.len(), config.behind_tls), (2, 1, true));
        assert_eq!((config.watch_files, config.trusted_proxies.len()), (Duration::from_secs(60), 2));
        let tls = format!("{:?}", config.tls);
        assert!(tls.contains("/etc/pw/cert.pem") && tls.contains("\"/keys/key.pem\""), "{tls}");
        let upstream_tls = format!("{:?}", config.upstream_tls);
        assert!(upstream_tls.contains("/etc/pw/ca.pem") && upstream_tls.contains("pulsar.internal"));
        let limits = config.limits;
        assert_eq!((limits.max_connections, limits.buffer_bytes, limits.max_frame_bytes), (7, 8192, 4096));
        let ms = |d: Duration| d.as_millis();
        assert_eq!((ms(limits.handshake_timeout), ms(limits.connect_timeout)), (1000, 2000));
        assert_eq!((ms(limits.idle_timeout), ms(limits.close_timeout)), (600_000, 3000));
        assert_eq!(ms(limits.message_timeout), 7000);
        assert_eq!((ms(limits.slow_client_timeout), ms(limits.lame_duck)), (1500, 60_000));
        assert_eq!((limits.max_connections_per_address, limits.max_connections_per_origin), (5, Some(6)));
        assert_eq!((limits.bytes_per_second, limits.over_rate), (Some(9000), crate::OverRate::Close));
        let brokers = config.brokers.expect("brokers");
        assert_eq!((brokers.hosts.len(), brokers.ports.len(), brokers.networks.len()), (2, 2, 1));
        assert!(brokers.tls);
        let tokens = config.tokens.expect("tokens");
        assert_eq!((tokens.from.len(), tokens.issuers.len(), tokens.audiences.len()), (4, 1, 1));
        assert_eq!(tokens.secret_files, [Path::new("/etc/pw/secret")]);
        assert_eq!((tokens.public_key_files.len(), tokens.jwks_files.len()), (1, 1));
        assert_eq!((tokens.leeway, tokens.outlive_expiry), (Some(Duration::from_secs(5)), true));
        assert_eq!(tokens.pulsar[0].file, Path::new("/etc/pw/app.jwt"));
        assert_eq!(config.narrow.len(), 2);
        assert_eq!((config.narrow[0].produce.len(), config.narrow[1].produce.len()), (1, 0));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let (_, wrong) = read(
            r#"
            listen = "here"
            upstream = "http://x"
            allow_origins = ["foo", 7]
            allow_missing_origin = "yes"
            surprise = 1
            [tls]
            certificates = "cert.pem"
            [limits]
            max_connections = -1
            idle_timeout = 10
            max_conections = 5
            over_rate = "explode"
            [brokers]
            hosts = ["*"]
            ports = [66500]
            [tokens]
            from = ["pocket"]
            issuers = []
            [[tokens.pulsar]]
            subject = "x"
            [[narrow]]
            subjects = []
            topics = ["a"]
            "#,
        );
        let expected = [
            "listen: expected an address with a port",
            "upstream: \"http://x\": expected pulsar://host:port or pulsar+ssl://host:port",
            "allow_missing_origin: expected true or false",
            "allow_origins: \"foo\": no scheme, expected https://host[:port]",
            "allow_origins: expected a list of texts",
            "tls.key: it is missing",
            "brokers.hosts: \"*\": every host would match; the last label has to be written out, as in broker-*.example",
            "brokers.ports: expected a list of ports",
            "tokens.from: \"pocket\": expected \"header\", \"subprotocol\", \"cookie:NAME\" or \"query:NAME\"",
            "tokens.issuers: an empty list guards nothing and lets nothing through; name what may pass",
            "tokens.pulsar[0].file: it is missing",
            "narrow[0].subjects: an empty list guards nothing and lets nothing through; name what may pass",
            "narrow[0].topics: no such key",
            "limits.over_rate: \"explode\": expected \"pace\" or \"close\"",
            "limits.max_connections: expected a whole number",
            "limits.idle_timeout: expected a duration, as \"500ms\", \"10s\", \"5m\" or \"1h\"",
            "limits.max_conections: no such key",
            "surprise: no such key",
        ];
        assert_eq!(wrong, expected);
    }
}
