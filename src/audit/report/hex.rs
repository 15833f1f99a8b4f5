//! Hashes in JSON: 16 hexadecimal digits, since many parsers of JSON keep fewer bits of a number.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A hash that stands for a text, or zero for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hex(pub u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = u64::from_str_radix(&text, 16).ok().filter(|_| is_digits);
        hash.map(Self).ok_or_else(|| serde::de::Error::custom("not 16 hexadecimal digits"))
    }
}

impl From<Option<crate::audit::Label>> for Hex {
    fn from(label: Option<crate::audit::Label>) -> Self {
        Self(label.map_or(0, crate::audit::Label::get))
    }
}
