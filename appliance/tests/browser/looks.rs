//! Every page, wide and narrow, light and dark: axe-core finds nothing, nothing is cut off, nothing is too heavy, and the
//! browser has nothing to complain of.

use std::thread;

use testbed::browser::Theme;

use crate::cloud::{WEB, instance_id};
use crate::visitor::{HEIGHT, NARROW, Site, Visitor, WIDE};

/// Of a page with all its files, as they come over the wire.
const WEIGHT_MAX: u64 = 200 * 1_024;

#[test]
fn no_page_shuts_out_those_who_see_badly_have_a_telephone_or_a_slow_line() {
    let site = Site::up();
    let faults: Vec<String> = thread::scope(|scope| {
        let walks = [WIDE, NARROW].map(|width| {
            scope.spawn({
                let site = &site;
                move || walk(site, width)
            })
        });
        walks.into_iter().flat_map(|walk| walk.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Sees every page at a width. Returns what is wrong.
fn walk(site: &Site, width: u32) -> Vec<String> {
    let visitor = site.visitor(width, Theme::Light);
    let mut faults = Vec::new();
    visitor.goto("/login");
    faults.extend(look(&visitor, width));
    visitor.try_log_in("ada", "wrong horse battery");
    visitor.browser.wait_for("a refusal", "document.querySelector('#problem')").unwrap();
    // The browser counts the refusal itself, a 401, as an error.
    visitor.browser.complaints().unwrap();
    faults.extend(look(&visitor, width));
    for (who, paths) in [
        ("ada", vec!["/", "/instances", "/usage", "/usage?meter=net_tx_bytes", "/budget", "/tenants/acme"]),
        ("ada", vec!["/allowances", "/plan", "/account", "/usage/corrections", "/webhooks"]),
        ("planner", vec!["/", "/instances", "/tokens"]),
        (
            "admin",
            vec!["/", "/instances", "/instances?q=none", "/usage", "/invoices", "/capacity", "/tenants"],
        ),
        (
            "admin",
            vec![
                "/allowances",
                "/tenants/acme/allowances",
                "/tenants/acme/plan",
                "/usage/corrections",
                "/webhooks",
            ],
        ),
        ("admin", vec!["/tenants/acme", "/tenants/acme/draft", "/tenants/globex", "/status", "/tokens"]),
    ] {
        visitor.log_in(who);
        for path in paths {
            visitor.goto(path);
            faults.extend(look(&visitor, width));
        }
    }
    faults.extend(of_an_instance(&visitor, width));
    faults.extend(why(&visitor, width));
    faults
}

fn of_an_instance(visitor: &Visitor<'_>, width: u32) -> Vec<String> {
    visitor.goto(&format!("/instances/{}", instance_id(WEB)));
    visitor.browser.wait_for("charts", "document.querySelectorAll('.plot canvas').length === 3").unwrap();
    visitor.click("figure[data-chart=disk] details summary");
    look(visitor, width)
}

/// The three steps from an invoice's line to the readings.
fn why(visitor: &Visitor<'_>, width: u32) -> Vec<String> {
    let mut faults = Vec::new();
    visitor.goto(&format!("/tenants/acme/invoices/{}", visitor.site.cloud.number));
    faults.extend(look(visitor, width));
    for link in ["td.why a", "[aria-labelledby=resources] tbody th a", "[aria-labelledby=windows] tbody th a"]
    {
        visitor.follow(link);
        faults.extend(look(visitor, width));
    }
    faults
}

/// What is wrong with the page, in both themes.
fn look(visitor: &Visitor<'_>, width: u32) -> Vec<String> {
    let (browser, mut faults) = (&visitor.browser, Vec::new());
    let title = browser.title().unwrap();
    if title.strip_suffix(" · Weir").is_none_or(|own| own.is_empty() || own == "Weir") {
        faults.push(format!("its title is {title:?}"));
    }
    let weight = weight(visitor);
    if WEIGHT_MAX < weight {
        faults.push(format!("it weighs {weight} bytes"));
    }
    for theme in [Theme::Dark, Theme::Light] {
        browser.show_as(width, HEIGHT, theme).unwrap();
        if browser.is_too_wide().unwrap() {
            faults.push(format!("it is wider than the window: {}", widest(visitor)));
        }
        let found = browser.axe().unwrap();
        faults.extend(found.into_iter().map(|found| format!("{theme:?}: {}: {}", found.rule, found.what)));
    }
    faults.extend(browser.complaints().unwrap().into_iter().map(|line| format!("the browser says: {line}")));
    let url = browser.url().unwrap();
    faults.into_iter().map(|fault| format!("{url} at {width}: {fault}")).collect()
}

/// Bytes of the document and its files, without their heads. Files that the browser had already count too.
fn weight(visitor: &Visitor<'_>) -> u64 {
    let script = "return ['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind)) \
                  .reduce((sum, entry) => sum + entry.encodedBodySize, 0);";
    let weight = visitor.run(script).as_u64().unwrap();
    assert!(0 < weight, "the browser does not say how heavy the page is");
    weight
}

/// The elements that reach beyond the window's edge, for whoever mends it.
fn widest(visitor: &Visitor<'_>) -> String {
    let script = "return [...document.querySelectorAll('body *')] \
                  .filter(found => found.getBoundingClientRect().right > innerWidth + 1 && !found.closest('.scroll')) \
                  .slice(0, 4).map(found => found.outerHTML.slice(0, 120)).join(' | ');";
    visitor.run(script).as_str().unwrap_or_default().to_owned()
}
