// SPDX-License-Identifier: Apache-2.0

//! Shell patterns, for addresses and file names: `*` is any run of characters,
//! `?` any one. Case does not matter (ASCII). Time is at most linear in pattern
//! times text.

/// A pattern, ready to match.
#[derive(Clone, Debug)]
pub struct Glob(String);

impl Glob {
    /// Takes a pattern; every text is one.
    pub fn new(pattern: &str) -> Glob {
        Glob(pattern.to_ascii_lowercase())
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let (p, t) = (self.0.as_bytes(), text.as_bytes());
        let (mut i, mut j) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while j < t.len() {
            match p.get(i) {
                Some(b'*') => {
                    star = Some((i, j));
                    i += 1;
                }
                Some(b'?') => {
                    i += 1;
                    j += width(t[j]);
                }
                Some(c) if *c == t[j].to_ascii_lowercase() => {
                    i += 1;
                    j += 1;
                }
                _ => match star {
                    Some((at, from)) => {
                        star = Some((at, from + 1));
                        i = at + 1;
                        j = from + 1;
                    }
                    None => return false,
                },
            }
        }
        p[i..].iter().all(|c| *c == b'*')
    }
}

/// Octets of the UTF-8 character that begins with `c`.
fn width(c: u8) -> usize {
    match c {
        0xf0..=0xff => 4,
        0xe0..=0xef => 3,
        0xc0..=0xdf => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (p, t, want) in [
            ("*.exe", "Setup.EXE", true),
            ("*.exe", "setup.exe.txt", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "é", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*@*.example.org", "me@mx.example.org", true),
            ("*@*.example.org", "me@example.org", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("**", "x", true),
        ] {
            assert_eq!(Glob::new(p).matches(t), want, "{} {}", p, t);
        }
    }

    #[test]
    fn worst_case_is_quick() {
        let t = "a".repeat(5_000);
        assert!(!Glob::new("*a*a*a*a*a*a*a*b").matches(&t));
    }
}
