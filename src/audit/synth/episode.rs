//! What happens to one key: a scenario, cast with people, and played.
//!
//! Shares are of scenarios, not of events; `docs/verdicts.md` says what events come of them.

use super::actor::{Actor, Fault};
use super::dice::Dice;
use super::keys;
use super::people::{Disguise, Kind, Person, label};
use super::world::{Asked, Draft, End, Run, Setting, World};
use super::{Intent, Scenario, Set};
use crate::audit::Context;

const HOUR_MS: f64 = 3_600_000.0;

/// Draws scenarios and plays them.
#[derive(Debug)]
pub(super) struct Director {
    set: Set,
    crowd: Vec<Person>,
    dice: Dice,
    keys: u64,
    salt: u64,
}

impl Director {
    pub(super) fn new(seed: u64, set: Set) -> Self {
        let mut dice = Dice::new(seed ^ set.salt());
        let crowd = Person::crowd(set, &mut dice);
        let salt = dice.bits();
        Self { set, crowd, dice, keys: 0, salt }
    }

    /// How long until the next key is used.
    pub(super) fn pause_ms(&mut self, mean_ms: f64) -> u64 {
        self.dice.exponential(mean_ms) as u64
    }

    /// The events of the next key, which is used from a moment on, in the order of time.
    pub(super) fn next(&mut self, at_ms: u64) -> (Scenario, Vec<Draft>) {
        let scenario = Scenario::draw(&mut self.dice);
        let number = self.keys;
        self.keys += 1;
        let person = self.person(scenario);
        let setting = self.setting(scenario);
        let sender = person.scope.get();
        let shape = keys::shape(sender, at_ms, number, &mut self.dice);
        let key_hash = Dice::new(self.salt ^ number).bits().max(1);
        let operation = label("operation", self.dice.below(12));
        let mut world = World::new(setting, key_hash, person.scope, operation, shape);
        let mut actors = self.cast(scenario, &person, at_ms, setting);
        Actor::play(&mut actors, &mut world, &mut self.dice);
        let mut drafts = world.drafts;
        drafts.sort_by_key(|draft| draft.event.at);
        (scenario, drafts)
    }

    fn person(&mut self, scenario: Scenario) -> Person {
        loop {
            let at = self.dice.below(self.crowd.len() as u64) as usize;
            let Some(person) = self.crowd.get(at) else { continue };
            let fits = match scenario {
                Scenario::DoubleClick | Scenario::Impatient | Scenario::PaidAgain => {
                    matches!(person.kind, Kind::Browser | Kind::Phone)
                }
                Scenario::Workers => matches!(person.kind, Kind::Service | Kind::Worker),
                Scenario::Loop | Scenario::Stuck => person.kind != Kind::Browser,
                _ => true,
            };
            if fits {
                return person.clone();
            }
        }
    }

    fn setting(&mut self, scenario: Scenario) -> Setting {
        let dice = &mut self.dice;
        let ttl_ms = if scenario == Scenario::Late {
            dice.log_uniform(0.1 * HOUR_MS, 24.0 * HOUR_MS)
        } else {
            24.0 * HOUR_MS
        };
        Setting {
            ttl_ms: ttl_ms as u64,
            lease_ms: 60_000,
            waits: dice.chance(0.5),
            refuses_late: dice.chance(0.2),
        }
    }

    fn run(&mut self) -> Run {
        let takes_ms = self.dice.log_normal(120.0, 1.0).clamp(3.0, 20_000.0) as u64;
        Run { takes_ms, end: End::Completed, stuck: false }
    }

    /// The one whose key it is, with its policy.
    fn lead(&mut self, person: &Person, at_ms: u64) -> Actor {
        let run = self.run();
        let mut actor = Actor::new(at_ms, person.next_context(false, &mut self.dice), run);
        actor.policy = person.policy;
        actor.waits = person.policy.waits(&mut self.dice);
        actor.timeout_ms = person.policy.timeout_ms(&mut self.dice);
        for _ in 0..actor.waits.len() {
            actor.contexts.push(person.next_context(false, &mut self.dice));
        }
        actor
    }

