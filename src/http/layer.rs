//! The layer, and how it is told what to do.

use std::sync::Arc;

use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderValue, Method};
use tower_layer::Layer;

use super::settings::Settings;
use super::shared::Shared;
use super::{IdempotencyService, KeptResponse, KeyPolicy, Profile, Rule, Secret};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::types::{Caller, Scope};

/// Gives the service it wraps idempotency keys: a request with a key is executed at most once, and
/// every retry gets its response. See [the module](super).
///
/// Cloning is cheap; clones share the backend.
#[derive(Debug)]
pub struct IdempotencyLayer<B> {
    backend: Arc<B>,
    settings: Arc<Settings>,
}

impl<B> Clone for IdempotencyLayer<B> {
    fn clone(&self) -> Self {
        Self { backend: self.backend.clone(), settings: self.settings.clone() }
    }
}

impl<B: Backend> IdempotencyLayer<B> {
    /// A layer over a backend. `scope_of` says whose request it is, from whatever authenticated it
    /// (an extension that a layer outside of this one has set, as a rule); `None` is answered with
    /// 401. There is no default: one scope for all would give one caller's responses to another.
    pub fn new(
        backend: B,
        scope_of: impl Fn(&Parts) -> Option<Scope> + Send + Sync + 'static,
    ) -> Self {
        let settings = Arc::new(Settings::new(Arc::new(scope_of)));
        Self { backend: Arc::new(backend), settings }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Whose behaviour it follows; [`Profile::Ietf`] unless chosen.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        self.with(|settings| settings.style.profile = profile)
    }

    /// Which keys it takes.
    #[must_use]
    pub fn keys(self, policy: KeyPolicy) -> Self {
        self.with(|settings| settings.keys = policy)
    }

    /// The rule of requests for which no other is given, if their method is one of
    /// [`methods`](Self::methods).
    #[must_use]
    pub fn rule(self, rule: Rule) -> Self {
        self.with(|settings| settings.rules.set_default(rule))
    }

    /// The methods of which keys are looked at where a route has no rule: `POST` and `PATCH` unless
    /// chosen.
    #[must_use]
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.with(|settings| settings.rules.set_methods(methods.into_iter().collect()))
    }

    /// The rule of one route, or, where it ends in `*`, of all that begin so; of one method, or of
    /// all. A segment in braces (`/v1/charges/{id}`) stands for any one segment, so that a rule may
    /// name routes or paths. Of several that fit, the first that was given counts.
    #[must_use]
    pub fn route(self, method: Option<Method>, route: &str, rule: Rule) -> Self {
        self.with(|settings| settings.rules.add(method, route, rule))
    }

    /// How a request's route is found (`/v1/charges/{id}`), for its operation and its rule. The
    /// path unless told; what has no route (`None`) has its path. In axum:
    /// `|parts| parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned())`.
    #[must_use]
    pub fn route_of(
        self,
        route_of: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.with(|settings| settings.route_of = Some(Arc::new(route_of)))
    }

    /// What fingerprints are keyed with, from outside of the store's directory. A secret that was
    /// given before this one becomes an earlier secret.
    #[must_use]
    pub fn secret(self, secret: Secret) -> Self {
        self.with(|settings| {
            if let Some(earlier) = settings.secret.replace(secret) {
                settings.earlier_secrets.push(Some(earlier));
            }
        })
    }

    /// A secret that was in use before: retries of requests that came then are still known. Leave
    /// it away once a TTL has gone by since the change.
    #[must_use]
    pub fn earlier_secret(self, secret: Secret) -> Self {
        self.with(|settings| settings.earlier_secrets.push(Some(secret)))
    }

    /// Says that no secret was in use before: retries of requests that came then are still known.
    #[must_use]
    pub fn earlier_without_secret(self) -> Self {
        self.with(|settings| settings.earlier_secrets.push(None))
    }

    /// Where clients read how the service treats keys and how long it keeps responses: linked from
    /// every problem.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for what cannot be a link.
    pub fn documentation(self, url: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("{url:?} cannot be a link"));
        if url.is_empty() || url.contains(['<', '>', '"', ' ', '#']) || !url.is_ascii() {
            return Err(bad());
        }
        let link = HeaderValue::try_from(format!("<{url}>; rel=\"describedby\""));
        let link = link.map_err(|_| bad())?;
        Ok(self.with(|settings| settings.style.documentation = Some((url.to_owned(), link))))
    }

    /// A header that tells clients for how many seconds a response is kept, on responses that are.
    /// It needs a [`Rule::ttl`].
    #[must_use]
    pub fn retention_header(self, name: HeaderName) -> Self {
        self.with(|settings| settings.retention_header = Some(name))
    }

    /// Changes what is kept of a response before it is stored. The first caller gets the response
    /// as it was.
    #[must_use]
    pub fn redact(self, hook: impl Fn(&mut KeptResponse) + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.redact = Some(Arc::new(hook)))
    }

    /// Changes a response before it is replayed.
    #[must_use]
    pub fn on_replay(self, hook: impl Fn(&mut KeptResponse) + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.on_replay = Some(Arc::new(hook)))
    }

    /// Adds to what is known of whoever asks: the audit compares it when a request comes again. The
    /// hook is given what the headers say, `User-Agent` and `X-Request-Id`; a name for the client
    /// and its address are for the service to add, from what it trusts.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use oncekey::http::IdempotencyLayer;
    /// use oncekey::{Scope, Store};
    ///
    /// fn layer(store: Store) -> IdempotencyLayer<Store> {
    ///     IdempotencyLayer::new(store, |request| request.extensions.get::<Scope>().cloned())
    ///         .caller(|request, caller| match request.extensions.get::<SocketAddr>() {
    ///             Some(peer) => caller.ip(peer.ip()),
    ///             None => caller,
    ///         })
    /// }
    /// ```
    #[must_use]
    pub fn caller(self, hook: impl Fn(&Parts, Caller) -> Caller + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.caller_of = Some(Arc::new(hook)))
    }

    /// Executes requests as if they had no key while the backend cannot answer. Requests may then
    /// run twice; without this they are refused with 503.
    #[must_use]
    pub fn fail_open(self) -> Self {
        self.with(|settings| settings.fail_open = true)
    }
}

impl<S, B> Layer<S> for IdempotencyLayer<B> {
    type Service = IdempotencyService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Shared::new(self.backend.clone(), self.settings.clone());
        IdempotencyService::new(inner, Arc::new(shared))
    }
}
