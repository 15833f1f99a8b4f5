//! The repository keeps its own rules: the form of its source files, links that lead somewhere, and
//! numbers in the documents that are those of the code.

#![allow(clippy::disallowed_methods, reason = "this test reads the repository's files")]

use std::fmt::Display;
use std::path::{Path, PathBuf};

const MAX_COLUMNS: usize = 100;
/// A file or function is shorter than this.
const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// Put together here so that this file does not hold them.
const UNFINISHED: [&str; 6] = [
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

const DOCUMENTS: [&str; 19] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/audit.md",
    "docs/backends.md",
    "docs/benchmarks.md",
    "docs/checks.md",
    "docs/dependencies.md",
    "docs/durability.md",
    "docs/format.md",
    "docs/http.md",
    "docs/metrics.md",
    "docs/proxy.md",
    "docs/regions.md",
    "docs/reports.md",
    "docs/security.md",
    "docs/testing.md",
    "docs/verdicts.md",
];

/// What was found wrong, all of it told at once.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, place: impl Display, what: impl Display) {
        self.0.push(format!("{place}: {what}"));
    }

    fn check(&mut self, holds: bool, place: impl Display, what: impl Display) {
        if !holds {
            self.add(place, what);
        }
    }

    fn assert_none(self) {
        assert!(self.0.is_empty(), "\n{}\n", self.0.join("\n"));
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust files below a folder, by their paths in the repository.
fn sources_below(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                sources_below(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let path = path.strip_prefix(root()).expect("below the root");
            found.push(path.to_str().expect("UTF-8").to_owned());
        }
    }
}

fn sources() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "fuzz"] {
        sources_below(&root().join(folder), &mut found);
    }
    found.sort();
    assert!(found.len() > 100, "the sources are not where they were: {found:?}");
    found
}

#[test]
fn sources_have_the_right_form() {
    let mut faults = Faults::default();
    for path in sources() {
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        faults.check(text.starts_with("//! "), &path, "has no header (`//!`)");
        let count = lines.len();
        faults.check(count < FILE_LINES, &path, format!("{count} lines, {FILE_LINES} or more"));
        for (number, line) in (1..).zip(&lines) {
            let place = format!("{path}:{number}");
            let columns = line.chars().count();
            faults.check(columns <= MAX_COLUMNS, &place, format!("{columns} columns"));
            for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
                faults.add(&place, format!("{word} is left"));
            }
        }
        for (number, count) in functions(&lines).filter(|(_, count)| *count >= FUNCTION_LINES) {
            let place = format!("{path}:{number}");
            faults.add(place, format!("a function of {count} lines, {FUNCTION_LINES} or more"));
        }
        for (number, attribute) in allowances(&text) {
            let place = format!("{path}:{number}");
            faults.check(attribute.contains("reason = \""), place, "allowed without a reason");
        }
    }
    faults.assert_none();
}

/// The functions of a file that rustfmt formatted, as their first line's number and their length.
fn functions<'a>(lines: &'a [&str]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let starts = lines.iter().enumerate().filter(|(_, line)| is_function(line));
    starts.map(|(at, line)| (at + 1, function_length(line, &lines[at..])))
}

fn is_function(line: &str) -> bool {
    const BEFORE: [&str; 5] = ["const ", "async ", "unsafe ", "default ", "extern \"C\" "];
    let mut rest = line.trim_start();
    if let Some(public) = rest.strip_prefix("pub") {
        rest = match public.strip_prefix('(').and_then(|inside| inside.split_once(") ")) {
            Some((_, after)) => after,
            None => public.trim_start(),
        };
    }
    while let Some(after) = BEFORE.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = after;
    }
    rest.starts_with("fn ")
}

/// rustfmt puts the brace that ends a body under the first letter of its function.
fn function_length(first: &str, lines: &[&str]) -> usize {
    let indent = &first[..first.len() - first.trim_start().len()];
    let head = lines.iter().position(|line| line.ends_with(['{', ';', '}'])).unwrap_or(0);
    if !lines[head].ends_with('{') {
        return head + 1;
    }
    let ends = |line: &&str| line.strip_prefix(indent) == Some("}");
    lines.iter().position(ends).map_or(lines.len(), |end| end + 1)
}

/// The attributes that silence a lint, with the number of their line.
fn allowances(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let starts = ["[allow(", "[expect("].into_iter().flat_map(|word| text.match_indices(word));
    let attributes = starts.filter(|(at, _)| {
        let line = &text[text[..*at].rfind('\n').map_or(0, |end| end + 1)..*at];
        matches!(line.trim_start(), "#" | "#!")
    });
    attributes.map(|(at, _)| {
        let end = text[at..].find(")]").map_or(text.len(), |end| at + end);
        (text[..at].matches('\n').count() + 1, &text[at..end])
    })
}

