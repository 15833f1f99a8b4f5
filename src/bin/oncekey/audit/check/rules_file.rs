//! Rules from a TOML file.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::allowed::{Allowed, allowance};
use super::rule::Rule;
use crate::failure::{Doing, Failure, Result};

/// What a rules file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    /// Rules as a list.
    #[serde(default)]
    fail_on: Vec<String>,
    /// Rules with what to do about them.
    #[serde(default)]
    rule: Vec<Entry>,
    allow_gaps: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    fail_on: String,
    why: Option<String>,
}

/// Reads the rules of a file, and which gaps it allows.
pub(super) fn read(path: &Path) -> Result<(Vec<Rule>, Option<Allowed>)> {
    let doing = || format!("reading the rules in {}", path.display());
    let text = fs::read_to_string(path).doing(doing())?;
    parse(&text, doing)
}

/// Reads the text of such a file.
pub(super) fn parse(
    text: &str,
    doing: impl Fn() -> String,
) -> Result<(Vec<Rule>, Option<Allowed>)> {
    let file: File = toml::from_str(text).doing(doing())?;
    let wrong = |why: String| Failure::new(format!("{}: {why}", doing()));
    let listed = file.fail_on.iter().map(|text| Rule::parse(text));
    let entries = file
        .rule
        .into_iter()
        .map(|entry| Rule::parse(&entry.fail_on).map(|rule| Rule { why: entry.why, ..rule }));
    let rules = listed.chain(entries).collect::<std::result::Result<_, _>>().map_err(wrong)?;
    let allowed = file.allow_gaps.map(|text| allowance(&text)).transpose().map_err(wrong)?;
    Ok((rules, allowed))
}
