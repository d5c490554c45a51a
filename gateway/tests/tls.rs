//! TLS on either side, with certificates made for the test.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::tokens::Scratch;
use common::*;
use pulsewire_gateway::{GatewayConfig, ListenTls, PATH, Pem, Upstream, UpstreamTls};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Pair = CertifiedKey<KeyPair>;

fn pair() -> Pair {
    generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate")
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn listen_tls(pair: &Pair) -> ListenTls {
    ListenTls {
        certificates: Pem::Text(pair.cert.pem().into_bytes()),
        key: Pem::Text(pair.signing_key.serialize_pem().into_bytes()),
    }
}

fn trusting(pair: &Pair) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// An echo behind TLS; `orderly` says whether it leaves with `close_notify`.
async fn tls_echo(pair: &Pair, orderly: bool) -> SocketAddr {
    let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve_upstream(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let (mut read, mut write) = tokio::io::split(tls);
            let mut some = [0; 4096];
            loop {
                match tokio::io::AsyncReadExt::read(&mut read, &mut some).await {
                    Ok(n) if n > 0 && some[n - 1] != b'!' => {
                        if write.write_all(&some[..n]).await.is_err() {
                            return;
                        }
                        let _ = write.flush().await;
                    }
                    _ => break,
                }
            }
            if orderly {
                let _ = write.shutdown().await;
            }
        }
    })
    .await
}

fn ssl(addr: SocketAddr, host: &str) -> Option<Upstream> {
    Some(format!("pulsar+ssl://{host}:{}", addr.port()).parse().expect("an upstream"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wss_by_itself() {
    let pair = pair();
    let gateway = start(echo_upstream().await, |config| config.tls = Some(listen_tls(&pair))).await;
    let tcp = TcpStream::connect(gateway.addr).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = trusting(&pair).connect(name, tcp).await.expect("TLS");
    let url = format!("wss://localhost:{}{PATH}", gateway.addr.port());
    let mut client = connect_over(tls, &url, &[]).await.expect("upgraded");
    let sent = noise(1, 3 << 20);
    for piece in sent.chunks(100_000) {
        send(&mut client, piece).await;
    }
    assert!(receive(&mut client, sent.len()).await == sent);
    // The close and its reason come through TLS as well.
    let stopping = gateway.begin_stop();
    assert_closed(&mut client, 1012, "gateway-shutdown").await;
    soon("the end", stopping).await.expect("ends well");
}

async fn greeted(
    gateway: &Running,
    pair: &Pair,
) -> Option<Client<tokio_rustls::client::TlsStream<TcpStream>>> {
    let tcp = TcpStream::connect(gateway.addr).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = trusting(pair).connect(name, tcp).await.ok()?;
    let url = format!("wss://localhost:{}{PATH}", gateway.addr.port());
    Some(connect_over(tls, &url, &[]).await.expect("upgraded"))
}

/// Half of a pair changes nothing; nobody is dropped; no signal is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_replaced_on_disk_are_taken() {
    let scratch = Scratch::new();
    let (old, new) = (pair(), pair());
    let write = |pair: &Pair| {
        scratch.file("key.pem", pair.signing_key.serialize_pem());
        scratch.file("cert.pem", pair.cert.pem())
    };
    let certificates = Pem::File(write(&old));
    let key = Pem::File(scratch.file("key.pem", old.signing_key.serialize_pem()));
    let gateway = start(echo_upstream().await, |config| {
        config.tls = Some(ListenTls { certificates, key });
        config.watch_files = Duration::from_millis(20);
    })
    .await;
    let mut first = greeted(&gateway, &old).await.expect("the first certificate");
    scratch.file("cert.pem", new.cert.pem());
    soon("half a pair that is refused", async {
        while !raw(gateway.admin, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .1
            .contains("refused\"} 1")
        {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(greeted(&gateway, &new).await.is_none() && greeted(&gateway, &old).await.is_some());
    write(&new);
    soon("the new certificate", async {
        while greeted(&gateway, &new).await.is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(greeted(&gateway, &old).await.is_none());
    send(&mut first, *b"still").await;
    assert_eq!(receive(&mut first, 5).await, b"still");
    drop(first);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_of_another_pair_is_refused() {
    let (one, other) = (pair(), pair());
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    config.tls = Some(ListenTls { key: listen_tls(&other).key, ..listen_tls(&one) });
    let errors = config.validate().expect_err("refused");
    assert_eq!(errors.iter().map(|error| error.key.as_ref()).collect::<Vec<&str>>(), ["tls"], "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_behind_tls() {
    let pair = pair();
    for orderly in [true, false] {
        let addr = tls_echo(&pair, orderly).await;
        let gateway = start(addr, |config| {
            config.upstream = ssl(addr, "127.0.0.1");
            let mut tls = UpstreamTls::default();
            tls.authorities = Some(Pem::Text(pair.cert.pem().into_bytes()));
            tls.server_name = Some("localhost".to_owned());
            config.upstream_tls = Some(tls);
        })
        .await;
        let mut client = connect(gateway.addr).await;
        let sent: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8 & 0x7f | 0x80).collect();
        send(&mut client, sent.clone()).await;
        assert!(receive(&mut client, sent.len()).await == sent);
        send(&mut client, *b"!").await;
        assert_closed(&mut client, 1001, "upstream-closed").await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_trusted() {
    let (pair, other) = (pair(), pair());
    let addr = tls_echo(&pair, true).await;
    // Another authority; the right one but another name; the system's trust store.
    let options =
        [(Some(other.cert.pem()), "localhost"), (Some(pair.cert.pem()), "127.0.0.1"), (None, "localhost")];
    for (authorities, name) in options {
        let mut probe = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
        probe.upstream = ssl(addr, "127.0.0.1");
        if authorities.is_none() && probe.validate().is_err() {
            // A machine without any trusted authority: said at once, nothing to connect to.
            continue;
        }
        let gateway = start(addr, |config| {
            config.upstream = ssl(addr, "127.0.0.1");
            let mut tls = UpstreamTls::default();
            tls.authorities = authorities.map(|pem| Pem::Text(pem.into_bytes()));
            tls.server_name = Some(name.to_owned());
            config.upstream_tls = Some(tls);
        })
        .await;
        assert_closed(&mut connect(gateway.addr).await, 1011, "upstream-tls").await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_upstream_that_never_answers_tls() {
    let addr = serve_upstream(|tcp| async move {
        tokio::time::sleep(PATIENCE).await;
        drop(tcp);
    })
    .await;
    let gateway = start(addr, |config| {
        config.upstream = ssl(addr, "127.0.0.1");
        let mut tls = UpstreamTls::default();
        tls.authorities = Some(Pem::Text(pair().cert.pem().into_bytes()));
        config.upstream_tls = Some(tls);
        config.limits.connect_timeout = std::time::Duration::from_millis(200);
    })
    .await;
    assert_closed(&mut connect(gateway.addr).await, 1013, "upstream-timeout").await;
    gateway.stop().await;
}
