//! What a layer was told: the profile, the rules, and how it learns whose request is what.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};

use super::problem::{Problem, ProblemStyle};
use super::rule::Rules;
use super::{KeptResponse, KeyPolicy, ProblemKind, Requirement, Rule, Secret, grpc};
use crate::types::{Caller, Key, Scope};

pub(crate) type ScopeOf = Arc<dyn Fn(&Parts) -> Option<Scope> + Send + Sync>;
pub(crate) type RouteOf = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;
pub(crate) type CallerOf = Arc<dyn Fn(&Parts, Caller) -> Caller + Send + Sync>;
pub(crate) type Hook = Arc<dyn Fn(&mut KeptResponse) + Send + Sync>;

/// What a layer was told.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) style: ProblemStyle,
    pub(crate) keys: KeyPolicy,
    pub(crate) rules: Rules,
    pub(crate) scope_of: ScopeOf,
    pub(crate) route_of: Option<RouteOf>,
    pub(crate) secret: Option<Secret>,
    pub(crate) earlier_secrets: Vec<Option<Secret>>,
    pub(crate) fail_open: bool,
    pub(crate) retention_header: Option<HeaderName>,
    pub(crate) redact: Option<Hook>,
    pub(crate) on_replay: Option<Hook>,
    pub(crate) caller_of: Option<CallerOf>,
}

/// What is to be done with a request, as far as its head says.
#[derive(Debug)]
pub(crate) enum Plan {
    /// The layer has no part in it.
    PassThrough,
    /// It is answered at once.
    Refuse(Problem),
    /// It is executed once.
    Keyed(Keyed),
}

/// A request with a key.
#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) scope: Scope,
    pub(crate) key: Key,
    pub(crate) operation: Arc<str>,
    pub(crate) rule: Arc<Rule>,
}

impl Settings {
    pub(crate) fn new(scope_of: ScopeOf) -> Self {
        Self {
            style: ProblemStyle::default(),
            keys: KeyPolicy::default(),
            rules: Rules::default(),
            scope_of,
            route_of: None,
            secret: None,
            earlier_secrets: Vec::new(),
            fail_open: false,
            retention_header: None,
            redact: None,
            on_replay: None,
            caller_of: None,
        }
    }

    /// Decides by the head of a request alone: nothing of its body is read and nothing stored for
    /// one that is refused here.
    pub(crate) fn plan(&self, request: &Parts) -> Plan {
        if is_upgrade(request) {
            return Plan::PassThrough;
        }
        let named = self.route_of.as_ref().and_then(|route_of| route_of(request));
        let route = named.as_deref().unwrap_or(request.uri.path());
        let Some(rule) = self.rules.find(&request.method, route) else { return Plan::PassThrough };
        let requirement = rule.requires(self.style.profile);
        if requirement == Requirement::Off {
            return Plan::PassThrough;
        }
        let key = match self.keys.read(&request.headers) {
            Ok(Some(key)) => key,
            Ok(None) if requirement == Requirement::Optional => return Plan::PassThrough,
            Ok(None) => return Plan::Refuse(ProblemKind::KeyMissing.into()),
            Err(error) => {
                let problem = Problem::new(ProblemKind::KeyMalformed).detail(error.to_string());
                return Plan::Refuse(problem);
            }
        };
        let Some(scope) = (self.scope_of)(request) else {
            return Plan::Refuse(ProblemKind::ScopeMissing.into());
        };
        let operation = format!("{} {route}", request.method).into();
        Plan::Keyed(Keyed { scope, key, operation, rule: rule.clone() })
    }

    /// A problem as the client of this request reads them.
    pub(crate) fn answer(&self, problem: &Problem, is_grpc: bool) -> Response<Bytes> {
        let kind = problem.kind();
        let mut answer = if is_grpc { grpc::answer(kind) } else { self.style.answer(problem) };
        answer.extensions_mut().insert(kind);
        answer
    }

    /// Tells a client how long its response is kept, if that is configured.
    pub(crate) fn publish_retention(&self, rule: &Rule, headers: &mut HeaderMap) {
        if let (Some(name), Some(ttl)) = (&self.retention_header, rule.terms.ttl) {
            headers.insert(name.clone(), HeaderValue::from(ttl.as_secs()));
        }
    }
}

/// A request for another protocol on this connection has no response that could be kept.
fn is_upgrade(request: &Parts) -> bool {
    let names_upgrade = |value: &HeaderValue| {
        let mut names = value.as_bytes().split(|byte| *byte == b',');
        names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    request.method == Method::CONNECT
        || (request.headers.contains_key(UPGRADE)
            && request.headers.get_all(CONNECTION).iter().any(names_upgrade))
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("style", &self.style)
            .field("keys", &self.keys)
            .field("rules", &self.rules)
            .field("fail_open", &self.fail_open)
            .finish_non_exhaustive()
    }
}
