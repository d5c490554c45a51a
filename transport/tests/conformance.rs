//! Every native transport against every case that applies to it, and TLS against bad certificates.
#![cfg(not(target_family = "wasm"))]

use pulsewire_transport::conformance::server::Server;
use pulsewire_transport::conformance::{Case, run};
use pulsewire_transport::memory::MemoryConnector;
use pulsewire_transport::tls::TlsOptions;
use pulsewire_transport::{Connector, NativeConnector, TokioClock};

mod pki;
use pki::Pki;

/// All cases at once: they share nothing but the helper.
async fn all_cases<C>(connector: C, server: Server)
where
    C: Connector + Clone + Send + Sync + 'static,
    C::Transport: Send,
    C::Connecting: Send,
{
    let clock = TokioClock::new();
    let cases = Case::ALL.iter().filter(|case| case.applies(server.peers().carrier));
    let running: Vec<_> = cases
        .map(|case| {
            let (connector, peers) = (connector.clone(), server.peers());
            tokio::spawn(async move { run(*case, &connector, &clock, &peers).await })
        })
        .collect();
    assert!(running.len() >= 8, "only {} cases apply", running.len());
    let mut failures = Vec::new();
    for case in running {
        failures.extend(case.await.expect("a case panicked").err());
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn memory_keeps_every_promise() {
    let network = MemoryConnector::new(64 * 1024);
    let server = Server::memory(&network).expect("the network is empty");
    all_cases(network, server).await;
}

#[tokio::test]
async fn memory_keeps_every_promise_in_tiny_pieces() {
    let network = MemoryConnector::new(61);
    let server = Server::memory(&network).expect("the network is empty");
    all_cases(network, server).await;
}

#[tokio::test]
async fn tcp_keeps_every_promise() {
    all_cases(NativeConnector::default(), Server::tcp().await.expect("a port")).await;
}

#[tokio::test]
async fn tls_keeps_every_promise() {
    let pki = Pki::new();
    let server = Server::tls(pki.acceptor(&["127.0.0.1"])).await.expect("a port");
    all_cases(NativeConnector::new(TlsOptions::new().trust_pem(pki.ca_pem())), server).await;
}

#[tokio::test]
async fn ws_keeps_every_promise() {
    all_cases(NativeConnector::default(), Server::websocket().await.expect("a port")).await;
}

#[tokio::test]
async fn wss_keeps_every_promise() {
    let pki = Pki::new();
    let server = Server::secure_websocket(pki.acceptor(&["127.0.0.1"])).await.expect("a port");
    all_cases(NativeConnector::new(TlsOptions::new().trust_pem(pki.ca_pem())), server).await;
}
