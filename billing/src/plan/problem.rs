//! What is wrong with a plan file: where, what, and how to mend it. It formats and finds nothing by itself. Words for unknown
//! keys are written for those alone that are listed: a file may have tens of thousands.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use super::reader::closest;

/// How many problems are listed. Whoever has more wants to see the first ones.
const MAX_LISTED: usize = 100;

/// The longest piece of somebody's file that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

/// Everything that is wrong with a file, in its order, at most a hundred of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PlanErrors {
    file: String,
    problems: Vec<Problem>,
    more: usize,
}

/// Collects problems by their place in bytes.
pub(super) struct Problems<'a> {
    source: &'a str,
    found: Vec<(usize, Found)>,
}

/// A problem whose words are written when it is listed.
enum Found {
    /// What is wrong, and how to mend it.
    Said(String, String),
    /// A table has no such key.
    UnknownKey { title: &'static str, name: String, known: Rc<[&'static str]> },
}

impl PlanErrors {
    /// Where the plan came from.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The problems.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// One problem of the file as a whole.
    pub(super) fn of_file(file: &str, line: usize, what: String, mend: &str) -> Self {
        let problem = Problem { line, column: 1, what, mend: mend.to_owned() };
        Self { file: file.to_owned(), problems: vec![problem], more: 0 }
    }
}

impl fmt::Display for PlanErrors {
    /// A line for each: `plan.toml:3:7: what is wrong; how to mend it`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if 0 < n {
                writeln!(f)?;
            }
            let Problem { line, column, what, mend } = problem;
            write!(f, "{}:{line}:{column}: {what}; {mend}", self.file)?;
        }
        if 0 < self.more {
            write!(f, "\n{}: and {} more problems", self.file, self.more)?;
        }
        Ok(())
    }
}

impl<'a> Problems<'a> {
    pub(super) const fn new(source: &'a str) -> Self {
        Self { source, found: Vec::new() }
    }

    pub(super) fn add(&mut self, span: &Range<usize>, what: String, mend: String) {
        self.found.push((span.start, Found::Said(what, mend)));
    }

    /// The table `title` has no key `name`; its keys are `known`.
    pub(super) fn unknown_key(
        &mut self,
        span: &Range<usize>,
        title: &'static str,
        name: &str,
        known: &Rc<[&'static str]>,
    ) {
        // As much as is shown of it, and a letter more to see that it goes on.
        let name = name.chars().take(MAX_SHOWN + 1).collect();
        self.found.push((span.start, Found::UnknownKey { title, name, known: Rc::clone(known) }));
    }

    /// The line of a place, from 1.
    pub(super) fn line_of(&self, span: &Range<usize>) -> usize {
        position(self.source, span.start).0
    }

    /// `Ok` when there were none.
    pub(super) fn finish(mut self, file: &str) -> Result<(), PlanErrors> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|(at, _)| *at);
        let more = self.found.len().saturating_sub(MAX_LISTED);
        let problems = self
            .found
            .into_iter()
            .take(MAX_LISTED)
            .map(|(at, found)| {
                let (line, column) = position(self.source, at);
                let (what, mend) = found.in_words();
                Problem { line, column, what, mend }
            })
            .collect();
        Err(PlanErrors { file: file.to_owned(), problems, more })
    }
}

impl Found {
    fn in_words(self) -> (String, String) {
        match self {
            Self::Said(what, mend) => (what, mend),
            Self::UnknownKey { title, name, known } => {
                let mend = match closest(&name, &known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("remove it; the keys of {title} are {}", known.join(", ")),
                };
                (format!("{title} has no key {}", shown(&name)), mend)
            }
        }
    }
}

/// `text` in quotes, escaped, and cut if it is long.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(MAX_SHOWN).collect();
    let dots = if chars.next().is_some() { "..." } else { "" };
    format!("{head:?}{dots}")
}

/// Line and column of a byte, both from 1.
fn position(source: &str, at: usize) -> (usize, usize) {
    let before = &source.as_bytes()[..at.min(source.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |n| n + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    // Continuation bytes of UTF-8 begin no character.
    let column = before[line_start..].iter().filter(|byte| **byte & 0xC0 != 0x80).count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_counts_characters_not_bytes() {
        let source = "a = 1\n\u{1F600}é = x";
        let at = source.find('x').unwrap();
        assert_eq!(position(source, at), (2, 6));
        assert_eq!(position(source, 0), (1, 1));
        assert_eq!(position("", 99), (1, 1));
    }
}
