//! `oncekey inspect`: what is in a store, read-only and without a lock.

mod args;
mod json;
mod text;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use oncekey::{Error, ErrorKind, Inspector, Key, KeyDetail, KeyFilter, KeyRow, Scope, StoreTime};

pub(crate) use args::Args;
use args::{KeyArgs, KeysArgs, What};
pub(crate) use json::{DamageJson, OwnerJson};
use json::{DetailJson, KeyJson, SummaryJson};
pub(crate) use text::damage;

use crate::progress;
use crate::words::{conclude, escape, fail, json, print, unescape};

/// Keys in a table, unless it is said how many.
const DEFAULT_LIMIT: usize = 100;

/// Why nothing could be shown.
enum Refusal {
    Store(Error),
    Usage(&'static str),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Shows what was asked for.
pub(crate) fn run(args: Args) -> ExitCode {
    let Args { store, what, json } = args;
    let shown = match what {
        None => the_store(store, None).and_then(|store| summary(&store, json)),
        Some(What::Keys(args)) => {
            the_store(store, args.store.clone()).and_then(|store| keys(&store, &args, json))
        }
        Some(What::Key(args)) => key(store, args, json),
    };
    match shown {
        Ok(code) => code,
        Err(Refusal::Store(error)) => fail(&error),
        Err(Refusal::Usage(what)) => {
            eprintln!("oncekey: {what}\n\nFor more information, try 'oncekey inspect --help'.");
            ExitCode::from(2)
        }
    }
}

/// The store's directory, which may be given before or after what to look at.
fn the_store(before: Option<PathBuf>, after: Option<PathBuf>) -> Result<PathBuf, Refusal> {
    match (before, after) {
        (Some(store), None) | (None, Some(store)) => Ok(store),
        (None, None) => Err(Refusal::Usage("which store? give its directory")),
        (Some(_), Some(_)) => Err(Refusal::Usage("give one store's directory, not two")),
    }
}

fn summary(store: &Path, as_json: bool) -> Result<ExitCode, Refusal> {
    let summary = progress::inspector(store)?.summary()?;
    let shown =
        if as_json { json(&SummaryJson::of(&summary), true) } else { text::summary(&summary) };
    let code = if summary.damage.is_empty() { 0 } else { 1 };
    Ok(conclude(print(shown), ExitCode::from(code)))
}

fn keys(store: &Path, args: &KeysArgs, as_json: bool) -> Result<ExitCode, Refusal> {
    let inspector = progress::inspector(store)?;
    let mut filter = KeyFilter::new();
    if let Some(state) = args.state {
        filter = filter.state(state.into());
    }
    if let Some(scope) = &args.scope {
        let plain = unescape(scope).unwrap_or_else(|| scope.clone());
        filter = filter.scope(Scope::new(plain)?);
    }
    let limit = match args.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if as_json => usize::MAX,
        None => DEFAULT_LIMIT,
    };
    let listing = inspector.keys(filter)?;
    let now = listing.now();
    let mut damaged = !listing.damage().is_empty();
    for damage in listing.damage() {
        eprintln!("oncekey: {}", escape(&damage.to_string()));
    }
    // A record that cannot be read is told of, and the others are shown.
    let mut failed = None;
    let mut rows = listing.filter_map(|row| match row {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            damaged = true;
            fail(&error);
            None
        }
        row => row.map_err(|error| failed = Some(error)).ok(),
    });
    let printed = if as_json {
        print_lines(rows.by_ref().take(limit))
    } else {
        let shown: Vec<KeyRow> = rows.by_ref().take(limit).collect();
        let more = shown.len() == limit && rows.next().is_some();
        print_table(&shown, more, now)
    };
    drop(rows);
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(conclude(printed, ExitCode::from(u8::from(damaged)))),
    }
}

fn print_lines(rows: impl Iterator<Item = KeyRow>) -> io::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for row in rows {
        output.write_all(json(&KeyJson::of(&row), false).as_bytes())?;
    }
    output.flush()
}

fn print_table(rows: &[KeyRow], more: bool, now: StoreTime) -> io::Result<()> {
    if rows.is_empty() {
        return print("no such keys\n");
    }
    print(text::keys(rows, now))?;
    let count = rows.len();
    if more {
        print(format_args!("{count} keys, and there are more: --limit N shows N, 0 all\n"))
    } else {
        print(format_args!("{count} {}\n", if count == 1 { "key" } else { "keys" }))
    }
}

fn key(store: Option<PathBuf>, args: KeyArgs, as_json: bool) -> Result<ExitCode, Refusal> {
    let KeyArgs { mut names, body } = args;
    let after = if names.len() == 3 { Some(PathBuf::from(names.remove(0))) } else { None };
    if store.is_none() && after.is_none() {
        return Err(Refusal::Usage("give the store's directory, the scope and the key"));
    }
    let inspector = progress::inspector(the_store(store, after)?)?;
    let mut texts = names.into_iter().map(OsString::into_string);
    let (Some(Ok(scope)), Some(Ok(key))) = (texts.next(), texts.next()) else {
        return Err(Refusal::Usage("the scope and the key must be UTF-8"));
    };
    let Some(detail) = find(&inspector, &scope, &key)? else {
        eprintln!(
            "oncekey: no record and no claim of key {} in scope {} (never claimed, released, \
             forgotten, or pruned after it expired); `inspect STORE keys` lists what there is",
            escape(&key),
            escape(&scope),
        );
        return Ok(ExitCode::from(1));
    };
    let shown =
        if as_json { json(&DetailJson::of(&detail, body), true) } else { text::key(&detail, body) };
    Ok(conclude(print(shown), ExitCode::SUCCESS))
}

/// Looks for the names as they are, and then for what they are the escaped form of.
fn find(inspector: &Inspector, scope: &str, key: &str) -> Result<Option<KeyDetail>, Error> {
    let found = inspector.key(&Scope::new(scope)?, &Key::new(key)?)?;
    match (found, unescape(scope), unescape(key)) {
        (None, Some(plain_scope), Some(plain_key))
            if (scope, key) != (plain_scope.as_str(), plain_key.as_str()) =>
        {
            inspector.key(&Scope::new(plain_scope)?, &Key::new(plain_key)?)
        }
        (found, ..) => Ok(found),
    }
}
