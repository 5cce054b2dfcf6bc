//! Invoices: as lists and as documents, withdrawn, sent, rated again and corrected. Billing runs are in `runs`.

use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use billing::invoice::correct::{self, CorrectError};
use billing::invoice::lifecycle::{self, StepError};
use billing::invoices::{self, Invoice, InvoiceCursor, InvoiceQuery};
use billing::{Desk, DocumentKind, InvoiceDocument, InvoiceId, InvoiceStatus};
use jiff::Timestamp;
use migrations::Scope;

use super::query_tenant;
use crate::api::call::{Call, NO_STORE};
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, one_of, text};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::invoices::{
    CorrectionBody, CorrectionRequest, InvoiceBody, RerateBody, SummaryBody, VoidRequest,
};
use crate::invoicing::{self, Tables};
use crate::rerating;

/// `overdue` is not stored: it is what is issued and due.
const STATUSES: [(&str, Option<InvoiceStatus>); 4] = [
    ("issued", Some(InvoiceStatus::Issued)),
    ("paid", Some(InvoiceStatus::Paid)),
    ("void", Some(InvoiceStatus::Void)),
    ("overdue", None),
];
const KINDS: [(&str, DocumentKind); 3] = [
    ("invoice", DocumentKind::Invoice),
    ("credit_note", DocumentKind::CreditNote),
    ("corrected_invoice", DocumentKind::CorrectedInvoice),
];
/// The longest reason, in characters.
const REASON_MAX: usize = 400;

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/invoices", "listInvoices", Tag::Invoices, "Invoices", list)
            .saying("The newest first.")
            .access(Access::Money)
            .query(text("tenant", "Only this tenant's, by name or id."))
            .query(one_of("status", &STATUSES.map(|(word, _)| word), "Only those that stand there now."))
            .query(one_of("kind", &KINDS.map(|(word, _)| word), "Only documents of this kind."))
            .pages::<SummaryBody>()
            .refuses(&[Kind::NotFound]),
        Operation::new(Method::GET, "/v1/invoices/{number}", "getInvoice", Tag::Invoices, "An invoice", get)
            .access(Access::Money)
            .answers::<InvoiceBody>("The invoice."),
        Operation::new(
            Method::GET,
            "/v1/invoices/{number}.pdf",
            "getInvoicePdf",
            Tag::Invoices,
            "An invoice on paper",
            pdf,
        )
        .access(Access::Money)
        .answers_bytes("application/pdf", "The document."),
    ]
    .into_iter()
    .chain(changes())
    .collect()
}

