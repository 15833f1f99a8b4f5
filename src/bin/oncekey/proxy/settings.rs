//! What a proxy does, after all that it was told was checked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::header::HeaderName;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, StatusCode, Uri};
use oncekey::DropPolicy;
use oncekey::http::{
    Action, BodyPart, FingerprintParts, HeaderPolicy, KeyFormat, KeyPolicy, KeySyntax, Profile,
    Requirement, ResultClass, ResultPolicy, RoutePattern, Rule,
};

use super::choices::{Choices, KeyFormatName, KeySyntaxName, ProfileName};
use super::manner::{Manner, Manners};
use super::rule_choices::{
    ActionName, BodyName, BodyWord, OnTimeout, RequirementName, RuleChoices,
};
use super::trouble::Style;
use crate::failure::{Doing, Failure, Result};

/// The store's own, said here so that it can be told to clients.
const DEFAULT_TTL: Duration = Duration::from_secs(24 * 3600);
const DEFAULT_UPSTREAM_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
const MIN_SECRET_BYTES: usize = 16;

/// What a proxy does.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) admin_token: Option<String>,
    pub(crate) upstream: Authority,
    pub(crate) scope_headers: Vec<HeaderName>,
    pub(crate) accept_new_scopes: bool,
    pub(crate) store: PathBuf,
    pub(crate) must_exist: bool,
    pub(crate) profile: Profile,
    pub(crate) secret: Option<Vec<u8>>,
    /// Those that were in use before; `None` where there was none.
    pub(crate) earlier_secrets: Vec<Option<Vec<u8>>>,
    pub(crate) retention_header: Option<HeaderName>,
    pub(crate) documentation: Option<String>,
    pub(crate) trust_forwarded: bool,
    pub(crate) keys: KeyPolicy,
    pub(crate) refuse_late_retries: bool,
    pub(crate) audit: bool,
    pub(crate) scope_keys_per_minute: Option<u64>,
    pub(crate) max_connections: usize,
    pub(crate) client_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) upstream_idle: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) access_log: bool,
    pub(crate) rule: Rule,
    pub(crate) routes: Vec<Route>,
    pub(crate) manners: Manners,
}

/// The rule of one route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: Option<Method>,
    pub(crate) path: String,
    pub(crate) rule: Rule,
}

impl Settings {
    pub(crate) fn of(choices: Choices) -> Result<Self> {
        let profile = match choices.profile {
            None | Some(ProfileName::Ietf) => Profile::Ietf,
            Some(ProfileName::Stripe) => Profile::Stripe,
        };
        let missing = |what| Failure::new(format!("{what} is missing; see oncekey proxy --help"));
        let time = |time: Option<super::choices::Time>, default_s| {
            time.map_or(Duration::from_secs(default_s), |time| time.0)
        };
        let earlier_secrets = earlier_secrets(&choices)?;
        let keys = keys(&choices);
        let (mut routes, mut manners) = (Vec::new(), Vec::new());
        for route in &choices.routes {
            let rule = route.rule.clone().or(&choices.rule);
            let of_route = |failure: Failure| Failure::new(format!("{}: {failure}", route.path));
            let method = route.method.as_deref().map(method).transpose().map_err(of_route)?;
            let manner = manner(&rule).map_err(of_route)?;
            manners.push((method.clone(), RoutePattern::new(&route.path), manner));
            let rule = self::rule(&rule, profile).map_err(of_route)?;
            routes.push(Route { method, path: route.path.clone(), rule });
        }
        Ok(Self {
            listen: choices.listen.ok_or_else(|| missing("--listen"))?,
            admin: choices.admin.unwrap_or(DEFAULT_ADMIN),
            admin_token: choices.admin_token_file.as_deref().map(token).transpose()?,
            upstream: upstream(&choices.upstream.ok_or_else(|| missing("--upstream"))?)?,
            scope_headers: scope_headers(&choices.scope_headers)?,
            accept_new_scopes: choices.accept_new_scopes.unwrap_or(false),
            store: choices.store.ok_or_else(|| missing("--store"))?,
            must_exist: choices.must_exist.unwrap_or(false),
            profile,
            secret: choices.secret_file.as_deref().map(secret).transpose()?,
            earlier_secrets,
            retention_header: choices.retention_header.as_deref().map(header_name).transpose()?,
            documentation: choices.documentation,
            trust_forwarded: choices.trust_forwarded.unwrap_or(false),
            keys,
            refuse_late_retries: choices.refuse_late_retries.unwrap_or(false),
            audit: choices.audit.unwrap_or(true),
            scope_keys_per_minute: choices.scope_keys_per_minute,
            max_connections: choices.max_connections.unwrap_or(1024).max(1),
            client_timeout: time(choices.client_timeout, 15),
            connect_timeout: time(choices.connect_timeout, 5),
            upstream_idle: time(choices.upstream_idle, 1),
            shutdown_timeout: time(choices.shutdown_timeout, 30),
            access_log: choices.access_log.unwrap_or(true),
            rule: rule(&choices.rule, profile)?,
            manners: Manners::new(manners, manner(&choices.rule)?),
            routes,
        })
    }
}

