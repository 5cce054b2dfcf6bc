//! Typed access to a parsed TOML table that notes every problem and goes on. It knows no key of a plan.
//!
//! What may be missing is a [`Perhaps`]: the outer `None` means that a problem was noted.

use std::ops::Range;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problems, shown};

/// A value and where it stands.
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// Something that need not be there. `None`: a problem was noted; `Some(None)`: it is not there.
pub(super) type Perhaps<T> = Option<Option<T>>;

/// A table, where it stands, and what it is called in messages (`[tax]`).
#[derive(Clone)]
pub(super) struct Table<'a> {
    pub(super) table: &'a DeTable<'a>,
    pub(super) span: Range<usize>,
    pub(super) title: &'static str,
}

impl<'a> Table<'a> {
    /// Notes every key that is not in `known`.
    pub(super) fn only(&self, known: &[&'static str], problems: &mut Problems<'_>) {
        let shared: Rc<[&'static str]> = known.into();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            problems.unknown_key(&key.span(), self.title, name, &shared);
        }
    }

    /// The value of `key`; notes when it is not there.
    pub(super) fn required(
        &self,
        key: &str,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Option<&'a Spanned<DeValue<'a>>> {
        let found = self.optional(key);
        if found.is_none() {
            let what = format!("{} lacks `{key}`", self.title);
            problems.add(&self.span, what, format!("add {key} = {example}"));
        }
        found
    }

    /// The value of `key`, if it is there.
    pub(super) fn optional(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        let found = self.table.iter().find(|(name, _)| name.get_ref() == key);
        found.map(|(_, value)| value)
    }

    /// The text of `key`; notes when it is not there or no text.
    pub(super) fn text(&self, key: &str, example: &str, problems: &mut Problems<'_>) -> Option<At<&'a str>> {
        let value = self.required(key, example, problems)?;
        text_of(key, value, example, problems)
    }

    /// The table of `key`; notes when it is not there or no table.
    pub(super) fn table(
        &self,
        key: &str,
        title: &'static str,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Table<'a>> {
        let Some(value) = self.optional(key) else {
            let what = format!("{} lacks {title}", self.title);
            problems.add(&self.span, what, format!("add {example}"));
            return None;
        };
        let DeValue::Table(table) = value.get_ref() else {
            problems.add(&value.span(), format!("`{key}` is no table"), format!("write {example}"));
            return None;
        };
        let span = value.span();
        Some(Table { table, span, title })
    }

    /// The table of `key`, if it is there.
    pub(super) fn table_if_any(
        &self,
        key: &str,
        title: &'static str,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Perhaps<Table<'a>> {
        match self.optional(key) {
            None => Some(None),
            Some(_) => self.table(key, title, example, problems).map(Some),
        }
    }

    /// The tables of `key`; notes when there are none, or when something among them is none.
    pub(super) fn tables(&self, list: &List<'_>, problems: &mut Problems<'_>) -> Vec<Table<'a>> {
        let value = self.optional(list.key);
        let is_empty = match value.map(Spanned::get_ref) {
            Some(DeValue::Array(items)) => items.is_empty(),
            Some(_) => false,
            None => true,
        };
        if is_empty {
            let span = value.map_or(self.span.clone(), Spanned::span);
            let what = format!("{} has no {}", self.title, list.title);
            problems.add(&span, what, format!("add {}", list.example));
        }
        self.tables_if_any(list, problems).unwrap_or_default()
    }

    /// The tables of `key`, perhaps none; notes when something among them is none, or when there are too many.
    pub(super) fn tables_if_any(
        &self,
        list: &List<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<Vec<Table<'a>>> {
        let List { key, title, example, most } = *list;
        let Some(value) = self.optional(key) else { return Some(Vec::new()) };
        let DeValue::Array(items) = value.get_ref() else {
            let what = format!("`{key}` is no list of tables");
            problems.add(&value.span(), what, format!("write {example}"));
            return None;
        };
        if most < items.len() {
            let what = format!("`{key}` has {} entries", items.len());
            problems.add(&value.span(), what, format!("write at most {most}"));
            return None;
        }
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            let span = item.span();
            if let DeValue::Table(table) = item.get_ref() {
                tables.push(Table { table, span, title });
            } else {
                let what = format!("`{key}` holds what is no table");
                problems.add(&span, what, format!("write {example}"));
            }
        }
        (tables.len() == items.len()).then_some(tables)
    }

    /// A list of texts: at least one, at most `most`, none twice.
    pub(super) fn texts(
        &self,
        key: &str,
        most: usize,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Vec<At<&'a str>>> {
        texts_of(key, self.required(key, example, problems)?, most, example, problems)
    }

    /// `true` or `false`; without it, `default`.
    pub(super) fn flag(&self, key: &str, default: bool, problems: &mut Problems<'_>) -> Option<bool> {
        let Some(value) = self.optional(key) else { return Some(default) };
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        let what = format!("`{key}` is neither true nor false");
        problems.add(&value.span(), what, format!("write {key} = true or {key} = false, without quotes"));
        None
    }

    /// A whole number, without quotes.
    pub(super) fn whole(&self, key: &str, example: &str, problems: &mut Problems<'_>) -> Option<At<u32>> {
        let value = self.required(key, example, problems)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            let what = format!("`{key}` is no whole number");
            problems.add(&value.span(), what, format!("write {key} = {example}"));
        }
        Some(At { value: number?, span: value.span() })
    }
}

/// A list of tables under a key.
#[derive(Clone, Copy)]
pub(super) struct List<'l> {
    pub(super) key: &'l str,
    /// What one of them is called in messages.
    pub(super) title: &'static str,
    pub(super) example: &'l str,
    /// How many there may be.
    pub(super) most: usize,
}

/// `value` as a list of texts: at least one, at most `most`, none twice.
pub(super) fn texts_of<'a>(
    key: &str,
    value: &'a Spanned<DeValue<'a>>,
    most: usize,
    example: &str,
    problems: &mut Problems<'_>,
) -> Option<Vec<At<&'a str>>> {
    let DeValue::Array(items) = value.get_ref() else {
        problems.add(&value.span(), format!("`{key}` is no list"), format!("write {key} = {example}"));
        return None;
    };
    if !(1..=most).contains(&items.len()) {
        let what = format!("`{key}` has {} entries", items.len());
        problems.add(&value.span(), what, format!("write 1 to {most}, such as {key} = {example}"));
        return None;
    }
    let mut texts: Vec<At<&str>> = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = text_of(key, item, example, problems) else { continue };
        if texts.iter().any(|other| other.value == text.value) {
            let what = format!("`{key}` has {} twice", shown(text.value));
            problems.add(&text.span, what, "remove one of the two".to_owned());
            continue;
        }
        texts.push(text);
    }
    (texts.len() == items.len()).then_some(texts)
}

