//! What the launcher says. One line per step; on a terminal the line of the step in hand is redrawn in place, elsewhere
//! (a pipe, a build server) only finished steps are printed. A closed output is no reason to stop.

use std::{
    io::{IsTerminal as _, Write as _, stderr, stdout},
    time::{Duration, Instant},
};

const NAME_WIDTH: usize = 18;

/// A heading before a group of steps.
pub fn heading(text: &str) {
    line(&format!("\n{text}"));
}

/// One line on standard output.
pub fn line(text: &str) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// One line on standard error.
pub fn complain(text: &str) {
    let _ = writeln!(stderr().lock(), "{text}");
}

/// Something that takes a while.
#[derive(Debug)]
pub struct Step {
    name: String,
    begun: Instant,
    redraws: bool,
    open: bool,
}

impl Step {
    pub fn begin(name: &str) -> Self {
        let step = Self {
            name: name.to_owned(),
            begun: Instant::now(),
            redraws: stdout().is_terminal(),
            open: true,
        };
        step.progress("…");
        step
    }

    /// Shows how far it is, where lines can be redrawn.
    pub fn progress(&self, text: &str) {
        if self.redraws {
            let mut out = stdout().lock();
            let _ = write!(out, "\r\x1b[K  {:NAME_WIDTH$} {text}", self.name);
            let _ = out.flush();
        }
    }

    /// Says something that stays, above the line of this step.
    pub fn note(&self, text: &str) {
        self.clear();
        line(&format!("  {:NAME_WIDTH$} {text}", ""));
    }

    /// It is done; `result` says with what.
    pub fn done(mut self, result: &str) {
        self.open = false;
        self.clear();
        line(&format!(
            "  {:NAME_WIDTH$} {result} ({})",
            self.name,
            seconds(self.begun.elapsed())
        ));
    }

    fn clear(&self) {
        if self.redraws {
            let _ = write!(stdout().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.open && self.redraws {
            let _ = writeln!(stdout().lock());
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Groups the digits of a count in threes.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn digits_are_grouped_in_threes() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
    }
}
