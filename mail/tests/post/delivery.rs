//! Delivery against a real SMTP server that behaves like servers do: nothing is lost, nothing is sent twice without
//! need.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::{Office, message_id, noon};
use jiff::{SignedDuration, Timestamp, ToSpan};
use mail::outbox::{self, State};
use mail::{Retry, Smtp, SmtpSettings, Tls, deliver_due};
use migrations::Scope;
use testbed::smtp::{Behaviour, SmtpServer, received_in};

/// A mail meets `behaviour`, waits with a text that has `says`, and is sent once when the server has come to its senses.
async fn check_waits(behaviour: Behaviour, says: &str) {
    let office = Office::open(behaviour).await;
    let mail_id = office.put_budget().await;
    let smtp = office.impatient();
    let delivered = office.pass(&smtp, noon()).await;
    assert_eq!((delivered.sent, delivered.deferred, delivered.refused), (0, 1, 0));
    let entry = office.entry(mail_id).await;
    let error = entry.last_error.expect("it says why");
    assert!(error.contains(says), "{error:?} should say {says:?}");
    assert_eq!(entry.attempts, 1);
    let due_at = office.due_at(mail_id).await;
    assert!(noon() + 60.seconds() <= due_at && due_at <= noon() + 180.seconds(), "{due_at}");
    let early = office.pass(&smtp, due_at - 1.second()).await;
    assert_eq!((early.sent, early.deferred), (0, 0), "it was not due yet");

    office.server.behave(Behaviour::Normal).expect("the server can be told");
    let entry = office.deliver_at_last(mail_id).await;
    assert_eq!((entry.attempts, entry.last_error), (2, None));
    assert_eq!(office.received().len(), 1);
}

/// A mail meets `behaviour`, is never tried again by itself, and is sent once when an operator orders it.
async fn check_refused(behaviour: Behaviour, says: &str) {
    let office = Office::open(behaviour).await;
    let mail_id = office.put_budget().await;
    let delivered = office.pass(&office.smtp(), noon()).await;
    assert_eq!((delivered.sent, delivered.deferred, delivered.refused), (0, 0, 1));
    let entry = office.entry(mail_id).await;
    assert!(matches!(entry.state, State::Refused { .. }), "{entry:?}");
    assert_eq!(entry.recipient.as_deref(), Some("ops@alder.example"));
    let error = entry.last_error.expect("it says why");
    assert!(error.contains(says), "{error:?} should say {says:?}");

    office.server.behave(Behaviour::Normal).expect("the server can be told");
    let years_later = noon() + 20_000.hours();
    assert_eq!(office.pass(&office.smtp(), years_later).await.sent, 0);
    assert!(outbox::retry(&office.db, mail_id, years_later).await.expect("it can be ordered"));
    assert_eq!(office.pass(&office.smtp(), years_later).await.sent, 1);
    assert_eq!(office.received().len(), 1);
    assert!(!outbox::retry(&office.db, mail_id, years_later).await.expect("it can be asked"), "it was sent");
}

#[tokio::test]
async fn a_mail_goes_out_once_encrypted_and_logged_in() {
    let office = Office::open(Behaviour::Normal).await;
    let mail_id = office.put_budget().await;
    assert_eq!(office.pass(&office.smtp(), noon()).await.sent, 1);
    assert_eq!(office.pass(&office.smtp(), noon() + 48.hours()).await, mail::Delivered::default());
    let [mail] = &office.received()[..] else { panic!("one mail") };
    assert!(mail.envelope.over_tls);
    assert_eq!(mail.envelope.user.as_deref(), Some("weir"));
    assert_eq!(mail.envelope.from, "weir@provider.example");
    assert_eq!(mail.envelope.to, ["ops@alder.example"]);
    assert_eq!(message_id(mail), format!("{mail_id}@provider.example"));
    let entry = office.entry(mail_id).await;
    assert_eq!((entry.attempts, entry.recipient.as_deref()), (1, Some("ops@alder.example")));
    let State::Sent { at } = entry.state else { panic!("{entry:?}") };
    assert!(noon() <= at && at < noon() + 1.minute(), "{at}");
}

#[tokio::test]
async fn a_server_that_is_slow_loses_no_mail() {
    check_waits(Behaviour::Slow, "did not take the mail within 1 s").await;
}

#[tokio::test]
async fn a_server_that_dies_within_the_mail_loses_no_mail() {
    check_waits(Behaviour::DyingInData, "broke off").await;
}

