//! Corrections: an issued invoice is taken back as a whole by a credit note, and what the period costs now stands on a
//! corrected invoice. The two name each other and the original, and come in one transaction. Nothing issued is changed: the
//! original learns that it was replaced, no more.
//!
//! It does not rate: whoever calls did, from the usage as it is now ([`super::compare`] shows the difference first).

use jiff::Timestamp;
use metering::{TenantId, Window};
use migrations::{Database, Scope, Transaction};

use super::compare::Difference;
use super::document::{DocumentKind, DocumentRef, InvoiceDocument, InvoiceId, InvoiceStatus};
use super::draft::Bill;
use super::issue::Basis;
use super::lifecycle::{Action, Desk, Locked, StepError, Which, lock};
use crate::rating::RatingError;
use crate::store::invoice_sql;
use crate::store::invoice_write::{self as write, Origin};
use crate::store::invoices::{Invoice, StoreError};

/// The longest reason, in characters: it stands on both documents.
pub const REASON_MAX: usize = 400;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// What takes the original back.
    pub credit_note: Invoice,
    /// What stands in its place; `None` when nothing is left to charge.
    pub corrected: Option<Invoice>,
    /// What differs.
    pub difference: Difference,
}

/// What an issued invoice was rated by, to do it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatedBy {
    /// The plan's name.
    pub plan_name: String,
    /// Its text, as it was applied then.
    pub plan_text: String,
    /// The tenant's terms then.
    pub terms_revision: Option<i32>,
    /// ... and their text.
    pub terms_text: Option<String>,
}

/// Who corrects, and why.
#[derive(Clone, Copy, Debug)]
pub struct Correcting<'a> {
    /// Who.
    pub desk: Desk<'a>,
    /// Why, in 1 to [`REASON_MAX`] characters.
    pub reason: &'a str,
    /// The credit note's identity: who sends the same request twice finds by it what came of the first.
    pub credit_note_id: InvoiceId,
}

/// Why nothing was corrected.
#[derive(Debug, thiserror::Error)]
pub enum CorrectError {
    /// The original is not to be corrected.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The usage cannot be rated.
    #[error(transparent)]
    Rating(#[from] RatingError),
    /// It would be the same again.
    #[error("nothing changed: {number} is what its period costs; there is nothing to correct")]
    Nothing {
        /// The original.
        number: String,
    },
    /// The bill is for something else.
    #[error("{number} is for {is}, not for {asked}")]
    OtherPeriod {
        /// The original.
        number: String,
        /// Its period.
        is: Window,
        /// The bill's.
        asked: Window,
    },
    /// Nobody says why.
    #[error("a correction needs a reason of 1 to {REASON_MAX} characters: it stands on both documents")]
    NoReason,
    /// The prices are not on record.
    #[error("plan {0} is not applied with exactly this text; apply it first (weir plan apply)")]
    PlanNotApplied(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes the invoice `number` back and puts what `bill` says in its place.
///
/// # Errors
/// See [`CorrectError`]; [`CorrectError::is_transient`] tells whether to try again. Nothing was done then.
pub async fn correct(
    database: &Database,
    number: &str,
    bill: Bill<'_>,
    basis: Basis,
    correcting: Correcting<'_>,
    now: Timestamp,
) -> Result<Correction, CorrectError> {
    let (desk, reason) = (&correcting.desk, correcting.reason.trim());
    if reason.is_empty() || REASON_MAX < reason.chars().count() {
        return Err(CorrectError::NoReason);
    }
    let plan = bill.plan;
    let fresh = bill.draft()?;
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let original = lock(&transaction, Which::Number(number)).await?;
    let difference = check(&original, number, &fresh)?;
    let revision = write::plan_revision(&transaction, plan).await?;
    let origin = Origin {
        plan_revision: revision.ok_or_else(|| CorrectError::PlanNotApplied(plan.name().to_owned()))?,
        terms_revision: basis.terms_revision,
        cutoff_at: None,
        rated_at: basis.rated_at.unwrap_or(now),
    };
    let mut pair = Pair::of(&original.document, fresh, number, reason);
    pair.credit_note.invoice_id = correcting.credit_note_id;
    let (credit_note, corrected) = pair.issue(&transaction, &original, origin, desk, now).await?;
    transaction.commit().await?;
    tracing::info!(
        number,
        credit_note = credit_note.document.number,
        corrected = corrected.as_ref().and_then(|invoice| invoice.document.number.clone()),
        reason,
        "invoice corrected"
    );
    Ok(Correction { credit_note, corrected, difference })
}

/// What an issued invoice was rated by.
///
/// # Errors
/// The database failed.
pub async fn rated_by(database: &Database, invoice: InvoiceId) -> Result<Option<RatedBy>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let Some(row) = transaction.query_opt(invoice_sql::BASIS, &[&invoice.uuid()]).await? else {
        return Ok(None);
    };
    Ok(Some(RatedBy {
        plan_name: row.try_get("plan_name")?,
        plan_text: row.try_get("content")?,
        terms_revision: row.try_get("terms_revision")?,
        terms_text: row.try_get("terms")?,
    }))
}

/// The number of an invoice or credit note of that identity, if it was issued.
///
/// # Errors
/// The database failed.
pub async fn number_of(database: &Database, invoice: InvoiceId) -> Result<Option<String>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let row = transaction.query_opt(invoice_sql::NUMBER_OF, &[&invoice.uuid()]).await?;
    Ok(row.map(|row| row.try_get("number")).transpose()?)
}

fn check(original: &Locked, number: &str, fresh: &InvoiceDocument) -> Result<Difference, CorrectError> {
    if original.is_replaced {
        return Err(original.elsewhere("it was replaced already; correct what stands in its place").into());
    }
    match InvoiceStatus::parse(&original.status) {
        Some(InvoiceStatus::Issued | InvoiceStatus::Paid) => {}
        _ => return Err(original.elsewhere("only what was issued and stands can be corrected").into()),
    }
    if original.document.kind == DocumentKind::CreditNote {
        return Err(original.elsewhere("a credit note is not corrected").into());
    }
    let (is, asked) = (original.document.service_period, fresh.service_period);
    if is != asked {
        return Err(CorrectError::OtherPeriod { number: number.to_owned(), is, asked });
    }
    let difference = Difference::between(&original.document, fresh);
    if difference.is_none() {
        return Err(CorrectError::Nothing { number: number.to_owned() });
    }
    Ok(difference)
}

/// The two documents of a correction, without numbers.
struct Pair {
    credit_note: InvoiceDocument,
    corrected: Option<InvoiceDocument>,
}

impl Pair {
    fn of(original: &InvoiceDocument, fresh: InvoiceDocument, number: &str, reason: &str) -> Self {
        let corrects = DocumentRef {
            number: number.to_owned(),
            invoice_id: original.invoice_id,
            issued_at: original.issued_at,
        };
        let credit_note = InvoiceDocument {
            number: None,
            kind: DocumentKind::CreditNote,
            corrects: Some(corrects.clone()),
            reason: Some(reason.to_owned()),
            status: InvoiceStatus::Draft,
            invoice_id: InvoiceId::new(),
            issued_at: None,
            due_on: None,
            // Who the parties are now: the document is of today.
            seller: fresh.seller.clone(),
            buyer: fresh.buyer.clone(),
            ..original.clone()
        };
        let corrected = (!fresh.lines.is_empty()).then(|| InvoiceDocument {
            kind: DocumentKind::CorrectedInvoice,
            corrects: Some(corrects),
            reason: Some(reason.to_owned()),
            invoice_id: InvoiceId::new(),
            ..fresh
        });
        Self { credit_note, corrected }
    }

