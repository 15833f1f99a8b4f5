//! Which sink, as it is given on the command line. Another sink is another line here.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use oncekey::audit::sink::{FileSink, OutputSink, Sink};
#[cfg(feature = "nats")]
use oncekey::audit::sink::{NatsAddress, NatsSink};
use oncekey::{Error, ErrorKind};

/// Where to.
#[derive(Debug, Clone)]
pub(super) enum Target {
    File(PathBuf),
    Stdout,
    #[cfg(feature = "nats")]
    Nats(NatsAddress),
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |what: String| Error::new(ErrorKind::InvalidInput, what);
        if let Some(path) = text.strip_prefix("file:") {
            if path.is_empty() {
                return Err(invalid("which file? file:PATH".into()));
            }
            return Ok(Self::File(path.into()));
        }
        match text {
            "stdout" | "-" => Ok(Self::Stdout),
            #[cfg(feature = "nats")]
            text if text.starts_with("nats:") => NatsAddress::parse(text).map(Self::Nats),
            #[cfg(not(feature = "nats"))]
            text if text.starts_with("nats:") => Err(invalid(
                "this program was built without NATS: build it with --features cli,nats".into(),
            )),
            other => {
                Err(invalid(format!("{other:?} is none of file:PATH, stdout, nats://HOST/SUBJECT")))
            }
        }
    }
}

impl Target {
    /// As the sink describes itself, before it is opened.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::File(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                format!("file:{}", path.display())
            }
            Self::Stdout => "stdout".into(),
            #[cfg(feature = "nats")]
            Self::Nats(address) => address.to_string(),
        }
    }

    pub(super) fn open(&self, create_stream: Option<&str>) -> Result<Box<dyn Sink>, Error> {
        if create_stream.is_some() && !self.describe().starts_with("nats:") {
            let what = "--create-stream is for NATS alone";
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        match self {
            Self::File(path) => {
                let sink = FileSink::open(path)?;
                if sink.cut_bytes() > 0 {
                    eprintln!(
                        "oncekey: cut off {} bytes of a line that was not whole; it is sent again",
                        sink.cut_bytes()
                    );
                }
                Ok(Box::new(sink))
            }
            Self::Stdout => Ok(Box::new(OutputSink::new(io::stdout(), "stdout"))),
            #[cfg(feature = "nats")]
            Self::Nats(address) => Ok(Box::new(NatsSink::connect(address.clone(), create_stream)?)),
        }
    }
}
