//! Debian's Prometheus for one test: a configuration, a port and a store of its own, on loopback, ended with the test. And
//! its tool, promtool.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);
/// Another program may take the port between the look for it and the start.
const TRIES: usize = 5;

/// A Prometheus that scrapes one Weir each second.
pub struct Prometheus {
    process: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it and waits for its first good scrape.
    pub fn start(weir: &str, token: &str) -> Self {
        for _ in 0..TRIES {
            if let Some(started) = Self::try_start(weir, token) {
                started.wait_for_a_scrape();
                return started;
            }
        }
        panic!("Prometheus does not start on any of {TRIES} ports");
    }

    fn try_start(weir: &str, token: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (token_file, config) = (dir.path().join("token"), dir.path().join("prometheus.yml"));
        std::fs::write(&token_file, token).unwrap();
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: weir\n  authorization: {{credentials_file: {:?}}}\n  \
             static_configs: [{{targets: [{weir:?}]}}]\n",
            token_file
        );
        std::fs::write(&config, text).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("store").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .spawn()
            .expect("Prometheus is installed: testbed/install-packages test");
        let mut started = Self { process, address, _dir: dir };
        let begun = Instant::now();
        while started.process.try_wait().unwrap().is_none() {
            if TcpStream::connect(&started.address).is_ok() {
                return Some(started);
            }
            assert!(begun.elapsed() < PATIENCE, "Prometheus does not listen on {}", started.address);
            std::thread::sleep(LOOK);
        }
        None
    }

    fn wait_for_a_scrape(&self) {
        let begun = Instant::now();
        while self.value("up{job=\"weir\"}") != Some(1.0) {
            assert!(begun.elapsed() < PATIENCE, "no scrape succeeded: {}", self.read("/api/v1/targets"));
            std::thread::sleep(LOOK);
        }
    }

    /// The value of the one series that the expression gives now; `None` without one.
    pub fn value(&self, expression: &str) -> Option<f64> {
        let found = self.query(expression);
        let found = found.as_array().filter(|found| found.len() < 2);
        let found = found.unwrap_or_else(|| panic!("{expression} is not one series"));
        found.first()?["value"][1].as_str()?.parse().ok()
    }

    /// What an expression gives now: an array of series.
    pub fn query(&self, expression: &str) -> Value {
        let answer = self.read(&format!("/api/v1/query?query={}", encoded(expression)));
        if answer["errorType"] == "unavailable" {
            return Value::Array(Vec::new());
        }
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].clone()
    }

    fn read(&self, path: &str) -> Value {
        use std::io::Read;
        let mut socket = TcpStream::connect(&self.address).unwrap();
        // HTTP/1.0: the answer comes in one piece, up to the end of the connection.
        write!(socket, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        serde_json::from_str(body).unwrap_or_else(|_| serde_json::json!({ "errorType": "unavailable" }))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `promtool check metrics` has nothing to say of the text.
pub fn promtool_accepts(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: testbed/install-packages test");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "promtool: {said}\n{text}");
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
