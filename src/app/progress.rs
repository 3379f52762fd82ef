//! How far a copy is: a bar that is drawn anew where somebody watches, a line now and then where a
//! file or a collector does.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::storage::export::{Report, Stage};

/// Shortest time between two drawings of the bar.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Shortest time between two lines where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Characters within the bar.
const BAR_WIDTH: u64 = 30;

/// The stage under way.
struct Current {
    stage: Stage,
    begun: Instant,
    shown: Option<Instant>,
}

/// Draws to standard error.
pub(super) struct Bar {
    terminal: bool,
    current: Option<Current>,
}

impl Bar {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), current: None }
    }

    fn show(&self, text: &str, last: bool) {
        let mut to = std::io::stderr();
        // Whoever does not see the bar misses nothing that counts.
        let _ = match (self.terminal, last) {
            (true, false) => write!(to, "\r\x1b[2K{text}"),
            (true, true) => writeln!(to, "\r\x1b[2K{text}"),
            (false, _) => writeln!(to, "{text}"),
        };
    }
}

impl Report for Bar {
    fn at(&mut self, stage: Stage, done: u64, of: u64) {
        #[allow(clippy::disallowed_methods, reason = "for people only: nothing decides by it")]
        let now = Instant::now();
        if self.current.as_ref().is_none_or(|current| current.stage != stage) {
            if self.terminal && self.current.is_some() {
                let _ = writeln!(std::io::stderr());
            }
            self.current = Some(Current { stage, begun: now, shown: None });
        }
        let every = if self.terminal { DRAW_EVERY } else { SAY_EVERY };
        let Some(current) = &mut self.current else { return };
        let since = now.duration_since(current.shown.unwrap_or(current.begun));
        if since < every && done != of {
            return;
        }
        current.shown = Some(now);
        let text = text(stage, done, of, now.duration_since(current.begun));
        self.show(&text, false);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.terminal && self.current.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }
}

/// What is shown: a bar, the share, the pace, the time left.
fn text(stage: Stage, done: u64, of: u64, elapsed: Duration) -> String {
    let (name, what) = match stage {
        Stage::Counting => ("counting", Unit::Chats),
        Stage::Writing => ("writing", Unit::Chats),
        Stage::Checking => ("checking", Unit::Bytes),
        Stage::Bringing => ("bringing", Unit::Bytes),
        Stage::ReadingBack => ("reading back", Unit::Chats),
        Stage::Comparing => ("comparing", Unit::Chats),
        Stage::Leftovers => ("leftovers", Unit::Chats),
    };
    let elapsed_s = elapsed.as_secs_f64();
    let pace = if elapsed_s > 0.0 { done as f64 / elapsed_s } else { 0.0 };
    if of == 0 {
        return format!("{name:<12} {}", what.count(done));
    }
    let share = (done.min(of) as u128 * 100 / u128::from(of)) as u64;
    let full = share * BAR_WIDTH / 100;
    let bar: String = (0..BAR_WIDTH).map(|n| if n < full { '#' } else { '-' }).collect();
    let left = if pace > 0.0 { of.saturating_sub(done) as f64 / pace } else { 0.0 };
    format!(
        "{name:<12} [{bar}] {share:>3} %  {} of {}, {} a second, {} left",
        what.count(done),
        what.count(of),
        what.count(pace as u64),
        time(left as u64),
    )
}

#[derive(Clone, Copy)]
enum Unit {
    Chats,
    Bytes,
}

impl Unit {
    fn count(self, number: u64) -> String {
        match self {
            Self::Chats => format!("{number} chats"),
            Self::Bytes => format!("{:.1} MiB", number as f64 / (1024.0 * 1024.0)),
        }
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_far_it_is_and_how_long_it_takes_yet() {
        let at = |done| text(Stage::Writing, done, 1_000, Duration::from_secs(10));
        assert_eq!(
            at(100),
            "writing      [###---------------------------]  10 %  100 chats of 1000 chats, \
             10 chats a second, 1 min 30 s left"
        );
        assert!(at(1_000).contains("100 %") && at(1_000).ends_with("0 s left"));
        assert!(at(0).contains("  0 %"));
        let counting = text(Stage::Counting, 7, 0, Duration::ZERO);
        assert_eq!(counting, "counting     7 chats");
        let bytes = text(Stage::Bringing, 1 << 20, 1 << 31, Duration::from_secs(4));
        assert!(
            bytes.ends_with("1.0 MiB of 2048.0 MiB, 0.2 MiB a second, 2 h 16 min left"),
            "{bytes}"
        );
    }
}
