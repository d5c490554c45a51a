//! Certificates, keys and tokens that are replaced on disk are taken without anybody saying so.
//!
//! Files are read anew and compared, whatever their times say: a mount of Kubernetes, for one, is replaced by a
//! link that leads elsewhere.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::config::{GatewayConfig, Pem};
use crate::connection::Core;

/// How often it is asked whether there is anything to watch, where nothing is watched.
const NOTHING: Duration = Duration::from_secs(5);

/// Which files a configuration names, and what is in them; nothing where one cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents(Vec<(PathBuf, Option<u64>)>);

impl Contents {
    pub(crate) fn read(config: &GatewayConfig) -> Self {
        // The bytes themselves are secrets.
        let digest = |path: PathBuf| {
            let digest = std::fs::read(&path).ok().map(|bytes| {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                hasher.finish()
            });
            (path, digest)
        };
        Contents(files(config).into_iter().map(digest).collect())
    }
}

fn files(config: &GatewayConfig) -> Vec<PathBuf> {
    let listen = config.tls.iter().flat_map(|tls| [&tls.certificates, &tls.key]);
    let upstream = config.upstream_tls.iter().filter_map(|tls| tls.authorities.as_ref());
    let pems = listen.chain(upstream).filter_map(|pem| match pem {
        Pem::File(path) => Some(path),
        Pem::Text(_) => None,
    });
    let tokens = config.tokens.iter().flat_map(|tokens| {
        let keys = tokens.secret_files.iter().chain(&tokens.public_key_files).chain(&tokens.jwks_files);
        keys.chain(tokens.pulsar.iter().map(|own| &own.file))
    });
    pems.chain(tokens).cloned().collect()
}

/// Takes files anew as they change, from what they were. A change that is wrong (half of a pair, for one, when the
/// other half is still to come) changes nothing, and is tried again when there is another.
pub(crate) async fn run(core: Arc<Core>, mut seen: Contents) {
    loop {
        let every = core.current.get().config.watch_files;
        tokio::time::sleep(if every.is_zero() { NOTHING } else { every }).await;
        if every.is_zero() {
            continue;
        }
        let own = Arc::clone(&core);
        let before = seen.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let live = own.current.get();
            let now = Contents::read(&live.config);
            let outcome = (now != before).then(|| own.current.reread(&live));
            (now, outcome)
        });
        let Ok((now, outcome)) = taken.await else { return };
        match outcome {
            // With another configuration, which may have read the files before they changed: asked again.
            Some(Ok(false)) => continue,
            None => {}
            Some(Ok(true)) => {
                core.metrics.reloaded(true);
                info!("certificates or keys were replaced on disk, and are taken");
            }
            Some(Err(errors)) => {
                core.metrics.reloaded(false);
                for error in &errors {
                    warn!(%error, "certificates or keys were replaced on disk, and nothing of it is taken");
                }
            }
        }
        seen = now;
    }
}