impl Settings {
    /// How answers of the proxy's own are written.
    pub(crate) fn style(&self) -> Style {
        Style { profile: self.profile, documentation: self.documentation.clone() }
    }
}

fn method(name: &str) -> Result<Method> {
    let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes());
    method.doing(format!("{name:?} is no method"))
}

fn upstream(url: &str) -> Result<Authority> {
    let uri: Uri = url.parse().doing(format!("--upstream {url}"))?;
    let is_plain = uri.scheme() == Some(&Scheme::HTTP);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match uri.authority() {
        Some(authority) if is_plain && path == "/" => Ok(authority.clone()),
        _ => Err(Failure::new(format!("--upstream {url}: write http://HOST:PORT, without a path"))),
    }
}

fn scope_headers(names: &[String]) -> Result<Vec<HeaderName>> {
    if names.is_empty() {
        return Err(Failure::new(
            "--scope-header is missing: without it one caller would get another's responses",
        ));
    }
    names.iter().map(|name| header_name(name)).collect()
}

fn header_name(name: &str) -> Result<HeaderName> {
    let parsed = HeaderName::from_bytes(name.trim().as_bytes());
    parsed.doing(format!("{name:?} is no name of a header"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(file).doing(file.display())?;
    Ok(bytes.trim_ascii_end().to_vec())
}

fn secret(file: &Path) -> Result<Vec<u8>> {
    let secret = read(file)?;
    if secret.len() < MIN_SECRET_BYTES {
        let bytes = secret.len();
        return Err(Failure::new(format!(
            "{}: a secret of {bytes} bytes; it needs {MIN_SECRET_BYTES} or more",
            file.display()
        )));
    }
    Ok(secret)
}

fn keys(choices: &Choices) -> KeyPolicy {
    let syntax = match choices.key_syntax {
        None | Some(KeySyntaxName::Lenient) => KeySyntax::Lenient,
        Some(KeySyntaxName::Strict) => KeySyntax::Strict,
    };
    let format = match choices.key_format {
        None | Some(KeyFormatName::Any) => KeyFormat::Any,
        Some(KeyFormatName::Uuid) => KeyFormat::Uuid,
    };
    KeyPolicy::new().syntax(syntax).format(format)
}

fn earlier_secrets(choices: &Choices) -> Result<Vec<Option<Vec<u8>>>> {
    let files = choices.earlier_secret_files.iter();
    let mut earlier: Vec<_> = files.map(|file| secret(file).map(Some)).collect::<Result<_>>()?;
    if choices.earlier_without_secret.unwrap_or(false) {
        earlier.push(None);
    }
    Ok(earlier)
}

fn token(file: &Path) -> Result<String> {
    let token = String::from_utf8(read(file)?).doing(file.display())?;
    if token.len() < MIN_SECRET_BYTES {
        return Err(Failure::new(format!(
            "{}: a token needs {MIN_SECRET_BYTES} characters or more",
            file.display()
        )));
    }
    Ok(token)
}

fn manner(choices: &RuleChoices) -> Result<Manner> {
    let lookup = choices.lookup.as_deref().map(|path| match path.parse::<PathAndQuery>() {
        Ok(parsed) if path.starts_with('/') => Ok(parsed),
        _ => Err(Failure::new(format!("lookup: {path:?} is no path"))),
    });
    Ok(Manner {
        limit: choices.upstream_timeout.map_or(DEFAULT_UPSTREAM_TIMEOUT, |time| time.0),
        on_timeout: match choices.on_timeout {
            None | Some(OnTimeout::Unresolved) => Action::Abandon,
            Some(OnTimeout::Released) => Action::Release,
        },
        lookup: lookup.transpose()?,
    })
}

fn rule(choices: &RuleChoices, profile: Profile) -> Result<Rule> {
    let deduplicates = choices.upstream_deduplicates.unwrap_or(false);
    let policy = if deduplicates { DropPolicy::Hold } else { DropPolicy::Unresolved };
    let mut rule = Rule::new().on_drop(policy).results(results(choices, profile)?);
    if let Some(requirement) = choices.requirement {
        rule = rule.requirement(match requirement {
            RequirementName::Required => Requirement::Required,
            RequirementName::Optional => Requirement::Optional,
            RequirementName::Off => Requirement::Off,
        });
    }
    rule = rule.ttl(choices.ttl.map_or(DEFAULT_TTL, |ttl| ttl.0));
    if let Some(lease) = choices.lease {
        rule = rule.lease(lease.0);
    }
    if let Some(wait) = choices.wait {
        rule = rule.wait(wait.0);
    }
    if let Some(limit) = choices.body_timeout {
        rule = rule.body_timeout(limit.0);
    }
    if let Some(bytes) = choices.max_request_bytes {
        rule = rule.max_request_bytes(bytes);
    }
    if let Some(bytes) = choices.max_response_bytes {
        rule = rule.max_response_bytes(bytes);
    }
    rule.check()?;
    Ok(rule.fingerprint(fingerprint(choices)?).headers(headers(choices)?))
}

fn headers(choices: &RuleChoices) -> Result<HeaderPolicy> {
    let mut policy = HeaderPolicy::new();
    let Some(chosen) = &choices.replayed_headers else { return Ok(policy) };
    let all = |names: &[String]| -> Result<Vec<HeaderName>> {
        names.iter().map(|name| header_name(name)).collect()
    };
    if let Some(only) = &chosen.only {
        policy = policy.only(all(only)?);
    }
    Ok(policy.without(all(&chosen.without)?))
}

fn fingerprint(choices: &RuleChoices) -> Result<FingerprintParts> {
    let mut parts = FingerprintParts::new();
    let Some(chosen) = &choices.fingerprint else { return Ok(parts) };
    if let Some(body) = &chosen.body {
        parts = parts.body(match body {
            BodyName::Word(BodyWord::Bytes) => BodyPart::Bytes,
            BodyName::Word(BodyWord::Json) => BodyPart::CanonicalJson,
            BodyName::Word(BodyWord::Ignored) => BodyPart::Ignored,
            BodyName::Fields(pointers) => BodyPart::JsonFields(pointers.clone()),
        });
    }
    for name in &chosen.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).doing(format!("header {name:?}"))?;
        parts = parts.header(name);
    }
    Ok(parts.query(chosen.query.unwrap_or(true)))
}

