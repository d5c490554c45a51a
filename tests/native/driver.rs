//! One connection under load, through a relay that can stop taking bytes from the client.
#![forbid(unsafe_code)]

use std::future::{Future as _, pending, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use pulsewire::{Client, Consumer, DeadLetterPolicy, ErrorKind, InitialPosition};
use pulsewire_broker::server::{Server, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

const TOPIC: &str = "persistent://public/default/t";
const SOON: Duration = Duration::from_secs(20);

fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A broker, its address, and that of a relay in front of it; while the switch is on the relay takes nothing.
async fn world() -> (String, String, watch::Sender<bool>) {
    let relay = TcpListener::bind(any()).await.expect("a port");
    let through = format!("pulsar://localhost:{}", relay.local_addr().expect("an address").port());
    // Lookups answer with the relay.
    let config =
        ServerConfig { listen: any(), advertised_url: Some(through.clone()), ..ServerConfig::default() };
    let server = Server::bind(config).await.expect("a broker");
    let broker = server.local_addr();
    tokio::spawn(server.run(pending()));
    let (switch, stalled) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((client, _)) = relay.accept().await {
            let mut stalled = stalled.clone();
            tokio::spawn(async move {
                let broker = TcpStream::connect(broker).await.expect("the broker");
                let (client_in, mut client_out) = client.into_split();
                let (mut broker_in, mut broker_out) = broker.into_split();
                let forth = async move {
                    let mut bytes = vec![0; 16 * 1024];
                    loop {
                        if stalled.wait_for(|stalled| !stalled).await.is_err() {
                            return;
                        }
                        tokio::select! {
                            () = async { drop(stalled.wait_for(|stalled| *stalled).await) } => {}
                            ready = client_in.readable() => {
                                if ready.is_err() {
                                    return;
                                }
                                match client_in.try_read(&mut bytes) {
                                    Ok(0) => return,
                                    Ok(n) => broker_out.write_all(&bytes[..n]).await.expect("the broker takes them"),
                                    Err(_) => {}
                                }
                            }
                        }
                    }
                };
                let back = tokio::io::copy(&mut broker_in, &mut client_out);
                tokio::select! { () = forth => {}, _ = back => {} }
            });
        }
    });
    (format!("pulsar://localhost:{}", broker.port()), through, switch)
}

async fn consumer(client: &Client, topic: &str) -> Consumer {
    let consumer = client.consumer(topic, "s").initial_position(InitialPosition::Earliest);
    consumer.subscribe().await.expect("subscribed")
}

/// The socket takes nothing more, and all the same messages come in on it and timers fire; what was written in part goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p07_a_stalled_write_starves_neither_reads_nor_timers() {
    let (_, through, switch) = world().await;
    let other = Client::builder(&through).build().expect("a client");
    let client = Client::builder(&through).build().expect("a client");
    let consumer = consumer(&client, TOPIC).await;
    let patient =
        client.producer("persistent://public/default/big").batching(false).send_timeout(Duration::ZERO);
    let patient = patient.create().await.expect("a producer");
    let hasty =
        client.producer(TOPIC).send_timeout(Duration::from_secs(2)).create().await.expect("a producer");
    let feeder = other.producer(TOPIC).batching(false).create().await.expect("a producer");
    // Delivered by the broker while the client's own bytes go nowhere: more than one socket's buffers of them.
    let feed: Vec<_> = (0..50).map(|n| feeder.send(n.to_string())).collect();
    for sent in feed {
        sent.await.expect("sent");
    }
    switch.send(true).expect("the relay");
    let stuck: Vec<_> = (0..40).map(|_| patient.send(vec![1; 500_000])).collect();
    let late = hasty.send("late");
    for n in 0..50 {
        let message = timeout(SOON, consumer.receive()).await.expect("it comes").expect("a message");
        assert_eq!(message.payload(), n.to_string().as_bytes());
    }
    let error = timeout(SOON, late).await.expect("its time is over").expect_err("nobody took it");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    // Whoever gives up waiting for a flush takes nothing with it.
    assert!(timeout(Duration::from_millis(100), patient.flush()).await.is_err());
    switch.send(false).expect("the relay");
    for sent in stuck {
        timeout(SOON, sent).await.expect("an end").expect("sent");
    }
    client.close().await.expect("closed");
}

