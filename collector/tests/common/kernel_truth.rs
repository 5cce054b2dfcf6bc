//! What the kernel tells about ends, heard by a program that has no code of the collector's.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use metering::NicRegisters;
use testbed::guest::Guest;

/// The kernel tells at once; a busy machine is slow to listen.
const LIMIT: Duration = Duration::from_secs(90);

/// The kernel's word, heard by a program of its own.
pub struct Truth {
    program: Child,
    lines: Receiver<String>,
    heard: Vec<Vec<String>>,
}

impl Truth {
    pub fn listen() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/truth.py");
        let mut program = Command::new("python3").arg(script).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(program.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        assert_eq!(lines.recv_timeout(LIMIT).unwrap(), "ready", "it needs CAP_NET_ADMIN");
        Self { program, lines, heard: Vec::new() }
    }

    /// The last counters of a device of the host, as the guest behind it sees them.
    pub fn last_of_tap(&mut self, device: &str) -> NicRegisters {
        let line = self.line(|words| words[0] == "gone" && words[1] == device);
        let number = |n: usize| line[n].parse().unwrap();
        NicRegisters {
            rx_bytes: number(3),
            tx_bytes: number(2),
            rx_packets: number(5),
            tx_packets: number(4),
        }
    }

    /// The time of each thread of a process that ended, once its first thread has.
    pub fn threads_of(&mut self, pid: i32) -> BTreeMap<u32, u64> {
        let pid = pid.to_string();
        self.line(|words| words[0] == "exit" && words[1] == pid && words[2] == pid);
        // The others' records may come after it.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(500)) {
            self.heard.push(words(&line));
        }
        let of_process = self.heard.iter().filter(|words| words[0] == "exit" && words[1] == pid);
        of_process.map(|words| (words[2].parse().unwrap(), words[3].parse().unwrap())).collect()
    }

    fn line(&mut self, is_it: impl Fn(&[String]) -> bool) -> Vec<String> {
        loop {
            if let Some(line) = self.heard.iter().find(|words| is_it(words)) {
                return line.clone();
            }
            let line = self.lines.recv_timeout(LIMIT).expect("the kernel tells of it");
            self.heard.push(words(&line));
        }
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// The host's device behind a guest's first NIC.
pub fn tap(guest: &Guest) -> String {
    let list = testbed::process::virsh(&["domiflist", guest.name()]).unwrap();
    let line = list.lines().find(|line| line.contains(&guest.macs()[0])).unwrap();
    line.split_ascii_whitespace().next().unwrap().to_owned()
}
