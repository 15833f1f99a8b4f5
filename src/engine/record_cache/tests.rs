//! The cache against what it promises: bytes, bounds, and whom it keeps.

use proptest::prelude::*;

use super::*;
use crate::ids::Slot;
use crate::index::Location;

fn spot(segment: u64, granule: u32) -> Spot {
    let location = Location { slot: Slot(segment as u32 % 4), offset: granule * GRANULE as u32 };
    Spot { location, segment: SegmentId(segment) }
}

/// The only frame that a spot can have.
fn frame_of(spot: Spot, len: usize) -> Vec<u8> {
    let hash = hash(spot).to_le_bytes();
    hash.iter().copied().cycle().take(len).collect()
}

/// A lookup as the engine makes it: whether the cache answered.
fn read(cache: &RecordCache, spot: Spot, len: usize) -> bool {
    let frame = frame_of(spot, len);
    let found = cache.get(spot, |bytes| assert_eq!(bytes, frame)).is_some();
    if !found {
        cache.offer(spot, &frame, len);
    }
    found
}

/// Checks the invariants of the module's header, and that the tables agree.
fn check(cache: &RecordCache, budget_bytes: usize) {
    assert!(cache.counts().bytes <= budget_bytes as u64);
    for part in &cache.parts {
        let part = part.lock();
        assert_eq!(part.places.len(), part.kept.len());
        let costs: usize = part.kept.iter().map(|kept| cost(&kept.frame)).sum();
        assert_eq!(part.frame_bytes, costs);
        for (at, kept) in part.kept.iter().enumerate() {
            let listed = part.places.find(hash(kept.spot), |place| *place as usize == at);
            assert!(listed.is_some());
        }
    }
}

#[test]
fn a_frame_comes_in_at_its_second_reading() {
    let cache = RecordCache::new(1 << 20);
    assert_eq!([0; 4].map(|_| read(&cache, spot(1, 300), 400)), [false, false, true, true]);
    let counts = cache.counts();
    assert_eq!((counts.hits, counts.misses, counts.records), (2, 2, 1));
}

#[test]
fn another_life_of_a_file_has_frames_of_its_own() {
    let cache = RecordCache::new(1 << 20);
    for _ in 0..3 {
        read(&cache, spot(1, 300), 400);
    }
    // The same file and offset, five lives later.
    assert_eq!(spot(1, 300).location, spot(5, 300).location);
    assert!(cache.get(spot(5, 300), |_| ()).is_none());
}

#[test]
fn a_cache_of_no_bytes_keeps_nothing() {
    for budget_bytes in [0, 1, 100, 1000] {
        let cache = RecordCache::new(budget_bytes);
        for granule in 0..1000 {
            assert!(!read(&cache, spot(1, granule % 10), 400));
        }
        check(&cache, budget_bytes);
    }
}

#[test]
fn p10_records_that_pass_by_do_not_push_out_what_is_asked_for() {
    const BUDGET_BYTES: usize = 2 << 20;
    let cache = RecordCache::new(BUDGET_BYTES);
    let hot = |granule: u32| spot(1, granule);
    for granule in (0..500).cycle().take(1500) {
        read(&cache, hot(granule), 400);
    }
    // Thirty times what there is room for, each read once; then ten times as much, read twice.
    for granule in 0..150_000 {
        read(&cache, spot(2, granule), 400);
        read(&cache, hot(granule % 500), 400);
    }
    let still = (0..500).filter(|granule| read(&cache, hot(*granule), 400)).count();
    assert_eq!(still, 500);
    for granule in 0..50_000 {
        read(&cache, spot(3, granule), 400);
        read(&cache, spot(3, granule), 400);
        read(&cache, hot(granule % 500), 400);
    }
    let still = (0..500).filter(|granule| read(&cache, hot(*granule), 400)).count();
    assert!(still > 450, "{still}");
    check(&cache, BUDGET_BYTES);
    assert!(cache.counts().bytes > BUDGET_BYTES as u64 / 2, "room is left unused");
}

#[test]
fn dropped_segments_give_their_room_back() {
    let cache = RecordCache::new(1 << 20);
    for segment in [1, 2, 3].repeat(3) {
        for granule in 0..100 {
            read(&cache, spot(segment, granule), 400);
        }
    }
    assert_eq!(cache.counts().records, 300);
    cache.drop_segments(&[SegmentId(1), SegmentId(3)]);
    assert_eq!(cache.counts().records, 100);
    assert!((0..100).all(|granule| read(&cache, spot(2, granule), 400)));
    assert!((0..100).all(|granule| cache.get(spot(1, granule), |_| ()).is_none()));
    check(&cache, 1 << 20);
}

#[derive(Debug, Clone)]
enum Step {
    Read { segment: u64, granule: u32, times: usize },
    Drop(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (1..6_u64, 0..200_u32, 1..4_usize)
            .prop_map(|(segment, granule, times)| Step::Read { segment, granule, times }),
        1 => (1..6_u64).prop_map(Step::Drop),
    ]
}

proptest! {
    #[test]
    fn p3_what_it_answers_are_the_bytes_of_the_spot_and_it_keeps_its_bounds(
        budget_bytes in prop_oneof![0..5000_usize, 5000..100_000_usize, 3_000_000..4_000_000_usize],
        steps in proptest::collection::vec(step(), 0..600),
    ) {
        let cache = RecordCache::new(budget_bytes);
        for step in steps {
            match step {
                Step::Read { segment, granule, times } => for _ in 0..times {
                    let len = 100 + (granule as usize * 7919) % 3000;
                    read(&cache, spot(segment, granule), len);
                },
                Step::Drop(segment) => cache.drop_segments(&[SegmentId(segment)]),
            }
            prop_assert!(cache.counts().bytes <= budget_bytes as u64);
        }
        check(&cache, budget_bytes);
    }
}
