//! The mail outbox, by the command line.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use mail::outbox::{self, State};
use serde_json::{Value, json};

use crate::control::request::MailRequest;
use crate::parts::Parts;

/// A screen or two; the portal and the API have the rest.
const LISTED: u32 = 100;

/// Does what is asked of mail.
pub async fn value(parts: &Parts, request: MailRequest) -> Result<Value> {
    let (db, now) = (&parts.database, Timestamp::now());
    match request {
        MailRequest::List {} => {
            let rows: Vec<Value> = outbox::list(db, LISTED)
                .await?
                .iter()
                .map(|mail| {
                    json!({
                        "mail_id": mail.mail_id.to_string(),
                        "about": mail.subject_key,
                        "tenant": mail.tenant_name,
                        "created_at": mail.created_at,
                        "recipient": mail.recipient,
                        "state": state(&mail.state),
                        "attempts": mail.attempts,
                        "last_error": mail.last_error,
                    })
                })
                .collect();
            Ok(json!({ "mail": rows }))
        }
        MailRequest::Test { recipient } => {
            if parts.config.mail.host.is_none() {
                bail!(
                    "no mail server is set; set mail.host and mail.from in the configuration and start again"
                );
            }
            if mail::check_recipient(&recipient).is_err() {
                bail!("{recipient:?} is no e-mail address; write one such as ops@example.com");
            }
            let mail_id = outbox::put_test(db, &recipient, now).await?;
            parts.mail_due.notify_one();
            Ok(json!({
                "mail_id": mail_id.to_string(),
                "message": "A test mail is on its way; weir mail list shows what became of it.",
            }))
        }
        MailRequest::Retry { mail_id } => {
            let id = mail_id
                .parse()
                .with_context(|| format!("{mail_id:?} is no mail's id; see weir mail list"))?;
            if !outbox::retry(db, id, now).await? {
                bail!("there is no such mail that is not sent yet; see weir mail list");
            }
            parts.mail_due.notify_one();
            Ok(json!({ "message": "It will be tried again now." }))
        }
    }
}

fn state(state: &State) -> String {
    match state {
        State::Sent { at } => format!("sent {at}"),
        State::Refused { at } => format!("refused {at}"),
        State::Waiting { next_attempt_at } => format!("waits until {next_attempt_at}"),
    }
}
