//! One rule: a figure of the report, a comparison, and what it is compared with.
//!
//! ```text
//! rule   = figure comparison limit
//! limit  = value | "baseline" [("*" | "+" | "-") value]
//! value  = number [ "%" | "ms" | "s" | "min" | "h" | "d" ]
//! ```

use std::fmt;

use oncekey::audit::report::Report;

use crate::audit::words::span;

/// A rule: what must not be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// As it was written.
    pub(super) text: String,
    pub(super) figure: &'static str,
    pub(super) comparison: Comparison,
    pub(super) limit: Limit,
    /// What to do about it, from a rules file.
    pub(super) why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    Unequal,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Limit {
    Value(f64),
    Times(f64),
    Plus(f64),
}

/// What sort of number a figure is, which its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// From 0 to 1.
    Part,
    /// Milliseconds.
    Span,
    /// A count, or counts a second.
    Number,
}

impl Sort {
    pub(super) fn of(figure: &str) -> Self {
        if figure.ends_with("_ms") {
            Self::Span
        } else if figure.ends_with("_rate") || figure == "ttl_covered" {
            Self::Part
        } else {
            Self::Number
        }
    }

    /// A value of it, for people.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Self::Part => format!("{}%", rounded(value * 100.0)),
            Self::Span if value >= 0.0 => span(value as u64),
            Self::Span | Self::Number => rounded(value),
        }
    }

    /// Reads a value of it.
    fn value(self, text: &str) -> Result<f64, String> {
        const SPANS: [(&str, f64); 5] =
            [("ms", 1.0), ("min", 60e3), ("s", 1e3), ("h", 3600e3), ("d", 86_400e3)];
        let text = text.trim();
        if let Some(digits) = text.strip_suffix('%') {
            return match self {
                Self::Part => Ok(number(digits)? / 100.0),
                Self::Span => Err(format!("{text:?} is no span of time: write 500ms or 2s")),
                Self::Number => Err(format!("{text:?} is no count: write it without %")),
            };
        }
        let unit = SPANS.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, ms)));
        match (self, unit) {
            (Self::Span, Some((digits, ms))) => Ok(number(digits)? * ms),
            (_, Some(_)) => Err(format!("{text:?} is a span of time, and the figure is none")),
            (Self::Span, None) if number(text)? != 0.0 => {
                Err(format!("{text:?} has no unit: write {text}ms or {text}s"))
            }
            (Self::Part, None) if number(text)? > 1.0 => {
                Err(format!("{text:?} is more than all of them: write {text}% or a part of 1"))
            }
            _ => number(text),
        }
    }
}

impl Comparison {
    /// In the order in which they are looked for: longer signs first.
    const ALL: [(&str, Self); 7] = [
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        ("!=", Self::Unequal),
        ("==", Self::Equal),
        (">", Self::Above),
        ("<", Self::Below),
        ("=", Self::Equal),
    ];

    /// Whether it holds of two values; parts of millionths are rounding.
    fn holds(self, value: f64, limit: f64) -> bool {
        let is_equal = (value - limit).abs() <= 1e-9 * value.abs().max(limit.abs());
        match self {
            Self::Above => value > limit && !is_equal,
            Self::AtLeast => value > limit || is_equal,
            Self::Below => value < limit && !is_equal,
            Self::AtMost => value < limit || is_equal,
            Self::Equal => is_equal,
            Self::Unequal => !is_equal,
        }
    }
}

