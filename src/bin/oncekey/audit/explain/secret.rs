//! The secret that hashes were made with, from a file.

use std::path::Path;

use oncekey::audit::KeyHasher;
use oncekey::{Error, ErrorKind};

/// Reads 16 bytes, or 32 hexadecimal digits and white space around them.
pub(super) fn read(path: &Path) -> Result<KeyHasher, Error> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::new(ErrorKind::Io, format!("reading the secret in {}: {error}", path.display()))
    })?;
    let secret = parse(&bytes).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{} is no secret: it needs 16 bytes, or 32 hexadecimal digits; it has {} bytes",
                path.display(),
                bytes.len()
            ),
        )
    })?;
    Ok(KeyHasher::of_secret(secret))
}

fn parse(bytes: &[u8]) -> Option<[u8; 16]> {
    if let Ok(secret) = bytes.try_into() {
        return Some(secret);
    }
    let digits = bytes.trim_ascii();
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let number = u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sixteen_bytes_or_their_digits() {
        let secret = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
        assert_eq!(parse(&secret), Some(secret));
        assert_eq!(parse(b" 000102030405060708090a0B0C0d0eff\n"), Some(secret));
        assert_eq!(parse(b"0123456789abcdef"), Some(*b"0123456789abcdef"), "sixteen bytes");
        for bad in [&b""[..], b"short", b"+00102030405060708090a0b0c0d0eff", &[0; 17]] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
