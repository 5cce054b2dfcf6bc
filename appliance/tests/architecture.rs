//! The house's rules, checked on its source: who may depend on whom, what the pure parts must not know, and
//! the shape of files. The rules and their reasons stand in docs/architecture.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The rooms, each with the rooms it may use (testbed is for tests, the demo and the bench).
const ARROWS: [(&str, &[&str]); 15] = [
    ("metering", &[]),
    ("migrations", &[]),
    ("testbed", &[]),
    (
        "weir-bench",
        &[
            "metering",
            "migrations",
            "nodes",
            "accounts",
            "collector",
            "usage",
            "billing",
            "dashboards",
            "testbed",
        ],
    ),
    ("collector", &["metering"]),
    ("compute", &["metering"]),
    ("usage", &["metering", "migrations"]),
    ("billing", &["metering", "migrations"]),
    ("accounts", &["metering", "migrations"]),
    ("mail", &["metering", "migrations", "billing"]),
    ("hooks", &["metering", "migrations"]),
    ("nodes", &["metering", "migrations"]),
    ("reports", &["metering", "billing", "usage"]),
    ("dashboards", &["metering", "migrations", "accounts", "billing", "usage", "hooks", "nodes", "reports"]),
    (
        "appliance",
        &[
            "metering",
            "migrations",
            "accounts",
            "collector",
            "compute",
            "usage",
            "billing",
            "mail",
            "hooks",
            "nodes",
            "reports",
            "dashboards",
        ],
    ),
];

/// A function that is longer does not fit on a screen.
const FUNCTION_LINES_MAX: usize = 70;
/// A file that is longer has become two.
const FILE_LINES_MAX: usize = 700;

#[test]
fn dependencies_point_one_way() {
    let arrows: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    assert_eq!(metadata.packages.len(), arrows.len(), "a crate is missing from the list of arrows");
    for package in &metadata.packages {
        let allowed = arrows[package.name.as_str()];
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            let is_room = arrows.contains_key(dependency.name.as_str());
            assert!(
                !is_room || allowed.contains(&dependency.name.as_str()),
                "{} must not depend on {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn only_the_front_knows_the_web_and_only_two_rooms_know_libvirt() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    for (library, rooms) in [
        // The bench serves the pages that it measures.
        ("actix-web", vec!["appliance", "dashboards", "weir-bench"]),
        ("virt-sys", vec!["collector", "compute"]),
        ("virt", vec!["compute"]),
        ("typst", vec!["reports"]),
        ("lettre", vec!["mail"]),
        ("argon2", vec!["accounts"]),
        ("sysinfo", vec!["collector"]),
    ] {
        for package in &metadata.packages {
            let uses = package.dependencies.iter().any(|dependency| dependency.name == library);
            assert!(
                !uses || rooms.contains(&package.name.as_str()),
                "{} must not use {library}",
                package.name
            );
        }
    }
}

#[test]
fn only_the_two_libvirt_modules_say_domain() {
    let mut found = Vec::new();
    for (room, _) in ARROWS.into_iter().filter(|(room, _)| !["testbed", "weir-bench"].contains(room)) {
        for source in sources(&format!("{}/src", folder(room))) {
            let path = source.path.display().to_string();
            // The exporters' label is called so, and so is a part of a mail address.
            let may = [
                "collector/src/libvirt",
                "compute/src/libvirt",
                "appliance/src/metrics/exporter.rs",
                "mail/src/message.rs",
            ];
            if may.iter().any(|place| path.contains(place)) {
                continue;
            }
            for word in ["domain", "Domain", "virt_sys", "virt"] {
                let line = source.code().find(|(_, line)| has_word(line, word));
                found.extend(line.map(|(number, _)| format!("{path}:{number} says {word}")));
            }
        }
    }
    none(found);
}

#[test]
fn the_pure_parts_have_no_clock_no_float_and_no_input_or_output() {
    let clock = ["Timestamp::now", "Zoned::now", "SystemTime", "Instant::now"];
    let outside = ["std::fs", "std::net", "tokio", "std::env", "std::process", "std::thread"];
    let float = ["f64", "f32"];
    for (place, words) in [
        ("metering/src", [&clock[..], &outside, &float].concat()),
        ("billing/src/rating", [&clock[..], &outside, &float].concat()),
        ("billing/src/plan", [&clock[..], &outside, &float].concat()),
        ("billing/src", float.to_vec()),
        ("collector/src/tracker", [&clock[..], &outside, &float].concat()),
    ] {
        for source in sources(place) {
            for word in &words {
                let line = source.code().find(|(_, line)| has_word(line, word));
                assert!(line.is_none(), "{}:{} says {word}", source.path.display(), line.unwrap().0);
            }
        }
    }
}

#[test]
fn what_is_measured_does_not_know_what_it_costs() {
    for place in ["metering/src", "collector/src", "usage/src", "usage/sql"] {
        for source in sources(place) {
            for word in ["price", "prices", "invoice", "invoices", "money"] {
                let line = source.code().find(|(_, line)| has_word(&line.to_lowercase(), word));
                assert!(line.is_none(), "{}:{} says {word}", source.path.display(), line.unwrap().0);
            }
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    let is_documented = |source: &Source| {
        let first = source.text.lines().next().unwrap_or_default();
        first.starts_with("//!") || first.starts_with("#![doc = include_str!")
    };
    none(
        rust_sources()
            .iter()
            .filter(|source| !is_documented(source))
            .map(|source| source.path.display().to_string()),
    );
}

#[test]
fn functions_fit_on_a_screen_and_files_into_a_head() {
    let mut found = Vec::new();
    for source in rust_sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        if FILE_LINES_MAX < lines.len() {
            found.push(format!("{} has {} lines", source.path.display(), lines.len()));
        }
        for (number, line) in lines.iter().enumerate() {
            let length = function_indent(line).map_or(0, |indent| function_length(&lines[number..], indent));
            if FUNCTION_LINES_MAX < length {
                found.push(format!(
                    "{}:{} is a function of {length} lines",
                    source.path.display(),
                    number + 1
                ));
            }
        }
    }
    none(found);
}

#[test]
fn nothing_is_left_half_done() {
    // Spelt in two halves, or this file would find itself.
    let words = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("#[ign", "ore"), concat!("#[al", "low")];
    let mut found = Vec::new();
    for source in rust_sources() {
        for (number, line) in source.text.lines().enumerate() {
            found.extend(
                words
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{}:{} has {word}", source.path.display(), number + 1)),
            );
        }
    }
    none(found);
}

#[test]
fn queries_name_their_columns() {
    for source in all_files("sql") {
        let line = source.text.lines().position(|line| line.to_uppercase().contains("SELECT *"));
        assert!(line.is_none(), "{}:{} selects everything", source.path.display(), line.unwrap() + 1);
    }
}

/// All of what was found must be mended, so all of it is shown.
fn none(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The lines with their numbers, without comments and without the file's tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
            .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
            .map(|(number, line)| (number, line.split("--").next().unwrap_or_default()))
    }
}

