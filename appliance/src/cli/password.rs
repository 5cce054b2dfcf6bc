//! Reading a password: from the terminal without echo, or from standard input. It judges nothing; `accounts` does.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::control::request::Password;

/// More than any password that is accepted, so that a file given by mistake is not read whole.
const LINE_BYTES_MAX: u64 = 8 * 1024;

/// The password for `user`.
///
/// # Errors
/// There is no terminal to ask on, or what was typed twice differs.
pub fn read(user: &str, from_stdin: bool) -> Result<Password> {
    if from_stdin {
        return Ok(Password(line()?));
    }
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask for the password on; give it on standard input: --password-stdin");
    }
    let silence = Silence::begin()?;
    let first = asked(&format!("Password for {user}: "))?;
    let second = asked("Again: ")?;
    drop(silence);
    if first != second {
        bail!("what was typed the second time is not what was typed the first time; nothing was changed");
    }
    Ok(Password(first))
}

fn asked(prompt: &str) -> Result<String> {
    eprint!("{prompt}");
    std::io::stderr().flush()?;
    let typed = line();
    eprintln!();
    typed
}

fn line() -> Result<String> {
    let mut text = String::new();
    let mut input = std::io::Read::take(std::io::stdin().lock(), LINE_BYTES_MAX);
    input.read_line(&mut text).context("the password is not UTF-8")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// While this lives, the terminal does not show what is typed.
struct Silence(Termios);

impl Silence {
    fn begin() -> Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("the terminal cannot be asked")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
