//! Asks before something is deleted.

use std::io::{self, BufRead, IsTerminal};

use crate::config::ConfigError;

/// Asks a question on the terminal. Returns whether the answer is yes.
///
/// # Errors
/// If standard input is not a terminal.
pub(super) fn ask(question: &str) -> Result<bool, ConfigError> {
    if !io::stdin().is_terminal() {
        let message = "without a terminal nobody can be asked: add it to go on";
        return Err(ConfigError::at("--yes", message));
    }
    tell!("{question} [y/N]");
    let mut answer = String::new();
    // an answer that cannot be read is no yes
    let _ = io::stdin().lock().read_line(&mut answer);
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
