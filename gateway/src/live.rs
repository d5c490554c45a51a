//! What may change while the gateway runs: one value, replaced as a whole. A connection keeps the one that it
//! began with.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_rustls::TlsAcceptor;

use crate::brokers::Brokers;
use crate::config::{GatewayConfig, Upstream};
use crate::error::{ConfigError, ConfigErrors, Problem};
use crate::limits::Limits;
use crate::narrow::NarrowRules;
use crate::origin::OriginRule;
use crate::resolve::Resolver;
use crate::tls::{self, UpstreamConnector};
use crate::token::TokenCheck;

/// No more often are files looked at.
const SOONEST: Duration = Duration::from_millis(10);

/// A configuration, checked, with its files read.
pub(crate) struct Live {
    pub(crate) origins: OriginRule,
    pub(crate) tokens: Option<TokenCheck>,
    pub(crate) narrow: NarrowRules,
    pub(crate) acceptor: Option<TlsAcceptor>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) brokers: Option<Brokers>,
    pub(crate) connector: Option<UpstreamConnector>,
    pub(crate) resolver: Resolver,
    pub(crate) reveal_upstream: bool,
    pub(crate) limits: Limits,
    /// What it was made of.
    pub(crate) config: GatewayConfig,
}

impl Live {
    /// Checks everything, and makes what the checks need to make anyway.
    pub(crate) fn prepare(config: &GatewayConfig) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        if let Some(admin) = config.admin_listen
            && admin.port() == config.listen.port()
            && admin.port() != 0
            && (admin.ip() == config.listen.ip()
                || admin.ip().is_unspecified()
                || config.listen.ip().is_unspecified())
        {
            errors.push(ConfigError::at("admin_listen", Problem::SameAsListen));
        }
        config.limits.check(&mut errors);
        let (value, high) = (config.watch_files, Duration::from_secs(24 * 3600));
        if value > high || !value.is_zero() && value < SOONEST {
            errors.push(ConfigError::at(
                "watch_files",
                Problem::DurationOutOfRange { value, low: SOONEST, high },
            ));
        }
        let acceptor = config.tls.as_ref().and_then(|listen| tls::acceptor(listen, &mut errors));
        if let Some(brokers) = &config.brokers {
            brokers.check(&mut errors);
        }
        let own = config.upstream.as_ref().filter(|upstream| upstream.tls).map(Upstream::host);
        let by_tls = own.is_some() || config.brokers.as_ref().is_some_and(|brokers| brokers.tls);
        let options = config.upstream_tls.as_ref();
        if !by_tls && options.is_some() {
            errors.push(ConfigError::at("upstream_tls", Problem::UpstreamIsNotTls));
        }
        // What the options say is looked at all the same.
        let said = options.is_some_and(|tls| tls.authorities.is_some() || tls.server_name.is_some());
        let connector = match by_tls || said {
            true => tls::connector(own.as_deref(), options, &mut errors),
            false => None,
        };
        let tokens = config.tokens.as_ref().map(|tokens| TokenCheck::prepare(tokens, &mut errors));
        let narrow = NarrowRules::prepare(&config.narrow, &mut errors);
        for (number, rule) in config.narrow.iter().enumerate() {
            if !rule.subjects.is_empty() && config.tokens.is_none() {
                errors.push(ConfigError::at(format!("narrow[{number}].subjects"), Problem::NeedsTokens));
            }
        }
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        Ok(Live {
            origins: OriginRule {
                allowed: config.allow_origins.clone(),
                allow_missing: config.allow_missing_origin,
                scheme: if config.tls.is_some() || config.behind_tls { "https" } else { "http" },
                host_names: config.host_names.clone(),
            },
            tokens,
            narrow,
            acceptor,
            upstream: config.upstream.clone(),
            brokers: config.brokers.clone(),
            connector,
            resolver: config.resolver.clone(),
            reveal_upstream: config.reveal_upstream,
            limits: config.limits.clone(),
            config: config.clone(),
        })
    }

    /// Whether there is anything to forward to.
    pub(crate) fn has_upstream(&self) -> bool {
        self.upstream.is_some() || self.brokers.is_some()
    }

    /// Whether the client's first frame has to be read.
    pub(crate) fn reads_first_frame(&self) -> bool {
        self.brokers.is_some() || self.tokens.as_ref().is_some_and(TokenCheck::maps)
    }
}

/// The one that new connections get.
pub(crate) struct Current(RwLock<Arc<Live>>);

impl Current {
    pub(crate) fn new(live: Live) -> Self {
        Current(RwLock::new(Arc::new(live)))
    }

    pub(crate) fn get(&self) -> Arc<Live> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the same configuration of its files anew; `false` if another one has taken its place since.
    pub(crate) fn reread(&self, seen: &Arc<Live>) -> Result<bool, ConfigErrors> {
        let live = Arc::new(Live::prepare(&seen.config)?);
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let same = Arc::ptr_eq(&current, seen);
        if same {
            *current = live;
        }
        Ok(same)
    }

    /// Puts another configuration in its place, if it differs in nothing that is fixed and nothing was `wrong` with it
    /// before.
    pub(crate) fn replace(
        &self,
        config: &GatewayConfig,
        wrong: Vec<ConfigError>,
    ) -> Result<(), ConfigErrors> {
        let now = self.get();
        let mut errors: Vec<ConfigError> = [
            ("listen", now.config.listen != config.listen),
            ("admin_listen", now.config.admin_listen != config.admin_listen),
            ("tls", now.config.tls.is_some() != config.tls.is_some()),
        ]
        .into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(key, _)| ConfigError::at(key, Problem::Fixed))
        .collect();
        match Live::prepare(config) {
            Ok(live) if errors.is_empty() && wrong.is_empty() => {
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
                return Ok(());
            }
            Ok(_) => {}
            Err(found) => errors.extend(found.0),
        }
        ConfigErrors::beside(wrong, errors)
    }
}
