//! What the fuzz target feeds: the upgrade, the first frame, the filter. Only with the feature `fuzzing`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command};
use pulsewire_proto::wire::{Command, CommandConnected};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::GatewayConfig;
use crate::filter::Filter;
use crate::first::{FirstFrame, rewrite};
use crate::metrics::Metrics;
use crate::narrow::{Narrow, NarrowRules};
use crate::resolve::Resolver;
use crate::service::GatewayService;

/// Any bytes in place of a request, to a gateway whose only origin is `https://app.example` and that wants a token
/// that nobody has. Whatever it answers, it reaches for no upstream.
pub fn upgrade(bytes: &[u8], secret: &std::path::Path) {
    let asked = Arc::new(AtomicBool::new(false));
    let ask = Arc::clone(&asked);
    let mut config = GatewayConfig::new(([127, 0, 0, 1], 0).into());
    config.upstream = "pulsar://upstream.invalid".parse().ok();
    config.allow_origins = "https://app.example".parse().into_iter().collect();
    config.allow_missing_origin = true;
    config.resolver = Resolver::new(move |_, _| {
        ask.store(true, Ordering::Relaxed);
        Box::pin(async { Ok(Vec::new()) })
    });
    config.tokens = Some(crate::token::Tokens {
        from: ["header", "cookie:c", "subprotocol", "query:t"]
            .iter()
            .filter_map(|it| it.parse().ok())
            .collect(),
        secret_files: vec![secret.to_owned()],
        ..Default::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (gateway, _) = GatewayService::new(&config).expect("a configuration");
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let service = hyper::service::service_fn(|request| {
            use tower_service::Service as _;
            gateway.clone().call(request)
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades();
        let asking = async {
            let _ = client.write_all(bytes).await;
            let _ = client.shutdown().await;
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer).await;
        };
        let both = async { tokio::join!(serving, asking) };
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), both).await;
    });
    assert!(!asked.load(Ordering::Relaxed), "it reached for the upstream");
}

/// Any bytes as the first frame, in pieces: pieces make no difference, and what goes on says nothing that only
/// proxies may say.
pub fn first_frame(bytes: &[u8], piece: usize) {
    let mut whole = FirstFrame::default();
    let at_once = whole.push(bytes);
    let mut first = FirstFrame::default();
    let mut in_pieces = Ok(None);
    let mut taken = 0;
    for piece in bytes.chunks(piece.max(1)) {
        taken += piece.len();
        in_pieces = first.push(piece);
        if !matches!(in_pieces, Ok(None)) {
            break;
        }
    }
    match (at_once, in_pieces) {
        (Ok(Some((connect, rest))), Ok(Some((same, less)))) => {
            assert_eq!(connect, same);
            assert_eq!(rest.len() - less.len(), bytes.len() - taken);
            let ours = rewrite(connect, false, None);
            let (ours, rest) = FirstFrame::default().push(&ours).expect("a CONNECT").expect("whole");
            assert!(
                rest.is_empty() && ours.proxy_to_broker_url.is_none() && ours.original_principal.is_none()
            );
        }
        (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
        (whole, pieces) => panic!("{whole:?} is not {pieces:?}"),
    }
}

/// Any bytes of the upstream, in pieces: pieces make no difference.
pub fn filter_down(bytes: &[u8], piece: usize) {
    let rule = Narrow { consume: "in".parse().into_iter().collect(), ..Narrow::default() };
    let rules = NarrowRules::prepare(&[rule], &mut Vec::new());
    let permits = rules.of(None, None).expect("a rule").expect("a rule");
    let told = |piece: usize| {
        let mut filter = Filter::new(Arc::clone(&permits), Arc::new(Metrics::new()));
        let (mut said, mut told) = (BytesMut::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            said.extend_from_slice(piece);
            match filter.down(&mut said) {
                Ok(more) => told.extend_from_slice(&more),
                Err(ending) => return (Vec::new(), Some(ending)),
            }
        }
        (told, None)
    };
    assert_eq!(told(bytes.len().max(1)), told(piece.max(1)));
}

/// Any bytes through the filter, in pieces: pieces make no difference, and what passes names permitted topics only.
pub fn filter(bytes: &[u8], piece: usize) {
    let rule = Narrow {
        produce: "out-*".parse().into_iter().collect(),
        consume: "in".parse().into_iter().collect(),
        ..Narrow::default()
    };
    let rules = NarrowRules::prepare(&[rule], &mut Vec::new());
    let permits = rules.of(None, None).expect("a rule").expect("a rule");
    let judged = |piece: usize| {
        let mut filter = Filter::new(Arc::clone(&permits), Arc::new(Metrics::new()));
        let mut connected = BytesMut::new();
        encode_command(&CommandConnected::default().into(), &mut connected);
        assert!(filter.down(&mut connected).is_ok());
        let mut passed = Vec::new();
        let mut ended = None;
        for piece in bytes.chunks(piece) {
            let mut pushed = filter.push(&Bytes::copy_from_slice(piece));
            loop {
                match filter.next() {
                    Ok(Some(more)) => passed.extend_from_slice(&more),
                    Ok(None) => break,
                    Err(ending) => {
                        pushed = Err(ending);
                        break;
                    }
                }
            }
            if let Err(ending) = pushed {
                ended = Some(ending);
                break;
            }
            if filter.is_full() {
                break;
            }
        }
        (passed, filter.replies_now(), ended)
    };
    let (passed, replies, ended) = judged(bytes.len().max(1));
    let (same, same_replies, same_ended) = judged(piece.max(1));
    assert_eq!((&replies, ended), (&same_replies, same_ended));
    if ended.is_none() {
        assert_eq!(passed, same);
    }
    let mut decoder = FrameDecoder::new(1 << 24);
    decoder.push(passed.into());
    while let Ok(Some(frame)) = decoder.next_frame() {
        match frame.decode() {
            Ok(Command::Producer(it)) => assert!(permits.produce(&it.topic), "{}", it.topic),
            Ok(Command::Subscribe(it)) => assert!(permits.consume(&it.topic), "{}", it.topic),
            Ok(Command::LookupTopic(it)) => assert!(permits.produce(&it.topic) || permits.consume(&it.topic)),
            Ok(Command::GetTopicsOfNamespace(it)) => {
                assert_eq!((it.namespace.as_str(), it.topics_hash), ("public/default", None));
            }
            Ok(Command::WatchTopicList(it)) => {
                assert_eq!((it.namespace.as_str(), it.topics_hash), ("public/default", None));
            }
            _ => {}
        }
    }
}
