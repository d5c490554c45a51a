//! A broker and the ways to it: over sockets, in real time, or in this process, in a time of its own.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use pulsewire_broker::admin::{Call, respond};
use pulsewire_broker::{BrokerConfig, ConnId, Now};
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command};
use pulsewire_proto::wire::{Command, CommandPong};

use crate::common::World;

/// A command that a client heard, with its entry.
pub(crate) type Heard = (Command, Bytes);

/// A broker, and its clients by their numbers, from 0. They answer PING as clients do.
pub(crate) trait Far {
    /// One more client, which says nothing yet.
    fn connect(&mut self);
    /// The client says that.
    fn bytes(&mut self, client: usize, bytes: &[u8]);
    /// The next thing that a client hears.
    fn take(&mut self, client: usize, patience: Duration) -> Result<Heard, RecvTimeoutError>;
    /// The client goes away.
    fn leave(&mut self, client: usize);
    /// The client answers no PING any more.
    fn die(&mut self, client: usize);
    /// Lets time pass.
    fn pass(&mut self, time: Duration);
    /// The time there, since the Unix epoch.
    fn now(&self) -> Duration;
    /// An admin call: status, head, body. Each of its headers ends with `\r\n`.
    fn call(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &str,
        body: &str,
    ) -> (u16, String, String);
}

/// A broker that listens.
pub(crate) struct Sockets {
    broker: String,
    web: String,
    clients: Vec<Option<Client>>,
}

struct Client {
    stream: TcpStream,
    /// Ends with the connection.
    heard: Receiver<Heard>,
    /// Does not answer PING.
    dead: Arc<AtomicBool>,
}

