//! gRPC over HTTP/2: problems as gRPC has them, and results told apart by gRPC's own status.
//!
//! A gRPC response has HTTP status 200 whatever happened; `grpc-status` says what, in the trailers
//! or, where there is no body, in the headers.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response};

use super::{ProblemKind, ResultClass};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether headers are those of a gRPC message (`application/grpc`, `application/grpc+proto`).
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let after = media_type.and_then(|value| value.strip_prefix(NAME));
    after.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// A problem as a response without a body.
pub(crate) fn answer(kind: ProblemKind) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(code(kind)));
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(kind.name()));
    response
}

/// The codes of google.rpc.Code.
fn code(kind: ProblemKind) -> u16 {
    const INVALID_ARGUMENT: u16 = 3;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const FAILED_PRECONDITION: u16 = 9;
    const ABORTED: u16 = 10;
    const UNKNOWN: u16 = 2;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match kind {
        ProblemKind::KeyMissing | ProblemKind::KeyMalformed | ProblemKind::KeyReused => {
            INVALID_ARGUMENT
        }
        ProblemKind::InFlight => ABORTED,
        ProblemKind::Unresolved | ProblemKind::KeyExpired | ProblemKind::ResponseNotKept => {
            FAILED_PRECONDITION
        }
        ProblemKind::OutcomeUnknown | ProblemKind::HandlerFailed => UNKNOWN,
        ProblemKind::ScopeMissing => UNAUTHENTICATED,
        ProblemKind::BodyTooLarge | ProblemKind::TooManyKeys => RESOURCE_EXHAUSTED,
        ProblemKind::BodyTimeout | ProblemKind::BodyUnreadable | ProblemKind::StoreUnavailable => {
            UNAVAILABLE
        }
        ProblemKind::RecordUnreadable => INTERNAL,
        ProblemKind::Refused => PERMISSION_DENIED,
    }
}

/// The class of a gRPC result. One without a status broke off.
pub(crate) fn class(headers: &HeaderMap, trailers: Option<&HeaderMap>) -> ResultClass {
    let in_trailers = trailers.and_then(|trailers| trailers.get(GRPC_STATUS));
    let Some(status) = in_trailers.or_else(|| headers.get(GRPC_STATUS)) else {
        return ResultClass::Failed;
    };
    match status.as_bytes() {
        b"0" => ResultClass::Success,
        b"8" => ResultClass::TooManyRequests,
        // Invalid argument, not found, already exists, permission denied, failed precondition,
        // out of range, unimplemented, unauthenticated.
        b"3" | b"5" | b"6" | b"7" | b"9" | b"11" | b"12" | b"16" => ResultClass::ClientError,
        _ => ResultClass::ServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn grpc_is_known_by_its_type() {
        for value in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
            assert!(is_grpc(&headers(CONTENT_TYPE, value)), "{value}");
        }
        for value in ["application/grpc-web", "application/json", ""] {
            assert!(!is_grpc(&headers(CONTENT_TYPE, value)), "{value}");
        }
    }

    #[test]
    fn a_result_is_what_its_status_says() {
        let none = HeaderMap::new();
        let class = |status| class(&none, Some(&headers(GRPC_STATUS, status)));
        assert_eq!(class("0"), ResultClass::Success);
        assert_eq!(class("5"), ResultClass::ClientError);
        assert_eq!(class("8"), ResultClass::TooManyRequests);
        assert_eq!(class("14"), ResultClass::ServerError);
        assert_eq!(class("99"), ResultClass::ServerError);
        assert_eq!(super::class(&none, None), ResultClass::Failed);
        assert_eq!(super::class(&headers(GRPC_STATUS, "0"), None), ResultClass::Success);
    }

    #[test]
    fn no_problem_passes_for_success() {
        for kind in ProblemKind::ALL {
            let response = answer(kind);
            assert_ne!(class(response.headers(), None), ResultClass::Success, "{kind:?}");
        }
    }
}
