//! Foreign texts (names, replies of servers) made harmless for a header or a line, and lines made short enough for a
//! terminal. It does not escape: askama does that for HTML.

/// The width that plain-text mail is read at without scrolling, quoted once or twice.
pub(crate) const LINE_MAX: usize = 76;

/// Stands above what mail programs show faintly and leave out of answers.
const SIGNATURE: &str = "-- ";

/// Longest name of a person or company that a letter shows.
pub(crate) const NAME_MAX: usize = 90;

/// `text` in one line of at most `limit` characters: control characters and runs of spaces become one space, and what
/// is invisible but turns or hides the text around it is left out.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words {
        let visible: String = word.chars().filter(|c| !is_deceptive(*c)).collect();
        if visible.is_empty() {
            continue;
        }
        let gap = usize::from(length > 0);
        let room = limit.saturating_sub(length + gap);
        let count = visible.chars().count();
        if room < count {
            // The ellipsis takes the last place; without room for a letter before it, it follows at once.
            if 1 < room {
                if gap == 1 {
                    line.push(' ');
                }
                line.extend(visible.chars().take(room - 1));
            }
            line.push('…');
            return line;
        }
        if gap == 1 {
            line.push(' ');
        }
        line.push_str(&visible);
        length += gap + count;
    }
    line
}

/// Every line of `text` broken at spaces to at most [`LINE_MAX`] characters. What follows stands under the beginning
/// of the text: behind `- `, or behind the label of a table's row. A word that is longer (an address) stays whole.
pub(crate) fn wrap(text: &str) -> String {
    let mut out = String::new();
    for line in text.trim_end().lines() {
        // Mail programs know a signature by the space behind the dashes (RFC 3676, 4.3).
        wrap_line(if line == SIGNATURE { line } else { line.trim_end() }, &mut out);
    }
    out
}

fn wrap_line(line: &str, out: &mut String) {
    let indent = hanging_indent(line);
    let mut length = 0;
    // The head goes out as it is, its inner spaces too.
    let head: String = line.chars().take(indent).collect();
    let rest: String = line.chars().skip(indent).collect();
    out.push_str(&head);
    length += indent;
    let mut is_first = true;
    for word in rest.split(' ') {
        let count = word.chars().count();
        if !is_first && LINE_MAX < length + 1 + count {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            length = indent;
        } else if !is_first {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += count;
        is_first = false;
    }
    out.push('\n');
}

fn hanging_indent(line: &str) -> usize {
    let chars: Vec<char> = line.chars().collect();
    if line.starts_with("- ") {
        return 2;
    }
    let leading = chars.iter().take_while(|c| **c == ' ').count();
    let gap = (leading..chars.len()).find(|&at| chars[at..].starts_with(&[' ', ' ']));
    let Some(gap) = gap else { return leading };
    gap + chars[gap..].iter().take_while(|c| **c == ' ').count()
}

/// Marks of direction, zero widths, joiners of lines, tags.
const fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, limit: usize, expected: &str) {
        assert_eq!(one_line(text, limit), expected);
    }

    #[test]
    fn a_name_cannot_begin_a_new_header_or_turn_the_text_around() {
        check("alder\r\nBcc: all@example.org", 80, "alder Bcc: all@example.org");
        check("a\u{85}b\u{2028}c\0d", 80, "a b c d");
        check("pay 12\u{202e}00.1\u{2066}", 80, "pay 1200.1");
        check("\u{200b}\u{feff} ", 80, "");
        check("日本語 サーバー", 80, "日本語 サーバー");
    }

    #[test]
    fn what_is_cut_says_so() {
        check("abcdef", 6, "abcdef");
        check("abcdefg", 6, "abcde…");
        check("abcde fg", 6, "abcde…");
        check("ab cdefg", 6, "ab cd…");
        check("x", 0, "…");
    }

    #[test]
    fn lines_are_broken_where_they_hang_under_their_text() {
        let word = "word ".repeat(20);
        let wrapped = wrap(&format!("{word}\n- {word}\nTenant  {word}\n\nend"));
        assert!(wrapped.lines().all(|line| line.chars().count() <= LINE_MAX), "{wrapped}");
        let lines: Vec<&str> = wrapped.lines().collect();
        assert!(lines[1].starts_with("word"), "{wrapped}");
        assert!(lines[3].starts_with("  word"), "{wrapped}");
        assert!(lines[5].starts_with("        word"), "{wrapped}");
        assert_eq!(lines[6..], ["", "end"]);
    }

    #[test]
    fn an_address_is_never_broken() {
        let address = format!("https://example.org/{}", "x".repeat(100));
        assert!(wrap(&format!("See it here: {address} today")).contains(&address));
    }
}
