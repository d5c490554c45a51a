//! A transport with the few async steps that the cases are made of.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::{Follower, World, pattern, within};
use crate::{Clock, Connector, Target, Transport, TransportError};

/// Lengths around every threshold of the transports.
const LENGTHS: &[usize] = &[
    1, 3, 0, 100, 1000, 4095, 4096, 4097, 7, 0, 20_000, 32_767, 32_768, 65_536, 13, 70_000, 262_143, 262_144,
    262_145, 2, 2, 2, 700_000,
];

pub(super) struct Session<T> {
    pub(super) transport: T,
}

impl<C: Connector, K: Clock> World<'_, C, K> {
    pub(super) async fn connect(&self, target: &Target) -> Result<Session<C::Transport>, TransportError> {
        self.connector.connect(target).await.map(|transport| Session { transport })
    }

    /// Connects to the helper and tells it its role.
    pub(super) async fn open(&self, role: &str) -> Result<Session<C::Transport>, String> {
        let target = &self.peers.target;
        let opened = self.connect(target).await;
        let mut session = opened.map_err(|error| format!("connecting as '{role}': {error}"))?;
        let mut line = VecDeque::from([Bytes::from(format!("{role}\n"))]);
        session.write(&mut line).await.map_err(|error| format!("naming the role '{role}': {error}"))?;
        Ok(session)
    }

    /// What the helper has seen under `id`: count of bytes, whether they were the right ones, close code.
    pub(super) async fn report(&self, id: &str) -> Result<(u64, bool, u16), String> {
        let mut session = self.open(&format!("report/{id}")).await?;
        let text = session.read_text().await?;
        let mut words = text.split_whitespace();
        let mut next = || words.next().ok_or_else(|| format!("a report that isn't one: '{text}'"));
        let bad = |error: &dyn std::fmt::Display| format!("a report that isn't one: '{text}': {error}");
        Ok((
            next()?.parse().map_err(|error| bad(&error))?,
            next()?.parse().map_err(|error| bad(&error))?,
            next()?.parse().map_err(|error| bad(&error))?,
        ))
    }

    pub(super) async fn sleep(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now() + time).await;
    }

    /// Tries to write for `time`; how many bytes were taken, 0 for a writer that waits all the time.
    pub(super) async fn write_for(
        &self,
        session: &mut Session<C::Transport>,
        segments: &mut VecDeque<Bytes>,
        time: Duration,
    ) -> Result<usize, TransportError> {
        let write = poll_fn(|cx| session.transport.poll_write(cx, segments));
        within(self.clock, time, write).await.unwrap_or(Ok(0))
    }
}

impl<T: Transport> Session<T> {
    /// Writes all and flushes.
    pub(super) async fn write(&mut self, segments: &mut VecDeque<Bytes>) -> Result<(), TransportError> {
        while !segments.is_empty() {
            poll_fn(|cx| self.transport.poll_write(cx, segments)).await?;
        }
        poll_fn(|cx| self.transport.poll_flush(cx)).await
    }

    pub(super) async fn read(&mut self) -> Result<Option<Bytes>, TransportError> {
        poll_fn(|cx| self.transport.poll_read(cx)).await
    }

    pub(super) async fn close(&mut self) -> Result<(), TransportError> {
        poll_fn(|cx| self.transport.poll_close(cx)).await
    }

    /// Reads up to the orderly end.
    pub(super) async fn read_to_end(&mut self) -> Result<Follower, String> {
        let mut seen = Follower::default();
        loop {
            match self.read().await {
                Ok(Some(bytes)) if bytes.is_empty() => return Err("read no bytes at all".to_owned()),
                Ok(Some(bytes)) => seen.take(&bytes),
                Ok(None) => return Ok(seen),
                Err(error) => return Err(format!("after {} bytes: {error}", seen.count)),
            }
        }
    }

    pub(super) async fn read_text(&mut self) -> Result<String, String> {
        let mut text = Vec::new();
        while let Some(bytes) = self.read().await.map_err(|error| error.to_string())? {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).map_err(|error| error.to_string())
    }

    /// The error that reading ends with.
    pub(super) async fn read_error(&mut self) -> Result<TransportError, String> {
        loop {
            match self.read().await {
                Ok(Some(_)) => {}
                Ok(None) => return Err("an orderly end where an error is due".to_owned()),
                Err(error) => return Ok(error),
            }
        }
    }

    /// Writes `total` bytes of the endless text and reads as many at the same time.
    pub(super) async fn exchange(&mut self, total: u64) -> Result<(), String> {
        let mut segments = segments(total);
        let mut seen = Follower::default();
        let exchanged = poll_fn(|cx| {
            loop {
                let mut moved = false;
                while !segments.is_empty() {
                    match self.transport.poll_write(cx, &mut segments) {
                        Poll::Ready(Ok(taken)) => moved |= taken > 0,
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => break,
                    }
                }
                if let Poll::Ready(Err(error)) = self.transport.poll_flush(cx) {
                    return Poll::Ready(Err(error));
                }
                while seen.count < total {
                    match self.transport.poll_read(cx) {
                        Poll::Ready(Ok(Some(bytes))) => {
                            seen.take(&bytes);
                            moved = true;
                        }
                        Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => break,
                    }
                }
                if seen.count >= total {
                    return Poll::Ready(Ok(()));
                }
                if !moved {
                    return Poll::Pending;
                }
            }
        });
        exchanged.await.map_err(|error| format!("{error}"))?;
        seen.expect(total)
    }
}

/// `total` bytes of the endless text in segments of all sorts of lengths.
pub(super) fn segments(total: u64) -> VecDeque<Bytes> {
    let text = pattern(0, total as usize);
    let mut segments = VecDeque::new();
    let mut at = 0;
    for length in LENGTHS.iter().cycle() {
        if at == text.len() {
            break;
        }
        let end = text.len().min(at + length);
        segments.push_back(text.slice(at..end));
        at = end;
    }
    segments
}
