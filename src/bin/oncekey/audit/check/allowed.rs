//! How much may be missing from the events that a check rests on.

use oncekey::audit::report::TrustReport;

/// What may be missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Allowed {
    /// Nothing.
    Nothing,
    /// So large a part of the events, of what is counted; and what died with a process.
    Part(f64),
}

impl Allowed {
    /// Whether so much is allowed.
    pub(super) fn allows(self, trust: &TrustReport) -> bool {
        match self {
            Self::Nothing => trust.is_whole,
            Self::Part(part) => trust.lost_ppm as f64 <= part * 1e6,
        }
    }
}

/// Reads what may be missing.
pub(super) fn allowance(text: &str) -> Result<Allowed, String> {
    let percent =
        text.trim().strip_suffix('%').and_then(|digits| digits.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Allowed::Part(percent / 100.0)),
        _ => Err(format!("{text:?} is no part: write 0.1% or 100%")),
    }
}

/// What is missing, in words; `None` if nothing is.
pub(super) fn missing(trust: &TrustReport) -> Option<String> {
    let mut parts = Vec::new();
    if trust.lost_events > 0 {
        parts.push(format!("{} events are missing", trust.lost_events));
    }
    if trust.unknown_gaps > 0 {
        let times = if trust.unknown_gaps == 1 { "once" } else { "several times" };
        parts.push(format!(
            "{times} ({}) what a process had not written yet when it died",
            trust.unknown_gaps
        ));
    }
    if trust.damaged > 0 {
        parts.push(format!("{} bytes are damaged", trust.damaged_bytes));
    }
    (!trust.is_whole).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_percentage() {
        assert_eq!(allowance("0.1%"), Ok(Allowed::Part(0.001)));
        assert_eq!(allowance(" 100 % "), Ok(Allowed::Part(1.0)));
        for bad in ["", "1", "-1%", "101%", "nan%", "lots"] {
            assert!(allowance(bad).is_err(), "{bad}");
        }
    }
}