    fn cast(
        &mut self,
        scenario: Scenario,
        person: &Person,
        at_ms: u64,
        setting: Setting,
    ) -> Vec<Actor> {
        let mut lead = self.lead(person, at_ms);
        match scenario {
            Scenario::Plain => vec![lead],
            Scenario::Retry => {
                self.make_it_fail(&mut lead, person);
                vec![lead]
            }
            Scenario::Impatient | Scenario::PaidAgain => self.again(scenario, person, lead),
            Scenario::DoubleClick => {
                lead.run.takes_ms = self.dice.log_normal(700.0, 0.8).clamp(20.0, 9000.0) as u64;
                let mut second = Actor::new(0, person.context(false), lead.run);
                second.at_ms = Some(at_ms + self.dice.log_normal(180.0, 0.5) as u64);
                second.waits.clone_from(&lead.waits);
                second.policy = person.policy;
                vec![lead, second]
            }
            Scenario::Workers => self.workers(person, lead),
            Scenario::Reuse => self.reuse(person, lead),
            Scenario::Attack => self.attack(lead),
            Scenario::Loop => {
                self.make_it_loop(&mut lead);
                vec![lead]
            }
            Scenario::Stuck => self.stuck(person, lead),
            Scenario::Late => {
                lead.fault = Fault::AnswerLost;
                let after_ms = self.dice.log_normal(0.5 * HOUR_MS, 1.5);
                lead.waits = vec![setting.ttl_ms + after_ms as u64];
                vec![lead]
            }
        }
    }

    fn make_it_fail(&mut self, lead: &mut Actor, person: &Person) {
        let faults = [
            (42.0, Fault::AnswerLost),
            (3.0, Fault::Deaf),
            (25.0, Fault::Slow),
            (16.0, Fault::Failed),
            (8.0, Fault::Died),
            (5.0, Fault::Unknown),
            (1.0, Fault::Reset),
        ];
        lead.fault = self.dice.pick(&faults).unwrap_or(Fault::AnswerLost);
        match person.kind {
            Kind::Phone if self.dice.chance(0.35) => self.move_to_another_network(lead, person),
            Kind::Worker => self.deploy_meanwhile(lead),
            _ => {}
        }
    }

    /// A phone leaves a network, which is often why the request failed; it may be without one for
    /// a while, or until its owner looks at it again.
    fn move_to_another_network(&mut self, lead: &mut Actor, person: &Person) {
        let moved = person.context(true);
        for context in lead.contexts.iter_mut().skip(1) {
            *context = moved;
        }
        let offline_ms = match self.set {
            Set::Tuning => 180_000.0,
            Set::HeldOut => 240_000.0,
        };
        let hours = self.dice.chance(0.015);
        let offline = self.dice.chance(0.2);
        if let Some(wait_ms) = lead.waits.first_mut() {
            if hours {
                *wait_ms += self.dice.between(HOUR_MS, 8.0 * HOUR_MS) as u64;
            } else if offline {
                *wait_ms += self.dice.log_normal(offline_ms, 1.2) as u64;
            }
        }
    }

    /// A job that is tried again later may be tried by the next version of the program.
    fn deploy_meanwhile(&mut self, lead: &mut Actor) {
        let mut agent = None;
        for (context, wait_ms) in lead.contexts.iter_mut().skip(1).zip(&lead.waits) {
            if *wait_ms > 600_000 && self.dice.chance(0.03) {
                agent = Some(label("next-version", self.dice.below(1000)));
            }
            context.agent = agent.filter(|_| context.agent.is_some()).or(context.agent);
        }
    }

    /// A person who sees nothing happen and presses again while it is executed, or who pays again
    /// minutes later with the same cart.
    fn again(&mut self, scenario: Scenario, person: &Person, mut lead: Actor) -> Vec<Actor> {
        let mut again = Actor::new(0, person.next_context(false, &mut self.dice), lead.run);
        again.first = Intent::Retry;
        let start_ms = lead.at_ms.unwrap_or(0);
        let after_ms = if scenario == Scenario::Impatient {
            lead.run.takes_ms = self.dice.log_normal(6000.0, 0.6) as u64;
            lead.timeout_ms = 60_000;
            self.dice.log_normal(3000.0, 0.6)
        } else {
            self.dice.log_normal(90_000.0, 1.0)
        };
        again.at_ms = Some(start_ms + after_ms as u64);
        again.timeout_ms = 60_000;
        vec![lead, again]
    }

    /// Two workers or more that were given the same job, or a client that hedges.
    fn workers(&mut self, person: &Person, mut lead: Actor) -> Vec<Actor> {
        let start_ms = lead.at_ms.unwrap_or(0);
        lead.run.takes_ms = self.dice.log_normal(400.0, 0.9).clamp(20.0, 9000.0) as u64;
        let hedges = self.set == Set::HeldOut && self.dice.chance(0.2);
        let count = self.dice.pick(&[(6.0, 1), (2.0, 2), (1.0, 3), (0.5, 5)]).unwrap_or(1);
        let mut actors = Vec::with_capacity(count + 1);
        for nth in 1..=count as u64 {
            let after_ms =
                if hedges { 300 * nth } else { self.dice.exponential(60.0 * nth as f64) as u64 };
            let context = person.next_context(false, &mut self.dice);
            let mut worker = Actor::new(start_ms + after_ms, context, lead.run);
            worker.waits = person.policy.waits(&mut self.dice);
            worker.timeout_ms = lead.timeout_ms;
            worker.policy = person.policy;
            actors.push(worker);
        }
        actors.push(lead);
        actors
    }

