//! The store's files: who may read them, and what becomes of those that somebody planted in their
//! place. What each meets is in `docs/security.md`.

#![allow(clippy::disallowed_methods, reason = "this test puts files where they do not belong")]

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{claimed, outcome, replayed};
use oncekey::audit::Audit;
use oncekey::{ErrorKind, Options, Outcome, StoredResponse};

const DIRECTORY: &str = "ONCEKEY_FILES_TEST_DIRECTORY";
const SECRET: &str = "a secret answer 4242424242424242";

fn options() -> Options {
    let audit = Audit::new().write_every(Duration::from_millis(1));
    Options::new().segment_bytes(1 << 16).audit(audit)
}

/// A store that has made every kind of file: segments, a manifest twice, a trail, what it remembers
/// of expired keys.
fn live(path: &Path) {
    let store = options().open_or_create(path).expect("a store");
    let before = store.stats().records;
    for name in ["a", "b", "c"] {
        let claim = store.claim(common::request(name).ttl(Duration::from_millis(1))).wait();
        let response = StoredResponse::new(SECRET);
        claimed(claim.expect("an outcome")).complete(response).wait().expect("completed");
    }
    while store.stats().records > before {
        store.prune().wait().expect("pruned");
    }
    if let Outcome::Claimed(claim) = outcome(&store, "kept") {
        claim.complete(StoredResponse::new(SECRET)).wait().expect("completed");
    }
    store.close(Duration::from_secs(30)).wait().expect("closed");
}

/// All that is below a directory.
fn below(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).expect("a directory") {
        let path = entry.expect("an entry").path();
        if std::fs::symlink_metadata(&path).expect("it is there").is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o7777
}

/// The child: its umask is its own.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let path = Path::new(&directory).join("parent/store");
    live(&path);
    live(&path);
    #[cfg(feature = "report")]
    oncekey::audit::sink::FileSink::open(Path::new(&directory).join("parent/shipped"))
        .expect("it opens");
}

/// Files are 0600 and directories 0700, also where a umask leaves all rights, and where it takes
/// those of the owner.
#[test]
fn files_are_their_owners_alone_whatever_the_umask() {
    for umask in ["000", "002", "022", "077", "277", "777"] {
        let directory = tempfile::tempdir().expect("a directory");
        let exe = std::env::current_exe().expect("this program");
        let done = Command::new("sh")
            .args(["-c", &format!("umask {umask}; exec \"$0\" child --exact")])
            .arg(exe)
            .env(DIRECTORY, directory.path())
            .output()
            .expect("it runs");
        assert!(done.status.success(), "umask {umask}: {done:?}");
        let found = below(directory.path());
        let names: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
        for kind in ["MANIFEST", "LOCK", "segment-", "audit/trail-", "late-"] {
            assert!(names.iter().any(|name| name.contains(kind)), "no {kind}: {names:?}");
        }
        for path in &found {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(path), expected, "umask {umask}: {}", path.display());
        }
    }
}

/// A directory that is there is somebody's, and stays as it is; the files in it are private.
#[test]
fn a_directory_that_was_there_keeps_its_rights() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    std::fs::create_dir(&path).expect("made");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("changed");
    live(&path);
    assert_eq!(mode(&path), 0o755);
    for path in below(&path) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

/// A link in the place of any file is not followed: what it leads to is neither read nor written,
/// and the error says so, unless the store can do without the file.
#[test]
fn links_that_are_planted_are_not_followed() {
    let directory = tempfile::tempdir().expect("a directory");
    let original = directory.path().join("original");
    live(&original);
    let mut refused = 0;
    for file in std::fs::read_dir(&original).expect("a directory") {
        let name = file.expect("an entry").file_name();
        let (path, elsewhere) =
            (directory.path().join("store"), directory.path().join("elsewhere"));
        let copied = Command::new("cp").arg("-a").args([&original, &path]).status();
        assert!(copied.expect("cp runs").success());
        std::fs::rename(path.join(&name), &elsewhere).expect("moved");
        symlink(&elsewhere, path.join(&name)).expect("linked");
        let before = state_of(&elsewhere);
        match options().open(&path) {
            Ok(store) => {
                // No record of anybody's comes from outside, or goes there.
                match outcome(&store, "kept") {
                    Outcome::Replay(record) => {
                        assert_eq!(record.response().body(), SECRET.as_bytes());
                    }
                    other => panic!("{name:?}: {other:?}"),
                }
                let claim = claimed(outcome(&store, "new"));
                claim.complete(StoredResponse::new(SECRET)).wait().expect("completed");
            }
            Err(error) => {
                let kinds = [ErrorKind::Io, ErrorKind::Corrupt, ErrorKind::WrongStore];
                assert!(kinds.contains(&error.kind()), "{name:?}: {error}");
                refused += 1;
            }
        }
        assert_eq!(state_of(&elsewhere), before, "{name:?}");
        for remains in [path, elsewhere] {
            let removed = Command::new("rm").arg("-rf").arg(remains).status();
            assert!(removed.expect("rm runs").success());
        }
    }
    assert!(refused > 0);
}

