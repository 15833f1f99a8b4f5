//! A bad network: a TCP forwarder between clients and service that cuts connections on request.
//!
//! A request whose `X-Demo` header has `cut-request`, `cut-response` or `cut-midway` loses its
//! connection before it reaches the service, after the service has answered, or in the middle of
//! that answer; once for each account and key, so that a client retries with the very same bytes.
//! The service behind it may die and come back at another address.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::failure::{Doing, Result};

/// The most of a request that is searched for headers.
const HEAD_BYTES: usize = 16 << 10;
/// The pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A running forwarder; it ends with the process.
#[derive(Debug, Clone)]
pub(crate) struct Forwarder {
    address: SocketAddr,
    network: Arc<Network>,
}

#[derive(Debug, Default)]
struct Network {
    target: Mutex<Option<SocketAddr>>,
    /// Account and key of each request whose connection was cut.
    cut: Mutex<HashSet<(String, String)>>,
}

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Request,
    Response,
    Midway,
}

impl Forwarder {
    /// Listens on `port` (0: any). Connections are refused until there is a target.
    pub(crate) async fn start(port: u16) -> Result<Self> {
        let doing = format!("listening on 127.0.0.1:{port}");
        let listener = TcpListener::bind(("127.0.0.1", port)).await.doing(&doing)?;
        let address = listener.local_addr().doing(&doing)?;
        let network = Arc::new(Network::default());
        tokio::spawn(accept(listener, network.clone()));
        Ok(Self { address, network })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where new connections go from now on; `None` while nobody is there.
    pub(crate) fn point_to(&self, target: Option<SocketAddr>) {
        *self.network.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }
}

async fn accept(listener: TcpListener, network: Arc<Network>) {
    loop {
        // An accept fails for a client that is gone already, or for want of file descriptors;
        // either way the next one may work.
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let network = network.clone();
        tokio::spawn(async move {
            let target = *network.target.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(target) = target else { return };
            if let Ok(service) = TcpStream::connect(target).await {
                // An error on either side is what a cut connection looks like: both are dropped.
                let _ = forward(client, service, &network).await;
            }
        });
    }
}

/// Copies both ways until one side ends or the network has its way.
async fn forward(
    mut client: TcpStream,
    mut service: TcpStream,
    network: &Network,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    service.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_service, mut to_service) = service.split();
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let mut request: Vec<u8> = Vec::new();
    let mut cut = None;
    loop {
        tokio::select! {
            read = from_client.read(&mut up) => {
                let bytes = up.get(..read?).unwrap_or_default();
                if bytes.is_empty() {
                    return Ok(());
                }
                if request.len() < HEAD_BYTES {
                    request.extend_from_slice(bytes);
                }
                cut = cut.or_else(|| network.wants_cut(&request));
                if cut == Some(Cut::Request) {
                    return Ok(());
                }
                to_service.write_all(bytes).await?;
            }
            read = from_service.read(&mut down) => {
                let bytes = down.get(..read?).unwrap_or_default();
                if bytes.is_empty() || cut == Some(Cut::Response) {
                    return Ok(());
                }
                if cut == Some(Cut::Midway) {
                    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                    return to_client.write_all(half).await;
                }
                request.clear();
                to_client.write_all(bytes).await?;
            }
        }
    }
}

impl Network {
    fn wants_cut(&self, request: &[u8]) -> Option<Cut> {
        let text = String::from_utf8_lossy(request);
        let head = text.split_once("\r\n\r\n")?.0;
        let cut = match header(head, "x-demo")?
            .split(',')
            .map(str::trim)
            .find(|word| word.starts_with("cut-"))?
        {
            "cut-request" => Cut::Request,
            "cut-response" => Cut::Response,
            "cut-midway" => Cut::Midway,
            _ => return None,
        };
        let account = header(head, "x-account").unwrap_or_default().to_owned();
        let key = header(head, "idempotency-key").unwrap_or_default().to_owned();
        let mut done = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        done.insert((account, key)).then_some(cut)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_cut_once_for_each_key() {
        let network = Network::default();
        let request = |key: &str, script: &str| {
            let lines = format!("X-Account: a\r\nIdempotency-Key: {key}\r\nx-demo: {script}");
            format!("POST /v1/charges HTTP/1.1\r\n{lines}\r\n\r\n{{}}").into_bytes()
        };
        let head = "POST / HTTP/1.1\r\nX-Demo: cut-request\r\n";
        assert_eq!(network.wants_cut(head.as_bytes()), None, "the head is not whole yet");
        assert_eq!(network.wants_cut(&request("k", "slow=5")), None);
        assert_eq!(network.wants_cut(&request("k", "slow=5, cut-midway")), Some(Cut::Midway));
        assert_eq!(network.wants_cut(&request("k", "cut-request")), None);
        assert_eq!(network.wants_cut(&request("l", "cut-response")), Some(Cut::Response));
    }
}
