//! Runs other programs by argument vector, as an outside user would, and turns their failures into sentences.
//!
//! No shell, no parsing of what they print: that is for those who know the program.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// The libvirt that all guests of the testbed run on.
pub const LIBVIRT_URI: &str = "qemu:///system";

/// Runs a program to its end and returns what it printed.
pub fn run<S: AsRef<str>>(program: &str, args: &[S]) -> Result<String> {
    finish(command(program, args), program, args, None)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Like [`run`], in another working directory.
pub fn run_in<S: AsRef<str>>(directory: &Path, program: &str, args: &[S]) -> Result<String> {
    let mut command = command(program, args);
    command.current_dir(directory);
    finish(command, program, args, None).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Like [`run_in`], with `input` on its standard input; returns the bytes it printed.
pub fn filter<S: AsRef<str>>(directory: &Path, program: &str, args: &[S], input: &[u8]) -> Result<Vec<u8>> {
    let mut command = command(program, args);
    command.current_dir(directory);
    finish(command, program, args, Some(input))
}

/// Runs one virsh command on [`LIBVIRT_URI`] and returns what it printed.
pub fn virsh<S: AsRef<str>>(args: &[S]) -> Result<String> {
    virsh_at(LIBVIRT_URI, args)
}

/// Runs one virsh command on the libvirt at `uri` and returns what it printed.
pub fn virsh_at<S: AsRef<str>>(uri: &str, args: &[S]) -> Result<String> {
    let mut all = vec!["-q", "-c", uri];
    all.extend(args.iter().map(AsRef::as_ref));
    run("virsh", &all)
}

/// Runs a command that was put together elsewhere to its end and returns what it printed.
pub(crate) fn finish_command(mut command: Command) -> Result<String> {
    command.env("LC_ALL", "C.UTF-8");
    let program = command.get_program().to_string_lossy().into_owned();
    let args: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    finish(command, &program, &args, None).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn command<S: AsRef<str>>(program: &str, args: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(args.iter().map(AsRef::as_ref));
    // Messages are looked at by people and by parsers: always the same language.
    command.env("LC_ALL", "C.UTF-8");
    command
}

fn finish<S: AsRef<str>>(
    mut command: Command,
    program: &str,
    args: &[S],
    input: Option<&[u8]>,
) -> Result<Vec<u8>> {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().with_context(|| format!("cannot start {program}: is its package installed?"))?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A program that stops reading early says why on its own; the broken pipe is no news.
            scope.spawn(move || stdin.write_all(input));
        }
        child.wait_with_output()
    })
    .with_context(|| format!("cannot wait for {program}"))?;
    check(program, args, &output)?;
    Ok(output.stdout)
}

fn check<S: AsRef<str>>(program: &str, args: &[S], output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let line = args.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ");
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("`{program} {line}` failed ({}): {}", output.status, said.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_quoted_with_its_own_words() {
        let error = run("ls", &["/no/such/place"]).unwrap_err().to_string();
        assert!(error.contains("ls /no/such/place") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_missing_program_names_itself() {
        let error = run::<&str>("no-such-program-at-all", &[]).unwrap_err().to_string();
        assert!(error.contains("no-such-program-at-all"), "{error}");
    }

    #[test]
    fn more_input_than_a_pipe_holds_passes_through() {
        let input = vec![b'x'; 1 << 20];
        assert_eq!(filter(Path::new("/"), "cat", &[] as &[&str], &input).unwrap(), input);
    }
}
