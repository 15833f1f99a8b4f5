//! What a machine with a disk of its own is made of: images, loop devices, mounts. All of it is
//! undone when it is dropped.
//!
//! Images lie on an XFS of their own, so that cloning one is one step and takes no room.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::chosen;

/// A `mount -o loop` looks for a free device and then takes it: two at a time could meet.
static MOUNTING: Mutex<()> = Mutex::new(());

/// Runs a program; what it said, or why it failed.
pub fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let said = |error: String| format!("{program} {}: {error}", arguments.join(" "));
    let done =
        Command::new(program).args(arguments).output().map_err(|error| said(error.to_string()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    Err(said(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A filesystem that is mounted, until this is dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    pub fn new(kind: &str, options: &str, what: &Path, at: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| format!("{}: {error}", at.display()))?;
        let _one_at_a_time = MOUNTING.lock();
        run("mount", &["-t", kind, "-o", options, text(what), text(at)])?;
        Ok(Self(at.to_owned()))
    }

    pub fn remount(&self, options: &str) -> Result<(), String> {
        run("mount", &["-o", &format!("remount,{options}"), text(&self.0)]).map(drop)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whoever looks at the devices of a machine may have one open for a moment.
        for _ in 0..50 {
            match run("umount", &[text(&self.0)]) {
                Ok(_) => return,
                Err(_) => crate::pause(std::time::Duration::from_millis(20)),
            }
        }
        let _ = run("umount", &["-l", text(&self.0)]);
    }
}

/// A loop device over a file, until this is dropped.
#[derive(Debug)]
pub struct Loop(String);

impl Loop {
    /// Over a file; `direct` hands each write to the file's filesystem before it is done. A device
    /// that is named is taken if it is free.
    fn new(file: &Path, direct: bool, wanted: Option<&str>) -> Result<Self, String> {
        let _one_at_a_time = MOUNTING.lock();
        let direct = format!("--direct-io={}", if direct { "on" } else { "off" });
        if let Some(device) = wanted
            && run("losetup", &[&direct, device, text(file)]).is_ok()
        {
            return Ok(Self(device.to_owned()));
        }
        run("losetup", &[&direct, "-f", "--show", text(file)]).map(Self)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = run("losetup", &["-d", &self.0]);
    }
}

/// A directory for images: in memory, or in `ONCEKEY_MACHINE_DIR`.
pub fn directory() -> Result<tempfile::TempDir, String> {
    let place = std::env::var("ONCEKEY_MACHINE_DIR").unwrap_or_else(|_| "/dev/shm".into());
    let dir = tempfile::Builder::new().prefix("oncekey-machine-").tempdir_in(&place);
    dir.map_err(|error| format!("{place}: {error}"))
}

/// Where images lie.
#[derive(Debug)]
pub struct Ground {
    _mount: Mount,
    dir: tempfile::TempDir,
}

impl Ground {
    /// An XFS with reflinks, or why there is none.
    pub fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("power cuts take root, to mount filesystems".into());
        }
        let dir = directory()?;
        let file = dir.path().join("xfs.img");
        let bytes = chosen("ONCEKEY_MACHINE_MB", 2048) << 20;
        let made = File::create(&file).and_then(|made| made.set_len(bytes));
        made.map_err(|error| format!("{}: {error}", file.display()))?;
        run("mkfs.xfs", &["-q", "-m", "reflink=1", text(&file)])?;
        // What is removed on it is given back to where the image lies.
        let mount = Mount::new("xfs", "loop,discard", &file, &dir.path().join("images"))?;
        Ok(Self { _mount: mount, dir })
    }

    pub fn image(&self, name: &str) -> PathBuf {
        self.dir.path().join("images").join(name)
    }

    pub fn mount_point(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// What a power cut leaves of what the disk had taken but not been told to flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drive {
    /// All of it: a drive without a cache, or one that outlives a power cut.
    Keeps,
    /// What it happened to have written from its cache. The cache is that of the filesystem which
    /// the drive's image lies on, which a flush of the drive writes out.
    Forgets,
}

/// A machine with a drive: ext4 on a loop device.
#[derive(Debug)]
pub struct Machine {
    mount: Option<Mount>,
    device: Option<Loop>,
    /// Of a drive that forgets: the filesystem with the image of the drive in it, and the device
    /// that this filesystem is on.
    outer: Option<(Option<Mount>, Option<Loop>)>,
    image: PathBuf,
    at: PathBuf,
}

const DRIVE_BYTES: u64 = 40 << 20;
const OUTER_BYTES: u64 = 56 << 20;
const JOURNAL_MB: u64 = 4;

impl Machine {
    /// Makes the image of a drive with an empty filesystem.
    pub fn format(image: &Path, drive: Drive, at: &Path) -> Result<(), String> {
        if drive == Drive::Keeps {
            return format(image, DRIVE_BYTES, JOURNAL_MB);
        }
        format(image, OUTER_BYTES, JOURNAL_MB)?;
        let device = Loop::new(image, true, None)?;
        let outer = Mount::new("ext4", "noatime", Path::new(&device.0), at)?;
        format(&at.join("drive"), DRIVE_BYTES, JOURNAL_MB)?;
        run("sync", &["-f", text(at)])?;
        drop(outer);
        drop(device);
        Ok(())
    }

    /// Sets up the devices over an image and mounts it, which recovers its journal.
    pub fn boot(
        image: &Path,
        drive: Drive,
        at: &Path,
        device: Option<&str>,
    ) -> Result<Self, String> {
        let mut outer = None;
        let mut file = image.to_owned();
        if drive == Drive::Forgets {
            let below = Loop::new(image, true, None)?;
            let place = at.with_extension("outer");
            let mount = Mount::new("ext4", "noatime", Path::new(&below.0), &place)?;
            file = place.join("drive");
            outer = Some((Some(mount), Some(below)));
        }
        let direct = drive == Drive::Keeps;
        let device = Loop::new(&file, direct, device)?;
        let mount = Mount::new("ext4", "noatime", Path::new(&device.0), at)?;
        let (mount, device) = (Some(mount), Some(device));
        let (image, at) = (image.to_owned(), at.to_owned());
        Ok(Self { mount, device, outer, image, at })
    }

    /// Where the store is.
    pub fn store(&self) -> PathBuf {
        self.at.join("store")
    }

    /// The device that the filesystem with the store is on.
    pub fn device(&self) -> Option<&str> {
        self.device.as_ref().map(|device| device.0.as_str())
    }

    /// A power cut: what the disk has at this instant, as the image of another machine.
    pub fn cut(&self, to: &Path) -> Result<(), String> {
        let clone = || {
            let to = File::create(to)?;
            rustix::fs::ioctl_ficlone(&to, &File::open(&self.image)?)?;
            std::io::Result::Ok(())
        };
        clone().map_err(|error| format!("cloning to {}: {error}", to.display()))
    }
}

/// Makes a file with an empty ext4 in it, each block of which is written.
pub fn format(image: &Path, bytes: u64, journal_mb: u64) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", image.display());
    File::create(image).and_then(|file| file.set_len(bytes)).map_err(failed)?;
    // Nothing is left to be zeroed by a mount. A clone on XFS is written in blocks of 4 KiB.
    let lazy = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
    let journal = format!("size={journal_mb}");
    let size = ["-b", "4096", "-m", "0", "-N", "512", "-J", &journal];
    run("mkfs.ext4", &[&["-q", "-F", "-E", lazy], &size[..], &[text(image)]].concat())?;
    let content = std::fs::read(image).map_err(failed)?;
    std::fs::remove_file(image).map_err(failed)?;
    let written = std::fs::write(image, content).and_then(|()| File::open(image)?.sync_all());
    written.map_err(failed)
}

impl Drop for Machine {
    fn drop(&mut self) {
        // From the inside out.
        self.mount = None;
        self.device = None;
        if let Some((mount, device)) = &mut self.outer {
            *mount = None;
            *device = None;
        }
    }
}
