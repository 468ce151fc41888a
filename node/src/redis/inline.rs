//! Inline commands: a line of words, with Redis's quoting.
//!
//! A quoted word is never longer than its quotation, so it is unquoted in place.

use super::parser::Span;

/// Cuts a line (without its line end) into words, unquotes them in place and appends where they lie.
///
/// `None`: a quote is not closed, or something follows a closing quote. The line is partly unquoted then.
pub(super) fn split(line: &mut [u8], words: &mut Vec<Span>) -> Option<()> {
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|byte| is_space(*byte)) {
            at += 1;
        }
        if at == line.len() {
            return Some(());
        }
        // `end` never passes `at`: what is written has been read.
        let start = at;
        let mut end = start;
        while let Some(&byte) = line.get(at) {
            at += 1;
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => break,
                b'"' => {
                    (at, end) = double_quoted(line, at, end)?;
                    break;
                }
                b'\'' => {
                    (at, end) = single_quoted(line, at, end)?;
                    break;
                }
                _ => {
                    line[end] = byte;
                    end += 1;
                }
            }
        }
        words.push(Span::new(start, end));
    }
}

fn double_quoted(line: &mut [u8], mut at: usize, mut end: usize) -> Option<(usize, usize)> {
    loop {
        let byte = match *line.get(at..)? {
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                at += 4;
                hex(high) << 4 | hex(low)
            }
            [b'\\', escaped, ..] => {
                at += 2;
                match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                }
            }
            [b'"', ..] => return closed(line, at + 1).then_some((at + 1, end)),
            [byte, ..] => {
                at += 1;
                byte
            }
            [] => return None,
        };
        line[end] = byte;
        end += 1;
    }
}

fn single_quoted(line: &mut [u8], mut at: usize, mut end: usize) -> Option<(usize, usize)> {
    loop {
        let byte = match *line.get(at..)? {
            [b'\\', b'\'', ..] => {
                at += 2;
                b'\''
            }
            [b'\'', ..] => return closed(line, at + 1).then_some((at + 1, end)),
            [byte, ..] => {
                at += 1;
                byte
            }
            [] => return None,
        };
        line[end] = byte;
        end += 1;
    }
}

/// A closing quote must end its word.
fn closed(line: &[u8], at: usize) -> bool {
    line.get(at).is_none_or(|byte| is_space(*byte))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<Vec<u8>>> {
        let mut line = line.as_bytes().to_vec();
        let mut spans = Vec::new();
        split(&mut line, &mut spans)?;
        Some(spans.iter().map(|span| line[span.start as usize..span.end as usize].to_vec()).collect())
    }

    #[test]
    fn words_are_cut_and_unquoted_as_redis_does() {
        let cases: [(&str, Option<&[&[u8]]>); 16] = [
            ("", Some(&[])),
            (" \t\r", Some(&[])),
            ("ping\r", Some(&[b"ping"])),
            ("  set  k\tv ", Some(&[b"set", b"k", b"v"])),
            (r#"a "b c" d"#, Some(&[b"a", b"b c", b"d"])),
            (r#""\x41\n\r\t\b\a\q\"""#, Some(&[b"A\n\r\t\x08\x07q\""])),
            (r#""\xg1 \x4""#, Some(&[b"xg1 x4"])),
            (r"'it\'s' '\n'", Some(&[b"it's", b"\\n"])),
            (r#""" ''"#, Some(&[b"", b""])),
            (r#"pre"fix""#, Some(&[b"prefix"])),
            (r#""open"#, None),
            (r#""open\"#, None),
            ("'open", None),
            (r#""a"b"#, None),
            ("'a'b", None),
            (r#"a"b"c d"#, None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
            assert_eq!(words(line), expected, "{line:?}");
        }
    }
}
