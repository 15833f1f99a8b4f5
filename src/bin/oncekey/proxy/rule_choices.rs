//! What a proxy may be told of how requests are treated: of all, or of those of one route.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::Deserialize;

use super::choices::Time;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RequirementName {
    /// A request without a key is refused.
    Required,
    /// A request without a key passes.
    Optional,
    /// Keys are not looked at.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnTimeout {
    /// The request may have been executed: it is not sent again until somebody resolves it.
    Unresolved,
    /// The upstream gives up what it does not answer in time: a retry is sent.
    Released,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ActionName {
    Store,
    Release,
    Abandon,
}

/// What of a body counts: `bytes`, `json`, `ignored`, or JSON pointers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub(crate) enum BodyName {
    Fields(Vec<String>),
    Word(BodyWord),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BodyWord {
    Bytes,
    Json,
    Ignored,
}

/// What makes two requests the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct FingerprintChoices {
    pub(crate) body: Option<BodyName>,
    pub(crate) query: Option<bool>,
    pub(crate) headers: Vec<String>,
}

/// Which headers of a response are kept for its replays, beside those that never are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HeaderChoices {
    pub(crate) only: Option<Vec<String>>,
    pub(crate) without: Vec<String>,
}

/// How requests are treated; of one route, or of all for which there is no other rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RuleChoices {
    /// Whether a POST or PATCH needs a key [default: required; optional in the Stripe profile].
    #[arg(long, env = "ONCEKEY_PROXY_REQUIREMENT", value_enum)]
    pub(crate) requirement: Option<RequirementName>,

    /// How long a response is replayed, from its completion on [default: 24h].
    #[arg(long, value_name = "TIME", env = "ONCEKEY_PROXY_TTL")]
    pub(crate) ttl: Option<Time>,

    /// How long a claim stands when its attempt died; matters with --upstream-deduplicates.
    #[arg(long, value_name = "TIME", env = "ONCEKEY_PROXY_LEASE")]
    pub(crate) lease: Option<Time>,

    /// How long a retry waits for the first request before it is a 409 [default: 2s].
    #[arg(long, value_name = "TIME", env = "ONCEKEY_PROXY_WAIT")]
    pub(crate) wait: Option<Time>,

    /// How long the upstream may take to begin its answer, and between parts of it [default: 60s].
    #[arg(long, value_name = "TIME", env = "ONCEKEY_PROXY_UPSTREAM_TIMEOUT")]
    pub(crate) upstream_timeout: Option<Time>,

    /// What becomes of a request whose upstream did not answer in time [default: unresolved].
    #[arg(long, env = "ONCEKEY_PROXY_ON_TIMEOUT", value_enum)]
    pub(crate) on_timeout: Option<OnTimeout>,

    /// The upstream deduplicates by the header Oncekey-Downstream-Key: what ended with its effect
    /// unknown is sent again.
    #[arg(long, env = "ONCEKEY_PROXY_UPSTREAM_DEDUPLICATES", value_name = "BOOL",
        num_args = 0..=1, default_missing_value = "true")]
    pub(crate) upstream_deduplicates: Option<bool>,

    /// The path at which the upstream says what became of a request, by the header
    /// Oncekey-Downstream-Key; asked when the retry of an unresolved one comes.
    #[arg(long, value_name = "PATH", env = "ONCEKEY_PROXY_LOOKUP")]
    pub(crate) lookup: Option<String>,

    /// How long the body of a request with a key may take to arrive [default: 30s].
    #[arg(long, value_name = "TIME", env = "ONCEKEY_PROXY_BODY_TIMEOUT")]
    pub(crate) body_timeout: Option<Time>,

    /// The largest body of a request with a key, in bytes [default: 1 MiB].
    #[arg(long, value_name = "BYTES", env = "ONCEKEY_PROXY_MAX_REQUEST_BYTES")]
    pub(crate) max_request_bytes: Option<usize>,

    /// The largest body of a response that is kept, in bytes [default: 1 MiB].
    #[arg(long, value_name = "BYTES", env = "ONCEKEY_PROXY_MAX_RESPONSE_BYTES")]
    pub(crate) max_response_bytes: Option<usize>,

    /// In the file only.
    #[arg(skip)]
    pub(crate) fingerprint: Option<FingerprintChoices>,

    /// In the file only.
    #[arg(skip)]
    pub(crate) replayed_headers: Option<HeaderChoices>,

    /// In the file only: `2xx`, `429`, `503` ... to `store`, `release` or `abandon`.
    #[arg(skip)]
    pub(crate) results: BTreeMap<String, ActionName>,
}

impl RuleChoices {
    /// These, and for what they do not say, the others.
    pub(crate) fn or(self, other: &Self) -> Self {
        let other = other.clone();
        Self {
            requirement: self.requirement.or(other.requirement),
            ttl: self.ttl.or(other.ttl),
            lease: self.lease.or(other.lease),
            wait: self.wait.or(other.wait),
            upstream_timeout: self.upstream_timeout.or(other.upstream_timeout),
            on_timeout: self.on_timeout.or(other.on_timeout),
            upstream_deduplicates: self.upstream_deduplicates.or(other.upstream_deduplicates),
            lookup: self.lookup.or(other.lookup),
            body_timeout: self.body_timeout.or(other.body_timeout),
            max_request_bytes: self.max_request_bytes.or(other.max_request_bytes),
            max_response_bytes: self.max_response_bytes.or(other.max_response_bytes),
            fingerprint: self.fingerprint.or(other.fingerprint),
            replayed_headers: self.replayed_headers.or(other.replayed_headers),
            results: if self.results.is_empty() { other.results } else { self.results },
        }
    }
}

/// The rule of one route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RouteChoices {
    pub(crate) method: Option<String>,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) rule: RuleChoices,
}