/// `value` as text; notes when it is none.
pub(super) fn text_of<'a>(
    key: &str,
    value: &'a Spanned<DeValue<'a>>,
    example: &str,
    problems: &mut Problems<'_>,
) -> Option<At<&'a str>> {
    let span = value.span();
    let (kind, mend) = match value.get_ref() {
        DeValue::String(text) => return Some(At { value: text, span }),
        DeValue::Float(number) => (
            "a floating-point number, which cannot hold most decimals exactly",
            format!("write it in quotes: {key} = {:?}", number.as_str()),
        ),
        DeValue::Integer(number) => {
            ("a bare number", format!("write it in quotes: {key} = {:?}", number.to_string()))
        }
        DeValue::Boolean(_) => ("true or false", format!("write {key} = {example}")),
        DeValue::Datetime(_) => ("a date or time", format!("write it in quotes: {key} = {example}")),
        DeValue::Array(_) => ("a list", format!("write {key} = {example}")),
        DeValue::Table(_) => ("a table", format!("write {key} = {example}")),
    };
    problems.add(&span, format!("`{key}` is {kind}"), mend);
    None
}

/// The candidate that `text` most likely means, if one is near enough: up to two slips, fewer for short words.
pub(super) fn closest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    // A slip is no longer likely in a word that is much longer than any candidate, and comparing would be slow.
    if 64 < text.len() {
        return None;
    }
    let near = candidates.iter().map(|candidate| (slips(text, candidate), *candidate));
    near.filter(|(slips, candidate)| *slips <= 2.min(candidate.len() / 2))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be added, left out or replaced to get from one word to the other.
fn slips(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, letter) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in b.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != *other);
            current.push(replaced.min(above[column + 1] + 1).min(current[column] + 1));
        }
        above = current;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_noise_is_not() {
        let keys = ["meter", "unit_price", "included"];
        for (text, expected) in [
            ("unitprice", Some("unit_price")),
            ("unit-price", Some("unit_price")),
            ("metre", Some("meter")),
            ("incldued", Some("included")),
            ("minimum", None),
            ("", None),
        ] {
            assert_eq!(closest(text, &keys), expected, "{text}");
        }
        assert_eq!(closest(&"x".repeat(1_000_000), &keys), None);
    }
}
