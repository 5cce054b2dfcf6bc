//! The bare SQL of a page: the statements that PostgreSQL logged of it, in their transactions, by a connection of its own
//! that has prepared them before, with every row read. What it costs is what no page of these statements can go below.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::BytesMut;
use futures_util::FutureExt as _;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::capture::Step;

/// What the pool tells each of its connections.
const ON_CONNECT: &str = "SET ROLE weir_app; SET timezone = 'UTC'";

/// A connection with what it has prepared.
pub struct Replay {
    client: Client,
    prepared: HashMap<String, Statement>,
}

/// How long it took, as a whole and each prepared statement.
pub struct Took {
    pub all: Duration,
    pub each: Vec<Duration>,
    pub rows: usize,
}

/// A parameter as PostgreSQL wrote it: the server reads it as it would read a literal.
#[derive(Debug)]
struct Text(String);

impl ToSql for Text {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

impl Replay {
    /// # Errors
    /// The server does not answer.
    pub async fn connect(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(ON_CONNECT).await?;
        Ok(Self { client, prepared: HashMap::new() })
    }

    /// Prepares whatever is not yet.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn prepare(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            if let Step::Prepared(text, _) = step
                && !self.prepared.contains_key(text)
            {
                let statement = self.client.prepare(text).await.with_context(|| text.clone())?;
                self.prepared.insert(text.clone(), statement);
            }
        }
        Ok(())
    }

    /// Carries them out, once.
    ///
    /// # Errors
    /// The server refuses, or something was not prepared.
    pub async fn run(&self, steps: &[Step]) -> Result<Took> {
        let (mut each, mut rows) = (Vec::new(), 0);
        let started = Instant::now();
        for step in steps {
            match step {
                Step::Plain(text) => self.client.batch_execute(text).await?,
                // As the end of a transaction does that is not committed: the request goes out, nobody waits.
                Step::Rollback => drop(self.client.batch_execute("ROLLBACK").now_or_never()),
                Step::Prepared(text, parameters) => {
                    let since = Instant::now();
                    let statement = self.prepared.get(text).context("a statement that was not prepared")?;
                    rows += self.query(statement, parameters).await?.len();
                    each.push(since.elapsed());
                }
            }
        }
        let all = started.elapsed();
        // Whatever is still under way belongs to nobody's time.
        self.client.batch_execute("").await?;
        Ok(Took { all, each, rows })
    }

    /// How the server carries them out, each in its transaction.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn explain(&self, steps: &[Step]) -> Result<String> {
        let mut text = String::new();
        for step in steps {
            match step {
                Step::Plain(text) => self.client.batch_execute(text).await?,
                Step::Rollback => self.client.batch_execute("ROLLBACK").await?,
                Step::Prepared(statement, parameters) => {
                    let asked = format!("EXPLAIN (ANALYZE, BUFFERS) {statement}");
                    let prepared = self.client.prepare(&asked).await?;
                    writeln!(text, "{statement}\n{parameters:?}")?;
                    for row in self.query(&prepared, parameters).await? {
                        writeln!(text, "    {}", row.try_get::<_, &str>(0)?)?;
                    }
                }
            }
        }
        Ok(text)
    }

    async fn query(&self, statement: &Statement, parameters: &[Option<String>]) -> Result<Vec<Row>> {
        let owned: Vec<Option<Text>> = parameters.iter().map(|value| value.clone().map(Text)).collect();
        let borrowed: Vec<&(dyn ToSql + Sync)> =
            owned.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        Ok(self.client.query(statement, &borrowed).await?)
    }
}
