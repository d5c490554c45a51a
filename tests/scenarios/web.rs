//! The scenarios in a page: called by its JavaScript.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::{ALL, Endpoint, Env};

/// The names of the scenarios that apply to an endpoint, as JSON.
#[wasm_bindgen]
pub fn scenarios(endpoint: &str) -> Result<String, String> {
    let endpoint: Endpoint = serde_json::from_str(endpoint).map_err(|e| e.to_string())?;
    let names: Vec<&str> = ALL.iter().filter(|s| (s.applies)(&endpoint)).map(|s| s.name).collect();
    serde_json::to_string(&names).map_err(|e| e.to_string())
}

/// Runs one scenario; rejects with what was wrong.
#[wasm_bindgen]
pub async fn run(name: String, endpoint: String, unique: String) -> Result<(), String> {
    let endpoint: Endpoint = serde_json::from_str(&endpoint).map_err(|e| e.to_string())?;
    let scenario = ALL.iter().find(|s| s.name == name).ok_or("no scenario of that name")?;
    (scenario.run)(Env { endpoint, unique }).await
}
