//! From when to when: `--since`, `--until` and `--last`.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};
use oncekey::StoreTime;

/// Which events are meant, by their time.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Window {
    /// Events of this moment and later: RFC 3339 (2026-11-30T12:00:00Z), or a date, in UTC.
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "last")]
    since: Option<StoreTime>,

    /// Events before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<StoreTime>,

    /// Events of the last so much time (90min, 24h, 7d), before --until or now.
    #[arg(long, value_name = "SPAN", value_parser = span_ms)]
    last: Option<u64>,
}

/// The moments that a window begins with and ends before, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

impl Window {
    /// Its bounds, as of now.
    pub(crate) fn bounds(&self) -> Bounds {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.bounds_at(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    fn bounds_at(&self, now_ms: u64) -> Bounds {
        let to_ms = self.until.map_or(u64::MAX, StoreTime::as_millis);
        let from_ms = match (self.since, self.last) {
            (Some(since), _) => since.as_millis(),
            (None, Some(last_ms)) => to_ms.min(now_ms).saturating_sub(last_ms),
            (None, None) => 0,
        };
        Bounds { from_ms, to_ms }
    }
}

impl Bounds {
    pub(crate) fn contains(&self, at: StoreTime) -> bool {
        (self.from_ms..self.to_ms).contains(&at.as_millis())
    }
}

fn moment(text: &str) -> Result<StoreTime, String> {
    let text = text.trim();
    let parsed = text.parse::<Timestamp>().or_else(|_| {
        // Without a zone it is UTC, as everything that is printed.
        let time = text.parse::<DateTime>()?;
        TimeZone::UTC.to_timestamp(time)
    });
    let ms = parsed.map(|time| u64::try_from(time.as_millisecond()));
    match ms {
        Ok(Ok(ms)) => Ok(StoreTime::from_millis(ms)),
        _ => Err("no moment since 1970: write 2026-11-30T12:00:00Z or 2026-11-30".into()),
    }
}

pub(crate) fn span_ms(text: &str) -> Result<u64, String> {
    let wrong = || "no span of time: write 90min, 24h or 7d".to_owned();
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    u64::try_from(span.as_millis()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let ms = |text| moment(text).map(StoreTime::as_millis);
        let noon = Ok(1_796_040_000_000);
        assert_eq!(ms("2026-11-30T12:00:00Z"), noon);
        assert_eq!(ms("2026-11-30 13:00:00+01:00"), noon);
        assert_eq!(ms("2026-11-30T12:00"), noon);
        assert_eq!(ms("2026-11-30"), Ok(1_795_996_800_000));
        for bad in ["", "noon", "2026-13-01", "1969-12-31T23:59:59Z", "1796040000"] {
            assert!(ms(bad).is_err(), "{bad}");
        }
        assert_eq!(
            ["90min", "24h", "7d"].map(span_ms),
            [5_400_000, 86_400_000, 604_800_000].map(Ok)
        );
        for bad in ["", "7", "-1h", "1mo", "much"] {
            assert!(span_ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_window_ends_before_its_end_and_the_last_hour_is_before_now_or_that() {
        let hour = 3_600_000;
        let window = |since: Option<u64>, until: Option<u64>, last| {
            let time = |ms: Option<u64>| ms.map(StoreTime::from_millis);
            let bounds =
                Window { since: time(since), until: time(until), last }.bounds_at(10 * hour);
            (bounds.from_ms, bounds.to_ms)
        };
        assert_eq!(window(None, None, None), (0, u64::MAX));
        assert_eq!(window(Some(5), Some(9), None), (5, 9));
        assert_eq!(window(None, None, Some(hour)), (9 * hour, u64::MAX));
        assert_eq!(window(None, Some(5 * hour), Some(hour)), (4 * hour, 5 * hour));
        assert_eq!(window(None, Some(1), Some(hour)), (0, 1));
        let bounds = Bounds { from_ms: 5, to_ms: 9 };
        let times = [4, 5, 8, 9].map(|ms| bounds.contains(StoreTime::from_millis(ms)));
        assert_eq!(times, [false, true, true, false]);
    }
}
