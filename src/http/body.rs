//! Bodies that were read, in whole or in part, and go on.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// The body that the layer hands to the service it wraps, and that it answers with: bytes that are
/// in memory, the body it was made of, or first the one and then the other.
pub struct LayerBody<B> {
    first: Option<Bytes>,
    rest: Option<Pin<Box<B>>>,
    trailers: Option<HeaderMap>,
}

impl<B> LayerBody<B> {
    /// A body that passes through as it comes.
    pub(crate) fn stream(body: B) -> Self {
        Self { first: None, rest: Some(Box::pin(body)), trailers: None }
    }

    /// Bytes, and what follows them.
    pub(crate) fn whole(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        let first = (!bytes.is_empty()).then_some(bytes);
        Self { first, rest: None, trailers }
    }

    /// What was read of a body, and the rest of it.
    fn resumed(first: Bytes, rest: Pin<Box<B>>) -> Self {
        Self { first: (!first.is_empty()).then_some(first), rest: Some(rest), trailers: None }
    }
}

impl<B: Body<Data = Bytes>> Body for LayerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(bytes) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if let Some(rest) = &mut self.rest {
            let frame = ready!(rest.as_mut().poll_frame(cx));
            if frame.is_none() {
                self.rest = None;
            }
            return Poll::Ready(frame);
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let Some(rest) = &self.rest else { return SizeHint::with_exact(first) };
        let rest = rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(first.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(first)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> Default for LayerBody<B> {
    fn default() -> Self {
        Self::whole(Bytes::new(), None)
    }
}

impl<B> fmt::Debug for LayerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerBody")
            .field("first", &self.first.as_ref().map(Bytes::len))
            .field("goes_on", &self.rest.is_some())
            .finish_non_exhaustive()
    }
}

/// What came of reading a body.
#[derive(Debug)]
pub(crate) enum Collected<B: Body> {
    /// All of it.
    Whole(Bytes, Option<HeaderMap>),
    /// More than the limit: all of it still, as it comes.
    TooLarge(LayerBody<B>),
    /// It broke off.
    Broken(B::Error),
}

/// Reads a body of at most `limit` bytes. A little more than the limit is held at most: what came
/// with the frame that passed it.
pub(crate) async fn collect<B: Body<Data = Bytes>>(body: B, limit: usize) -> Collected<B> {
    let mut body = Box::pin(body);
    let (mut chunks, mut trailers) = (Chunks::default(), None);
    if body.size_hint().lower() > limit as u64 {
        return Collected::TooLarge(LayerBody::resumed(Bytes::new(), body));
    }
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Collected::Broken(error),
        };
        match frame.into_data() {
            Ok(data) => chunks.push(data),
            Err(frame) => trailers = frame.into_trailers().ok().or(trailers),
        }
        if chunks.len() > limit {
            return Collected::TooLarge(LayerBody::resumed(chunks.join(), body));
        }
    }
    Collected::Whole(chunks.join(), trailers)
}

/// A body is one chunk as a rule, and is not copied then.
#[derive(Default)]
struct Chunks {
    one: Bytes,
    many: BytesMut,
}

impl Chunks {
    fn len(&self) -> usize {
        self.one.len() + self.many.len()
    }

    fn push(&mut self, chunk: Bytes) {
        if self.len() == 0 {
            self.one = chunk;
            return;
        }
        if self.many.is_empty() {
            self.many.extend_from_slice(&std::mem::take(&mut self.one));
        }
        self.many.extend_from_slice(&chunk);
    }

    fn join(self) -> Bytes {
        if self.many.is_empty() { self.one } else { self.many.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// A body of these chunks, which does not know its size.
    struct Sent {
        chunks: VecDeque<Bytes>,
        trailers: Option<HeaderMap>,
    }

    impl Body for Sent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let data = self.chunks.pop_front().map(Frame::data);
            Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("these bodies are always ready"),
        }
    }

    fn whole(body: impl Body<Data = Bytes, Error = Infallible>) -> (Bytes, Option<HeaderMap>) {
        match block_on(collect(body, usize::MAX)) {
            Collected::Whole(bytes, trailers) => (bytes, trailers),
            other => panic!("{:?}", std::mem::discriminant(&other)),
        }
    }

    proptest! {
        /// Whatever the limit is, no byte and no trailer is lost.
        #[test]
        fn a_body_is_all_there_below_and_above_the_limit(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            limit in 0_usize..300,
        ) {
            let trailer = "1".parse().expect("a value");
            let trailers = HeaderMap::from_iter([(http::header::ETAG, trailer)]);
            let all: Vec<u8> = chunks.concat();
            let sent = Sent {
                chunks: chunks.into_iter().map(Bytes::from).collect(),
                trailers: Some(trailers.clone()),
            };
            let (bytes, after) = match block_on(collect(sent, limit)) {
                Collected::Whole(bytes, after) => {
                    prop_assert!(bytes.len() <= limit);
                    whole(LayerBody::<Sent>::whole(bytes, after))
                }
                Collected::TooLarge(rest) => {
                    prop_assert!(all.len() > limit);
                    whole(rest)
                }
                Collected::Broken(never) => match never {},
            };
            prop_assert_eq!(&bytes[..], &all[..]);
            prop_assert_eq!(after, Some(trailers));
        }
    }

    #[test]
    fn a_whole_body_knows_its_size() {
        let body = LayerBody::<Sent>::whole(Bytes::from_static(b"body"), None);
        assert_eq!(body.size_hint().exact(), Some(4));
        assert!(LayerBody::<Sent>::default().is_end_stream());
    }
}
