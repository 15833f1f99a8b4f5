//! Where a run keeps its files: the store's directory and, next to it, the gateway's book.
//!
//! A temporary place is removed at the end, unless the run failed: then it is evidence.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oncekey::audit::Audit;
use oncekey::{DropPolicy, Options, Store};

use super::dice;
use crate::failure::{Doing, Result};

/// How large the segments of the demo's store are: small, so that a short run fills several.
const SEGMENT_BYTES: u32 = 4 << 20;

/// The files of one run.
#[derive(Debug)]
pub(crate) struct Workspace {
    store: PathBuf,
    temporary: Option<PathBuf>,
}

impl Workspace {
    /// The place the user named, or a fresh temporary one.
    pub(crate) fn new(store: Option<PathBuf>) -> Result<Self> {
        if let Some(store) = store {
            return Ok(Self { store, temporary: None });
        }
        let name = format!("oncekey-demo-{:016x}", dice::number());
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&root).doing(format_args!("creating {}", root.display()))?;
        Ok(Self { store: root.join("store"), temporary: Some(root) })
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// `DIR.book.jsonl` for a store in `DIR`.
    pub(crate) fn book(&self) -> PathBuf {
        let mut name = self.store.file_name().unwrap_or_default().to_os_string();
        name.push(".book.jsonl");
        self.store.with_file_name(name)
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Leaves everything where it is.
    pub(crate) fn keep(&mut self) {
        self.temporary = None;
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Some(root) = &self.temporary {
            // A child that is being killed may still add a file or two. What cannot be removed
            // stays in the temporary directory; there is nothing to do.
            for _ in 0..10 {
                if std::fs::remove_dir_all(root).is_ok() || !root.exists() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Opens the demo's store, waiting for a killed predecessor to be gone.
pub(crate) async fn open_store(path: &Path, on_drop: DropPolicy) -> Result<Store> {
    let options = Options::new()
        .segment_bytes(SEGMENT_BYTES)
        .lease(Duration::from_secs(30))
        .lock_wait(Duration::from_secs(10))
        .on_drop(on_drop)
        .audit(Audit::new());
    let path = path.to_path_buf();
    let doing = format!("opening the store {}", path.display());
    tokio::task::spawn_blocking(move || options.open_or_create(&path))
        .await
        .doing(&doing)?
        .doing(&doing)
}

/// Closes it, and says how many claims nobody ended.
pub(crate) async fn close_store(store: Store) -> Result<usize> {
    let closed = store.close(Duration::from_secs(10)).await.doing("closing the store")?;
    Ok(closed.remaining)
}
