//! Seeds that once failed, and what they found.
//!
//! A seed means something only as long as the generator draws from it what it drew then: most of
//! these play something else by now. They cost little, and what they found is a list of what to
//! beware of. What holds each of these bugs off is a test by hand.

use super::Length;

pub(super) const CORPUS: [(u64, Length, &str); 9] = [
    (36, Length::Short, "found while the simulator itself was new"),
    (678, Length::Short, "found while the simulator itself was new"),
    (
        3342,
        Length::Short,
        "a manifest seen after a kill was not durable before files it had freed were used again",
    ),
    (5028, Length::Short, "found while the simulator itself was new"),
    (7622, Length::Short, "found while the simulator itself was new"),
    (52, Length::Short, "the switch of a deliberate bug had gone with the code it was in"),
    (112_085, Length::Short, "an expired record was not what the model expected after a crash"),
    (115_493, Length::Short, "an expired record was not what the model expected after a crash"),
    (116_755, Length::Short, "a batch of an earlier life was taken for damage"),
];
