//! A line plot as SVG text: a few series over one horizontal axis, either axis linear or
//! logarithmic.
//!
//! It draws and knows nothing of what is measured. Colours are readable on white and on black.

#![allow(dead_code, reason = "each bench that draws uses a part of it")]

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;
const COLOURS: [&str; 6] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf"];

/// How an axis is divided.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Log,
}

/// One axis: what it says, how it is divided, and how its numbers are written.
pub struct Axis {
    pub title: String,
    pub scale: Scale,
    pub label: fn(f64) -> String,
}

/// One line.
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

pub struct Plot {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

/// The values from one end of an axis to the other.
struct Range {
    low: f64,
    high: f64,
    scale: Scale,
}

impl Range {
    /// A range that holds all values; a linear one begins at zero, a logarithmic one at a power of
    /// ten.
    fn of(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let high = values.clone().fold(f64::MIN, f64::max);
        let low = values.fold(f64::MAX, f64::min);
        match scale {
            Scale::Linear => Self { low: low.min(0.0), high: ceiling(high), scale },
            Scale::Log => {
                let low = low.max(f64::MIN_POSITIVE).log10().floor();
                let high = high.max(f64::MIN_POSITIVE).log10().ceil().max(low + 1.0);
                Self { low: 10_f64.powf(low), high: 10_f64.powf(high), scale }
            }
        }
    }

    /// Where a value is, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                (0..=5).map(|i| self.low + (self.high - self.low) * f64::from(i) / 5.0).collect()
            }
            Scale::Log => {
                let ends = (self.low.log10().round() as i32, self.high.log10().round() as i32);
                (ends.0..=ends.1).map(|power| 10_f64.powi(power)).collect()
            }
        }
    }
}

/// The next round number.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * unit).find(|step| *step >= value).unwrap_or(10.0 * unit)
}

impl Plot {
    /// The plot as an SVG document.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| series.points.iter());
        let x = Range::of(self.x.scale, points().map(|point| point.0));
        let y = Range::of(self.y.scale, points().map(|point| point.1));
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#777\">\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>",
            escape(&self.title)
        );
        self.draw_axes(&mut out, &x, &y);
        for (number, series) in self.series.iter().enumerate() {
            draw_series(&mut out, number, series, &x, &y);
        }
        out.push_str("</svg>\n");
        out
    }

    fn draw_axes(&self, out: &mut String, x: &Range, y: &Range) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in y.ticks() {
            let at = place_y(y, tick);
            let label = escape(&(self.y.label)(tick));
            let _ = writeln!(
                out,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#888\" stroke-opacity=\".3\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 8.0,
                at + 4.0
            );
        }
        for tick in x.ticks() {
            let at = place_x(x, tick);
            let label = escape(&(self.x.label)(tick));
            let _ = writeln!(
                out,
                "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#888\" stroke-opacity=\".3\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 18.0
            );
        }
        let middle = (LEFT + right) / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 20.0,
            escape(&self.x.title),
            (TOP + bottom) / 2.0,
            escape(&self.y.title)
        );
    }
}

fn draw_series(out: &mut String, number: usize, series: &Series, x: &Range, y: &Range) {
    let colour = COLOURS[number % COLOURS.len()];
    let places = series.points.iter().map(|point| (place_x(x, point.0), place_y(y, point.1)));
    let line: Vec<String> = places.clone().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    // Marks are for points that can be told apart.
    for (x, y) in places.filter(|_| series.points.len() <= 40) {
        let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
    let at = TOP + 14.0 + 16.0 * number as f64;
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{at}\" fill=\"{colour}\">{}</text>",
        LEFT + 10.0,
        escape(&series.name)
    );
}

fn place_x(range: &Range, value: f64) -> f64 {
    LEFT + range.share(value) * (WIDTH - LEFT - RIGHT)
}

fn place_y(range: &Range, value: f64) -> f64 {
    HEIGHT - BOTTOM - range.share(value) * (HEIGHT - TOP - BOTTOM)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A number with a suffix of thousands, millions or billions.
pub fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.2}");
    format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
}
