//! The command line of `oncekey size`: rates, durations and sizes as people write them.

use bytesize::ByteSize;
use jiff::{Span, SpanRelativeTo};

use super::estimate::{Class, Load};

const EXAMPLES: &str = "\
Examples:
  oncekey size --rate 500/s --ttl 24h --response 2KiB
  oncekey size --rate 3M/day --ttl 24h --ttl 7d:10% --ttl 60s:1% --response 600B
  oncekey size --rate 2000/s --ttl 24h --response 256B --frames-per-batch 20 --json

The formula and what it was checked against: docs/operations.md.";

/// How much disk and memory a store will take.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// New keys, as 500/s, 30/min, 20k/h or 3M/day.
    #[arg(long, value_name = "N/UNIT", value_parser = rate)]
    rate: f64,

    /// How long a record is kept; with a share of the requests (7d:10%) for a TTL of its own. The
    /// one without a share has the rest.
    #[arg(long, value_name = "TIME[:SHARE]", required = true, value_parser = ttl)]
    ttl: Vec<Ttl>,

    /// A response, as 2KiB; as compressed, if it will be.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    response: f64,

    /// A scope.
    #[arg(long, value_name = "SIZE", default_value = "16B", value_parser = size)]
    scope: f64,

    /// A key.
    #[arg(long, value_name = "SIZE", default_value = "36B", value_parser = size)]
    key: f64,

    /// How many claims and completions share a sync: 1 for a quiet service; `Stats` tells it of one
    /// that runs (2 × requests / batches).
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    frames_per_batch: f64,

    /// For how long after its expiry a key is remembered; 0s for not at all.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time)]
    remember_late: f64,

    /// The size of a segment file.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = segment)]
    segment: f64,

    /// Print the result as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// A TTL, and the share of requests that have it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ttl {
    ttl_s: f64,
    share: Option<f64>,
}

impl Args {
    /// The load that is asked about, or what is wrong with it.
    pub(super) fn load(&self) -> Result<Load, String> {
        let named: f64 = self.ttl.iter().filter_map(|ttl| ttl.share).sum();
        let rest = self.ttl.iter().filter(|ttl| ttl.share.is_none()).count();
        let whole = 1.0 - named;
        match rest {
            0 if whole.abs() > 1e-6 => {
                return Err("the shares of --ttl do not add up to 100%".into());
            }
            0 | 1 if whole > -1e-6 => {}
            1 => return Err("the shares of --ttl are over 100%".into()),
            _ => return Err("only one --ttl may be without a share".into()),
        }
        let class = |ttl: &Ttl| Class { ttl_s: ttl.ttl_s, share: ttl.share.unwrap_or(whole) };
        Ok(Load {
            requests_per_s: self.rate,
            classes: self.ttl.iter().map(class).collect(),
            scope_bytes: self.scope,
            key_bytes: self.key,
            response_bytes: self.response,
            frames_per_batch: self.frames_per_batch,
            segment_bytes: self.segment,
            remember_s: self.remember_late,
        })
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no rate: write 500/s, 30/min, 20k/h or 3M/day");
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let seconds = match unit.trim() {
        "s" | "sec" | "second" => 1.0,
        "min" | "minute" => 60.0,
        "h" | "hour" => 3600.0,
        "d" | "day" => 86_400.0,
        _ => return Err(wrong()),
    };
    let count = count.trim();
    let scales = [("k", 1e3), ("M", 1e6), ("G", 1e9)];
    let scaled = scales.iter().find_map(|(name, by)| Some((count.strip_suffix(name)?, *by)));
    let (digits, by) = scaled.unwrap_or((count, 1.0));
    let count: f64 = digits.trim().parse().map_err(|_| wrong())?;
    if count > 0.0 && count.is_finite() { Ok(count * by / seconds) } else { Err(wrong()) }
}

fn ttl(text: &str) -> Result<Ttl, String> {
    let (time, share) = match text.split_once(':') {
        None => (text, None),
        Some((time, share)) => {
            let digits = share.trim().strip_suffix('%').unwrap_or_default();
            let percent: f64 = digits.parse().unwrap_or(f64::NAN);
            if !(percent > 0.0 && percent <= 100.0) {
                return Err(format!("{share:?} is no share: write 10%"));
            }
            (time, Some(percent / 100.0))
        }
    };
    let ttl_s = self::time(time)?;
    if ttl_s > 0.0 { Ok(Ttl { ttl_s, share }) } else { Err("a TTL is longer than nothing".into()) }
}

fn time(text: &str) -> Result<f64, String> {
    let span: Span = text.trim().parse().map_err(|error: jiff::Error| error.to_string())?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let seconds = span.map_err(|error| error.to_string())?.as_secs_f64();
    if seconds >= 0.0 { Ok(seconds) } else { Err("a time is not less than nothing".into()) }
}

fn size(text: &str) -> Result<f64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64() as f64)
}

fn segment(text: &str) -> Result<f64, String> {
    let bytes = size(text)?;
    let is_allowed = (16..=30).any(|power| bytes == f64::from(1_u32 << power));
    if is_allowed { Ok(bytes) } else { Err("a power of two from 64KiB to 1GiB".into()) }
}

fn at_least_one(text: &str) -> Result<f64, String> {
    let count: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if count >= 1.0 && count.is_finite() { Ok(count) } else { Err("at least 1".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_times_and_sizes_are_read_as_people_write_them() {
        let rates = ["500/s", "30 / min", "20k/h", "3M/day"].map(rate);
        let expected = [500.0, 0.5, 20_000.0 / 3600.0, 3e6 / 86_400.0];
        assert_eq!(rates, expected.map(Ok));
        for bad in ["", "5", "5/y", "-1/s", "0/s", "inf/s", "k/s", "1e400/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        let ttl_of = |text| ttl(text).map(|ttl| (ttl.ttl_s, ttl.share));
        assert_eq!(ttl_of("24h"), Ok((86_400.0, None)));
        assert_eq!(ttl_of("7d:10%"), Ok((604_800.0, Some(0.1))));
        for bad in ["", "7", "7d:", "7d:10", "7d:0%", "7d:101%", "1mo", "-1h", "0s"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
        assert_eq!(["2KiB", "256B", "1 MB"].map(size), [2048.0, 256.0, 1e6].map(Ok));
        assert!(size("much").is_err());
        assert!(segment("65MiB").is_err());
    }
}
