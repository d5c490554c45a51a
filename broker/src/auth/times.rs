//! Times of tokens, as Apache Pulsar's library for tokens reads them: Java's `SimpleDateFormat`, which is
//! lenient.

use serde_json::Value;

/// What a claim says, in milliseconds since the Unix epoch; `None` when that is no time.
pub(super) fn milliseconds(claim: &Value) -> Option<i64> {
    // Java's numbers begin anew beyond the last one.
    let of_seconds = |seconds: i64| seconds.wrapping_mul(1000);
    match claim {
        Value::String(text) => {
            text.parse().map_or_else(|_| iso_8601(text), |seconds| Some(of_seconds(seconds)))
        }
        Value::Number(seconds) => {
            let whole = seconds.as_i64().or_else(|| seconds.as_u64().map(|seconds| seconds as i64));
            Some(of_seconds(whole.or_else(|| seconds.as_f64().map(|seconds| seconds as i64))?))
        }
        _ => None,
    }
}

/// `yyyy-MM-ddTHH:mm:ssZ`, or with `.SSS` where there is a point. Numbers have as many digits as they like, may
/// be too large for their field (the 13th month is the next year's first), and have blanks before them; what
/// follows is not looked at.
fn iso_8601(text: &str) -> Option<i64> {
    let with_ms = text.contains('.');
    let mut rest = text;
    let mut field = |end: char| {
        let (number, after) = number(rest)?;
        rest = after.strip_prefix(end)?;
        Some(i128::from(number))
    };
    let (year, month, day) = (field('-')?, field('-')?, field('T')?);
    let (hours, minutes) = (field(':')?, field(':')?);
    let seconds = field(if with_ms { '.' } else { 'Z' })?;
    let ms = if with_ms { field('Z')? } else { 0 };
    let (month, year) = ((month - 1).rem_euclid(12), year + (month - 1).div_euclid(12));
    let hours = days(year, month) * 24 + (day - 1) * 24 + hours;
    let all = ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms;
    Some(i64::try_from(all).unwrap_or(if all < 0 { i64::MIN } else { i64::MAX }))
}

/// A whole number at the beginning of a text, and what follows it.
fn number(text: &str) -> Option<(i32, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == digits.len() {
        return None;
    }
    let number = &text[..text.len() - rest.len()];
    let value = number.parse::<i64>().map_or_else(
        // What Java makes of a number that is too large even for the larger kind.
        |_| if number.starts_with('-') { i32::MIN } else { i32::MAX },
        |value| value as i32,
    );
    Some((value, rest))
}

/// Days from the Unix epoch to the first of a month (0 to 11) of a year.
fn days(year: i128, month: i128) -> i128 {
    // Years that begin in March.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_read_as_java_reads_them() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00.123Z", Some(951_782_400_123)),
            ("2000-02-29T00:00:00.5Z", Some(951_782_400_005)),
            ("2026-11-21T07:49:47.495Z", Some(1_795_247_387_495)),
            ("1999-14-28T24:00:00Z and more", Some(951_782_400_000)),
            (" 2000- 2-29T0:0:0Z", Some(951_782_400_000)),
            ("1969-12-31T23:59:59Z", Some(-1000)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800_000)),
            ("951782400", Some(951_782_400_000)),
            ("2000-02-29T00:00:00", None),
            ("2000-02-29T00:00:00+01:00", None),
            ("2000-02-29", None),
            ("+2000-02-29T00:00:00Z", None),
            ("T", None),
            ("", None),
        ] {
            assert_eq!(milliseconds(&json!(text)), ms, "{text}");
        }
        assert_eq!(milliseconds(&json!("99999999999999999999-1-1T0:0:0Z")), Some(i64::MAX));
    }

    #[test]
    fn numbers_are_whole_seconds() {
        assert_eq!(milliseconds(&json!(7)), Some(7000));
        assert_eq!(milliseconds(&json!(7.9)), Some(7000));
        assert_eq!(milliseconds(&json!(-1)), Some(-1000));
        assert!([json!(true), json!([]), json!({})].iter().all(|claim| milliseconds(claim).is_none()));
    }
}
