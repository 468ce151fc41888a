//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^a]` and `\` to escape.
//!
//! Time is at most proportional to pattern times text, whatever the pattern: only the last `*` is ever
//! gone back to.

/// Whether the whole of `text` matches `pattern`; `ignore_case` for ASCII letters.
pub(super) fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the present attempt fails: after the last star, one byte of text later each time.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        match (text.get(t), one(&pattern[p..], text.get(t).copied(), ignore_case)) {
            (None, _) if p == pattern.len() => return true,
            (None, _) => return false,
            (Some(_), Some(used)) => {
                p += used;
                t += 1;
            }
            (Some(_), None) => {
                let Some((after, from)) = &mut star else { return false };
                *from += 1;
                (p, t) = (*after, *from);
            }
        }
    }
}

/// Matches one byte against the first element of the pattern and returns the element's length.
fn one(pattern: &[u8], byte: Option<u8>, ignore_case: bool) -> Option<usize> {
    let byte = byte?;
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ref class @ ..] => {
            let (matched, used) = class_matches(class, byte, ignore_case);
            matched.then_some(1 + used)
        }
        [b'\\', escaped, ..] => same(escaped, byte, ignore_case).then_some(2),
        [literal, ..] => same(literal, byte, ignore_case).then_some(1),
    }
}

/// Matches a class whose `[` has been read; also says how many bytes belong to it. One that is not closed
/// ends with the pattern.
fn class_matches(class: &[u8], byte: u8, ignore_case: bool) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut matched = false;
    loop {
        match class[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                matched |= same(escaped, byte, ignore_case);
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [from, b'-', to, ..] => {
                matched |= within(from, to, byte, ignore_case);
                at += 3;
            }
            [literal, ..] => {
                matched |= same(literal, byte, ignore_case);
                at += 1;
            }
        }
    }
    (matched != negated, at)
}

fn within(from: u8, to: u8, byte: u8, ignore_case: bool) -> bool {
    let fold = |byte: u8| if ignore_case { byte.to_ascii_lowercase() } else { byte };
    // Redis takes a range that is the wrong way round as the right one.
    let (from, to) = if from > to { (to, from) } else { (from, to) };
    (fold(from)..=fold(to)).contains(&fold(byte))
}

fn same(a: u8, b: u8, ignore_case: bool) -> bool {
    a == b || ignore_case && a.eq_ignore_ascii_case(&b)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h*llo", "heeeell", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            (r"h\*llo", "h*llo", true),
            (r"h\*llo", "hello", false),
            (r"[\]]", "]", true),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[a", "a", true),
            ("[a-", "-", true),
            (r"a\", r"a\", true),
            ("HELLO", "hello", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern} {text}");
        }
        assert!(matches(b"MAX[A-Z]em*", b"maxmemory", true));
        assert!(matches(b"max\\Memory", b"maxmemory", true));
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let pattern = "a*".repeat(2_000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(4_000).as_bytes(), false));
    }
}
