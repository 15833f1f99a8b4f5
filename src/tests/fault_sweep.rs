//! Every disk call fails, once or from then on, in every way that it can (promise 8): an error is
//! told and never a success that is not so, the store is poisoned or unharmed as promised, and the
//! next process finds all that was acknowledged. And disks that are full for a while.

use super::crash_sweep::Syncs;
use super::script::{Ends, Phase, Run};
use super::sweep::{sample, sweep, thousands};
use super::world::{World, body, claim, execute, outcome, request};
use crate::simulation::{CallKind, Fault, SimCall, Survival};
use crate::{ErrorKind, Outcome, Store, StoredResponse};

/// The faults that a call tells of, or that make a read fall short. One that nobody is told of
/// ([`Fault::Misdirected`]) has a sweep of its own.
const FAULTS: [Fault; 6] = [
    Fault::Io,
    Fault::Full,
    Fault::ShortWrite,
    Fault::FailedSync,
    Fault::TooManyFiles,
    Fault::ShortRead,
];

/// The number of the call that fails, and how.
pub(crate) type Case = (u64, Fault);

/// A run without faults, which says what every call is.
pub(crate) struct Survey {
    pub(crate) run: Run,
    pub(crate) calls: Vec<SimCall>,
    syncs: Syncs,
}

impl Survey {
    pub(crate) fn new(syncs: Syncs) -> Self {
        let mut run = syncs.run(true);
        run.world.disk.record_calls();
        run.play();
        run.assert_did_everything();
        let calls = run.world.disk.recorded_calls();
        Self { run, calls, syncs }
    }

    /// Every call with every fault that can happen to it.
    fn cases(&self) -> Vec<Case> {
        let calls = (0..).zip(&self.calls);
        let all = calls.flat_map(|(at, call)| FAULTS.map(|fault| (at, call.kind, fault)));
        all.filter(|(_, kind, fault)| applies(*fault, *kind))
            .map(|(at, _, fault)| (at, fault))
            .collect()
    }

    /// What a call is for: its kind says it, and what was called just before.
    pub(crate) fn purpose(&self, at: u64) -> Purpose {
        use CallKind::{Create, Open, Rename, Sync, SyncDir, Write, ZeroFill};
        let calls = &self.calls[..=at as usize];
        let call = calls.last().expect("a call");
        // The calls on one file that lead to this one.
        let before = |kinds: &[CallKind]| {
            let mut led = calls.iter().rev().take_while(|led| {
                led.kind == SyncDir || call.kind == SyncDir || led.file == call.file
            });
            led.any(|led| kinds.contains(&led.kind) && led.file.starts_with("segment"))
        };
        let is_manifest = call.file.starts_with("MANIFEST");
        let led = calls.iter().rev().find(|led| led.kind != SyncDir);
        if led.is_some_and(|led| led.file.starts_with("late")) && !is_look(call.kind) {
            return Purpose::Memory;
        }
        let (from, until) = (at.saturating_sub(1) as usize, self.calls.len().min(at as usize + 2));
        let is_room = |call: &SimCall| call.kind == ZeroFill && call.file.starts_with("MANIFEST");
        match call.kind {
            _ if self.calls[from..until].iter().any(is_room) => Purpose::Room,
            Open if is_manifest => Purpose::Look,
            Create | Write | Sync | Rename if is_manifest => Purpose::Manifest,
            SyncDir if calls.iter().rev().nth(1).is_some_and(|led| led.kind == Rename) => {
                Purpose::Manifest
            }
            Create | Open | ZeroFill | SyncDir => Purpose::Allocation,
            Write | Sync if before(&[Create, Open, ZeroFill]) => Purpose::Allocation,
            Write | Sync => Purpose::Log,
            _ => Purpose::Look,
        }
    }

    fn title(&self, when: &str) -> String {
        format!(
            "fault sweep, {:?}, {when}: {} calls x {} faults where they can happen",
            self.syncs,
            thousands(self.calls.len()),
            FAULTS.len()
        )
    }

