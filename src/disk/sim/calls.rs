//! What the calls of a disk were, for tests that fail one of them and must know which it is.

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CallKind {
    /// Opens a file, for writing or for reading only.
    Open,
    /// Creates a file, or truncates it.
    Create,
    /// Renames a file.
    Rename,
    /// Removes a file.
    Remove,
    /// Syncs the directory.
    SyncDir,
    /// Lists the directory.
    List,
    /// Tries to take the lock.
    Lock,
    /// Asks for the directory's identity.
    Identity,
    /// Asks for a file's length.
    Len,
    /// Reads from a file.
    Read,
    /// Writes to a file.
    Write,
    /// Fills a file with zeros, and syncs it.
    ZeroFill,
    /// Syncs a file.
    Sync,
}

/// A call that a disk had.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimCall {
    /// What it was for.
    pub kind: CallKind,
    /// The file's name at that time, the old one for a rename; empty if it was about the directory
    /// or about a file without a name.
    pub file: String,
}

/// What a call is about, before its name is known.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Directory,
    Name(&'a str),
    Inode(super::directory::InodeId),
}
