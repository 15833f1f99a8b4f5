//! What a power cut leaves.
//!
//! The unsynced changes of all files are cut into pieces, none larger than a sector, and a
//! [`Survival`] decides which of them reached the disk. Two rules hold for all, because no disk can
//! break them:
//! - A sector is written as the page cache has it: a write that survives brings the earlier writes
//!   to its sector with it.
//! - A truncation is journalled before the blocks that follow it: a write that survives brings the
//!   earlier truncations of its file with it.

use std::collections::{BTreeMap, HashSet};

use super::content::Content;
use super::directory::{Directory, InodeId};
use super::inode::{Effect, Inode};
use super::rng::SplitMix64;
use super::state::State;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What a sector of zeros holds.
const ZEROS: [u8; SECTOR_BYTES] = [0; SECTOR_BYTES];

/// How much of what was not synced survives a crash.
///
/// Of the unsynced changes of the directory all survive with `Everything`, none with `Nothing`, and
/// else the first few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Survival {
    /// The power went: only what was synced is there.
    Nothing,
    /// The process was killed: all it wrote is there, and what was not synced still is not. A
    /// later power cut can take it.
    Everything,
    /// The power went: each write survives whole, not at all, or by a random choice of its sectors;
    /// a file may have grown without the bytes it grew for (they read as zeros).
    Random,
    /// The power went in the middle of a write: those before it survive, and its first sectors, and
    /// nothing after it.
    Torn,
    /// The power went with the disk writing out of order: one write survives, and none before or
    /// after it. It is not the first one if there are several.
    Reordered,
}

/// At most a sector of a write, or a truncation.
struct Piece<'a> {
    inode: InodeId,
    number: u64,
    part: Part<'a>,
}

enum Part<'a> {
    Bytes { offset: usize, bytes: &'a [u8] },
    Truncate { len: usize },
}

/// The disk as it is found after a crash.
pub(super) fn survivor(state: &State, survival: Survival, seed: u64) -> State {
    if survival == Survival::Everything {
        return state.restarted(state.directory.clone(), state.inodes.clone());
    }
    let mut rng = SplitMix64::new(seed);
    let pieces = pieces(state);
    let mut kept = choose(&pieces, survival, &mut rng);
    bring_along(&pieces, &mut kept);
    let grow = survival == Survival::Random;
    let inodes = settle(state, &pieces, &kept, grow.then_some(&mut rng));
    let entries = match survival {
        Survival::Nothing => 0,
        _ => rng.below(state.directory.unsynced_len() + 1),
    };
    state.restarted(Directory::settled(state.directory.after_crash(entries)), inodes)
}

/// The unsynced changes of all files in the order they were made.
fn pieces(state: &State) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for (&inode, file) in &state.inodes {
        for change in file.unsynced() {
            let number = change.number;
            match &change.effect {
                Effect::Truncate { len } => {
                    pieces.push(Piece { inode, number, part: Part::Truncate { len: *len } });
                }
                Effect::Zeros { len } => {
                    let offsets = (0..*len).step_by(SECTOR_BYTES);
                    pieces.extend(offsets.map(|offset| {
                        let (bytes, _) = ZEROS.split_at(SECTOR_BYTES.min(len - offset));
                        Piece { inode, number, part: Part::Bytes { offset, bytes } }
                    }));
                }
                Effect::Write { offset, bytes } => {
                    let sectors = sectors(*offset, bytes);
                    pieces.extend(sectors.map(|(offset, bytes)| Piece {
                        inode,
                        number,
                        part: Part::Bytes { offset, bytes },
                    }));
                }
            }
        }
    }
    pieces.sort_by_key(|piece| piece.number);
    pieces
}

/// Cuts a write at the boundaries of sectors.
fn sectors(mut offset: usize, mut bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        let room = SECTOR_BYTES - offset % SECTOR_BYTES;
        let (piece, rest) = bytes.split_at(room.min(bytes.len()));
        let at = offset;
        offset += piece.len();
        bytes = rest;
        (!piece.is_empty()).then_some((at, piece))
    })
}

