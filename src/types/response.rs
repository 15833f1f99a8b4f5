//! The response that a completion stores.

/// What a completion stores and every retry gets: opaque bytes and a small status.
///
/// The status is the caller's own (an HTTP status, a kind); the store only keeps it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoredResponse {
    status: u32,
    body: Vec<u8>,
}

impl StoredResponse {
    /// A response of these bytes, with status 0.
    #[must_use]
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 0, body: body.into() }
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(mut self, status: u32) -> Self {
        self.status = status;
        self
    }

    /// The status it was stored with.
    #[must_use]
    pub fn status(&self) -> u32 {
        self.status
    }

    /// The bytes.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The bytes, without copying them.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

impl std::fmt::Debug for StoredResponse {
    /// Shows the length only: bodies do not belong into logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredResponse")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish()
    }
}
