//! `oncekey audit explain`: the whole story of one key, in order, in words.

mod json;
mod secret;
mod sentence;
mod text;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use oncekey::audit::story::{Finding, Present, Story, Storyteller};
use oncekey::audit::{KeyHasher, Trail};
use oncekey::{Error, ErrorKind, Inspector, Key, Scope};

use super::judged::Judged;
use super::source::{self, Source};
use super::window;
use super::words::{Colour, Paint};
use crate::words::{conclude, fail, print, unescape};

const EXAMPLES: &str = "\
Examples:
  oncekey audit explain STORE acct_42 8e0bd2f7
  oncekey audit explain STORE acct_42 8e0bd2f7 --json | jq .conclusion
  oncekey audit explain backup/audit acct_42 8e0bd2f7 --secret-file audit.secret

Was it executed twice, and why? Every event of the key is told in a sentence, with the verdict on
each collision; then its claims, one by one; then what it comes to. What a claim did that nobody
ended is unknown, and counts as if it had been executed.

Events that are missing where they could hide an execution make the answer \"unknown\". Further away
than --horizon from the key's own events they do not; the answer then says from when to when it
holds. The store itself is asked, too, what it has of the key now. It takes no lock.

A trail has hashes in place of keys. Their secret is in the store; a trail without its store, or of
a store that was opened with Audit::secret, needs --secret-file. A scope or key may be given with
\\u{...} escapes, as `inspect` shows them.

Exit codes:
  0   executed once or not at all, or being executed
  1   it was or may have been executed more than once; or it cannot be told (events are missing, its
      effect is unknown, nothing is known of it)
  2   there is no trail, it or its secret cannot be read, or the command line is wrong";

/// Tell the story of one key: was it executed twice, and why?
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A store's directory, or that of a trail.
    #[arg(value_name = "STORE|TRAIL")]
    place: PathBuf,

    /// Whose key it is.
    scope: OsString,

    /// Which key.
    key: OsString,

    /// A secret that the trail's hashes were made with: 16 bytes, or 32 hexadecimal digits. May be
    /// given several times.
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,

    /// How late a retry may come: what is missing longer before or after the key's events is left
    /// out of account.
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = window::span_ms)]
    horizon: u64,

    /// The store is one of Durability::Interval: a power cut may have taken back what clients had
    /// been told, so that a claim which is there before and after it need not have been there all
    /// the time.
    #[arg(long)]
    interval: bool,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// When to colour: auto is on a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

/// A story, and what is needed to tell it.
struct Told {
    scope: Scope,
    key: Key,
    hashes: Vec<(u64, u64)>,
    story: Story,
    trail: Trail,
    /// Secrets of the trail that were not given.
    other_secrets: BTreeSet<u64>,
}

/// Tells the story.
pub(crate) fn run(args: Args) -> ExitCode {
    let told = match tell(&args) {
        Ok(told) => told,
        Err(error) => return fail(&error),
    };
    if !told.other_secrets.is_empty() {
        eprintln!(
            "oncekey: events of this trail were hashed with another secret, so that their keys \
             cannot be told: give it with --secret-file"
        );
    }
    let shown = match args.json {
        true => json::object(&told),
        false => text::story(&told, Paint::new(args.color)),
    };
    let code = match told.story.conclusion.finding {
        Finding::Once | Finding::OnceOnTrust | Finding::NotExecuted | Finding::InProgress => 0,
        _ => 1,
    };
    conclude(print(shown), ExitCode::from(code))
}

fn tell(args: &Args) -> Result<Told, Error> {
    let wrong = || Error::new(ErrorKind::InvalidInput, "the scope and the key must be UTF-8");
    let scope = args.scope.to_str().ok_or_else(wrong)?;
    let key = args.key.to_str().ok_or_else(wrong)?;
    let mut hashers =
        args.secret_file.iter().map(|file| secret::read(file)).collect::<Result<_, _>>()?;
    let told = tell_of(args, scope, key, &mut hashers)?;
    match (told.story.conclusion.apparent, unescape(scope), unescape(key)) {
        (Finding::NotSeen, Some(plain_scope), Some(plain_key))
            if (scope, key) != (plain_scope.as_str(), plain_key.as_str()) =>
        {
            tell_of(args, &plain_scope, &plain_key, &mut hashers)
        }
        _ => Ok(told),
    }
}

fn tell_of(
    args: &Args,
    scope: &str,
    key: &str,
    hashers: &mut Vec<KeyHasher>,
) -> Result<Told, Error> {
    let (scope, key) = (Scope::new(scope)?, Key::new(key)?);
    let Source { store, trail, .. } = source::open(&args.place)?;
    let inspector = store.as_deref().map(Inspector::open).transpose()?;
    if let Some(inspector) = &inspector {
        hashers.push(inspector.key_hasher()?);
    }
    if hashers.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "a trail without its store has no secret to find a key's hash with: give it with \
             --secret-file, or give the store's directory",
        ));
    }
    let hashes: Vec<_> =
        hashers.iter().map(|hasher| (hasher.key_id(), hasher.hash(&scope, &key))).collect();
    let mut teller = Storyteller::new(hashes.clone()).horizon_ms(args.horizon);
    if args.interval {
        teller = teller.may_lose_the_latest();
    }
    let mut other_secrets = BTreeSet::new();
    let mut judged = Judged::new(trail);
    let (mut any, mut known) = (false, false);
    while let Some((item, judgement)) = judged.next()? {
        let key_id = judged.trail.key_id();
        let is_known = hashes.iter().any(|(id, _)| Some(*id) == key_id);
        (any, known) = (true, known | is_known);
        if !is_known {
            other_secrets.extend(key_id);
        }
        teller.take(key_id, &item, judgement.as_ref());
    }
    if any && !known {
        return Err(other_secret(&args.place));
    }
    // After the trail, so that it is not older than that.
    let found = match &inspector {
        Some(inspector) => inspector.key(&scope, &key)?,
        None => None,
    };
    let present = found.map(|detail| Present::of(&detail.row));
    let story = teller.finish(judged.trail.is_ended(), present);
    Ok(Told { scope, key, hashes, story, trail: judged.trail, other_secrets })
}

fn other_secret(place: &Path) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!(
            "the hashes of the trail in {} were made with another secret (Audit::secret): give it \
             with --secret-file",
            place.display()
        ),
    )
}
