//! A tenant's user: what is owed, why, what to do about it, and nobody else's things.

use testbed::browser::{Key, Theme};

use crate::cloud::{BUILD, MARKUP, PASSWORD, WEB, instance_id};
use crate::visitor::{NARROW, Site, Visitor, WIDE};

/// More stops than any page has before its first instance.
const STOPS_MAX: usize = 40;

#[test]
fn nobody_trusts_an_invoice_whose_lines_do_not_lead_to_readings() {
    let site = Site::up();
    let ada = site.visitor(WIDE, Theme::Light);
    logs_in_where_she_wanted_to_go(&ada);
    sees_the_month(&ada);
    watches_an_instance(&ada);
    finds_why(&ada);
    sets_a_budget(&ada);
    sees_nothing_of_others(&ada);
    leaves_for_good(&ada);
}

fn logs_in_where_she_wanted_to_go(ada: &Visitor<'_>) {
    ada.goto("/invoices?status=issued");
    ada.wait_at("/login");
    ada.try_log_in("ada", "wrong horse battery");
    ada.browser.wait_for("a refusal", "document.querySelector('#problem')").unwrap();
    assert_eq!(ada.value("#name"), "ada");
    assert!(ada.browser.cookie("weir_session").unwrap().is_none());
    ada.try_log_in("ada", PASSWORD);
    ada.wait_at("/invoices");
}

fn sees_the_month(ada: &Visitor<'_>) {
    ada.goto("/");
    let months = ada.site.cloud.months_to_date();
    let (_, total) = months.iter().find(|(tenant, _)| tenant == "acme").unwrap();
    let shown = ada.page().replace(['\u{a0}', ','], " ");
    let amount = total.amount().to_string();
    assert!(shown.contains("Month to date") && shown.replace(' ', "").contains(&amount), "{amount}: {shown}");
    ada.sees(&["Ada <i>L.</i>", "vCPU time", "Europe/Berlin"]);
    ada.goto("/usage");
    ada.sees(&["CPU time", "Network, sent", "Storage"]);
    ada.follow("ul.meters h2 a[href*=cpu_ns]");
    ada.sees(&["By day", "By instance and volume"]);
    assert_eq!(
        ada.figures("[aria-labelledby=days] tbody td.base").iter().sum::<u128>(),
        ada.figure("[aria-labelledby=days] tfoot td.base")
    );
    assert_eq!(
        ada.figure("[aria-labelledby=days] tfoot td.base"),
        ada.figure("[aria-labelledby=resources] tfoot tr:last-child td.base")
    );
}

fn watches_an_instance(ada: &Visitor<'_>) {
    ada.goto("/instances");
    ada.sees(&["web-1", "database", MARKUP, "old-shop"]);
    let link = format!("main a[href='/instances/{}']", instance_id(WEB));
    ada.follow(&link);
    ada.browser.wait_for("charts", "document.querySelectorAll('.plot canvas').length === 3").unwrap();
    ada.browser
        .wait_for(
            "figures",
            "[...document.querySelectorAll('.chart .now')].every(now => /\\d/.test(now.textContent))",
        )
        .unwrap();
    ada.click("figure[data-chart=cpu] details summary");
    let rows = "document.querySelectorAll('figure[data-chart=cpu] tbody tr').length > 30";
    ada.browser.wait_for("the table behind the chart", rows).unwrap();
    assert!(ada.browser.text("figure[data-chart=cpu] tbody tr td.number").unwrap().starts_with("0."));
    ada.sees(&["Registers", "cpu_ns"]);
}

