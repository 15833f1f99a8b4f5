//! What a store remembers of how its scopes are found, so that every start finds them alike.
//!
//! The key that scopes are made with comes from the secret that was given first. The store keeps a
//! mark of that key and of the headers, and a proxy that would find other scopes does not start:
//! every key would run again. When the secret changes, the scopes stay: the store keeps their key
//! wrapped in the new secret, of no use to whoever reads the directory alone.

use std::time::Duration;

use hyper::header::HeaderName;
use oncekey::{
    ClaimRequest, DropPolicy, Entry, Fingerprint, Key, Outcome, Record, Scope, Store,
    StoredResponse,
};

use super::scope::Scopes;
use crate::failure::{Failure, Result};
use crate::words::hex;

const FIRST_CONTEXT: &str = "oncekey proxy scope v1";
const NAME_CONTEXT: &str = "oncekey proxy scope mark v1";
const WRAP_CONTEXT: &str = "oncekey proxy scope wrap v1";
/// No scope of a client has this form.
const SCOPE: &str = "oncekey-proxy";
const FIRST: &str = "scopes";
const TTL: Duration = Duration::from_secs(90 * 365 * 24 * 3600);

/// The scopes of a store, by these headers and this secret; by an earlier one if the secret has
/// changed. The store takes them on if they are its first, or if `accept_new` says so.
pub(crate) fn scopes(
    store: &Store,
    headers: Vec<HeaderName>,
    secret: Option<&[u8]>,
    earlier: &[Option<Vec<u8>>],
    accept_new: bool,
) -> Result<Scopes> {
    let marks = Marks { store, id: store.id().to_string() };
    let own = Scopes::new(headers.clone(), marks.derived(FIRST_CONTEXT, secret));
    if marks.put(FIRST, own.mark(), &[])? {
        return Ok(own);
    }
    let first = marks.get(FIRST)?.ok_or_else(in_use)?;
    let is_first = |key| {
        let scopes = Scopes::new(headers.clone(), key);
        (fingerprint(scopes.mark())? == *first.fingerprint()).then_some(scopes)
    };
    for known in std::iter::once(secret).chain(earlier.iter().map(Option::as_deref)) {
        let keys = [Some(marks.derived(FIRST_CONTEXT, known)), marks.wrapped(known, &first)?];
        if let Some((key, scopes)) =
            keys.into_iter().flatten().find_map(|key| is_first(key).map(|scopes| (key, scopes)))
        {
            marks.wrap(secret, key, &first)?;
            return Ok(scopes);
        }
    }
    if !accept_new {
        return Err(Failure::new(
            "the keys of this store belong to scopes that were made with another secret or of \
             other headers: all would run again. Give those, or name the earlier secret with \
             --earlier-secret-file, or --accept-new-scopes once nobody repeats an old request \
             any more",
        ));
    }
    marks.replace(FIRST, own.mark(), &[])?;
    Ok(own)
}

/// The records of a store that are marks.
struct Marks<'a> {
    store: &'a Store,
    /// Stands for the secret where there is none.
    id: String,
}

