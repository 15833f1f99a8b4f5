//! The real disk on the filesystem of temporary files.

use std::os::unix::fs::symlink;

use super::*;

fn scratch() -> (tempfile::TempDir, RealDisk) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = RealDisk::open(dir.path()).expect("it opens");
    (dir, disk)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

#[test]
fn open_wants_a_directory() {
    let (dir, _) = scratch();
    let missing = RealDisk::open(&dir.path().join("no")).expect_err("there is none");
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    std::fs::write(dir.path().join("file"), b"x").expect("written");
    let file = RealDisk::open(&dir.path().join("file")).expect_err("a file");
    assert_eq!(file.kind(), io::ErrorKind::NotADirectory);
    let file = RealDisk::create(&dir.path().join("file")).expect_err("a file");
    assert_eq!(file.kind(), io::ErrorKind::NotADirectory);
}

#[test]
fn create_makes_private_parents_and_is_repeatable() {
    let (dir, _) = scratch();
    let path = dir.path().join("a/b/c");
    let first = RealDisk::create(&path).expect("created").identity().expect("identity");
    let again = RealDisk::create(&path).expect("opened").identity().expect("identity");
    assert_eq!(first, again);
    assert_eq!(mode(&path), 0o700);
    assert_ne!(first, scratch().1.identity().expect("identity"));
}

#[test]
fn bytes_come_back_and_reads_end_with_the_file() {
    let (dir, disk) = scratch();
    let file = disk.create("f").expect("created");
    file.write_at(b"hello", 3).expect("written");
    file.sync().expect("synced");
    disk.sync_dir().expect("synced");
    assert_eq!(file.len().expect("length"), 8);
    let mut buf = [0xFF; 16];
    assert_eq!(disk.open("f").expect("opens").read_at(&mut buf, 0).expect("read"), 8);
    assert_eq!(&buf[..8], b"\0\0\0hello");
    assert_eq!(file.read_at(&mut buf, 8).expect("read"), 0);
    assert_eq!(file.read_at(&mut buf, 99).expect("read"), 0);
    assert_eq!(mode(&dir.path().join("f")), 0o600);
    assert_eq!(disk.create("f").expect("truncated").len().expect("length"), 0);
}

