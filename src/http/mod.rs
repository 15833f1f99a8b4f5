//! Idempotency keys for HTTP services, as a tower layer (feature `http`).
//!
//! A request with an `Idempotency-Key` is executed at most once, and every retry gets its response.
//! [`IdempotencyLayer`] wraps any tower service (axum, hyper, tonic) over any
//! [`Backend`](crate::backend::Backend); a [`Rule`] says how the requests of a route are treated;
//! the handler finds its [`Attempt`] among the request's extensions. `docs/http.md` in the
//! repository says what is answered when, and what is kept.
//!
//! ```
//! use axum::{Extension, Router, extract::MatchedPath, routing::post};
//! use oncekey::http::{Attempt, IdempotencyLayer};
//! use oncekey::{Scope, Store};
//!
//! async fn charge(Extension(attempt): Extension<Attempt>) -> String {
//!     // Charge the card here, sending the downstream key along.
//!     format!("charged under {}", attempt.downstream_key())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let store = Store::open_or_create(dir.path().join("idempotency"))?;
//! let idempotency =
//!     // Whose key it is, as an authenticating layer outside of this one has found out.
//!     IdempotencyLayer::new(store, |request| request.extensions.get::<Scope>().cloned())
//!         .route_of(|request| Some(request.extensions.get::<MatchedPath>()?.as_str().to_owned()));
//! let app: Router = Router::new().route("/v1/charges", post(charge)).layer(idempotency);
//! # Ok(()) }
//! ```
//!
//! It runs on tokio: a request whose client hangs up goes on in a task of its own, and timers need
//! the runtime's time driver.

mod attempt;
mod body;
mod canonical;
mod claimed;
mod exchange;
mod fingerprint;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod grpc;
mod headers;
mod kept;
mod key;
mod layer;
mod outliving;
mod problem;
mod profile;
mod results;
mod rule;
mod secret;
mod service;
mod settings;
mod shared;
mod timeout;
mod unresolved;

pub use attempt::Attempt;
pub use body::LayerBody;
pub use fingerprint::{BodyPart, FingerprintParts};
pub use headers::{HeaderPolicy, IDEMPOTENT_REPLAYED};
pub use kept::KeptResponse;
pub use key::{IDEMPOTENCY_KEY, KeyError, KeyFormat, KeyPolicy, KeySyntax};
pub use layer::IdempotencyLayer;
pub use problem::ProblemKind;
pub use profile::Profile;
pub use results::{Action, ResultClass, ResultPolicy};
pub use rule::{Requirement, RoutePattern, Rule};
pub use secret::Secret;
pub use service::IdempotencyService;
pub use unresolved::UnresolvedRequest;
