//! Foreign texts (names, addresses) made harmless to look at: one line, no tricks, not too long.
//!
//! It does not escape: askama does that for HTML, and the PDF template gets its texts as data. It does not
//! change what is stored or what the JSON document says.

/// Marks that stand over or under one letter; more of them reach into the lines around.
const MARKS_MAX: usize = 3;

/// Stands at the end of a text that was cut.
const ELLIPSIS: char = '…';

/// `text` in one line of at most `limit` characters (an ellipsis included), or `otherwise` when nothing of it
/// can be seen.
pub(crate) fn shown_or(text: &str, limit: usize, otherwise: &str) -> String {
    let shown = shown(text, limit);
    if shown.is_empty() { otherwise.to_owned() } else { shown }
}

/// `text` in one line of at most `limit` characters, an ellipsis included.
pub(crate) fn shown(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let (mut length, mut marks, mut space) = (0, 0, false);
    for character in text.chars() {
        if character.is_whitespace() || character.is_control() {
            space = length > 0;
            continue;
        }
        if is_invisible(character) {
            continue;
        }
        marks = if is_mark(character) { marks + 1 } else { 0 };
        if marks > MARKS_MAX {
            continue;
        }
        let needed = if space { 2 } else { 1 };
        if length + needed > limit {
            return cut(out, length, limit);
        }
        if space {
            out.push(' ');
        }
        out.push(character);
        length += needed;
        space = false;
    }
    out
}

/// Makes room for the ellipsis and takes away what would be left of half an emoji.
fn cut(mut text: String, length: usize, limit: usize) -> String {
    if length == limit {
        text.pop();
    }
    let whole = text.trim_end_matches(|end| is_joiner(end) || end == ' ').len();
    text.truncate(whole);
    text.push(ELLIPSIS);
    text
}

/// Characters that are not seen but turn the text around them (U+202E makes 12 of 21), or hide in it.
const fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

const fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

const fn is_mark(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, limit: usize, expected: &str) {
        assert_eq!(shown(text, limit), expected);
    }

    #[test]
    fn a_text_becomes_one_line() {
        check("  web\n\tfront \0 end  ", 40, "web front end");
        check("", 40, "");
        check("\u{202e}\u{200b}", 40, "");
    }

    #[test]
    fn markup_is_left_to_those_who_escape() {
        check("<b>\"#let x\" $1\\$</b>", 40, "<b>\"#let x\" $1\\$</b>");
    }

    #[test]
    fn a_long_text_ends_in_an_ellipsis_and_keeps_its_limit() {
        check("abcdef", 6, "abcdef");
        check("abcdefg", 6, "abcde…");
        check("abcde fg", 6, "abcde…");
        check("abcd efg", 6, "abcd…");
        assert_eq!(shown(&"x".repeat(10_000), 60).chars().count(), 60);
    }

    #[test]
    fn a_name_cannot_turn_the_figures_beside_it_around() {
        check("\u{202e}21 RUE\u{2066}", 40, "21 RUE");
    }

    #[test]
    fn a_tower_of_accents_is_no_higher_than_three() {
        check(&format!("a{}b", "\u{301}".repeat(500)), 40, "a\u{301}\u{301}\u{301}b");
    }

    #[test]
    fn nothing_to_see_is_said() {
        assert_eq!(shown_or("\n", 10, "(no name)"), "(no name)");
    }
}
