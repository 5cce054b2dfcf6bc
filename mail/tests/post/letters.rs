//! What letters say and how they arrive: read back by an independent parser from what a real server took.

use crate::support::{Office, at, budget_about, issued, noon, parsed};
use billing::{Currency, InvoiceDocument, Money};
use mail::letters::{self, AlertNotice, BudgetNotice};
use mail_parser::MimeHeaders;
use proptest::prelude::*;
use serde_json::json;
use testbed::smtp::Behaviour;

fn notice(tenant: &str, threshold_percent: u32, spent: &str) -> BudgetNotice {
    let mut about = budget_about(tenant);
    about["threshold_percent"] = threshold_percent.into();
    about["spent"] = spent.into();
    BudgetNotice::from_about(&about, at("2026-11-10T09:30:00Z")).expect("the outbox says enough")
}

/// As the alerts write it into the outbox.
fn alert_about(node: Option<&str>, instance: Option<&str>) -> serde_json::Value {
    json!({
        "kind": "node_silent",
        "title": "A node is silent",
        "detail": "nothing was heard of it since 2026-11-10T09:27:00Z, for more than 3 reading intervals",
        "node": node,
        "instance": instance,
        "raised_at": "2026-11-10T09:30:00Z",
        "times": 1,
        "meaning": "Nothing is lost while the node lives: its readings wait in its spool.",
        "remedy": "See whether the machine runs, whether Weir runs on it, and whether it reaches the control plane.",
        "open_beside": if instance.is_some() { 3 } else { 0 },
    })
}

fn alert(node: Option<&str>, instance: Option<&str>) -> AlertNotice {
    AlertNotice::from_about(&alert_about(node, instance)).expect("the outbox says enough")
}

fn golden(letter: &mail::Letter) -> String {
    format!("Subject: {}\n\n{}", letter.subject, letter.text)
}

#[test]
fn the_letters_read_as_they_should() {
    let portal = Some("https://weir.example.org/");
    let half = letters::budget(&notice("alder", 50, "50.00"), None).expect("a letter");
    insta::assert_snapshot!("budget_50_without_portal", golden(&half));
    let high = letters::budget(&notice("alder", 80, "81.20"), portal).expect("a letter");
    insta::assert_snapshot!("budget_80", golden(&high));
    let over = letters::budget(&notice("alder", 100, "112.09"), portal).expect("a letter");
    insta::assert_snapshot!("budget_100", golden(&over));
    let invoice = letters::invoice(&issued(), Vec::new(), portal).expect("a letter");
    insta::assert_snapshot!("invoice", golden(&invoice));
    let crowded = letters::invoice(&InvoiceDocument::sample(), Vec::new(), None).expect("a letter");
    insta::assert_snapshot!("invoice_without_portal", golden(&crowded));
    let node = letters::alert(&alert(Some("web-1"), None), portal).expect("a letter");
    insta::assert_snapshot!("alert", golden(&node));
    let newer = AlertNotice { meaning: None, remedy: None, ..alert(Some("web-1"), Some("db-3")) };
    let newer = letters::alert(&newer, None).expect("a letter");
    insta::assert_snapshot!("alert_without_words_or_portal", golden(&newer));
    let test = letters::test(noon(), portal).expect("a letter");
    insta::assert_snapshot!("test", golden(&test));
}

#[test]
fn a_draft_is_never_sent() {
    let draft = InvoiceDocument { number: None, ..issued() };
    let error = letters::invoice(&draft, Vec::new(), None).expect_err("a draft");
    assert_eq!(error.to_string(), "an invoice without a number is a draft, which is not sent");
}

#[test]
fn a_yen_has_no_cents_in_letters_either_and_nothing_is_rounded_up_to_spent() {
    let yen = Currency::parse("JPY").expect("yen");
    let money = |amount: u32| Money::exact(amount.into(), yen).expect("whole yen");
    let notice = BudgetNotice { budget: money(10_000), spent: money(9_999), ..notice("alder", 80, "1") };
    let text = letters::budget(&notice, None).expect("a letter").text;
    assert!(text.contains("9999 JPY of 10000 JPY") && text.contains("] 99 %"), "{text}");
    assert!(text.contains("1 JPY left"), "{text}");
}

#[test]
fn a_letter_about_half_a_budget_that_is_spent_altogether_promises_no_time() {
    for threshold_percent in [50, 80, 100] {
        let letter = letters::budget(&notice("alder", threshold_percent, "477.00"), None).expect("a letter");
        for shown in [&letter.text, &letter.html] {
            assert!(shown.contains("Nothing is stopped") && !shown.contains("still time"), "{shown}");
        }
    }
}

#[test]
fn only_the_web_is_linked_to() {
    for url in ["javascript:alert(1)", "https://a b", "ftp://x", "https://x\"><script>"] {
        let letter = letters::budget(&notice("alder", 50, "50.00"), Some(url)).expect("a letter");
        assert!(!letter.html.contains("script>") && !letter.html.contains("href=\"javascript"), "{url}");
        if !url.starts_with("https://x") {
            assert!(letter.text.contains("in the portal"), "{url}");
        }
    }
}

