//! One line that says how far a run is: over and over on a terminal, now and then elsewhere.

use std::io::{IsTerminal, Write};

/// Width of the bar, characters.
const WIDTH: usize = 24;

/// How often a line is printed where nothing can be overwritten, ms.
const LINE_EVERY_MS: u64 = 30_000;

/// Prints to standard error.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    last_ms: Option<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last_ms: None }
    }
}

impl Progress {
    /// Shows the part that is done (0 to 1), the time left and a few words.
    pub fn show(&mut self, now_ms: u64, part: f64, left_ms: u64, words: &str) {
        let due = self.last_ms.is_none_or(|last| now_ms >= last + LINE_EVERY_MS);
        if !self.terminal && !due {
            return;
        }
        self.last_ms = Some(now_ms);
        let line = line(part, left_ms, words);
        // Progress is a courtesy; a run does not fail for want of it.
        let _ = if self.terminal {
            write!(std::io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(std::io::stderr(), "{line}")
        };
    }

    /// Leaves the line.
    pub fn done(&mut self) {
        if self.terminal && self.last_ms.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}

fn line(part: f64, left_ms: u64, words: &str) -> String {
    let part = part.clamp(0.0, 1.0);
    let filled = (part * WIDTH as f64) as usize;
    let bar = "#".repeat(filled) + &".".repeat(WIDTH - filled);
    let left_s = left_ms / 1_000;
    let percent = (part * 100.0) as u64;
    format!("[{bar}] {percent:3} %  {}:{:02} left  {words}", left_s / 60, left_s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_long() {
        assert_eq!(
            line(0.5, 125_000, "3 open"),
            "[############............]  50 %  2:05 left  3 open"
        );
        assert!(line(7.0, 0, "").starts_with("[########################] 100 %  0:00"));
    }
}
