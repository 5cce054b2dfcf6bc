//! Invoices, as lists and as documents.

use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use billing::invoices::{self, Invoice, InvoiceCursor, InvoiceQuery};
use billing::{InvoiceDocument, InvoiceStatus};

use super::query_tenant;
use crate::api::call::{Call, NO_STORE};
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, one_of, text};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::invoices::{InvoiceBody, SummaryBody};

const STATUSES: [(&str, InvoiceStatus); 3] =
    [("issued", InvoiceStatus::Issued), ("paid", InvoiceStatus::Paid), ("void", InvoiceStatus::Void)];

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/invoices", "listInvoices", Tag::Invoices, "Invoices", list)
            .saying("The newest first.")
            .access(Access::Money)
            .query(text("tenant", "Only this tenant's, by name or id."))
            .query(one_of("status", &STATUSES.map(|(word, _)| word), "Only those that stand there now."))
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
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("invoices")?;
    let query = InvoiceQuery {
        status: call.one_of("status", &STATUSES)?,
        after: paging.after::<InvoiceCursor>()?,
        tenant: query_tenant(&call).await?.map(|tenant| tenant.id),
        limit: paging.limit,
    };
    let page = invoices::page(call.db(), call.scope()?, &query).await?;
    Ok(paging.answer(page.items.iter().map(SummaryBody::from).collect(), page.next.as_ref()))
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let invoice = find(&call).await?;
    Ok(call.ok(&InvoiceBody::new(&invoice.document, invoice.status)))
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
