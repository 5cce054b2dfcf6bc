//! A real browser: Debian's Chromium, driven through chromedriver as a person would use it, at a width and in a theme that
//! the test names. It knows nothing of the pages.
//!
//! Blocking, because tests and the demo are: each browser has a runtime of its own. Nothing is fetched from anywhere: the
//! browser reaches loopback only, and its profile is thrown away with it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
pub use thirtyfour::Key;
use thirtyfour::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;
use tokio::runtime::Runtime;

/// How long something may take to appear; a loaded machine is slow, not wrong.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// The tallest picture: more is no page that a person would look at.
const PICTURE_HEIGHT_MAX: u64 = 6_000;
/// Below target/python, where testbed/install-packages puts it.
const AXE: &str = "lib/python3.11/site-packages/axe_playwright_python/axe.min.js";

/// In which colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A browser with one window. Dropping it closes it.
pub struct Browser {
    runtime: Runtime,
    driver: Option<WebDriver>,
    chromedriver: Child,
    _profile: tempfile::TempDir,
}

/// Something that axe-core found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule: `color-contrast`.
    pub rule: String,
    /// What is wrong, and where.
    pub what: String,
}

impl Browser {
    /// Opens a window of that width in that theme.
    ///
    /// # Errors
    /// Chromium or chromedriver is missing or does not start: `testbed/install-packages test` installs them.
    pub fn open(width: u32, height: u32, theme: Theme) -> Result<Self> {
        let profile = tempfile::tempdir().context("no room for the browser's profile")?;
        let (chromedriver, port) = start_chromedriver()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut browser = Self { runtime, driver: None, chromedriver, _profile: profile };
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            // Root may not use the sandbox; the pages are our own.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--disable-component-update",
            "--disable-background-networking",
            &format!("--user-data-dir={}", browser._profile.path().display()),
            &format!("--window-size={},{height}", width.max(500)),
        ] {
            capabilities.add_arg(argument)?;
        }
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
        let url = format!("http://127.0.0.1:{port}");
        // HTTP alone is spoken here, but the client library wants to be ready for TLS. Somebody may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let driver = browser.runtime.block_on(WebDriver::new(url, capabilities));
        browser.driver =
            Some(driver.context("the browser does not start; run testbed/install-packages test")?);
        browser.show_as(width, height, theme)?;
        Ok(browser)
    }

    /// Changes width and theme.
    pub fn show_as(&self, width: u32, height: u32, theme: Theme) -> Result<()> {
        let scheme = if theme == Theme::Dark { "dark" } else { "light" };
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        )?;
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [
                { "name": "prefers-color-scheme", "value": scheme },
                { "name": "prefers-reduced-motion", "value": "reduce" },
            ] }),
        )
    }

    /// Presses a key, wherever the focus is.
    pub fn press(&self, key: Key) -> Result<()> {
        let keys = self.driver().action_chain().key_down(key.clone()).key_up(key);
        self.wait_for_driver(keys.perform())
    }

    /// Types a text, wherever the focus is.
    pub fn type_text(&self, text: &str) -> Result<()> {
        self.wait_for_driver(self.driver().action_chain().send_keys(text).perform())
    }

    /// What the browser complained of since it was asked last: errors and warnings of scripts, of the content security
    /// policy, and files that are not there.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let log = self.wait_for_driver(self.driver().browser_log())?;
        let is_complaint = |level: &str| level == "SEVERE" || level == "WARNING";
        Ok(log.into_iter().filter(|line| is_complaint(&line.level)).map(|line| line.message).collect())
    }

    /// The value of a cookie of the page's; `None` without one.
    pub fn cookie(&self, name: &str) -> Result<Option<String>> {
        let cookies = self.wait_for_driver(self.driver().get_all_cookies())?;
        Ok(cookies.into_iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value))
    }

    /// Forgets all cookies: it is nobody again.
    pub fn forget(&self) -> Result<()> {
        self.devtools("Network.clearBrowserCookies", json!({}))
    }

    /// Goes to an address and waits for the page.
    pub fn goto(&self, url: &str) -> Result<()> {
        self.wait_for_driver(self.driver().goto(url)).with_context(|| format!("cannot open {url}"))
    }

    /// Where it is.
    pub fn url(&self) -> Result<String> {
        Ok(self.wait_for_driver(self.driver().current_url())?.to_string())
    }

    /// The page's title.
    pub fn title(&self) -> Result<String> {
        self.wait_for_driver(self.driver().title())
    }

    /// The text that a person reads of the first element that `css` finds, once there is one.
    pub fn text(&self, css: &str) -> Result<String> {
        let element = self.element(css)?;
        self.wait_for_driver(element.text())
    }

    /// Replaces what stands in a field.
    pub fn fill(&self, css: &str, text: &str) -> Result<()> {
        let element = self.element(css)?;
        self.wait_for_driver(element.clear())?;
        self.wait_for_driver(element.send_keys(text))
    }

    /// Clicks, as a person: what is covered or outside cannot be clicked.
    pub fn click(&self, css: &str) -> Result<()> {
        let element = self.element(css)?;
        self.wait_for_driver(element.scroll_into_view())?;
        self.wait_for_driver(element.click()).with_context(|| format!("cannot click {css}"))
    }

    /// Clicks the link with that text.
    pub fn follow(&self, text: &str) -> Result<()> {
        let link = self.wait_until(&format!("a link {text:?}"), || {
            self.wait_for_driver(self.driver().find(By::LinkText(text))).ok()
        })?;
        self.wait_for_driver(link.scroll_into_view())?;
        self.wait_for_driver(link.click()).with_context(|| format!("cannot click {text:?}"))
    }

    /// How many elements `css` finds now.
    pub fn count(&self, css: &str) -> Result<usize> {
        Ok(self.wait_for_driver(self.driver().find_all(By::Css(css)))?.len())
    }

    /// Runs a script in the page; its `return` is the value.
    pub fn run(&self, script: &str) -> Result<Value> {
        let answer = self.wait_for_driver(self.driver().execute(script.to_owned(), Vec::new()))?;
        Ok(answer.json().clone())
    }

    /// Waits until a script returns true.
    pub fn wait_for(&self, what: &str, script: &str) -> Result<()> {
        let script = format!("return Boolean({script});");
        self.wait_until(what, || (self.run(&script).ok()? == Value::Bool(true)).then_some(()))
    }

    /// A picture of the whole page, from its top to its end.
    pub fn picture(&self, path: &Path, width: u32) -> Result<()> {
        let height = self.run("return Math.ceil(document.documentElement.scrollHeight);")?;
        let height = height.as_u64().unwrap_or(800).clamp(400, PICTURE_HEIGHT_MAX);
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        )?;
        // Charts follow the window's size in the next frames.
        std::thread::sleep(Duration::from_millis(250));
        let png = self.wait_for_driver(self.driver().screenshot_as_png())?;
        std::fs::write(path, png).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What axe-core finds wrong on the page, by all its rules for WCAG 2.2 A and AA (the size of targets, which is off
    /// by default, with them) and its best practices.
    ///
    /// # Errors
    /// axe-core is not installed.
    pub fn axe(&self) -> Result<Vec<Finding>> {
        if self.run("return typeof axe === 'object';")? != Value::Bool(true) {
            let path = python_tools()?.join(AXE);
            let axe = std::fs::read_to_string(&path).with_context(|| {
                format!("{} is missing: run testbed/install-packages test", path.display())
            })?;
            // Through the debugger: the page's own content security policy would refuse it as a script element. What it
            // evaluates to cannot be carried over.
            self.devtools("Runtime.evaluate", json!({ "expression": format!("{axe};0") }))?;
        }
        let run = "axe.run(document, { resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } })\
                   .then(found => JSON.stringify(found.violations))";
        let answer = self.ask_devtools(
            "Runtime.evaluate",
            json!({ "expression": run, "awaitPromise": true, "returnByValue": true }),
        )?;
        let text = answer["result"]["value"].as_str();
        let text = text.with_context(|| format!("axe-core gave no answer: {answer}"))?;
        let violations: Vec<Value> = serde_json::from_str(text)?;
        Ok(violations.iter().map(finding).collect())
    }

    /// Whether the page is wider than the window: then a person has to scroll sideways.
    pub fn is_too_wide(&self) -> Result<bool> {
        let script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth;";
        Ok(self.run(script)? == Value::Bool(true))
    }

    fn element(&self, css: &str) -> Result<WebElement> {
        self.wait_until(css, || self.wait_for_driver(self.driver().find(By::Css(css))).ok())
    }

    fn wait_until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if end < Instant::now() {
                bail!("waited in vain for {what} on {}", self.url().unwrap_or_default());
            }
            std::thread::sleep(LOOK);
        }
    }

    fn devtools(&self, command: &str, parameters: Value) -> Result<()> {
        self.ask_devtools(command, parameters).map(drop)
    }

    fn ask_devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.wait_for_driver(self.driver().cdp().send_raw(command, parameters))
            .with_context(|| format!("the browser refuses {command}"))
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("it is taken away on drop only")
    }

    fn wait_for_driver<T>(&self, work: impl Future<Output = WebDriverResult<T>>) -> Result<T> {
        Ok(self.runtime.block_on(work)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = self.runtime.block_on(driver.quit());
        }
        let _ = self.chromedriver.kill();
        let _ = self.chromedriver.wait();
    }
}