/// Which pieces survive, before the rules.
fn choose(pieces: &[Piece<'_>], survival: Survival, rng: &mut SplitMix64) -> Vec<bool> {
    let changes: Vec<&[Piece<'_>]> =
        pieces.chunk_by(|left, right| left.number == right.number).collect();
    let mut kept = Vec::with_capacity(pieces.len());
    match survival {
        Survival::Nothing => {}
        Survival::Everything => kept.resize(pieces.len(), true),
        Survival::Random => {
            for change in changes {
                match rng.below(4) {
                    0 => kept.extend(change.iter().map(|_| false)),
                    1 => kept.extend(change.iter().map(|_| true)),
                    _ => kept.extend(change.iter().map(|_| rng.coin())),
                }
            }
        }
        Survival::Torn => {
            let torn = rng.below(changes.len() + 1);
            let whole = changes.iter().take(torn).map(|change| change.len()).sum::<usize>();
            let part = changes.get(torn).map_or(0, |change| rng.below(change.len()));
            kept.resize(whole + part, true);
        }
        Survival::Reordered => {
            let is_write = |change: &&[Piece<'_>]| {
                change.iter().any(|piece| matches!(piece.part, Part::Bytes { .. }))
            };
            let writes: Vec<u64> = changes
                .iter()
                .filter(|change| is_write(change))
                .filter_map(|change| change.first())
                .map(|piece| piece.number)
                .collect();
            let first = usize::from(writes.len() > 1);
            let chosen = writes.get(first + rng.below(writes.len() - first));
            kept.extend(pieces.iter().map(|piece| Some(&piece.number) == chosen));
        }
    }
    kept.resize(pieces.len(), false);
    kept
}

/// Applies the two rules of the module's header.
fn bring_along(pieces: &[Piece<'_>], kept: &mut [bool]) {
    let mut files = HashSet::new();
    let mut sectors = HashSet::new();
    for (piece, kept) in pieces.iter().zip(kept).rev() {
        match piece.part {
            Part::Bytes { offset, .. } => {
                let sector = (piece.inode, offset / SECTOR_BYTES);
                *kept |= sectors.contains(&sector);
                if *kept {
                    sectors.insert(sector);
                }
            }
            Part::Truncate { .. } => *kept |= files.contains(&piece.inode),
        }
        if *kept {
            files.insert(piece.inode);
        }
    }
}

/// The files with the surviving pieces written to them. With `grow`, a file may also get the length
/// that writes which did not survive would have given it.
fn settle(
    state: &State,
    pieces: &[Piece<'_>],
    kept: &[bool],
    mut grow: Option<&mut SplitMix64>,
) -> BTreeMap<InodeId, Inode> {
    let mut contents: BTreeMap<InodeId, Content> =
        state.inodes.iter().map(|(id, inode)| (*id, inode.durable().clone())).collect();
    // A file whose truncation was lost has its old blocks, so no later length either.
    let mut old = HashSet::new();
    for (piece, kept) in pieces.iter().zip(kept) {
        let Some(content) = contents.get_mut(&piece.inode) else { continue };
        match piece.part {
            Part::Bytes { offset, bytes } if *kept => content.write(offset, bytes),
            Part::Bytes { .. } => {}
            Part::Truncate { len } if *kept => content.truncate(len),
            Part::Truncate { .. } => {
                old.insert(piece.inode);
            }
        }
    }
    for (id, content) in &mut contents {
        let Some(rng) = grow.as_deref_mut() else { break };
        let len = state.inodes.get(id).map_or(0, |inode| inode.seen().len());
        if rng.coin() && content.len() < len && !old.contains(id) {
            content.grow(len);
        }
    }
    contents.into_iter().map(|(id, content)| (id, Inode::settled(content))).collect()
}
