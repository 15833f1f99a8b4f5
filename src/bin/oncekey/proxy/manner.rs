//! How the upstream is treated: of one route, or of all for which there is no other rule.

use std::sync::Arc;
use std::time::Duration;

use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request};
use oncekey::http::{Action, RoutePattern};

/// How long the upstream is waited for, what becomes of a request then, and where the upstream says
/// what became of one.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) limit: Duration,
    pub(crate) on_timeout: Action,
    pub(crate) lookup: Option<PathAndQuery>,
}

/// The manners of all routes. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    routes: Arc<[(Option<Method>, RoutePattern, Manner)]>,
    default: Manner,
}

impl Manners {
    pub(crate) fn new(
        routes: impl IntoIterator<Item = (Option<Method>, RoutePattern, Manner)>,
        default: Manner,
    ) -> Self {
        Self { routes: routes.into_iter().collect(), default }
    }

    /// That of a request: of the first route that fits, as the layer takes its rule.
    pub(crate) fn of<B>(&self, request: &Request<B>) -> Manner {
        let (method, path) = (request.method(), request.uri().path());
        let found = self.routes.iter().find(|(only, pattern, _)| {
            only.as_ref().is_none_or(|only| only == method) && pattern.matches(path)
        });
        found.map_or(&self.default, |(_, _, manner)| manner).clone()
    }
}