    async fn issue(
        mut self,
        transaction: &Transaction<'_>,
        original: &Locked,
        origin: Origin,
        desk: &Desk<'_>,
        now: Timestamp,
    ) -> Result<(Invoice, Option<Invoice>), StoreError> {
        let (tenant, old) = (original.payer.tenant_id, &original.document);
        let note_number = write::take_number(transaction, desk, &self.credit_note, now).await?;
        let mut new_number = None;
        if let Some(corrected) = &mut self.corrected {
            let number = write::take_number(transaction, desk, corrected, now).await?;
            let taken_back = old.number.as_deref().unwrap_or_default();
            self.credit_note.notes.push(format!("{} takes the place of {taken_back}.", number.text));
            corrected.notes.push(format!("{taken_back} was taken back by {}.", note_number.text));
            new_number = Some(number);
        }
        // First, because two that stand may not overlap.
        let stands = self.corrected.as_ref().unwrap_or(&self.credit_note).invoice_id;
        replace(transaction, tenant, old.invoice_id, stands).await?;
        let note_origin = origin_of(transaction, old.invoice_id, origin).await?;
        write::insert(transaction, tenant, &self.credit_note, note_origin).await?;
        let issued = write::issue(transaction, &original.payer, self.credit_note, &note_number, desk, now);
        let credit_note = issued.await?;
        let mut corrected = None;
        if let (Some(document), Some(number)) = (self.corrected, new_number) {
            write::insert(transaction, tenant, &document, origin).await?;
            corrected = Some(write::issue(transaction, &original.payer, document, &number, desk, now).await?);
        }
        let by = corrected.as_ref().unwrap_or(&credit_note).document.number.clone();
        write::note(transaction, tenant, old.invoice_id, (Action::Replaced, by.as_deref()), desk, now)
            .await?;
        Ok((credit_note, corrected))
    }
}

async fn replace(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    original: InvoiceId,
    by: InvoiceId,
) -> Result<(), StoreError> {
    let replaced = transaction.execute(invoice_sql::SET_REPLACED, &[&original.uuid(), &by.uuid()]).await?;
    if replaced == 1 {
        return Ok(());
    }
    let what = format!("{original} of tenant {tenant}");
    Err(StoreError::unreadable("invoice", &what, &"it was replaced meanwhile, in spite of a lock"))
}

/// The credit note stands on what the original stood on.
async fn origin_of(
    transaction: &Transaction<'_>,
    original: InvoiceId,
    otherwise: Origin,
) -> Result<Origin, StoreError> {
    let row = transaction.query_one(invoice_sql::LOCK, &[&original.uuid(), &None::<&str>]).await?;
    let rated_at: Option<Timestamp> = row.try_get("rated_at")?;
    Ok(Origin {
        plan_revision: row.try_get("plan_revision")?,
        terms_revision: row.try_get("terms_revision")?,
        cutoff_at: row.try_get("cutoff_at")?,
        rated_at: rated_at.unwrap_or(otherwise.rated_at),
    })
}
