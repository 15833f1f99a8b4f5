//! A response as it is kept, and the one place that knows how it becomes bytes.
//!
//! The bytes are the body of a [`StoredResponse`], whose status is the HTTP status:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 1 | flags: 1 = the body was kept, 2 = there are trailers |
//! | ... | headers |
//! | ... | trailers, if the flag says so |
//! | the rest | body |
//!
//! Headers are a count (4 bytes) and for each the lengths of its name (2) and value (4), the name,
//! and the value. Numbers are little-endian. What is read back is checked as if a stranger had
//! written it: another layer may share the store.

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::HeaderPolicy;
use crate::error::{Error, Result};
use crate::types::StoredResponse;

const VERSION: u8 = 1;
const FLAG_BODY: u8 = 1;
const FLAG_TRAILERS: u8 = 2;

/// A response as it is kept for replays: what a redaction changes before it is stored, and a replay
/// hook before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptResponse {
    status: StatusCode,
    headers: HeaderMap,
    /// `None`: it was too large, or a stream.
    body: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl KeptResponse {
    /// A response for replays: what an operator settles an unresolved request with. `None` for a
    /// body means that it is not known, and retries are told so.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap, body: Option<Bytes>) -> Self {
        Self { status, headers, body, trailers: None }
    }

    /// As a store keeps it, for [`Resolution::Completed`](crate::Resolution::Completed): without
    /// the headers that are never kept.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a header of 64 KiB of name or 4 GiB of
    /// value.
    pub fn to_stored(&self) -> Result<StoredResponse> {
        let kept = Self { headers: HeaderPolicy::new().kept(&self.headers), ..self.clone() };
        kept.encode().ok_or_else(|| Error::invalid("the response has a header that is too long"))
    }

    pub(crate) fn with_trailers(mut self, trailers: Option<HeaderMap>) -> Self {
        self.trailers = trailers;
        self
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its headers, to change them.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Its body; `None` if it is not kept, because it was too large or a stream.
    #[must_use]
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// Puts another body in place of the one that is kept. Does nothing where none is.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        if self.body.is_some() {
            self.body = Some(body.into());
        }
    }

    /// What followed the body (gRPC sends its status so).
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The same without its body.
    pub(crate) fn without_body(&self) -> Self {
        Self { body: None, trailers: None, ..self.clone() }
    }

    /// Its status alone.
    pub(crate) fn bare(&self) -> Self {
        Self::new(self.status, HeaderMap::new(), None)
    }

    pub(crate) fn into_parts(self) -> (StatusCode, HeaderMap, Option<Bytes>, Option<HeaderMap>) {
        (self.status, self.headers, self.body, self.trailers)
    }

    /// `None` if a header is too long to be written down, which no server sends.
    pub(crate) fn encode(&self) -> Option<StoredResponse> {
        let body = self.body.as_deref().unwrap_or_default();
        let mut bytes = Vec::with_capacity(body.len() + 64 * self.headers.len() + 16);
        let mut flags = 0;
        if self.body.is_some() {
            flags |= FLAG_BODY;
        }
        if self.trailers.is_some() {
            flags |= FLAG_TRAILERS;
        }
        bytes.extend([VERSION, flags]);
        put_headers(&mut bytes, &self.headers)?;
        if let Some(trailers) = &self.trailers {
            put_headers(&mut bytes, trailers)?;
        }
        bytes.extend_from_slice(body);
        Some(StoredResponse::new(bytes).with_status(self.status.as_u16().into()))
    }

    /// `None` if it is not what [`encode`](Self::encode) made.
    pub(crate) fn decode(stored: &StoredResponse) -> Option<Self> {
        let status = u16::try_from(stored.status()).ok()?;
        let status = StatusCode::from_u16(status).ok()?;
        let mut rest = Reader(stored.body());
        let flags = match rest.array::<2>()? {
            [VERSION, flags] => flags,
            _ => return None,
        };
        if flags & !(FLAG_BODY | FLAG_TRAILERS) != 0 {
            return None;
        }
        let headers = rest.headers()?;
        let trailers = match flags & FLAG_TRAILERS {
            0 => None,
            _ => Some(rest.headers()?),
        };
        let body = match flags & FLAG_BODY {
            0 if rest.0.is_empty() => None,
            0 => return None,
            _ => Some(Bytes::copy_from_slice(rest.0)),
        };
        Some(Self { status, headers, body, trailers })
    }
}

