//! Connections: as many as are allowed, each with its time limits, and the end of all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::stalling::Stalling;
use crate::failure::{Doing, Result};

const MAX_HEADERS: usize = 100;
const MAX_BUFFER_BYTES: usize = 64 << 10;
/// How long a client may take nothing of its answer.
const WRITE_PAUSE: Duration = Duration::from_secs(30);
/// After a connection could not be taken: no file descriptor is left, as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A place where clients connect.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    max_connections: usize,
    head_limit: Duration,
}

impl Listener {
    pub(crate) async fn bind(
        address: SocketAddr,
        max_connections: usize,
        head_limit: Duration,
    ) -> Result<Self> {
        let socket = TcpListener::bind(address).await.doing(format!("listening on {address}"))?;
        let address = socket.local_addr().doing("listening")?;
        Ok(Self { socket, address, max_connections, head_limit })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` says so, then lets what is in flight end.
    pub(crate) async fn serve<S>(
        self,
        service_for: impl Fn(SocketAddr) -> S,
        mut stop: watch::Receiver<bool>,
    ) where
        S: HttpService<hyper::body::Incoming, Future: Send> + Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::ResBody: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(self.max_connections));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.head_limit)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_BUFFER_BYTES)
            .half_close(false);
        loop {
            let next = async {
                // Clients beyond the limit wait in the kernel's queue.
                let permit = room.clone().acquire_owned().await.ok();
                (permit, accept(&self.socket).await)
            };
            let (permit, (socket, peer)) = tokio::select! {
                next = next => next,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let io = TokioIo::new(Stalling::new(socket, WRITE_PAUSE));
            let connection = graceful.watch(http.serve_connection(io, service_for(peer)));
            tokio::spawn(async move {
                // How a connection ends is between the client and its network.
                let _ = connection.await;
                drop(permit);
            });
        }
        drop(self.socket);
        graceful.shutdown().await;
    }
}

async fn accept(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                // Without it answers are late, not wrong.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}
