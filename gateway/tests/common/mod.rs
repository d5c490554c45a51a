//! A gateway, upstreams and clients, all on loopback with ports that the system chose.
#![allow(dead_code, reason = "every test file uses its own part of this")]

pub(crate) mod tokens;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use pulsewire_gateway::{Gateway, GatewayConfig, PATH, Upstream};
use pulsewire_proto::wire::frame::encode_command;
use pulsewire_proto::wire::{Command, CommandConnected};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

pub(crate) const LOOPBACK: &str = "127.0.0.1:0";
/// Longer than anything here takes, so that a test fails and does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) handle: pulsewire_gateway::Handle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn begin_stop(self) -> JoinHandle<()> {
        let _ = self.stop.send(());
        self.task
    }

    pub(crate) async fn stop(self) {
        soon("stop", self.begin_stop()).await.expect("the gateway ends well");
    }
}

pub(crate) fn upstream(addr: SocketAddr) -> Option<Upstream> {
    Some(format!("pulsar://{addr}").parse().expect("an upstream"))
}

/// A gateway to `upstream_addr` that takes clients without an Origin, with `change` applied.
pub(crate) async fn start(upstream_addr: SocketAddr, change: impl FnOnce(&mut GatewayConfig)) -> Running {
    let mut config = GatewayConfig::new(LOOPBACK.parse().expect("an address"));
    config.admin_listen = Some(LOOPBACK.parse().expect("an address"));
    config.upstream = upstream(upstream_addr);
    config.allow_missing_origin = true;
    config.limits.lame_duck = Duration::ZERO;
    change(&mut config);
    let gateway = Gateway::bind(config).await.expect("bound");
    let (addr, admin) = (gateway.local_addr(), gateway.admin_addr().expect("an admin listener"));
    let handle = gateway.handle();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(gateway.run(async {
        let _ = stopped.await;
    }));
    Running { addr, admin, handle, stop, task }
}

/// An upstream: `each` is run for every connection.
pub(crate) async fn serve_upstream<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(LOOPBACK).await.expect("listening");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(each(tcp));
        }
    });
    addr
}

pub(crate) async fn echo_upstream() -> SocketAddr {
    serve_upstream(|mut tcp| async move {
        let (mut read, mut write) = tcp.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

/// A frame of a command alone.
pub(crate) fn frame(command: impl Into<Command>) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode_command(&command.into(), &mut out);
    out.to_vec()
}

/// Echoes, once it has said CONNECTED.
pub(crate) async fn connected_upstream() -> SocketAddr {
    serve_upstream(|mut tcp| async move {
        let (mut read, mut write) = tcp.split();
        if write.write_all(&frame(CommandConnected::default())).await.is_ok() {
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    })
    .await
}

/// Writes until the other side ends its direction, and counts what it could write.
pub(crate) async fn flooding_upstream() -> (SocketAddr, Arc<AtomicU64>) {
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let addr = serve_upstream(move |tcp| {
        let count = Arc::clone(&count);
        async move {
            let (mut read, mut write) = tcp.into_split();
            let flood = async {
                let block = vec![7; 64 * 1024];
                while let Ok(n) = write.write(&block).await {
                    count.fetch_add(n as u64, Ordering::SeqCst);
                }
            };
            let end = async {
                let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
            };
            tokio::select! {
                () = flood => {}
                () = end => {}
            }
            count.fetch_or(GONE, Ordering::SeqCst);
        }
    })
    .await;
    (addr, written)
}

/// Set in the flooding upstream's count when its connection has ended.
pub(crate) const GONE: u64 = 1 << 63;

/// Waits until a count stands still and returns it.
pub(crate) async fn settled(count: &AtomicU64) -> u64 {
    soon("a count that stands still", async {
        let mut last = u64::MAX;
        let mut still = 0;
        loop {
            let now = count.load(Ordering::SeqCst);
            still = if now == last { still + 1 } else { 0 };
            if still == 5 {
                return now;
            }
            last = now;
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind(LOOPBACK).await.expect("listening");
    listener.local_addr().expect("an address")
}

pub(crate) type Client<S = TcpStream> = WebSocketStream<S>;

pub(crate) async fn try_connect(
    addr: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Client, tungstenite::Error> {
    let tcp = TcpStream::connect(addr).await.expect("connected");
    connect_over(tcp, &format!("ws://{addr}{path}"), headers).await
}

pub(crate) async fn connect_over<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    url: &str,
    headers: &[(&'static str, &str)],
) -> Result<Client<S>, tungstenite::Error> {
    let mut request = url.into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header"));
    }
    let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
    soon("upgrade", client_async_with_config(request, stream, Some(config))).await.map(|(ws, _)| ws)
}

pub(crate) async fn connect(addr: SocketAddr) -> Client {
    try_connect(addr, PATH, &[]).await.expect("upgraded")
}

/// The status and body of a refused upgrade.
pub(crate) async fn refused(addr: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
    let request_headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let host = if headers.iter().any(|(name, _)| *name == "host") {
        String::new()
    } else {
        format!("host: {addr}\r\n")
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\n{host}connection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{request_headers}\r\n"
    );
    raw(addr, request.as_bytes()).await
}

/// Sends bytes and reads an HTTP answer to the end.
pub(crate) async fn raw(addr: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut tcp = TcpStream::connect(addr).await.expect("connected");
    tcp.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    // A server may reset a connection whose request it did not read to the end.
    let _ = soon("an answer", tcp.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

/// Reads to the close; returns its code, its reason, and the bytes before it.
pub(crate) async fn closed<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
) -> (u16, String, Vec<u8>) {
    let mut bytes = Vec::new();
    soon("close", async {
        loop {
            match client.next().await {
                Some(Ok(Message::Binary(more))) => bytes.extend_from_slice(&more),
                Some(Ok(Message::Close(Some(frame)))) => {
                    // Sends the answer.
                    while let Some(Ok(_)) = client.next().await {}
                    return (frame.code.into(), frame.reason.to_string(), bytes);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no close with a reason but {other:?}"),
            }
        }
    })
    .await
}

pub(crate) async fn assert_closed<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    code: u16,
    name: &str,
) {
    let (got, reason, _) = closed(client).await;
    assert_eq!((got, reason.split(':').next()), (code, Some(name)), "{reason}");
}

pub(crate) async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    bytes: impl Into<Vec<u8>>,
) {
    soon("send", client.send(Message::binary(bytes.into()))).await.expect("sent");
}

/// Reads until `wanted` bytes are there.
pub(crate) async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    wanted: usize,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(wanted);
    soon("bytes", async {
        while bytes.len() < wanted {
            match client.next().await {
                Some(Ok(Message::Binary(more))) => bytes.extend_from_slice(&more),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no bytes but {other:?}"),
            }
        }
    })
    .await;
    assert_eq!(bytes.len(), wanted);
    bytes
}

pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    bytes
}
