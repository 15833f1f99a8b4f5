//! Whose behaviour a service follows where the IETF's draft and Stripe's API differ.

/// Whose behaviour a service follows. `docs/http.md` has the differences as a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// draft-ietf-httpapi-idempotency-key-header-07: a key is required, another request under the
    /// same key is a 422, and problems are `application/problem+json` (RFC 9457).
    #[default]
    Ietf,
    /// Stripe's API: a key is optional, another request under the same key is a 400, and problems
    /// are `{"error": {"type": "idempotency_error", ...}}`, which its client libraries look for.
    Stripe,
}
