//! TLS that must fail, and the options that make it pass.
#![cfg(not(target_family = "wasm"))]

use pulsewire_transport::conformance::server::Server;
use pulsewire_transport::conformance::{Case, run};
use pulsewire_transport::tls::TlsOptions;
use pulsewire_transport::{
    Connector, ErrorKind, NativeConnector, Scheme, Target, TokioClock, Transport, TransportError,
};
use rcgen::{CertificateParams, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

mod pki;
use pki::Pki;

async fn works(server: &Server, options: TlsOptions) -> Result<(), String> {
    run(Case::Order, &NativeConnector::new(options), &TokioClock::new(), &server.peers()).await
}

/// The failure, whether it comes from connecting or only from the first answer.
async fn failure(target: &Target, options: TlsOptions) -> TransportError {
    let mut transport = match NativeConnector::new(options).connect(target).await {
        Err(error) => return error,
        Ok(transport) => transport,
    };
    let mut segments = std::collections::VecDeque::from([bytes::Bytes::from_static(b"report/x/now\n")]);
    if let Err(error) = std::future::poll_fn(|cx| transport.poll_write(cx, &mut segments)).await {
        return error;
    }
    match std::future::poll_fn(|cx| transport.poll_read(cx)).await {
        Err(error) => error,
        Ok(read) => panic!("read {read:?} where TLS must fail"),
    }
}

/// TLS and WebSocket over TLS alike, with the words that the message must have.
async fn both_fail(pki: &Pki, names: &[&str], options: TlsOptions, words: &str) {
    let servers = [
        Server::tls(pki.acceptor(names)).await.expect("a port"),
        Server::secure_websocket(pki.acceptor(names)).await.expect("a port"),
    ];
    for server in servers {
        let error = failure(&server.peers().target, options.clone()).await;
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert!(error.message().contains(words), "'{error}' without '{words}'");
    }
}

#[tokio::test]
async fn wrong_host_is_refused_by_name() {
    let pki = Pki::new();
    both_fail(&pki, &["other.example"], pki.trusted(), "other.example").await;
}

#[tokio::test]
async fn unknown_authority_is_refused() {
    let pki = Pki::new();
    for other in [Pki::new(), Pki::named("somebody else")] {
        both_fail(&pki, &["127.0.0.1"], other.trusted(), "no authority that is trusted").await;
    }
}

#[tokio::test]
async fn the_system_does_not_trust_a_test_authority() {
    both_fail(&Pki::new(), &["127.0.0.1"], TlsOptions::new(), "TLS").await;
    both_fail(&Pki::new(), &["127.0.0.1"], TlsOptions::new().verify_hostname(false), "TLS").await;
}

#[tokio::test]
async fn hostname_verification_off_still_wants_a_trusted_authority() {
    let pki = Pki::new();
    let server = Server::tls(pki.acceptor(&["other.example"])).await.expect("a port");
    works(&server, pki.trusted().verify_hostname(false)).await.expect("the name does not matter");
    let options = Pki::new().trusted().verify_hostname(false);
    both_fail(&pki, &["other.example"], options, "no authority that is trusted").await;
}

#[tokio::test]
async fn allow_insecure_takes_any_certificate() {
    let server = Server::tls(Pki::new().acceptor(&["other.example"])).await.expect("a port");
    works(&server, TlsOptions::new().allow_insecure(true)).await.expect("nothing matters");
}

#[tokio::test]
async fn server_name_replaces_the_host() {
    let pki = Pki::new();
    let server = Server::tls(pki.acceptor(&["broker.example"])).await.expect("a port");
    works(&server, pki.trusted().server_name("broker.example")).await.expect("the name asked for");
    both_fail(&pki, &["127.0.0.1"], pki.trusted().server_name("broker.example"), "broker.example").await;
    both_fail(&pki, &["127.0.0.1"], pki.trusted().server_name("no name"), "not a host name").await;
}

#[tokio::test]
async fn expired_certificate_is_refused() {
    let pki = Pki::new();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("names");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let server = Server::tls(pki.acceptor_with(pki.issue(params), false)).await.expect("a port");
    let error = failure(&server.peers().target, pki.trusted()).await;
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert!(error.message().contains("expired"), "{error}");
}

#[tokio::test]
async fn client_certificate_reaches_the_handshake() {
    let pki = Pki::new();
    let ours = pki.issue_for(&["127.0.0.1"]);
    let server = Server::tls(pki.acceptor_with(ours, true)).await.expect("a port");
    let (chain, key) = pki.issue_for(&["somebody"]);
    let options = pki.trusted().client_certificate(chain, key);
    assert_eq!(options.check(), Ok(()));
    works(&server, options).await.expect("we are known");

    let error = failure(&server.peers().target, pki.trusted()).await;
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert!(error.message().contains("demands a client certificate"), "{error}");

    for other in [Pki::new(), Pki::named("somebody else")] {
        let (chain, key) = other.issue_for(&["somebody"]);
        let error = failure(&server.peers().target, pki.trusted().client_certificate(chain, key)).await;
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert!(error.message().contains("refuses our client certificate"), "{error}");
    }
}

#[test]
fn unusable_pem_is_told_before_connecting() {
    let pki = Pki::new();
    let (chain, key) = pki.issue_for(&["somebody"]);
    let (_, other_key) = pki.issue_for(&["somebody"]);
    let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let cases = [
        (TlsOptions::new().trust_pem("nothing here"), "no certificate"),
        (TlsOptions::new().trust_pem(broken), "trusted certificates"),
        (pki.trusted().client_certificate("", key.as_str()), "no certificate"),
        (pki.trusted().client_certificate(chain.as_str(), "nothing"), "private key"),
        (pki.trusted().client_certificate(chain.as_str(), other_key), "cannot be used"),
    ];
    for (options, words) in cases {
        let error = options.check().expect_err(words);
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert!(error.message().contains(words), "'{error}' without '{words}'");
    }
}

#[test]
fn debug_output_shows_no_key() {
    let (chain, key) = Pki::new().issue_for(&["somebody"]);
    let shown = format!("{:?}", TlsOptions::new().client_certificate(chain, key));
    assert!(!shown.contains("PRIVATE") && shown.contains("client_certificate: true"), "{shown}");
}

/// A port that doesn't speak TLS: it answers, or goes without a word.
#[tokio::test]
async fn a_port_without_tls_is_told_as_such() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let target = Target { scheme: Scheme::Tls, host: "localhost".into(), port, path: String::new() };
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(answer).await;
        });
        let error = failure(&target, Pki::new().trusted()).await;
        serving.await.expect("served");
        let due = if answer.is_empty() { ErrorKind::Reset } else { ErrorKind::Tls };
        assert_eq!(error.kind(), due, "{error}");
        assert!(error.message().contains("port one for TLS"), "{error}");
    }
}