    pub(crate) fn name(&self, (at, fault): Case) -> String {
        let call = &self.calls[at as usize];
        let phase = self.run.phase_at(at);
        format!("{fault:?} at call {at}: {:?} {:?}, {phase:?}", call.kind, call.file)
    }
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It changes nothing.
    Look,
    /// A segment file and its header, before anything is in it.
    Allocation,
    Manifest,
    /// Room that is kept for the next manifest, which may do without.
    Room,
    /// A batch, a footer, or a record that is moved.
    Log,
    /// The memory of expired keys, which no request depends on.
    Memory,
}

/// What is promised of a store at which one call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// It opens or it does not, and if it does it works.
    OpensOrNot,
    /// Every later change is refused, and closing it is.
    Poisoned,
    /// It goes on: claims are taken as before.
    Unharmed,
    /// It closes, or says that it does not; the next one recovers.
    ClosesOrNot,
}

/// The decision, as `docs/durability.md` tells it.
fn promised(phase: Phase, purpose: Purpose, fault: Fault) -> Promise {
    match (phase, purpose, fault) {
        (Phase::Open, ..) => Promise::OpensOrNot,
        (Phase::Close, ..) => Promise::ClosesOrNot,
        // A shortage may pass.
        (_, _, Fault::Full | Fault::TooManyFiles) => Promise::Unharmed,
        (_, Purpose::Look | Purpose::Memory | Purpose::Room, _) => Promise::Unharmed,
        (_, Purpose::Manifest | Purpose::Log, _) => Promise::Poisoned,
        // A batch that needs the next segment takes a spare file instead.
        (Phase::Serve, Purpose::Allocation, _) => Promise::Unharmed,
        (_, Purpose::Allocation, _) => Promise::Poisoned,
    }
}

impl Promise {
    fn is_kept(self, ends: Ends) -> bool {
        let works = !ends.poisoned && !ends.claim_refused;
        match self {
            Self::OpensOrNot => works && !ends.close_refused,
            Self::Unharmed => works && !ends.close_refused && !ends.open_refused,
            Self::ClosesOrNot => works && !ends.open_refused,
            Self::Poisoned => ends.poisoned && !ends.open_refused,
        }
    }
}

/// Whether a call changes nothing.
fn is_look(kind: CallKind) -> bool {
    use CallKind::{Create, Remove, Rename, Sync, SyncDir, Write, ZeroFill};
    ![Create, Remove, Rename, Sync, SyncDir, Write, ZeroFill].contains(&kind)
}

/// Whether a fault can happen to a call.
fn applies(fault: Fault, kind: CallKind) -> bool {
    use CallKind::{Create, Open, Read, Sync, SyncDir, Write, ZeroFill};
    match fault {
        Fault::Full => [Create, Write, ZeroFill].contains(&kind),
        Fault::TooManyFiles => [Create, Open].contains(&kind),
        Fault::ShortWrite => [Write, ZeroFill].contains(&kind),
        Fault::FailedSync => [Sync, SyncDir, ZeroFill].contains(&kind),
        Fault::ShortRead => kind == Read,
        Fault::Misdirected => kind == Write,
        _ => true,
    }
}

/// Plays the script on a disk with a fault, and checks what the next process finds.
fn play(syncs: Syncs, plan: impl Fn(&crate::simulation::SimDisk)) -> Ends {
    let mut run = syncs.run(false);
    plan(&run.world.disk);
    run.play();
    for error in &run.errors {
        let told = [
            ErrorKind::OutcomeUnknown,
            ErrorKind::Poisoned,
            ErrorKind::DiskFull,
            ErrorKind::LimitExceeded,
            ErrorKind::Io,
            ErrorKind::LeaseLost,
        ];
        assert!(told.contains(&error.kind()), "told: {error:?}");
    }
    for survival in [Survival::Everything, Survival::Nothing] {
        let mut next = run.world.fork();
        next.crash(survival, 1);
        let store = next.open();
        let found = run.check(&store, survival);
        let mut last = next.fork();
        last.crash(Survival::Nothing, 2);
        drop(store);
        let store = last.open();
        assert_eq!(run.ledger.find(&store), found);
        run.ledger.check_claims(&store, &found);
    }
    run.ends
}

