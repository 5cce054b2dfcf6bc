//! The configuration: a TOML file, then the environment (`WEIR__SECTION__KEY`), then flags; later ones win.
//!
//! Everything has a default, so that `weir up` needs none of them. It does not say what the settings do to
//! the parts of Weir; [`crate::up`] hands them over.

mod books;
mod dimensions;
mod images;
mod mail;
mod nodes;
mod throttle;
mod webhooks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use config::{Environment, File, FileFormat};
use metering::WindowLength;
use serde::{Deserialize, Serialize};

pub use self::books::DunningLevel;
pub use self::dimensions::DimensionRule;
pub use self::images::Image;
pub use self::mail::Mail;
pub use self::nodes::Nodes;
pub use self::throttle::Throttle;
pub use self::webhooks::Webhooks;
use crate::cli::args::UpArguments;

/// The shortest reading interval: the collector's look takes milliseconds for each instance, in the guest's
/// own process (docs/architecture.md, "Two paths").
const READING_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest one: a reading must fall into every usage window of an hour.
const READING_INTERVAL_MAX: Duration = Duration::from_secs(3_600);
/// The longest grace period: two months would be open at once.
const GRACE_MAX: Duration = Duration::from_secs(27 * 24 * 3_600);
/// The file that is looked for in the data directory, and the one for the whole machine.
const FILE_NAME: &str = "weir.toml";
const MACHINE_FILE: &str = "/etc/weir/weir.toml";

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The pages.
    pub server: Server,
    /// PostgreSQL.
    pub database: Database,
    /// Reading.
    pub collector: Collector,
    /// Usage.
    pub metering: Metering,
    /// Invoices.
    pub billing: Billing,
    /// Instances that Weir makes.
    pub compute: Compute,
    /// What a throttled instance may do at most.
    pub throttle: Throttle,
    /// Mail that Weir sends.
    pub mail: Mail,
    /// Further nodes.
    pub nodes: Nodes,
    /// Events that others are told of.
    pub webhooks: Webhooks,
    /// Figures for Prometheus.
    pub metrics: Metrics,
    /// What is logged.
    pub log: Log,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where the portal and the API are served. Without TLS of its own: put a proxy before it that has.
    pub listen: SocketAddr,
    /// How people reach it from outside, such as `https://weir.example.com`: for links in mail. With https, cookies are
    /// sent over TLS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// A further address at which `/metrics` is open to everybody who reaches it, such as `127.0.0.1:9177`. At
    /// `server.listen` it takes an API token of the provider's or a planner's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// `[database]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// A PostgreSQL of one's own; without it Weir runs a private one in the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Connections at most. 16 keeps a 2-core machine busy and a default PostgreSQL (100) far from full.
    pub pool_size: usize,
    /// The user that the private PostgreSQL runs as when Weir is started by root.
    pub user: String,
}

/// `[collector]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Collector {
    /// Whether this machine's instances are metered.
    pub enabled: bool,
    /// Which libvirt.
    pub libvirt_uri: String,
    /// How often everything is read; aligned to the wall clock.
    pub reading_interval: Text<Duration>,
    /// How often the kernel's figures are sampled on the node, in memory.
    pub sample_interval: Text<Duration>,
    /// How often a reading asks libvirt for everything and compares it with the kernel's figures.
    pub cross_check_interval: Text<Duration>,
    /// What the node is called; without it, the host's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

/// `[metering]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metering {
    /// How long usage windows are.
    pub window: Text<Duration>,
    /// What gives resources dimensions by itself; the first that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<DimensionRule>,
}

/// `[billing]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Billing {
    /// How long after a month late readings still flow into its draft; then it is put up for review.
    pub grace: Text<Duration>,
    /// Whether what is put up for review is approved and issued at once, without anybody looking at it.
    pub auto_issue: bool,
    /// How invoices are numbered: `INV` makes `INV-2026-000001`.
    pub series: String,
    /// How credit notes are numbered, apart from invoices.
    pub credit_note_series: String,
    /// How long a prepaid tenant with nothing left goes on before its instances are stopped.
    pub wallet_grace: Text<Duration>,
    /// Who issues the invoices.
    pub seller: Seller,
    /// Letters about what is overdue, in order. Without any, none goes out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dunning: Vec<DunningLevel>,
}

