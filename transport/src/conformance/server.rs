//! The helper peers that the cases run against.
//!
//! ```no_run
//! use pulsewire_transport::conformance::{Case, run, server::Server};
//! use pulsewire_transport::{NativeConnector, TokioClock};
//!
//! # async fn check() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::websocket().await?;
//! run(Case::Order, &NativeConnector::default(), &TokioClock::new(), &server.peers()).await?;
//! # Ok(()) }
//! ```

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::peer::{OverTcp, Peer, Plain, Received, Ws};
use super::{Carrier, Follower, Peers, pattern};
use crate::memory::MemoryConnector;
use crate::{Scheme, Target, TransportError};

const CHUNK: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// A helper peer on a port of the loopback that the system chose. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    peers: Peers,
    accepting: JoinHandle<()>,
    /// Bound but not listening: connections to it are refused, and nobody else gets the port.
    _refusing: Option<TcpSocket>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Over plain TCP.
    ///
    /// # Errors
    /// The system gives no port.
    pub async fn tcp() -> io::Result<Self> {
        Self::start(Carrier::Tcp, Scheme::Tcp, |stream, ledger| play(Plain(stream), ledger)).await
    }

    /// Over TLS as `acceptor` does it. Its certificate must be good for `127.0.0.1`.
    ///
    /// # Errors
    /// The system gives no port.
    pub async fn tls(acceptor: TlsAcceptor) -> io::Result<Self> {
        Self::start(Carrier::Tls, Scheme::Tls, move |stream, ledger| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    play(Plain(stream), ledger).await;
                }
            }
        })
        .await
    }

    /// Over WebSocket.
    ///
    /// # Errors
    /// The system gives no port.
    pub async fn websocket() -> io::Result<Self> {
        Self::start(Carrier::WebSocket, Scheme::Ws, upgrade).await
    }

    /// Over WebSocket and TLS.
    ///
    /// # Errors
    /// The system gives no port.
    pub async fn secure_websocket(acceptor: TlsAcceptor) -> io::Result<Self> {
        Self::start(Carrier::WebSocket, Scheme::Wss, move |stream, ledger| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    upgrade(stream, ledger).await;
                }
            }
        })
        .await
    }

    /// In memory, as the host `helper` of `network`.
    ///
    /// # Errors
    /// That host is there already.
    pub fn memory(network: &MemoryConnector) -> Result<Self, TransportError> {
        let target =
            |port| Target { scheme: Scheme::Tcp, host: "helper".to_owned(), port, path: String::new() };
        let mut listener = network.listen("helper", 1)?;
        let ledger = Ledger::default();
        let accepting = tokio::spawn(async move {
            loop {
                let (transport, _) = listener.accept().await;
                tokio::spawn(play(transport, ledger.clone()));
            }
        });
        let peers = Peers { carrier: Carrier::Memory, target: target(1), refused: target(2) };
        Ok(Self { peers, accepting, _refusing: None })
    }

    async fn start<F, P>(carrier: Carrier, scheme: Scheme, serve: F) -> io::Result<Self>
    where
        F: Fn(TcpStream, Ledger) -> P + Send + 'static,
        P: Future<Output = ()> + Send + 'static,
    {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any).await?;
        let refusing = TcpSocket::new_v4()?;
        refusing.bind(any)?;
        let target = |address: SocketAddr| Target {
            scheme,
            host: address.ip().to_string(),
            port: address.port(),
            path: String::new(),
        };
        let peers = Peers {
            carrier,
            target: target(listener.local_addr()?),
            refused: target(refusing.local_addr()?),
        };
        let ledger = Ledger::default();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, ledger.clone()));
            }
        });
        Ok(Self { peers, accepting, _refusing: Some(refusing) })
    }

    /// What [`run`](super::run) needs to know of it.
    pub fn peers(&self) -> Peers {
        self.peers.clone()
    }
}

async fn upgrade<S: OverTcp>(stream: S, ledger: Ledger) {
    let mut path = String::new();
    #[allow(clippy::result_large_err, reason = "the signature is of tungstenite")]
    let accepted = accept_hdr_async(stream, |request: &Request, response: Response| {
        request.uri().path().clone_into(&mut path);
        refusal(&path).map_or(Ok(response), Err)
    });
    if let Ok(socket) = accepted.await {
        play(Ws { socket, path, pongs: 0 }, ledger).await;
    }
}

