//! A `weir up` of a test: started on a free port, asked through its own command line and over HTTP, ended for sure.

#![expect(dead_code, reason = "each test program uses its part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

/// How long a test waits for what must happen; a loaded machine is slow, not wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Weir.
pub struct Weir {
    child: Child,
    address: String,
    data_dir: PathBuf,
}

/// An answer over HTTP.
pub struct Reply {
    pub status: u16,
    /// The lines before the body.
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty without one.
    pub fn header(&self, name: &str) -> &str {
        let named = |line: &&str| {
            line.split_once(':').is_some_and(|(known, _)| known.trim().eq_ignore_ascii_case(name))
        };
        self.head
            .lines()
            .find(named)
            .and_then(|line| line.split_once(':'))
            .map_or("", |(_, value)| value.trim())
    }
}

/// Runs the binary to its end.
pub fn weir(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env("WEIR__COLLECTOR__LIBVIRT_URI", "test:///default").env("WEIR__LOG__LEVEL", "warn");
    command
}

/// Kills a process that a test's Weir started.
pub fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

pub fn is_alive(pid: i32) -> bool {
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

impl Weir {
    /// Starts it and waits until it says that it is up.
    pub fn start(data_dir: &Path, flags: &[&str]) -> Self {
        Self::start_with(data_dir, flags, &[])
    }

    /// The same with settings: variables of its environment.
    pub fn start_with(data_dir: &Path, flags: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.envs(settings.iter().copied());
        command.args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(data_dir).args(flags);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.unwrap_or_else(|| panic!("weir up said {line:?}")).to_owned();
        Self { child, address, data_dir: data_dir.to_owned() }
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where it listens: `127.0.0.1:40123`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Runs a command against it.
    pub fn run(&self, arguments: &[&str]) -> Output {
        command().arg("--data").arg(&self.data_dir).arg("--json").args(arguments).output().unwrap()
    }

    /// The answer to a command, if it succeeded.
    pub fn try_ask(&self, arguments: &[&str]) -> Option<Value> {
        let output = self.run(arguments);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// The answer to a command that must succeed.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The answer to a command that must succeed and reads its standard input.
    pub fn ask_with(&self, arguments: &[&str], input: &str) -> Value {
        let mut command = command();
        command.arg("--data").arg(&self.data_dir).arg("--json").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The answer to any request, to the portal's address or another one of its.
    pub fn request(
        &self,
        address: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut socket = TcpStream::connect(address).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Reply { status, head, body: answer[end + 4..].to_vec() }
    }

    /// Status and body of a page.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.address()).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    /// The process of its private PostgreSQL.
    pub fn postgres_pid(&self) -> i32 {
        self.try_postgres_pid().unwrap()
    }

    /// The same, where it may be between two.
    pub fn try_postgres_pid(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.data_dir.join("postgres/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    pub fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// SIGTERM, and its exit.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }

    /// SIGINT, and its exit.
    pub fn interrupt(mut self) -> ExitStatus {
        self.signal(Signal::INT);
        self.child.wait().unwrap()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // After a failed assertion: nothing of the test stays behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
