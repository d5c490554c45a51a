//! The commands that brokers send to clients, and only these: what is not named here is not linked
//! into a client's module, and is skipped as unknown.

use bytes::Bytes;

use crate::wire::{Command, DecodeError, locate, read_body};

macro_rules! incoming {
    ($($(#[$when:meta])? $number:literal $name:ident,)*) => {
        /// Decodes a command of a broker.
        pub(crate) fn decode(buf: &Bytes) -> Result<Command, DecodeError> {
            let (number, body) = locate(buf)?;
            match number {
                $($(#[$when])? $number => {
                    let bounds = body.ok_or(DecodeError::MissingField { number: $number })?;
                    read_body(buf, bounds).map(Command::$name)
                })*
                _ => Ok(Command::Unknown(number)),
            }
        }
    };
}

incoming! {
    3 Connected,
    8 SendError,
    13 Success,
    14 Error,
    15 CloseProducer,
    16 CloseConsumer,
    17 ProducerSuccess,
    18 Ping,
    19 Pong,
    22 PartitionedTopicMetadataResponse,
    24 LookupTopicResponse,
    30 GetLastMessageIdResponse,
    33 GetTopicsOfNamespaceResponse,
    36 AuthChallenge,
    38 AckResponse,
    #[cfg(feature = "many")] 65 WatchTopicListSuccess,
    #[cfg(feature = "many")] 66 WatchTopicUpdate,
}
