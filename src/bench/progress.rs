//! One line on stderr that says what is being measured, for people at a terminal.

use std::io::{self, Write};
use std::time::Instant;

/// The line; silent where nobody looks.
#[derive(Debug)]
pub(super) struct Progress {
    /// The terminal's width; none where nobody looks.
    columns: Option<usize>,
    started: Instant,
    subject: String,
    test: String,
}

impl Progress {
    /// A line on a terminal of this width, or none at all.
    pub(super) fn new(columns: Option<usize>) -> Self {
        Self {
            columns,
            started: Instant::now(),
            subject: String::new(),
            test: String::new(),
        }
    }

    /// Another subject is measured.
    pub(super) fn subject(&mut self, round: usize, rounds: usize, name: &str) {
        self.subject = format!("round {round} of {rounds}, {name}");
        self.test = "starting".to_owned();
        self.draw("");
    }

    /// Another test runs.
    pub(super) fn test(&mut self, name: &str) {
        name.clone_into(&mut self.test);
        self.draw("");
    }

    /// Something about the test.
    pub(super) fn detail(&self, what: &str) {
        self.draw(what);
    }

    /// The line goes.
    pub(super) fn clear(&self) {
        if self.columns.is_some() {
            write_to_stderr("\r\x1b[K");
        }
    }

    fn draw(&self, detail: &str) {
        let Some(columns) = self.columns else {
            return;
        };
        let seconds = self.started.elapsed().as_secs();
        let line = self.line(seconds, detail);
        // A line that wraps cannot be drawn over.
        let line: String = line.chars().take(columns.saturating_sub(1)).collect();
        write_to_stderr(&format!("\r\x1b[K{line}"));
    }

    fn line(&self, seconds: u64, detail: &str) -> String {
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let gap = if detail.is_empty() { "" } else { ": " };
        let (subject, test) = (&self.subject, &self.test);
        format!("{minutes}:{seconds:02}  {subject}: {test}{gap}{detail}")
    }
}

fn write_to_stderr(text: &str) {
    // Nobody is left to tell if stderr is gone.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_when_whose_and_what() {
        let mut progress = Progress::new(None);
        progress.subject(2, 3, "gre");
        assert_eq!(progress.line(61, ""), "1:01  round 2 of 3, gre: starting");
        progress.test("loss-free, IMIX");
        let wanted = "0:09  round 2 of 3, gre: loss-free, IMIX: 12.0 kpps";
        assert_eq!(progress.line(9, "12.0 kpps"), wanted);
    }
}