/// From the invoice to the readings: three clicks, and every sum is the one of the page before.
fn finds_why(ada: &Visitor<'_>) {
    ada.goto("/invoices");
    ada.follow(&format!("main a[href$='{}']", ada.site.cloud.number));
    let pdf = ada.read(&ada.target("main a[href$='.pdf']"), &ada.session());
    assert_eq!((pdf.status, pdf.header("content-type")), (200, "application/pdf"));
    assert!(pdf.body.starts_with(b"%PDF-"));
    ada.follow("td.why a");
    let resources = ada.figures("[aria-labelledby=resources] tbody td.base");
    let sum = ada.figure("[aria-labelledby=resources] tfoot tr:last-child td.base");
    assert!(1 < resources.len(), "{resources:?}");
    assert_eq!(resources.iter().sum::<u128>(), sum);
    ada.follow("[aria-labelledby=resources] tbody th a");
    assert_eq!(ada.figure("p.lead strong"), resources[0]);
    assert_eq!(ada.figures("[aria-labelledby=days] tbody td.base").iter().sum::<u128>(), resources[0]);
    let windows = ada.figures("[aria-labelledby=windows] tbody td.base");
    assert_eq!(windows.iter().sum::<u128>(), ada.figure("[aria-labelledby=windows] tfoot td.base"));
    ada.follow("[aria-labelledby=windows] tbody th a");
    assert_eq!(ada.figure("p.lead strong"), windows[0]);
    assert_eq!(ada.figures("section.life tfoot td.number").iter().sum::<u128>(), windows[0]);
    let edges = ada.figures("section.life tbody td.number");
    assert_eq!(edges[0] - edges[1], windows[0], "end less start");
}

fn sets_a_budget(ada: &Visitor<'_>) {
    ada.goto("/budget");
    ada.sees(&["180.00"]);
    ada.browser.fill("#amount", "twelve").unwrap();
    ada.click("form.budget button.primary");
    ada.browser.wait_for("a refusal", "document.querySelector('#amount-error')").unwrap();
    assert_eq!(ada.value("#amount"), "twelve", "what was typed is kept");
    ada.browser.fill("#amount", "1234.50").unwrap();
    ada.click("form.budget button.primary");
    ada.browser.wait_for("the new budget", "document.body.innerText.includes('1,234.50')").unwrap();
}

fn sees_nothing_of_others(ada: &Visitor<'_>) {
    for path in [format!("/instances/{}", instance_id(BUILD)), "/tenants/globex".to_owned()] {
        ada.goto(&path);
        assert_eq!(ada.status(), 404, "{path}");
        ada.sees_none_of(&["Globex", "globex"]);
    }
}

fn leaves_for_good(ada: &Visitor<'_>) {
    ada.goto("/");
    let session = ada.session();
    assert_eq!(ada.read("/invoices", &session).status, 200);
    ada.click("form[action='/logout'] button");
    ada.wait_at("/login");
    let answer = ada.read("/invoices", &session);
    assert!(answer.status == 303 && answer.header("location").starts_with("/login"), "{}", answer.head);
}

#[test]
fn who_cannot_use_a_mouse_is_not_locked_out() {
    let site = Site::up();
    let ada = site.visitor(NARROW, Theme::Dark);
    ada.goto("/login");
    ada.browser.wait_for("the focus in the first field", "document.activeElement.id === 'name'").unwrap();
    ada.browser.type_text("ada").unwrap();
    ada.browser.press(Key::Tab).unwrap();
    ada.browser.type_text(PASSWORD).unwrap();
    ada.browser.press(Key::Enter).unwrap();
    ada.wait_at("/");
    ada.browser.press(Key::Tab).unwrap();
    assert_eq!(ada.run("return document.activeElement.hash;"), "#content", "the first stop skips the frame");
    tab_to(&ada, "/instances");
    ada.browser.press(Key::Enter).unwrap();
    ada.wait_at("/instances");
    let page = format!("/instances/{}", instance_id(WEB));
    tab_to(&ada, &page);
    ada.browser.press(Key::Enter).unwrap();
    ada.wait_at(&page);
    assert_eq!(ada.browser.title().unwrap(), "web-1 · Weir");
}

/// Goes from stop to stop; each one must be seen to have the focus.
fn tab_to(ada: &Visitor<'_>, path: &str) {
    let look = "const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect(); \
                return { path: at.pathname ?? '', at: at.outerHTML.slice(0, 120), \
                seen: at !== document.body && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 \
                && box.width > 0 && box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight };";
    for _ in 0..STOPS_MAX {
        ada.browser.press(Key::Tab).unwrap();
        let stop = ada.run(look);
        assert_eq!(stop["seen"], true, "the focus is not seen on {}", stop["at"]);
        if stop["path"] == path {
            return;
        }
    }
    panic!("{path} is not reached by Tab");
}
