//! Services with the HTTP layer, as their clients see them: over real sockets, and by calls.

mod backends;
mod bodies;
mod draft;
mod gone;
mod hooks;
mod hostile;
mod model;
mod results;
mod server;
mod stripe;
mod world;
