//! Services with the HTTP layer, as their clients see them: over real sockets, and by calls.

#[path = "../support/answer.rs"]
mod answer;
mod backends;
mod bodies;
mod draft;
mod example;
mod gone;
mod hooks;
mod hostile;
mod model;
#[cfg(feature = "proxy")]
#[path = "../support/process.rs"]
mod process;
mod results;
mod sentences;
mod server;
mod stripe;
mod world;
