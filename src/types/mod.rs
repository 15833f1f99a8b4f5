//! The values that requests and answers are made of. They know no layer.

mod caller;
mod checkpoint;
mod downstream;
mod fingerprint;
mod key;
mod owner;
mod policy;
mod request;
mod response;
mod terms;
mod text;

pub use caller::Caller;
pub use checkpoint::Checkpoint;
pub use downstream::DownstreamKey;
pub use fingerprint::{Difference, Fingerprint};
#[cfg(feature = "http")]
pub(crate) use key::MAX_NAME_BYTES;
pub use key::{Key, Scope};
pub use owner::OwnerId;
pub use policy::DropPolicy;
pub use request::{ClaimRequest, RequestParts};
pub use response::StoredResponse;
pub(crate) use terms::Terms;