fn fail_once(syncs: Syncs) {
    let survey = Survey::new(syncs);
    let cases = sample(survey.cases(), 3);
    let title = survey.title("each call once");
    let name = |case: &Case| survey.name(*case);
    sweep(&title, &cases, name, |&(at, fault)| {
        let ends = play(syncs, |disk| disk.fail_at(at, fault));
        let promise = promised(survey.run.phase_at(at), survey.purpose(at), fault);
        assert!(promise.is_kept(ends), "{promise:?} was promised, and found is {ends:?}");
        1
    });
}

#[test]
fn promise_8_a_call_that_fails_once_is_never_told_as_success() {
    fail_once(Syncs::EachBatch);
}

#[test]
fn promise_8_a_call_that_fails_once_is_never_told_as_success_in_intervals() {
    fail_once(Syncs::Interval);
}

fn fail_for_good(syncs: Syncs) {
    let survey = Survey::new(syncs);
    let cases = sample(survey.cases(), 7);
    let title = survey.title("each call and all after it");
    sweep(
        &title,
        &cases,
        |case| survey.name(*case),
        |&(at, fault)| {
            play(syncs, |disk| disk.fail_from(at, fault));
            1
        },
    );
}

#[test]
fn promise_8_a_disk_that_fails_for_good_is_never_told_as_success() {
    fail_for_good(Syncs::EachBatch);
}

#[test]
fn promise_8_a_disk_that_fails_for_good_is_never_told_as_success_in_intervals() {
    fail_for_good(Syncs::Interval);
}

/// Leaves as much room as `bytes`.
fn fill_disk(world: &World, bytes: u64) {
    let names = crate::simulation::Disk::list(&*world.disk).expect("a list");
    let used: usize = names.iter().map(|name| world.disk.file(name).expect("a file").len()).sum();
    world.disk.set_capacity(used as u64 + bytes);
}

/// Claims and completes until the disk is full; returns the keys that were completed.
fn use_up(store: &Store, name: &str) -> Vec<String> {
    let mut done = Vec::new();
    for i in 0..100 {
        store.step_upkeep();
        let name = format!("{name}-{i}");
        let claim = match store.claim(request(&name)).wait() {
            Ok(Outcome::Claimed(claim)) => claim,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                return done;
            }
        };
        complete_somehow(claim);
        done.push(name);
    }
    panic!("the disk has no end");
}

/// Completes with a body, or without one where there is no room for it.
fn complete_somehow(claim: crate::Claim) {
    if let Err(refused) = claim.complete(StoredResponse::new("x".repeat(5000))).wait() {
        assert_eq!(refused.kind(), ErrorKind::DiskFull, "{refused}");
        let (claim, _) = refused.into_claim().expect("the claim comes back");
        claim.complete(StoredResponse::default()).wait().expect("there is room for no body");
    }
}

fn full_disk(room: u64) {
    let mut world = World::new();
    let store = world.open();
    execute(&store, "before", "answer");
    let held: Vec<_> = (0..20).map(|i| claim(&store, &format!("held-{i}"))).collect();
    fill_disk(&world, room);
    let mut done = use_up(&store, "one");
    for (i, claim) in held.into_iter().enumerate() {
        complete_somehow(claim);
        done.push(format!("held-{i}"));
        store.step_upkeep();
    }
    assert!(!store.stats().poisoned, "a full disk is no failed disk");
    assert_eq!(body(&store, "before").as_deref(), Some(&b"answer"[..]));
    // Room comes, and goes again.
    world.disk.set_capacity(u64::MAX);
    store.step_upkeep();
    execute(&store, "between", "answer");
    fill_disk(&world, room);
    done.extend(use_up(&store, "two"));
    drop(store);
    for _ in 0..2 {
        let store = world.open();
        for name in &done {
            assert!(matches!(outcome(&store, name), Outcome::Replay(_)), "{name}");
        }
        let mut next = world.fork();
        next.crash(Survival::Everything, 0);
        drop(store);
        world = next;
    }
    world.disk.set_capacity(u64::MAX);
    let store = world.open();
    execute(&store, "after", "answer");
    assert!(!store.stats().poisoned);
}

#[test]
fn promise_8_a_disk_without_room_for_a_segment_refuses_claims_and_completes_what_is_claimed() {
    full_disk(60_000);
}

#[test]
fn promise_8_a_disk_with_room_for_a_manifest_refuses_claims_and_completes_what_is_claimed() {
    full_disk(16_384);
}
