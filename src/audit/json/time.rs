//! A moment as people read it.

use crate::ids::StoreTime;

const DAY_MS: u64 = 86_400_000;
/// The first day of the year 10000, counted from 1970-01-01.
const YEAR_10000: u64 = 2_932_897;

/// A moment as RFC 3339 writes it, to the millisecond, in UTC; `None` after the year 9999, which it
/// cannot write.
///
/// ```
/// use oncekey::StoreTime;
/// use oncekey::audit::rfc3339;
///
/// let time = rfc3339(StoreTime::from_millis(951_827_696_789));
/// assert_eq!(time.as_deref(), Some("2000-02-29T12:34:56.789Z"));
/// assert_eq!(rfc3339(StoreTime::from_millis(u64::MAX)), None);
/// ```
#[must_use]
pub fn rfc3339(time: StoreTime) -> Option<String> {
    let (days, ms) = (time.as_millis() / DAY_MS, time.as_millis() % DAY_MS);
    if days >= YEAR_10000 {
        return None;
    }
    let (year, month, day) = civil(days);
    let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
    let (second, ms) = (ms / 1000 % 60, ms % 1000);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"))
}

/// The date of a day after 1970-01-01 in the Gregorian calendar. Years begin in March here, so that
/// the leap day is a year's last, and repeat after 400.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    // Days from 0000-03-01.
    let days = days + 719_468;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months of 30.6 days on average: five of them take 153.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Day after day from the first one, as the calendar is defined.
    #[test]
    fn every_day_has_its_date() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..YEAR_10000 {
            assert_eq!(civil(days), (year, month, day), "day {days}");
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, month, day), (10_000, 1, 1));
    }

    #[test]
    fn times_are_written_to_the_millisecond() {
        let time = |ms| rfc3339(StoreTime(ms));
        assert_eq!(time(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        let last = YEAR_10000 * DAY_MS - 1;
        assert_eq!(time(last).as_deref(), Some("9999-12-31T23:59:59.999Z"));
        assert_eq!(time(last + 1), None);
    }
}