fn results(choices: &RuleChoices, profile: Profile) -> Result<ResultPolicy> {
    let mut policy = ResultPolicy::of(profile);
    for (name, action) in &choices.results {
        let action = match action {
            ActionName::Store => Action::Store,
            ActionName::Release => Action::Release,
            ActionName::Abandon => Action::Abandon,
        };
        let class = match name.as_str() {
            "2xx" => Some(ResultClass::Success),
            "3xx" => Some(ResultClass::Redirection),
            "4xx" => Some(ResultClass::ClientError),
            "429" => Some(ResultClass::TooManyRequests),
            "5xx" => Some(ResultClass::ServerError),
            _ => None,
        };
        policy = match class {
            Some(class) => policy.class(class, action),
            None => {
                let status = name.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
                let bad = || Failure::new(format!("results: {name:?} is no status and no class"));
                policy.status(status.ok_or_else(bad)?, action)
            }
        };
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "listen = '127.0.0.1:1'\nupstream = 'http://127.0.0.1:2'\n\
                         store = 'state'\nscope-headers = ['authorization']\n";

    fn settings(more: &str) -> Result<Settings> {
        Settings::of(toml::from_str(&format!("{LEAST}{more}")).expect("TOML"))
    }

    #[test]
    fn the_least_is_enough_and_is_unresolved() {
        let settings = settings("").expect("good");
        let request = hyper::Request::post("/").body(()).expect("a request");
        assert_eq!(settings.manners.of(&request).on_timeout, Action::Abandon);
        assert!(format!("{:?}", settings.rule).contains("on_drop: Some(Unresolved)"));
    }

    #[test]
    fn a_scope_is_not_optional() {
        let text = LEAST.replace("scope-headers = ['authorization']", "");
        let failure = Settings::of(toml::from_str(&text).expect("TOML")).expect_err("no scope");
        assert!(failure.to_string().contains("--scope-header"));
    }

    #[test]
    fn a_route_has_what_the_rule_says_unless_it_says_more() {
        let text = "[rule]\nupstream-timeout = '5s'\nupstream-deduplicates = true\n\
                    [[routes]]\nmethod = 'post'\npath = '/v1/*'\n\
                    rule = { on-timeout = 'released', results = { 503 = 'release' }, \
                    fingerprint = { body = ['/amount'], query = false } }";
        let settings = settings(text).expect("good");
        let [route] = &settings.routes[..] else { panic!("one route") };
        assert_eq!(route.method, Some(Method::POST));
        let request = hyper::Request::post("/v1/x").body(()).expect("a request");
        let manner = settings.manners.of(&request);
        assert_eq!((manner.limit, manner.on_timeout), (Duration::from_secs(5), Action::Release));
        assert!(format!("{:?}", route.rule).contains("on_drop: Some(Hold)"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            "[[routes]]\nmethod = 'p t'\npath = '/'",
            "[[routes]]\npath = '/'\nrule = { results = { 6xx = 'store' } }",
            "[rule]\nfingerprint = { headers = ['a b'] }",
            "[rule]\nlookup = 'idempotency'",
            "[rule]\nttl = '0s'",
            "[[routes]]\npath = '/'\nrule = { lease = '0s' }",
            "retention-header = 'a b'",
            "[rule]\nreplayed-headers = { without = ['a b'] }",
            "earlier-secret-files = ['/nowhere']",
        ] {
            assert!(settings(bad).is_err(), "{bad}");
        }
        for bad in ["https://a", "http://a/path", "a:1", "http://"] {
            assert!(upstream(bad).is_err(), "{bad}");
        }
    }
}
