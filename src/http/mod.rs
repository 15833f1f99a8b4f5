//! Idempotency keys for HTTP services, as a tower layer.

mod body;
mod canonical;
mod fingerprint;
mod headers;
mod kept;
mod key;
mod problem;
mod profile;
mod results;
mod rule;
mod secret;

pub use body::LayerBody;
pub use fingerprint::{BodyPart, FingerprintParts};
pub use headers::{HeaderPolicy, IDEMPOTENT_REPLAYED};
pub use kept::KeptResponse;
pub use key::{IDEMPOTENCY_KEY, KeyError, KeyFormat, KeyPolicy, KeySyntax};
pub use problem::ProblemKind;
pub use profile::Profile;
pub use results::{Action, ResultClass, ResultPolicy};
pub use rule::{Requirement, Rule};
pub use secret::Secret;
