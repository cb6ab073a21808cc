//! Times are the log's, in milliseconds since 1970-01-01T00:00:00Z; this file only writes them down.

/// Milliseconds since the epoch, as records carry them.
pub type Millis = i64;

/// RFC 3339 in UTC with milliseconds, `2026-11-23T01:42:39.000Z`.
///
/// The date is Howard Hinnant's `civil_from_days` (chrono-compatible low-level date algorithms), good for
/// every year of four digits; times outside are clamped.
#[must_use]
pub fn rfc3339(ms: Millis) -> String {
    const MIN: Millis = -62_135_596_800_000; // 0001-01-01
    const MAX: Millis = 253_402_300_799_999; // 9999-12-31
    let ms = ms.clamp(MIN, MAX);
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s, milli) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60, of_day % 1_000);
    // Every record carries one or two of these: without `format!`, which is slow at padded numbers.
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (place, number) in
        [(0..4, year), (5..7, month), (8..10, day), (11..13, h), (14..16, m), (17..19, s), (20..23, milli)]
    {
        write_digits(&mut text[place], number);
    }
    std::str::from_utf8(&text).expect("digits and separators are ASCII").to_owned()
}

/// Fills `place` with the last digits of a number that is not negative.
fn write_digits(place: &mut [u8], number: i64) {
    let mut rest = number.unsigned_abs();
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).expect("a digit is below 10");
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn known_instants() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(rfc3339(1_795_398_159_000), "2026-11-23T01:42:39.000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(i64::MIN), "0001-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
