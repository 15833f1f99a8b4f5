//! What a proxy may be told, in one form for flags, environment and file: the first of them that
//! says something counts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use jiff::{Span, SpanRelativeTo};
use serde::Deserialize;

use super::rule_choices::{RouteChoices, RuleChoices};

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
pub(crate) enum KeySyntaxName {
    /// A string in double quotes, or bare text, as many clients send it.
    Lenient,
    /// A string in double quotes, as the draft says.
    Strict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyFormatName {
    /// Any text of 1 to 255 characters.
    Any,
    /// A UUID of 36 characters.
    Uuid,
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

    /// A file with a secret that was in use before: requests of then are known still. Leave it away
    /// once a TTL has gone by; several may be given.
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

    /// How exactly a key must follow its syntax [default: lenient].
    #[arg(long, env = "ONCEKEY_PROXY_KEY_SYNTAX", value_enum)]
    pub(crate) key_syntax: Option<KeySyntaxName>,

    /// What a key must look like [default: any].
    #[arg(long, env = "ONCEKEY_PROXY_KEY_FORMAT", value_enum)]
    pub(crate) key_format: Option<KeyFormatName>,

    /// A retry that comes within 24 hours after its response has expired is told so (410), and not
    /// sent.
    #[arg(long, env = "ONCEKEY_PROXY_REFUSE_LATE_RETRIES", value_name = "BOOL",
        num_args = 0..=1, default_missing_value = "true")]
    pub(crate) refuse_late_retries: Option<bool>,

    /// Keep a trail of what was decided, 64 MiB and 30 days at most, for `oncekey audit` [default:
    /// true].
    #[arg(long, env = "ONCEKEY_PROXY_AUDIT", value_name = "BOOL",
        num_args = 0..=1, default_missing_value = "true")]
    pub(crate) audit: Option<bool>,

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
            key_syntax: self.key_syntax.or(file.key_syntax),
            key_format: self.key_format.or(file.key_format),
            refuse_late_retries: self.refuse_late_retries.or(file.refuse_late_retries),
            audit: self.audit.or(file.audit),
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
