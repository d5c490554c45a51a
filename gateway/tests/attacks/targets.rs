//! Where a connection leads: named hosts, what they resolve to, and first frames.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pulsewire_gateway::{Brokers, Resolver};

use crate::common::*;
use crate::{SHORT, connect_frame, counting_upstream};

fn brokers(hosts: &[&str], port: u16, networks: &[&str]) -> Option<Brokers> {
    let mut brokers = Brokers::default();
    brokers.hosts = hosts.iter().map(|it| it.parse().expect("a pattern")).collect();
    brokers.ports = vec![port];
    brokers.networks = networks.iter().map(|it| it.parse().expect("a network")).collect();
    Some(brokers)
}

/// A gateway with an allow-list, whose names are resolved by `names`, each time the next of its answers.
async fn listed(
    port: u16,
    networks: &[&str],
    names: &'static [(&'static str, &'static [&'static str])],
) -> (Running, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolver = Resolver::new(move |host, port| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        let answers = names.iter().find(|(name, _)| *name == host).map(|(_, answers)| *answers);
        Box::pin(async move {
            let answers = answers.ok_or_else(|| std::io::Error::other("no such name"))?;
            let address = answers[turn.min(answers.len() - 1)];
            Ok(vec![SocketAddr::new(address.parse().expect("an address"), port)])
        })
    });
    let gateway = start(nobody().await, |config| {
        config.upstream = None;
        config.brokers = brokers(&["broker-*.pulsar.svc", "127.0.0.1"], port, networks);
        config.resolver = resolver;
    })
    .await;
    (gateway, asked)
}

async fn named(gateway: &Running, target: Option<&str>) -> Client {
    let mut client = connect(gateway.addr).await;
    send(&mut client, connect_frame(target)).await;
    client
}

#[tokio::test]
async fn another_host_is_named() {
    let (addr, came) = counting_upstream().await;
    let port = addr.port();
    let (gateway, _) = listed(port, &["127.0.0.0/8"], &[("broker-0.pulsar.svc", &["127.0.0.1"])]).await;
    for other in [
        format!("evil.example:{port}"),
        format!("broker-0.pulsar.svc.evil.example:{port}"),
        format!("localhost:{port}"),
        format!("127.0.0.2:{port}"),
        format!("[::1]:{port}"),
        format!("pulsar://broker-0.pulsar.svc:{port}"),
        format!("broker-0.pulsar.svc:{port}/x"),
        "broker-0.pulsar.svc".to_owned(),
        String::new(),
    ] {
        assert_closed(&mut named(&gateway, Some(&other)).await, 1008, "target-refused").await;
    }
    assert_closed(&mut named(&gateway, None).await, 1008, "target-refused").await;
    assert_eq!(came.load(Ordering::SeqCst), 0, "nobody reached the upstream");

    // Whoever names the right one arrives, and the broker does not hear of the name.
    let mut client = named(&gateway, Some(&format!("broker-0.pulsar.svc:{port}"))).await;
    assert_eq!(receive(&mut client, connect_frame(None).len()).await, connect_frame(None));
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn a_port_outside_the_list() {
    let (addr, came) = counting_upstream().await;
    let (gateway, asked) =
        listed(addr.port() ^ 1, &["127.0.0.0/8"], &[("broker-0.pulsar.svc", &["127.0.0.1"])]).await;
    let target = format!("broker-0.pulsar.svc:{}", addr.port());
    assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    assert_eq!((came.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (0, 0));
    gateway.stop().await;
}

#[tokio::test]
async fn a_name_that_leads_to_a_forbidden_address() {
    let (addr, came) = counting_upstream().await;
    let names: &[(&str, &[&str])] = &[
        ("broker-0.pulsar.svc", &["127.0.0.1"]),
        ("broker-1.pulsar.svc", &["169.254.169.254"]),
        ("broker-2.pulsar.svc", &["0.0.0.0"]),
        ("broker-3.pulsar.svc", &["::1"]),
    ];
    let (gateway, _) = listed(addr.port(), &["10.0.0.0/8"], names).await;
    for (name, _) in names {
        let target = format!("{name}:{}", addr.port());
        assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

/// The name leads to an allowed address when it is checked, and elsewhere right after.
#[tokio::test]
async fn a_name_that_is_rebound_between_check_and_dial() {
    let (addr, came) = counting_upstream().await;
    // 127.0.0.2 is where nobody listens; the allow-list has nothing but 127.0.0.1.
    let (gateway, asked) =
        listed(addr.port(), &["127.0.0.1"], &[("broker-0.pulsar.svc", &["127.0.0.1", "127.0.0.2"])]).await;
    let target = format!("broker-0.pulsar.svc:{}", addr.port());
    let mut client = named(&gateway, Some(&target)).await;
    receive(&mut client, connect_frame(None).len()).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "asked once: what was checked is what was dialled");
    assert_eq!(came.load(Ordering::SeqCst), 1);
    // The second connection resolves anew and is refused.
    assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn an_ipv4_address_mapped_into_ipv6() {
    let (addr, came) = counting_upstream().await;
    let names: &[(&str, &[&str])] = &[("broker-0.pulsar.svc", &["::ffff:127.0.0.1"])];
    let (gateway, _) = listed(addr.port(), &["10.0.0.0/8", "::/0"], names).await;
    let target = format!("broker-0.pulsar.svc:{}", addr.port());
    assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    let literal = format!("[::ffff:127.0.0.2]:{}", addr.port());
    assert_closed(&mut named(&gateway, Some(&literal)).await, 1008, "target-refused").await;
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

/// To dial nobody's address is to dial this machine.
#[tokio::test]
async fn a_name_that_leads_to_nobody_s_address() {
    let (addr, came) = counting_upstream().await;
    let names: &[(&str, &[&str])] = &[
        ("broker-0.pulsar.svc", &["0.0.0.0"]),
        ("broker-1.pulsar.svc", &["::ffff:0.0.0.0"]),
        ("broker-2.pulsar.svc", &["::"]),
    ];
    let (gateway, _) = listed(addr.port(), &["0.0.0.0/0", "::/0"], names).await;
    for (name, _) in names {
        let target = format!("{name}:{}", addr.port());
        assert_closed(&mut named(&gateway, Some(&target)).await, 1008, "target-refused").await;
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_first_frame_that_is_none() {
    let (addr, came) = counting_upstream().await;
    let (gateway, _) = listed(addr.port(), &["127.0.0.0/8"], &[]).await;
    for garbage in [&[0xff; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 0, 0, 0, 0, 0, 0]] {
        let mut client = connect(gateway.addr).await;
        send(&mut client, garbage).await;
        assert_closed(&mut client, 1002, "first-frame").await;
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_first_frame_that_never_comes() {
    let (addr, came) = counting_upstream().await;
    let gateway = start(nobody().await, |config| {
        config.brokers = brokers(&["127.0.0.1"], addr.port(), &["127.0.0.1"]);
        config.limits.handshake_timeout = SHORT;
    })
    .await;
    let mut client = connect(gateway.addr).await;
    send(&mut client, *b"\0\0").await;
    assert_closed(&mut client, 1008, "first-frame-timeout").await;
    assert_eq!(came.load(Ordering::SeqCst), 0);
    gateway.stop().await;
}
