//! A letter wrapped up for the way: headers, MIME parts, encodings. Pure: the same letter gives the same bytes, so that
//! a mail that is sent twice is recognised as one. It does not send and does not decide to whom.

use jiff::Timestamp;
use lettre::address::Envelope;
use lettre::message::header::{
    ContentDisposition, ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue,
};
use lettre::message::{Body, Mailbox, Message, MultiPart, SinglePart};
use uuid::Uuid;

use crate::letters::{Attachment, Letter};
use crate::text::{NAME_MAX, one_line};

/// Longest address (RFC 5321, 4.5.3.1: 64 + 1 + 255), with a name before it.
const RECIPIENT_MAX: usize = 512;

/// A letter with everything that goes over the wire.
#[derive(Clone, Debug)]
pub struct Addressed {
    /// From whom and to whom, for the server.
    pub envelope: Envelope,
    /// The bare address of the recipient.
    pub recipient: String,
    /// The mail, in ASCII but for addresses that are not.
    pub bytes: Vec<u8>,
}

/// Why a letter cannot be addressed.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Nobody could deliver there.
    #[error("{recipient:?} is no e-mail address: correct it where the tenant is edited")]
    Recipient {
        /// At most the first 200 characters of it.
        recipient: String,
    },
    /// lettre refuses the parts, which is a fault of ours.
    #[error("the mail could not be put together")]
    Parts(#[from] lettre::error::Error),
}

/// `Auto-Submitted: auto-generated` (RFC 3834): no holiday notices as answers, please.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// `letter`, addressed. `mail_id` and `from` make the Message-ID; `created_at` is the Date: when it was complete
/// (RFC 5322, 3.6.1), however long the way.
///
/// # Errors
/// The recipient is no address.
pub(crate) fn address(
    letter: Letter,
    mail_id: Uuid,
    from: &Mailbox,
    recipient: &str,
    created_at: Timestamp,
) -> Result<Addressed, MessageError> {
    let to = mailbox(recipient)?;
    let recipient = to.email.to_string();
    let body = MultiPart::alternative()
        .boundary(boundary(mail_id, "body"))
        .singlepart(quoted(ContentType::TEXT_PLAIN, letter.text))
        .singlepart(quoted(ContentType::TEXT_HTML, letter.html));
    let whole = match letter.attachment {
        None => body,
        Some(attachment) => MultiPart::mixed()
            .boundary(boundary(mail_id, "whole"))
            .multipart(body)
            .singlepart(enclosed(attachment)),
    };
    let message = Message::builder()
        .date(created_at.into())
        .from(from.clone())
        .to(to)
        .subject(letter.subject)
        .message_id(Some(format!("<{mail_id}@{}>", from.email.domain())))
        .header(AutoSubmitted)
        .multipart(whole)?;
    Ok(Addressed { envelope: message.envelope().clone(), recipient, bytes: message.formatted() })
}

/// Whether mail can be addressed to it.
///
/// # Errors
/// It is no e-mail address.
pub fn check_recipient(recipient: &str) -> Result<(), MessageError> {
    mailbox(recipient).map(drop)
}

fn mailbox(recipient: &str) -> Result<Mailbox, MessageError> {
    let error = || MessageError::Recipient { recipient: one_line(recipient, 200) };
    let recipient = recipient.trim();
    if recipient.chars().any(char::is_control) || RECIPIENT_MAX < recipient.len() {
        return Err(error());
    }
    let mut mailbox: Mailbox = recipient.parse().map_err(|_| error())?;
    mailbox.name = mailbox.name.map(|name| one_line(&name, NAME_MAX)).filter(|name| !name.is_empty());
    Ok(mailbox)
}

/// Quoted-printable throughout: no line is too long for any server, and no byte is over 127.
fn quoted(content_type: ContentType, text: String) -> SinglePart {
    let body = Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable)
        .expect("quoted-printable holds any text");
    SinglePart::builder().header(content_type).body(body)
}

fn enclosed(attachment: Attachment) -> SinglePart {
    let body = Body::new_with_encoding(attachment.pdf, ContentTransferEncoding::Base64)
        .expect("base64 holds any bytes");
    SinglePart::builder()
        .header(ContentType::parse("application/pdf").expect("it is a media type"))
        .header(ContentDisposition::attachment(&attachment.file_name))
        .body(body)
}

/// `=_` occurs in neither quoted-printable nor base64, so no text can end its part.
fn boundary(mail_id: Uuid, part: &str) -> String {
    format!("=_{part}_{}", mail_id.simple())
}
