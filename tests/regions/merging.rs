//! Many trails as one view.

use std::collections::BTreeSet;

use oncekey::audit::Privacy;

use super::support::{
    SECRET, charge, create, essence, ids, merge, oncekey, str, text, two_regions,
};

#[test]
fn keys_that_two_regions_executed_are_found_and_nothing_else() {
    let root = tempfile::tempdir().expect("a directory");
    let (a, b) = two_regions(root.path(), 20);
    let (view, code) = merge(&[str(&a), str(&b)]);
    assert_eq!(code, 1);
    assert_eq!(view["comparable"], true);
    let findings = view["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 3, "{findings:#?}");
    for finding in findings {
        assert_eq!(finding["kind"], "executed_twice");
        assert_eq!(finding["executions"].as_array().map(Vec::len), Some(2));
    }
    for store in view["stores"].as_array().expect("stores") {
        assert_eq!((&store["missing"], &store["state"]), (&"0".into(), &"closed".into()));
        assert_eq!(store["openings"], 1);
    }

    let output = oncekey(&["audit", "merge", "--names", str(&a), str(&b)]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for said in ["Found (3;", "executed in more than one store", "POST /v1/charges", "No event is"]
    {
        assert!(shown.contains(said), "no {said:?} in\n{shown}");
    }
    assert!(output.stderr.is_empty(), "{output:?}");

    // Alone, neither region shows anything. The directory above has both.
    assert_eq!(merge(&[str(&a)]).1, 0);
    let (both, _) = merge(&[str(root.path())]);
    assert_eq!(essence(&both), essence(&view));
}

#[test]
fn what_was_exported_merges_to_the_same_and_counts_once() {
    let root = tempfile::tempdir().expect("a directory");
    let (a, b) = two_regions(root.path(), 30);
    let exported = root.path().join("all.jsonl");
    let (view, _) = merge(&[str(&a), str(&b), "--export", str(&exported)]);
    let lines = std::fs::read_to_string(&exported).expect("lines");
    let all = ids(&lines);
    let once: BTreeSet<_> = all.iter().collect();
    assert_eq!(all.len(), once.len());
    let events = view["stores"].as_array().expect("stores").iter();
    assert_eq!(
        events.map(|store| store["events"].as_u64()).sum::<Option<u64>>(),
        Some(all.len() as u64)
    );
    let times: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter_map(|line| line["at_ms"].as_u64())
        .collect();
    assert!(times.windows(2).filter(|pair| pair[0] > pair[1] + 100).count() == 0);

    // With the stores beside it, shuffled, twice: each event counts once.
    let mut shuffled: Vec<_> = lines.lines().collect();
    shuffled.reverse();
    shuffled.extend(lines.lines().step_by(3));
    let again = root.path().join("shuffled.jsonl");
    std::fs::write(&again, shuffled.join("\n") + "\n").expect("written");
    let (twice, code) = merge(&[str(&a), str(&again), str(&exported), str(&b)]);
    assert_eq!(code, 1);
    assert_eq!(essence(&twice), essence(&view));

    // Each alone, by `audit export`, and by `audit ship`.
    let mut shipped = Vec::new();
    for (name, place) in [("x", &a), ("y", &b)] {
        let path = root.path().join(format!("{name}.jsonl"));
        let output = oncekey(&["audit", "export", str(place), "-o", str(&path)]);
        assert!(output.status.success(), "{output:?}");
        shipped.push(path);
    }
    let (of_exports, code) = merge(&[str(&shipped[0]), str(&shipped[1])]);
    assert_eq!(code, 1);
    assert_eq!(of_exports["findings"], view["findings"]);
}

#[test]
fn a_line_that_is_missing_is_a_gap() {
    let root = tempfile::tempdir().expect("a directory");
    let (a, b) = two_regions(root.path(), 10);
    let exported = root.path().join("all.jsonl");
    let (view, _) = merge(&[str(&a), str(&b), "--export", str(&exported)]);
    let lines = std::fs::read_to_string(&exported).expect("lines");
    let kept: Vec<_> =
        lines.lines().enumerate().filter(|(at, _)| at % 7 != 3).map(|(_, line)| line).collect();
    let missing = lines.lines().count() - kept.len();
    let part = root.path().join("part.jsonl");
    std::fs::write(&part, kept.join("\n") + "\n").expect("written");
    let (of_part, _) = merge(&[str(&part)]);
    let stores = of_part["stores"].as_array().expect("stores");
    let said: usize = stores
        .iter()
        .map(|store| store["missing"].as_str().expect("a number"))
        .map(|missing| missing.parse::<usize>().expect("a number"))
        .sum();
    // The last event of a trail that has no end in the file cannot be missed.
    assert!(said == missing || said + 1 == missing, "{said} of {missing}");
    let shown = text(&oncekey(&["audit", "merge", str(&part)]).stdout);
    assert!(shown.contains("Missing:") && shown.contains("may still come"), "{shown}");
    // They close when they come.
    let (closed, _) = merge(&[str(&part), str(&exported)]);
    assert_eq!(essence(&closed)["findings"], view["findings"]);
    assert!(closed["stores"].as_array().expect("stores").iter().all(|s| s["missing"] == "0"));
}

#[test]
fn stores_without_a_common_secret_are_warned_about() {
    let root = tempfile::tempdir().expect("a directory");
    let places = [("a", SECRET), ("b", [7; 16])];
    for (name, secret) in places {
        charge(&create(&root.path().join(name), secret, Privacy::Reduced), "acct_42", "k1");
    }
    let (view, code) = merge(&[str(root.path())]);
    assert_eq!((code, &view["comparable"]), (0, &false.into()));
    let shown = text(&oncekey(&["audit", "merge", str(root.path())]).stdout);
    assert!(shown.contains("WARNING") && shown.contains("Audit::secret"), "{shown}");
}

#[test]
fn names_cannot_steer_a_terminal() {
    let root = tempfile::tempdir().expect("a directory");
    for name in ["a", "b"] {
        let store = create(&root.path().join(name), SECRET, Privacy::Plain);
        charge(&store, "acct\u{1b}[31m\u{202e}", "k1");
    }
    let shown = oncekey(&["audit", "merge", "--names", str(root.path())]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("acct\\u{1b}[31m\\u{202e}"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn what_cannot_be_read_is_told() {
    let root = tempfile::tempdir().expect("a directory");
    let (a, _) = two_regions(root.path(), 3);
    let exported = root.path().join("all.jsonl");
    assert_eq!(merge(&[str(&a), "--export", str(&exported)]).1, 0);
    let lines = std::fs::read_to_string(&exported).expect("lines");

    let torn = root.path().join("torn.jsonl");
    std::fs::write(&torn, &lines[..lines.len() - 9]).expect("written");
    let output = oncekey(&["audit", "merge", str(&torn)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the last line has no end"), "{output:?}");

    let rubbish = root.path().join("rubbish.jsonl");
    let bad = "{\"id\":\"1.1\"}\nnot json \u{1b}[31m\n\n{\"told\":\"mark\"}\n";
    std::fs::write(&rubbish, format!("{lines}{bad}")).expect("written");
    let output = oncekey(&["audit", "merge", str(&rubbish)]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(!told.contains('\u{1b}'));

    let nothing = root.path().join("nothing.jsonl");
    std::fs::write(&nothing, "rubbish\n").expect("written");
    let output = oncekey(&["audit", "merge", str(&nothing)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "Nothing in these sources tells of a store.\n");

    let empty = root.path().join("empty");
    std::fs::create_dir(&empty).expect("a directory");
    for nothing in [str(&empty), "/nowhere/at/all"] {
        let output = oncekey(&["audit", "merge", nothing]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(nothing));
    }
    let without = root.path().join("without");
    drop(oncekey::Store::create(&without).expect("a store"));
    let output = oncekey(&["audit", "merge", str(&without)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Options::audit"), "{output:?}");
}

#[test]
fn a_store_that_was_opened_again_is_one_store() {
    let root = tempfile::tempdir().expect("a directory");
    let place = root.path().join("a");
    for round in 0..3 {
        charge(&create(&place, SECRET, Privacy::Reduced), "acct_42", &format!("k{round}"));
    }
    let (view, code) = merge(&[str(&place)]);
    assert_eq!(code, 0);
    let store = &view["stores"][0];
    assert_eq!((&store["openings"], &store["missing"]), (&3.into(), &"0".into()));
    assert_eq!((&store["state"], &store["copied"]), (&"closed".into(), &false.into()));
}
