//! The table of sentences in `docs/http.md`: every case that it names is there, and every case of
//! the draft and of Stripe's documentation is in it.

const DOCUMENT: &str = include_str!("../../docs/http.md");
/// The modules whose tests the table may name, and whether all of them are to be in it.
const SUITE: [(&str, &str, bool); 8] = [
    ("bodies", include_str!("bodies.rs"), false),
    ("draft", include_str!("draft.rs"), true),
    ("gone", include_str!("gone.rs"), false),
    ("hooks", include_str!("hooks.rs"), false),
    ("hostile", include_str!("hostile.rs"), false),
    ("model", include_str!("model.rs"), false),
    ("results", include_str!("results.rs"), false),
    ("stripe", include_str!("stripe.rs"), true),
];

/// The tests of a module, by their names.
fn tests(source: &str) -> impl Iterator<Item = &str> {
    let functions = source.split("#[tokio::test]\nasync fn ").skip(1);
    functions.map(|rest| rest.split('(').next().expect("a name"))
}

#[test]
fn the_table_names_every_case_and_no_other() {
    let words: Vec<&str> = DOCUMENT.split('`').collect();
    for (module, source, whole) in SUITE {
        let named = words.iter().filter_map(|word| word.strip_prefix(module)?.strip_prefix("::"));
        let named: Vec<&str> = named.collect();
        for name in &named {
            assert!(tests(source).any(|test| test == *name), "{module}::{name} is no test");
        }
        for test in tests(source).filter(|_| whole) {
            assert!(named.contains(&test), "{module}::{test} is not in docs/http.md");
        }
    }
}
