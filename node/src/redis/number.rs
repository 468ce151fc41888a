//! Numbers as Redis reads and writes them.

/// Reads a decimal integer the strict way: no sign but `-`, no spaces, no leading zeros, no `-0`.
pub(super) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        // Negative all the way, because i64::MIN has no positive counterpart.
        let value = value.checked_mul(10)?;
        if negative { value.checked_sub(digit) } else { value.checked_add(digit) }
    })
}

/// Reads a number in decimal notation; no spaces, no NaN, and nothing too large or too close to zero to be told.
pub(super) fn parse_f64(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let overflow = value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
    let underflow = value == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    (!value.is_nan() && !overflow && !underflow).then_some(value)
}

/// Reads an end of a range of scores, less strictly: spaces may come before it, nothing at all is zero, and what is too
/// large is infinite.
pub(super) fn parse_end(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.trim_ascii_start().parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Writes a number with as many digits as tell it from all others, 17 at most, as C's `%.17g` does.
pub(super) fn format_f64(value: f64) -> String {
    const DIGITS: i32 = 17;
    if value.is_infinite() {
        return if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let Some(decimals) = usize::try_from(DIGITS - 1 - exponent).ok().filter(|_| exponent >= -4) else {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs());
    };
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

/// Without the zeros at the end of its fraction.
fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use super::{format_f64, parse_end, parse_f64, parse_i64};

    #[test]
    fn only_canonical_integers_are_read() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-12", Some(-12)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("1.5", None),
            ("0x1", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_strictly_as_redis_does() {
        for (text, value) in [
            ("0", Some(0.0)),
            ("-1.5", Some(-1.5)),
            ("+2", Some(2.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("5e-324", Some(5e-324)),
            ("0e-999", Some(0.0)),
            ("1e-999", None),
            ("1e999", None),
            ("nan", None),
            ("", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            (".", None),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), value, "{text:?}");
        }
        assert_eq!(parse_end(b""), Some(0.0));
        assert_eq!(parse_end(b" 1"), Some(1.0));
        assert_eq!(parse_end(b"-1e999"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_end(b" "), None);
        assert_eq!(parse_end(b"nan"), None);
    }

    #[test]
    fn numbers_are_written_with_17_digits() {
        for (value, text) in [
            (0.0, "0"),
            (3.0, "3"),
            (-3.25, "-3.25"),
            (0.1, "0.10000000000000001"),
            (3.2, "3.2000000000000002"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_f64(value), text);
        }
    }
}
