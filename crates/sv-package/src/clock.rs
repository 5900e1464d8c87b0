//! Wall-clock times as text, from seconds since 1970 alone.

use std::time::Duration;

/// A time since 1970 as `2026-11-29T05:39:42.123Z` ([RFC 3339](https://www.rfc-editor.org/rfc/rfc3339)).
#[must_use]
pub fn date_time(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let days = i64::try_from(seconds.checked_div(86_400).unwrap_or(0)).unwrap_or(0);
    let of_day = seconds.checked_rem(86_400).unwrap_or(0);
    let (year, month, day) = civil(days);
    let part = |by: u64, of: u64| of_day.checked_div(by).unwrap_or(0).checked_rem(of).unwrap_or(0);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        part(3600, 24),
        part(60, 60),
        part(1, 60),
        since_1970.subsec_millis()
    )
}

/// Year, month and day of a number of days since 1970, in eras of 400 years that begin in March.
#[allow(clippy::arithmetic_side_effects)] // Days come from 64 bits of seconds: nothing overflows.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        // As `date -u -d @N` says.
        let said = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696, "2000-02-29T12:34:56.000Z"),
            (1_795_930_782, "2026-11-29T05:39:42.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ];
        for (seconds, text) in said {
            assert_eq!(date_time(Duration::from_secs(seconds)), text);
        }
    }
}