/// The temporary names that a store writes before it renames lead nowhere either.
#[test]
fn links_in_the_place_of_temporary_files_are_not_written_through() {
    for name in ["MANIFEST.tmp", "late.tmp"] {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, elsewhere) = (directory.path().join("store"), directory.path().join("mine"));
        live(&path);
        std::fs::write(&elsewhere, "mine").expect("written");
        // The room for the next manifest may be there.
        let _ = std::fs::remove_file(path.join(name));
        symlink(&elsewhere, path.join(name)).expect("linked");
        if let Ok(store) = options().open(&path) {
            let record = replayed(outcome(&store, "kept"));
            assert_eq!(record.response().body(), SECRET.as_bytes());
        }
        assert_eq!(std::fs::read(&elsewhere).expect("read"), b"mine", "{name}");
    }
}

/// The names below, their bytes and when they were written.
fn state_of(path: &Path) -> Vec<(PathBuf, Vec<u8>, i64)> {
    let mut paths = if path.is_dir() { below(path) } else { Vec::new() };
    paths.push(path.to_owned());
    let state = |path: PathBuf| {
        let facts = std::fs::metadata(&path).expect("it is there");
        let bytes = std::fs::read(&path).unwrap_or_default();
        (path, bytes, facts.mtime_nsec() + facts.mtime() * 1_000_000_000)
    };
    paths.into_iter().map(state).collect()
}

/// What is in plain on disk, and what is not: responses, scopes and keys are; payloads, callers'
/// agents, request ids and whole addresses are not.
#[test]
fn what_is_kept_of_a_caller_is_what_the_documents_say() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    let store = options().create(&path).expect("a store");
    let caller = oncekey::Caller::new()
        .client("client-of-42")
        .ip([203, 0, 113, 77].into())
        .user_agent("agent-of-42")
        .request_id("request-of-42");
    let scope = oncekey::Scope::new("scope-of-42").expect("a scope");
    let key = oncekey::Key::new("key-of-42").expect("a key");
    let request = oncekey::ClaimRequest::new(scope, key)
        .operation("operation-of-42")
        .payload("payload-of-42")
        .caller(caller);
    let claim = claimed(store.claim(request).wait().expect("an outcome"));
    claim.complete(StoredResponse::new(SECRET)).wait().expect("completed");
    store.close(Duration::from_secs(30)).wait().expect("closed");
    let files: Vec<(PathBuf, Vec<u8>)> = below(&path)
        .into_iter()
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(&path).expect("read")))
        .collect();
    let is_in = |trail: bool, text: &str| {
        let in_file = |(path, bytes): &(PathBuf, Vec<u8>)| {
            let is_trail = path.to_string_lossy().contains("/audit/");
            is_trail == trail && bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        files.iter().any(in_file)
    };
    for plain in ["scope-of-42", "key-of-42", SECRET] {
        assert!(is_in(false, plain), "{plain} is kept");
        assert!(!is_in(true, plain), "{plain} is in no trail");
    }
    for label in ["client-of-42", "operation-of-42"] {
        assert!(is_in(true, label), "{label} is a name in the trail");
    }
    for nowhere in ["payload-of-42", "agent-of-42", "request-of-42"] {
        assert!(!is_in(false, nowhere) && !is_in(true, nowhere), "{nowhere} is kept nowhere");
    }
    let address = [203, 0, 113, 77];
    let backwards = [77, 113, 0, 203];
    for (path, bytes) in &files {
        let found = bytes.windows(4).any(|window| window == address || window == backwards);
        assert!(!found, "an address is in {}", path.display());
    }
}

/// A forget hides a record at once; its bytes lie in their file until that is written over.
#[test]
fn what_is_forgotten_is_on_disk_until_its_file_is_used_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    let store = options().create(&path).expect("a store");
    let claim = claimed(outcome(&store, "k"));
    claim.complete(StoredResponse::new(SECRET)).wait().expect("completed");
    assert!(store.forget(&common::scope(), &common::key("k")).wait().expect("forgotten"));
    assert_eq!(store.get(&common::scope(), &common::key("k")).wait().expect("an answer"), None);
    store.close(Duration::from_secs(30)).wait().expect("closed");
    let is_there = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    };
    assert!(below(&path).iter().any(is_there));
}
