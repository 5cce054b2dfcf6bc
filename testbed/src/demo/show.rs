//! Progress on standard error: moving lines on a terminal, plain ones in a log. Never silent for long.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Between two plain lines of one guest whose work goes on.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(120);

/// Where progress is shown.
#[derive(Debug)]
pub(super) struct Show {
    bars: Option<MultiProgress>,
    current: Mutex<Option<ProgressBar>>,
    begun: Instant,
}

/// One guest's line.
#[derive(Debug)]
pub(super) struct GuestLine<'a> {
    show: &'a Show,
    name: &'static str,
    bar: Option<ProgressBar>,
    last: Mutex<(String, Instant)>,
}

impl Show {
    pub(super) fn new() -> Self {
        let is_terminal = console_is_terminal();
        Self { bars: is_terminal.then(MultiProgress::new), current: Mutex::new(None), begun: Instant::now() }
    }

    /// A new step; the one before is done.
    pub(super) fn step(&self, what: &str) {
        let Some(bars) = &self.bars else {
            eprintln!("[{:>5.1} s] {what}", self.begun.elapsed().as_secs_f32());
            return;
        };
        let bar = bars.add(spinner("{spinner:.cyan} {msg} {elapsed:.dim}"));
        bar.set_message(what.to_owned());
        if let Some(before) = self.current.lock().ok().and_then(|mut current| current.replace(bar)) {
            finish(&before);
        }
    }

    /// A remark.
    pub(super) fn note(&self, what: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(format!("  {what}"));
            }
            None => eprintln!("          {what}"),
        }
    }

    /// A line for one guest.
    pub(super) fn guest(&self, name: &'static str) -> GuestLine<'_> {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(spinner("    {spinner:.green} {prefix:<16} {msg}"));
            bar.set_prefix(name);
            bar
        });
        GuestLine { show: self, name, bar, last: Mutex::new((String::new(), Instant::now())) }
    }

    /// No more steps.
    pub(super) fn end(&self) {
        if let Some(last) = self.current.lock().ok().and_then(|mut current| current.take()) {
            finish(&last);
        }
    }
}

impl GuestLine<'_> {
    /// It is now doing this, and has come so far.
    pub(super) fn doing(&self, what: &str, figures: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{what:<34} {figures}"));
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        if last.0 != what || last.1.elapsed() >= PLAIN_INTERVAL {
            *last = (what.to_owned(), Instant::now());
            eprintln!(
                "[{:>5.1} s]   {:<16} {what:<34} {figures}",
                self.show.begun.elapsed().as_secs_f32(),
                self.name
            );
        }
    }

    pub(super) fn done(&self, what: &str) {
        self.doing(what, "");
        if let Some(bar) = &self.bar {
            bar.set_style(style("    ✓ {prefix:<16} {msg}"));
            bar.finish();
        }
    }
}

fn console_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

fn spinner(template: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(style(template));
    bar.enable_steady_tick(TICK);
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants of this module")
}

fn finish(bar: &ProgressBar) {
    bar.set_style(style("✓ {msg} {elapsed:.dim}"));
    bar.finish();
}
