//! What else is in a trail, as JSON: `{"gap":{...}}` and `{"damage":{...}}`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::line::{Hash, Text, event_id, origin_of};
use super::{Origin, ParsedItem};
use crate::audit::{Damage, Gap};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Other<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<GapJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    damage: Option<DamageJson<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<Hash>,
}

#[derive(Debug, Serialize, Deserialize)]
struct GapJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DamageJson<'a> {
    file: Cow<'a, str>,
    offset: u64,
    bytes: u64,
    what: Cow<'a, str>,
}

impl<'a> Other<'a> {
    pub(super) fn gap(origin: Option<Origin>, gap: &Gap) -> Self {
        let text = |id: Option<crate::audit::EventId>| id.map(|id| id.to_string().into());
        let (after, before) = (text(gap.after), text(gap.before));
        Self { gap: Some(GapJson { after, before, lost: gap.lost }), ..Self::of(origin) }
    }

    pub(super) fn damage(origin: Option<Origin>, damage: &'a Damage) -> Self {
        let Damage { file, offset, bytes, what } = damage;
        let (offset, bytes) = (*offset, *bytes);
        let damage = DamageJson { file: file.into(), offset, bytes, what: what.into() };
        Self { damage: Some(damage), ..Self::of(origin) }
    }

    fn of(origin: Option<Origin>) -> Self {
        Self {
            gap: None,
            damage: None,
            store: origin.map(|origin| origin.store_id.to_string().into()),
            key_id: origin.map(|origin| Hash(origin.key_id)),
        }
    }

    /// Whether it is either of them, rather than an event.
    pub(super) fn is_something(&self) -> bool {
        self.gap.is_some() || self.damage.is_some()
    }

    pub(super) fn parsed(self) -> Result<ParsedItem, String> {
        let origin = origin_of(self.store.as_deref(), self.key_id)?;
        match (self.gap, self.damage) {
            (Some(gap), None) => {
                let id = |text: Option<Text>| text.map(|text| event_id(&text)).transpose();
                let (after, before) = (id(gap.after)?, id(gap.before)?);
                Ok(ParsedItem::Gap { origin, gap: Gap { after, before, lost: gap.lost } })
            }
            (None, Some(DamageJson { file, offset, bytes, what })) => {
                let (file, what) = (file.into_owned(), what.into_owned());
                Ok(ParsedItem::Damage { origin, damage: Damage { file, offset, bytes, what } })
            }
            _ => Err("a gap and damage in one".into()),
        }
    }
}