/// `[billing.seller]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seller {
    /// Its name.
    pub name: String,
    /// Its address, a line each.
    pub address: Vec<String>,
    /// Its tax number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_number: Option<String>,
}

/// `[compute]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compute {
    /// The storage pool of volumes that Weir makes.
    pub pool: String,
    /// The directory of that pool; QEMU's user must be able to reach it.
    pub pool_path: PathBuf,
    /// Hardware virtualisation, software emulation, or what a trial finds to work.
    pub virtualization: Virtualization,
    /// What instances can boot from by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Image>,
}

/// How guests are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Virtualization {
    /// Start a guest with KVM and see.
    #[default]
    Auto,
    /// KVM or nothing.
    Kvm,
    /// Software emulation.
    Emulated,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A filter, such as `info` or `info,collector=debug`.
    pub level: String,
}

/// A value that is written as text, such as `"1h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl Default for Server {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), public_url: None }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { url: None, pool_size: 16, user: "postgres".to_owned() }
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            enabled: true,
            libvirt_uri: "qemu:///system".to_owned(),
            reading_interval: Text(Duration::from_secs(60)),
            sample_interval: Text(collector::DEFAULT_SAMPLE_INTERVAL),
            cross_check_interval: Text(collector::DEFAULT_CROSS_CHECK_INTERVAL),
            node_name: None,
        }
    }
}

impl Default for Metering {
    fn default() -> Self {
        Self { window: Text(Duration::from_secs(3_600)), dimensions: Vec::new() }
    }
}

impl Default for Billing {
    fn default() -> Self {
        Self {
            // A node that is cut off for a day delivers what it has read afterwards.
            grace: Text(Duration::from_secs(24 * 3_600)),
            auto_issue: false,
            series: "INV".to_owned(),
            credit_note_series: "CN".to_owned(),
            // A weekend's notice would be better, a month's would be a loan.
            wallet_grace: Text(Duration::from_secs(24 * 3_600)),
            seller: Seller::default(),
            dunning: Vec::new(),
        }
    }
}

impl Default for Seller {
    fn default() -> Self {
        Self { name: "Your company".to_owned(), address: Vec::new(), tax_number: None }
    }
}

impl Default for Compute {
    fn default() -> Self {
        Self {
            pool: "weir".to_owned(),
            pool_path: PathBuf::from("/var/lib/libvirt/images/weir"),
            virtualization: Virtualization::Auto,
            images: BTreeMap::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        // actix tells of each worker's start and end, and calls what a client sends wrong an error of its own: anybody
        // could fill the log.
        Self { level: "info,actix_server=warn,actix_http=off".to_owned() }
    }
}

impl Config {
    /// Reads the file, the environment and the flags, and checks the whole.
    ///
    /// # Errors
    /// What is wrong, where, and how to mend it.
    pub fn load(data_dir: &Path, flags: &UpArguments) -> Result<Self> {
        let mut builder = config::Config::builder();
        if let Some(path) = file(data_dir, flags)? {
            builder = builder.add_source(File::from(path).format(FileFormat::Toml));
        }
        let environment =
            Environment::with_prefix("WEIR").prefix_separator("__").separator("__").try_parsing(true);
        let built = builder.add_source(environment).build().context("failed to read the configuration")?;
        let mut config: Self = built.try_deserialize().context(
            "the configuration is not right (`weir config show` prints all keys with their defaults)",
        )?;
        config.apply(flags);
        config.check()?;
        Ok(config)
    }

    /// The usage window.
    ///
    /// # Errors
    /// It is none that metering allows.
    pub fn window(&self) -> Result<WindowLength> {
        WindowLength::new(self.metering.window.0).context("metering.window is not right")
    }

    /// With settings of a node's own, which count more than the file.
    ///
    /// # Errors
    /// One of them is not right.
    pub fn for_node(
        mut self,
        libvirt_uri: Option<&str>,
        reading_interval: Option<&str>,
        node_name: &str,
    ) -> Result<Self> {
        if let Some(uri) = libvirt_uri {
            uri.clone_into(&mut self.collector.libvirt_uri);
        }
        if let Some(text) = reading_interval {
            let interval = serde_json::from_value(text.into());
            self.collector.reading_interval = interval.context("--reading-interval is not right")?;
        }
        self.collector.node_name = Some(node_name.to_owned());
        self.check()?;
        Ok(self)
    }

