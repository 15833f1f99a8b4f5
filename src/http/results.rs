//! Which results of a handler are kept: a table from what happened to what becomes of the claim.

use http::StatusCode;

use super::Profile;

/// What came of a handler, as a policy tells results apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResultClass {
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx, but for 429.
    ClientError,
    /// 429: by its meaning nothing was done.
    TooManyRequests,
    /// 5xx, and whatever is no status of HTTP.
    ServerError,
    /// The service returned an error in place of a response, or the response's body broke off.
    Failed,
    /// The handler panicked.
    Panicked,
    /// The handler was stopped at its limit ([`Rule::handler_limit`](super::Rule::handler_limit)).
    Cancelled,
}

impl ResultClass {
    /// Every class.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::TooManyRequests,
        Self::ServerError,
        Self::Failed,
        Self::Panicked,
        Self::Cancelled,
    ];

    /// The class of a status.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            429 => Self::TooManyRequests,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// What becomes of the claim.
///
/// A handler that knows better than the policy says so by an action among the extensions of its
/// response: a proxy that never reached its upstream releases, whatever its 502 stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The response is kept, and every retry gets it. Where there is none (an error, a panic, a
    /// handler that was stopped), what is kept is a problem, `handler-failed`.
    Store,
    /// The key is given back: a retry executes again. For results that had no effect.
    Release,
    /// The effect is not known: the claim follows its policy
    /// ([`Rule::on_drop`](super::Rule::on_drop)), by default to unresolved.
    Abandon,
}

/// Which results are kept. The defaults of both profiles are a table in `docs/http.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPolicy {
    actions: [Action; 8],
    statuses: Vec<(StatusCode, Action)>,
}

impl ResultPolicy {
    /// The default of a profile.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let panicked = match profile {
            Profile::Ietf => Action::Abandon,
            Profile::Stripe => Action::Store,
        };
        let actions = ResultClass::ALL.map(|class| match class {
            ResultClass::Success
            | ResultClass::Redirection
            | ResultClass::ClientError
            | ResultClass::ServerError => Action::Store,
            ResultClass::TooManyRequests => Action::Release,
            ResultClass::Panicked => panicked,
            ResultClass::Failed | ResultClass::Cancelled => Action::Abandon,
        });
        Self { actions, statuses: Vec::new() }
    }

    /// What becomes of results of a class.
    #[must_use]
    pub fn class(mut self, class: ResultClass, action: Action) -> Self {
        for (of, slot) in ResultClass::ALL.iter().zip(&mut self.actions) {
            if *of == class {
                *slot = action;
            }
        }
        self
    }

    /// What becomes of results of one status, whatever is said of its class: a service whose 503
    /// means that nothing was done releases it.
    #[must_use]
    pub fn status(mut self, status: StatusCode, action: Action) -> Self {
        self.statuses.retain(|(other, _)| *other != status);
        self.statuses.push((status, action));
        self
    }

    pub(crate) fn action(&self, class: ResultClass, status: Option<StatusCode>) -> Action {
        let exact = self.statuses.iter().find(|(of, _)| Some(*of) == status);
        if let Some((_, action)) = exact {
            return *action;
        }
        let mut rows = ResultClass::ALL.iter().zip(&self.actions);
        // Every class has its row.
        rows.find(|(of, _)| **of == class).map_or(Action::Abandon, |(_, action)| *action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_class() {
        const TABLE: [(u16, ResultClass); 10] = [
            (100, ResultClass::ServerError),
            (200, ResultClass::Success),
            (299, ResultClass::Success),
            (303, ResultClass::Redirection),
            (400, ResultClass::ClientError),
            (428, ResultClass::ClientError),
            (429, ResultClass::TooManyRequests),
            (430, ResultClass::ClientError),
            (503, ResultClass::ServerError),
            (999, ResultClass::ServerError),
        ];
        for (status, class) in TABLE {
            assert_eq!(ResultClass::of(StatusCode::from_u16(status).expect("a status")), class);
        }
    }

    /// What is not known to have had no effect is never given back by default.
    #[test]
    fn only_429_is_released_by_default() {
        for profile in [Profile::Ietf, Profile::Stripe] {
            let policy = ResultPolicy::of(profile);
            for class in ResultClass::ALL {
                let released = policy.action(class, None) == Action::Release;
                assert_eq!(released, class == ResultClass::TooManyRequests, "{class:?}");
            }
        }
    }

    #[test]
    fn the_default_table_of_the_document() {
        let document = include_str!("../../docs/http.md");
        for class in ResultClass::ALL {
            let [ietf, stripe] = [Profile::Ietf, Profile::Stripe].map(|profile| {
                match ResultPolicy::of(profile).action(class, None) {
                    Action::Store => "store",
                    Action::Release => "release",
                    Action::Abandon => "abandon",
                }
            });
            let row = format!("| `{class:?}` |");
            let row = document.lines().find(|line| line.starts_with(&row)).expect("a row");
            assert!(row.ends_with(&format!("| {ietf} | {stripe} |")), "{row}");
        }
    }

    #[test]
    fn a_status_may_be_treated_apart_from_its_class() {
        let policy = ResultPolicy::of(Profile::Ietf)
            .class(ResultClass::ServerError, Action::Abandon)
            .status(StatusCode::SERVICE_UNAVAILABLE, Action::Release);
        let of = |status| policy.action(ResultClass::of(status), Some(status));
        assert_eq!(of(StatusCode::SERVICE_UNAVAILABLE), Action::Release);
        assert_eq!(of(StatusCode::BAD_GATEWAY), Action::Abandon);
        assert_eq!(of(StatusCode::OK), Action::Store);
    }
}
