//! Decimals: big-endian two's complement (in base64) and JSON numbers, to `i128` of a stated scale or to plain decimal text.
//!
//! Nothing is rounded: what has more digits than its column is refused.

/// The largest scale, either way, that is written out: PostgreSQL's `numeric` has up to 131,072 digits before the point.
const MAX_SCALE: i32 = 200_000;

/// The base64 of at most 16 bytes, as a signed big-endian number. `None`: no such base64, or longer, or empty.
pub(crate) fn base64_i128(text: &[u8]) -> Option<i128> {
    let (groups, rest) = text.as_chunks::<4>();
    let (last, groups) = groups.split_last()?;
    if !rest.is_empty() || groups.len() > 5 {
        return None;
    }
    let mut all: u128 = 0;
    for group in groups {
        all = all << 24 | u128::from(sextets(group)?);
    }
    let (tail, tail_bytes) = match last {
        [a, b, b'=', b'='] => (sextets(&[*a, *b, b'A', b'A'])?, 1),
        [a, b, c, b'='] => (sextets(&[*a, *b, *c, b'A'])?, 2),
        full => (sextets(full)?, 3),
    };
    let bytes = groups.len() * 3 + tail_bytes;
    let spare = 24 - 8 * tail_bytes;
    if bytes > 16 || tail & ((1 << spare) - 1) != 0 {
        return None;
    }
    all = all << (8 * tail_bytes) | u128::from(tail >> spare);
    let unused = 128 - 8 * bytes;
    Some((all << unused).cast_signed() >> unused)
}

/// A signed big-endian number. `None`: more than 128 bits, or no byte at all.
pub(crate) fn big_endian_i128(bytes: &[u8]) -> Option<i128> {
    let first = *bytes.first()?;
    if bytes.len() <= 8 {
        let all = bytes.iter().fold(0, |all: u64, byte| all << 8 | u64::from(*byte));
        let unused = 64 - 8 * bytes.len();
        return Some(((all << unused).cast_signed() >> unused).into());
    }
    let fill = if first & 0x80 == 0 { 0 } else { 0xff };
    let (spare, bytes) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut all = [fill; 16];
    all[16 - bytes.len()..].copy_from_slice(bytes);
    let value = i128::from_be_bytes(all);
    (spare.iter().all(|byte| *byte == fill) && (value < 0) == (fill != 0)).then_some(value)
}

fn sextets(group: &[u8; 4]) -> Option<u32> {
    let [a, b, c, d] = group.map(|letter| SEXTETS[usize::from(letter)]);
    let bad = (a | b | c | d) & 0x80 != 0;
    (!bad).then(|| u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d))
}

const SEXTETS: [u8; 256] = {
    let mut table = [0x80; 256];
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut i = 0;
    while i < 64 {
        table[letters[i] as usize] = i as u8;
        i += 1;
    }
    table
};

/// Whether a number has at most this many digits; up to 38.
pub(crate) fn fits(value: i128, precision: u8) -> bool {
    POWERS.get(usize::from(precision)).is_some_and(|limit| value.unsigned_abs() < *limit)
}

const POWERS: [u128; 39] = {
    let mut powers = [1; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// A JSON number at a stated scale; `None` where it has more digits than fit.
pub(crate) fn parse_number(text: &str, scale: u8) -> Option<i128> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit.checked_sub(b'0')?))?;
    }
    let shift = i32::from(scale) + exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let value = shifted(value, shift)?;
    Some(if negative { -value } else { value })
}

/// `value` times ten to `shift`; `None` where that is no whole number, or too large.
fn shifted(value: i128, shift: i32) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    let power = i128::try_from(*POWERS.get(usize::try_from(shift.unsigned_abs()).ok()?)?).ok()?;
    if shift >= 0 {
        return value.checked_mul(power);
    }
    (value % power == 0).then(|| value / power)
}

/// Appends the plain text of a signed big-endian number (empty: zero) times ten to `-scale`: all digits, no exponent.
/// `None` where the scale is absurd; nothing is appended then.
pub(crate) fn push_plain(big_endian: &[u8], scale: i32, out: &mut String) -> Option<()> {
    if scale.checked_abs()? > MAX_SCALE {
        return None;
    }
    let negative = big_endian.first().is_some_and(|byte| byte & 0x80 != 0);
    let digits = digits(big_endian, negative);
    if negative {
        out.push('-');
    }
    let places = usize::try_from(scale).unwrap_or(0);
    if digits.len() > places {
        out.push_str(&digits[..digits.len() - places]);
    } else {
        out.push('0');
    }
    if scale < 0 && digits != "0" {
        out.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
    }
    if places > 0 {
        out.push('.');
        out.extend(std::iter::repeat_n('0', places.saturating_sub(digits.len())));
        out.push_str(&digits[digits.len().saturating_sub(places)..]);
    }
    Some(())
}

