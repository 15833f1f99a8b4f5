//! A story for people.

use oncekey::audit::story::{Attempt, Finding, Step, Story};
use oncekey::{StoreTime, audit};

use super::{Told, sentence};
use crate::audit::words::{Paint, Tone, moment, tone_of_verdict, verdict};
use crate::words::escape;

/// How many claims are listed.
const LISTED: usize = 20;

/// The story, its claims, and what it comes to.
pub(super) fn story(told: &Told, paint: Paint) -> String {
    let Told { scope, key, story, .. } = told;
    let mut lines = vec![
        format!("key {} in scope {}", escape(key.as_str()), escape(scope.as_str())),
        String::new(),
    ];
    let middle = story.steps.len() / 2;
    for (at, step) in story.steps.iter().enumerate() {
        if at == middle && story.steps_left_out > 0 {
            let left_out = format!("({} more are left out here)", story.steps_left_out);
            lines.push(paint.paint(Tone::Aside, &left_out));
        }
        push_step(&mut lines, step, told, paint);
    }
    if story.steps.is_empty() {
        lines.push("the trail has no event of this key".into());
    }
    push_attempts(&mut lines, story);
    lines.push(String::new());
    let conclusion = story.conclusion;
    let tone = match conclusion.finding {
        Finding::Once | Finding::NotExecuted => Tone::Good,
        Finding::MaybeTwice | Finding::Twice => Tone::Bad,
        _ => Tone::Odd,
    };
    lines.push(paint.paint(tone, &format!("Conclusion: {conclusion}.")));
    lines.extend(reach(story));
    lines.join("\n") + "\n"
}

fn push_step(lines: &mut Vec<String>, step: &Step, told: &Told, paint: Paint) {
    match step {
        Step::Event(event, judgement) => {
            let at = paint.paint(Tone::Aside, &moment(event.at));
            let what = sentence::of_event(event, &told.trail);
            lines.push(format!("{at}  {:<8}  {what}", event.id.to_string()));
            if let Some(judgement) = judgement {
                let said = verdict(judgement);
                let said = paint.paint(tone_of_verdict(judgement.verdict), &said);
                lines.push(format!("{:23}  {:8}  -> {said}", "", ""));
            }
        }
        Step::Blind(spot) => {
            let weight = match spot.matters {
                true => "which could hide an execution",
                false => "which cannot hide an execution: the claim before is the one after",
            };
            let tone = if spot.matters { Tone::Bad } else { Tone::Aside };
            lines.push(paint.paint(tone, &format!("-- {spot}, {weight} --")));
        }
        Step::Present(present) => {
            lines.push(format!("{:23}  {:8}  {}", "", "now", sentence::of_present(present)));
        }
        _ => {}
    }
}

fn push_attempts(lines: &mut Vec<String>, story: &Story) {
    if story.attempts.is_empty() && !story.has_hidden {
        return;
    }
    lines.extend([String::new(), "Claims:".into()]);
    if story.has_hidden {
        let said_by =
            story.hidden_said_by.map_or_else(String::new, |id| format!(" ({id} says so)"));
        lines.push(format!("- one that is not seen{said_by}: nothing says how it ended"));
    }
    let skip = story.attempts.len().saturating_sub(LISTED);
    if skip > 0 {
        lines.push(format!("- {skip} earlier ones (--json has more)"));
    }
    lines.extend(story.attempts.iter().skip(skip).map(|attempt: &Attempt| format!("- {attempt}")));
    lines.extend(
        story.stranger.map(|id| format!("- one that is not seen: its holder came back ({id})")),
    );
}

/// From when to when it holds, if not always.
fn reach(story: &Story) -> Option<String> {
    let reach = story.conclusion.reach;
    let at = |time: StoreTime| {
        audit::rfc3339(time).unwrap_or_else(|| format!("{} ms after 1970", time.as_millis()))
    };
    match (reach.since, reach.until) {
        (None, None) => None,
        (Some(since), None) => {
            Some(format!("That holds since {}; what was before is not known.", at(since)))
        }
        (None, Some(until)) => {
            Some(format!("That holds until {}; what came later is not known.", at(until)))
        }
        (Some(since), Some(until)) => Some(format!(
            "That holds from {} to {}; what was before and after is not known.",
            at(since),
            at(until)
        )),
    }
}
