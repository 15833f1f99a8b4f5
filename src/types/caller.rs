//! Who asks, as far as a log line should know.

use std::net::IpAddr;

/// Who makes a request. It decides nothing: the caller that holds a key can be read from
/// [`InFlight::holder`](crate::InFlight::holder) while it is in flight, and the audit trail keeps
/// what its [`Privacy`](crate::audit::Privacy) allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    client: Option<String>,
    ip: Option<IpAddr>,
    user_agent: Option<String>,
    request_id: Option<String>,
}

impl Caller {
    /// Nobody in particular.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The client's name (`ios-app`).
    #[must_use]
    pub fn client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// The client's address.
    #[must_use]
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }

    /// The client's user agent.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// The id of this one request, as the service logs it.
    #[must_use]
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// The client's name, if it was given.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// The client's address, if it was given.
    #[must_use]
    pub fn ip_address(&self) -> Option<IpAddr> {
        self.ip
    }

    /// The client's user agent, if it was given.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// The id of the request, if it was given.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}
