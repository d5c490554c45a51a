//! The first frame: the client's CONNECT, where the gateway has to look at it.
//!
//! It looks when clients may name brokers, and when it puts a Pulsar token of its own in place of theirs; where clients
//! are narrowed, [`crate::filter`] does it.
//! What goes on to the upstream is not what came but what was understood, written anew: a field that is not
//! known here, or that only proxies may send (`original_*`, `proxy_version`), goes nowhere.

use bytes::{Buf, Bytes, BytesMut};
use pulsewire_proto::wire::frame::encode_command;
use pulsewire_proto::wire::{Command, CommandConnect, FeatureFlags};

use crate::token::Secret;

/// The largest CONNECT: a token and some words.
const MAX_FRAME: usize = 64 * 1024;

/// The first frame is not a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoConnect;

/// Collects bytes until the first frame is whole.
#[derive(Debug, Default)]
pub(crate) struct FirstFrame {
    bytes: BytesMut,
}

impl FirstFrame {
    /// Takes more bytes; answers with the CONNECT and what came behind it, once that is there.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Option<(CommandConnect, Bytes)>, NoConnect> {
        self.bytes.extend_from_slice(bytes);
        let Some(size) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let size = u32::from_be_bytes(*size) as usize;
        if !(4..=MAX_FRAME).contains(&size) {
            return Err(NoConnect);
        }
        if self.bytes.len() < 4 + size {
            return Ok(None);
        }
        let mut frame = self.bytes.split_to(4 + size).freeze();
        frame.advance(4);
        // Nothing follows the command within the frame.
        if frame.get_u32() as usize != frame.len() {
            return Err(NoConnect);
        }
        match Command::decode(&frame) {
            Ok(Command::Connect(connect)) => Ok(Some((connect, self.bytes.split().freeze()))),
            _ => Err(NoConnect),
        }
    }
}

/// What a client may say of its CONNECT: not what only proxies may. `keep_target` leaves `proxy_to_broker_url` in it,
/// for a Pulsar proxy.
pub(crate) fn own_words(connect: CommandConnect, keep_target: bool) -> CommandConnect {
    CommandConnect {
        proxy_to_broker_url: connect.proxy_to_broker_url.filter(|_| keep_target),
        original_principal: None,
        original_auth_data: None,
        original_auth_method: None,
        proxy_version: None,
        ..connect
    }
}

/// Writes the CONNECT that goes to the upstream.
pub(crate) fn rewrite(connect: CommandConnect, keep_target: bool, pulsar: Option<&Secret>) -> Bytes {
    let mut ours = own_words(connect, keep_target);
    if let Some(Secret(token)) = pulsar {
        ours.auth_method = None;
        ours.auth_method_name = Some("token".to_owned());
        ours.auth_data = Some(Bytes::copy_from_slice(token.as_bytes()));
        // A client that was asked for a fresh token would have none: the broker is to close the connection, and
        // the client comes back with a token for the gateway.
        ours.feature_flags = Some(FeatureFlags {
            supports_auth_refresh: Some(false),
            ..ours.feature_flags.unwrap_or_default()
        });
    }
    let mut out = BytesMut::new();
    encode_command(&ours.into(), &mut out);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pulsewire_proto::wire::CommandPing;

    use super::*;

    fn frame(command: Command) -> Vec<u8> {
        let mut out = BytesMut::new();
        encode_command(&command, &mut out);
        out.to_vec()
    }

    fn connect() -> CommandConnect {
        CommandConnect {
            client_version: "test".to_owned(),
            protocol_version: Some(21),
            auth_method_name: Some("token".to_owned()),
            auth_data: Some(Bytes::from_static(b"the page's own")),
            proxy_to_broker_url: Some("broker:6650".to_owned()),
            original_principal: Some("admin".to_owned()),
            original_auth_data: Some("x".to_owned()),
            original_auth_method: Some("token".to_owned()),
            proxy_version: Some("4".to_owned()),
            ..CommandConnect::default()
        }
    }

    #[test]
    fn it_is_found_however_it_is_cut() {
        let bytes = [frame(connect().into()), b"rest".to_vec()].concat();
        for cut in 1..bytes.len() - 4 {
            let mut first = FirstFrame::default();
            assert_eq!(first.push(&bytes[..cut]), Ok(None));
            let (found, rest) = first.push(&bytes[cut..]).expect("a CONNECT").expect("whole");
            assert_eq!((found, &rest[..]), (connect(), &b"rest"[..]));
        }
    }

    #[test]
    fn anything_else_is_refused_at_once() {
        let push = |bytes: &[u8]| FirstFrame::default().push(bytes);
        assert_eq!(push(&frame(CommandPing::default().into())), Err(NoConnect));
        assert_eq!(push(b"GET / HTTP/1.1\r\n"), Err(NoConnect));
        assert_eq!(push(&[0xff; 4]), Err(NoConnect), "4 GB");
        assert_eq!(push(&[0, 0, 0, 0]), Err(NoConnect));
        assert_eq!(push(&[0, 0, 0, 5, 0, 0, 0, 9, 8]), Err(NoConnect), "a command longer than its frame");
    }

    fn rewritten(keep: bool, token: Option<&Secret>) -> CommandConnect {
        let bytes = rewrite(connect(), keep, token);
        let (connect, rest) = FirstFrame::default().push(&bytes).expect("a CONNECT").expect("whole");
        assert!(rest.is_empty());
        connect
    }

    #[test]
    fn what_only_proxies_may_say_goes_nowhere() {
        let ours = rewritten(false, None);
        assert_eq!(ours.auth_data.as_deref(), Some(&b"the page's own"[..]));
        assert_eq!((&ours.original_principal, &ours.original_auth_data), (&None, &None));
        assert_eq!((&ours.original_auth_method, &ours.proxy_version), (&None, &None));
        assert_eq!(ours.proxy_to_broker_url, None);
        assert_eq!(rewritten(true, None).proxy_to_broker_url.as_deref(), Some("broker:6650"));
    }

    #[test]
    fn a_mapped_token_takes_the_place_of_the_clients_own() {
        let token = Secret(Arc::from("pulsar's"));
        let ours = rewritten(true, Some(&token));
        assert_eq!(ours.auth_data.as_deref(), Some(&b"pulsar's"[..]));
        assert_eq!(ours.auth_method_name.as_deref(), Some("token"));
        assert_eq!(ours.feature_flags.and_then(|flags| flags.supports_auth_refresh), Some(false));
        assert_eq!(format!("{token:?}"), "Secret(..)");
    }
}
