//! Table views: a topic as a table of keys and their last values.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use pulsewire_proto::table_view::{self as proto, Change, ListenerId};
use pulsewire_proto::{Error, ErrorKind, MessageId, TopicName};

use crate::client::Client;
use crate::reader::Reader;

/// A topic as a table: the last value of each key, kept up to date.
///
/// It reads the topic, all its partitions, from its beginning (of a compacted one only what compaction left), and follows it.
/// A message with a key sets the key's value; one without a value, or with an empty one, removes it;
/// messages without a key are ignored. The key is [`Message::key`](crate::Message::key).
///
/// The table and what its listeners have not heard yet take at most
/// [`memory_limit`](TableViewBuilder::memory_limit) bytes. A table that needs more fails, and says so in
/// every call from then on; nothing is evicted, since a missing key would look like a removed one. A
/// message that cannot be read, or the end of the reader, fails it too.
///
/// Clones are handles to the same view; it ends when the last one, and the last of its
/// [`Changes`], is dropped.
///
/// ```
/// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
/// let prices = client.table_view("prices").create().await?;
/// println!("{:?} of {} keys", prices.get("apple")?, prices.len()?);
///
/// let mut changes = prices.for_each_and_listen();
/// while let Ok(change) = changes.next().await {
///     println!("{}: {:?}", change.key, change.value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TableView {
    handle: Arc<Handle>,
}

/// What the user holds.
struct Handle {
    topic: TopicName,
    view: Arc<View>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.view.end(Error::new(ErrorKind::AlreadyClosed, "the table view is closed"));
    }
}

/// What the user and the task share.
struct View {
    state: Mutex<State>,
}

struct State {
    table: proto::TableView,
    /// Until it ends.
    reader: Option<Reader>,
    /// The task, which waits for a message, or for room.
    task: Option<Waker>,
    /// Those that wait for a change.
    waiting: Vec<Waker>,
}

impl View {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere does not make the state wrong: each change of it is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing will change any more.
    fn end(&self, error: Error) {
        let mut state = self.lock();
        state.table.fail(error);
        let wakers: Vec<_> =
            std::mem::take(&mut state.waiting).into_iter().chain(state.task.take()).collect();
        let reader = state.reader.take();
        drop(state);
        drop(reader);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }
}

impl TableView {
    /// The topic's full name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.handle.topic.as_str()
    }

    fn table<T>(&self, read: impl FnOnce(&proto::TableView) -> T) -> Result<T, Error> {
        let state = self.handle.view.lock();
        state.table.check()?;
        Ok(read(&state.table))
    }

    /// The value of a key.
    ///
    /// # Errors
    /// Why the view has ended: `MemoryLimitExceeded`, `Corrupted`, `AlreadyClosed`, ...
    pub fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.table(|table| table.entries().get(key).cloned())
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// As [`TableView::get`].
    pub fn contains_key(&self, key: &str) -> Result<bool, Error> {
        self.table(|table| table.entries().contains_key(key))
    }

    /// How many keys have a value.
    ///
    /// # Errors
    /// As [`TableView::get`].
    pub fn len(&self) -> Result<usize, Error> {
        self.table(|table| table.entries().len())
    }

    /// Whether no key has a value.
    ///
    /// # Errors
    /// As [`TableView::get`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.table(|table| table.entries().is_empty())
    }

    /// The keys, in their order.
    ///
    /// # Errors
    /// As [`TableView::get`].
    pub fn keys(&self) -> Result<Vec<Arc<str>>, Error> {
        self.table(|table| table.entries().keys().cloned().collect())
    }

    /// All keys and their values as they are at one moment, in the keys' order. The values are shared,
    /// not copied.
    ///
    /// # Errors
    /// As [`TableView::get`].
    pub fn entries(&self) -> Result<Vec<(Arc<str>, Bytes)>, Error> {
        self.table(|table| table.entries().iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Bytes that it takes, about: what counts towards the memory limit.
    ///
    /// # Errors
    /// As [`TableView::get`].
    pub fn memory_used(&self) -> Result<usize, Error> {
        self.table(proto::TableView::used)
    }

    /// All changes from now on, each once and in order. As Java's `listen`.
    ///
    /// A listener that falls a thousand changes behind holds the view up until it goes on, or is dropped.
    #[must_use]
    pub fn listen(&self) -> Changes {
        self.changes(false)
    }

    /// What is there first, in the keys' order, then all changes. Nothing that changes meanwhile is told
    /// twice or not at all. As Java's `forEachAndListen`.
    #[must_use]
    pub fn for_each_and_listen(&self) -> Changes {
        self.changes(true)
    }

    fn changes(&self, existing: bool) -> Changes {
        let listener = self.handle.view.lock().table.listen(existing);
        Changes { handle: self.handle.clone(), listener }
    }

    /// Waits until all messages that are in the topic now were read.
    ///
    /// # Errors
    /// Why the view has ended, what the broker says, or `Timeout` when the broker does not say in time
    /// which message is the last.
    pub async fn refresh(&self) -> Result<(), Error> {
        let reader = {
            let state = self.handle.view.lock();
            state.table.check()?;
            state.reader.clone()
        };
        // Without a store there is nothing that was there.
        let Some(reader) = reader.filter(|reader| reader.topic().starts_with("persistent:")) else {
            return Ok(());
        };
        let mut last = reader.last_message_ids().await?;
        drop(reader);
        poll_fn(|cx| {
            let mut state = self.handle.view.lock();
            last.retain(|(topic, last)| !state.table.has_read(topic, *last));
            if last.is_empty() {
                return Poll::Ready(Ok(()));
            }
            state.table.check()?;
            state.wait(cx);
            Poll::Pending
        })
        .await
    }

    /// Closes the view. Its last handle's drop does so too.
    ///
    /// # Errors
    /// `Timeout` when the broker does not answer in time; it is closed then too.
    pub async fn close(&self) -> Result<(), Error> {
        let reader = self.handle.view.lock().reader.clone();
        self.handle.view.end(Error::new(ErrorKind::AlreadyClosed, "the table view is closed"));
        match reader {
            Some(reader) => reader.close().await,
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for TableView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableView").field("topic", &self.handle.topic).finish_non_exhaustive()
    }
}

/// The changes of a table view: see [`TableView::listen`].
pub struct Changes {
    handle: Arc<Handle>,
    listener: ListenerId,
}

impl Changes {
    /// The next change. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Why the view has ended, after all that came before.
    pub async fn next(&mut self) -> Result<Change, Error> {
        poll_fn(|cx| self.poll_change(cx)).await
    }

    fn poll_change(&self, cx: &Context<'_>) -> Poll<Result<Change, Error>> {
        let mut state = self.handle.view.lock();
        if let Some(change) = state.table.next_change(self.listener) {
            let task = state.task.take();
            drop(state);
            // There may be room again.
            task.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(change));
        }
        state.table.check()?;
        state.wait(cx);
        Poll::Pending
    }
}

impl Stream for Changes {
    type Item = Result<Change, Error>;

    /// Ends when the view is closed.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_change(cx).map(|change| match change {
            Err(error) if error.kind() == ErrorKind::AlreadyClosed => None,
            other => Some(other),
        })
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let mut state = self.handle.view.lock();
        state.table.unlisten(self.listener);
        let task = state.task.take();
        drop(state);
        task.into_iter().for_each(Waker::wake);
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Changes")
    }
}

