//! The demo's mail: a real SMTP server that Weir has to log in to over TLS, and whether what it received is what was due.
//!
//! Which budgets are crossed is worked out here from the invoices, independently of Weir.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mail_parser::{MessageParser, MimeHeaders};
use rust_decimal::Decimal;

use super::invoices::Issued;
use super::report::Check;
use super::weir::Weir;
use crate::smtp::{Behaviour, PASSWORD, Received, SmtpServer, USER};

/// Below the data directory.
const DIRECTORY: &str = "mail-server";
/// How long mail may be on its way: months are rated every 5 s here, and mail is looked for as often.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);
const OPERATOR: &str = "operator@weir-demo.example";
/// What each tenant expects to spend: less than it will, and about as much.
const BUDGETS: [(&str, &str); 2] = [("alder", "60.00"), ("birch", "40.00")];
/// Of a budget, in percent, as the documentation promises.
const THRESHOLDS: [u32; 3] = [50, 80, 100];

/// Starts the server.
pub(super) fn start(data: &Path) -> Result<SmtpServer> {
    let server = SmtpServer::start(&data.join(DIRECTORY), Behaviour::Normal)?;
    std::fs::write(data.join(DIRECTORY).join("password"), PASSWORD)?;
    Ok(server)
}

/// How Weir reaches it.
pub(super) fn configuration(server: &SmtpServer, data: &Path) -> String {
    format!(
        "\n[mail]\nhost = \"localhost\"\nport = {}\ntls = \"starttls\"\nca_file = {:?}\nusername = \"{USER}\"\n\
         password_file = {:?}\nfrom = \"Weir demo <billing@weir-demo.example>\"\n\
         operator = \"{OPERATOR}\"\n",
        server.port(),
        server.ca_file(),
        data.join(DIRECTORY).join("password"),
    )
}

/// Addresses and budgets of the tenants.
pub(super) fn set_up_tenants(weir: &Weir) -> Result<()> {
    for (tenant, budget) in BUDGETS {
        weir.run(&["tenant", "set-email", tenant, &address(tenant)])?;
        weir.run(&["budget", "set", tenant, budget])?;
    }
    Ok(())
}

/// Waits for what is due, keeps each mail in `output`, and compares.
pub(super) fn collect(server: &SmtpServer, invoices: &[Issued], output: &Path) -> Result<Vec<Check>> {
    let due: BTreeMap<(String, String), usize> =
        invoices.iter().flat_map(due_of).map(|key| (key, 1)).collect();
    // One more than due would be wrong, too: it has had the time that the others took.
    let received = wait_for_tenants(server, due.len())?;
    let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut checks = Vec::new();
    for mail in &received {
        let message = MessageParser::default().parse(&mail.eml).context("a mail cannot be read")?;
        let subject = message.subject().unwrap_or_default().to_owned();
        let to = mail.envelope.to.join(", ");
        let about = about(&subject, invoices);
        let tenant = to.split(['@', '.']).nth(1).unwrap_or("nobody");
        let name = format!("mail-{tenant}-{about}.eml");
        std::fs::write(output.join(&name), &mail.eml).with_context(|| format!("cannot write {name}"))?;
        if mail.envelope.user.as_deref() != Some(USER) || !mail.envelope.over_tls {
            checks.push(Check::new(format!("{name} came over TLS, logged in"), false, "it did not"));
        }
        if let Some(number) = about.strip_suffix(".invoice") {
            let pdf = std::fs::read(output.join(format!("{number}.pdf")))?;
            let attached = message.attachments().find(|part| part.attachment_name().is_some());
            let is_same = attached.is_some_and(|part| part.contents() == pdf);
            checks.push(Check::new(
                format!("the PDF in the mail is {number}.pdf"),
                is_same,
                "another or none",
            ));
        }
        *found.entry((to, about)).or_default() += 1;
    }
    let is_right = found == due;
    let detail = format!("due were {:?}, received were {:?}", due.keys(), found);
    checks.push(Check::new(format!("{} mails, each once", due.len()), is_right, &detail));
    Ok(checks)
}

/// What tenants got. The operator's letters, about alerts, come on top: a killed control plane may well raise some.
fn wait_for_tenants(server: &SmtpServer, count: usize) -> Result<Vec<Received>> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut received = server.received()?;
        received.retain(|mail| !mail.envelope.to.iter().any(|to| to == OPERATOR));
        if count <= received.len() || end <= Instant::now() {
            return Ok(received);
        }
        std::thread::sleep(POLL);
    }
}

fn address(tenant: &str) -> String {
    format!("accounts@{tenant}.example")
}

/// What a tenant has to get: its invoice, and a warning for each threshold that its total reaches.
fn due_of(issued: &Issued) -> Vec<(String, String)> {
    let (tenant, total) = (issued.invoice.tenant.as_str(), issued.invoice.total.0);
    let to = address(tenant);
    let mut due = vec![(to.clone(), format!("{}.invoice", issued.invoice.number))];
    let budget = BUDGETS.iter().find(|(of, _)| *of == tenant).and_then(|(_, amount)| amount.parse().ok());
    let budget: Decimal = budget.unwrap_or(Decimal::MAX);
    for percent in THRESHOLDS {
        if budget.checked_mul(Decimal::from(percent)).is_some_and(|part| part <= total * Decimal::ONE_HUNDRED)
        {
            due.push((to.clone(), format!("{percent}-percent")));
        }
    }
    due
}

/// What a mail is about, by its subject: an invoice's number, or a threshold.
fn about(subject: &str, invoices: &[Issued]) -> String {
    let number =
        invoices.iter().map(|issued| &issued.invoice.number).find(|number| subject.contains(*number));
    if let Some(number) = number {
        return format!("{number}.invoice");
    }
    let has = |percent: &u32| {
        subject.contains(&format!("{percent} %")) || subject.contains(&format!("{percent}\u{a0}%"))
    };
    match THRESHOLDS.iter().find(|percent| has(percent)) {
        Some(percent) => format!("{percent}-percent"),
        None if subject.ends_with("is spent") => "100-percent".to_owned(),
        None => "unexpected".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plans::GUESTS;
    use super::*;

    #[test]
    fn every_tenant_of_the_play_has_a_budget() {
        for guest in GUESTS {
            assert!(BUDGETS.iter().any(|(tenant, _)| *tenant == guest.tenant), "{}", guest.tenant);
        }
    }
}