/// A producer that never stops sending hears of its messages meanwhile, and others on the connection have their turns.
#[tokio::test]
async fn p01_receipts_are_heard_while_sends_go_on() {
    let (_, through, _switch) = world().await;
    let client = Client::builder(&through).build().expect("a client");
    let flood =
        client.producer(TOPIC).batching(false).max_pending_messages(2000).create().await.expect("a producer");
    let calm = client.producer(TOPIC).batching(false).create().await.expect("a producer");
    let consumer = consumer(&client, TOPIC).await;
    let flooding = flood.clone();
    let flooding = tokio::spawn(async move {
        loop {
            for _ in 0..200 {
                // Refused when the queue is full, which ends when receipts are heard.
                drop(flooding.send(vec![0; 100]));
            }
            tokio::task::yield_now().await;
        }
    });
    for n in 0..20 {
        timeout(SOON, calm.send(n.to_string())).await.expect("its receipt in between").expect("sent");
        timeout(SOON, consumer.receive()).await.expect("a message in between").expect("a message");
    }
    assert!(!flooding.is_finished());
    flooding.abort();
    client.close().await.expect("closed");
}

/// Whoever takes messages on the driver's own thread lets it run when it has permits to give back: else the broker would
/// hear of them when all is taken.
#[tokio::test]
async fn c02_whoever_receives_makes_way_for_permits() {
    let (_, through, _switch) = world().await;
    let client = Client::builder(&through).build().expect("a client");
    let consumer =
        client.consumer(TOPIC, "s").receiver_queue_size(100).subscribe().await.expect("subscribed");
    let producer = client.producer(TOPIC).batching_max_messages(100).create().await.expect("a producer");
    let sent: Vec<_> = (0..100).map(|_| producer.send("x")).collect();
    producer.flush().await.expect("sent");
    drop(sent);
    while consumer.state().expect("open").queued_messages < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut turns = vec![0];
    poll_fn(|cx| {
        while let Poll::Ready(received) = pin!(consumer.receive()).poll(cx) {
            received.expect("a message");
            *turns.last_mut().expect("one") += 1;
        }
        turns.push(0);
        if turns.iter().sum::<u32>() == 100 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!(turns, [13, 50, 37, 0]);
    // Who waits for no time at all is given what is there.
    let sent: Vec<_> = (0..100).map(|_| producer.send("y")).collect();
    producer.flush().await.expect("sent");
    drop(sent);
    while consumer.state().expect("open").queued_messages < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..100 {
        let received = consumer.receive_timeout(Duration::ZERO).await.expect("a message");
        assert_eq!(received.expect("it is there").payload(), b"y");
    }
    client.close().await.expect("closed");
}

/// A message that comes just as somebody begins to wait is not missed: who waits is enrolled before the queue is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c02_whoever_begins_to_wait_is_enrolled_before_the_queue_is_looked_at() {
    let (_, through, _switch) = world().await;
    let client = Client::builder(&through).build().expect("a client");
    let consumer = consumer(&client, TOPIC).await;
    let producer = client.producer(TOPIC).batching(false).create().await.expect("a producer");
    for n in 0..300u64 {
        let waiting = consumer.clone();
        // Begins to wait at another moment each time, before, while and after the message comes.
        let waiting = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(n * 7 % 900)).await;
            waiting.receive().await
        });
        producer.send(n.to_string()).await.expect("sent");
        let message = timeout(SOON, waiting).await.expect("woken").expect("no panic").expect("a message");
        assert_eq!(message.payload(), n.to_string().as_bytes());
    }
    client.close().await.expect("closed");
}

#[tokio::test]
async fn c12_code_that_changes_producers_of_letters_may_use_the_client_and_may_panic() {
    let server =
        Server::bind(ServerConfig { listen: any(), ..ServerConfig::default() }).await.expect("a broker");
    let url = format!("pulsar://localhost:{}", server.local_addr().port());
    tokio::spawn(server.run(pending()));
    let client = Client::builder(url).build().expect("options");
    let producer = client.producer(TOPIC).create().await.expect("a producer");
    let policy = DeadLetterPolicy::new(1).dead_letter_producer(move |_| drop(producer.stats()));
    let consumer = client.consumer(TOPIC, "s").dead_letter_policy(policy).subscribe();
    timeout(SOON, consumer).await.expect("it waits for nobody").expect("a consumer");
    let policy = DeadLetterPolicy::new(1).retry_letter_producer(|_| panic!("no such option"));
    let refused = client.consumer(TOPIC, "t").dead_letter_policy(policy).subscribe().await;
    assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(ErrorKind::InvalidOption));
    client.consumer(TOPIC, "t").subscribe().await.expect("the client goes on");
}
