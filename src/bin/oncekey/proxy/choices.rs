//! What a proxy may be told, in one form for flags, environment and file: the first of them that
//! says something counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use jiff::{Span, SpanRelativeTo};
use serde::Deserialize;

/// A length of time as people write it: `30s`, `24h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Time(pub(crate) Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: Span = text.trim().parse().map_err(|error: jiff::Error| error.to_string())?;
        let exact = span.to_duration(SpanRelativeTo::days_are_24_hours());
        let exact = exact.map_err(|error| error.to_string())?;
        Duration::try_from(exact).map(Self).map_err(|_| "a time is not less than nothing".into())
    }
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProfileName {
    /// draft-ietf-httpapi-idempotency-key-header-07.
    Ietf,
    /// Stripe's API.
    Stripe,
}

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

/// Everything that may be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Choices {
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS", env = "ONCEKEY_PROXY_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,

    /// Where requests go: http://HOST:PORT.
    #[arg(long, value_name = "URL", env = "ONCEKEY_PROXY_UPSTREAM")]
    pub(crate) upstream: Option<String>,

    /// The header that says whose request it is; several are taken together.
    #[arg(
        long = "scope-header",
        value_name = "NAME",
        env = "ONCEKEY_PROXY_SCOPE_HEADER",
        value_delimiter = ','
    )]
    pub(crate) scope_headers: Vec<String>,

    /// The store's directory.
    #[arg(long, value_name = "DIR", env = "ONCEKEY_PROXY_STORE")]
    pub(crate) store: Option<PathBuf>,

    /// Do not create the store: an empty mount is not a fresh one.
    #[arg(long, env = "ONCEKEY_PROXY_MUST_EXIST", value_name = "BOOL",
        num_args = 0..=1, default_missing_value = "true")]
    pub(crate) must_exist: Option<bool>,

    /// Whose behaviour to follow [default: ietf].
    #[arg(long, env = "ONCEKEY_PROXY_PROFILE", value_enum)]
    pub(crate) profile: Option<ProfileName>,

    /// A file with the secret that scopes and fingerprints are keyed with; not in the store's
    /// directory.
    #[arg(long, value_name = "FILE", env = "ONCEKEY_PROXY_SECRET_FILE")]
    pub(crate) secret_file: Option<PathBuf>,

    /// A file with a secret that was in use before: its requests are known still. Leave it away once
    /// a TTL has gone by; several may be given.
    #[arg(
        long = "earlier-secret-file",
        value_name = "FILE",
        env = "ONCEKEY_PROXY_EARLIER_SECRET_FILE",
        value_delimiter = ','
    )]
    pub(crate) earlier_secret_files: Vec<PathBuf>,

    /// There was no secret before: requests of then are known still.
    #[arg(long, env = "ONCEKEY_PROXY_EARLIER_WITHOUT_SECRET", value_name = "BOOL",
        num_args = 0..=1, default_missing_value = "true")]
    pub(crate) earlier_without_secret: Option<bool>,

    /// Start although scopes are found in another way than before: every old key may run again.
    #[arg(long, env = "ONCEKEY_PROXY_ACCEPT_NEW_SCOPES", value_name = "BOOL",
        num_args = 0..=1, default_missing_value = "true")]
    pub(crate) accept_new_scopes: Option<bool>,

    /// Where health, metrics and unresolved requests are [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDRESS", env = "ONCEKEY_PROXY_ADMIN")]
    pub(crate) admin: Option<SocketAddr>,

    /// A file with the token that /unresolved and /resolve ask for; without one they are there on
    /// a loopback address only.
    #[arg(long, value_name = "FILE", env = "ONCEKEY_PROXY_ADMIN_TOKEN_FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,

    /// Where clients read about keys; linked from every problem.
    #[arg(long, value_name = "URL", env = "ONCEKEY_PROXY_DOCUMENTATION")]
    pub(crate) documentation: Option<String>,

    /// The header that says for how many seconds a response is kept, on responses that are.
    #[arg(long, value_name = "NAME", env = "ONCEKEY_PROXY_RETENTION_HEADER")]
    pub(crate) retention_header: Option<String>,

    /// Keep what a proxy in front wrote into X-Forwarded-For and Forwarded, and add to it.
    #[arg(long, env = "ONCEKEY_PROXY_TRUST_FORWARDED", value_name = "BOOL",
        num_args = 0..=1, default_missing_value = "true")]
    pub(crate) trust_forwarded: Option<bool>,

    /// How many new keys a scope may use in a minute [default: no limit].
    #[arg(long, value_name = "N", env = "ONCEKEY_PROXY_SCOPE_KEYS_PER_MINUTE")]
    pub(crate) scope_keys_per_minute: Option<u64>,

    /// How many clients may be connected, and how many requests executed, at one time [default:
    /// 1024].
    #[arg(long, value_name = "N", env = "ONCEKEY_PROXY_MAX_CONNECTIONS")]
    pub(crate) max_connections: Option<usize>,

    /// How long a client may take for the head of a request, or be idle [default: 15s].
    #[arg(long, value_name = "TIME", env = "ONCEKEY_PROXY_CLIENT_TIMEOUT")]
    pub(crate) client_timeout: Option<Time>,

    /// How long connecting to the upstream may take [default: 5s].
    #[arg(long, value_name = "TIME", env = "ONCEKEY_PROXY_CONNECT_TIMEOUT")]
    pub(crate) connect_timeout: Option<Time>,

    /// How long an idle connection to the upstream is used again; less than the upstream keeps it
    /// [default: 1s].
    #[arg(long, value_name = "TIME", env = "ONCEKEY_PROXY_UPSTREAM_IDLE")]
    pub(crate) upstream_idle: Option<Time>,

    /// How long requests in flight may take to end at SIGTERM [default: 30s].
    #[arg(long, value_name = "TIME", env = "ONCEKEY_PROXY_SHUTDOWN_TIMEOUT")]
    pub(crate) shutdown_timeout: Option<Time>,

    /// One JSON line a request on standard error [default: true].
    #[arg(long, value_name = "BOOL", env = "ONCEKEY_PROXY_ACCESS_LOG")]
    pub(crate) access_log: Option<bool>,

    #[command(flatten)]
    pub(crate) rule: RuleChoices,

    /// In the file only.
    #[arg(skip)]
    pub(crate) routes: Vec<RouteChoices>,
}