impl Rule {
    /// Reads a rule.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let at = text.find(['<', '>', '=', '!']);
        let (name, rest) = text.split_at(at.ok_or_else(|| {
            format!("{text:?} compares nothing: write key_reuse_rate>0.1% or late_retries>0")
        })?);
        let name = name.trim();
        let figure = Report::figure_names().find(|known| *known == name);
        let figure = figure.ok_or_else(|| unknown(name))?;
        let sign = Comparison::ALL
            .iter()
            .find_map(|(sign, comparison)| Some((*comparison, rest.strip_prefix(sign)?)));
        let (comparison, limit) =
            sign.ok_or_else(|| format!("{text:?}: compare with >, >=, <, <=, = or !="))?;
        let limit =
            limit_of(limit.trim(), Sort::of(figure)).map_err(|why| format!("{text:?}: {why}"))?;
        Ok(Self { text: text.to_owned(), figure, comparison, limit, why: None })
    }

    /// Whether the rule is about a baseline.
    pub(super) fn needs_baseline(&self) -> bool {
        !matches!(self.limit, Limit::Value(_))
    }

    /// What the figure is compared with; `None` without the baseline that it needs.
    pub(super) fn limit(&self, baseline: Option<f64>) -> Option<f64> {
        match self.limit {
            Limit::Value(value) => Some(value),
            Limit::Times(factor) => Some(baseline? * factor),
            Limit::Plus(more) => Some(baseline? + more),
        }
    }

    /// Whether what must not be is.
    pub(super) fn is_broken(&self, value: f64, limit: f64) -> bool {
        self.comparison.holds(value, limit)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn limit_of(text: &str, sort: Sort) -> Result<Limit, String> {
    let Some(rest) = text.strip_prefix("baseline") else {
        return Ok(Limit::Value(sort.value(text)?));
    };
    let rest = rest.trim_start();
    let mut chars = rest.chars();
    match chars.next() {
        None => Ok(Limit::Times(1.0)),
        Some('*') => {
            let factor = Sort::Number.value(chars.as_str())?;
            if factor < 0.0 {
                Err("a factor is not less than 0".into())
            } else {
                Ok(Limit::Times(factor))
            }
        }
        Some('+') => Ok(Limit::Plus(sort.value(chars.as_str())?)),
        Some('-') => Ok(Limit::Plus(-sort.value(chars.as_str())?)),
        Some(_) => Err(format!("{text:?}: write baseline, baseline*1.5 or baseline+0.1%")),
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = Report::figure_names().collect();
    format!("there is no figure {name:?}; there are {}", names.join(", "))
}

/// A number that is finite and not less than 0.
fn number(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = text.parse::<f64>().ok().filter(|number| plain && number.is_finite());
    number.ok_or_else(|| format!("{text:?} is no number"))
}

/// To four digits that count, and without zeros at the end.
fn rounded(value: f64) -> String {
    if value == 0.0 || value.abs() >= 1000.0 {
        return format!("{value:.0}");
    }
    let places = (3 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        let read = |text| Rule::parse(text).map(|rule| (rule.figure, rule.comparison, rule.limit));
        for (text, figure, comparison, limit) in [
            ("key_reuse_rate>0.1%", "key_reuse_rate", Comparison::Above, Limit::Value(0.001)),
            (" late_retries > 0 ", "late_retries", Comparison::Above, Limit::Value(0.0)),
            (
                "execution_p99_ms>=2.5s",
                "execution_p99_ms",
                Comparison::AtLeast,
                Limit::Value(2500.0),
            ),
            ("ttl_999_ms > 2min", "ttl_999_ms", Comparison::Above, Limit::Value(120_000.0)),
            ("requests<1000", "requests", Comparison::Below, Limit::Value(1000.0)),
            ("ttl_covered <= 0.999", "ttl_covered", Comparison::AtMost, Limit::Value(0.999)),
            ("unresolved != 0", "unresolved", Comparison::Unequal, Limit::Value(0.0)),
            ("race_rate > baseline", "race_rate", Comparison::Above, Limit::Times(1.0)),
            ("race_rate>baseline*1.5", "race_rate", Comparison::Above, Limit::Times(1.5)),
            ("race_rate > baseline + 0.2%", "race_rate", Comparison::Above, Limit::Plus(0.002)),
            (
                "requests_per_s < baseline * 0.5",
                "requests_per_s",
                Comparison::Below,
                Limit::Times(0.5),
            ),
        ] {
            assert_eq!(read(text), Ok((figure, comparison, limit)), "{text}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_in_words() {
        for (text, told) in [
            ("", "compares nothing"),
            ("late_retries", "compares nothing"),
            ("late_retry>0", "there is no figure \"late_retry\"; there are events, "),
            ("late_retries=>0", "is no number"),
            ("late_retries!0", "compare with"),
            ("late_retries>", "is no number"),
            ("late_retries>-1", "is no number"),
            ("late_retries>inf", "is no number"),
            ("late_retries>1e3", "is no number"),
            ("late_retries>1%", "is no count"),
            ("late_retries>1h", "span of time, and the figure is none"),
            ("key_reuse_rate>1.5", "write 1.5%"),
            ("key_reuse_rate>1h", "the figure is none"),
            ("execution_p99_ms>500", "has no unit: write 500ms"),
            ("execution_p99_ms>1%", "is no span of time"),
            ("races>baseline/2", "write baseline, baseline*1.5"),
            ("races>baseline*", "is no number"),
            ("races>baselines", "write baseline"),
        ] {
            let error = Rule::parse(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn comparisons_are_not_fooled_by_rounding() {
        let broken = |text, value| {
            let rule = Rule::parse(text).expect("a rule");
            rule.is_broken(value, rule.limit(Some(0.2)).expect("a limit"))
        };
        assert!(!broken("race_rate>baseline*1.5", 0.1 + 0.2), "0.30000000000000004 is 0.3");
        assert!(broken("race_rate>=baseline*1.5", 0.1 + 0.2));
        assert!(broken("race_rate>baseline*1.5", 0.3001));
        assert!(broken("race_rate<baseline", 0.19) && !broken("race_rate<baseline", 0.2));
        assert!(broken("race_rate!=baseline", 0.0) && broken("race_rate=baseline", 0.2));
        assert!(!broken("late_retries>0", 0.0) && broken("late_retries>0", 1.0));
    }

    #[test]
    fn values_are_shown_as_they_are_said() {
        assert_eq!(Sort::Part.show(0.001_234_56), "0.1235%");
        assert_eq!(Sort::Part.show(1.0), "100%");
        assert_eq!(Sort::Part.show(0.0), "0%");
        assert_eq!(Sort::Span.show(1500.0), "1.5 s");
        assert_eq!(Sort::Number.show(123_456.0), "123456");
        assert_eq!(Sort::Number.show(0.000_000_123), "0.000000123");
        assert_eq!(Sort::Number.show(100.0), "100");
    }
}
