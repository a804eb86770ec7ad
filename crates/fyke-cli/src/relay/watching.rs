//! The live line, the statistics as JSON, and the recording's regular way to the disk.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::rc::Rc;
use std::time::Instant;

use fyke::timer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Relaying;
use super::statistics::{self, Rates};
use crate::arguments::Level;
use crate::failure::Failure;
use crate::log;
use crate::output::Output;

pub(super) struct Watching {
    relaying: Rc<Relaying>,
    output: Output,
    /// None if nobody could see it.
    line: Option<ProgressBar>,
    rates: RefCell<Rates>,
}

impl Watching {
    /// Tells from now on, without keeping the loop alive.
    pub(super) fn begin(relaying: &Rc<Relaying>, output: &Output) -> Result<Rc<Self>, Failure> {
        let options = &relaying.options;
        // The log would tear it apart.
        let seen = !options.quiet && !log::is_on(Level::Info) && std::io::stderr().is_terminal();
        let watching = Rc::new(Self {
            relaying: Rc::clone(relaying),
            output: output.clone(),
            line: seen.then(live_line),
            rates: RefCell::new(Rates::new(Instant::now())),
        });
        let same = Rc::clone(&watching);
        timer::set_interval(options.interval, move || same.tell())?.unref();
        watching.tell_people();
        Ok(watching)
    }

    fn tell(&self) {
        if self.relaying.options.json {
            self.tell_programs();
        } else {
            self.tell_people();
        }
        if let Some(recorder) = &self.relaying.recorder {
            recorder.flush();
        }
    }

    fn tell_programs(&self) {
        let counts = self.relaying.counts_now();
        let rate = self.rates.borrow_mut().since(Instant::now(), &counts);
        self.output.line(statistics::json(&counts, rate, &self.relaying.targets.borrow()));
    }

    fn tell_people(&self) {
        if let Some(line) = &self.line {
            let counts = self.relaying.counts_now();
            let rate = self.rates.borrow_mut().since(Instant::now(), &counts);
            line.set_message(statistics::text(&counts, rate));
            line.tick();
        }
    }

    /// For the last time.
    pub(super) fn end(&self) {
        if let Some(line) = &self.line {
            self.tell_people();
            line.abandon();
        }
        if self.relaying.options.json {
            self.tell_programs();
        }
        if let Some(recorder) = &self.relaying.recorder {
            recorder.flush();
        }
    }
}

fn live_line() -> ProgressBar {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // A template without anything that could be wrong.
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        line.set_style(style);
    }
    line
}
