//! Getting around what a token or an origin may do.

use std::net::SocketAddr;

use futures_util::StreamExt;
use pulsewire_gateway::Narrow;
use pulsewire_proto::wire::frame::FrameDecoder;
use pulsewire_proto::wire::{
    Command, CommandConnect, CommandConnected, CommandEndTxn, CommandLookupTopic, CommandPing, ServerError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::SHORT;
use crate::common::*;

/// A gateway that narrows to the topic `in`.
async fn narrowed(upstream: SocketAddr) -> Running {
    start(upstream, |config| {
        let mut narrow = Narrow::default();
        narrow.consume = vec!["in".parse().expect("a topic")];
        config.narrow = vec![narrow];
    })
    .await
}

/// Reads so many commands.
async fn commands(client: &mut Client, many: usize) -> Vec<Command> {
    let (mut decoder, mut all) = (FrameDecoder::new(1 << 20), Vec::new());
    soon("commands", async {
        while all.len() < many {
            let message = client.next().await.expect("open").expect("a message");
            assert!(message.is_binary(), "{message:?} after {}", all.len());
            decoder.push(message.into_data());
            while let Some(frame) = decoder.next_frame().expect("frames") {
                all.push(frame.decode().expect("a command"));
            }
        }
    })
    .await;
    all
}

/// Each is answered, and the connection lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_refused_commands_in_one_message() {
    let gateway = narrowed(connected_upstream().await).await;
    let mut client = connect(gateway.addr).await;
    assert_eq!(commands(&mut client, 1).await, [CommandConnected::default().into()]);
    let lookup = |request_id| {
        frame(CommandLookupTopic { topic: "secret".to_owned(), request_id, ..Default::default() })
    };
    let many = (0..20_000).flat_map(lookup).collect::<Vec<_>>();
    for _ in 0..2 {
        // While the client reads what it is told.
        send(&mut client, many.clone()).await;
        let answers = commands(&mut client, 20_000).await;
        for (n, answer) in answers.iter().enumerate() {
            let Command::LookupTopicResponse(it) = answer else { panic!("{answer:?}") };
            assert_eq!((it.request_id, it.error), (n as u64, Some(ServerError::AUTHORIZATION_ERROR)));
        }
    }
    let ping = Command::from(CommandPing::default());
    send(&mut client, frame(CommandPing::default())).await;
    assert_eq!(commands(&mut client, 1).await, [ping]);
    drop(client);
    gateway.stop().await;
}

/// Whose number is known, as all of them are.
#[tokio::test]
async fn transactions_of_others_are_not_ended() {
    let gateway = narrowed(connected_upstream().await).await;
    let (mut owner, mut stranger) = (connect(gateway.addr).await, connect(gateway.addr).await);
    let end = CommandEndTxn { request_id: 9, txnid_most_bits: Some(2), ..Default::default() };
    for client in [&mut owner, &mut stranger] {
        commands(client, 1).await;
        send(client, frame(end.clone())).await;
        let answers = commands(client, 1).await;
        let [Command::EndTxnResponse(it)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((it.request_id, it.error), (9, Some(ServerError::AUTHORIZATION_ERROR)));
    }
    drop((owner, stranger));
    gateway.stop().await;
}

/// Nobody speaks for others by a gateway that narrows, whatever else it does with the first frame.
#[tokio::test]
async fn a_narrowed_client_that_speaks_for_others() {
    let gateway = narrowed(echo_upstream().await).await;
    let mut client = connect(gateway.addr).await;
    let own = CommandConnect { client_version: "test".to_owned(), ..Default::default() };
    let forged = CommandConnect {
        original_principal: Some("admin".to_owned()),
        original_auth_data: Some("admin".to_owned()),
        original_auth_method: Some("token".to_owned()),
        ..own.clone()
    };
    send(&mut client, frame(forged)).await;
    assert_eq!(commands(&mut client, 1).await, [own.into()]);
    drop(client);
    gateway.stop().await;
}

/// Errors are the first thing that a client hears only if the upstream has nothing to say to its CONNECT.
#[tokio::test]
async fn refused_before_connected() {
    let (say, mut said) = tokio::sync::watch::channel(false);
    said.mark_unchanged();
    let addr = serve_upstream(move |mut tcp| {
        let mut said = said.clone();
        async move {
            let _ = said.wait_for(|said| *said).await;
            let _ = tcp.write_all(&frame(CommandConnected::default())).await;
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let gateway = narrowed(addr).await;
    let mut client = connect(gateway.addr).await;
    send(&mut client, frame(CommandLookupTopic { topic: "secret".to_owned(), ..Default::default() })).await;
    let early = tokio::time::timeout(SHORT, client.next()).await;
    assert!(early.is_err(), "{early:?}");
    say.send_replace(true);
    let names: Vec<_> = commands(&mut client, 2).await.iter().map(Command::name).collect();
    assert_eq!(names, ["Connected", "LookupTopicResponse"]);
    drop(client);
    gateway.stop().await;
}