#[tokio::test]
async fn a_server_without_starttls_gets_neither_password_nor_mail() {
    check_waits(Behaviour::WithoutStarttls, "offers no STARTTLS").await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_loses_no_mail() {
    check_waits(Behaviour::RefusingAuth, "does not let the user weir in: 535").await;
}

#[tokio::test]
async fn a_greylisting_server_gets_the_mail_at_the_third_attempt() {
    check_waits(Behaviour::Greylisting { times: 1 }, "asks for patience: 451").await;
    let office = Office::open(Behaviour::Greylisting { times: 2 }).await;
    let mail_id = office.put_budget().await;
    assert_eq!(office.deliver_at_last(mail_id).await.attempts, 3);
    assert_eq!(office.received().len(), 1);
}

#[tokio::test]
async fn a_recipient_that_does_not_exist_is_left_to_an_operator() {
    check_refused(Behaviour::Refusing, "refused the recipient: 550 5.1.1").await;
}

#[tokio::test]
async fn a_mail_that_is_rejected_is_left_to_an_operator() {
    check_refused(Behaviour::RefusingContent, "refused the mail: 554 5.7.1").await;
}

#[tokio::test]
async fn a_server_that_is_away_for_a_day_gets_the_mail_once() {
    let mut office = Office::open(Behaviour::Normal).await;
    let mail_id = office.put_budget().await;
    let (smtp, port) = (office.smtp(), office.server.port());
    let aside = office.directory().join("aside");
    office.server = SmtpServer::start(&aside, Behaviour::Normal).expect("another server runs");
    let mut now = noon();
    for attempt in 1..=30 {
        assert_eq!(office.pass(&smtp, now).await.deferred, 1);
        let entry = office.entry(mail_id).await;
        assert_eq!(entry.attempts, attempt);
        let error = entry.last_error.expect("it says why");
        assert!(error.contains("no connection to the mail server localhost"), "{error}");
        let next = office.due_at(mail_id).await;
        let wait = next.duration_since(now);
        let slack = SignedDuration::from_mins(1);
        assert!(
            SignedDuration::from_mins(1) <= wait && wait <= SignedDuration::from_hours(1) + slack,
            "{wait}"
        );
        if 6 < attempt {
            assert!(SignedDuration::from_mins(30) <= wait, "{wait}");
        }
        now = next;
    }
    let back = SmtpServer::start_on(office.directory(), port, Behaviour::Normal)
        .expect("it comes back where it was");
    assert_eq!(office.pass(&smtp, now).await.sent, 1);
    assert_eq!(back.received().expect("readable").len(), 1);
    assert_eq!(office.received().len(), 0);
}

#[tokio::test]
async fn mails_that_wait_for_an_absent_server_are_all_told_why_and_all_arrive() {
    let office = Office::open(Behaviour::DyingInData).await;
    let mut mails = Vec::new();
    for _ in 0..5 {
        mails.push(office.put_budget().await);
    }
    assert_eq!(office.pass(&office.smtp(), noon()).await.deferred, 5);
    let counts = outbox::waiting(&office.db).await.expect("countable");
    assert_eq!((counts.waiting, counts.failing, counts.refused), (5, 5, 0));
    assert_eq!(counts.oldest_created_at, Some(noon()));
    office.server.behave(Behaviour::Normal).expect("the server can be told");
    for mail in mails {
        office.deliver_at_last(mail).await;
    }
    assert_eq!(office.received().len(), 5);
    assert_eq!(outbox::waiting(&office.db).await.expect("countable"), outbox::Waiting::default());
}

#[tokio::test]
async fn a_refused_mail_does_not_hold_up_the_next() {
    let office = Office::open(Behaviour::Normal).await;
    outbox::put_test(&office.db, "nobody@alder.example", noon() - 2.seconds()).await.expect("put");
    outbox::put_test(&office.db, "no address", noon() - 1.second()).await.expect("put");
    office.put_budget().await;
    let delivered = office.pass(&office.smtp(), noon()).await;
    assert_eq!((delivered.sent, delivered.deferred, delivered.refused), (1, 1, 1));
    assert_eq!(office.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_who_deliver_at_once_send_every_mail_once() {
    let office = Office::open(Behaviour::Normal).await;
    for _ in 0..24 {
        office.put_budget().await;
    }
    let smtp = office.smtp();
    let passes = (0..4).map(|_| {
        let (db, smtp, letters) = (office.db.database(), smtp.clone(), office.letters.clone());
        tokio::spawn(async move { deliver_due(&db, &smtp, &letters, noon()).await.expect("readable").sent })
    });
    let mut sent = 0;
    for pass in passes.collect::<Vec<_>>() {
        sent += pass.await.expect("no panic");
    }
    assert_eq!(sent, 24);
    let ids: BTreeSet<String> = office.received().iter().map(message_id).collect();
    assert_eq!((office.received().len(), ids.len()), (24, 24));
}

#[tokio::test]
async fn a_crash_after_the_servers_yes_sends_the_same_mail_again_rather_than_never() {
    let office = Office::open(Behaviour::Normal).await;
    let mail_id = office.put_budget().await;
    let owner = office.db.owner_client().await;
    // The outcome cannot be written down, as when the machine dies just then.
    owner
        .batch_execute(
            "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'power cut'; END $$; \
             CREATE TRIGGER crash BEFORE UPDATE OF sent_at ON mail_outbox FOR EACH ROW EXECUTE FUNCTION crash()",
        )
        .await
        .expect("the owner may");
    let smtp = office.smtp();
    let error =
        deliver_due(&office.db, &smtp, &office.letters, noon()).await.expect_err("the outcome was lost");
    assert_eq!(error.to_string(), "the mail outbox cannot be read or written");
    owner.batch_execute("DROP TRIGGER crash ON mail_outbox").await.expect("the owner may");
    let soon = office.pass(&smtp, noon() + 5.seconds()).await;
    assert_eq!(soon.sent, 0, "it is leased still");
    assert_eq!(office.pass(&smtp, noon() + 10.minutes()).await.sent, 1);
    let [first, second] = &office.received()[..] else { panic!("at least once is twice here") };
    assert_eq!(message_id(first), format!("{mail_id}@provider.example"));
    assert_eq!(first.eml, second.eml, "recognisable as one mail");
}

#[tokio::test]
async fn a_server_that_takes_a_mail_without_saying_so_gets_the_same_mail_again() {
    let office = Office::open(Behaviour::SilentAfterTaking).await;
    let mail_id = office.put_budget().await;
    assert_eq!(office.pass(&office.smtp(), noon()).await.deferred, 1);
    office.server.behave(Behaviour::Normal).expect("the server can be told");
    office.deliver_at_last(mail_id).await;
    let [first, second] = &office.received()[..] else { panic!("twice") };
    assert_eq!(first.eml, second.eml);
}

#[tokio::test]
async fn a_deliverer_that_is_killed_keeps_its_mail_no_longer_than_its_lease() {
    let office = Office::open(Behaviour::Slow).await;
    let mail_id = office.put_budget().await;
    let (db, smtp, letters) = (office.db.database(), office.smtp(), office.letters.clone());
    let pass = tokio::spawn(async move { deliver_due(&db, &smtp, &letters, noon()).await.map(drop) });
    let client = office.db.owner_client().await;
    let leased = "SELECT leased_until FROM mail_outbox WHERE leased_until IS NOT NULL";
    let leased_until: Timestamp = loop {
        match client.query_opt(leased, &[]).await.expect("readable") {
            Some(row) => break row.get("leased_until"),
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    pass.abort();
    office.server.behave(Behaviour::Normal).expect("the server can be told");
    let smtp = office.smtp();
    assert_eq!(office.pass(&smtp, leased_until - 5.seconds()).await.sent, 0);
    assert_eq!(office.pass(&smtp, leased_until).await.sent, 1);
    assert_eq!(office.received().len(), 1);
    assert!(matches!(office.entry(mail_id).await.state, State::Sent { .. }));
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_gets_nothing() {
    let office = Office::open(Behaviour::Normal).await;
    let other = tempfile::tempdir().expect("a temporary directory");
    let stranger = SmtpServer::start(other.path(), Behaviour::Normal).expect("another server runs");
    let mail_id = office.put_budget().await;
    for tls in [Tls::Required, Tls::Implicit] {
        let port = if tls == Tls::Implicit { office.server.tls_port() } else { office.server.port() };
        let settings = SmtpSettings { ca_file: Some(stranger.ca_file()), tls, port, ..office.settings() };
        let smtp = Smtp::new(&settings).expect("the settings are good");
        let now = office.due_at(mail_id).await;
        assert_eq!(office.pass(&smtp, now).await.deferred, 1);
        let error = office.entry(mail_id).await.last_error.expect("it says why");
        assert!(error.contains("cannot be trusted") && error.contains("ca_file"), "{error}");
    }
    let settings = SmtpSettings { host: "127.0.0.2".into(), ..office.settings() };
    let smtp = Smtp::new(&settings).expect("the settings are good");
    assert_eq!(office.pass(&smtp, office.due_at(mail_id).await).await.deferred, 1);
    assert_eq!(office.received().len(), 0);
    assert_eq!(received_in(other.path()).expect("readable").len(), 0);
    office.deliver_at_last(mail_id).await;
}

#[tokio::test]
async fn implicit_tls_and_a_plain_relay_on_this_machine_work_too() {
    let office = Office::open(Behaviour::Normal).await;
    office.put_budget().await;
    let settings = SmtpSettings { tls: Tls::Implicit, port: office.server.tls_port(), ..office.settings() };
    let smtp = Smtp::new(&settings).expect("the settings are good");
    assert_eq!(office.pass(&smtp, noon()).await.sent, 1);
    assert!(office.received()[0].envelope.over_tls);

    office.server.behave(Behaviour::WithoutStarttls).expect("the server can be told");
    office.put_budget().await;
    let settings = SmtpSettings { tls: Tls::None, username: None, password: None, ..office.settings() };
    let smtp = Smtp::new(&settings).expect("the settings are good");
    assert_eq!(office.pass(&smtp, noon()).await.sent, 1);
    assert!(!office.received()[1].envelope.over_tls);
}

#[tokio::test]
async fn the_wrong_kind_of_tls_for_a_port_is_told() {
    let office = Office::open(Behaviour::Normal).await;
    let mail_id = office.put_budget().await;
    let settings = SmtpSettings { tls: Tls::Implicit, ..office.settings() };
    assert_eq!(office.pass(&Smtp::new(&settings).expect("good"), noon()).await.deferred, 1);
    let error = office.entry(mail_id).await.last_error.expect("it says why");
    assert!(error.contains("does not speak TLS here"), "{error}");
}

#[tokio::test]
async fn a_tenant_without_an_address_keeps_its_mail_waiting_until_it_has_one() {
    let mut office = Office::open(Behaviour::Normal).await;
    let mail_id = office.put_budget().await;
    for (recipient, says) in [
        (None, "nobody to send it to"),
        (Some("  "), "nobody to send it to"),
        (Some("alder"), "\"alder\" is no e-mail address"),
        (Some("a@example.org\r\nRCPT TO:<b@example.org>"), "is no e-mail address"),
        (Some("a@example.org, b@example.org"), "is no e-mail address"),
    ] {
        office.letters.recipient = recipient.map(str::to_owned);
        let now = office.due_at(mail_id).await;
        assert_eq!(office.pass(&office.smtp(), now).await.deferred, 1);
        let entry = office.entry(mail_id).await;
        let error = entry.last_error.expect("it says why");
        assert!(error.contains(says), "{error}");
        assert_eq!(entry.attempts, 0, "no server was asked");
    }
    office.letters.recipient = Some("ops@alder.example".into());
    office.deliver_at_last(mail_id).await;
    assert_eq!(office.received().len(), 1);
}

#[tokio::test]
async fn an_address_that_is_not_ascii_is_reached_where_the_server_can() {
    let mut office = Office::open(Behaviour::Normal).await;
    office.letters.recipient = Some("J\u{202e}örg <jörg@alder.example>".into());
    office.put_budget().await;
    assert_eq!(office.pass(&office.smtp(), noon()).await.sent, 1);
    let [mail] = &office.received()[..] else { panic!("one mail") };
    assert_eq!(mail.envelope.to, ["jörg@alder.example"]);
    let parsed = crate::support::parsed(&mail.eml);
    let to = parsed.to().and_then(|to| to.first()).expect("a recipient");
    assert_eq!((to.name(), to.address()), (Some("Jörg"), Some("jörg@alder.example")));
}

#[tokio::test]
async fn a_mail_about_nothing_waits_and_says_so() {
    let office = Office::open(Behaviour::Normal).await;
    let empty = office.put("budget", serde_json::json!({})).await;
    let missing = office.put("invoice", serde_json::json!({"number": "INV-1999-000001"})).await;
    assert_eq!(office.pass(&office.smtp(), noon()).await.deferred, 2);
    let error = office.entry(empty).await.last_error.expect("it says why");
    assert_eq!(error, "the outbox says too little for a letter: missing field `tenant`");
    let error = office.entry(missing).await.last_error.expect("it says why");
    assert_eq!(error, "there is no invoice INV-1999-000001");
}

#[tokio::test]
async fn waits_can_be_shortened() {
    let office = Office::open(Behaviour::DyingInData).await;
    let mail_id = office.put_budget().await;
    let retry = Retry { shortest: Duration::from_millis(1), longest: Duration::from_millis(2) };
    let smtp = office.smtp().with_retry(retry);
    assert_eq!(office.pass(&smtp, noon()).await.deferred, 1);
    assert!(office.due_at(mail_id).await < noon() + 30.seconds());
}

#[test]
fn settings_that_cannot_work_are_told_at_once() {
    let good = SmtpSettings {
        host: "mail.example.org".into(),
        port: 587,
        tls: Tls::Required,
        ca_file: None,
        username: None,
        password: None,
        from: "weir@example.org".into(),
        timeout: Duration::from_secs(60),
    };
    let check = |settings: SmtpSettings, says: &str| {
        let error = Smtp::new(&settings).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    };
    assert!(Smtp::new(&good).is_ok());
    check(SmtpSettings { host: " ".into(), ..good.clone() }, "has no name");
    check(SmtpSettings { from: "weir".into(), ..good.clone() }, "is no e-mail address");
    check(
        SmtpSettings { from: "a@b.example\r\nBcc: c@d.example".into(), ..good.clone() },
        "is no e-mail address",
    );
    check(SmtpSettings { username: Some("weir".into()), ..good.clone() }, "belong together");
    check(SmtpSettings { timeout: Duration::ZERO, ..good.clone() }, "time limit is 0");
    check(SmtpSettings { ca_file: Some("/nonexistent.pem".into()), ..good.clone() }, "cannot be read");
    check(SmtpSettings { ca_file: Some("/etc/hostname".into()), ..good.clone() }, "holds no certificate");
    let (username, password) = (Some("weir".into()), Some("secret".into()));
    let clear = SmtpSettings { tls: Tls::None, username, password, ..good };
    assert!(!format!("{clear:?}").contains("secret"));
    check(clear, "unprotected");
}

#[tokio::test]
async fn every_statement_fits_the_migrated_database() {
    let db = migrations::testing::database().await;
    let mut session = db.session().await.expect("a session");
    let transaction = session.begin(Scope::Provider).await.expect("a transaction");
    for (name, text) in mail::sql::ALL {
        transaction.prepare_cached(text).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn alerts_that_waited_for_a_mail_server_are_sent_only_if_they_are_news() {
    let office = Office::open(Behaviour::Normal).await;
    let owner = office.db.owner_client().await;
    // When the mail was made, and whether its alert is over.
    for (mail, hours_ago, is_over) in [("old", 25, false), ("over", 1, true), ("news", 23, false)] {
        let alert_id = uuid::Uuid::new_v4();
        let at = noon() - hours_ago.hours();
        let ended_at = is_over.then_some(noon());
        let alert = "INSERT INTO alert (alert_id, kind, subject, title, detail, raised_at, seen_at, ended_at) \
                     VALUES ($1, 'node_silent', $2, 't', 'd', $3, $3, $4)";
        owner.execute(alert, &[&alert_id, &mail, &at, &ended_at]).await.expect("an alert");
        let about =
            serde_json::json!({ "title": mail, "detail": "", "raised_at": at.to_string(), "open_beside": 0 });
        let id = office.put("alert", about).await;
        let key = format!("alert/node_silent/{alert_id}");
        let mail = "UPDATE mail_outbox SET subject_key = $2, created_at = $3 WHERE mail_id = $1";
        owner.execute(mail, &[&id, &key, &at]).await.expect("a mail");
    }
    let delivered = office.pass(&office.smtp(), noon()).await;
    assert_eq!((delivered.sent, delivered.deferred, delivered.refused), (1, 0, 0));
    let received = office.received();
    assert!(String::from_utf8_lossy(&received[0].eml).contains("news"));
    let why: Vec<String> = outbox::list(&office.db, 9)
        .await
        .expect("the outbox")
        .into_iter()
        .filter(|entry| matches!(entry.state, State::Refused { .. }))
        .filter_map(|entry| entry.last_error)
        .collect();
    assert!(why.len() == 2 && why.iter().all(|why| why.starts_with("not sent: ")), "{why:?}");
    let waiting = outbox::waiting(&office.db).await.expect("the outbox");
    assert_eq!((waiting.waiting, waiting.refused), (0, 0), "nothing is left to see to");
}
