//! Secrets that a command prints, such as that of a password manager.

use std::{
    io::{self, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use secrecy::SecretString;

use crate::server_text::{SecretKind, ServerText, protect};

/// How long a command may take: long enough for a person to confirm on a phone.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(60);
/// How often it is checked whether the command has ended.
const POLL: Duration = Duration::from_millis(5);
/// How long a process that the command left behind may keep the output open.
const OUTPUT_END: Duration = Duration::from_secs(1);
/// The part of standard error that is read, in bytes.
const MOST_ERROR_BYTES: u64 = 4 << 10;

/// Why a command gave no secret. The text follows the name of the command and never has its output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// It cannot be started.
    #[error("cannot be started: {0}: install it, or write its path in full")]
    Start(io::Error),
    /// It ended with an error.
    #[error("failed ({status}){}: run it in a terminal to see why", reason(.error))]
    Failed {
        /// The exit code or signal.
        status: ExitStatus,
        /// The start of standard error, without secrets.
        error: ServerText,
    },
    /// It took too long.
    #[error("has not ended within {0:?}: run it in a terminal to see what it waits for")]
    TooSlow(Duration),
    /// It wrote too much.
    #[error("printed more than {} KiB: let it print the secret alone", .0 >> 10)]
    TooLong(u64),
    /// It wrote several lines, such as a table.
    #[error("printed {0} lines: let it print the secret alone")]
    SeveralLines(usize),
    /// It wrote something else than text.
    #[error("printed something else than UTF-8 text: let it print the secret alone")]
    NotText,
    /// It wrote nothing.
    #[error("printed nothing: let it print the secret to standard output")]
    Nothing,
    /// The operating system refused.
    #[error("cannot be waited for: {0}")]
    Wait(io::Error),
}

fn reason(error: &ServerText) -> String {
    if error.is_empty() { String::new() } else { format!(": {error}") }
}

/// Runs a program without a shell and returns the line that it prints. It reads nothing from
/// standard input, and its standard error is shown only if it fails. From then on what it printed
/// is hidden in all texts.
///
/// # Errors
/// If it cannot be started, fails, takes longer than `limit`, or prints anything but one line of at
/// most `most` bytes.
pub(crate) fn read_secret(
    program: &Path,
    arguments: &[String],
    limit: Duration,
    most: u64,
) -> Result<SecretString, CommandError> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(CommandError::Start)?;
    let output = child.stdout.take().map(|pipe| read_aside(pipe, most + 1, false));
    let error = child.stderr.take().map(|pipe| read_aside(pipe, MOST_ERROR_BYTES, true));
    let status = wait(&mut child, limit)?;
    let read = |bytes: Option<mpsc::Receiver<Vec<u8>>>| {
        let bytes = bytes.map(|bytes| bytes.recv_timeout(OUTPUT_END));
        bytes.and_then(Result::ok).ok_or(CommandError::TooSlow(limit))
    };
    let output = read(output)?;
    let text = String::from_utf8_lossy(&output);
    for line in text.lines() {
        protect(SecretKind::Configured, line.trim());
    }
    if output.len() as u64 > most {
        return Err(CommandError::TooLong(most));
    }
    if !status.success() {
        let error = read(error).unwrap_or_default();
        let error = String::from_utf8_lossy(&error);
        return Err(CommandError::Failed { status, error: error.trim().into() });
    }
    let text = std::str::from_utf8(&output).map_err(|_| CommandError::NotText)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    match secret.lines().count() {
        0 => Err(CommandError::Nothing),
        1 => Ok(secret.into()),
        lines => Err(CommandError::SeveralLines(lines)),
    }
}

/// Waits for the end of a process, and kills it after `limit`.
fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, CommandError> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().map_err(CommandError::Wait)? {
            return Ok(status);
        }
        if waited >= limit {
            // it may have ended by itself meanwhile
            let _ = child.kill();
            let _ = child.wait();
            return Err(CommandError::TooSlow(limit));
        }
        thread::sleep(POLL);
        waited += POLL;
    }
}

/// Reads the first `most` bytes of a pipe on a thread, so that the process is never blocked by a
/// full pipe. `drain` is whether the rest is read and dropped; otherwise the pipe is closed.
fn read_aside(
    mut pipe: impl Read + Send + 'static,
    most: u64,
    drain: bool,
) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // what was read before an error is all there is
        let _ = pipe.by_ref().take(most).read_to_end(&mut bytes);
        if drain {
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        drop(pipe);
        // nobody waits any more if the time is over
        let _ = sender.send(bytes);
    });
    receiver
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn shell(script: &str) -> Result<String, String> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let secret = read_secret(Path::new("sh"), &arguments, Duration::from_millis(400), 1024);
        secret.map(|secret| secret.expose_secret().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_gives_the_line_that_it_prints_without_its_end() {
        assert_eq!(shell("echo ' from the vault '").unwrap(), " from the vault ");
        assert_eq!(shell("printf 'carriage-return\\r\\n'").unwrap(), "carriage-return");
        assert_eq!(shell("printf unended; echo warning >&2").unwrap(), "unended");
        assert_eq!(shell("head -c 200000 /dev/zero >&2; echo drained").unwrap(), "drained");
        assert_eq!(shell("cat; echo without-input").unwrap(), "without-input");
    }

    #[test]
    fn arguments_reach_the_command_as_they_are() {
        let arguments = ["%s".to_owned(), "$HOME; `id` \"*\"".to_owned()];
        let secret = read_secret(Path::new("printf"), &arguments, TIME_LIMIT, 1024).unwrap();
        assert_eq!(secret.expose_secret(), "$HOME; `id` \"*\"");
    }

    #[test]
    fn g10_a_command_that_fails_is_reported_without_what_it_printed() {
        let message = shell("echo hush-0815; echo 'denied:\nhush-0815 expired' >&2; exit 3");
        let expected = "failed (exit status: 3): denied: [secret] expired: run it in a terminal to \
                        see why";
        assert_eq!(message.unwrap_err(), expected);
        let message = shell("kill -9 $$").unwrap_err();
        assert!(message.starts_with("failed (signal: 9 (SIGKILL)): run"), "{message}");
    }

    #[test]
    fn a_command_must_print_one_line_within_the_limits() {
        for (script, expected) in [
            ("true", "printed nothing"),
            ("echo", "printed nothing"),
            ("echo Key Value; echo token hush", "printed 2 lines"),
            ("head -c 3000 /dev/zero", "printed more than 1 KiB"),
            ("cat /dev/zero", "printed more than 1 KiB"),
            ("printf '\\377'", "printed something else than UTF-8 text"),
            ("exec sleep 20", "has not ended within 400ms"),
            ("echo early; sleep 20 &", "has not ended within 400ms"),
        ] {
            let message = shell(script).unwrap_err();
            assert!(message.starts_with(expected), "{script}: {message}");
        }
        let missing = read_secret(Path::new("no-such-program"), &[], TIME_LIMIT, 1).unwrap_err();
        let message = missing.to_string();
        assert!(message.starts_with("cannot be started: No such file"), "{message}");
    }
}