/// The decimal digits of the absolute value; at least one.
fn digits(big_endian: &[u8], negative: bool) -> String {
    const CHUNK: u64 = 1_000_000_000;
    let mut limbs = magnitude(big_endian, negative);
    let mut chunks = Vec::new();
    while !limbs.is_empty() {
        let mut remainder = 0;
        for limb in limbs.iter_mut().rev() {
            let current = remainder << 32 | u64::from(*limb);
            *limb = u32::try_from(current / CHUNK).unwrap_or(u32::MAX);
            remainder = current % CHUNK;
        }
        chunks.push(remainder);
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
    }
    let mut digits = String::new();
    for (i, chunk) in chunks.iter().rev().enumerate() {
        digits.push_str(&if i == 0 { chunk.to_string() } else { format!("{chunk:09}") });
    }
    if digits.is_empty() { "0".to_owned() } else { digits }
}

/// The absolute value in 32-bit limbs, the lowest first, without leading zeros.
fn magnitude(big_endian: &[u8], negative: bool) -> Vec<u32> {
    let flip = if negative { 0xff } else { 0 };
    let mut carry = u64::from(negative);
    let mut limbs = Vec::with_capacity(big_endian.len() / 4 + 1);
    for chunk in big_endian.rchunks(4) {
        let limb = chunk.iter().fold(0, |limb, byte| limb << 8 | u64::from(byte ^ flip));
        let sum = limb + carry;
        carry = sum >> 32;
        limbs.push((sum & 0xffff_ffff) as u32);
    }
    if carry > 0 {
        limbs.push(1);
    }
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn plain(bytes: &[u8], scale: i32) -> Option<String> {
        let mut text = String::new();
        push_plain(bytes, scale, &mut text).map(|()| text)
    }

    #[test]
    fn base64_numbers_of_every_length_and_sign() {
        for value in [
            0,
            1,
            -1,
            127,
            128,
            -128,
            -129,
            255,
            256,
            99_999_999_999,
            -12_345_678_901_234_567_890,
            i128::MAX,
            i128::MIN,
        ] {
            let all = value.to_be_bytes();
            for start in 0..16 {
                let unused = 8 * start;
                if (value << unused) >> unused == value {
                    assert_eq!(big_endian_i128(&all[start..]), Some(value));
                    let text = STANDARD.encode(&all[start..]);
                    assert_eq!(base64_i128(text.as_bytes()), Some(value), "{text}");
                }
            }
        }
        for bad in [
            "",
            "A",
            "AA",
            "AAA",
            "AA=",
            "A===",
            "====",
            "AB==",
            "AAB=",
            "AA==AA==",
            "AA-_",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(base64_i128(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn big_endian_numbers_longer_than_they_need_be() {
        let long = |fill: u8, value: i128| big_endian_i128(&[&[fill; 5][..], &value.to_be_bytes()].concat());
        assert_eq!((long(0, i128::MAX), long(0xff, i128::MIN)), (Some(i128::MAX), Some(i128::MIN)));
        assert_eq!((long(0, -1), long(0xff, 1), long(1, 0), big_endian_i128(&[])), (None, None, None, None));
    }

    #[test]
    fn numbers_keep_every_digit_or_are_refused() {
        assert_eq!(parse_number("-12.5", 2), Some(-1250));
        assert_eq!(parse_number("12.500", 1), Some(125));
        assert_eq!(parse_number("1.25e3", 0), Some(1250));
        assert_eq!(parse_number("1E-2", 2), Some(1));
        assert_eq!(parse_number("0e999", 2), Some(0));
        for bad in ["12.55", "1e-3", "1e99", "99999999999999999999999999999999999999999"] {
            assert_eq!(parse_number(bad, 1), None, "{bad}");
        }
        assert!(fits(99, 2) && !fits(100, 2) && fits(-99, 2) && !fits(-100, 2) && fits(10i128.pow(38) - 1, 38));
        assert!(!fits(10i128.pow(38), 38));
    }

    #[test]
    fn plain_text_of_any_length_and_scale() {
        assert_eq!(plain(&[], 2).unwrap(), "0.00");
        assert_eq!(plain(&[0], 0).unwrap(), "0");
        assert_eq!(plain(&[0], -3).unwrap(), "0");
        assert_eq!(plain(&(-1250i64).to_be_bytes(), 2).unwrap(), "-12.50");
        assert_eq!(plain(&5i64.to_be_bytes(), 3).unwrap(), "0.005");
        assert_eq!(plain(&5i64.to_be_bytes(), -3).unwrap(), "5000");
        assert_eq!(plain(&i128::MIN.to_be_bytes(), 0).unwrap(), i128::MIN.to_string());
        assert_eq!(plain(&i128::MAX.to_be_bytes(), 0).unwrap(), i128::MAX.to_string());
        assert_eq!(plain(&1_000_000_000_000_000_000i64.to_be_bytes(), 9).unwrap(), "1000000000.000000000");
        assert_eq!(plain(&[1], 200_001), None);
        assert_eq!(plain(&[1], i32::MIN), None);
        let mut two_to_4000 = vec![0; 501];
        two_to_4000[0] = 1;
        let text = plain(&two_to_4000, 0).unwrap();
        assert!(text.starts_with("13182040934309431001") && text.len() == 1205, "{text}");
    }
}
