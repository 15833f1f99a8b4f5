//! What a key looks like, without the key: enough to say later whether a client's keys are random.

use super::label::{Labels, Part};
use super::{KeyFormat, KeyShape};

/// So many bytes of a key make its prefix, and so many digits its value.
const HEAD: usize = 8;

/// Looks at a key.
pub(crate) fn shape_of(key: &[u8], labels: &Labels) -> KeyShape {
    let format = format_of(key);
    let head = key.get(..HEAD).unwrap_or(key);
    let value = match format {
        KeyFormat::Decimal => number(key, 10),
        KeyFormat::Hexadecimal | KeyFormat::UuidV4 | KeyFormat::UuidV7 | KeyFormat::UuidOther => {
            number(head, 16)
        }
        KeyFormat::Ulid => head.iter().fold(0, |value, byte| value << 5 | crockford(*byte)),
        KeyFormat::Base64 | KeyFormat::Other => 0,
    };
    KeyShape {
        format,
        len: u16::try_from(key.len()).unwrap_or(u16::MAX),
        prefix: labels.of(Part::KeyPrefix, head).get() as u32,
        value,
    }
}

fn format_of(key: &[u8]) -> KeyFormat {
    let all = |test: fn(&u8) -> bool| !key.is_empty() && key.iter().all(test);
    if let Some(version) = uuid_version(key) {
        match version {
            b'4' => KeyFormat::UuidV4,
            b'7' => KeyFormat::UuidV7,
            _ => KeyFormat::UuidOther,
        }
    } else if all(u8::is_ascii_digit) {
        KeyFormat::Decimal
    } else if key.len() == 26 && all(|byte| ULID.contains(&byte.to_ascii_uppercase())) {
        KeyFormat::Ulid
    } else if all(u8::is_ascii_hexdigit) {
        KeyFormat::Hexadecimal
    } else if all(|byte| byte.is_ascii_alphanumeric() || b"-_+/=".contains(byte)) {
        KeyFormat::Base64
    } else {
        KeyFormat::Other
    }
}

/// The digit that says the version, if it is a UUID with its hyphens (RFC 9562).
fn uuid_version(key: &[u8]) -> Option<u8> {
    let key = <&[u8; 36]>::try_from(key).ok()?;
    let hyphens = [key[8], key[13], key[18], key[23]] == *b"----";
    // The whole of it is counted, which the compiler does many at a time.
    let digits = key.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
    (hyphens && digits == 32).then_some(key[14])
}

/// Crockford's base 32.
const ULID: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn crockford(byte: u8) -> u64 {
    let byte = byte.to_ascii_uppercase();
    ULID.iter().position(|digit| *digit == byte).map_or(0, |at| at as u64)
}

fn number(digits: &[u8], base: u32) -> u64 {
    let digit = |byte: &u8| u64::from(char::from(*byte).to_digit(base).unwrap_or(0));
    digits
        .iter()
        .fold(0, |value: u64, byte| value.wrapping_mul(u64::from(base)).wrapping_add(digit(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_values_are_told_apart() {
        let labels = Labels::new(&[0; 16]);
        let cases = [
            ("12345678901", KeyFormat::Decimal, 12_345_678_901),
            ("919108f7-52d1-4320-9bac-f847db4148a8", KeyFormat::UuidV4, 0x9191_08f7),
            ("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", KeyFormat::UuidV7, 0x017f_22e2),
            ("c232ab00-9414-11ec-b3c8-9f6bdeced846", KeyFormat::UuidOther, 0xc232_ab00),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", KeyFormat::Ulid, 0x0001_563E_3AB5),
            ("deadbeef00", KeyFormat::Hexadecimal, 0xdead_beef),
            ("a1B2-_+/=", KeyFormat::Base64, 0),
            ("order 7", KeyFormat::Other, 0),
        ];
        for (key, format, value) in cases {
            let shape = shape_of(key.as_bytes(), &labels);
            assert_eq!((shape.format, usize::from(shape.len)), (format, key.len()), "{key}");
            if format != KeyFormat::Ulid {
                assert_eq!(shape.value, value, "{key}");
            }
        }
        let value = |key: &str| shape_of(key.as_bytes(), &labels).value;
        assert!(value("01ARZ3NDEKTSV4RRFFQ69G5FAV") < value("01BRZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_eq!(value("18446744073709551617"), 1, "modulo 2^64");
    }

    #[test]
    fn equal_beginnings_have_equal_prefixes() {
        let labels = Labels::new(&[0; 16]);
        let prefix = |key: &str| shape_of(key.as_bytes(), &labels).prefix;
        assert_eq!(prefix("order-00000001"), prefix("order-00999999"));
        assert_ne!(prefix("order-00"), prefix("order-10"));
        assert_ne!(prefix("a"), prefix("b"));
    }
}
