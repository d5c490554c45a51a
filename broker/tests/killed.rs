//! A broker that is killed loses nothing that it gave a receipt for.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(feature = "server")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};

use bytes::{Bytes, BytesMut};
use common::*;
use pulsewire_broker::server::DataConfig;
use pulsewire_broker::{Server, ServerConfig};
use pulsewire_proto::wire::entry::Entry;
use pulsewire_proto::wire::frame::{FrameDecoder, RawFrame, encode_command, encode_with_entry};
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";

/// The broker that is killed: this test, run as a process of its own.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn broker() {
    let Some(folder) = std::env::var_os("BROKER_DATA") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let data =
            Some(DataConfig { folder: folder.into(), sync: std::env::var_os("BROKER_SYNC").is_some() });
        let server = Server::bind(ServerConfig { data, ..ServerConfig::default() }).await.unwrap();
        println!("\nlistening {}", server.local_addr());
        server.run(std::future::pending()).await.unwrap();
    });
}

fn start(folder: &PathBuf, sync: bool) -> (Child, String) {
    start_by(Process::new(std::env::current_exe().unwrap()), folder, sync)
}

fn start_by(mut command: Process, folder: &PathBuf, sync: bool) -> (Child, String) {
    command.args(["--ignored", "--exact", "broker", "--nocapture"]).env("BROKER_DATA", folder);
    if sync {
        command.env("BROKER_SYNC", "1");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address =
        lines.map(Result::unwrap).find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
    (child, address.unwrap())
}

struct Client {
    stream: TcpStream,
    frames: FrameDecoder,
}

impl Client {
    fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let mut client = Self { stream, frames: FrameDecoder::new(64 << 20) };
        assert!(matches!(client.ask(connect()), Some(Command::Connected(_))));
        client
    }

    fn say(&mut self, command: impl Into<Command>) {
        let mut out = BytesMut::new();
        encode_command(&command.into(), &mut out);
        self.stream.write_all(&out).unwrap();
    }

    fn frame(&mut self) -> Option<RawFrame> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.frames.push(Bytes::copy_from_slice(&buffer[..n])),
            }
        }
    }

    fn ask(&mut self, command: impl Into<Command>) -> Option<Command> {
        self.say(command);
        self.frame().map(|frame| frame.decode().unwrap())
    }
}

