//! One request with a key, from its claim to its answer.
//!
//! Nothing but a claim that was won runs the handler. What became of it is stored before it is
//! told. A lost race is answered by what won it; a backend that cannot answer is a 503, or, where
//! that was chosen, an execution without protection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::attempt::Held;
use super::claimed::Claimed;
use super::fingerprint::RequestParts;
use super::problem::Problem;
use super::service::whole;
use super::settings::{CallerOf, Keyed, Settings};
use super::shared::Shared;
use super::{
    IDEMPOTENT_REPLAYED, KeptResponse, LayerBody, ProblemKind, Secret, UnresolvedRequest, grpc,
};
use crate::backend::{Backend, Outcome, OwnerId};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Record, Unresolved};
use crate::types::{Caller, ClaimRequest, Fingerprint};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How often a claim is asked for whose answer was lost.
const CLAIM_TRIES: usize = 3;

pub(crate) type Answer<Out, E> = std::result::Result<Response<LayerBody<Out>>, E>;

/// One request with a key.
#[derive(Debug)]
pub(crate) struct Exchange<B> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) keyed: Keyed,
    pub(crate) is_grpc: bool,
    fingerprint: Fingerprint,
    /// By the secrets that were in use before.
    earlier: Vec<Fingerprint>,
    caller: Option<Arc<Caller>>,
}