/// What the provider does to invoices.
fn changes() -> Vec<Operation> {
    const RERATE: &str = "/v1/invoices/{number}/rerate";
    let changes = |path, id, summary| match id {
        "voidInvoice" => Operation::new(Method::POST, path, id, Tag::Invoices, summary, void),
        _ => Operation::new(Method::POST, path, id, Tag::Invoices, summary, send),
    };
    vec![
        changes("/v1/invoices/{number}/void", "voidInvoice", "Withdraw an invoice")
            .saying(
                "Only one that nobody has paid and that was not replaced. Its number stays taken, its period may be invoiced again.",
            )
            .access(Access::Provider)
            .takes::<VoidRequest>()
            .answers::<InvoiceBody>("The invoice, void.")
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        changes("/v1/invoices/{number}/send", "sendInvoice", "Note that an invoice was sent")
            .saying("For invoices that go out by other means than mail. What was noted before stays.")
            .access(Access::Provider)
            .answers::<InvoiceBody>("The invoice."),
        Operation::new(Method::GET, RERATE, "rerateInvoice", Tag::Invoices, "What an invoice would be now", rerate)
            .saying("Rated again from the usage as it is now, by the prices of then. Nothing is stored.")
            .access(Access::Provider)
            .answers::<RerateBody>("What differs.")
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        Operation::new(Method::POST, RERATE, "correctInvoice", Tag::Invoices, "Correct an invoice", correct_it)
            .saying(
                "It is taken back as a whole by a credit note, and what its period costs now stands on a corrected invoice.",
            )
            .access(Access::Provider)
            .takes::<CorrectionRequest>()
            .creates::<CorrectionBody>("Both documents.")
            .once()
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("invoices")?;
    let (now, status) = (Timestamp::now(), call.one_of("status", &STATUSES)?);
    let query = InvoiceQuery {
        status: status.flatten(),
        overdue_at: status.filter(Option::is_none).map(|_| now),
        kind: call.one_of("kind", &KINDS)?,
        after: paging.after::<InvoiceCursor>()?,
        tenant: query_tenant(&call).await?.map(|tenant| tenant.id),
        limit: paging.limit,
    };
    let page = invoices::page(call.db(), call.scope()?, &query).await?;
    Ok(paging.answer(page.items.iter().map(|one| SummaryBody::new(one, now)).collect(), page.next.as_ref()))
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let invoice = find(&call).await?;
    Ok(call.ok(&InvoiceBody::of(&invoice)))
}

async fn pdf(call: Call) -> Result<HttpResponse, Problem> {
    let invoice = find(&call).await?;
    let document = InvoiceDocument { status: invoice.status, ..invoice.document };
    let name = format!("inline; filename=\"{}.pdf\"", document.number.as_deref().unwrap_or("draft"));
    // Typesetting takes a second: not on a thread that others wait for.
    let made = tokio::task::spawn_blocking(move || reports::invoice_pdf(&document)).await;
    let bytes =
        made.map_err(|error| Problem::internal(&error))?.map_err(|error| Problem::internal(&error))?;
    Ok(HttpResponse::Ok()
        .content_type("application/pdf")
        .insert_header(NO_STORE)
        .insert_header((header::CONTENT_DISPOSITION, name))
        .body(bytes))
}

/// The invoice that the path names, if the caller may see it.
pub async fn find(call: &Call) -> Result<Invoice, Problem> {
    let found = invoices::find(call.db(), call.scope()?, call.path("number")).await?;
    found.ok_or_else(|| Problem::not_found("invoice"))
}

async fn void(call: Call) -> Result<HttpResponse, Problem> {
    let VoidRequest { reason } = call.body()?;
    let reason = reason_of(&reason)?;
    let series = invoicing::series(&call.parts).map_err(|error| Problem::internal(error.as_ref()))?;
    let desk = Desk { actor: call.who()?.user.name.as_str(), series: &series };
    let invoice = lifecycle::void(call.db(), call.path("number"), reason, &desk, Timestamp::now()).await?;
    Ok(call.ok(&InvoiceBody::of(&invoice)))
}

async fn send(call: Call) -> Result<HttpResponse, Problem> {
    let number = find(&call).await?.document.number.unwrap_or_default();
    lifecycle::mark_sent(call.db(), &number, Timestamp::now()).await?;
    Ok(call.ok(&InvoiceBody::of(&find(&call).await?)))
}

async fn rerate(call: Call) -> Result<HttpResponse, Problem> {
    let number = find(&call).await?.document.number.unwrap_or_default();
    let tables = Tables::read(&call.parts).await.map_err(|error| of_rerating(&error))?;
    let rerated =
        rerating::rerate(&call.parts, &tables, &number).await.map_err(|error| of_rerating(&error))?;
    Ok(call.ok(&RerateBody::new(&number, &rerated.difference)))
}

async fn correct_it(call: Call) -> Result<HttpResponse, Problem> {
    let CorrectionRequest { reason } = call.body()?;
    let reason = reason_of(&reason)?;
    let number = find(&call).await?.document.number.unwrap_or_default();
    let id = InvoiceId::from_uuid(call.thing_id());
    // Done by an earlier attempt whose answer was lost.
    let credit_note = match correct::number_of(call.db(), id).await? {
        Some(credit_note) => credit_note,
        None => {
            let actor = call.who()?.user.name.to_string();
            let corrected = rerating::correct_it(&call.parts, &number, (&actor, reason), id).await;
            let corrected = corrected.map_err(|error| of_rerating(&error))?;
            corrected.credit_note.document.number.unwrap_or_default()
        }
    };
    let of_number = async |number: &str| -> Result<Invoice, Problem> {
        let found = invoices::find(call.db(), Scope::Provider, number).await?;
        found.ok_or_else(|| Problem::not_found("invoice"))
    };
    let credit_note = of_number(&credit_note).await?;
    let original = find(&call).await?;
    let corrected = match original.replaced_by.filter(|by| Some(by) != credit_note.document.number.as_ref()) {
        None => None,
        Some(by) => Some(InvoiceBody::of(&of_number(&by).await?)),
    };
    let location = format!("/v1/invoices/{}", credit_note.document.number.as_deref().unwrap_or_default());
    Ok(call.created(location, &CorrectionBody { credit_note: InvoiceBody::of(&credit_note), corrected }))
}

/// A reason that says something.
fn reason_of(text: &str) -> Result<&str, Problem> {
    let reason = text.trim();
    if reason.is_empty() || REASON_MAX < reason.chars().count() {
        let detail = format!("reason has 1 to {REASON_MAX} characters and says something");
        return Err(Problem::new(Kind::Unprocessable, detail));
    }
    Ok(reason)
}

/// What hinders rating again is most often something that the provider can mend: a tax rate that is missing.
fn of_rerating(error: &anyhow::Error) -> Problem {
    for cause in error.chain() {
        if let Some(CorrectError::Step(StepError::Elsewhere { .. }) | CorrectError::Nothing { .. }) =
            cause.downcast_ref::<CorrectError>()
        {
            return Problem::new(Kind::Conflict, cause.to_string());
        }
        if let Some(store) = cause.downcast_ref::<invoices::StoreError>() {
            return Problem::unavailable("the database", store);
        }
        if let Some(failure) = cause.downcast_ref::<::usage::UsageError>() {
            return Problem::unavailable("the database", failure);
        }
    }
    Problem::new(Kind::Unprocessable, format!("{error:#}"))
}

impl From<StepError> for Problem {
    fn from(error: StepError) -> Self {
        match error {
            StepError::None(_) => Self::not_found("invoice"),
            StepError::Elsewhere { .. } => Self::new(Kind::Conflict, error.to_string()),
            StepError::Store(source) => source.into(),
        }
    }
}
