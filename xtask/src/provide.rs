//! What suites need from outside, made once and kept for the whole run.

use crate::older::OlderPulsar;
use crate::pulsar::RealPulsar;
use crate::suites::Need;
use crate::world::World;
use crate::{artifacts, java, python, setup};
use anyhow::Result;
use std::collections::BTreeMap;

type Variables = Vec<(String, String)>;

/// Everything that has been asked for so far. Ends what it started.
#[derive(Default)]
pub(crate) struct Provider {
    known: BTreeMap<Need, Result<Variables, String>>,
    // Before the Pulsar that it leads to: fields are dropped in order.
    world: Option<World>,
    pulsar: Option<RealPulsar>,
    older: Option<OlderPulsar>,
    guarded: Option<RealPulsar>,
}

impl Provider {
    /// The environment variables of all needs, or why one of them cannot be met.
    pub(crate) fn provide(&mut self, needs: &[Need]) -> Result<Variables, String> {
        let mut all = Variables::new();
        for need in needs {
            // A server that died under one suite is news for the next one.
            if let (Need::RealPulsar, Some(pulsar)) = (need, &mut self.pulsar)
                && let Err(error) = pulsar.check()
            {
                self.known.insert(*need, Err(format!("{error:#}")));
            }
            if !self.known.contains_key(need) {
                let made = self.make(*need).map_err(|error| format!("{error:#}"));
                self.known.insert(*need, made);
            }
            match &self.known[need] {
                Ok(variables) => all.extend(variables.iter().cloned()),
                Err(reason) => return Err(reason.clone()),
            }
        }
        Ok(all)
    }

    /// One in which a need cannot be met.
    #[cfg(test)]
    pub(crate) fn without(need: Need, reason: &str) -> Self {
        let mut provider = Self::default();
        provider.known.insert(need, Err(reason.to_owned()));
        provider
    }

    fn make(&mut self, need: Need) -> Result<Variables> {
        let one = |key: &str, path: std::path::PathBuf| (key.to_owned(), path.display().to_string());
        Ok(match need {
            Need::Chromium => vec![one("CHROMIUM", setup::chromium()?)],
            Need::RealPulsar => {
                let pulsar = RealPulsar::start_for_scenarios()?;
                let variables =
                    pulsar.environment().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
                self.pulsar = Some(pulsar);
                variables
            }
            Need::OlderPulsar => {
                let older = OlderPulsar::start()?;
                let variables =
                    older.environment().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
                self.older = Some(older);
                variables
            }
            Need::GuardedPulsar => {
                let guarded = RealPulsar::start_guarded()?;
                let variables = vec![
                    ("PULSAR_GUARDED_PROXY_URL_TLS".to_owned(), guarded.proxy_url_tls.clone()),
                    ("PULSAR_GUARDED_WEB_URL".to_owned(), guarded.web_url.clone()),
                    one("PULSAR_GUARDED_DATA", guarded.data().to_owned()),
                ];
                self.guarded = Some(guarded);
                variables
            }
            Need::Python => vec![one("PULSEWIRE_PYTHON", python::python()?)],
            Need::OpenApi => vec![one("PULSEWIRE_OPENAPI", python::validator()?)],
            Need::Deploy => vec![
                one("PULSEWIRE_KUBERNETES_VALIDATE", python::kubernetes()?),
                one("PULSEWIRE_HADOLINT", python::hadolint()?),
            ],
            Need::WebSockets => vec![one("PULSEWIRE_WEBSOCKETS", python::websockets()?)],
            Need::Java => vec![("PULSEWIRE_JAVA".to_owned(), java::witness()?)],
            Need::Go => vec![one("PULSEWIRE_GO", crate::go::script()?)],
            Need::WasmTarget => {
                setup::wasm_target()?;
                Vec::new()
            }
            Need::Package => {
                artifacts::package()?;
                Vec::new()
            }
            Need::Console => {
                artifacts::console()?;
                Vec::new()
            }
            Need::Binary => vec![one("PULSEWIRE_BINARY", artifacts::binary()?)],
            Need::World => {
                let world = World::start(self.pulsar.as_ref(), self.older.as_ref())?;
                let variables = vec![one("PULSEWIRE_WORLD", world.file().to_owned())];
                self.world = Some(world);
                variables
            }
            Need::Scenarios => {
                artifacts::scenarios()?;
                Vec::new()
            }
        })
    }
}
