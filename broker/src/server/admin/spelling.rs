//! How names of headers are written.
//!
//! Names of headers mean the same in any spelling, but Java's admin client looks for
//! `X-Pulsar-PROPERTY` as it stands. hyper writes names in small letters, except where it has read them
//! otherwise; so it is given all of them to read, once, and what it remembers goes with every message.

use http::{Extensions, Request};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// As the real broker writes them.
const NAMES: &str = "HTTP/1.1 204 No Content\r\n\
    X-Pulsar-Message-ID: -\r\nX-Pulsar-PROPERTY: -\r\nX-Pulsar-Broker-Entry-METADATA-timestamp: -\r\n\
    X-Pulsar-Broker-Entry-METADATA-index: -\r\nX-Pulsar-publish-time: -\r\nX-Pulsar-event-time: -\r\n\
    X-Pulsar-deliver-at-time: -\r\nX-Pulsar-Is-Encrypted: -\r\nX-Pulsar-txn-uncommitted: -\r\n\
    X-Pulsar-producer-name: -\r\nX-Pulsar-sequence-id: -\r\nX-Pulsar-partition-key: -\r\n\
    X-Pulsar-num-batch-message: -\r\nX-Pulsar-batch-size: -\r\nX-Pulsar-replicated-from: -\r\n\
    X-Pulsar-uuid: -\r\nX-Pulsar-null-value: -\r\nX-Pulsar-null-partition-key: -\r\n\
    X-Pulsar-partition-key-b64-encoded: -\r\nX-Pulsar-chunk-id: -\r\nX-Pulsar-num-chunks-from-msg: -\r\n\
    X-Pulsar-txn-aborted: -\r\nX-Pulsar-txnid-most-bits: -\r\nX-Pulsar-txnid-least-bits: -\r\n\
    X-Pulsar-marker-type: -\r\nX-Pulsar-total-chunk-msg-size: -\r\n\r\n";

/// What hyper remembers of them; nothing, and small letters, if it does not.
pub(super) async fn learn() -> Extensions {
    let (near, mut far) = tokio::io::duplex(NAMES.len());
    let read = async {
        let mut client = hyper::client::conn::http1::Builder::new();
        let (mut ask, connection) =
            client.preserve_header_case(true).handshake(TokioIo::new(near)).await.ok()?;
        let request = Request::new(Empty::<bytes::Bytes>::new());
        let connection = async {
            // It ends with the answer.
            let _ = connection.await;
        };
        let answer = async { ask.send_request(request).await.ok() };
        let write = async {
            // An answer before its question would be none.
            let asked = far.read(&mut [0; 1024]).await;
            let _ = (asked, far.write_all(NAMES.as_bytes()).await);
        };
        tokio::select! {
            (answer, ()) = async { tokio::join!(answer, write) } => answer,
            () = connection => None,
        }
    };
    read.await.map(|answer| answer.into_parts().0.extensions).unwrap_or_default()
}
