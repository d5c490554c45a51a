//! Topics and subscriptions of the broker, over HTTP.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) struct Admin {
    /// `host:port`.
    authority: String,
    topics: AtomicU32,
}

impl Admin {
    pub(super) fn new(url: &str) -> Result<Self> {
        let authority = url.trim_end_matches('/').strip_prefix("http://");
        let authority = authority.with_context(|| format!("{url} does not begin with http://"))?.to_owned();
        Ok(Self { authority, topics: AtomicU32::new(0) })
    }

    /// Makes a topic; its name, without a namespace.
    pub(super) fn create(&self) -> Result<String> {
        let number = self.topics.fetch_add(1, Ordering::Relaxed);
        let topic = format!("peers-{}-{number}", std::process::id());
        self.request("PUT", &topic, "")?;
        Ok(topic)
    }

    /// Makes a subscription that begins at the first message.
    pub(super) fn subscribe(&self, topic: &str, subscription: &str) -> Result<()> {
        let earliest = r#"{"ledgerId":-1,"entryId":-1,"partitionIndex":-1}"#;
        self.request("PUT", &format!("{topic}/subscription/{subscription}"), earliest)
    }

    pub(super) fn unsubscribe(&self, topic: &str, subscription: &str) -> Result<()> {
        self.request("DELETE", &format!("{topic}/subscription/{subscription}?force=true"), "")
    }

    pub(super) fn delete(&self, topic: &str) -> Result<()> {
        self.request("DELETE", &format!("{topic}?force=true"), "")
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Result<()> {
        let mut stream = TcpStream::connect(&self.authority)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let path = format!("/admin/v2/persistent/public/default/{path}");
        let head = format!("Host: {}\r\nContent-Type: application/json", self.authority);
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            bail!("{method} {path}: {}", answer.lines().last().unwrap_or_default());
        }
        Ok(())
    }
}
