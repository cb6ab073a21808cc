//! Instants and lengths of time as people write them: RFC 3339 or "this long ago", and `90s`, `5m`, `2h`, `1d`.

/// What `older_than`, `since` and `until` say when they cannot be read.
pub const LENGTHS: &str = "a length of time such as 500ms, 90s, 5m, 2h or 1d";
pub const INSTANTS: &str = "an instant in RFC 3339 (2026-11-23T01:42:39Z) or how long ago (90s, 5m, 2h, 1d)";

/// Milliseconds of a length of time; a bare number counts seconds.
#[must_use]
pub fn length_ms(text: &str) -> Option<i64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit_ms)
}

/// Epoch milliseconds of an instant, or of that long before `now_ms`.
#[must_use]
pub fn instant_ms(text: &str, now_ms: i64) -> Option<i64> {
    length_ms(text).and_then(|length| now_ms.checked_sub(length)).or_else(|| rfc3339_ms(text))
}

/// RFC 3339, a date alone meaning its first moment in UTC.
fn rfc3339_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked(10)?;
    let mut parts = date.split('-');
    let mut part = |width: usize| {
        let part = parts.next().filter(|part| part.len() == width)?;
        number(part)
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let of_day = if time.is_empty() { 0 } else { time_of_day_ms(time)? };
    Some(days_since_epoch(year, month, day) * 86_400_000 + of_day)
}

/// `THH:MM:SS[.fraction](Z|±HH:MM)`, as milliseconds since midnight UTC.
fn time_of_day_ms(text: &str) -> Option<i64> {
    let text = text.strip_prefix(['T', 't', ' '])?;
    let zone_at = text.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = text.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':').map(|part| if part.len() == 2 { number(part) } else { None });
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    // A leap second is the first of the next minute.
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    number(fraction)?;
    let milli: String = fraction.chars().chain("000".chars()).take(3).collect();
    let offset_minutes = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, zone) => {
            let (hours, minutes) = zone.split_once(':')?;
            let (hours, minutes) = (number(hours)?, number(minutes)?);
            if zone.len() != 5 || hours > 23 || minutes > 59 {
                return None;
            }
            if sign == "-" { -(hours * 60 + minutes) } else { hours * 60 + minutes }
        }
    };
    Some(((hours * 60 + minutes - offset_minutes) * 60 + seconds) * 1_000 + number(&milli)?)
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`, the way back of the domain's `rfc3339`.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use callboard_domain::time::rfc3339;

    use super::{instant_ms, length_ms};

    #[test]
    fn lengths_have_units() {
        for (text, ms) in [
            ("5m", 300_000),
            ("90s", 90_000),
            ("90", 90_000),
            ("250ms", 250),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(length_ms(text), Some(ms), "{text}");
        }
        for wrong in ["", "m", "5 m", "-5m", "5w", "1.5h", "99999999999999999999s"] {
            assert_eq!(length_ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for ms in [0, 951_782_400_123, 1_795_398_159_000, 4_102_444_799_999] {
            assert_eq!(instant_ms(&rfc3339(ms), 0), Some(ms));
        }
    }

    #[test]
    fn instants_come_with_zones_as_dates_or_as_how_long_ago() {
        let noon = 1_795_435_200_000; // 2026-11-23T12:00:00Z
        for text in ["2026-11-23T12:00:00Z", "2026-11-23T14:30:00+02:30", "2026-11-23T06:00:00.000-06:00"] {
            assert_eq!(instant_ms(text, 0), Some(noon), "{text}");
        }
        assert_eq!(instant_ms("2026-11-23", 0), Some(noon - 43_200_000));
        assert_eq!(instant_ms("2h", noon), Some(noon - 7_200_000));
        for wrong in [
            "yesterday",
            "2026-13-01",
            "2026-02-29",
            "2026-11-23T25:00:00Z",
            "2026-11-23T12:00:00",
            "2026-11-23T12:00Z",
        ] {
            assert_eq!(instant_ms(wrong, 0), None, "{wrong}");
        }
    }
}
