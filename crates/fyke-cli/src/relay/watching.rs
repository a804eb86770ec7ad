//! The status line, the statistics as JSON, and regular writes of the recording.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use fyke::timer;

use super::Relaying;
use super::statistics::{self, Rates};
use crate::arguments::Level;
use crate::failure::Failure;
use crate::log;
use crate::output::Output;
use crate::status_line::StatusLine;

pub(super) struct Watching {
    relaying: Rc<Relaying>,
    output: Output,
    /// `None` if the line would not be visible.
    line: Option<StatusLine>,
    rates: RefCell<Rates>,
}

impl Watching {
    /// Starts the reports. They do not keep the loop alive.
    pub(super) fn begin(relaying: &Rc<Relaying>, output: &Output) -> Result<Rc<Self>, Failure> {
        let options = &relaying.options;
        // Log lines would break the status line.
        let hidden = options.quiet || log::is_on(Level::Info);
        let watching = Rc::new(Self {
            relaying: Rc::clone(relaying),
            output: output.clone(),
            line: if hidden { None } else { StatusLine::on_terminal() },
            rates: RefCell::new(Rates::new(Instant::now())),
        });
        let same = Rc::clone(&watching);
        timer::set_interval(options.interval, move || same.report())?.unref_loop();
        watching.show_status();
        Ok(watching)
    }

    fn report(&self) {
        if self.relaying.options.json {
            self.print_statistics();
        } else {
            self.show_status();
        }
        if let Some(recorder) = &self.relaying.recorder {
            recorder.flush();
        }
    }

    /// Statistics that cannot be printed, or whose reader has exited, do not end the relay.
    fn print_statistics(&self) {
        if self.output.is_broken_and_logged() {
            return;
        }
        let counts = self.relaying.counts_now();
        let rate = self.rates.borrow_mut().since(Instant::now(), &counts);
        self.output.line_or_drop(statistics::json(&counts, rate, &self.relaying.targets.borrow()));
    }

    fn show_status(&self) {
        if let Some(line) = &self.line {
            let counts = self.relaying.counts_now();
            let rate = self.rates.borrow_mut().since(Instant::now(), &counts);
            line.show(&statistics::text(&counts, rate));
        }
    }

    /// Prints the statistics for the last time.
    pub(super) fn end(&self) {
        if let Some(line) = &self.line {
            self.show_status();
            line.keep();
        }
        if self.relaying.options.json {
            self.print_statistics();
        }
        if let Some(recorder) = &self.relaying.recorder {
            recorder.flush();
        }
    }
}
