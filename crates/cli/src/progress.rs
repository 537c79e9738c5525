//! Training as it is seen: a bar on a terminal, one line an epoch anywhere else.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use elbo::run::history::{LOSS, Means};
use elbo::training::{EpochEnd, Observer, StepReport};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Context;

/// Shows the progress of a run on standard error.
pub struct Progress {
    context: Context,
    bar: Option<ProgressBar>,
    epochs: usize,
    /// Start and first step of the epoch under way: a resumed epoch does not start at step 1.
    epoch_began: (Instant, usize),
    drawn: Instant,
}

/// Least time between two redraws: the bar must not cost what it measures.
const REDRAW: Duration = Duration::from_millis(100);

impl Progress {
    /// For a run of `epochs` epochs.
    pub fn new(context: Context, epochs: usize) -> Self {
        let bar = (!context.quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:24.cyan/dim} {pos}/{len}  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)).with_style(style)
        });
        Self { context, bar, epochs, epoch_began: (Instant::now(), 0), drawn: Instant::now() }
    }
}

impl Observer for Progress {
    fn step(&mut self, report: &StepReport) -> elbo::Result<()> {
        self.epochs = report.epochs;
        let Some(bar) = &self.bar else { return Ok(()) };
        if report.step == 1 || self.epoch_began.1 == 0 {
            self.epoch_began = (Instant::now(), report.step);
            bar.set_length(report.steps as u64);
            bar.set_prefix(format!("epoch {}/{}", report.epoch, report.epochs));
        }
        if self.drawn.elapsed() < REDRAW && report.step < report.steps {
            return Ok(());
        }
        self.drawn = Instant::now();
        let (began, first) = self.epoch_began;
        let steps = (report.step - first) as f64;
        let per_step = began.elapsed().as_secs_f64() / steps.max(1.0);
        let left = (report.steps - report.step) + (report.epochs - report.epoch) * report.steps;
        let speed = report.examples as f64 / report.step as f64 / per_step;
        bar.set_position(report.step as u64);
        bar.set_message(format!(
            "{}  {:.0} images/s  {} left",
            terms(&report.mean),
            speed,
            clock(per_step * left as f64)
        ));
        Ok(())
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> elbo::Result<()> {
        self.epoch_began.1 = 0;
        let validation =
            end.record.validation.as_ref().map_or(String::new(), |v| format!(" | validation {}", terms(v)));
        let line = format!(
            "epoch {:>width$}/{}  {}{validation}  {:.0} images/s{}",
            end.record.epoch,
            self.epochs,
            terms(&end.record.train),
            end.images_per_s,
            if end.is_best { "  best" } else { "" },
            width = self.epochs.to_string().len(),
        );
        match &self.bar {
            Some(bar) => bar.suspend(|| self.context.note(line)),
            None => self.context.note(line),
        }
        Ok(())
    }
}

/// Shows how data are opened, on standard error.
pub struct DataProgress {
    context: Context,
    bar: Option<ProgressBar>,
}

impl DataProgress {
    /// Silent until there is something to tell.
    pub fn new(context: Context) -> Self {
        Self { context, bar: None }
    }

    /// Takes one message: a fetched file is told once, at its start; decoding has a bar on a terminal.
    pub fn show(&mut self, progress: elbo::data::Progress<'_>) {
        use elbo::data::Progress::{Decode, Download, Note};
        match progress {
            Download { target, done: 0, total } => {
                let size = total.map_or(String::new(), |bytes| format!(" ({:.1} MB)", bytes as f64 / 1e6));
                self.context.note(format!("fetch  {}{size}", target.display()));
            }
            Decode { done, total } if !self.context.quiet && std::io::stderr().is_terminal() => {
                let bar = self.bar.get_or_insert_with(|| {
                    let style =
                        ProgressStyle::with_template("decode {bar:24.cyan/dim} {pos}/{len}  {per_sec}, {eta} left")
                            .unwrap_or_else(|_| ProgressStyle::default_bar());
                    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)).with_style(style)
                });
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                if done == total {
                    bar.finish_and_clear();
                    self.bar = None;
                }
            }
            Note(note) => {
                self.clear();
                self.context.note(format!("note   {note}"));
            }
            _ => {}
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for DataProgress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The terms as words: `loss 105.67 (recon 80.02, kl 25.65)`.
pub fn terms(means: &Means) -> String {
    let parts: Vec<String> =
        means.iter().filter(|(name, _)| *name != LOSS).map(|(name, value)| format!("{name} {value:.2}")).collect();
    match parts.as_slice() {
        [] => format!("loss {:.2}", means.loss()),
        parts => format!("loss {:.2} ({})", means.loss(), parts.join(", ")),
    }
}

/// `1:05` or `2:03:00`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn clocks() {
        assert_eq!([5.4, 65.0, 7380.0].map(clock), ["0:05", "1:05", "2:03:00"]);
    }
}
