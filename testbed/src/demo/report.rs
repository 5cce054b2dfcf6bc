//! The report: for every guest and meter what was ordered, counted, read, used and invoiced, and whether it is right.
//!
//! Written as JSON with keys in a fixed order; whole numbers as they are, money as text.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

use super::Records;
use super::claims::Claims;
use super::invoices::Issued;
use super::judge::{self, Bounds, Evidence, Ordered, Rule};
use super::truths::{METERS, MeterTruth};
use crate::virt_type;

/// What a report is made of.
pub(super) struct Facts<'a> {
    pub(super) weir_version: String,
    pub(super) period: (Timestamp, Timestamp),
    pub(super) records: &'a Records,
    pub(super) truths: &'a [Vec<MeterTruth>],
    pub(super) claims: &'a Claims,
    pub(super) invoices: &'a [Issued],
    pub(super) checks: Vec<Check>,
    pub(super) took: Duration,
}

/// The whole.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) right: bool,
    pub(super) weir: String,
    pub(super) virtualization: &'static str,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) took_ms: u64,
    pub(super) guests: Vec<GuestReport>,
    pub(super) tenants: Vec<TenantReport>,
    pub(super) invoices: Vec<InvoiceReport>,
    pub(super) checks: Vec<Check>,
}

/// One guest.
#[derive(Debug, Serialize)]
pub(super) struct GuestReport {
    pub(super) name: String,
    pub(super) tenant: String,
    pub(super) instance_id: String,
    pub(super) epochs: usize,
    pub(super) orders: String,
    pub(super) meters: Vec<MeterReport>,
}

/// One meter of a guest.
#[derive(Debug, Serialize)]
pub(super) struct MeterReport {
    pub(super) meter: &'static str,
    pub(super) unit: &'static str,
    pub(super) ordered: Option<Ordered>,
    pub(super) libvirt: Bounds,
    pub(super) read: Option<u64>,
    pub(super) used: Option<u64>,
    pub(super) invoiced: Option<u64>,
    pub(super) missing_ms: u64,
    pub(super) right: bool,
    pub(super) rule: Rule,
    pub(super) problems: Vec<String>,
}

/// One meter of a tenant: what its guests used is what the lines of its invoice charge.
#[derive(Debug, Serialize)]
pub(super) struct TenantReport {
    pub(super) tenant: String,
    pub(super) meter: &'static str,
    pub(super) used: u64,
    pub(super) lines: u64,
    pub(super) right: bool,
}

/// One invoice, recomputed.
#[derive(Debug, Serialize)]
pub(super) struct InvoiceReport {
    pub(super) number: String,
    pub(super) tenant: String,
    pub(super) currency: String,
    pub(super) lines: usize,
    pub(super) subtotal: String,
    pub(super) tax: String,
    pub(super) total: String,
    pub(super) right: bool,
    pub(super) rule: &'static str,
    pub(super) problems: Vec<String>,
    pub(super) files: Vec<String>,
}

/// What else was compared: mail, and what the portal says.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) what: String,
    pub(super) right: bool,
    pub(super) problem: Option<String>,
}

impl Check {
    /// Whether `what` is so; `problem` is kept only if not.
    pub(super) fn new(what: String, right: bool, problem: &str) -> Self {
        Self { what, right, problem: (!right).then(|| problem.to_owned()) }
    }
}

/// How money is compared.
const MONEY_RULE: &str = "quantity = base quantity in the priced unit, 6 decimals, half to even; amount = quantity x unit price, \
    rounded half away from zero to the currency's exponent; lines add up to the subtotal; subtotal + tax = total; \
    shares of the instances add up to the lines";

