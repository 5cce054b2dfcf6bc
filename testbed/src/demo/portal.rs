//! The demo's look at the portal: a person logs in with a real browser, looks around, and takes pictures; what the pages
//! say is compared with the invoice. It knows addresses and words of the portal, nothing of its code.

use std::path::Path;

use anyhow::{Context, Result};

use super::invoices::Issued;
use super::records::GuestRecord;
use super::report::Check;
use super::weir::Weir;
use crate::browser::{Browser, Theme};

/// Of the demo's users: the demo is on loopback, and its data is nobody's.
pub(super) const PASSWORD: &str = "a weir in a stream";
const WIDE: u32 = 1_440;
const PHONE: u32 = 360;
const HEIGHT: u32 = 900;

/// Name, role, and tenant of those who may log in.
pub(super) const USERS: [(&str, &str, Option<&str>); 4] = [
    ("provider", "provider", None),
    ("planner", "planner", None),
    ("alder", "tenant", Some("alder")),
    ("birch", "tenant", Some("birch")),
];

/// Adds the users.
pub(super) fn add_users(weir: &Weir) -> Result<()> {
    for (name, role, tenant) in USERS {
        let mut arguments = vec!["user", "create", name, "--role", role, "--password-stdin"];
        arguments.extend(tenant.iter().flat_map(|tenant| ["--tenant", tenant]));
        weir.run_with(&arguments, PASSWORD)?;
    }
    Ok(())
}

/// What is to be seen only while the guests run: an instance at work, and nodes that hold something.
pub(super) fn look_at_work(weir: &Weir, output: &Path) -> Result<()> {
    let capacity = output.join("capacity.pdf");
    weir.run(&[
        "capacity",
        "--output",
        capacity.to_str().context("the output directory's name is not UTF-8")?,
    ])?;
    // After the command, which waits for an outage to end by itself.
    let _undisturbed = weir.undisturbed();
    let browser = Browser::open(WIDE, HEIGHT, Theme::Dark)?;
    let visitor = Visitor { browser: &browser, url: &weir.url(), output };
    visitor.log_in(USERS[0].0)?;
    browser.goto(&format!("{}/capacity", weir.url()))?;
    visitor.picture("portal-6-capacity", WIDE, Theme::Light)?;
    browser.goto(&format!("{}/instances", weir.url()))?;
    browser.follow("weir-demo-web")?;
    let address = browser.url()?;
    browser.goto(&format!("{}?range=15m", address.split('?').next().unwrap_or(&address)))?;
    browser.wait_for("the charts", "document.querySelectorAll('main canvas').length >= 3")?;
    visitor.picture("portal-2-instance", WIDE, Theme::Dark)
}

/// Takes the pictures into `output`, and compares what the pages say.
pub(super) fn look(
    weir: &Weir,
    records: &[GuestRecord],
    invoices: &[Issued],
    output: &Path,
) -> Result<Vec<Check>> {
    let tenant = records.first().context("there was no guest")?.plan.tenant;
    let issued = invoices.iter().find(|one| one.invoice.tenant == tenant).context("there is no invoice")?;
    let browser = Browser::open(WIDE, HEIGHT, Theme::Light)?;
    let visitor = Visitor { browser: &browser, url: &weir.url(), output };
    let checks = visitor.as_tenant(tenant, issued)?;
    visitor.as_provider()?;
    Ok(checks)
}

struct Visitor<'a> {
    browser: &'a Browser,
    url: &'a str,
    output: &'a Path,
}

impl Visitor<'_> {
    fn as_tenant(&self, tenant: &str, issued: &Issued) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        self.log_in(tenant)?;
        // The running month holds what the invoice holds: nothing else was used.
        let total = issued.invoice.total.0.to_string();
        self.browser.goto(self.url)?;
        let overview = self.browser.text("main")?;
        checks.push(Check::new(
            format!("the portal's month to date of {tenant} is {total}"),
            overview.contains(&total),
            "the overview shows another amount",
        ));
        self.picture("portal-1-overview", WIDE, Theme::Light)?;
        self.picture("portal-1-overview-phone", PHONE, Theme::Dark)?;

        self.browser.goto(&format!("{}/usage", self.url))?;
        self.picture("portal-3-usage", WIDE, Theme::Light)?;

        self.browser.goto(&format!("{}/tenants/{tenant}/invoices/{}", self.url, issued.invoice.number))?;
        self.picture("portal-4-invoice", WIDE, Theme::Light)?;
        checks.extend(self.why(issued)?);
        self.browser.goto(self.url)?;
        self.browser.click("form[action='/logout'] button")?;
        Ok(checks)
    }

    /// Three clicks: from a line to its resources, to the windows of one, to the readings at the edges of one.
    fn why(&self, issued: &Issued) -> Result<Vec<Check>> {
        let written =
            issued.invoice.lines.iter().position(|line| line.meter.as_deref() == Some("disk_write_bytes"));
        let position = written.context("nothing was written")? + 1;
        let quantity = issued.invoice.lines[position - 1].base_quantity;
        self.browser.click(&format!("main a[href$='/lines/{position}']"))?;
        let resources = self.browser.text("main")?;
        self.browser.click("main a[href*='/windows?']")?;
        // The first window may be the second before the guest did anything.
        self.browser.click("main tbody tr:last-child a[href*='/readings?']")?;
        self.picture("portal-5-why", WIDE, Theme::Light)?;
        let shown = digits(&resources).contains(&quantity.to_string());
        let what = format!("the portal explains {quantity} bytes written");
        Ok(vec![Check::new(what, shown, "the page of the line shows another quantity")])
    }

    fn as_provider(&self) -> Result<()> {
        self.log_in("provider")?;
        self.browser.goto(self.url)?;
        self.picture("portal-7-provider", WIDE, Theme::Dark)
    }

    fn log_in(&self, name: &str) -> Result<()> {
        self.browser.show_as(WIDE, HEIGHT, Theme::Light)?;
        self.browser.goto(&format!("{}/login", self.url))?;
        self.browser.fill("#name", name)?;
        self.browser.fill("#password", PASSWORD)?;
        self.browser.click("form[action='/login'] button")?;
        self.browser.wait_for("the log-in", "!location.pathname.startsWith('/login')")
    }

    fn picture(&self, name: &str, width: u32, theme: Theme) -> Result<()> {
        self.browser.show_as(width, HEIGHT, theme)?;
        self.browser.picture(&self.output.join(format!("{name}.png")), width)
    }
}

/// The text without what groups digits.
fn digits(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ',' | '\u{a0}' | '\u{202f}' | '\u{2009}')).collect()
}
