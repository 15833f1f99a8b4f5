//! JSON in its canonical form (RFC 8785), where that form keeps apart what was apart.
//!
//! Canonical JSON has doubles and no repeated names. A body that has more than that (a number of
//! more digits than a double keeps, the same name twice) would become equal to another one, and the
//! wrong response would be replayed for it: such a body has no canonical form here, and is compared
//! byte by byte.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Every decimal number of so many digits is kept apart by doubles.
const EXACT_DIGITS: usize = 15;

/// The value of a body; `None` if it is not JSON, or not JSON whose canonical form is exact.
pub(crate) fn parse(body: &[u8]) -> Option<Value> {
    if !numbers_are_exact(body) {
        return None;
    }
    serde_json::from_slice::<Exact>(body).ok().map(|exact| exact.0)
}

/// The canonical bytes of a value.
pub(crate) fn to_bytes(value: &Value) -> Option<Vec<u8>> {
    serde_json_canonicalizer::to_vec(value).ok()
}

/// Whether every number outside of strings has few digits and no exponent. Of text that is not
/// JSON the answer means nothing.
fn numbers_are_exact(body: &[u8]) -> bool {
    let (mut in_string, mut escaped, mut digits) = (false, false, 0);
    for byte in body {
        if in_string {
            (in_string, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\');
            continue;
        }
        match byte {
            b'"' => (in_string, digits) = (true, 0),
            b'0'..=b'9' => digits += 1,
            b'.' => {}
            // Only `true` and `false` have this letter beside exponents, and no digit before it.
            b'e' | b'E' if digits > 0 => return false,
            _ => digits = 0,
        }
        if digits > EXACT_DIGITS {
            return false;
        }
    }
    true
}

/// A value in which no name is repeated.
struct Exact(Value);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor).map(Self)
    }
}

struct ExactVisitor;

impl<'de> Visitor<'de> for ExactVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Exact(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((name, Exact(value))) = access.next_entry::<String, Exact>()? {
            if values.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is repeated"));
            }
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(body: &str) -> Option<String> {
        let bytes = to_bytes(&parse(body.as_bytes())?)?;
        Some(String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn order_space_and_spelling_do_not_matter() {
        let one = canonical(r#"{"b": [1.0, "\u0041"], "a": null}"#);
        assert_eq!(one.as_deref(), Some(r#"{"a":null,"b":[1,"A"]}"#));
        assert_eq!(one, canonical("\n{\"a\":null,\"b\":[1,\"A\"]}"));
    }

    #[test]
    fn what_doubles_would_confuse_has_no_canonical_form() {
        const BAD: [&str; 9] = [
            r#"{"amount": 9007199254740993}"#,
            r#"{"amount": 1.0000000000000001}"#,
            r#"{"amount": 1e400}"#,
            r#"{"amount": 1E2}"#,
            r#"{"amount": 1, "amount": 100}"#,
            r#"{"a": {"b": 1, "\u0062": 2}}"#,
            "0.0000000000000000000000001",
            "{",
            "amount=1",
        ];
        for body in BAD {
            assert_eq!(canonical(body), None, "{body}");
        }
        assert!(
            canonical(r#"{"text": "90071992547409931234567 1e9 \" 1e9", "ok": true}"#).is_some()
        );
        assert!(
            canonical("[123456789012345, -0.12345678901234, true, false, \"e1\", 1]").is_some()
        );
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(canonical(&"[".repeat(100_000)), None);
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(canonical(&deep), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            // Whole numbers have one form, and two values: 1.0 and 1.
            (-99_999_i64..99_999).prop_map(|n| Value::from((n * 100 + 25) as f64 / 100.0)),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6)
                    .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        /// Two spellings of a value have one form, and other values have another.
        #[test]
        fn the_form_is_that_of_the_value(one in json(), other in json()) {
            let form = |text: String| canonical(&text).expect("exact");
            let plain = form(one.to_string());
            prop_assert_eq!(&plain, &form(serde_json::to_string_pretty(&one).expect("JSON")));
            prop_assert_eq!(plain == form(other.to_string()), one == other);
        }

        #[test]
        fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(value) = parse(&body) {
                let bytes = to_bytes(&value).expect("canonical");
                prop_assert_eq!(parse(&bytes), Some(value));
            }
        }
    }
}
