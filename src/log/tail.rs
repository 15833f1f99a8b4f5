//! What to make of the bytes where the next batch should be: the decision table of
//! `docs/format.md`, as data.
//!
//! A batch that was never synced may be gone or torn after a crash, and nobody was told that it was
//! safe: it is cut. A batch that something later proves to have been synced was acknowledged: its
//! loss is damage, never a tail. How bytes and proof are found is left to `scan.rs`.

/// What is at the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Zeros, an old life, no magic, or no room for a header.
    Nothing,
    /// The same, and a good batch of this life comes later.
    Missing,
    /// A header of this life that is not right.
    HeaderBad,
    /// A good header over a payload that is not right.
    PayloadBad,
    /// A good batch that does not continue the one before it.
    DoesNotFollow,
    /// The next batch.
    Good,
}

/// What that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Take it and go on.
    NextBatch,
    /// The log ends here.
    End,
    /// The log ends here, and what was being written when the crash came is cut and reported.
    TornTail,
    /// Something that had been made durable is lost.
    Damage,
}

/// What was found, whether something later says that the place was synced, whether the place must
/// be whole (in a sealed segment, or after a clean close), and the verdict.
pub(crate) const TABLE: [(Found, bool, bool, Verdict); 24] = [
    (Found::Good, false, false, Verdict::NextBatch),
    (Found::Good, false, true, Verdict::NextBatch),
    (Found::Good, true, false, Verdict::NextBatch),
    (Found::Good, true, true, Verdict::NextBatch),
    (Found::Nothing, false, false, Verdict::End),
    (Found::Nothing, false, true, Verdict::Damage),
    (Found::Nothing, true, false, Verdict::Damage),
    (Found::Nothing, true, true, Verdict::Damage),
    (Found::Missing, false, false, Verdict::TornTail),
    (Found::Missing, false, true, Verdict::Damage),
    (Found::Missing, true, false, Verdict::Damage),
    (Found::Missing, true, true, Verdict::Damage),
    (Found::HeaderBad, false, false, Verdict::TornTail),
    (Found::HeaderBad, false, true, Verdict::Damage),
    (Found::HeaderBad, true, false, Verdict::Damage),
    (Found::HeaderBad, true, true, Verdict::Damage),
    (Found::PayloadBad, false, false, Verdict::TornTail),
    (Found::PayloadBad, false, true, Verdict::Damage),
    (Found::PayloadBad, true, false, Verdict::Damage),
    (Found::PayloadBad, true, true, Verdict::Damage),
    (Found::DoesNotFollow, false, false, Verdict::TornTail),
    (Found::DoesNotFollow, false, true, Verdict::Damage),
    (Found::DoesNotFollow, true, false, Verdict::Damage),
    (Found::DoesNotFollow, true, true, Verdict::Damage),
];

/// Looks the verdict up.
pub(crate) fn verdict(found: Found, successor: bool, must_be_whole: bool) -> Verdict {
    let asked = (found, successor, must_be_whole);
    let row =
        TABLE.iter().find(|(found, successor, whole, _)| (*found, *successor, *whole) == asked);
    // The table is whole (a test says so); were it not, nothing may be cut without a word.
    row.map_or(Verdict::Damage, |(.., verdict)| *verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Found; 6] = [
        Found::Nothing,
        Found::Missing,
        Found::HeaderBad,
        Found::PayloadBad,
        Found::DoesNotFollow,
        Found::Good,
    ];

    #[test]
    fn every_combination_is_in_the_table_once() {
        for found in ALL {
            for (successor, whole) in [(false, false), (false, true), (true, false), (true, true)] {
                let asked = (found, successor, whole);
                let rows = TABLE.iter().filter(|row| (row.0, row.1, row.2) == asked);
                assert_eq!(rows.count(), 1, "{asked:?}");
            }
        }
        assert_eq!(TABLE.len(), ALL.len() * 4);
    }

    #[test]
    fn what_was_synced_is_never_cut() {
        for (found, successor, whole, verdict) in TABLE {
            if found != Found::Good && (successor || whole) {
                assert_eq!(verdict, Verdict::Damage, "{found:?} {successor} {whole}");
            }
        }
    }

    #[test]
    fn looks_up_its_rows() {
        for (found, successor, whole, expected) in TABLE {
            assert_eq!(verdict(found, successor, whole), expected);
        }
    }
}