#[test]
fn the_counter_of_lines_is_right() {
    let lines = [
        "fn one() {}",
        "impl X {",
        "    pub(crate) const fn two(",
        "        self,",
        "    ) -> T",
        "    where",
        "        T: U,",
        "    {",
        "        if a {",
        "        }",
        "    }",
        "",
        "    async fn three(&self) -> [u8; 4];",
        "}",
        "function(",
        ");",
        "// fn none() {",
    ];
    assert_eq!(functions(&lines).collect::<Vec<_>>(), [(1, 1), (3, 9), (13, 1)]);
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Faults::default();
    for document in DOCUMENTS {
        if !root().join(document).exists() {
            faults.add(document, "does not exist");
            continue;
        }
        let text = read(document);
        let folder = root().join(document).parent().expect("a folder").to_owned();
        for target in links(&text).filter(|target| !target.contains("://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { root().join(document) } else { folder.join(file) };
            faults.check(path.exists(), document, format!("links to {target}"));
            if !heading.is_empty() && path.exists() {
                let there = std::fs::read_to_string(&path).expect("a text");
                let found = headings(&there).any(|h| h == heading);
                faults.check(found, document, format!("no such heading: {target}"));
            }
        }
        for path in text.split('`').skip(1).step_by(2).filter(|code| is_path(code)) {
            faults.check(root().join(path).exists(), document, format!("names {path}"));
        }
    }
    faults.assert_none();
}

/// The targets of `[text](target)` and of `[text]: target`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let below = text.lines().filter(|line| line.starts_with('['));
    inline.chain(below.filter_map(|line| line.split_once("]: ")).map(|(_, target)| target))
}

/// The headings of a document as links name them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

fn is_path(code: &str) -> bool {
    let known = ["src/", "tests/", "benches/", "docs/", ".ci/"];
    known.iter().any(|folder| code.starts_with(folder)) && !code.contains([' ', '*', '\n'])
}

/// The value of a constant, as the source has it.
fn constant(file: &str, name: &str) -> String {
    let text = read(file);
    let definition = format!("const {name}: ");
    let after = text.split_once(&definition).unwrap_or_else(|| panic!("{file}: no {name}")).1;
    let value = after.split_once("= ").and_then(|(_, value)| value.split_once(';'));
    value.unwrap_or_else(|| panic!("{file}: {name} has no value")).0.to_owned()
}

#[test]
fn the_format_has_the_sizes_of_the_code() {
    // A file, a constant in it, and how `docs/format.md` says it, with the value in place of {}.
    const SAID: [(&str, &str, &str); 24] = [
        ("mod", "FORMAT_VERSION", "# The format on disk, version {}\n"),
        ("mod", "FORMAT_VERSION", "| 12 | 4 | format version, {} |"),
        ("mod", "GRANULE", "Starts at a multiple of {}: a header"),
        ("mod", "GRANULE", "each padded with zeros to a multiple of {}."),
        ("mod", "BATCH_HEADER", "a header of {} bytes, then the payload"),
        ("mod", "BATCH_HEADER", "checksum of bytes 8..{}, bound to the batch's place"),
        ("mod", "SEGMENT_HEADER", "\n0            {}  "),
        ("mod", "FOOTER_ENTRY", "Entries, {} bytes each"),
        ("mod", "FOOTER_TRAILER", "Trailer, the last {} bytes of the file"),
        ("mod", "FOOTER_TRAILER", "size-{}      size\n"),
        ("mod", "FOOTER_TRAILER", "checksum of bytes 8..{}, bound to the trailer's place"),
        ("segment_header", "USED", "Segment header (the first {} bytes of the first page"),
        ("segment_header", "USED", "CRC-32 of bytes 12..{} (not bound to a place)"),
        ("manifest", "FIXED", "\n| {} | 32 each | segments by rising id"),
        ("manifest", "ENTRY", "| {} each | segments by rising id"),
        ("manifest", "PAGE", "padded with zeros to a\nmultiple of {}."),
        ("frame", "FRAME_HEADER", "length in bytes without the padding, at least {}, under"),
        ("frame", "FLAG_UNRESOLVED", "2 unresolved); {} = unresolved since"),
        ("frame", "FLAG_CHECKPOINT", "; {} = has a checkpoint"),
        ("frame", "FLAG_ABANDONED", "; {} = has \"abandoned at\""),
        ("batch", "FLAG_RESTATEMENT", "flags: {} = restatement"),
        ("batch", "FLAG_CLEAN", ", {} = last batch of a clean close"),
        ("../audit/trail/header", "TRAIL_HEADER", "Header, {} bytes:"),
        ("../audit/trail/block", "BLOCK_HEADER", "A block has {} bytes of header"),
    ];
    let format = read("docs/format.md");
    let mut faults = Faults::default();
    for (file, name, said) in SAID {
        let value = constant(&format!("src/log/{file}.rs"), name);
        let said = said.replace("{}", &value);
        faults.check(format.contains(&said), "docs/format.md", format!("not {said:?} ({name})"));
    }
    let magics = [
        ("segment_header", "MAGIC"),
        ("batch", "BATCH_MAGIC"),
        ("footer", "MAGIC"),
        ("manifest", "MAGIC"),
        ("../audit/trail/header", "MAGIC"),
        ("../audit/trail/block", "MAGIC"),
    ];
    for (file, name) in magics {
        let value = constant(&format!("src/log/{file}.rs"), name);
        let said = format!("magic `{}`", value.trim_start_matches("*b\"").trim_end_matches('"'));
        faults.check(format.contains(&said), "docs/format.md", format!("not {said}"));
    }
    faults.assert_none();
}