impl Report {
    pub(super) fn new(facts: Facts<'_>) -> Result<Self> {
        let guests: Vec<_> = (0..facts.records.len()).map(|index| guest(&facts, index)).collect();
        let tenants = tenants(&guests, facts.invoices);
        let invoices: Vec<_> = facts.invoices.iter().map(invoice).collect();
        let mut report = Self {
            right: false,
            weir: facts.weir_version.clone(),
            virtualization: virt_type::decide()?.as_str(),
            from: facts.period.0,
            to: facts.period.1,
            took_ms: u64::try_from(facts.took.as_millis()).unwrap_or(u64::MAX),
            guests,
            tenants,
            invoices,
            checks: facts.checks,
        };
        report.right = report.offending().is_empty();
        Ok(report)
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Every comparison that is not right, as a sentence.
    pub(super) fn offending(&self) -> Vec<String> {
        let meters = self.guests.iter().flat_map(|guest| {
            let sentence = move |meter: &MeterReport, problem: &String| {
                format!("{} {}: {problem}. Rule: {}", guest.name, meter.meter, rule_text(meter.rule))
            };
            guest
                .meters
                .iter()
                .flat_map(move |meter| meter.problems.iter().map(move |problem| sentence(meter, problem)))
        });
        let tenants = self.tenants.iter().filter(|tenant| !tenant.right).map(|tenant| {
            format!(
                "{} {}: used {} but the invoice's lines have {}",
                tenant.tenant, tenant.meter, tenant.used, tenant.lines
            )
        });
        let invoices = self.invoices.iter().flat_map(|invoice| {
            invoice.problems.iter().map(|problem| format!("{}: {problem}", invoice.number))
        });
        let checks = self
            .checks
            .iter()
            .filter_map(|check| check.problem.as_ref().map(|problem| format!("{}: {problem}", check.what)));
        meters.chain(tenants).chain(invoices).chain(checks).collect()
    }

    pub(super) fn comparisons(&self) -> usize {
        let meters: usize = self.guests.iter().map(|guest| guest.meters.len()).sum();
        let lines: usize = self.invoices.iter().map(|invoice| invoice.lines).sum();
        meters + self.tenants.len() + lines + self.invoices.len() + self.checks.len()
    }

    pub(super) fn documents(&self) -> Vec<String> {
        self.invoices.iter().map(|invoice| invoice.files.join("  ")).collect()
    }
}

/// A rule's sentence, as in the report.
pub(super) fn rule_text(rule: Rule) -> String {
    serde_json::to_value(rule).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn guest(facts: &Facts<'_>, index: usize) -> GuestReport {
    let record = &facts.records[index];
    let meters = facts.truths[index].iter().zip(&facts.claims.0[index]).map(|(truth, claim)| {
        let evidence = Evidence {
            ordered: truth.ordered,
            libvirt: truth.libvirt,
            read: claim.read,
            used: claim.used,
            invoiced: claim.invoiced,
        };
        let problems = judge::problems(&evidence);
        MeterReport {
            meter: truth.meter.name,
            unit: truth.meter.unit,
            ordered: truth.ordered,
            libvirt: truth.libvirt,
            read: claim.read,
            used: claim.used,
            invoiced: claim.invoiced,
            missing_ms: claim.missing_ms,
            right: problems.is_empty(),
            rule: truth.rule,
            problems,
        }
    });
    GuestReport {
        name: record.plan.name.to_owned(),
        tenant: record.plan.tenant.to_owned(),
        instance_id: record.instance_id.clone(),
        epochs: record.lives.len(),
        orders: record.orders.to_string(),
        meters: meters.collect(),
    }
}

fn tenants(guests: &[GuestReport], invoices: &[Issued]) -> Vec<TenantReport> {
    let mut reports = Vec::new();
    for issued in invoices {
        for meter in &METERS {
            let own = guests.iter().filter(|guest| guest.tenant == issued.invoice.tenant);
            let used = own.flat_map(|guest| &guest.meters).filter(|report| report.meter == meter.name);
            let used = used.filter_map(|report| report.used).sum();
            let lines = issued.invoice.lines.iter().filter(|line| line.meter.as_deref() == Some(meter.name));
            let lines = lines.map(|line| line.base_quantity).sum();
            let tenant = issued.invoice.tenant.clone();
            reports.push(TenantReport { tenant, meter: meter.name, used, lines, right: used == lines });
        }
    }
    reports
}

fn invoice(issued: &Issued) -> InvoiceReport {
    let invoice = &issued.invoice;
    InvoiceReport {
        number: invoice.number.clone(),
        tenant: invoice.tenant.clone(),
        currency: invoice.currency.clone(),
        lines: invoice.lines.len(),
        subtotal: invoice.subtotal.0.to_string(),
        tax: invoice.taxes.iter().map(|tax| tax.amount.0).sum::<Decimal>().to_string(),
        total: invoice.total.0.to_string(),
        right: issued.problems.is_empty(),
        rule: MONEY_RULE,
        problems: issued.problems.clone(),
        files: issued.files.clone(),
    }
}