/// Reads what a client hears.
fn listen(mut stream: TcpStream, tell: &Sender<Heard>, dead: &AtomicBool) {
    let mut frames = FrameDecoder::new(64 << 20);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => frames.push(Bytes::copy_from_slice(&buffer[..n])),
        }
        while let Some(frame) = frames.next_frame().unwrap() {
            match frame.decode().unwrap() {
                Command::Ping(_) if dead.load(Ordering::Relaxed) => {}
                Command::Ping(_) => {
                    let mut out = BytesMut::new();
                    encode_command(&CommandPong::default().into(), &mut out);
                    if stream.write_all(&out).is_err() {
                        return;
                    }
                }
                Command::Pong(_) => {}
                command => {
                    if tell.send((command, frame.entry)).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl Sockets {
    /// By its addresses for clients and for admin calls.
    pub(crate) fn new((broker, web): &(String, String)) -> Self {
        Self { broker: broker.clone(), web: web.clone(), clients: Vec::new() }
    }

    fn client(&mut self, client: usize) -> &mut Client {
        self.clients[client].as_mut().unwrap()
    }
}

impl Far for Sockets {
    fn connect(&mut self) {
        let stream = TcpStream::connect(&self.broker).unwrap();
        stream.set_nodelay(true).unwrap();
        let (tell, heard) = channel();
        let dead = Arc::new(AtomicBool::new(false));
        let (reading, silent) = (stream.try_clone().unwrap(), dead.clone());
        std::thread::spawn(move || listen(reading, &tell, &silent));
        self.clients.push(Some(Client { stream, heard, dead }));
    }

    fn bytes(&mut self, client: usize, bytes: &[u8]) {
        // That the other side has closed is heard, not felt.
        let _ = self.client(client).stream.write_all(bytes);
    }

    fn take(&mut self, client: usize, patience: Duration) -> Result<Heard, RecvTimeoutError> {
        self.client(client).heard.recv_timeout(patience)
    }

    fn leave(&mut self, client: usize) {
        if let Some(client) = self.clients[client].take() {
            let _ = client.stream.shutdown(Shutdown::Both);
        }
    }

    fn die(&mut self, client: usize) {
        self.client(client).dead.store(true, Ordering::Relaxed);
    }

    fn pass(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn now(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
    }

    fn call(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &str,
        body: &str,
    ) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.web).unwrap();
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{token}{headers}\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, mut text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut whole = String::new();
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            while let Some((size, rest)) = text.split_once("\r\n") {
                let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
                if size == 0 {
                    break;
                }
                whole += &rest[..size];
                text = &rest[size + 2..];
            }
        } else {
            whole = text.to_owned();
        }
        (status, head.to_owned(), whole)
    }
}

/// This broker without sockets. Nothing takes time there; it passes when somebody waits, from one timer of
/// the broker to the next. So each run is like the last one, however busy the machine is.
pub(crate) struct Inside {
    world: World,
    clients: Vec<ConnId>,
    heard: Vec<VecDeque<Heard>>,
    dead: BTreeSet<usize>,
}

/// When its clocks begin: milliseconds since the Unix epoch.
const BEGINNING: u64 = 1_764_000_000_000;

impl Inside {
    pub(crate) fn new(config: BrokerConfig) -> Self {
        let admin_url = Some("http://localhost:8080".to_owned());
        let mut world = World::with(BrokerConfig { admin_url, ..config });
        world.now = Now::new(Duration::ZERO, BEGINNING);
        Self { world, clients: Vec::new(), heard: Vec::new(), dead: BTreeSet::new() }
    }

    /// Takes what clients were sent, and answers PING.
    fn collect(&mut self) {
        let mut answered = true;
        while std::mem::take(&mut answered) {
            for (client, id) in self.clients.iter().enumerate() {
                while let Some(heard) = self.world.next_heard(*id) {
                    match heard.0 {
                        Command::Ping(_) if self.dead.contains(&client) => {}
                        Command::Ping(_) => {
                            self.world.say(*id, CommandPong::default());
                            answered = true;
                        }
                        Command::Pong(_) => {}
                        _ => self.heard[client].push_back(heard),
                    }
                }
            }
        }
    }

    /// Lets time pass until `end`, or until there is something for that client.
    fn pass_until(&mut self, end: Duration, client: Option<usize>) {
        loop {
            self.collect();
            if client.is_some_and(|it| !self.heard[it].is_empty() || self.is_cut(it)) {
                return;
            }
            let due = self.world.broker.next_deadline().filter(|at| *at <= end);
            self.world.pass(due.unwrap_or(end).saturating_sub(self.world.now.mono));
            if due.is_none() {
                return self.collect();
            }
        }
    }

    fn is_cut(&self, client: usize) -> bool {
        self.world.cut(self.clients[client]).is_some()
    }
}

impl Far for Inside {
    fn connect(&mut self) {
        let id = self.world.stranger();
        self.world.broker.came_from(id, &format!("127.0.0.1:{}", 50_000 + self.clients.len()));
        self.clients.push(id);
        self.heard.push(VecDeque::new());
    }

    fn bytes(&mut self, client: usize, bytes: &[u8]) {
        self.world.bytes(self.clients[client], bytes);
        self.collect();
    }

    fn take(&mut self, client: usize, patience: Duration) -> Result<Heard, RecvTimeoutError> {
        self.pass_until(self.world.now.mono + patience, Some(client));
        self.heard[client].pop_front().ok_or(match self.is_cut(client) {
            true => RecvTimeoutError::Disconnected,
            false => RecvTimeoutError::Timeout,
        })
    }

    fn leave(&mut self, client: usize) {
        self.world.leave(self.clients[client]);
        self.collect();
    }

    fn die(&mut self, client: usize) {
        self.dead.insert(client);
    }

    fn pass(&mut self, time: Duration) {
        self.pass_until(self.world.now.mono + time, None);
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.world.now.wall_ms)
    }

    fn call(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &str,
        body: &str,
    ) -> (u16, String, String) {
        let now = self.world.now;
        let answer = match Call::new(method, path) {
            Ok(mut call) => {
                for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
                    let value = Some(value.to_owned());
                    match name {
                        "accept" => call.accept = value,
                        "content-type" => call.content_type = value,
                        "x-pulsar-listenername" => call.listener = value,
                        _ => panic!("{name} is not read"),
                    }
                }
                call.token = token.map(|token| token.as_bytes().to_vec());
                call.body = Bytes::copy_from_slice(body.as_bytes());
                respond(&mut self.world.broker, &call, now)
            }
            Err(error) => error.into(),
        };
        self.world.settle();
        self.collect();
        let phrase = match answer.phrase.as_str() {
            "" => usual(answer.status),
            phrase => phrase,
        };
        let kind = ("content-type", answer.content_type.to_owned());
        let kind = Some(kind).filter(|(_, kind)| !kind.is_empty());
        let head: String = std::iter::once(format!("HTTP/1.1 {} {phrase}\r\n", answer.status))
            .chain(kind.iter().chain(&answer.headers).map(|(name, value)| format!("{name}: {value}\r\n")))
            .collect();
        // Nobody who asks for the head gets a body.
        if method == "HEAD" {
            return (answer.status, head, String::new());
        }
        (answer.status, head, String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// What usually stands beside a status.
fn usual(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        415 => "Unsupported Media Type",
        _ => "Request failed.",
    }
}