impl<B: Backend> Exchange<B> {
    pub(crate) fn new(shared: Arc<Shared<B>>, keyed: Keyed, head: &Parts, body: &Bytes) -> Self {
        let parts = RequestParts {
            operation: &keyed.operation,
            uri: &head.uri,
            headers: &head.headers,
            body,
        };
        let print =
            |secret: Option<&Secret>| -> Fingerprint { keyed.rule.fingerprint.of(secret, &parts) };
        let settings = &shared.settings;
        let fingerprint = print(settings.secret.as_ref());
        let earlier =
            settings.earlier_secrets.iter().map(|secret| print(secret.as_ref())).collect();
        let is_grpc = grpc::is_grpc(&head.headers);
        let caller = caller(head, settings.caller_of.as_ref());
        Self { shared, keyed, is_grpc, fingerprint, earlier, caller }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The whole of it. What it takes stays where the future is, and all else borrows it: a future
    /// is moved around until it begins, and so its size counts.
    #[expect(clippy::manual_async_fn, reason = "it would have room for its arguments twice")]
    pub(crate) fn run<S, In, Out>(
        self: Arc<Self>,
        mut inner: S,
        mut request: Request<LayerBody<In>>,
    ) -> impl Future<Output = Answer<Out, S::Error>> + Send + 'static
    where
        S: Service<Request<LayerBody<In>>, Response = Response<Out>> + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        In: Send + 'static,
        Out: Body<Data = Bytes> + Send + 'static,
        Out::Error: Send,
    {
        async move {
            match self.decide().await {
                Ok(Outcome::Claimed(granted)) => {
                    let held = Arc::new(Held::new(self.clone(), granted));
                    Claimed::new(held).run(&mut inner, &mut request).await
                }
                Ok(told) => Ok(whole_or_body(self.tell(told))),
                Err(error) if self.settings().fail_open && !is_refusal(&error) => {
                    Ok(inner.call(request).await?.map(LayerBody::stream))
                }
                Err(error) => Ok(whole(self.refuse(&error))),
            }
        }
    }

    /// Claims the key, by the fingerprint of each secret in turn: a mismatch with all of them is
    /// one.
    async fn decide(&self) -> Result<Outcome> {
        let owner = self.shared.owners.draw()?;
        let told = self.claim(owner, self.fingerprint).await?;
        if matches!(told, Outcome::Mismatch(_)) {
            for earlier in &self.earlier {
                let again = self.claim(owner, *earlier).await?;
                if !matches!(again, Outcome::Mismatch(_)) {
                    return Ok(again);
                }
            }
        }
        Ok(told)
    }

    async fn claim(&self, owner: OwnerId, fingerprint: Fingerprint) -> Result<Outcome> {
        let rule = &self.keyed.rule;
        let mut told = Err(Error::invalid("no claim was made"));
        for _ in 0..CLAIM_TRIES {
            let request = self.request(fingerprint);
            told = match rule.wait {
                Duration::ZERO => self.shared.backend.claim(owner, request).await,
                limit => self.shared.backend.wait(owner, request, limit).await,
            };
            // Perhaps it was won: the same owner id finds out.
            if !told.as_ref().is_err_and(Error::is_outcome_unknown) {
                break;
            }
        }
        told
    }

    fn request(&self, fingerprint: Fingerprint) -> ClaimRequest {
        let Keyed { scope, key, operation, rule } = &self.keyed;
        ClaimRequest::of(
            (scope.clone(), key.clone()),
            operation.clone(),
            fingerprint,
            self.caller.clone(),
            rule.terms,
        )
    }

    /// The answer to an outcome that is not a claim.
    fn tell(&self, told: Outcome) -> Told {
        let problem = match told {
            Outcome::Replay(record) => return self.replay(&record),
            Outcome::Unresolved(attempt) => return self.tell_unresolved(attempt),
            Outcome::Mismatch(_) => ProblemKind::KeyReused.into(),
            Outcome::InFlight(flight) => {
                Problem::new(ProblemKind::InFlight).retry_after(flight.retry_after())
            }
            Outcome::Expired(_) => ProblemKind::KeyExpired.into(),
            Outcome::Claimed(_) => ProblemKind::OutcomeUnknown.into(),
        };
        Told::Problem(self.problem(&problem))
    }

    fn tell_unresolved(&self, attempt: Unresolved) -> Told {
        let mut answer = self.problem(&ProblemKind::Unresolved.into());
        let met = UnresolvedRequest::new(attempt, &self.keyed.operation);
        answer.extensions_mut().insert(met);
        Told::Problem(answer)
    }

    /// Whether a fingerprint is that of this request.
    pub(crate) fn is_ours(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == *fingerprint || self.earlier.contains(fingerprint)
    }

    pub(crate) fn problem(&self, problem: &Problem) -> Response<Bytes> {
        self.settings().answer(problem, self.is_grpc)
    }

    pub(crate) fn replay(&self, record: &Record) -> Told {
        let Some(mut kept) = KeptResponse::decode(record.response()) else {
            return Told::Problem(self.problem(&ProblemKind::RecordUnreadable.into()));
        };
        if let Some(hook) = &self.settings().on_replay {
            hook(&mut kept);
        }
        let (status, headers, body, trailers) = kept.into_parts();
        let replayed = HeaderValue::from_static("true");
        let Some(body) = body else {
            let problem = Problem::new(ProblemKind::ResponseNotKept);
            let mut answer = self.problem(&problem.original_status(status.as_u16()));
            answer.headers_mut().insert(IDEMPOTENT_REPLAYED, replayed);
            return Told::Problem(answer);
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        answer.headers_mut().insert(IDEMPOTENT_REPLAYED, replayed);
        self.settings().publish_retention(&self.keyed.rule, answer.headers_mut());
        Told::Replay(answer, trailers)
    }

    fn refuse(&self, error: &Error) -> Response<Bytes> {
        let problem = match error.kind() {
            ErrorKind::LimitExceeded => {
                Problem::new(ProblemKind::TooManyKeys).retry_after(Duration::from_secs(1))
            }
            ErrorKind::Refused => ProblemKind::Refused.into(),
            _ => Problem::new(ProblemKind::StoreUnavailable).retry_after(Duration::from_secs(1)),
        };
        self.problem(&problem)
    }
}

/// An answer of the layer's own.
pub(crate) enum Told {
    Problem(Response<Bytes>),
    Replay(Response<Bytes>, Option<HeaderMap>),
}

pub(crate) fn whole_or_body<T>(told: Told) -> Response<LayerBody<T>> {
    match told {
        Told::Problem(answer) => whole(answer),
        Told::Replay(answer, trailers) => answer.map(|body| LayerBody::whole(body, trailers)),
    }
}

/// Whether an error is the backend's answer to this request rather than the lack of one.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::LimitExceeded | ErrorKind::InvalidInput | ErrorKind::Refused)
}

/// Who asks, as far as the headers and the service say.
fn caller(head: &Parts, caller_of: Option<&CallerOf>) -> Option<Arc<Caller>> {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let (agent, id) = (text(USER_AGENT), text(X_REQUEST_ID));
    if agent.is_none() && id.is_none() && caller_of.is_none() {
        return None;
    }
    let mut caller = Caller::new();
    if let Some(agent) = agent {
        caller = caller.user_agent(agent);
    }
    if let Some(id) = id {
        caller = caller.request_id(id);
    }
    if let Some(caller_of) = caller_of {
        caller = caller_of(head, caller);
    }
    Some(Arc::new(caller))
}