#[tokio::test]
async fn an_alert_arrives_and_a_hostile_instance_adds_no_header_and_no_markup() {
    let office = Office::open(Behaviour::Normal).await;
    let hostile = "x\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>\u{202e}";
    office.put("alert", alert_about(Some("web-1"), Some(hostile))).await;
    assert_eq!(office.pass(&office.smtp(), noon()).await.sent, 1);
    let received = office.received();
    assert_eq!(received[0].envelope.to, ["ops@alder.example"]);
    let mail = parsed(&received[0].eml);
    let subject = mail.subject().expect("a subject");
    assert_eq!(subject, "x Bcc: all@example.org <script>alert(1)</script> on web-1: a node is silent");
    assert_eq!(mail.bcc(), None);
    let html = mail.body_html(0).expect("HTML");
    assert!(!html.contains("<script") && !html.contains('\u{202e}'), "{html}");
    assert!(mail.body_text(0).expect("text").contains("3 more alerts are open."));
}

#[tokio::test]
async fn an_invoice_arrives_with_its_pdf_byte_for_byte() {
    let office = Office::open(Behaviour::Normal).await;
    let number = issued().number.expect("issued");
    let mail_id = office.put("invoice", json!({ "number": number })).await;
    assert_eq!(office.pass(&office.smtp(), noon()).await.sent, 1);
    let received = office.received();
    let mail = parsed(&received[0].eml);
    let attachments: Vec<_> = mail.attachments().collect();
    let [pdf] = attachments[..] else { panic!("one attachment") };
    assert_eq!(pdf.contents(), office.letters.pdf);
    assert_eq!(pdf.attachment_name(), Some(format!("{number}.pdf").as_str()));
    let content_type = pdf.content_type().expect("typed");
    assert_eq!((content_type.ctype(), content_type.subtype()), ("application", Some("pdf")));
    assert_eq!(mail.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
    assert_eq!(mail.date().map(mail_parser::DateTime::to_timestamp), Some(noon().as_second()));
    assert_eq!(mail.message_id(), Some(format!("{mail_id}@provider.example").as_str()));
    let to = mail.to().and_then(|to| to.first()).expect("a recipient");
    assert_eq!((to.name(), to.address()), (Some("Ålder Ops"), Some("ops@alder.example")));
    assert!(received[0].eml.split(|byte| *byte == b'\n').all(|line| line.len() <= 998 + 1));
    assert!(received[0].eml.is_ascii());
}

#[tokio::test]
async fn a_hostile_name_adds_no_header_no_recipient_and_no_markup() {
    let office = Office::open(Behaviour::Normal).await;
    let hostile = "x\r\nBcc: all@example.org\r\n\r\n<img src=https://evil.example/p.png onerror=\"alert(1)\">\u{202e}&日本";
    office.put("budget", budget_about(hostile)).await;
    assert_eq!(office.pass(&office.smtp(), noon()).await.sent, 1);
    let received = office.received();
    assert_eq!(received[0].envelope.to, ["ops@alder.example"]);
    let mail = parsed(&received[0].eml);
    let mut names: Vec<&str> = mail.headers().iter().map(|header| header.name()).collect();
    names.sort_unstable();
    let expected =
        ["Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To"];
    assert_eq!(names, expected);
    let subject = mail.subject().expect("a subject");
    let shown = "x Bcc: all@example.org <img src=https://evil.example/p.png onerror=\"alert(1)\">&日本";
    assert_eq!(subject, format!("{shown}: 80 % of the budget for November 2026 is spent"));
    let html = mail.body_html(0).expect("HTML");
    assert!(!html.contains("<img") && !html.contains('\u{202e}'), "{html}");
    assert!(html.contains("&#60;img") || html.contains("&lt;img"), "{html}");
    assert!(mail.body_text(0).expect("text").contains(shown.get(..20).expect("ASCII")));
    assert_eq!(mail.attachments().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_name_changes_the_form_of_a_letter(name in "(?s).{0,120}", portal in "(?s)(https://)?.{0,40}") {
        let form = |letter: &mail::Letter| letter.html.matches('<').count();
        let plain = letters::budget(&notice("alder", 80, "81.20"), None).expect("a letter");
        let letter = letters::budget(&notice(&name, 80, "81.20"), None).expect("a letter");
        prop_assert_eq!(form(&letter), form(&plain));
        prop_assert!(!letter.subject.chars().any(char::is_control));
        let too_long = |line: &&str| 76 < line.chars().count() && line.trim().contains(' ');
        let long_word = name.split_whitespace().any(|word| 60 < word.chars().count());
        prop_assert!(long_word || letter.text.lines().find(too_long).is_none(), "{}", letter.text);
        letters::budget(&notice("alder", 80, "81.20"), Some(&portal)).expect("a letter");
    }
}
