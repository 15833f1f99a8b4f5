//! Lines of JSON on any output. It has acknowledged what it took: what a pipe's reader does with it
//! is not known.

use std::fmt;
use std::io::Write;

use super::{Message, Sink};
use crate::error::{Error, Result};

/// A sink that writes lines, to standard output say.
pub struct OutputSink<W> {
    output: W,
    name: String,
}

impl<W: Write> OutputSink<W> {
    /// Writes to an output that is called so.
    pub fn new(output: W, name: impl Into<String>) -> Self {
        Self { output, name: name.into() }
    }
}

impl<W> fmt::Debug for OutputSink<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputSink").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<W: Write> Sink for OutputSink<W> {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn send(&mut self, messages: &[Message]) -> Result<()> {
        let mut text = String::new();
        for message in messages {
            text.push_str(&message.line);
            text.push('\n');
        }
        let written = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
        written.map_err(|error| Error::io(format_args!("writing to {}", self.name), error))
    }
}
