//! Why there is no page, and the page that says so. It does NOT say more than the asker may know: what failed inside is
//! logged with its causes, and shown as one sentence.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use askama::Template;

use crate::site::{Layout, NO_STORE};

/// What failed beneath a page.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// There is nothing there, or it is somebody else's: the asker cannot tell which.
    #[error("there is no such page")]
    NotFound,
    /// The page exists, and it is not for this role. The sentence is shown.
    #[error("the page is not for this user")]
    Forbidden(&'static str),
    /// The address or the form is not right. The sentence says how to mend it, and is shown.
    #[error("the request is not right")]
    BadRequest(String),
    /// The database does not do its part.
    #[error("the database could not be asked")]
    Database(#[source] Source),
    /// The page could not be made.
    #[error("the page could not be made")]
    Failed(#[source] Source),
}

/// `templates/error.html`
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    layout: Layout,
    heading: &'static str,
    sentence: String,
}

impl PageError {
    /// The database does not do its part.
    pub(crate) fn database(source: impl Into<Source>) -> Self {
        Self::Database(source.into())
    }

    /// The page could not be made.
    pub(crate) fn failed(source: impl Into<Source>) -> Self {
        Self::Failed(source.into())
    }

    fn words(&self) -> (&'static str, String) {
        match self {
            Self::NotFound => {
                ("Not found", "There is nothing at this address, or it is not yours to see.".to_owned())
            }
            Self::Forbidden(sentence) => ("Not for this account", (*sentence).to_owned()),
            Self::BadRequest(sentence) => ("That address or form is not right", sentence.clone()),
            Self::Database(_) => (
                "The database does not answer",
                "Readings are kept meanwhile. Try again in a moment.".to_owned(),
            ),
            Self::Failed(_) => {
                ("That did not work", "The page could not be made. The log of weir up says why.".to_owned())
            }
        }
    }
}

impl actix_web::ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        if status.is_server_error() {
            tracing::error!(causes = causes(self), "{self}");
        }
        let (heading, sentence) = self.words();
        error_page(status, heading, sentence)
    }
}

/// A page that says one thing. It needs no database, so that it can also say that there is none.
pub(crate) fn error_page(status: StatusCode, heading: &'static str, sentence: String) -> HttpResponse {
    let page = ErrorPage { layout: Layout::bare(), heading, sentence };
    let body = page.render().unwrap_or_else(|_| heading.to_owned());
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, NO_STORE))
        .body(body)
}

/// The sources of an error, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut texts = Vec::new();
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts.join(": ")
}

impl From<usage::registry::RegistryError> for PageError {
    fn from(error: usage::registry::RegistryError) -> Self {
        use usage::registry::RegistryError as Error;
        match error {
            Error::NoTenant { .. } | Error::NoInstance { .. } => Self::NotFound,
            Error::Store(_) => Self::database(error),
            refused => Self::BadRequest(format!("{refused}.")),
        }
    }
}

impl From<usage::UsageError> for PageError {
    fn from(error: usage::UsageError) -> Self {
        Self::database(error)
    }
}

impl From<billing::invoices::StoreError> for PageError {
    fn from(error: billing::invoices::StoreError) -> Self {
        Self::database(error)
    }
}

impl From<billing::books::statement::StatementError> for PageError {
    fn from(error: billing::books::statement::StatementError) -> Self {
        match error {
            billing::books::statement::StatementError::TooLong => Self::BadRequest(format!("{error}.")),
            error => Self::database(error),
        }
    }
}

impl From<accounts::AccountsError> for PageError {
    fn from(error: accounts::AccountsError) -> Self {
        Self::database(error)
    }
}

impl From<nodes::NodesError> for PageError {
    fn from(error: nodes::NodesError) -> Self {
        match error {
            nodes::NodesError::NoNode { .. } => Self::NotFound,
            error => Self::database(error),
        }
    }
}

impl From<nodes::alerts::AlertError> for PageError {
    fn from(error: nodes::alerts::AlertError) -> Self {
        Self::database(error)
    }
}

impl From<reports::ReportError> for PageError {
    fn from(error: reports::ReportError) -> Self {
        Self::failed(error)
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        Self::failed(error)
    }
}

impl From<actix_web::error::BlockingError> for PageError {
    fn from(error: actix_web::error::BlockingError) -> Self {
        Self::failed(error)
    }
}
