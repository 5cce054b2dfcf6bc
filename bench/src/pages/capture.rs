//! What a page asks of PostgreSQL, as PostgreSQL's own log has it: every statement with its parameters, in order, with the
//! beginnings and ends of transactions. It does NOT guess from the source.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::sleep;
use tokio_postgres::Client;

/// What the lines begin with while statements are logged, before the process and a bar: told from everything else.
const PREFIX: &str = "weir-bench-line|";

/// The bench is alone on its server, which logs a statement before it carries it out: what is not there by now, such as
/// the rollback behind a page, comes from nowhere else.
const SETTLE: Duration = Duration::from_millis(60);

/// Until every connection of the pool has read its new settings.
const RELOAD: Duration = Duration::from_millis(500);

/// One message to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Text alone: `BEGIN`, the scope, `COMMIT`.
    Plain(String),
    /// What ends a transaction that only read: sent, and not waited for.
    Rollback,
    /// A prepared statement with its parameters, as text.
    Prepared(String, Vec<Option<String>>),
}

/// The log of a server whose superuser is `client`.
pub struct Log<'a> {
    client: &'a Client,
    path: PathBuf,
}

impl<'a> Log<'a> {
    /// Makes the server log every statement.
    ///
    /// # Errors
    /// It refuses.
    pub async fn open(client: &'a Client, path: PathBuf) -> Result<Self> {
        for setting in [
            format!("log_line_prefix = '{PREFIX}%p|'"),
            "log_parameter_max_length = -1".to_owned(),
            "log_min_duration_statement = -1".to_owned(),
            "log_statement = 'all'".to_owned(),
        ] {
            client.batch_execute(&format!("ALTER SYSTEM SET {setting}")).await?;
        }
        client.batch_execute("SELECT pg_reload_conf()").await?;
        sleep(RELOAD).await;
        Ok(Self { client, path })
    }

    /// What is asked while `work` goes on.
    ///
    /// # Errors
    /// The work fails, or the log cannot be read.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<(T, Vec<Step>)> {
        sleep(SETTLE).await;
        let from = self.path.metadata()?.len();
        let done = work.await?;
        sleep(SETTLE).await;
        Ok((done, steps(&read_from(&self.path, from)?)?))
    }

    /// Makes the server log what it always does.
    ///
    /// # Errors
    /// It refuses.
    pub async fn close(self) -> Result<()> {
        self.client.batch_execute("ALTER SYSTEM RESET ALL").await?;
        self.client.batch_execute("SELECT pg_reload_conf()").await?;
        sleep(RELOAD).await;
        Ok(())
    }
}

/// How many transactions there are.
pub fn transactions(steps: &[Step]) -> usize {
    steps.iter().filter(|step| is_begin(step)).count()
}

/// How many prepared statements there are.
pub fn statements(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Prepared(..))).count()
}

fn read_from(path: &Path, from: u64) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("failed to read {}", path.display()))?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// A log's messages, whose further lines begin with a tab. Each transaction is put together: what ends one on its
/// connection may be logged behind the beginning of the next one on another.
fn steps(log: &str) -> Result<Vec<Step>> {
    let mut transactions: Vec<(&str, Vec<Step>)> = Vec::new();
    for line in log.split(PREFIX).skip(1) {
        let (process, message) = line.split_once('|').context("a line without a process in the log")?;
        let message = message.strip_suffix('\n').unwrap_or(message).replace("\n\t", "\n");
        let open = transactions.iter_mut().rev().find(|(known, _)| *known == process).map(|(_, steps)| steps);
        if let Some(text) = message.strip_prefix("LOG:  statement: ") {
            let step = if text == "ROLLBACK" { Step::Rollback } else { Step::Plain(text.to_owned()) };
            match open {
                Some(open) if !is_begin(&step) => open.push(step),
                _ => transactions.push((process, vec![step])),
            }
        } else if let Some(text) = message.strip_prefix("LOG:  execute ") {
            let (_, text) = text.split_once(": ").context("a statement without a name in the log")?;
            let open = open.context("a statement outside of any transaction in the log")?;
            open.push(Step::Prepared(text.to_owned(), Vec::new()));
        } else if let Some(text) = parameters_of(&message) {
            match open.and_then(|open| open.last_mut()) {
                Some(Step::Prepared(_, parameters)) => *parameters = parameters_from(text)?,
                _ => bail!("parameters without a statement in the log: {message}"),
            }
        } else {
            bail!("the log says something unexpected: {message}");
        }
    }
    Ok(transactions.into_iter().flat_map(|(_, steps)| steps).collect())
}

fn is_begin(step: &Step) -> bool {
    matches!(step, Step::Plain(text) if text.starts_with("BEGIN") || text.starts_with("START"))
}

/// PostgreSQL 16 writes it with a capital.
fn parameters_of(message: &str) -> Option<&str> {
    let detail = message.strip_prefix("DETAIL:  ")?;
    detail.strip_prefix("parameters: ").or_else(|| detail.strip_prefix("Parameters: "))
}

/// `$1 = 'it''s', $2 = NULL`
fn parameters_from(mut text: &str) -> Result<Vec<Option<String>>> {
    let mut parameters = Vec::new();
    while !text.is_empty() {
        let (_, value) = text.split_once(" = ").context("a parameter without a value")?;
        if let Some(rest) = value.strip_prefix("NULL") {
            parameters.push(None);
            text = rest.strip_prefix(", ").unwrap_or(rest);
            continue;
        }
        let mut rest = value.strip_prefix('\'').context("a parameter without quotes")?;
        let mut found = String::new();
        loop {
            let (part, after) = rest.split_once('\'').context("a parameter without an end")?;
            found.push_str(part);
            rest = after;
            match rest.strip_prefix('\'') {
                Some(after) => {
                    found.push('\'');
                    rest = after;
                }
                None => break,
            }
        }
        parameters.push(Some(found));
        text = rest.strip_prefix(", ").unwrap_or(rest);
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_as_it_was_asked() {
        let log = "some line of before\n\
            weir-bench-line|7|LOG:  statement: START TRANSACTION\n\
            weir-bench-line|7|LOG:  execute s12: SELECT a,\n\t       b\n\tFROM t WHERE a = $1\n\
            weir-bench-line|7|DETAIL:  parameters: $1 = 'it''s, $2 = ''x''', $2 = NULL, $3 = '', $4 = 'two\n\tlines'\n\
            weir-bench-line|8|LOG:  statement: BEGIN\n\
            weir-bench-line|7|LOG:  statement: ROLLBACK\n\
            weir-bench-line|8|LOG:  execute s13: SELECT 1\n\
            weir-bench-line|8|LOG:  statement: ROLLBACK\n";
        let text = |text: &str| Some(text.to_owned());
        let asked = vec![text("it's, $2 = 'x'"), None, text(""), text("two\nlines")];
        assert_eq!(
            steps(log).unwrap(),
            [
                Step::Plain("START TRANSACTION".to_owned()),
                Step::Prepared("SELECT a,\n       b\nFROM t WHERE a = $1".to_owned(), asked),
                Step::Rollback,
                Step::Plain("BEGIN".to_owned()),
                Step::Prepared("SELECT 1".to_owned(), Vec::new()),
                Step::Rollback,
            ]
        );
    }

    #[test]
    fn a_log_that_is_not_understood_is_no_measurement() {
        for bad in ["7|ERROR:  no", "7|DETAIL:  parameters: $1 = '1'", "7|LOG:  execute s1: SELECT 1", "7"] {
            assert!(steps(&format!("{PREFIX}{bad}\n")).is_err(), "{bad}");
        }
    }
}