#[test]
fn zero_fill_sets_content_and_length() {
    let (_dir, disk) = scratch();
    let file = disk.create("f").expect("created");
    file.write_at(&[7; 5000], 0).expect("written");
    let len = ZERO_CHUNK_BYTES * 2 + 17;
    for len in [len, 4096, 0] {
        file.zero_fill(len).expect("filled");
        assert_eq!(file.len().expect("length"), len);
        let mut buf = vec![1; len as usize];
        assert_eq!(file.read_at(&mut buf, 0).expect("read"), len as usize);
        assert!(buf.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn names_move_and_vanish() {
    let (dir, disk) = scratch();
    disk.create("a").expect("created").write_at(b"a", 0).expect("written");
    disk.create("b").expect("created");
    disk.rename("a", "b").expect("renamed");
    std::fs::create_dir(dir.path().join("sub")).expect("created");
    assert_eq!(disk.list().expect("listed"), ["b"]);
    assert_eq!(disk.open("b").expect("opens").len().expect("length"), 1);
    disk.remove("b").expect("removed");
    assert_eq!(disk.open("b").expect_err("gone").kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.remove("b").expect_err("gone").kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.rename("b", "c").expect_err("gone").kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.create("../x").expect_err("bad").kind(), io::ErrorKind::InvalidInput);
    assert_eq!(disk.remove("LOCK").expect_err("bad").kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn links_and_directories_are_not_opened() {
    let (dir, disk) = scratch();
    disk.create("target").expect("created").write_at(b"x", 0).expect("written");
    symlink(dir.path().join("target"), dir.path().join("link")).expect("linked");
    assert!(disk.open("link").is_err());
    assert!(disk.create("link").is_err(), "or it would truncate the target");
    assert_eq!(disk.open("target").expect("opens").len().expect("length"), 1);
    let mut names = disk.list().expect("listed");
    names.sort();
    assert_eq!(names, ["link", "target"]);
    std::fs::create_dir(dir.path().join("sub")).expect("created");
    assert!(disk.open_read_only("sub").is_err());
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
    let (dir, disk) = scratch();
    for name in ["pipe", "LOCK"] {
        let made = std::process::Command::new("mkfifo").arg(dir.path().join(name)).status();
        assert!(made.expect("mkfifo runs").success());
    }
    for opened in [disk.open("pipe"), disk.open_read_only("pipe"), disk.create("pipe")] {
        assert!(opened.is_err());
    }
    assert!(disk.try_lock().is_err());
}

#[test]
fn links_in_the_place_of_the_lock_or_a_directory_are_not_followed() {
    let (dir, disk) = scratch();
    let (elsewhere, _) = scratch();
    std::fs::write(elsewhere.path().join("file"), "mine").expect("written");
    symlink(elsewhere.path().join("file"), dir.path().join("LOCK")).expect("linked");
    symlink(elsewhere.path(), dir.path().join("sub")).expect("linked");
    assert!(disk.try_lock().is_err());
    assert!(disk.directory("sub").is_err());
    let text = std::fs::read_to_string(elsewhere.path().join("file")).expect("read");
    assert_eq!(text, "mine");
    assert_eq!(std::fs::read_dir(elsewhere.path()).expect("listed").count(), 1);
}

#[test]
fn what_is_created_is_private_also_where_it_was_not_before() {
    let (dir, disk) = scratch();
    let path = dir.path().join("f");
    for before in [0o666, 0o640, 0o644] {
        std::fs::write(&path, "x").expect("written");
        std::fs::set_permissions(&path, Permissions::from_mode(before)).expect("set");
        // What is only opened keeps its rights: they are somebody's choice.
        disk.open_read_only("f").expect("opens");
        assert_eq!(mode(&path), before);
        disk.create("f").expect("created");
        assert_eq!(mode(&path), 0o600);
        std::fs::remove_file(&path).expect("removed");
    }
    let made = disk.directory("sub").expect("made");
    assert_eq!(mode(&dir.path().join("sub")), 0o700);
    made.create("g").expect("created");
    assert_eq!(mode(&dir.path().join("sub/g")), 0o600);
}

#[test]
fn a_directory_that_exists_keeps_its_mode() {
    let (dir, _) = scratch();
    let path = dir.path().join("wide");
    std::fs::create_dir(&path).expect("created");
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("set");
    RealDisk::create(&path).expect("opened");
    assert_eq!(mode(&path), 0o755);
}

#[test]
fn a_read_only_file_refuses_writes() {
    let (_dir, disk) = scratch();
    disk.create("f").expect("created");
    let file = disk.open_read_only("f").expect("opens");
    assert!(file.write_at(b"x", 0).is_err());
    assert_eq!(file.len().expect("length"), 0);
}

#[test]
fn the_lock_excludes_and_names_its_holder() {
    let (dir, disk) = scratch();
    let path = dir.path().join("LOCK");
    std::fs::write(&path, "4000000000 stale").expect("written");
    let other = RealDisk::open(dir.path()).expect("opens");
    let LockAttempt::Held(lock) = disk.try_lock().expect("locks") else { panic!("busy") };
    for disk in [&disk, &other] {
        let LockAttempt::Busy(pid) = disk.try_lock().expect("answers") else {
            panic!("locked twice")
        };
        assert_eq!(pid, Some(std::process::id()));
    }
    assert!(disk.list().expect("listed").is_empty(), "the lock is not listed");
    drop(lock);
    assert!(matches!(other.try_lock().expect("locks"), LockAttempt::Held(_)));
    assert!(path.exists());
    std::fs::remove_file(&path).expect("removed");
    drop(disk.try_lock().expect("locks"));
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn the_handle_outlives_the_path() {
    let (dir, _) = scratch();
    let disk = RealDisk::create(&dir.path().join("old")).expect("created");
    let before = disk.identity().expect("identity");
    std::fs::rename(dir.path().join("old"), dir.path().join("new")).expect("renamed");
    disk.create("f").expect("created");
    assert!(dir.path().join("new/f").exists());
    assert_eq!(disk.identity().expect("identity"), before);
}

#[cfg(target_os = "linux")]
#[test]
fn network_filesystems_are_known_by_their_magic() {
    let (_dir, disk) = scratch();
    assert!(disk.network_filesystem().is_ok());
    assert_eq!(network_name(0x6969), Some("NFS"));
    assert_eq!(network_name(0xFF53_4D42), Some("CIFS"));
    assert_eq!(network_name(0xEF53), None, "ext4");
}
