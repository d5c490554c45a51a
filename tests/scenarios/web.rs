//! The scenarios in a page: called by its JavaScript.

use pulsewire_transport::conformance::{self, Case, Peers};
use pulsewire_transport::{WebClock, WebConnector};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::{ALL, Endpoint, Env};

/// The scenarios that apply to an endpoint, names and witnesses, as JSON: with or without those that ask the official
/// clients.
#[wasm_bindgen]
pub fn scenarios(endpoint: &str, witnesses: bool) -> Result<String, String> {
    let endpoint: Endpoint = serde_json::from_str(endpoint).map_err(|e| e.to_string())?;
    let applies = ALL.iter().filter(|s| s.applies(&endpoint) && (witnesses || s.with.is_none()));
    let all: Vec<[&str; 2]> = applies.map(|s| [s.name, s.witness(&endpoint)]).collect();
    serde_json::to_string(&all).map_err(|e| e.to_string())
}

/// Runs one scenario; rejects with what was wrong.
#[wasm_bindgen]
pub async fn run(name: String, endpoint: String, unique: String) -> Result<(), String> {
    let endpoint: Endpoint = serde_json::from_str(&endpoint).map_err(|e| e.to_string())?;
    let scenario = ALL.iter().find(|s| s.name == name).ok_or("no scenario of that name")?;
    (scenario.run)(Env { endpoint, unique }).await
}

/// The cases that every transport passes and that apply to a page's WebSocket, as JSON.
#[wasm_bindgen]
pub fn conformance_cases(url: &str, refused: &str) -> Result<String, String> {
    let peers = Peers::host_websocket(url, refused)?;
    let applies = Case::ALL.iter().filter(|case| case.applies(peers.carrier));
    serde_json::to_string(&applies.map(|case| format!("{case:?}")).collect::<Vec<_>>())
        .map_err(|e| e.to_string())
}

/// Runs one of them; rejects with what was wrong.
#[wasm_bindgen]
pub async fn conform(name: String, url: String, refused: String) -> Result<(), String> {
    let peers = Peers::host_websocket(&url, &refused)?;
    let case = Case::ALL.iter().find(|case| format!("{case:?}") == name).ok_or("no case of that name")?;
    conformance::run(*case, &WebConnector::new(), &WebClock::new(), &peers).await
}
