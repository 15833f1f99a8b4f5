//! Seeds that once failed, and what they found.
//!
//! A seed means something only as long as the generator draws from it what it drew then: most of
//! these play something else by now. They cost little, and what they found is a list of what to
//! beware of. The bugs whose cause is known have tests by hand.

use super::Length;

const EXPIRED: &str = "a completion that expired on its way to disk was still told";
const UNCOUNTED: &str = "a takeover was taken back and stayed counted as unresolved";
const FORGET: &str = "a forget went before what it hid";
const MANIFEST: &str = "a manifest seen after a kill was not durable before the files that it had \
                        freed were used again";
const EARLIER_LIFE: &str = "open refused the store: a batch of an earlier life, claims lost";
const NO_PREFIX: &str = "what was found after a crash was no prefix of the log";
const AHEAD: &str = "claims at the head of a segment were ahead of what a power cut took, told to \
                     nobody: the model had not allowed it";
const LATE: &str = "a claim was called late for a record that the model did not know of";
const UNREAD: &str = "the model was sure of a key that could not be read after a power cut";
const BENEATH: &str = "damage brought a forgotten record back; the model had not expected it \
                       beneath a claim whose time was over";
const OFF: &str = "a memory of expired keys that was turned off remembered one at open";
const FILES: &str = "a forget was refused since no file could be opened for its note; the model \
                     took only a full disk for a reason";
const LONGER: &str =
    "an opening took a forgotten record of a longer TTL for newer than what had expired";
const CACHED: &str =
    "an opening remembered what a kill had left in the page cache alone, and a power cut took it";
const SWEPT: &str =
    "the model held that the first round of upkeep that may have found a lease over did";

const STILL_FULL: &str =
    "the trail's disk was still full in the next life; the model had forgotten";
const TOLD_LATER: &str =
    "the trail told that the disk had failed in an earlier life; the model had forgotten";
const FIRST_SYNC: &str =
    "the model took a turn before the first event for a sync, from which the window counts";
const CONFIRMED: &str = "a key was forgotten as its window was over, and a crash took back that \
                         the leap was confirmed; the model had not allowed it";
const UNSYNCED_END: &str = "the end of a trail whose disk failed went with a power cut after the \
                            store was closed; the model had not allowed it";
const DROPPED: &str = "a trail of nothing but what was dropped does not say so";

pub(super) const CORPUS: [(u64, Length, &str); 36] = [
    (36, Length::Short, EXPIRED),
    (155, Length::Short, AHEAD),
    (678, Length::Short, EXPIRED),
    (3342, Length::Short, MANIFEST),
    (4312, Length::Short, AHEAD),
    (5028, Length::Short, UNCOUNTED),
    (7622, Length::Short, FORGET),
    (12_816, Length::Short, DROPPED),
    (33, Length::Medium, LATE),
    (129, Length::Medium, LATE),
    (4544, Length::Short, LATE),
    (8663, Length::Short, LATE),
    (14_735, Length::Short, OFF),
    (2_016_557, Length::Short, LATE),
    (2_024_874, Length::Short, LATE),
    (2_064_188, Length::Short, FILES),
    (3_024_532, Length::Short, SWEPT),
    (4_008_392, Length::Short, LATE),
    (4_018_286, Length::Short, LONGER),
    (4_094_929, Length::Short, CACHED),
    (201, Length::Medium, LATE),
    (102_270, Length::Short, NO_PREFIX),
    (102_432, Length::Short, NO_PREFIX),
    (112_085, Length::Short, NO_PREFIX),
    (115_493, Length::Short, NO_PREFIX),
    (116_755, Length::Short, EARLIER_LIFE),
    (12_836, Length::Short, UNREAD),
    (1_125_615, Length::Short, BENEATH),
    (4, Length::Short, STILL_FULL),
    (1_382, Length::Short, TOLD_LATER),
    (100_302, Length::Short, UNSYNCED_END),
    (100_357, Length::Short, UNSYNCED_END),
    (101_313, Length::Short, UNSYNCED_END),
    (102_780, Length::Short, UNSYNCED_END),
    (5_002_797, Length::Short, FIRST_SYNC),
    (5_019_300, Length::Short, CONFIRMED),
];