impl Choices {
    /// These, and for what they do not say, those of a file.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            listen: self.listen.or(file.listen),
            upstream: self.upstream.or(file.upstream),
            scope_headers: chosen(self.scope_headers, file.scope_headers),
            store: self.store.or(file.store),
            must_exist: self.must_exist.or(file.must_exist),
            profile: self.profile.or(file.profile),
            secret_file: self.secret_file.or(file.secret_file),
            earlier_secret_files: chosen(self.earlier_secret_files, file.earlier_secret_files),
            earlier_without_secret: self.earlier_without_secret.or(file.earlier_without_secret),
            accept_new_scopes: self.accept_new_scopes.or(file.accept_new_scopes),
            admin: self.admin.or(file.admin),
            admin_token_file: self.admin_token_file.or(file.admin_token_file),
            documentation: self.documentation.or(file.documentation),
            retention_header: self.retention_header.or(file.retention_header),
            trust_forwarded: self.trust_forwarded.or(file.trust_forwarded),
            scope_keys_per_minute: self.scope_keys_per_minute.or(file.scope_keys_per_minute),
            max_connections: self.max_connections.or(file.max_connections),
            client_timeout: self.client_timeout.or(file.client_timeout),
            connect_timeout: self.connect_timeout.or(file.connect_timeout),
            upstream_idle: self.upstream_idle.or(file.upstream_idle),
            shutdown_timeout: self.shutdown_timeout.or(file.shutdown_timeout),
            access_log: self.access_log.or(file.access_log),
            rule: self.rule.or(&file.rule),
            routes: file.routes,
        }
    }
}

/// A list, and if it says nothing the other.
fn chosen<T>(own: Vec<T>, other: Vec<T>) -> Vec<T> {
    if own.is_empty() { other } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let time = |text: &str| text.parse::<Time>().map(|time| time.0.as_millis());
        assert_eq!(
            ["30s", "24h", "7d", "250ms"].map(time),
            [30_000, 86_400_000, 604_800_000, 250].map(Ok)
        );
        for bad in ["", "7", "-1s", "1mo"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flag_goes_before_the_file() {
        let flag = Choices { listen: "127.0.0.1:1".parse().ok(), ..Choices::default() };
        let file: Choices =
            toml::from_str("listen = '127.0.0.1:2'\nstore = 'state'\n[rule]\nttl = '1h'")
                .expect("TOML");
        let both = flag.or(file);
        assert_eq!(both.listen, "127.0.0.1:1".parse().ok());
        assert_eq!(both.store, Some("state".into()));
        assert_eq!(both.rule.ttl, Some(Time(Duration::from_secs(3600))));
    }

    #[test]
    fn a_name_that_means_nothing_is_refused() {
        for bad in ["lisen = '127.0.0.1:1'", "[rule]\nttls = '1h'", "[[routes]]\nrule = {}"] {
            assert!(toml::from_str::<Choices>(bad).is_err(), "{bad}");
        }
    }
}