    /// As TOML, without passwords.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_toml(&self) -> Result<String> {
        let mut shown = self.clone();
        shown.database.url = shown.database.url.map(|url| without_password(&url));
        Ok(toml::to_string_pretty(&shown)?)
    }

    fn apply(&mut self, flags: &UpArguments) {
        if let Some(listen) = flags.listen {
            self.server.listen = listen;
        }
        if let Some(url) = &flags.database_url {
            self.database.url = Some(url.clone());
        }
        if let Some(listen) = flags.nodes_listen {
            self.nodes.listen = Some(listen);
        }
        if let Some(uri) = &flags.libvirt_uri {
            self.collector.libvirt_uri.clone_from(uri);
        }
    }

    fn check(&self) -> Result<()> {
        self.window()?;
        let interval = self.collector.reading_interval.0;
        if interval < READING_INTERVAL_MIN || READING_INTERVAL_MAX < interval || interval.subsec_nanos() != 0
        {
            bail!(
                "collector.reading_interval is {interval:?}; it must be whole seconds from {READING_INTERVAL_MIN:?} to {READING_INTERVAL_MAX:?}, such as \"60s\""
            );
        }
        let sample_interval = self.collector.sample_interval.0;
        if sample_interval < collector::MIN_SAMPLE_INTERVAL || interval < sample_interval {
            bail!(
                "collector.sample_interval is {sample_interval:?}; it must be from {:?} to collector.reading_interval ({interval:?}), such as \"1s\"",
                collector::MIN_SAMPLE_INTERVAL
            );
        }
        if self.metering.window.0 < interval {
            bail!(
                "collector.reading_interval ({interval:?}) is longer than metering.window ({:?}); make it shorter, so that every window is read",
                self.metering.window.0
            );
        }
        if self.database.pool_size < 4 || 500 < self.database.pool_size {
            bail!("database.pool_size is {}; it must be from 4 to 500", self.database.pool_size);
        }
        billing::Series::new(&self.billing.series, &self.billing.credit_note_series)
            .context("billing.series and billing.credit_note_series are not right")?;
        if GRACE_MAX < self.billing.grace.0 {
            bail!(
                "billing.grace is {:?}; it must be at most {GRACE_MAX:?}, such as \"24h\"",
                self.billing.grace.0
            );
        }
        if self.billing.seller.name.trim().is_empty() {
            bail!("billing.seller.name is empty; invoices need the name of who issues them");
        }
        if let Some(url) = &self.server.public_url
            && !url.starts_with("https://")
            && !url.starts_with("http://")
        {
            bail!("server.public_url is {url:?}; write it like \"https://weir.example.com\"");
        }
        for rule in &self.metering.dimensions {
            rule.rule()?;
        }
        for (name, image) in &self.compute.images {
            image.check(name)?;
        }
        self.throttle.check()?;
        self.nodes.check()?;
        self.billing.levels()?;
        self.mail.check()
    }
}

/// The data directory that is meant when none is given.
///
/// # Errors
/// There is no home directory to put it into.
pub fn default_data_dir() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/weir"));
    }
    if let Some(path) = std::env::var_os("XDG_DATA_HOME").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path).join("weir"));
    }
    let home = std::env::var_os("HOME").context("HOME is not set; say where to keep the data: --data DIR")?;
    Ok(PathBuf::from(home).join(".local/share/weir"))
}

/// The configuration file to read: the one that was named, or the first default that exists.
fn file(data_dir: &Path, flags: &UpArguments) -> Result<Option<PathBuf>> {
    if let Some(path) = &flags.config {
        if !path.is_file() {
            bail!("there is no configuration file {}; check --config", path.display());
        }
        return Ok(Some(path.clone()));
    }
    Ok([data_dir.join(FILE_NAME), PathBuf::from(MACHINE_FILE)].into_iter().find(|path| path.is_file()))
}

/// `url` with its password blotted out.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "(set)".to_owned();
    };
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}")
        }
        None => url.to_owned(),
    }
}

