//! A JetStream stream as a source: the lines that were shipped to a subject, from the first that
//! the stream has, in its order. It changes nothing on the server: its consumer is gone with it.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use futures_util::StreamExt as _;

use crate::audit::sink::nats::{Connection, NatsAddress, unavailable};
use crate::error::Result;

/// What a wait for the next message came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A message. The rest of the stream, as far as it was there when this one was sent, is so many
    /// more.
    Message {
        /// What it says: a line as [`parse_told`](super::parse_told) reads it.
        line: Vec<u8>,
        /// How many messages are to come.
        pending: u64,
    },
    /// Nothing came in that time.
    Nothing,
    /// The stream has nothing for the subject.
    Empty,
}

/// Reads a stream.
pub struct NatsSource {
    connection: Connection,
    messages: Option<Ordered>,
    is_empty: bool,
}

impl fmt::Debug for NatsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSource").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl NatsSource {
    /// Connects to the stream that takes the address's subject.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    pub fn connect(address: NatsAddress) -> Result<Self> {
        let mut source =
            Self { connection: Connection::open(address)?, messages: None, is_empty: false };
        source.begin()?;
        Ok(source)
    }

    /// Reads from the stream's first message on.
    fn begin(&mut self) -> Result<()> {
        let name = self.connection.stream()?;
        let subject = self.connection.address.subject().to_owned();
        let begin = async {
            let stream = self.connection.context.get_stream(name).await?;
            let config = OrderedConfig { filter_subject: subject, ..OrderedConfig::default() };
            let consumer = stream.create_consumer(config).await?;
            let is_empty = consumer.cached_info().num_pending == 0;
            Ok::<_, async_nats::Error>((consumer.messages().await?, is_empty))
        };
        let (messages, is_empty) = self.connection.run(begin).map_err(|error| {
            unavailable(format_args!("reading {}: {error}", self.connection.address))
        })?;
        (self.messages, self.is_empty) = (Some(messages), is_empty);
        Ok(())
    }

    /// The next message, if it comes in time. After an error it begins again with the first: a
    /// merge knows what it was told before.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    pub fn next(&mut self, wait: Duration) -> Result<Received> {
        if self.messages.is_none() {
            self.begin()?;
        }
        let Some(messages) = &mut self.messages else { return Ok(Received::Nothing) };
        let next = async { tokio::time::timeout(wait, messages.next()).await };
        let failed = match self.connection.run(next) {
            Err(_) if self.is_empty => return Ok(Received::Empty),
            Err(_) => return Ok(Received::Nothing),
            Ok(Some(Ok(message))) => {
                self.is_empty = false;
                let pending = message.info().map_or(0, |info| info.pending);
                return Ok(Received::Message { line: message.payload.to_vec(), pending });
            }
            Ok(Some(Err(error))) => error.to_string(),
            Ok(None) => "the stream's messages have ended".to_owned(),
        };
        self.messages = None;
        Err(unavailable(format_args!("reading {}: {failed}", self.connection.address)))
    }
}
