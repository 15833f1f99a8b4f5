//! The `Idempotency-Key` header: from a request's headers to a [`Key`], or why there is none.
//!
//! Nothing is stored before this has agreed. The quoted and the bare form of a key are one key.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::header::HeaderName;
use sfv::StringRef;

use crate::types::{Key, MAX_NAME_BYTES};

/// The header that carries the key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How exactly the header must follow its syntax.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeySyntax {
    /// A structured-field string (`"8e03"`, RFC 9651), or bare text of visible ASCII characters
    /// without quotes and commas (`8e03`), as many clients send it. Both are the same key.
    #[default]
    Lenient,
    /// A structured-field string only, as the draft says.
    Strict,
}

/// What a key must look like beyond its syntax.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum KeyFormat {
    /// Anything of the right length.
    #[default]
    Any,
    /// A UUID in its usual form of 36 characters, of any version and either case. Keys are compared
    /// as they were sent: the same UUID in another case is another key.
    Uuid,
    /// Whatever a function agrees to.
    Custom(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl KeyFormat {
    /// A format of one's own: the function says whether a key has it.
    pub fn custom(agrees: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(agrees))
    }

    fn allows(&self, key: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Uuid => is_uuid(key.as_bytes()),
            Self::Custom(agrees) => agrees(key),
        }
    }
}

impl fmt::Debug for KeyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "Any",
            Self::Uuid => "Uuid",
            Self::Custom(_) => "Custom",
        })
    }
}

/// Which keys a service takes. The default: [`KeySyntax::Lenient`], 1 to 255 characters, any
/// format.
#[derive(Debug, Clone)]
pub struct KeyPolicy {
    syntax: KeySyntax,
    format: KeyFormat,
    min_len: usize,
    max_len: usize,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            syntax: KeySyntax::Lenient,
            format: KeyFormat::Any,
            min_len: 1,
            max_len: MAX_NAME_BYTES,
        }
    }
}

impl KeyPolicy {
    /// The default policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How exactly the header must follow its syntax.
    #[must_use]
    pub fn syntax(mut self, syntax: KeySyntax) -> Self {
        self.syntax = syntax;
        self
    }

    /// What a key must look like.
    #[must_use]
    pub fn format(mut self, format: KeyFormat) -> Self {
        self.format = format;
        self
    }

    /// How long a key must and may be, in characters. The store takes 1 to 255: a wider range is
    /// narrowed to that.
    #[must_use]
    pub fn length(mut self, range: std::ops::RangeInclusive<usize>) -> Self {
        self.min_len = (*range.start()).max(1);
        self.max_len = (*range.end()).min(MAX_NAME_BYTES);
        self
    }

    /// The key of a request; `None` if it has none.
    ///
    /// # Errors
    /// [`KeyError`] if there is one that the policy does not take, or more than one.
    pub fn read(&self, headers: &HeaderMap) -> Result<Option<Key>, KeyError> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(KeyError::Repeated);
        }
        let text = self.text(value.as_bytes())?;
        if !(self.min_len..=self.max_len).contains(&text.len()) {
            return Err(KeyError::Length { min: self.min_len, max: self.max_len });
        }
        if !self.format.allows(&text) {
            return Err(KeyError::Format);
        }
        let length = KeyError::Length { min: self.min_len, max: self.max_len };
        Key::new(text).map(Some).map_err(|_| length)
    }

    fn text<'a>(&self, value: &'a [u8]) -> Result<Cow<'a, str>, KeyError> {
        let bare = value.trim_ascii();
        if self.syntax == KeySyntax::Lenient && !bare.starts_with(b"\"") {
            return bare_text(bare).map(Cow::Borrowed);
        }
        match sfv::Parser::new(value).parse_item::<Cow<'a, StringRef>>() {
            Ok(Cow::Borrowed(text)) => Ok(Cow::Borrowed(text.as_str())),
            Ok(Cow::Owned(text)) => Ok(Cow::Owned(text.as_str().to_owned())),
            Err(_) => Err(KeyError::Syntax),
        }
    }
}

/// A key that was sent without quotes. A comma would be two headers that somebody joined.
fn bare_text(bytes: &[u8]) -> Result<&str, KeyError> {
    let fits = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',');
    if !bytes.iter().all(fits) {
        return Err(KeyError::Syntax);
    }
    std::str::from_utf8(bytes).map_err(|_| KeyError::Syntax)
}

