//! A real SMTP server on loopback (Debian's aiosmtpd, run by `smtp_server.py`) that keeps each mail as a file and can be
//! told to misbehave. It delivers nothing to anybody and does not know who writes to it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// The program, as text: a test's binary need not know where the sources lie.
const PROGRAM: &str = include_str!("../smtp_server.py");
/// Debian's own Python: only that one finds Debian's aiosmtpd.
const PYTHON: &str = "/usr/bin/python3";
/// Who may send.
pub const USER: &str = "weir";
/// With which password.
pub const PASSWORD: &str = "correct horse battery staple";
/// Between two looks for a mail.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A certificate for localhost that no authority signed: a client trusts it by taking it for one.
const CERTIFICATE_REQUEST: &str = "\
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = localhost
[extensions]
subjectAltName = DNS:localhost, IP:127.0.0.1
basicConstraints = critical, CA:FALSE
";

/// How the server treats its clients. Read anew at each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Behaviour {
    /// STARTTLS, then AUTH, then it takes the mail (but none to `nobody@`, whom no server of ours knows).
    Normal,
    /// 451 for the first recipients, as often as said in all of its life; then as normal.
    Greylisting {
        /// How often.
        times: u32,
    },
    /// 550 for every recipient.
    Refusing,
    /// 554 for every mail's content.
    RefusingContent,
    /// Never answers after the mail.
    Slow,
    /// Breaks the connection within the mail.
    DyingInData,
    /// Takes the mail and breaks the connection instead of saying so.
    SilentAfterTaking,
    /// Plain, without STARTTLS and AUTH.
    WithoutStarttls,
    /// 535 for every log-in.
    RefusingAuth,
}

/// A mail that the server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where it is kept.
    pub path: PathBuf,
    /// The mail, byte for byte.
    pub eml: Vec<u8>,
    /// How it came.
    pub envelope: Envelope,
}

/// How a mail came.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Envelope {
    /// MAIL FROM.
    pub from: String,
    /// RCPT TO.
    pub to: Vec<String>,
    /// Whether the connection was encrypted.
    pub over_tls: bool,
    /// Who had logged in.
    pub user: Option<String>,
}

/// The running server; dropping it kills it. What it took stays in its directory.
#[derive(Debug)]
pub struct SmtpServer {
    directory: PathBuf,
    port: u16,
    tls_port: u16,
    process: Child,
}

impl SmtpServer {
    /// Listens on a free loopback port and keeps mails in `directory`, which is made if it is not there.
    pub fn start(directory: &Path, behaviour: Behaviour) -> Result<Self> {
        Self::start_on(directory, 0, behaviour)
    }

    /// The same on the port where a server was before, with its directory: it has come back.
    pub fn start_on(directory: &Path, port: u16, behaviour: Behaviour) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        if !directory.join("cert.pem").exists() {
            make_certificate(directory)?;
        }
        fs::write(directory.join("login"), format!("{USER}\n{PASSWORD}"))?;
        write_behaviour(directory, behaviour)?;
        let program = directory.join("smtp_server.py");
        fs::write(&program, PROGRAM)?;
        let log_path = directory.join("server.log");
        let log = fs::File::options().create(true).append(true).open(&log_path)?;
        let mut process = Command::new(PYTHON)
            .arg(&program)
            .arg(directory)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {PYTHON} (Debian: python3)"))?;
        match read_ports(&mut process) {
            Ok((port, tls_port)) => Ok(Self { directory: directory.to_owned(), port, tls_port, process }),
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(error.context(fs::read_to_string(&log_path).unwrap_or_default()))
            }
        }
    }

    /// Where it speaks plainly first.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks TLS from the first byte.
    #[must_use]
    pub const fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The certificate that a client has to trust.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("cert.pem")
    }

    /// Treats clients otherwise from the next connection on.
    pub fn behave(&self, behaviour: Behaviour) -> Result<()> {
        write_behaviour(&self.directory, behaviour)
    }

    /// What it took, in order.
    pub fn received(&self) -> Result<Vec<Received>> {
        received_in(&self.directory)
    }

    /// Waits until it has taken `count` mails and returns all that it took.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Result<Vec<Received>> {
        let since = Instant::now();
        loop {
            let received = self.received()?;
            if count <= received.len() {
                return Ok(received);
            }
            if limit <= since.elapsed() {
                bail!("the SMTP server took {} mails in {limit:?}, not {count}", received.len());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a server took into `directory`, in order; it need not run any more.
pub fn received_in(directory: &Path) -> Result<Vec<Received>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let eml = fs::read(&path)?;
            let envelope = serde_json::from_slice(&fs::read(path.with_extension("json"))?)?;
            Ok(Received { path, eml, envelope })
        })
        .collect()
}

fn write_behaviour(directory: &Path, behaviour: Behaviour) -> Result<()> {
    let partial = directory.join("behaviour.partial");
    fs::write(&partial, serde_json::to_string(&behaviour)?)?;
    fs::rename(&partial, directory.join("behaviour.json"))?;
    Ok(())
}

fn make_certificate(directory: &Path) -> Result<()> {
    let request = directory.join("certificate.cnf");
    fs::write(&request, CERTIFICATE_REQUEST)?;
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "30", "-config"])
        .arg(&request)
        .arg("-keyout")
        .arg(directory.join("key.pem"))
        .arg("-out")
        .arg(directory.join("cert.pem"))
        .stdin(Stdio::null())
        .output()
        .context("cannot run openssl (Debian: openssl)")?;
    ensure!(
        output.status.success(),
        "openssl made no certificate: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn read_ports(process: &mut Child) -> Result<(u16, u16)> {
    let stdout = process.stdout.take().context("the SMTP server has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    line.trim()
        .split_once(' ')
        .and_then(|(port, tls_port)| Some((port.parse().ok()?, tls_port.parse().ok()?)))
        .context("the SMTP server did not start; it needs aiosmtpd (Debian: python3-aiosmtpd)")
}
