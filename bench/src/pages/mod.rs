//! Every page of the portal against its own bare SQL: over HTTP with a session, from a database with the usage of a
//! thousand instances, in turn with the very statements that the page asks, sent by a bare connection.
//!
//! What a page may take is 1.5 times its bare SQL and the time of the smallest page, both of the same run. It judges
//! nothing: what is above is marked.

mod capture;
mod figures;
mod guests;
mod replay;
mod site;
mod tour;
mod world;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dashboards::Portal;
use jiff::Timestamp;
use migrations::{Database, PoolLimits};
use tokio_postgres::Client;

use self::capture::{Log, Step};
pub use self::figures::Pages;
use self::figures::{Page, Times};
use self::replay::Replay;
use self::site::Site;
use self::tour::Stop;
pub use self::world::usage_settings;
use crate::cluster::Cluster;
use crate::report::Report;

/// How often a page is asked for before anything counts: caches are filled, statements prepared. PostgreSQL decides on a
/// statement's plan after five times.
const WARM_UP: usize = 8;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub tenants: u32,
    pub instances: u32,
    pub days: u32,
    pub reading_days: u32,
    pub rounds: usize,
}

/// A page with what it asks, while it is measured.
struct Subject {
    stop: Stop,
    steps: Vec<Step>,
    bytes: usize,
    assets: usize,
    rows: usize,
    page: Vec<Duration>,
    sql: Vec<Duration>,
    each: Vec<Vec<Duration>>,
}

/// Measures it on a private cluster, which is kept and used again where `data` says so; `explain` is where PostgreSQL's
/// plans go.
///
/// # Errors
/// PostgreSQL cannot be run, or a page does not answer.
pub fn measure(size: Size, data: Option<&Path>, explain: Option<&Path>, report: &mut Report) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let cluster = Cluster::start(data).await?;
        let measured = measure_on(&cluster, size, explain).await;
        cluster.stop().await;
        report.add_pages(measured?);
        Ok(())
    })
}

async fn measure_on(cluster: &Cluster, size: Size, explain: Option<&Path>) -> Result<Pages> {
    let url = cluster.server.url();
    migrations::migrate(url).await?;
    let database = Database::connect(url, PoolLimits::default()).await?;
    let superuser = cluster.superuser().await?;
    let now = Timestamp::now();
    if accounts::users::any_exist(&database).await? {
        eprintln!("  what is there is used again");
    } else {
        world::meter(&database, size, now).await?;
        settle(&superuser).await?;
        world::bill(&database, now).await?;
        settle(&superuser).await?;
    }
    let people = world::people(&database, now).await?;
    let portal = Portal { secure_cookies: false, usage: usage_settings() };
    // A pool of its own: the other one has connections that know other statements.
    let site = Site::serve(Database::connect(url, PoolLimits::default()).await?, portal)?;
    let stops = tour::stops(&site, &people).await?;
    let mut subjects = subjects(&site, stops, &superuser, cluster).await?;
    let mut replay = Replay::connect(url).await?;
    for subject in &mut subjects {
        replay.prepare(&subject.steps).await?;
    }
    if let Some(path) = explain {
        explain_all(&replay, &subjects, path).await?;
    }
    rounds(&site, &replay, &mut subjects, size.rounds).await?;
    site.stop().await;
    Pages::new(size, subjects.into_iter().map(page).collect()).context("nothing was measured")
}

/// What autovacuum does of itself within minutes: statements are planned by what is there.
async fn settle(superuser: &Client) -> Result<()> {
    superuser.batch_execute("VACUUM ANALYZE").await?;
    Ok(superuser.batch_execute("CHECKPOINT").await?)
}

/// What each page weighs and asks.
async fn subjects(
    site: &Site,
    stops: Vec<Stop>,
    superuser: &Client,
    cluster: &Cluster,
) -> Result<Vec<Subject>> {
    eprintln!("  {} pages: what each asks, by PostgreSQL's log", stops.len());
    let (mut subjects, mut known) = (Vec::new(), HashMap::new());
    let log = Log::open(superuser, cluster.server.log_file()).await?;
    for stop in stops {
        let session = stop.session.as_deref();
        // Twice: the first may write that the session is used, and prepare what the connection did not know.
        site.get(session, &stop.path).await?;
        let (answer, steps) = log.during(site.get(session, &stop.path)).await?;
        ensure!(answer.status == 200 || answer.status == 404, "{} answers {}", stop.path, answer.status);
        let assets = site.assets(&answer.body, &mut known).await?;
        subjects.push(Subject {
            each: vec![Vec::new(); capture::statements(&steps)],
            bytes: answer.body.len(),
            assets,
            rows: 0,
            page: Vec::new(),
            sql: Vec::new(),
            steps,
            stop,
        });
    }
    log.close().await?;
    Ok(subjects)
}

/// Asks for each page and for its bare SQL in turn; who comes first changes from round to round.
async fn rounds(site: &Site, replay: &Replay, subjects: &mut [Subject], rounds: usize) -> Result<()> {
    let begun = Instant::now();
    for round in 0..WARM_UP + rounds {
        let counts = WARM_UP <= round;
        if counts && (round - WARM_UP).is_multiple_of(50) {
            eprintln!("  {:>4} s: round {} of {rounds}", begun.elapsed().as_secs(), round - WARM_UP);
        }
        for subject in subjects.iter_mut() {
            if round.is_multiple_of(2) {
                subject.ask_sql(replay, counts).await?;
                subject.ask_page(site, counts).await?;
            } else {
                subject.ask_page(site, counts).await?;
                subject.ask_sql(replay, counts).await?;
            }
        }
    }
    Ok(())
}

impl Subject {
    async fn ask_page(&mut self, site: &Site, counts: bool) -> Result<()> {
        let answer = site.get(self.stop.session.as_deref(), &self.stop.path).await?;
        ensure!(answer.status == 200 || answer.status == 404, "{} answers {}", self.stop.path, answer.status);
        if counts {
            self.page.push(answer.took);
        }
        Ok(())
    }

    async fn ask_sql(&mut self, replay: &Replay, counts: bool) -> Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        let took = replay.run(&self.steps).await?;
        self.rows = took.rows;
        if counts {
            self.sql.push(took.all);
            for (times, time) in self.each.iter_mut().zip(took.each) {
                times.push(time);
            }
        }
        Ok(())
    }
}

async fn explain_all(replay: &Replay, subjects: &[Subject], path: &Path) -> Result<()> {
    let mut text = String::new();
    for subject in subjects {
        let plans = replay.explain(&subject.steps).await?;
        text.push_str(&format!("=== {} ({})\n{plans}\n", subject.stop.name, subject.stop.path));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

fn page(subject: Subject) -> Page {
    let texts = subject.steps.iter().filter_map(|step| match step {
        Step::Prepared(text, _) => Some(text.clone()),
        Step::Plain(_) | Step::Rollback => None,
    });
    let statements = texts.zip(&subject.each).map(|(text, times)| (text, Times::of(times).p50_ms)).collect();
    Page {
        transactions: capture::transactions(&subject.steps),
        statements,
        rows: subject.rows,
        sql: Times::of(&subject.sql),
        page: Times::of(&subject.page),
        bytes: subject.bytes,
        asset_bytes: subject.assets,
        name: subject.stop.name,
        path: subject.stop.path,
    }
}
