//! The cases.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::session::segments;
use super::{Carrier, Case, World, expect_kind, fresh_id, pattern};
use crate::{Clock, Connector, ErrorKind, Target, Transport, TransportError};

const MIB: u64 = 1024 * 1024;
const LARGE: u64 = 8 * MIB;
/// More than kernels and browsers buffer on a connection, less than an unbounded writer would take.
const FULL: u64 = 48 * MIB;
/// Without progress for so long, a writer counts as waiting.
const QUIET: Duration = Duration::from_millis(400);

type Outcome = Result<(), String>;

pub(super) async fn play<C: Connector, K: Clock>(case: Case, world: &World<'_, C, K>) -> Outcome {
    match case {
        Case::Order => world.open("echo").await?.exchange(MIB).await,
        Case::LargeBothWays => world.open("echo").await?.exchange(LARGE).await,
        Case::LargeInbound => {
            world.open(&format!("source/{LARGE}")).await?.read_to_end().await?.expect(LARGE)
        }
        Case::HalfClose => half_close(world).await,
        Case::CloseDelivers => close_delivers(world).await,
        Case::Backpressure => backpressure(world).await,
        Case::InboundBackpressure => inbound_backpressure(world).await,
        Case::Refused => refused(world).await,
        Case::UpgradeRefused => upgrade_refused(world).await,
        Case::DefaultPath => match world.open("path").await?.read_text().await?.as_str() {
            "/pulsar" => Ok(()),
            other => Err(format!("asked for '{other}'")),
        },
        Case::CloseReason => close_reason(world).await,
        Case::CloseNormal => close_normal(world).await,
        Case::Dribble => world.open("dribble/2000").await?.read_to_end().await?.expect(2000),
        Case::Text => text(world).await,
        Case::Dropped => {
            let due = [ErrorKind::Reset, ErrorKind::Closed { code: 1006 }];
            expect_kind(&world.open("drop").await?.read_error().await?, &due)
        }
        Case::Cut => {
            let due = [ErrorKind::Reset, ErrorKind::Closed { code: 1006 }];
            expect_kind(&world.open("cut").await?.read_error().await?, &due)
        }
        Case::Breach => {
            let due: &[_] = match world.peers.carrier {
                Carrier::Tls => &[ErrorKind::Tls],
                // Browsers hide what was wrong; some tell it by the code.
                Carrier::HostWebSocket => {
                    &[ErrorKind::Closed { code: 1006 }, ErrorKind::Closed { code: 1002 }]
                }
                _ => &[ErrorKind::Protocol],
            };
            expect_kind(&world.open("breach").await?.read_error().await?, due)
        }
        Case::LyingLength => {
            expect_kind(&world.open("lie").await?.read_error().await?, &[ErrorKind::Protocol])
        }
    }
}

fn told(error: TransportError) -> String {
    format!("{:?}: {error}", error.kind())
}

async fn half_close<C: Connector, K: Clock>(world: &World<'_, C, K>) -> Outcome {
    let id = fresh_id(world.clock);
    let mut session = world.open(&format!("count/{id}")).await?;
    session.write(&mut segments(MIB)).await.map_err(told)?;
    session.close().await.map_err(told)?;
    // The peer answers only now, when it has seen our end.
    let answer = session.read_text().await?;
    if answer != format!("{MIB} true") {
        return Err(format!("the peer answers '{answer}'"));
    }
    Ok(())
}

async fn close_delivers<C: Connector, K: Clock>(world: &World<'_, C, K>) -> Outcome {
    let id = fresh_id(world.clock);
    let mut session = world.open(&format!("count/{id}")).await?;
    let mut segments = segments(LARGE);
    while !segments.is_empty() {
        std::future::poll_fn(|cx| session.transport.poll_write(cx, &mut segments)).await.map_err(told)?;
    }
    session.close().await.map_err(told)?;
    let mut late = VecDeque::from([Bytes::from_static(b"late")]);
    if session.write(&mut late).await.is_ok() {
        return Err("bytes were taken after the close".to_owned());
    }
    while session.read().await.map_err(told)?.is_some() {}
    match world.report(&id).await? {
        (LARGE, true, _) => Ok(()),
        (count, intact, _) => Err(format!("{count} bytes arrived of {LARGE}, right: {intact}")),
    }
}