fn refusal(path: &str) -> Option<ErrorResponse> {
    let status: u16 = path.strip_prefix("/refuse/")?.parse().ok()?;
    let mut response = ErrorResponse::new(Some("this helper refuses as it was asked to".to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    Some(response)
}

/// What was seen, under the ids that the cases chose.
#[derive(Debug, Clone, Default)]
struct Ledger {
    records: Arc<Mutex<HashMap<String, Record>>>,
}

#[derive(Debug, Clone, Default)]
struct Record {
    count: u64,
    wrong: bool,
    code: u16,
    done: bool,
    resumed: bool,
}

impl Ledger {
    fn with<T>(&self, id: &str, f: impl FnOnce(&mut Record) -> T) -> T {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        f(records.entry(id.to_owned()).or_default())
    }

    async fn wait_for(&self, id: &str, is: impl Fn(&Record) -> bool) {
        let _ = timeout(PATIENCE, async {
            while !self.with(id, |record| is(record)) {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

async fn play<P: Peer>(mut peer: P, ledger: Ledger) {
    let Some((role, rest)) = read_role(&mut peer).await else { return };
    let mut words = role.splitn(3, '/');
    let (name, id, extra) =
        (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
    match name {
        "echo" => echo(&mut peer, rest).await,
        "count" => count(&mut peer, rest, &ledger, id).await,
        "stall" => {
            peer.send(pattern(0, 1000)).await;
            ledger.wait_for(id, |record| record.resumed).await;
            count(&mut peer, rest, &ledger, id).await;
        }
        "resume" => {
            ledger.with(id, |record| record.resumed = true);
            peer.close(1000, String::new()).await;
        }
        "report" => {
            if extra != "now" {
                ledger.wait_for(id, |record| record.done).await;
            }
            let record = ledger.with(id, |record| record.clone());
            let text = format!("{} {} {}", record.count, !record.wrong, record.code);
            peer.send(text.into()).await;
            peer.close(1000, String::new()).await;
        }
        "source" => {
            let total: u64 = id.parse().unwrap_or(0);
            let mut sent = 0;
            while sent < total && peer.send(pattern(sent, CHUNK.min(total - sent) as usize)).await {
                sent += CHUNK;
            }
            peer.close(1000, String::new()).await;
        }
        "flood" => {
            let chunk = pattern(0, CHUNK as usize);
            let more = || ledger.with(id, |record| record.count += CHUNK);
            more();
            while peer.send(chunk.clone()).await {
                more();
            }
        }
        "dribble" => {
            let total: u64 = id.parse().unwrap_or(0);
            for offset in 0..total {
                let sent = peer.send(Bytes::new()).await && peer.send(pattern(offset, 1)).await;
                if !sent || (offset % 500 == 250 && !peer.ping().await) {
                    return peer.drop_hard().await;
                }
            }
            peer.close(1000, String::new()).await;
        }
        "path" => {
            peer.send(peer.path().to_owned().into()).await;
            peer.close(1000, String::new()).await;
        }
        "close" => peer.close(id.parse().unwrap_or(1000), extra.to_owned()).await,
        "text" => {
            peer.send_text().await;
            let code = drain(&mut peer).await;
            ledger.with(id, |record| (record.code, record.done) = (code, true));
        }
        "drop" => {
            peer.send(Bytes::from_static(b"partial")).await;
            return peer.drop_hard().await;
        }
        "cut" => return peer.cut().await,
        "breach" => peer.breach().await,
        "lie" => peer.lie().await,
        _ => {}
    }
    drain(&mut peer).await;
}

/// The line that names the role, and what came behind it.
async fn read_role<P: Peer>(peer: &mut P) -> Option<(String, Bytes)> {
    let mut head = BytesMut::new();
    loop {
        if let Some(end) = head.iter().position(|byte| *byte == b'\n') {
            let line = head.split_to(end + 1);
            return Some((String::from_utf8_lossy(&line[..end]).into_owned(), head.freeze()));
        }
        match timeout(PATIENCE, peer.recv()).await {
            Ok(Received::Bytes(bytes)) if head.len() < 4096 => head.extend_from_slice(&bytes),
            _ => return None,
        }
    }
}

async fn echo<P: Peer>(peer: &mut P, rest: Bytes) {
    let mut received = Received::Bytes(rest);
    while let Received::Bytes(bytes) = received {
        if !peer.send(bytes).await {
            return;
        }
        received = peer.recv().await;
    }
    peer.close(1000, String::new()).await;
}

async fn count<P: Peer>(peer: &mut P, rest: Bytes, ledger: &Ledger, id: &str) {
    let mut seen = Follower::default();
    let mut received = Received::Bytes(rest);
    while let Received::Bytes(bytes) = received {
        seen.take(&bytes);
        received = peer.recv().await;
    }
    let code = if let Received::End(code) = received { code } else { 1006 };
    let wrong = seen.wrong_at.is_some();
    let record = Record { count: seen.count, wrong, code, done: true, resumed: true };
    ledger.with(id, |entry| *entry = record);
    peer.send(format!("{} {}", seen.count, !wrong).into()).await;
    peer.close(1000, String::new()).await;
}

/// Reads on to the end, so that dropping the socket doesn't reset it; the code it ends with.
async fn drain<P: Peer>(peer: &mut P) -> u16 {
    let end = timeout(PATIENCE, async {
        loop {
            match peer.recv().await {
                Received::Bytes(_) => {}
                Received::End(code) => return code,
                Received::Broken => return 1006,
            }
        }
    });
    end.await.unwrap_or(1006)
}