fn put_headers(bytes: &mut Vec<u8>, headers: &HeaderMap) -> Option<()> {
    bytes.extend(u32::try_from(headers.len()).ok()?.to_le_bytes());
    for (name, value) in headers {
        let name = name.as_str().as_bytes();
        bytes.extend(u16::try_from(name.len()).ok()?.to_le_bytes());
        bytes.extend(u32::try_from(value.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value.as_bytes());
    }
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn headers(&mut self) -> Option<HeaderMap> {
        let count = u32::from_le_bytes(self.array()?);
        let mut headers = HeaderMap::new();
        for _ in 0..count {
            let name = usize::from(u16::from_le_bytes(self.array()?));
            let value = usize::try_from(u32::from_le_bytes(self.array()?)).ok()?;
            let name = HeaderName::from_bytes(self.take(name)?).ok()?;
            let value = HeaderValue::from_bytes(self.take(value)?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        Some(headers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers() -> impl Strategy<Value = HeaderMap> {
        let value = prop::collection::vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8], 0..20);
        prop::collection::vec(("[a-z][a-z0-9-]{0,10}", value), 0..12).prop_map(|lines| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                headers.append(name, HeaderValue::from_bytes(&value).expect("a value"));
            }
            headers
        })
    }

    fn response() -> impl Strategy<Value = KeptResponse> {
        let body = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        let body = prop::option::of((body, prop::option::of(headers())));
        (100..1000_u16, headers(), body).prop_map(|(status, headers, body)| {
            let (body, trailers) = body.unzip();
            let status = StatusCode::from_u16(status).expect("a status");
            KeptResponse::new(status, headers, body).with_trailers(trailers.flatten())
        })
    }

    fn lines(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
    }

    proptest! {
        /// Promise 3: the same bytes, and every header in its place.
        #[test]
        fn what_is_kept_is_read_back(response in response()) {
            let stored = response.encode().expect("encoded");
            let back = KeptResponse::decode(&stored).expect("decoded");
            prop_assert_eq!(&back, &response);
            prop_assert_eq!(lines(back.headers()), lines(response.headers()));
        }

        #[test]
        fn other_bytes_are_refused_or_read_without_a_panic(
            response in response(), at in any::<prop::sample::Index>(), byte: u8, cut: bool,
        ) {
            let stored = response.encode().expect("encoded");
            let mut bytes = stored.body().to_vec();
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let other = StoredResponse::new(bytes).with_status(stored.status());
            if let Some(read) = KeptResponse::decode(&other) {
                prop_assert_eq!(read.encode().expect("encoded").body().len(), other.body().len());
            }
        }

        #[test]
        fn a_strangers_bytes_do_not_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100), status: u32,
        ) {
            let _ = KeptResponse::decode(&StoredResponse::new(bytes).with_status(status));
        }
    }

    /// A promise to stores that exist: these bytes are read by every later version.
    #[test]
    fn the_bytes_of_version_1() {
        let mut headers = HeaderMap::new();
        headers.append("a", HeaderValue::from_static("1"));
        headers.append("a", HeaderValue::from_static("23"));
        let response =
            KeptResponse::new(StatusCode::CREATED, headers, Some(Bytes::from_static(b"body")));
        let stored = response.encode().expect("encoded");
        let bytes = b"\x01\x01\x02\0\0\0\x01\0\x01\0\0\0a1\x01\0\x02\0\0\0a23body";
        assert_eq!((stored.status(), stored.body()), (201, &bytes[..]));
        let without = response.without_body().encode().expect("encoded");
        assert_eq!(without.body().get(..2), Some(&[1, 0][..]));
    }

    #[test]
    fn a_plain_response_of_another_user_is_not_read() {
        for body in
            [&b""[..], b"charged", b"\x02\x01\0\0\0\0", b"\x01\x04\0\0\0\0", b"\x01\0\0\0\0\0x"]
        {
            let stored = StoredResponse::new(body).with_status(200);
            assert_eq!(KeptResponse::decode(&stored), None, "{body:?}");
        }
        let stored = StoredResponse::new(&b"\x01\x01\0\0\0\0"[..]);
        assert_eq!(KeptResponse::decode(&stored), None, "0 is not a status");
    }
}