/// The task: reads, and takes in what it reads.
struct Follow {
    reader: Reader,
    view: Arc<View>,
}

impl Drop for Follow {
    /// It has ended, or its runtime has: nobody is to wait for what will not come.
    fn drop(&mut self) {
        self.view.end(Error::new(ErrorKind::AlreadyClosed, "the table view follows its topic no more"));
    }
}

/// Messages that are taken in before others have their turn.
const TURN: usize = 256;

impl Future for Follow {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURN {
            let mut state = self.view.lock();
            if state.table.check().is_err() {
                return Poll::Ready(());
            }
            if state.task.as_ref().is_none_or(|task| !task.will_wake(cx.waker())) {
                state.task = Some(cx.waker().clone());
            }
            if !state.table.has_room() {
                return Poll::Pending;
            }
            drop(state);
            let applied = match self.reader.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(read) => read.and_then(|message| self.view.lock().table.apply(&message)),
            };
            if let Err(error) = applied {
                self.view.end(error);
                return Poll::Ready(());
            }
            let waiting = std::mem::take(&mut self.view.lock().waiting);
            waiting.into_iter().for_each(Waker::wake);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Options of a [`TableView`]. Defaults are those of Java's `TableViewBuilder`.
#[must_use]
pub struct TableViewBuilder {
    client: Client,
    topic: String,
    subscription: Option<String>,
    auto_update_partitions_interval: Option<Duration>,
    memory_limit: usize,
}

impl TableViewBuilder {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        Self {
            client,
            topic,
            subscription: None,
            auto_update_partitions_interval: None,
            memory_limit: 64 * 1024 * 1024,
        }
    }

    /// The name of its reader's subscription. Default: a random one that begins with `reader-`, as
    /// Java's `subscriptionName`.
    pub fn subscription(mut self, name: impl Into<String>) -> Self {
        self.subscription = Some(name.into());
        self
    }

    /// How often it is asked whether the topic has more partitions, which belong to the table then too.
    /// Default: 60 s, as Java's `autoUpdatePartitionsInterval`; at least 1 ms, where Java has whole
    /// seconds.
    pub fn auto_update_partitions_interval(mut self, interval: Duration) -> Self {
        self.auto_update_partitions_interval = Some(interval);
        self
    }

    /// How many bytes the view may take: keys, values and 128 bytes for each; at least 1.
    /// Default: 64 MiB; Java's has no limit.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Opens the view; it is there when all messages that are in the topic were read. It follows its topic
    /// where the client runs.
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidOption` with all that is wrong, what the broker says, `Timeout`, or `MemoryLimitExceeded`.
    pub async fn create(self) -> Result<TableView, Error> {
        let topic = TopicName::parse(&self.topic);
        let persistent = topic.as_ref().is_ok_and(|topic| topic.as_str().starts_with("persistent:"));
        let why = "memory_limit is at least 1 byte";
        let wrong = (self.memory_limit == 0).then(|| Error::new(ErrorKind::InvalidOption, why));
        let reader = self.client.reader(self.topic).start_message_id(MessageId::EARLIEST);
        let mut reader = reader.wrong(wrong);
        if let Some(subscription) = self.subscription {
            reader = reader.subscription(subscription);
        }
        if let Some(interval) = self.auto_update_partitions_interval {
            reader = reader.auto_update_partitions_interval(interval);
        }
        let reader = reader.read_compacted(persistent).create().await?;
        let topic = topic?;
        let state = State {
            table: proto::TableView::new(self.memory_limit),
            reader: Some(reader.clone()),
            task: None,
            waiting: Vec::new(),
        };
        let view = Arc::new(View { state: Mutex::new(state) });
        let table = TableView { handle: Arc::new(Handle { topic, view: view.clone() }) };
        self.client.inner.spawner.spawn(Follow { reader, view });
        table.refresh().await?;
        Ok(table)
    }
}