fn is_uuid(key: &[u8]) -> bool {
    key.len() == 36
        && key.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Why a key was not taken. It never shows the key: what was sent does not come back in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The header came more than once.
    Repeated,
    /// The value is not what the syntax asks for.
    Syntax,
    /// The key is shorter or longer than is allowed.
    Length {
        /// The least number of characters.
        min: usize,
        /// The greatest.
        max: usize,
    },
    /// The key does not have the format that the service asks for.
    Format,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated => f.write_str("The header Idempotency-Key was sent more than once."),
            Self::Syntax => f.write_str(
                "The value of the header Idempotency-Key must be a string in double quotes.",
            ),
            Self::Length { min, max } => {
                write!(f, "The idempotency key must have {min} to {max} characters.")
            }
            Self::Format => {
                f.write_str("The idempotency key does not have the format that is asked for.")
            }
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(policy: &KeyPolicy, values: &[&[u8]]) -> Result<Option<String>, KeyError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).expect("a value"));
        }
        policy.read(&headers).map(|key| key.map(|key| key.as_str().to_owned()))
    }

    fn strict() -> KeyPolicy {
        KeyPolicy::new().syntax(KeySyntax::Strict)
    }

    #[test]
    fn a_string_and_its_bare_form_are_one_key() {
        let lenient = KeyPolicy::new();
        for value in [&b"\"8e03\""[..], b"8e03", b" 8e03\t", b" \"8e03\" ", b"\"8e03\";v=1"] {
            assert_eq!(read(&lenient, &[value]), Ok(Some("8e03".to_owned())), "{value:?}");
        }
        assert_eq!(read(&lenient, &[]), Ok(None));
        assert_eq!(read(&lenient, &[b"\"a\\\"b\\\\\""]), Ok(Some("a\"b\\".to_owned())));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        const BAD: [&[u8]; 12] = [
            b"\"8e03",
            b"8e03\"",
            b"a, b",
            b"\"a\", \"b\"",
            b"\"a\" \"b\"",
            b"a b",
            b"a\tb",
            b"\xc3\xa9",
            b"\"\xc3\xa9\"",
            b"\"a\\x\"",
            b"\"a\"b",
            b"\"a\";;",
        ];
        for value in BAD {
            assert_eq!(read(&KeyPolicy::new(), &[value]), Err(KeyError::Syntax), "{value:?}");
            assert_eq!(read(&strict(), &[value]), Err(KeyError::Syntax), "{value:?}");
        }
        for value in [&b"8e03"[..], b"42", b"?1", b":YWJj:", b""] {
            assert_eq!(read(&strict(), &[value]), Err(KeyError::Syntax), "{value:?}");
        }
    }

    #[test]
    fn there_is_one_header() {
        let twice: [&[u8]; 2] = [b"\"a\"", b"\"a\""];
        assert_eq!(read(&KeyPolicy::new(), &twice), Err(KeyError::Repeated));
        assert_eq!(read(&strict(), &twice), Err(KeyError::Repeated));
    }

    #[test]
    fn length_and_format_are_checked() {
        let length = |min, max| Err(KeyError::Length { min, max });
        let policy = KeyPolicy::new();
        assert_eq!(read(&policy, &[b""]), length(1, 255));
        assert_eq!(read(&policy, &[b"\"\""]), length(1, 255));
        assert_eq!(read(&policy, &[&[b'x'; 256]]), length(1, 255));
        assert!(read(&policy, &[&[b'x'; 255]]).is_ok());
        let policy = KeyPolicy::new().length(0..=1000);
        assert_eq!(read(&policy, &[&[b'x'; 256]]), length(1, 255));
        let policy = KeyPolicy::new().length(16..=64);
        assert_eq!(read(&policy, &[b"short"]), length(16, 64));
        let policy = KeyPolicy::new().format(KeyFormat::Uuid);
        assert_eq!(read(&policy, &[b"8e03978e-40d5-43e8-bc93-6894a57f932"]), Err(KeyError::Format));
        assert_eq!(
            read(&policy, &[b"8e03978e+40d5-43e8-bc93-6894a57f9324"]),
            Err(KeyError::Format)
        );
        assert!(read(&policy, &[b"8e03978e-40d5-43e8-bc93-6894a57f9324"]).is_ok());
        let policy = KeyPolicy::new().format(KeyFormat::custom(|key| key.starts_with("ord_")));
        assert_eq!(read(&policy, &[b"x"]), Err(KeyError::Format));
        assert!(read(&policy, &[b"ord_1"]).is_ok());
    }

    proptest! {
        /// Whatever arrives is answered, and what is taken is printable ASCII of the right length.
        #[test]
        fn no_value_is_taken_that_is_not_a_key(
            value in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                for policy in [KeyPolicy::new(), strict()] {
                    if let Ok(Some(key)) = read(&policy, &[value.as_bytes()]) {
                        prop_assert!((1..=255).contains(&key.len()));
                        prop_assert!(key.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
                    }
                }
            }
        }

        /// A key is read back from the string that a client makes of it.
        #[test]
        fn a_quoted_key_is_the_key(key in "[ -~]{1,255}") {
            let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
            for policy in [KeyPolicy::new(), strict()] {
                prop_assert_eq!(read(&policy, &[quoted.as_bytes()]), Ok(Some(key.clone())));
            }
        }
    }
}
