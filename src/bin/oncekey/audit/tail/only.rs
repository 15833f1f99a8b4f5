//! Which events are asked for.

use oncekey::audit::{Event, EventKind, Judgement, Verdict};

/// A sort of events. Some names are those of a kind and of a verdict, and mean both.
#[derive(Debug, Clone, Copy)]
pub(super) enum Only {
    Collisions,
    Named(Option<EventKind>, Option<Verdict>),
}

impl Only {
    pub(super) fn allows(self, event: &Event, judgement: Option<&Judgement>) -> bool {
        match self {
            Self::Collisions => event.kind.is_collision(),
            Self::Named(kind, verdict) => {
                kind == Some(event.kind)
                    || verdict.is_some_and(|verdict| {
                        judgement.is_some_and(|judgement| judgement.verdict == verdict)
                    })
            }
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Only, String> {
    if text == "collisions" {
        return Ok(Only::Collisions);
    }
    let kind = EventKind::ALL.into_iter().find(|kind| kind.name() == text);
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.name() == text);
    if kind.is_none() && verdict.is_none() {
        let kinds = EventKind::ALL.map(EventKind::name).join(", ");
        let verdicts = Verdict::ALL.map(Verdict::name).join(", ");
        return Err(format!("collisions, a kind ({kinds}) or a verdict ({verdicts})"));
    }
    Ok(Only::Named(kind, verdict))
}
