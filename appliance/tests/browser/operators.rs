//! The provider and the capacity planner: everything of all tenants, and everything but money.

use testbed::browser::Theme;

use crate::visitor::{Site, Visitor, WIDE};

#[test]
fn two_admins_at_once_do_not_undo_each_other_and_a_planner_sees_no_money() {
    let site = Site::up();
    let visitor = site.visitor(WIDE, Theme::Light);
    visitor.log_in("admin");
    sees_all_tenants(&visitor);
    sets_a_quota(&visitor);
    is_told_of_another_admins_change(&visitor);
    visitor.log_in("planner");
    sees_capacity(&visitor);
    sees_no_money(&visitor);
}

fn sees_all_tenants(admin: &Visitor<'_>) {
    admin.sees(&["Month to date, EUR", "acme", "globex"]);
    let shown = admin.page().replace(',', "");
    for (tenant, total) in admin.site.cloud.months_to_date() {
        assert!(shown.contains(&total.amount().to_string()), "{tenant}: {total} is not in {shown}");
    }
    admin.goto("/instances");
    admin.sees(&["web-1", "a-very-long-name", "nobodys", "unassigned"]);
    admin.goto("/tenants");
    admin.sees(&["ACME Web & Sons", "Globex <b>Corporation</b>"]);
    admin.goto("/capacity");
    admin.sees(&["node-1", "Allocated"]);
}

fn sets_a_quota(admin: &Visitor<'_>) {
    admin.goto("/tenants/acme");
    for (field, value) in [("#instances", "7"), ("#vcpus", "20"), ("#memory", "48")] {
        admin.browser.fill(field, value).unwrap();
    }
    admin.click("form[action$='/quota'] button.primary");
    let is_saved = "document.querySelector('.held')?.innerText.replace(/\\s+/g, ' ').includes('of 20')";
    admin.browser.wait_for("the new quota", is_saved).unwrap();
    admin.goto("/tenants/acme");
    assert_eq!((admin.value("#instances"), admin.value("#vcpus")), ("7".to_owned(), "20".to_owned()));
}

fn is_told_of_another_admins_change(admin: &Visitor<'_>) {
    let revision = admin.value("form[action$='/quota'] [name=revision]");
    let unit = admin.value("form[action$='/quota'] [name=unit]");
    let form = format!("revision={revision}&instances=5&vcpus=20&memory=48&unit={unit}");
    let answer = post_as_another(admin, "/tenants/acme/quota", &form);
    assert_eq!(answer, 303);
    admin.browser.fill("#instances", "9").unwrap();
    admin.click("form[action$='/quota'] button.primary");
    admin.browser.wait_for("a conflict", "document.querySelector('form.decide')").unwrap();
    assert_eq!(admin.status(), 409);
    admin.sees(&["was changed meanwhile", "5", "9"]);
    admin.click("form.decide button[type=submit]");
    admin.wait_at("/tenants/acme");
    assert_eq!(admin.value("#instances"), "9");
}

/// Another administrator sends a form. Returns the answer's status.
fn post_as_another(admin: &Visitor<'_>, path: &str, form: &str) -> u16 {
    let up = &admin.site.up;
    let (cookie, origin) =
        (format!("weir_session={}", admin.site.cloud.another_admin()), format!("http://{}", up.address()));
    let headers =
        [("Cookie", &*cookie), ("Origin", &*origin), ("Content-Type", "application/x-www-form-urlencoded")];
    up.request(up.address(), "POST", path, &headers, form).status
}

fn sees_capacity(planner: &Visitor<'_>) {
    planner.goto("/capacity");
    planner.sees(&["node-1", "Allocated", "Used"]);
    let said =
        planner.run("return [...document.querySelectorAll('.trend p')].map(p => p.innerText).join(' ');");
    let says = |words: &str| said.as_str().is_some_and(|said| said.contains(words));
    assert!(says("Full in about ") && says(" days"), "{said}");
    let pdf = planner.read("/capacity.pdf", &planner.session());
    assert!(pdf.status == 200 && pdf.body.starts_with(b"%PDF-"), "{}", pdf.head);
}

fn sees_no_money(planner: &Visitor<'_>) {
    for path in ["/", "/instances", "/capacity", "/status", "/tokens"] {
        planner.goto(path);
        assert_eq!(planner.status(), 200, "{path}");
        planner.sees_none_of(&["EUR", "€", "Invoices", "Budget", "Tenants"]);
    }
    for path in ["/invoices", "/usage", "/budget", "/tenants", "/tenants/acme"] {
        planner.goto(path);
        assert_eq!(planner.status(), 403, "{path}");
        planner.sees_none_of(&["EUR", "€", "acme"]);
    }
}
