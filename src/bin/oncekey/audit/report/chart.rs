//! Charts as inline SVG, in colours that the page's style defines for light and dark.
//!
//! Each has a title and a description that a screen reader reads, and stands beside a table with
//! the same numbers.

use std::fmt::Write as _;

use super::html::text;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// A line, or stacked areas, over a common axis.
#[derive(Debug)]
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    /// Which of the style's colours, from 1.
    pub(super) colour: usize,
    pub(super) values: Vec<f64>,
}

/// What a chart is called, and what it says in words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caption<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) words: &'a str,
}

fn begin(caption: Caption<'_>, height: f64) -> String {
    let Caption { id, title, words } = caption;
    format!(
        "<svg id=\"{id}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{}</title>\
         <desc id=\"{id}-d\">{}</desc>",
        text(title),
        text(words)
    )
}

fn x_of(at: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * at
}

/// Two grid lines and the axis, with what they stand for.
fn grid(svg: &mut String, height: f64, most: f64, label: impl Fn(f64) -> String) {
    let inner = height - TOP - BOTTOM;
    for part in [0.0, 0.5, 1.0] {
        let y = TOP + inner * (1.0 - part);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            text(&label(most * part)),
        );
    }
}

fn ticks(svg: &mut String, height: f64, ticks: &[(f64, String)]) {
    for (at, label) in ticks {
        let anchor = match *at {
            at if at < 0.05 => "start",
            at if at > 0.95 => "end",
            _ => "middle",
        };
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            x_of(*at),
            height - 8.0,
            text(label),
        );
    }
}

/// Areas on top of each other: counts over time.
pub(super) fn stacked(
    caption: Caption<'_>,
    series: &[Series<'_>],
    labels: &[(f64, String)],
    height: f64,
) -> String {
    let count = series.iter().map(|series| series.values.len()).max().unwrap_or(0);
    let mut below = vec![0.0; count];
    let mut tops = Vec::new();
    for series in series {
        let top: Vec<f64> =
            below.iter().zip(&series.values).map(|(below, value)| below + value).collect();
        tops.push((series.colour, below, top.clone()));
        below = top;
    }
    let most = below.iter().copied().fold(0.0, f64::max).max(1.0);
    let mut svg = begin(caption, height);
    grid(&mut svg, height, most, short);
    let inner = height - TOP - BOTTOM;
    let y_of = |value: f64| TOP + inner * (1.0 - value / most);
    // One bucket is one bar, without gaps between them.
    let width = (WIDTH - LEFT - RIGHT) / count.max(1) as f64;
    for (colour, low, high) in tops {
        let mut path = String::new();
        for (at, (low, high)) in low.iter().zip(&high).enumerate().filter(|(_, (l, h))| h > l) {
            let x = LEFT + width * at as f64;
            let (y, end) = (y_of(*high), y_of(*low));
            let _ = write!(path, "M{x:.1} {y:.1}h{width:.1}V{end:.1}h-{width:.1}z");
        }
        let _ = write!(svg, "<path class=\"c{colour}\" d=\"{path}\"/>");
    }
    ticks(&mut svg, height, labels);
    svg.push_str("</svg>");
    svg
}

/// A rising curve over a logarithmic axis of times, with marks.
pub(super) fn curve(
    caption: Caption<'_>,
    points: &[(u64, f64)],
    marks: &[(u64, String)],
    labels: &dyn Fn(u64) -> String,
    height: f64,
) -> String {
    let ends = |ms: u64| (ms.max(1) as f64).ln();
    let times = points.iter().map(|(ms, _)| *ms).chain(marks.iter().map(|(ms, _)| *ms));
    let (low, high) = times.fold((f64::MAX, 1.0), |(low, high): (f64, f64), ms| {
        (low.min(ends(ms)), high.max(ends(ms)))
    });
    let low = low.max(1000_f64.ln()).min(high - 0.1);
    let place = |ms: u64| ((ends(ms) - low) / (high - low)).clamp(0.0, 1.0);
    let mut svg = begin(caption, height);
    grid(&mut svg, height, 1.0, |part| format!("{:.0}%", part * 100.0));
    let inner = height - TOP - BOTTOM;
    let mut path = String::new();
    for (at, (ms, part)) in points.iter().enumerate() {
        let command = if at == 0 { 'M' } else { 'L' };
        let y = TOP + inner * (1.0 - part.clamp(0.0, 1.0));
        let _ = write!(path, "{command}{:.1} {y:.1}", x_of(place(*ms)));
    }
    let _ = write!(svg, "<path class=\"line s1\" d=\"{path}\"/>");
    for (number, (ms, label)) in marks.iter().enumerate() {
        let x = x_of(place(*ms));
        let y = TOP + 12.0 + 15.0 * number as f64;
        let (anchor, to) = if x > WIDTH * 0.6 { ("end", x - 4.0) } else { ("start", x + 4.0) };
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <text class=\"note\" x=\"{to:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            TOP + inner,
            text(label),
        );
    }
    let decades = [1000, 60_000, 3_600_000, 86_400_000, 604_800_000, 2_592_000_000];
    let shown: Vec<(f64, String)> = decades
        .into_iter()
        .filter(|ms| ends(*ms) >= low - 1e-9 && ends(*ms) <= high)
        .map(|ms| (place(ms), labels(ms)))
        .collect();
    ticks(&mut svg, height, &shown);
    svg.push_str("</svg>");
    svg
}

/// A bar with its name and its number.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    /// Which of the style's colours, from 1.
    pub(super) colour: usize,
    pub(super) value: f64,
    pub(super) label: String,
}

/// Bars from the left, one a line, each with its number.
pub(super) fn bars(caption: Caption<'_>, bars: &[Bar]) -> String {
    const LINE: f64 = 26.0;
    const NAMES: f64 = 170.0;
    const NUMBERS: f64 = 150.0;
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max).max(1e-300);
    let mut svg = begin(caption, LINE * bars.len() as f64 + 6.0);
    for (number, Bar { name, colour, value, label }) in bars.iter().enumerate() {
        let y = LINE * number as f64 + 4.0;
        let width = ((WIDTH - NAMES - NUMBERS) * value / most).max(1.0);
        let _ = write!(
            svg,
            "<text class=\"note\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"c{colour}\" x=\"{NAMES}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"18\" \
             rx=\"2\"/><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            NAMES - 8.0,
            y + 13.5,
            text(name),
            NAMES + width + 6.0,
            y + 13.5,
            text(label),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// A rate over time, small enough for a cell of a table.
pub(super) fn spark(what: &str, parts: &[f64]) -> String {
    const WIDE: f64 = 120.0;
    const HIGH: f64 = 22.0;
    let most = parts.iter().copied().fold(0.0, f64::max).max(1e-12);
    let step = WIDE / parts.len().max(1) as f64;
    let mut path = String::new();
    for (at, part) in parts.iter().enumerate().filter(|(_, part)| **part > 0.0) {
        let high = (HIGH * part / most).max(1.0);
        let (x, y) = (step * at as f64, HIGH - high);
        let _ = write!(path, "M{x:.1} {y:.1}h{step:.1}v{high:.1}h-{step:.1}z");
    }
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {WIDE} {HIGH}\" role=\"img\" aria-label=\"{}\">\
         <path class=\"c4\" d=\"{path}\"/></svg>",
        text(what)
    )
}

/// A number in few digits.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value if value >= 10.0 || value == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}
