//! Values that are written as texts, and their bytes by a schema: as Java's clients encode them.

use pulsewire_proto::wire::SchemaType;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// The bytes of a value by a schema of that type; `None` when the text is not one of its values.
pub(super) fn encoded(kind: SchemaType, text: &str) -> Option<Vec<u8>> {
    Some(match kind {
        SchemaType::STRING | SchemaType::NONE => text.as_bytes().to_vec(),
        SchemaType::INT8 => text.parse::<i8>().ok()?.to_be_bytes().to_vec(),
        SchemaType::INT16 => text.parse::<i16>().ok()?.to_be_bytes().to_vec(),
        SchemaType::INT32 => text.parse::<i32>().ok()?.to_be_bytes().to_vec(),
        SchemaType::INT64 | SchemaType::TIME | SchemaType::TIMESTAMP => {
            text.parse::<i64>().ok()?.to_be_bytes().to_vec()
        }
        SchemaType::FLOAT => (float(text)? as f32).to_be_bytes().to_vec(),
        SchemaType::DOUBLE => float(text)?.to_be_bytes().to_vec(),
        SchemaType::BOOL => vec![u8::from(text.eq_ignore_ascii_case("true"))],
        SchemaType::LOCAL_DATE => date(text)?.to_be_bytes().to_vec(),
        SchemaType::LOCAL_TIME => time(text)?.to_be_bytes().to_vec(),
        SchemaType::LOCAL_DATE_TIME => {
            let (day, nanos) = moment(text)?;
            [day.to_be_bytes(), nanos.to_be_bytes()].concat()
        }
        SchemaType::INSTANT => {
            let (day, nanos) = moment(text.strip_suffix(['Z', 'z'])?)?;
            let seconds = day * 86_400 + nanos / 1_000_000_000;
            let rest = (nanos % 1_000_000_000) as i32;
            [&seconds.to_be_bytes()[..], &rest.to_be_bytes()].concat()
        }
        SchemaType::JSON => compact(text)?.into_bytes(),
        _ => return None,
    })
}

/// As Java reads numbers: with blanks around them and the mark of their type behind.
fn float(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    match text.trim_start_matches(['+', '-']) {
        "NaN" | "Infinity" => text.parse().ok(),
        _ if digits.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) => None,
        _ => digits.parse().ok(),
    }
}

/// `2026-11-21`, as days since 1970.
fn date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let mut part = |length: usize| {
        let part = parts.next().filter(|part| part.len() == length)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i64>().ok()).flatten()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    // The year begins with March here, so that the odd day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// `12:34`, `12:34:56` or `12:34:56.789`, as nanoseconds of the day.
fn time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let whole = parts.iter().all(|part| part.len() == 2 && digits(part));
    let said = if text.contains('.') { parts.len() == 3 && !fraction.is_empty() } else { parts.len() >= 2 };
    if !whole || !said || parts.len() > 3 || fraction.len() > 9 || !digits(fraction) {
        return None;
    }
    let number = |at: usize| parts.get(at).map_or(Some(0), |part| part.parse::<i64>().ok());
    let (hour, minute, second) = (number(0)?, number(1)?, number(2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let nanos = (hour * 3600 + minute * 60 + second) * 1_000_000_000 + nanos;
    (nanos < DAY_NANOS).then_some(nanos)
}

fn moment(text: &str) -> Option<(i64, i64)> {
    let (day, clock) = text.split_once(['T', 't'])?;
    Some((date(day)?, time(clock)?))
}

/// JSON without blanks between its parts; its fields stay in their order.
pub(super) fn compact(text: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Value>(text).ok()?;
    let (mut out, mut quoted, mut escaped) = (String::with_capacity(text.len()), false, false);
    for c in text.chars() {
        if !quoted && c.is_ascii_whitespace() {
            continue;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        out.push(c);
    }
    Some(out)
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes in base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let all = three.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = LETTERS.get((all >> (18 - 6 * at) & 63) as usize).filter(|_| at <= three.len());
            out.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
    out
}

/// Bytes out of base64.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for letter in text.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter)? as u32;
        (bits, held) = ((bits << 6 | value) & 0xffff, held + 6);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    (held < 6).then_some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_those_of_the_calendar() {
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2000-02-29"), Some(11_016));
        assert_eq!(date("1969-12-31"), Some(-1));
        assert_eq!(time("23:59:59.999999999"), Some(DAY_NANOS - 1));
        for bad in ["1900-02-29", "2026-13-01", "2026-1-1", "x", "2026-01-01-01"] {
            assert_eq!(date(bad), None, "{bad}");
        }
        for bad in ["24:00", "1:00", "10", "10:00.5", "10:00:00.", "10:00:00:00", "10:00:00.0000000001"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn base64_goes_there_and_back() {
        for (bytes, text) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("abcd", "YWJjZA==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
        assert_eq!(from_base64("A"), None);
        assert_eq!(from_base64("?"), None);
    }

    #[test]
    fn json_loses_its_blanks_only() {
        assert_eq!(
            compact("{ \"b\" : [1, 2 ] ,\n\"a\":\" x \\\" y\" }").unwrap(),
            "{\"b\":[1,2],\"a\":\" x \\\" y\"}"
        );
        assert_eq!(compact("{"), None);
    }
}
