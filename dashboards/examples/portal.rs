//! Serves the portal over a database of its own with a small cloud in it, whose node goes on being read: for looking at
//! pages, by people and by the tests that drive a browser. Needs PostgreSQL and nothing else.
//!
//! `cargo run -p dashboards --example portal -- 127.0.0.1:8099`, then log in as `admin`, `planner`, `ada` or `kim` with the
//! password that it prints.

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpServer};
use dashboards::Live;
use jiff::Timestamp;

/// As often as a collector in a hurry.
const READING_INTERVAL: Duration = Duration::from_secs(10);

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8099".to_owned());
    let test = migrations::testing::database().await;
    let database = test.database();
    let mut world = support::world::world(&database, Timestamp::now()).await;
    println!("http://{listen}: admin, planner, ada, kim; password: {}", support::PASSWORD);
    let pool = database.clone();
    actix_web::rt::spawn(async move {
        loop {
            actix_web::rt::time::sleep(READING_INTERVAL).await;
            let now = Timestamp::now();
            world.node.look_at(&[now]).await;
            world.node.derive(&pool, support::usage_settings(), now).await;
            world.rate(&pool, now).await;
        }
    });
    HttpServer::new(move || {
        let live: Arc<dyn Live> = Arc::new(support::Fine);
        App::new().wrap(dashboards::headers()).configure(dashboards::configure(
            database.clone(),
            live,
            support::portal(),
        ))
    })
    .workers(2)
    .bind(listen)?
    .run()
    .await
}
