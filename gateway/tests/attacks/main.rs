//! What strangers try. Each test is named after the attack; `gateway/README.md` has the table.

#[path = "../common/mod.rs"]
mod common;
mod entry;
mod exhaustion;
mod narrowing;
mod secrets;
mod targets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use common::*;
use pulsewire_proto::wire::CommandConnect;
use pulsewire_proto::wire::frame::encode_command;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(300);

/// An upstream that counts who came, and echoes.
async fn counting_upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    let addr = serve_upstream(move |mut tcp| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let (mut read, mut write) = tcp.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    })
    .await;
    (addr, came)
}

/// Reads to the end of a connection that is cut.
async fn is_cut(tcp: &mut TcpStream) {
    let since = Instant::now();
    let _ = soon("a cut", tcp.read_to_end(&mut Vec::new())).await;
    assert!(since.elapsed() < SHORT * 10, "{:?}", since.elapsed());
}

fn connect_frame(target: Option<&str>) -> Vec<u8> {
    let connect = CommandConnect {
        client_version: "test".to_owned(),
        proxy_to_broker_url: target.map(str::to_owned),
        ..CommandConnect::default()
    };
    let mut frame = BytesMut::new();
    encode_command(&connect.into(), &mut frame);
    frame.to_vec()
}