/// The folder of a room.
fn folder(room: &str) -> &str {
    room.strip_prefix("weir-").unwrap_or(room)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files below a folder (or the one file of that name with `.rs`); it must exist.
fn sources(place: &str) -> Vec<Source> {
    let folder = root().join(place);
    let file = folder.with_extension("rs");
    let mut found = Vec::new();
    if file.is_file() {
        found.push(read(file));
    }
    if folder.is_dir() {
        walk(&folder, &mut |path| found.push(read(path)));
    }
    assert!(!found.is_empty(), "{place} is gone: mend this test's list");
    found
}

fn rust_sources() -> Vec<Source> {
    all_files("rs")
}

fn all_files(ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for (room, _) in ARROWS {
        walk(&root().join(folder(room)), &mut |path| {
            if path.extension().is_some_and(|e| e == ending) {
                found.push(read(path));
            }
        });
    }
    assert!(!found.is_empty());
    found
}

fn walk(folder: &Path, visit: &mut dyn FnMut(PathBuf)) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, visit);
        } else if path.extension().is_some_and(|e| e == "rs" || e == "sql") {
            visit(path);
        }
    }
}

fn read(path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).unwrap();
    Source { path, text }
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// How far a line that begins a function is indented.
fn function_indent(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    let mut words = line.split_whitespace().skip_while(|word| {
        ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\""].contains(word)
    });
    (words.next() == Some("fn")).then_some(indent)
}

/// The lines of the function that begins with the first of `lines`: up to the brace that closes it, or to the
/// semicolon of a declaration.
fn function_length(lines: &[&str], indent: usize) -> usize {
    let end = format!("{}}}", " ".repeat(indent));
    for (number, line) in lines.iter().enumerate() {
        let is_same_level = line.len() - line.trim_start().len() == indent;
        if **line == *end || (is_same_level && line.ends_with(';')) || (number == 0 && line.ends_with('}')) {
            return number + 1;
        }
    }
    lines.len()
}
