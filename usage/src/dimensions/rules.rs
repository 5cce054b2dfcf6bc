//! Rules of the configuration that give dimensions by themselves: by a volume's pool, a NIC's network, an instance's image, node
//! or name. What a person says goes before them.

use jiff::Timestamp;
use metering::WindowLength;
use migrations::{Database, Scope};
use tokio_postgres::types::ToSql;

use super::{DimensionError, check_words};

/// Who gives what rules give.
const AUTHOR: &str = "configuration";

/// What a rule looks at. `*` stands for any characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// Volumes in pools of this name.
    Pool(String),
    /// Instances on nodes of this name.
    Node(String),
    /// Instances of this name.
    Instance(String),
    /// Instances whose first disk was made from an image at this path.
    Image(String),
    /// NICs in a network, or on a bridge or a device of the node, of this name.
    Network(String),
}

/// A rule. The first that matches gives a name's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// For what.
    pub applies_to: Match,
    /// Which dimension.
    pub name: String,
    /// Which value.
    pub value: String,
}

impl Rule {
    /// A rule.
    ///
    /// # Errors
    /// The name or the value cannot be one.
    pub fn new(applies_to: Match, name: &str, value: &str) -> Result<Self, DimensionError> {
        check_words(name, Some(value))?;
        Ok(Self { applies_to, name: name.to_owned(), value: value.to_owned() })
    }
}

/// Gives everything that is not gone what the rules say, and takes away what no rule gives any more: how many values
/// changed. From the next usage window on; for what was first seen in this window or the one before, from its first.
///
/// # Errors
/// The database fails.
pub async fn apply_rules(
    db: &Database,
    rules: &[Rule],
    window: WindowLength,
    now: Timestamp,
) -> Result<u64, DimensionError> {
    let whats: Vec<&str> = rules.iter().map(|rule| rule.applies_to.parts().0).collect();
    let patterns: Vec<String> = rules.iter().map(|rule| like(rule.applies_to.parts().1)).collect();
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let values: Vec<&str> = rules.iter().map(|rule| rule.value.as_str()).collect();
    let current = window.window_of(now);
    let since = window.window_of(current.start() - std::time::Duration::from_micros(1)).start();
    let seconds = i32::try_from(window.seconds()).unwrap_or(i32::MAX);
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("put_rule_dimensions")).await?;
    let params: [&(dyn ToSql + Sync); 9] = [
        &whats,
        &patterns,
        &names,
        &values,
        &since,
        &current.end(),
        &seconds,
        &AUTHOR,
        &metering::micros(now),
    ];
    let changed = transaction.execute(&statement, &params).await?;
    transaction.commit().await?;
    Ok(changed)
}

impl Match {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Pool(name) => ("pool", name),
            Self::Node(name) => ("node", name),
            Self::Instance(name) => ("instance", name),
            Self::Image(path) => ("image", path),
            Self::Network(name) => ("network", name),
        }
    }
}

/// A pattern as PostgreSQL's LIKE reads it.
fn like(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '*' => text.push('%'),
            '%' | '_' | '\\' => text.extend(['\\', c]),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_star_stands_for_others() {
        for (pattern, expected) in
            [("fast", "fast"), ("win-*", "win-%"), ("a_b%c\\", "a\\_b\\%c\\\\"), ("*", "%")]
        {
            assert_eq!(like(pattern), expected);
        }
    }
}
