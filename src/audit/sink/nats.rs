//! NATS JetStream: each line a message, whose id lets the server leave out what it has already.
//!
//! The server acknowledges a message once its stream has it. It knows ids for its stream's
//! duplicate window alone (two minutes, unless chosen otherwise), so duplicates are few and not
//! none: whoever reads the stream takes each id once.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use async_nats::jetstream::{self, context::PublishErrorKind};
use async_nats::{Client, HeaderMap};
use tokio::runtime::Runtime;

use super::{Message, Sink};
use crate::error::{Error, ErrorKind, Result};

const MESSAGE_ID: &str = "Nats-Msg-Id";
/// For the answer to a request, and the acknowledgement of a message.
const ANSWER: Duration = Duration::from_secs(5);

/// A server and a subject: `nats://[USER:PASSWORD@]HOST:PORT/SUBJECT`.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsAddress {
    server: String,
    subject: String,
    /// Without what is secret.
    shown: String,
}

impl NatsAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::invalid(format!(
                "{what}: an address is nats://HOST:PORT/SUBJECT, or \
                 nats://USER:PASSWORD@HOST:PORT/SUBJECT"
            ))
        };
        let rest = text.strip_prefix("nats://").ok_or_else(|| wrong("no nats:// at the start"))?;
        let (server, subject) = rest.split_once('/').ok_or_else(|| wrong("no subject"))?;
        let host = server.rsplit_once('@').map_or(server, |(_, host)| host);
        if host.is_empty() {
            return Err(wrong("no host"));
        }
        let is_token = |token: &str| {
            !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic() && c != '*' && c != '>')
        };
        if !subject.split('.').all(is_token) {
            return Err(wrong("no subject that can be published to"));
        }
        Ok(Self {
            server: format!("nats://{server}"),
            subject: subject.to_owned(),
            shown: format!("nats://{host}/{subject}"),
        })
    }

    /// The subject.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl fmt::Display for NatsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for NatsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsAddress({self})")
    }
}

/// A connection, with a runtime of its own: callers are threads.
pub(in crate::audit) struct Connection {
    pub(in crate::audit) address: NatsAddress,
    pub(in crate::audit) context: jetstream::Context,
    client: Client,
    runtime: Runtime,
}

impl Connection {
    pub(in crate::audit) fn open(address: NatsAddress) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("oncekey-nats")
            .enable_all()
            .build()
            .map_err(|error| Error::io("starting a thread for NATS", error))?;
        let connect = async {
            let options = async_nats::ConnectOptions::new()
                .name("oncekey")
                .connection_timeout(ANSWER)
                .request_timeout(Some(ANSWER));
            options.connect(&address.server).await
        };
        let client = runtime.block_on(connect).map_err(|error| {
            unavailable(format_args!("connecting to {address}: {error}; is the server there?"))
        })?;
        let context = jetstream::context::ContextBuilder::new().timeout(ANSWER).ack_timeout(ANSWER);
        // It starts a task of its own.
        let context = {
            let _inside = runtime.enter();
            context.build(client.clone())
        };
        Ok(Self { address, context, client, runtime })
    }

    pub(in crate::audit) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The name of the stream that takes the subject.
    pub(in crate::audit) fn stream(&self) -> Result<String> {
        let found = self.run(self.context.stream_by_subject(self.address.subject.clone()));
        found.map_err(|error| {
            unavailable(format_args!(
                "looking for a JetStream stream with the subject of {}: {error}; is the server \
                 run with JetStream (`nats-server -js`), and is there a stream for the subject \
                 (`--create-stream NAME` makes one)?",
                self.address
            ))
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .field("state", &self.client.connection_state())
            .finish_non_exhaustive()
    }
}

pub(in crate::audit) fn unavailable(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Unavailable, what.to_string())
}

/// A sink that publishes to a subject that a JetStream stream takes.
#[derive(Debug)]
pub struct NatsSink {
    connection: Connection,
}

impl NatsSink {
    /// Connects, and makes sure that a stream takes the subject: one of this name is made if it is
    /// given and is not there.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    pub fn connect(address: NatsAddress, create_stream: Option<&str>) -> Result<Self> {
        let connection = Connection::open(address)?;
        if let Some(name) = create_stream {
            let config = jetstream::stream::Config {
                name: name.to_owned(),
                subjects: vec![connection.address.subject.clone()],
                ..jetstream::stream::Config::default()
            };
            let made = connection.run(connection.context.get_or_create_stream(config));
            made.map_err(|error| unavailable(format_args!("making the stream {name}: {error}")))?;
        }
        connection.stream()?;
        Ok(Self { connection })
    }

    async fn publish(&self, messages: &[Message]) -> Result<()> {
        let Connection { address, context, .. } = &self.connection;
        let failed = |kind: PublishErrorKind, error: &dyn fmt::Display| {
            let what = format!("publishing to {address}: {error}");
            match kind {
                PublishErrorKind::MaxPayloadExceeded => {
                    Error::new(ErrorKind::LimitExceeded, format!("{what}; raise max_payload"))
                }
                _ => unavailable(what),
            }
        };
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            let mut headers = HeaderMap::new();
            headers.insert(MESSAGE_ID, message.id.as_str());
            let line = message.line.clone().into();
            let sent = context.publish_with_headers(address.subject.clone(), headers, line).await;
            answers.push(sent.map_err(|error| failed(error.kind(), &error))?);
        }
        for answer in answers {
            answer.await.map_err(|error| failed(error.kind(), &error))?;
        }
        Ok(())
    }
}

impl Sink for NatsSink {
    fn describe(&self) -> String {
        self.connection.address.to_string()
    }

    fn send(&mut self, messages: &[Message]) -> Result<()> {
        self.connection.run(self.publish(messages))
    }
}
