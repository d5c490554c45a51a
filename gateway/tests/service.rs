//! The gateway in somebody else's server, and under load that it has to share.

mod common;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use common::*;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pulsewire_gateway::{Ends, GatewayConfig, GatewayService, PATH};
use tokio::net::TcpListener;
use tokio::time::sleep;

#[tokio::test]
async fn mounted_in_a_server_of_one_s_own() {
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    config.upstream = upstream(echo_upstream().await);
    config.allow_missing_origin = true;
    config.limits.max_connections_per_address = 2;
    let (gateway, handle) = GatewayService::new(&config).expect("a configuration");
    let listener = TcpListener::bind(LOOPBACK).await.expect("listening");
    let addr = listener.local_addr().expect("an address");
    let service = gateway.clone();
    tokio::spawn(async move {
        while let Ok((tcp, peer)) = listener.accept().await {
            let service = TowerToHyperService::new(service.at(Ends { peer }));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades());
        }
    });
    let mut first = connect(addr).await;
    let mut second = connect(addr).await;
    for client in [&mut first, &mut second] {
        send(client, noise(1, 200_000)).await;
        assert!(receive(client, 200_000).await == noise(1, 200_000));
    }
    assert_closed(&mut connect(addr).await, 1013, "too-many-from-address").await;
    assert_eq!(refused(addr, "/other", &[]).await.0, 404);
    assert_eq!(handle.connections(), 2);
    let request = http::Request::get("/connz").body(()).expect("a request");
    assert_eq!(handle.admin(&request).status(), 200);

    config.allow_missing_origin = false;
    handle.reload(&config).expect("reloaded");
    assert_eq!(refused(addr, PATH, &[]).await.0, 403);
    send(&mut first, *b"still").await;
    assert_eq!(receive(&mut first, 5).await, b"still");

    handle.stop_within(Duration::ZERO);
    assert_closed(&mut first, 1012, "gateway-shutdown").await;
    assert_closed(&mut second, 1012, "gateway-shutdown").await;
    let (status, body) = refused(addr, PATH, &[]).await;
    assert_eq!((status, body.split(':').next()), (503, Some("stopping")));
}

/// A server that is no gateway may have the service beside its own routes.
#[tokio::test]
async fn beside_other_routes() {
    let config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    let (gateway, _handle) = GatewayService::new(&config).expect("a configuration");
    let listener = TcpListener::bind(LOOPBACK).await.expect("listening");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let gateway = gateway.clone();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                use tower_service::Service as _;
                let mut gateway = gateway.clone();
                async move {
                    if request.uri().path() == "/hello" {
                        let text = bytes::Bytes::from_static(b"hello");
                        return Ok::<_, Infallible>(http::Response::new(http_body_util::Full::new(text)));
                    }
                    gateway.call(request).await
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades());
        }
    });
    let hello = raw(addr, b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!(hello, (200, "hello".to_owned()));
    assert_eq!(refused(addr, PATH, &[]).await.0, 403, "it denies by default here too");
}

/// One that does not read is cut, and the others do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_among_fast_ones() {
    let (flood, _) = flooding_upstream().await;
    let echo = echo_upstream().await;
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    let gateway = start(flood, |own| {
        own.limits.slow_client_timeout = Duration::from_millis(500);
        own.limits.close_timeout = Duration::from_millis(300);
        config = own.clone();
    })
    .await;
    let slow = connect(gateway.addr).await;
    // The next ones are echoed to.
    config.upstream = upstream(echo);
    gateway.handle.reload(&config).expect("reloaded");
    let mut fast = Vec::new();
    for _ in 0..20 {
        fast.push(connect(gateway.addr).await);
    }
    let mut worst = Duration::ZERO;
    let until = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < until {
        for client in &mut fast {
            let since = Instant::now();
            send(client, [1; 100]).await;
            receive(client, 100).await;
            worst = worst.max(since.elapsed());
        }
    }
    assert!(worst < Duration::from_millis(500), "the slowest round trip took {worst:?}");
    let closed = raw(gateway.admin, b"GET /connz?state=closed HTTP/1.1\r\nhost: localhost\r\n\r\n").await.1;
    assert!(closed.contains("slow-client"), "{closed}");
    assert_eq!(gateway.handle.connections(), 20);
    drop((slow, fast));
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstream_that_goes_and_comes_back() {
    let addr = nobody().await;
    let gateway = start(addr, |_| ()).await;
    assert_closed(&mut connect(gateway.addr).await, 1013, "upstream-refused").await;
    let listener = TcpListener::bind(addr).await.expect("the address is free again");
    let serving = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.expect("accepted");
        let (mut read, mut write) = tcp.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let mut client = connect(gateway.addr).await;
    send(&mut client, *b"back").await;
    assert_eq!(receive(&mut client, 4).await, b"back");
    serving.abort();
    let _ = serving.await;
    // A task that is dropped closes its socket.
    assert_closed(&mut client, 1001, "upstream-closed").await;
    assert_closed(&mut connect(gateway.addr).await, 1013, "upstream-refused").await;
    gateway.stop().await;
}

/// The configuration is read anew again and again under load, and nobody is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_drop_nobody() {
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    let gateway = start(echo_upstream().await, |own| config = own.clone()).await;
    let clients: Vec<_> = (0..50u64)
        .map(|n| {
            let addr = gateway.addr;
            tokio::spawn(async move {
                let mut client = connect(addr).await;
                for m in 0..100 {
                    let data = noise(n * 1000 + m, 2000);
                    send(&mut client, data.clone()).await;
                    assert!(receive(&mut client, 2000).await == data);
                    sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    for n in 0..50usize {
        config.limits.max_connections = 1000 + n;
        gateway.handle.reload(&config).expect("reloaded");
        sleep(Duration::from_millis(10)).await;
    }
    for client in clients {
        client.await.expect("served to its end");
    }
    gateway.stop().await;
}
