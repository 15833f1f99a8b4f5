//! Idempotency keys for HTTP services, as a tower layer.

mod attempt;
mod body;
mod canonical;
mod claimed;
mod exchange;
mod fingerprint;
mod grpc;
mod headers;
mod kept;
mod key;
mod layer;
mod problem;
mod profile;
mod results;
mod rule;
mod secret;
mod service;
mod settings;

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
pub use rule::{Requirement, Rule};
pub use secret::Secret;
pub use service::IdempotencyService;
