//! Any sequence of requests, handlers and faults, judged by a model of a few lines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use oncekey::http::{IdempotencyLayer, Profile};
use proptest::prelude::*;

use crate::backends::{Faulty, Script, Strikes};
use crate::world::{Answer, Sends, World, account, around, post, reply};

/// What a handler does when it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Answers(u16),
    Panics,
}

/// One request, and what goes wrong with it.
#[derive(Debug, Clone)]
struct Step {
    key: u8,
    body: u8,
    does: Does,
    fault: Option<(&'static str, Strikes)>,
}

fn step() -> impl Strategy<Value = Step> {
    use oncekey::ErrorKind::{DiskFull, OutcomeUnknown, Poisoned};
    let does = prop_oneof![
        4 => prop::sample::select(vec![200, 201, 303, 404, 500]).prop_map(Does::Answers),
        1 => Just(Does::Answers(429)),
        1 => Just(Does::Panics),
    ];
    let fault = prop::sample::select(vec![
        ("claim", Strikes::Before(Poisoned)),
        ("claim", Strikes::After(OutcomeUnknown)),
        ("complete", Strikes::After(OutcomeUnknown)),
        ("complete", Strikes::Before(DiskFull)),
    ]);
    (0..3_u8, 0..2_u8, does, prop::option::weighted(0.2, fault))
        .prop_map(|(key, body, does, fault)| Step { key, body, does, fault })
}

/// What is known of a key.
#[derive(Debug, Clone)]
enum Known {
    /// The body that it came with, and the answer that retries get.
    Kept(u8, u16, String),
    /// The body.
    NotKept(u8),
    Unresolved(u8),
}

impl Known {
    fn body(&self) -> u8 {
        match self {
            Self::Kept(body, ..) | Self::NotKept(body) | Self::Unresolved(body) => *body,
        }
    }
}

#[derive(Default)]
struct Model {
    keys: HashMap<u8, Known>,
    runs: usize,
}

/// The status, whether it is a replay, and the body (of a problem: its name).
type Said = (u16, bool, String);

impl Model {
    fn answer(&mut self, step: &Step, profile: Profile) -> Said {
        let fails = |verb, strikes| step.fault == Some((verb, strikes));
        let problem = |status, name: &str| (status, false, name.to_owned());
        if fails("claim", Strikes::Before(oncekey::ErrorKind::Poisoned)) {
            return problem(503, "store-unavailable");
        }
        match self.keys.get(&step.key) {
            Some(known) if known.body() != step.body => {
                let status = if profile == Profile::Stripe { 400 } else { 422 };
                return problem(status, "key-reused");
            }
            Some(Known::Kept(_, status, body)) => return (*status, true, body.clone()),
            Some(Known::NotKept(_)) => return (410, true, "response-not-kept".to_owned()),
            Some(Known::Unresolved(_)) => return problem(409, "unresolved"),
            None => {}
        }
        self.runs += 1;
        let (status, said) = match step.does {
            Does::Answers(429) => return (429, false, format!("run {}", self.runs)),
            Does::Answers(status) => (status, format!("run {}", self.runs)),
            Does::Panics if profile == Profile::Ietf => {
                self.keys.insert(step.key, Known::Unresolved(step.body));
                return problem(500, "handler-failed");
            }
            Does::Panics => (500, "handler-failed".to_owned()),
        };
        let known = if fails("complete", Strikes::Before(oncekey::ErrorKind::DiskFull)) {
            Known::NotKept(step.body)
        } else {
            Known::Kept(step.body, status, said.clone())
        };
        self.keys.insert(step.key, known);
        (status, false, said)
    }
}

fn said(answer: &Answer) -> Said {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let name = serde_json::from_slice::<serde_json::Value>(&answer.body).ok().map(|json| {
        let code = json["code"].as_str().or(json["error"]["code"].as_str());
        code.unwrap_or_default().replace('_', "-")
    });
    (answer.status, answer.is_replay(), name.unwrap_or(text))
}

async fn play(steps: &[Step], profile: Profile) -> Result<(), TestCaseError> {
    let world = World::new();
    let (script, next) = (Script::default(), Arc::new(Mutex::new((0, Does::Panics))));
    let backend = Faulty::new(&world.store, &script);
    let layer = IdempotencyLayer::new(backend, account).profile(profile);
    let handler = next.clone();
    let service = around(&layer, move |_| {
        let mut next = handler.lock().expect("a lock");
        next.0 += 1;
        let (run, does) = *next;
        async move {
            match does {
                Does::Answers(status) => reply(status, format!("run {run}")),
                Does::Panics => panic!("on purpose"),
            }
        }
    });
    let mut model = Model::default();
    for (at, step) in steps.iter().enumerate() {
        next.lock().expect("a lock").1 = step.does;
        *script.lock().expect("a lock") = step.fault.into_iter().collect();
        let answer = service.send(post(&step.key.to_string(), &step.body.to_string())).await;
        let expected = model.answer(step, profile);
        prop_assert_eq!(said(&answer), expected, "step {}: {:?}", at, step);
        prop_assert_eq!(next.lock().expect("a lock").0, model.runs, "step {}", at);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Promises 1, 3 and 4 through the layer: each key runs once unless it was given back, its
    /// retries get the first answer, and nobody gets another's.
    #[test]
    fn every_answer_is_the_models(
        steps in prop::collection::vec(step(), 1..40),
        profile in prop::sample::select(vec![Profile::Ietf, Profile::Stripe]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(play(&steps, profile))?;
    }
}
