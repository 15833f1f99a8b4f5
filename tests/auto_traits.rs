//! What may cross threads, checked by the compiler.

use std::future::Ready;

use oncekey::{
    Abort, Claim, ClaimCall, ClaimContext, CloseCall, CompleteCall, CompleteError, Error,
    FlightCall, FlushCall, InFlight, OnceCall, Outcome, Pending, Record, Store, StoredResponse,
};

fn is_send<T: Send + 'static>() {}
fn is_shared<T: Clone + Send + Sync + 'static>() {}

type Answer = Result<StoredResponse, Abort<Error>>;
type Handler = fn(ClaimContext) -> Ready<Answer>;

#[test]
fn calls_and_outcomes_may_cross_threads() {
    is_shared::<Store>();
    is_shared::<ClaimContext>();
    is_shared::<Record>();
    is_shared::<Error>();
    is_send::<Claim>();
    is_send::<Outcome>();
    is_send::<InFlight>();
    is_send::<CompleteError>();
    is_send::<ClaimCall>();
    is_send::<FlightCall>();
    is_send::<CompleteCall>();
    is_send::<CloseCall>();
    is_send::<FlushCall>();
    is_send::<Pending<bool>>();
    is_send::<OnceCall<Handler>>();
    is_send::<<OnceCall<Handler> as IntoFuture>::IntoFuture>();
}