async fn backpressure<C: Connector, K: Clock>(world: &World<'_, C, K>) -> Outcome {
    let id = fresh_id(world.clock);
    let mut session = world.open(&format!("stall/{id}")).await?;
    let mut sent = 0;
    let mut segments = VecDeque::new();
    loop {
        if segments.is_empty() {
            segments.push_back(pattern(sent, 64 * 1024));
        }
        match world.write_for(&mut session, &mut segments, QUIET).await.map_err(told)? {
            0 => break,
            taken => sent += taken as u64,
        }
        if sent > FULL {
            return Err(format!("{sent} bytes were taken while the peer read nothing"));
        }
    }
    // A stalled writer still reads.
    let mut heard = 0;
    while heard < 1000 {
        heard += session.read().await.map_err(told)?.map_or(1000, |bytes| bytes.len());
    }
    world.open(&format!("resume/{id}")).await?.read_text().await?;
    let rest: u64 = segments.iter().map(|bytes| bytes.len() as u64).sum();
    session.write(&mut segments).await.map_err(told)?;
    session.close().await.map_err(told)?;
    while session.read().await.map_err(told)?.is_some() {}
    match world.report(&id).await? {
        (count, true, _) if count == sent + rest => Ok(()),
        (count, intact, _) => Err(format!("{count} bytes arrived of {}, right: {intact}", sent + rest)),
    }
}

async fn inbound_backpressure<C: Connector, K: Clock>(world: &World<'_, C, K>) -> Outcome {
    let id = fresh_id(world.clock);
    let mut session = world.open(&format!("flood/{id}")).await?;
    let mut before = 0;
    loop {
        world.sleep(QUIET).await;
        let (count, _, _) = world.report(&format!("{id}/now")).await?;
        if count > FULL {
            return Err(format!("the peer could write {count} bytes while nothing was read"));
        }
        if count == before && count > 0 {
            break;
        }
        before = count;
    }
    let mut read = 0;
    while read < before + MIB {
        read += session.read().await.map_err(told)?.ok_or("the flood ended")?.len() as u64;
    }
    Ok(())
}

async fn failure<C: Connector, K: Clock>(
    world: &World<'_, C, K>,
    target: &Target,
) -> Result<TransportError, String> {
    match world.connect(target).await {
        Ok(_) => Err("connected where that is refused".to_owned()),
        Err(error) => Ok(error),
    }
}

async fn refused<C: Connector, K: Clock>(world: &World<'_, C, K>) -> Outcome {
    let due = match world.peers.carrier {
        Carrier::HostWebSocket => ErrorKind::UpgradeRefused { status: 0 },
        _ => ErrorKind::Refused,
    };
    expect_kind(&failure(world, &world.peers.refused).await?, &[due])
}

async fn upgrade_refused<C: Connector, K: Clock>(world: &World<'_, C, K>) -> Outcome {
    for status in [403, 404, 503] {
        let target = Target { path: format!("/refuse/{status}"), ..world.peers.target.clone() };
        let due = match world.peers.carrier {
            Carrier::HostWebSocket => ErrorKind::UpgradeRefused { status: 0 },
            _ => ErrorKind::UpgradeRefused { status },
        };
        expect_kind(&failure(world, &target).await?, &[due])?;
    }
    Ok(())
}

async fn close_reason<C: Connector, K: Clock>(world: &World<'_, C, K>) -> Outcome {
    for code in [1001, 1008, 4321] {
        let mut session = world.open(&format!("close/{code}/no entry today")).await?;
        let error = session.read_error().await?;
        expect_kind(&error, &[ErrorKind::Closed { code }])?;
        if !error.message().contains("no entry today") {
            return Err(format!("the reason is lost: {error}"));
        }
        // The reason stays what a writer is told, too.
        let mut late = VecDeque::from([Bytes::from_static(b"late")]);
        match session.write(&mut late).await {
            Ok(()) => return Err("written to a closed connection".to_owned()),
            Err(error) => expect_kind(&error, &[ErrorKind::Closed { code }])?,
        }
    }
    Ok(())
}

async fn close_normal<C: Connector, K: Clock>(world: &World<'_, C, K>) -> Outcome {
    for role in ["close/1000/bye", "close/1000/", "close/1005/"] {
        let mut session = world.open(role).await?;
        // The end stays the end, however often it is asked for.
        for _ in 0..2 {
            if let Some(bytes) = session.read().await.map_err(|error| format!("{role}: {}", told(error)))? {
                return Err(format!("{role}: read {bytes:?} before the end"));
            }
        }
    }
    Ok(())
}

async fn text<C: Connector, K: Clock>(world: &World<'_, C, K>) -> Outcome {
    let id = fresh_id(world.clock);
    let mut session = world.open(&format!("text/{id}")).await?;
    expect_kind(&session.read_error().await?, &[ErrorKind::Protocol])?;
    drop(session);
    let due = if world.peers.carrier == Carrier::HostWebSocket { 4003 } else { 1003 };
    match world.report(&id).await? {
        (_, _, code) if code == due => Ok(()),
        (_, _, code) => Err(format!("the peer was told code {code}, not {due}")),
    }
}
