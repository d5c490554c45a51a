//! Readers.

mod builder;
mod hooks;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pulsewire_proto::{Error, ErrorKind, Message, MessageId, SeekTarget};
use pulsewire_transport::Clock as _;

pub use builder::ReaderBuilder;
pub use hooks::ReaderInterceptor;

use crate::consumer::Consumer;

/// Reads a topic, or several, from a place that the program chooses, without a subscription that somebody
/// keeps. A topic may have partitions: each is read in its order.
///
/// What is read is done with: there is nothing to acknowledge. Through reconnects it goes on behind the
/// message that was read last, also in the middle of a batch. Clones are handles to the same reader; it
/// closes when the last one is dropped.
///
/// ```
/// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
/// use pulsewire::MessageId;
///
/// let reader = client.reader("news").start_message_id(MessageId::EARLIEST).create().await?;
/// while reader.has_message_available().await? {
///     let message = reader.read_next().await?;
///     println!("{} {:?}", message.id(), message.payload());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    consumer: Consumer,
}

impl Reader {
    /// The reader whose consumer calls code of the user's.
    fn of(consumer: &Consumer) -> Self {
        Self { consumer: consumer.clone() }
    }

    /// The topic's full name; of several topics their names with commas between.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.consumer.topic()
    }

    /// How often a listener or an interceptor of this reader has panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.consumer.panics()
    }

    /// The next message. Waits through reconnects; dropping the future loses nothing.
    ///
    /// # Errors
    /// `AlreadyClosed`; `InvalidOption` with a [`reader_listener`](ReaderBuilder::reader_listener); `Corrupted` or `NotSupported` for one message that cannot be read (the next
    /// call goes on after it); what ended the reader, `TopicNotFound` for example when its topic was
    /// deleted and may not be created again.
    pub async fn read_next(&self) -> Result<Message, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next message, or `None` when none has come in time.
    ///
    /// # Errors
    /// As [`Reader::read_next`].
    pub async fn read_next_timeout(&self, timeout: Duration) -> Result<Option<Message>, Error> {
        let clock = self.consumer.client().inner.shared.clock();
        let mut late = pin!(clock.sleep_until(clock.now().saturating_add(timeout)));
        poll_fn(|cx| match self.poll_next(cx) {
            Poll::Ready(read) => Poll::Ready(read.map(Some)),
            // It may have made way for others, with messages here.
            Poll::Pending => late.as_mut().poll(cx).map(|()| self.try_read_next()),
        })
        .await
    }

    /// The next message if one has arrived.
    ///
    /// # Errors
    /// As [`Reader::read_next`].
    pub fn try_read_next(&self) -> Result<Option<Message>, Error> {
        self.consumer.refuse_pull()?;
        Ok(self.consumer.try_read()?.map(|message| self.consumer.before_consume(message)))
    }

    /// The messages as a stream, which ends when the reader is closed.
    pub fn messages(&self) -> ReadMessages<'_> {
        ReadMessages { reader: self }
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if let Err(error) = self.consumer.refuse_pull() {
            return Poll::Ready(Err(error));
        }
        self.consumer
            .poll_taken(cx, Consumer::try_read)
            .map_ok(|message| self.consumer.before_consume(message))
    }

    /// Whether there is a message to read, here or at the broker: [`Reader::read_next`] does not wait
    /// long then. Waits through reconnects and for a seek that is under way.
    ///
    /// A reader that starts at [`MessageId::LATEST`], inclusive, is moved to the last message by this,
    /// as in Java.
    ///
    /// # Errors
    /// `NotSupported` for topics that are not persistent, what the broker says, `AlreadyClosed`, or
    /// `Timeout`.
    pub async fn has_message_available(&self) -> Result<bool, Error> {
        self.consumer.has_message_available().await
    }

    /// The last message of the topic; `-1:-1` when there is none.
    ///
    /// # Errors
    /// As [`Reader::has_message_available`]; `NotSupported` also when there are several topics or
    /// partitions: see [`Reader::last_message_ids`].
    pub async fn last_message_id(&self) -> Result<MessageId, Error> {
        self.consumer.last_message_id().await
    }

    /// The last message of each topic, partition by partition; `-1:-1` where there is none.
    ///
    /// # Errors
    /// As [`Reader::has_message_available`].
    pub async fn last_message_ids(&self) -> Result<Vec<(String, MessageId)>, Error> {
        self.consumer.last_message_ids().await
    }

    /// The topics that it reads now, partition by partition.
    #[must_use]
    pub fn partitions(&self) -> Vec<String> {
        self.consumer.partitions()
    }

    /// Moves to a message, [`MessageId::EARLIEST`] or [`MessageId::LATEST`]: the messages after it come
    /// next, and it itself first when `start_message_id_inclusive` is set. Of a topic with partitions the
    /// message's partition moves, alone; with [`MessageId::EARLIEST`] and [`MessageId::LATEST`] all do.
    ///
    /// # Errors
    /// `InvalidMessageId` when it does not say which partition or topic is meant, `NotSupported` while another seek is under way, what the broker says, `AlreadyClosed`, or `Timeout`.
    pub async fn seek(&self, id: MessageId) -> Result<(), Error> {
        self.consumer.seek(id).await
    }

    /// Moves to the first message that was published at this time or later, in milliseconds since the
    /// Unix epoch.
    ///
    /// # Errors
    /// As [`Reader::seek`].
    pub async fn seek_by_publish_time(&self, time: u64) -> Result<(), Error> {
        self.consumer.seek_by_publish_time(time).await
    }

    /// Moves in one topic, or in the partition that is named: see [`Consumer::seek_topic`].
    ///
    /// # Errors
    /// `InvalidTopicName` when it is not read, and as [`Reader::seek`].
    pub async fn seek_topic(&self, topic: &str, target: SeekTarget) -> Result<(), Error> {
        self.consumer.seek_topic(topic, target).await
    }

    /// Moves in each topic and partition to a place of its own: see [`Consumer::seek_each`].
    ///
    /// # Errors
    /// As [`Reader::seek`].
    pub async fn seek_each(&self, place: impl Fn(&str) -> Option<SeekTarget>) -> Result<(), Error> {
        self.consumer.seek_each(place).await
    }

    /// Closes the reader.
    ///
    /// # Errors
    /// `Timeout` when the broker does not answer in time; it is closed then too.
    pub async fn close(&self) -> Result<(), Error> {
        self.consumer.close().await
    }
}

/// Messages as a stream: see [`Reader::messages`].
#[must_use = "streams do nothing unless polled"]
pub struct ReadMessages<'a> {
    reader: &'a Reader,
}

impl Stream for ReadMessages<'_> {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.reader.poll_next(cx).map(|read| match read {
            Err(error) if error.kind() == ErrorKind::AlreadyClosed => None,
            other => Some(other),
        })
    }
}