impl Marks<'_> {
    fn derived(&self, context: &str, secret: Option<&[u8]>) -> [u8; 32] {
        blake3::derive_key(context, secret.unwrap_or(self.id.as_bytes()))
    }

    fn name(&self, secret: Option<&[u8]>) -> String {
        let name = self.derived(NAME_CONTEXT, secret);
        format!("{FIRST}-{}", hex(&name[..8]))
    }

    /// The key under a wrapping, or a wrapping of the key: the same way leads back.
    fn turned(&self, secret: Option<&[u8]>, key: &[u8; 32], first: &Record) -> [u8; 32] {
        let wrap = self.derived(WRAP_CONTEXT, secret);
        let pad = blake3::keyed_hash(&wrap, first.fingerprint().as_bytes());
        std::array::from_fn(|at| key[at] ^ pad.as_bytes()[at])
    }

    fn wrapped(&self, secret: Option<&[u8]>, first: &Record) -> Result<Option<[u8; 32]>> {
        let Some(record) = self.get(&self.name(secret))? else { return Ok(None) };
        let wrapped = record.response().body().try_into().ok();
        Ok(wrapped.map(|wrapped| self.turned(secret, &wrapped, first)))
    }

    fn wrap(&self, secret: Option<&[u8]>, key: [u8; 32], first: &Record) -> Result<()> {
        let (name, body) = (self.name(secret), self.turned(secret, &key, first));
        match self.put(&name, body, &body)? {
            true => Ok(()),
            // Of scopes that were given up since.
            false => self.replace(&name, body, &body),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Record>> {
        match self.store.get(&Scope::new(SCOPE)?, &Key::new(name)?).wait()? {
            Some(Entry::Completed(record)) => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    /// Puts a mark where there is none. False where there is another.
    fn put(&self, name: &str, mark: [u8; 32], body: &[u8]) -> Result<bool> {
        match self.store.claim(request(name, mark)?).wait()? {
            Outcome::Replay(_) => Ok(true),
            Outcome::Mismatch(_) => Ok(false),
            Outcome::Claimed(claim) => match claim.complete(StoredResponse::new(body)).wait() {
                Ok(_) => Ok(true),
                Err(error) => Err(Failure::new(format!("store: {error}"))),
            },
            _ => Err(in_use()),
        }
    }

    fn replace(&self, name: &str, mark: [u8; 32], body: &[u8]) -> Result<()> {
        self.store.forget(&Scope::new(SCOPE)?, &Key::new(name)?).wait()?;
        if self.put(name, mark, body)? { Ok(()) } else { Err(in_use()) }
    }
}

fn request(name: &str, mark: [u8; 32]) -> Result<ClaimRequest> {
    let request = ClaimRequest::new(Scope::new(SCOPE)?, Key::new(name)?);
    Ok(request.payload(mark).on_drop(DropPolicy::Release).ttl(TTL))
}

fn fingerprint(mark: [u8; 32]) -> Option<Fingerprint> {
    Some(*request(FIRST, mark).ok()?.parts().fingerprint)
}

fn in_use() -> Failure {
    Failure::new("the store's mark of scopes is in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        _dir: tempfile::TempDir,
        store: Store,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let options = oncekey::Options::new().segment_bytes(1 << 20);
            let store = options.create(dir.path().join("state")).expect("a store");
            Self { _dir: dir, store }
        }

        /// The mark of the scopes that a start finds; `None` if it is refused.
        fn start(
            &self,
            header: &str,
            secret: &str,
            earlier: &[&str],
            new: bool,
        ) -> Option<[u8; 32]> {
            let header = header.parse().expect("a name");
            let material = |secret: &str| (secret != "none").then(|| secret.as_bytes().to_vec());
            let earlier: Vec<_> = earlier.iter().map(|secret| material(secret)).collect();
            let secret = material(secret);
            let found = scopes(&self.store, vec![header], secret.as_deref(), &earlier, new);
            found.ok().map(|scopes| scopes.mark())
        }
    }

    #[test]
    fn other_scopes_are_refused_until_they_are_accepted() {
        let world = World::new();
        let first = world.start("a", "x", &[], false);
        assert!(first.is_some());
        assert_eq!(world.start("a", "x", &[], false), first);
        assert_eq!(world.start("a", "y", &[], false), None);
        assert_eq!(world.start("b", "x", &[], false), None);
        let other = world.start("a", "y", &[], true);
        assert!(other.is_some() && other != first);
        assert_eq!(world.start("a", "y", &[], false), other);
        assert_eq!(world.start("a", "x", &[], false), None);
    }

    #[test]
    fn scopes_stay_when_the_secret_changes() {
        let world = World::new();
        let first = world.start("a", "none", &[], false);
        assert_eq!(world.start("a", "x", &[], false), None);
        assert_eq!(world.start("a", "x", &["none"], false), first);
        assert_eq!(world.start("a", "y", &["z", "x"], false), first);
        // The earlier ones are not needed any more, and nothing that was not told is known.
        assert_eq!(world.start("a", "y", &[], false), first);
        assert_eq!(world.start("a", "z", &[], false), None);
        assert_eq!(world.start("b", "y", &["x", "none"], false), None);
    }

    #[test]
    fn a_wrapping_of_scopes_that_were_given_up_opens_nothing() {
        let world = World::new();
        world.start("a", "x", &[], false);
        world.start("a", "y", &["x"], false);
        let new = world.start("a", "z", &[], true);
        assert_eq!(world.start("a", "y", &[], false), None);
        assert_eq!(world.start("a", "y", &["z"], false), new);
        assert_eq!(world.start("a", "y", &[], false), new);
    }

    #[test]
    fn the_store_does_not_show_the_key() {
        let world = World::new();
        world.start("a", "x", &[], false);
        world.start("a", "y", &["x"], false);
        let marks = Marks { store: &world.store, id: world.store.id().to_string() };
        let key = marks.derived(FIRST_CONTEXT, Some(b"x"));
        let record = marks.get(&marks.name(Some(b"y"))).expect("a look").expect("a record");
        assert_ne!(record.response().body(), key);
        let first = marks.get(FIRST).expect("a look").expect("a record");
        let opened = marks.wrapped(Some(b"y"), &first).expect("a look");
        assert_eq!(opened, Some(key));
    }
}
