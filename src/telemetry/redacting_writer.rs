//! Hides secrets in log lines, whoever writes them: libraries log requests at the level of traces.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::server_text;

/// Makes writers of log lines without secrets.
pub(super) struct RedactingWriter<M>(pub M);

/// A writer that is given whole lines.
pub(super) struct RedactedLines<W>(W);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for RedactingWriter<M> {
    type Writer = RedactedLines<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactedLines(self.0.make_writer())
    }
}

impl<W: Write> Write for RedactedLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(server_text::redact(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::server_text::SecretKind;

    #[test]
    fn g10_a_log_line_holds_no_secret() {
        server_text::protect(SecretKind::Token, "logged-token-4711");
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(RedactingWriter(Mutex::new(SharedLog(Arc::clone(&log)))));
        tracing::subscriber::with_default(lines.finish(), || {
            tracing::info!(header = "Bearer logged-token-4711", "sent logged%2Dtoken%2d4711");
        });
        let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        assert!(log.ends_with("sent [secret] header=\"Bearer [secret]\"\n"), "{log}");
    }

    struct SharedLog(Arc<Mutex<Vec<u8>>>);

    impl Write for SharedLog {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
