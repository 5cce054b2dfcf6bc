//! A post office for tests: a database with a tenant, a real SMTP server, and mails about made-up events.

use std::time::Duration;

use billing::{InvoiceDocument, InvoiceStatus};
use jiff::{Timestamp, ToSpan};
use mail::outbox::{Entry, State};
use mail::{
    Delivered, Letters, LettersError, LettersFuture, PrintedInvoice, Smtp, SmtpSettings, Tls, deliver_due,
    outbox,
};
use metering::TenantId;
use migrations::testing::{TestDatabase, database};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::smtp::{Behaviour, PASSWORD, Received, SmtpServer, USER};
use uuid::Uuid;

/// Long enough for a busy machine, short enough to wait for a server that hangs.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most passes that bring a mail through.
const PASSES_MAX: usize = 40;

pub struct Office {
    pub db: TestDatabase,
    pub server: SmtpServer,
    pub tenant: Uuid,
    pub letters: Papers,
    directory: TempDir,
}

/// What the appliance would know.
#[derive(Clone)]
pub struct Papers {
    pub recipient: Option<String>,
    pub pdf: Vec<u8>,
}

impl Letters for Papers {
    fn document<'a>(&'a self, number: &'a str) -> LettersFuture<'a, PrintedInvoice> {
        Box::pin(async move {
            let document = issued();
            if document.number.as_deref() == Some(number) {
                Ok(PrintedInvoice { document, pdf: self.pdf.clone() })
            } else {
                Err(LettersError(format!("there is no invoice {number}")))
            }
        })
    }

    fn recipient(&self, _: TenantId) -> LettersFuture<'_, Option<String>> {
        Box::pin(async move { Ok(self.recipient.clone()) })
    }

    fn portal_url(&self) -> Option<&str> {
        Some("https://weir.example.org/")
    }
}

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("RFC 3339")
}

/// When everything begins.
pub fn noon() -> Timestamp {
    at("2026-11-11T12:00:00Z")
}

/// A small invoice, with a number.
pub fn issued() -> InvoiceDocument {
    InvoiceDocument {
        number: Some("INV-2026-000042".into()),
        status: InvoiceStatus::Issued,
        issued_at: Some(at("2026-11-01T00:10:00Z")),
        ..InvoiceDocument::sample_small()
    }
}

pub fn budget_about(tenant: &str) -> Value {
    json!({
        "tenant": tenant, "period_start": "2026-10-31T23:00:00Z", "period_end": "2026-11-30T23:00:00Z",
        "threshold_percent": 80, "budget": "100.00", "spent": "81.20", "currency": "EUR",
    })
}

impl Office {
    pub async fn open(behaviour: Behaviour) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = SmtpServer::start(directory.path(), behaviour).expect("the SMTP server runs");
        let db = database().await;
        let tenant = Uuid::new_v4();
        let owner = db.owner_client().await;
        owner
            .execute(
                "INSERT INTO tenant (tenant_id, name, display_name) VALUES ($1, 'alder', 'Alder')",
                &[&tenant],
            )
            .await
            .expect("a tenant");
        let letters = Papers {
            recipient: Some("Ålder Ops <ops@alder.example>".into()),
            pdf: (0..=255).cycle().take(70_000).collect(),
        };
        Self { db, server, tenant, letters, directory }
    }

    pub fn settings(&self) -> SmtpSettings {
        SmtpSettings {
            host: "localhost".into(),
            port: self.server.port(),
            tls: Tls::Required,
            ca_file: Some(self.server.ca_file()),
            username: Some(USER.into()),
            password: Some(PASSWORD.into()),
            from: "Weir <weir@provider.example>".into(),
            timeout: TIMEOUT,
        }
    }

    pub fn smtp(&self) -> Smtp {
        Smtp::new(&self.settings()).expect("the settings are good")
    }

    /// A client that is soon tired of waiting.
    pub fn impatient(&self) -> Smtp {
        let settings = SmtpSettings { timeout: Duration::from_secs(1), ..self.settings() };
        Smtp::new(&settings).expect("the settings are good")
    }

    /// A reason for a mail arises.
    pub async fn put(&self, kind: &str, about: Value) -> Uuid {
        let mail_id = Uuid::new_v4();
        let key = format!("{kind}/{mail_id}");
        self.db
            .owner_client()
            .await
            .execute(
                "INSERT INTO mail_outbox (mail_id, kind, subject_key, tenant_id, about, created_at, next_attempt_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $6)",
                &[&mail_id, &kind, &key, &self.tenant, &about, &noon()],
            )
            .await
            .expect("the outbox takes it");
        mail_id
    }

    pub async fn put_budget(&self) -> Uuid {
        self.put("budget", budget_about("alder")).await
    }

    pub async fn pass(&self, smtp: &Smtp, now: Timestamp) -> Delivered {
        deliver_due(&self.db, smtp, &self.letters, now).await.expect("the outbox can be read")
    }

    pub async fn entry(&self, mail_id: Uuid) -> Entry {
        let entries = outbox::list(&self.db, 1_000).await.expect("the outbox can be read");
        entries.into_iter().find(|entry| entry.mail_id == mail_id).expect("nothing is ever deleted")
    }

    pub async fn due_at(&self, mail_id: Uuid) -> Timestamp {
        match self.entry(mail_id).await.state {
            State::Waiting { next_attempt_at } => next_attempt_at,
            state => panic!("it waits no more: {state:?}"),
        }
    }

    /// Goes from attempt to attempt until the mail is sent.
    pub async fn deliver_at_last(&self, mail_id: Uuid) -> Entry {
        let smtp = self.smtp();
        for _ in 0..PASSES_MAX {
            let entry = self.entry(mail_id).await;
            match entry.state {
                State::Sent { .. } => return entry,
                State::Refused { .. } => panic!("it was refused: {entry:?}"),
                State::Waiting { next_attempt_at } => {
                    self.pass(&smtp, next_attempt_at + 1.second()).await;
                }
            }
        }
        panic!("not sent after {PASSES_MAX} passes: {:?}", self.entry(mail_id).await);
    }

    pub fn received(&self) -> Vec<Received> {
        self.server.received().expect("the server's directory can be read")
    }

    /// Ends the server and returns where another can take its place.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

pub fn message_id(mail: &Received) -> String {
    parsed(&mail.eml).message_id().expect("it has a Message-ID").to_owned()
}

pub fn parsed(eml: &[u8]) -> mail_parser::Message<'_> {
    mail_parser::MessageParser::default().parse(eml).expect("it is a mail")
}