#[test]
fn the_format_has_the_kinds_of_frames() {
    const KINDS: [&str; 7] = [
        "claim",
        "completion",
        "release",
        "unresolved",
        "checkpoint",
        "forget",
        "packed completion",
    ];
    let format = read("docs/format.md");
    let table = format.split_once("| kind | name |").expect("the table of kinds").1;
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), KINDS.len(), "{rows:?}");
    for (row, kind) in rows.iter().zip(KINDS) {
        let number = constant("src/log/frame.rs", &kind.to_uppercase().replace(' ', "_"));
        assert!(row.starts_with(&format!("| {number} | {kind} |")), "{row}");
    }
}

/// In each table of fields, one begins where the one before ends.
#[test]
fn the_format_has_no_gaps() {
    let format = read("docs/format.md");
    let tables = format.split("| offset | size | field |").skip(1);
    let mut ends = Vec::new();
    for table in tables {
        let mut next = 0;
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let Ok(offset) = cells[1].parse::<u32>() else { break };
            assert_eq!(offset, next, "{row}");
            let Ok(size) = cells[2].parse::<u32>() else { break };
            next = offset + size;
        }
        ends.push(next);
    }
    // Segment header, batch header, a frame's fixed part, footer entry, trailer, manifest, a run's
    // first page and its entries, a trail segment's header, a block's fixed part.
    assert_eq!(ends, [128, 64, 8, 16, 128, 128, 80, 12, 80, 16]);
}

#[test]
fn the_readme_has_the_numbers_of_the_code() {
    // How the code says it, where, and how the README does.
    const SAID: [(&str, &str, &str); 9] = [
        ("src/options.rs", "lease: Some(Duration::from_secs(60)),", "the lease (60 seconds unless"),
        ("src/options.rs", "max_response_bytes: 1 << 20,", "A response: 1 MiB unless chosen"),
        ("src/options.rs", "max_in_flight: 65_536,", "Claims in flight: 65,536 unless chosen"),
        ("src/options.rs", "segment_bytes: 64 << 20,", "(64 MiB each unless chosen otherwise)"),
        ("src/options.rs", "on_drop: DropPolicy::Hold,", "| `Hold` (default) |"),
        ("src/types/checkpoint.rs", "MAX_NAME_BYTES: usize = 64;", "a name of at most 64 bytes"),
        ("src/types/checkpoint.rs", "MAX_DATA_BYTES: usize = 1024;", "and 1 KiB of data"),
        ("Cargo.toml", "rust-version = \"1.89\"", "Rust 1.89 or later"),
        ("Cargo.toml", "version = \"0.1.0\"", "Version 0.1."),
    ];
    // Lines are joined: a phrase may be broken anywhere.
    let readme = read("README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut faults = Faults::default();
    for (file, code, said) in SAID {
        faults.check(read(file).contains(code), file, format!("not `{code}`: correct README too"));
        faults.check(readme.contains(said), "README.md", format!("not \"{said}\""));
    }
    faults.assert_none();
}

#[test]
fn the_dependencies_are_those_of_the_manifest() {
    let (manifest, lock) = (read("Cargo.toml"), read("Cargo.lock"));
    let document = read("docs/dependencies.md");
    let mut faults = Faults::default();
    let mut named = Vec::new();
    for row in document.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let names = cells[1].split(", ").zip(cells[2].split(", "));
        for (name, version) in names.filter(|(_, v)| v.starts_with(|c: char| c.is_ascii_digit())) {
            let locked = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            faults.check(lock.contains(&locked), "Cargo.lock", format!("no {name} {version}"));
            named.push(name);
        }
    }
    let sections = manifest.split("dependencies]\n").skip(1);
    let lines = sections.flat_map(|section| section.split("\n[").next().unwrap_or("").lines());
    let wanted: Vec<_> = lines.filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    for name in &wanted {
        faults.check(named.contains(name), "docs/dependencies.md", format!("no {name}"));
    }
    for name in named {
        faults.check(wanted.contains(&name), "docs/dependencies.md", format!("{name} is not used"));
    }
    faults.assert_none();
}
