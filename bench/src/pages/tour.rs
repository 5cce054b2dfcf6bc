//! Which pages are asked for, by whom: every page of the navigation and what it leads to. Addresses with numbers and
//! places in them are found as a person finds them, by following links.

use anyhow::{Context, Result};
use metering::InstanceId;

use super::guests;
use super::site::{Site, addresses};
use super::world::{People, TENANT};

/// How many times "Next page" is followed for the place deep in the list.
const PAGES_DEEP: usize = 10;

/// A page to ask for.
pub struct Stop {
    /// `tenant /usage, a month`.
    pub name: String,
    pub path: String,
    pub session: Option<String>,
}

/// Who asks.
struct Walk<'a> {
    site: &'a Site,
    role: &'static str,
    session: &'a str,
    stops: Vec<Stop>,
}

/// All of them. The first is the log-in page, which asks PostgreSQL nothing.
///
/// # Errors
/// A page does not lead to where it should.
pub async fn stops(site: &Site, people: &People) -> Result<Vec<Stop>> {
    let mut stops = vec![
        Stop { name: "log-in".to_owned(), path: "/login".to_owned(), session: None },
        Stop { name: "no such page".to_owned(), path: "/no-such-page".to_owned(), session: None },
    ];
    for (role, session) in
        [("tenant", &people.tenant), ("provider", &people.provider), ("planner", &people.planner)]
    {
        let mut walk = Walk { site, role, session, stops: Vec::new() };
        walk.everybody().await?;
        match role {
            "tenant" => walk.tenant().await?,
            "provider" => walk.provider().await?,
            _ => walk.add("capacity", "/capacity"),
        }
        stops.append(&mut walk.stops);
    }
    Ok(stops)
}

impl Walk<'_> {
    fn add(&mut self, what: &str, path: impl Into<String>) {
        let name = format!("{}: {what}", self.role);
        self.stops.push(Stop { name, path: path.into(), session: Some(self.session.to_owned()) });
    }

    /// The first link of a page that has all of `words` in it.
    async fn link(&self, page: &str, words: &[&str]) -> Result<String> {
        let body = self.site.page(Some(self.session), page).await?;
        addresses(&body)
            .find(|path| words.iter().all(|word| path.contains(word)))
            .with_context(|| format!("{page} has no link with {words:?}"))
    }

    async fn everybody(&mut self) -> Result<()> {
        let instance = format!("/instances/{}", guests::instance_id(0));
        self.add("overview", "/");
        self.add("instances, first page", "/instances");
        self.add("instances, search", "/instances?q=00004");
        let mut deep = "/instances".to_owned();
        for _ in 0..PAGES_DEEP {
            match self.link(&deep, &["after="]).await {
                Ok(next) => deep = next,
                Err(_) => break,
            }
        }
        self.add("instances, deep", deep);
        self.add("instance", &instance);
        // What the planner draws is what the provider draws.
        let ranges: &[&str] = if self.role == "planner" { &[] } else { &["1h", "24h", "30d"] };
        for range in ranges {
            self.add(&format!("chart.json {range}"), format!("{instance}/chart.json?range={range}"));
        }
        self.add("status", "/status");
        Ok(())
    }

    async fn money(&mut self, tenant: &str) -> Result<()> {
        self.add("invoices", "/invoices");
        let invoice = self.link("/invoices", &[&format!("/tenants/{TENANT}/invoices/")]).await;
        let invoice = match invoice {
            Ok(invoice) => invoice,
            Err(_) => {
                let of_tenant = format!("/invoices?tenant={TENANT}");
                self.link(&of_tenant, &[&format!("/tenants/{TENANT}/invoices/")]).await?
            }
        };
        self.add("invoice", &invoice);
        let line = self.link(&invoice, &["/lines/"]).await?;
        self.add("why: a line", line);
        self.add("draft", format!("/tenants/{TENANT}/draft"));
        let line = self.link(&format!("/tenants/{TENANT}/draft"), &["/lines/"]).await?;
        self.add("why: a line of the draft", &line);
        let id: InstanceId = guests::instance_id(0);
        let windows = self.link(&line, &["/windows", &id.to_string()]).await?;
        self.add("why: windows", &windows);
        let readings = self.link(&windows, &["/readings"]).await?;
        self.add("why: readings", readings);
        let month = self.link(&format!("/usage{tenant}"), &["/usage?month="]).await?;
        self.add("usage, the month before", month);
        let meter = self.link(&format!("/usage{tenant}"), &["meter="]).await?;
        self.add("usage, a meter", &meter);
        let resource = self.link(&meter, &["resource="]).await?;
        self.add("usage, a resource", resource);
        self.add("tokens", "/tokens");
        Ok(())
    }

    async fn tenant(&mut self) -> Result<()> {
        self.add("usage", "/usage");
        self.add("budget", "/budget");
        self.money("").await
    }

    async fn provider(&mut self) -> Result<()> {
        self.add("usage, everybody", "/usage");
        let meter = self.link("/usage", &["meter="]).await?;
        self.add("usage, a meter, everybody", meter);
        self.add("usage, a tenant", format!("/usage?tenant={TENANT}"));
        self.add("capacity", "/capacity");
        self.add("tenants", "/tenants");
        self.add("tenant", format!("/tenants/{TENANT}"));
        self.money(&format!("?tenant={TENANT}")).await
    }
}