impl Serialize for Text<Duration> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = self.0.as_secs();
        let text = match (seconds, self.0.subsec_millis()) {
            (s, 0) if s % 3_600 == 0 => format!("{}h", s / 3_600),
            (s, 0) if s % 60 == 0 => format!("{}m", s / 60),
            (s, 0) => format!("{s}s"),
            (s, ms) => format!("{}ms", s * 1_000 + u64::from(ms)),
        };
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Text<Duration> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed: Result<jiff::SignedDuration, _> = text.parse();
        match parsed.map(Duration::try_from) {
            Ok(Ok(duration)) => Ok(Self(duration)),
            _ => Err(serde::de::Error::custom(format!(
                "{text:?} is no length of time; write it like \"90s\", \"15m\" or \"1h\""
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str) -> Result<Config> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join(FILE_NAME), toml)?;
        Config::load(dir.path(), &UpArguments::default())
    }

    #[test]
    fn nothing_has_to_be_configured() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::load(dir.path(), &UpArguments::default()).unwrap();
        assert_eq!(config.collector.reading_interval.0, Duration::from_secs(60));
        assert_eq!(config.window().unwrap(), WindowLength::HOUR);
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let shown = Config::default().to_toml().unwrap();
        assert_eq!(load(&shown).unwrap(), Config::default());
    }

    #[test]
    fn a_mistake_is_named_with_its_key() {
        for (toml, words) in [
            ("[collector]\nreading_intervall = \"1s\"", vec!["reading_intervall", "reading_interval"]),
            ("[collector]\nreading_interval = \"soon\"", vec!["soon", "90s"]),
            ("[collector]\nreading_interval = \"10ms\"", vec!["reading_interval", "60s"]),
            ("[collector]\nsample_interval = \"10ms\"", vec!["sample_interval", "100ms"]),
            ("[collector]\nsample_interval = \"2m\"", vec!["sample_interval", "reading_interval"]),
            ("[metering]\nwindow = \"7m\"", vec!["metering.window", "15m"]),
            ("[metering]\nwindow = \"30s\"", vec!["reading_interval", "metering.window"]),
            (
                "[[metering.dimensions]]\nname = \"network\"\nvalue = \"internet\"\nnetwork = \"a\"\nimage = \"b\"",
                vec!["network=internet", "exactly one of pool, network, image"],
            ),
            ("[[metering.dimensions]]\nname = \"class\"\nvalue = \"x\"", vec!["class=x", "exactly one"]),
            ("[server]\nlisten = \"nowhere\"", vec!["server.listen"]),
            ("[database]\npool_size = 0", vec!["database.pool_size", "4"]),
            ("[billing.seller]\nname = \" \"", vec!["billing.seller.name"]),
            ("[billing]\nseries = \"inv\"", vec!["billing.series", "such as INV"]),
            ("[billing]\nseries = \"CN\"", vec!["billing.credit_note_series", "CN"]),
            ("[billing]\ngrace = \"100d\"", vec!["grace"]),
            ("[billing]\ngrace = \"2000h\"", vec!["billing.grace", "24h"]),
            ("[server]\npublic_url = \"weir\"", vec!["server.public_url", "https://"]),
            ("[mail]\nhost = \"mx\"", vec!["mail.from"]),
            ("[mail]\nhost = \"mx\"\nfrom = \"a@b.example\"\nusername = \"u\"", vec!["mail.password_file"]),
            ("[compute.images.a]\ncmdline = \"quiet\"", vec!["compute.images.a", "kernel and initrd"]),
            ("[compute.images.a]\nfile = \"disk.qcow2\"", vec!["compute.images.a", "absolute"]),
            ("[server\n", vec!["weir.toml"]),
        ] {
            let error = format!("{:#}", load(toml).unwrap_err());
            for word in words {
                assert!(error.contains(word), "{toml:?} gave {error:?}, which lacks {word:?}");
            }
        }
    }

    #[test]
    fn flags_have_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "[server]\nlisten = \"127.0.0.1:1\"").unwrap();
        let flags = UpArguments { listen: Some("127.0.0.1:2".parse().unwrap()), ..UpArguments::default() };
        assert_eq!(Config::load(dir.path(), &flags).unwrap().server.listen.port(), 2);
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(without_password("postgres://u:secret@h/db"), "postgres://u:***@h/db");
        assert_eq!(without_password("postgres://h/db"), "postgres://h/db");
        assert_eq!(without_password("host=h password=secret"), "(set)");
    }
}
