//! How a store's content is told: nothing in it may steer the terminal, look like something else,
//! or be mistaken for a line of its own.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::process::ExitCode;

use comfy_table::{Table, presets};
use oncekey::{Error, ErrorKind, StoreTime};
use serde::Serialize;

/// A text from a store with everything escaped that is not plainly visible; a backslash, too.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if is_unseen(c) => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// What [`escape`] was given; `None` if it cannot have made this.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next()? {
            '\\' => plain.push('\\'),
            'n' => plain.push('\n'),
            'r' => plain.push('\r'),
            't' => plain.push('\t'),
            'u' => {
                let (digits, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                plain.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                chars = rest.chars();
            }
            _ => return None,
        }
    }
    Some(plain)
}

/// Controls, marks of direction, invisible characters, and spaces that are not the space.
fn is_unseen(c: char) -> bool {
    let invisible = matches!(u32::from(c),
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164
        | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff);
    c.is_control() || invisible || (c.is_whitespace() && c != ' ')
}

/// A value as JSON of one line, or of several for people; what a terminal would obey or hide is
/// written as `\u` escapes, which are the same to whoever parses it.
pub(crate) fn json(value: &impl Serialize, pretty: bool) -> String {
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let mut safe = String::new();
    for c in text.unwrap_or_default().chars() {
        if c != '\n' && is_unseen(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe.push('\n');
    safe
}

/// A moment as RFC 3339, to the millisecond.
pub(crate) fn rfc3339(time: StoreTime) -> String {
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => "after the year 9999".into(),
    }
}

/// A moment to the second, and how long ago or ahead it is.
pub(crate) fn when(time: StoreTime, now: StoreTime) -> String {
    let (time_ms, now_ms) = (time.as_millis(), now.as_millis());
    let exact = rfc3339(time);
    let exact = exact.split_once('.').map_or(exact.clone(), |(seconds, _)| format!("{seconds}Z"));
    if time_ms <= now_ms {
        format!("{exact} ({} ago)", span(now_ms - time_ms))
    } else {
        format!("{exact} (in {})", span(time_ms - now_ms))
    }
}

/// A length of time in its largest fitting unit.
fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    let unit = UNITS.iter().find(|(unit_ms, _)| ms >= 2 * unit_ms);
    unit.map_or_else(|| format!("{ms} ms"), |(unit_ms, unit)| format!("{} {unit}", ms / unit_ms))
}

/// Bytes in the largest unit that keeps them above one.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64;
    let mut name = "B";
    for unit in UNITS {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        name = unit;
    }
    if name == "B" { format!("{bytes} B") } else { format!("{scaled:.1} {name}") }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A table in the program's style.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(header);
    table
}

/// Two columns, names and values, without borders.
pub(crate) fn facts(facts: impl IntoIterator<Item = (&'static str, String)>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for (name, value) in facts {
        table.add_row([name.to_owned(), value]);
    }
    table
}

/// Prints to standard output.
pub(crate) fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    write!(output, "{text}")?;
    output.flush()
}

/// The end of a command that printed: a reader that has gone away has read all it wanted.
pub(crate) fn conclude(printed: io::Result<()>, code: ExitCode) -> ExitCode {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("oncekey: writing the output: {error}");
            ExitCode::from(2)
        }
        _ => code,
    }
}

/// The end of a command that failed: 1 if the store is damaged, 2 for all else.
pub(crate) fn fail(error: &Error) -> ExitCode {
    eprintln!("oncekey: {}", escape(&error.to_string()));
    ExitCode::from(if error.kind() == ErrorKind::Corrupt { 1 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_escaped_and_read_back() {
        let text = "a\u{1b}[31m\n\t\\ \u{202e}\u{200b}\u{9b}\u{a0}\u{feff}é漢";
        let escaped = escape(text);
        assert_eq!(escaped, "a\\u{1b}[31m\\n\\t\\\\ \\u{202e}\\u{200b}\\u{9b}\\u{a0}\\u{feff}é漢");
        assert_eq!(unescape(&escaped).as_deref(), Some(text));
        for bad in ["\\", "\\x", "\\u{}", "\\u{zz}", "\\u{110000}", "\\u{1"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }

    #[test]
    fn json_is_the_same_to_a_parser() {
        let text = "a\u{1b}\u{9b}\u{202e}\u{e0041}\n\"";
        let json = json(&[text], false);
        assert!(json.trim_end().chars().all(|c| c.is_ascii_graphic()), "{json}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).expect("JSON"), [text]);
    }

    #[test]
    fn sizes_and_spans_in_words() {
        assert_eq!([0, 1023, 1024, 1 << 26].map(size), ["0 B", "1023 B", "1.0 KiB", "64.0 MiB"]);
        let spans = [5, 1999, 2000, 119_000, 120_000, 7_200_000, 172_800_000].map(span);
        assert_eq!(spans, ["5 ms", "1999 ms", "2 s", "119 s", "2 min", "2 h", "2 d"]);
    }
}
