//! A portal that runs, and somebody who visits it. What they look for is the tests' business.

use cloud::{Cloud, PASSWORD};
use running::{Reply, Weir};
use serde_json::Value;
use testbed::browser::{Browser, Theme};

use crate::{cloud, running};

pub const WIDE: u32 = 1_440;
pub const NARROW: u32 = 360;
pub const HEIGHT: u32 = 900;

/// A portal over the small cloud.
pub struct Site {
    pub up: Weir,
    pub cloud: Cloud,
    _dir: tempfile::TempDir,
}

/// Somebody with a browser.
pub struct Visitor<'a> {
    pub browser: Browser,
    pub site: &'a Site,
}

impl Site {
    /// Starts it. Its own machine is not metered: the cloud's readings are all that there is.
    pub fn up() -> Self {
        let cloud = Cloud::make();
        let dir = tempfile::tempdir().unwrap();
        let flags = ["--database-url", cloud.database.owner_url()];
        let up = Weir::start_with(dir.path(), &flags, &[("WEIR__COLLECTOR__ENABLED", "false")]);
        Self { up, cloud, _dir: dir }
    }

    pub fn visitor(&self, width: u32, theme: Theme) -> Visitor<'_> {
        Visitor { browser: Browser::open(width, HEIGHT, theme).unwrap(), site: self }
    }
}

impl Visitor<'_> {
    pub fn goto(&self, path: &str) {
        self.browser.goto(&format!("http://{}{path}", self.site.up.address())).unwrap();
    }

    /// Sends the log-in's form, whatever comes of it.
    pub fn try_log_in(&self, name: &str, password: &str) {
        self.browser.fill("#name", name).unwrap();
        self.browser.fill("#password", password).unwrap();
        self.browser.click("form.fields button.primary").unwrap();
    }

    /// Logs in, as nobody before.
    pub fn log_in(&self, name: &str) {
        self.browser.forget().unwrap();
        self.goto("/login");
        self.try_log_in(name, PASSWORD);
        self.wait_at("/");
    }

    pub fn wait_at(&self, path: &str) {
        let what = format!("to be at {path}");
        self.browser
            .wait_for(&what, &format!("document.readyState === 'complete' && location.pathname === {path:?}"))
            .unwrap();
    }

    pub fn click(&self, css: &str) {
        self.browser.click(css).unwrap();
    }

    /// Clicks a link to another page and waits until it is there.
    pub fn follow(&self, css: &str) {
        let path = self.target(css);
        self.click(css);
        let path = path.split('?').next().unwrap_or_default().to_owned();
        self.wait_at(&path);
    }

    /// The path and query that a link leads to.
    pub fn target(&self, css: &str) -> String {
        self.browser.text(css).unwrap();
        let script = format!(
            "const to = new URL(document.querySelector({css:?}).href); return to.pathname + to.search;"
        );
        self.browser.run(&script).unwrap().as_str().unwrap().to_owned()
    }

    /// What a person reads on the page.
    pub fn page(&self) -> String {
        self.browser.text("body").unwrap()
    }

    pub fn sees(&self, words: &[&str]) {
        let page = self.page();
        for word in words {
            assert!(page.contains(word), "{} lacks {word:?}:\n{page}", self.browser.url().unwrap());
        }
    }

    pub fn sees_none_of(&self, words: &[&str]) {
        let page = self.page();
        for word in words {
            assert!(!page.contains(word), "{} shows {word:?}:\n{page}", self.browser.url().unwrap());
        }
    }

    /// The status that the page came with.
    pub fn status(&self) -> u64 {
        let script = "return performance.getEntriesByType('navigation')[0].responseStatus;";
        self.browser.run(script).unwrap().as_u64().unwrap()
    }

    /// The value of a field.
    pub fn value(&self, css: &str) -> String {
        let script = format!("return document.querySelector({css:?}).value;");
        self.browser.run(&script).unwrap().as_str().unwrap().to_owned()
    }

    /// The whole numbers that the elements show, without their grouping and units.
    pub fn figures(&self, css: &str) -> Vec<u128> {
        let script =
            format!("return [...document.querySelectorAll({css:?})].map(found => found.textContent);");
        let texts = self.browser.run(&script).unwrap();
        texts.as_array().unwrap().iter().map(|text| digits(text.as_str().unwrap())).collect()
    }

    /// The one whole number that the element shows.
    pub fn figure(&self, css: &str) -> u128 {
        let found = self.figures(css);
        assert_eq!(found.len(), 1, "{css} on {}", self.browser.url().unwrap());
        found[0]
    }

    /// The session's cookie.
    pub fn session(&self) -> String {
        self.browser.cookie("weir_session").unwrap().expect("somebody is logged in")
    }

    /// Reads an address with a session, without the browser.
    pub fn read(&self, path: &str, session: &str) -> Reply {
        let cookie = format!("weir_session={session}");
        self.site.up.request(self.site.up.address(), "GET", path, &[("Cookie", &cookie)], "")
    }

    pub fn run(&self, script: &str) -> Value {
        self.browser.run(script).unwrap()
    }
}

fn digits(text: &str) -> u128 {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{text:?} is no whole number"))
}