#[test]
fn killed_at_any_moment_it_has_all_that_was_receipted() {
    for sync in [false, true] {
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("killed-{}-{sync}", std::process::id()));
        let mut receipted = 0;
        for round in 0..3 {
            let (mut child, address) = start(&folder, sync);
            let mut client = Client::new(&address);
            assert!(matches!(client.ask(producer_on(1, TOPIC)), Some(Command::ProducerSuccess(_))));
            // It is killed while messages are on their way.
            let killer = std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(150 + 70 * round));
                child.kill().unwrap();
                child.wait().unwrap();
            });
            let mut sent = receipted;
            loop {
                for _ in 0..20 {
                    let frame = send_frame(1, sent, MessageMetadata::default(), sent.to_string().as_bytes());
                    if client.stream.write_all(&frame).is_err() {
                        break;
                    }
                    sent += 1;
                }
                let Some(frame) = client.frame() else { break };
                let Ok(Command::SendReceipt(receipt)) = frame.decode() else { panic!() };
                receipted = receipted.max(receipt.sequence_id + 1);
            }
            killer.join().unwrap();
        }
        assert!(receipted > 0);
        let (mut child, address) = start(&folder, sync);
        let mut client = Client::new(&address);
        assert!(matches!(
            client.ask(subscribe(1, TOPIC, "s", SubType::EXCLUSIVE)),
            Some(Command::Success(_))
        ));
        client.say(CommandFlow { consumer_id: 1, message_permits: 1_000_000 });
        let mut missing: std::collections::BTreeSet<u64> = (0..receipted).collect();
        while !missing.is_empty() {
            let frame = client.frame().unwrap();
            let Ok(Command::Message(_)) = frame.decode() else { panic!() };
            let text = String::from_utf8(Entry::parse(&frame.entry).unwrap().payload.to_vec()).unwrap();
            missing.remove(&text.parse().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// A message of the transaction, as SEND carries it.
fn frame_in(txn: (u64, u64), sequence: u64, text: &str) -> BytesMut {
    let command = CommandSend {
        producer_id: 1,
        sequence_id: sequence,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        ..CommandSend::default()
    };
    let metadata = MessageMetadata {
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        ..MessageMetadata::default()
    };
    let mut out = BytesMut::new();
    encode_with_entry(&command.into(), &entry(sequence, metadata, text.as_bytes()), &mut out);
    out
}

impl Client {
    fn try_ask(&mut self, command: impl Into<Command>) -> Option<Command> {
        let mut out = BytesMut::new();
        encode_command(&command.into(), &mut out);
        self.stream.write_all(&out).ok()?;
        self.frame().map(|frame| frame.decode().unwrap())
    }

    /// A transaction of two messages, up to its commit; `None` where the broker is gone. Tells how
    /// far it came.
    fn transaction(&mut self, far: &mut Vec<((u64, u64), bool)>) -> Option<()> {
        let open = CommandNewTxn { txn_ttl_millis: Some(600_000), ..CommandNewTxn::default() };
        let Command::NewTxnResponse(opened) = self.try_ask(open)? else { panic!() };
        let txn = (opened.txnid_most_bits.unwrap(), opened.txnid_least_bits.unwrap());
        self.try_ask(CommandAddPartitionToTxn {
            txnid_most_bits: Some(txn.0),
            txnid_least_bits: Some(txn.1),
            partitions: vec![TOPIC.to_owned()],
            ..CommandAddPartitionToTxn::default()
        })?;
        for half in ["a", "b"] {
            self.stream.write_all(&frame_in(txn, txn.1, &format!("{}{half}", txn.1))).ok()?;
            let Ok(Command::SendReceipt(_)) = self.frame()?.decode() else { panic!() };
        }
        far.push((txn, false));
        // Some stay open.
        if txn.1 % 5 != 0 {
            let Command::EndTxnResponse(end) = self.try_ask(commit(txn))? else { panic!() };
            assert_eq!(end.error, None);
            far.last_mut().unwrap().1 = true;
        }
        Some(())
    }
}

fn commit(txn: (u64, u64)) -> CommandEndTxn {
    CommandEndTxn {
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        txn_action: Some(TxnAction::COMMIT),
        ..CommandEndTxn::default()
    }
}

#[test]
fn killed_at_any_moment_its_transactions_are_whole() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("killed-transactions-{}", std::process::id()));
    let mut far = Vec::new();
    for round in 0..3 {
        let (mut child, address) = start(&folder, false);
        let mut client = Client::new(&address);
        assert!(matches!(client.ask(producer_on(1, TOPIC)), Some(Command::ProducerSuccess(_))));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(120 + 60 * round));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        while client.transaction(&mut far).is_some() {}
        killer.join().unwrap();
    }
    let (mut child, address) = start(&folder, false);
    let mut client = Client::new(&address);
    // What was open goes on; what was committed is not found again, whether its client heard of it
    // or not.
    for (txn, committed) in &far {
        let Some(Command::EndTxnResponse(end)) = client.ask(commit(*txn)) else { panic!() };
        match end.error {
            None => assert!(!committed, "{txn:?}"),
            error => assert_eq!((error, txn.1 % 5 != 0), (Some(ServerError::TRANSACTION_NOT_FOUND), true)),
        }
    }
    // A transaction of which not all was receipted when the broker died holds the topic until it ends.
    for number in 1..=far.last().unwrap().0.1 + 1 {
        let abort = CommandEndTxn { txn_action: Some(TxnAction::ABORT), ..commit((0, number)) };
        assert!(client.ask(abort).is_some());
    }
    assert!(matches!(client.ask(subscribe(1, TOPIC, "s", SubType::EXCLUSIVE)), Some(Command::Success(_))));
    client.say(CommandFlow { consumer_id: 1, message_permits: 1_000_000 });
    let mut found = Vec::new();
    while found.len() < 2 * far.len() {
        let frame = client.frame().unwrap();
        let Ok(Command::Message(_)) = frame.decode() else { panic!() };
        found.push(String::from_utf8(Entry::parse(&frame.entry).unwrap().payload.to_vec()).unwrap());
    }
    let expected: Vec<String> =
        far.iter().flat_map(|(txn, _)| ["a", "b"].map(|half| format!("{}{half}", txn.1))).collect();
    assert_eq!(found, expected);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_cannot_be_kept_stops_the_broker_with_an_error_and_has_no_receipt() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("full-{}", std::process::id()));
    // A disk that is full, to this process: no file may grow beyond 8 MB.
    let mut limited = Process::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 16384; exec \"$@\"", "sh"]);
    limited.arg(std::env::current_exe().unwrap()).stderr(Stdio::piped());
    let (mut child, address) = start_by(limited, &folder, false);
    let mut client = Client::new(&address);
    assert!(matches!(client.ask(producer_on(1, TOPIC)), Some(Command::ProducerSuccess(_))));
    let payload = "x".repeat(100_000);
    let mut receipts = 0;
    while client
        .stream
        .write_all(&send_frame(1, receipts, MessageMetadata::default(), payload.as_bytes()))
        .is_ok()
        && matches!(client.frame().map(|frame| frame.decode()), Some(Ok(Command::SendReceipt(_))))
    {
        receipts += 1;
        assert!(receipts < 1000, "the disk was never full");
    }
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(told.contains(folder.to_str().unwrap()), "it names the folder: {told}");

    let (mut child, address) = start(&folder, false);
    let mut client = Client::new(&address);
    assert!(matches!(client.ask(subscribe(1, TOPIC, "s", SubType::EXCLUSIVE)), Some(Command::Success(_))));
    client.say(CommandFlow { consumer_id: 1, message_permits: 1000 });
    for number in 0..receipts {
        assert!(matches!(client.frame().unwrap().decode(), Ok(Command::Message(_))), "message {number}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
