//! Ingest against bare binary COPY of the same rows into the same table.

use anyhow::Result;
use migrations::{Database, PoolLimits};
use usage::bench::{bare_copy, ingest_rows};

use crate::cluster::Cluster;
use crate::report::{REPEATS, Report};

/// Rows of a repeat: some seconds' worth, beyond what stays in shared buffers.
const ROWS: usize = 200_000;
/// A node with 200 instances after 5 readings that were held up, and one that catches up after an outage.
const BATCHES: [usize; 2] = [1_000, 10_000];

/// Measures it on a private cluster in a temporary directory.
///
/// # Errors
/// PostgreSQL cannot be run.
pub fn measure(report: &mut Report) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let cluster = Cluster::start(None).await?;
        let measured = measure_on(cluster.server.url(), report).await;
        cluster.stop().await;
        measured
    })
}

async fn measure_on(url: &str, report: &mut Report) -> Result<()> {
    migrations::migrate(url).await?;
    let database = Database::connect(url, PoolLimits::default()).await?;
    for batch_size in BATCHES {
        let (mut weir, mut limit) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            limit.push(bare_copy(&database, ROWS, batch_size).await?.rows_per_second() as f64);
            weir.push(ingest_rows(&database, ROWS, batch_size).await?.rows_per_second() as f64);
        }
        report.add(
            format!("ingest, batches of {batch_size}"),
            "rows/s",
            &weir,
            &limit,
            "bare COPY BINARY into the same table",
        );
    }
    Ok(())
}
