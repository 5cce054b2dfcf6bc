//! Mail that was or is to be sent.

use jiff::Timestamp;
use mail::outbox::{Entry, State};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Where a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailState {
    /// It will be tried.
    Waiting,
    /// A server has taken it.
    Sent,
    /// The server will never take it.
    Refused,
}

/// A mail.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Mail)]
pub struct MailBody {
    /// Its id.
    pub mail_id: Uuid,
    /// `invoice`, `budget`, `alert` or `test`.
    pub kind: String,
    /// What it is about. No two mails are about the same.
    #[schema(example = "invoice/INV-2026-000042")]
    pub about: String,
    /// Whom it concerns, by name.
    pub tenant: String,
    /// Where it stands.
    pub state: MailState,
    /// When it was sent or refused, or when it will be tried next.
    pub state_at: Timestamp,
    /// How often it was offered to a server.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// To whom it went, or who was refused.
    pub recipient: Option<String>,
    /// When its reason arose.
    pub created_at: Timestamp,
}

impl From<&Entry> for MailBody {
    fn from(entry: &Entry) -> Self {
        let (state, state_at) = match entry.state {
            State::Waiting { next_attempt_at } => (MailState::Waiting, next_attempt_at),
            State::Sent { at } => (MailState::Sent, at),
            State::Refused { at } => (MailState::Refused, at),
        };
        Self {
            mail_id: entry.mail_id,
            kind: entry.kind.as_str().to_owned(),
            about: entry.subject_key.clone(),
            tenant: entry.tenant_name.clone(),
            state,
            state_at,
            attempts: entry.attempts,
            last_error: entry.last_error.clone(),
            recipient: entry.recipient.clone(),
            created_at: entry.created_at,
        }
    }
}
