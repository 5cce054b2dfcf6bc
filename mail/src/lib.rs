#![doc = include_str!("../README.md")]

mod deliver;
pub mod letters;
mod message;
pub mod outbox;
mod settings;
mod smtp;
pub mod sql;
mod text;

pub use deliver::{Delivered, Letters, LettersError, LettersFuture, PrintedInvoice, deliver_due};
pub use letters::{Attachment, Letter, LetterError};
pub use message::{Addressed, MessageError, check_recipient};
pub use outbox::MailError;
pub use settings::{Retry, SettingsError, Smtp, SmtpSettings, Tls};