    /// A client whose keys are not its requests': a body that changes at each try, one key for
    /// two operations, one for all requests, or one that another client makes as well.
    fn reuse(&mut self, person: &Person, mut lead: Actor) -> Vec<Actor> {
        let start_ms = lead.at_ms.unwrap_or(0);
        let which = self.dice.below(4);
        // The same content by chance: a store cannot know that two were meant.
        let unlucky = self.dice.chance(0.004);
        let other = |nth: u64, operation: bool| Asked {
            operation: u64::from(operation && !unlucky),
            payload: if unlucky { 0 } else { nth },
        };
        if which == 0 {
            lead.fault = if self.dice.chance(0.5) { Fault::AnswerLost } else { Fault::Slow };
            lead.later = Intent::Reuse;
            lead.asks = (0..=lead.waits.len() as u64).map(|nth| other(nth, false)).collect();
            return vec![lead];
        }
        let count = if which == 2 { 1 + self.dice.below(4) } else { 1 };
        let mut actors = vec![lead];
        for nth in 1..=count {
            let after_ms = match which {
                1 => self.dice.log_uniform(10.0, 5000.0),
                2 => self.dice.log_uniform(1000.0, 20.0 * HOUR_MS),
                _ => self.dice.log_uniform(1000.0, 23.0 * HOUR_MS),
            };
            let run = self.run();
            let context = if which == 3 {
                self.person(Scenario::Plain).next_context(false, &mut self.dice)
            } else {
                person.next_context(false, &mut self.dice)
            };
            let mut actor = Actor::new(start_ms + after_ms as u64, context, run);
            actor.asks = vec![other(nth, which == 1)];
            actor.first = Intent::Reuse;
            actor.later = Intent::Reuse;
            actors.push(actor);
        }
        actors
    }

    /// Somebody has a copy of the request, and sends it again after minutes or days.
    fn attack(&mut self, lead: Actor) -> Vec<Actor> {
        let start_ms = lead.at_ms.unwrap_or(0);
        let victim = lead.contexts.first().copied().unwrap_or_default();
        let (soonest, latest) = match self.set {
            Set::Tuning => (120_000.0, 72.0 * HOUR_MS),
            Set::HeldOut => (90_000.0, 96.0 * HOUR_MS),
        };
        let after_ms = self.dice.log_uniform(soonest, latest) as u64;
        let disguise = Disguise::draw(&mut self.dice);
        let context: Context = disguise.of(&victim, &mut self.dice);
        let mut attacker = Actor::new(start_ms + after_ms, context, self.run());
        attacker.first = Intent::Attack;
        attacker.later = Intent::Attack;
        attacker.stubborn = true;
        for _ in 0..self.dice.pick(&[(6.0, 0), (2.0, 1), (1.0, 3)]).unwrap_or(0) {
            attacker.waits.push(self.dice.log_uniform(500.0, 600_000.0) as u64);
        }
        if self.dice.chance(0.01) {
            attacker.asks = vec![Asked { operation: 0, payload: 1 }];
        }
        vec![lead, attacker]
    }

    /// A program that does not stop: in a tight loop, or every minute.
    fn make_it_loop(&mut self, lead: &mut Actor) {
        lead.stubborn = true;
        lead.first = Intent::Loop;
        lead.later = Intent::Loop;
        let slow = self.dice.chance(0.15);
        let times =
            if slow { self.dice.between(60.0, 300.0) } else { self.dice.between(80.0, 600.0) };
        let every_ms = if slow {
            self.dice.log_uniform(5000.0, 60_000.0)
        } else {
            self.dice.between(0.0, 300.0)
        };
        lead.waits = vec![every_ms as u64; times as usize];
        lead.timeout_ms = 5000;
    }

    /// A holder that pauses for longer than its lease, and is overtaken.
    fn stuck(&mut self, person: &Person, mut lead: Actor) -> Vec<Actor> {
        let start_ms = lead.at_ms.unwrap_or(0);
        lead.run.takes_ms = self.dice.between(64_000.0, 240_000.0) as u64;
        lead.run.stuck = true;
        lead.waits.clear();
        let after_ms = self.dice.between(60_500.0, 63_500.0) as u64;
        let context = person.next_context(false, &mut self.dice);
        let mut next = Actor::new(start_ms + after_ms, context, self.run());
        next.first = Intent::Retry;
        vec![lead, next]
    }
}