/// Where testbed/install-packages puts tools from PyPI: `target/python` of this checkout.
///
/// # Errors
/// They are not there.
pub fn python_tools() -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join("target/python"));
    let path = path.context("the checkout has no root")?;
    if !path.join("installed.txt").is_file() {
        bail!("{} is missing: run testbed/install-packages test", path.display());
    }
    Ok(path)
}

fn start_chromedriver() -> Result<(Child, u16)> {
    let mut child = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("chromedriver is missing: run testbed/install-packages test")?;
    let output = child.stdout.take().context("chromedriver has no output")?;
    let mut lines = BufReader::new(output).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let number = line.split("successfully on port ").nth(1)?;
        number.trim_end_matches('.').parse().ok()
    });
    // It goes on writing; a full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    match port {
        Some(port) => Ok((child, port)),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            bail!("chromedriver did not say on which port it listens")
        }
    }
}

fn finding(violation: &Value) -> Finding {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let nodes = violation["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let places: Vec<String> = nodes
        .iter()
        .take(5)
        .map(|node| format!("{} {}", node["target"], text(&node["failureSummary"]).replace('\n', " ")))
        .collect();
    Finding {
        rule: text(&violation["id"]),
        what: format!("{}: {}", text(&violation["help"]), places.join("; ")),
    }
}
