//! What is going on, on standard error, for what takes more than a second: a line that moves on a terminal, and where there is none,
//! as in a unit or a pipe, a line from time to time.

use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::complain;
use crate::clock::Monotonic;

/// How often a line is printed where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
const EVERY_MS: u64 = 10_000;

fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Shows that something is going on, once it has taken a second, until dropped.
pub(super) struct Spinner {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Spinner {
    fn drop(&mut self) {
        drop(self.stop.take());
        // The thread only draws; if it panicked there is nothing to clear.
        self.thread.take().map(JoinHandle::join);
    }
}

/// A spinner that appears after a second.
pub(super) fn spinner(text: &'static str) -> Spinner {
    let (stop, stopped) = channel::<()>();
    let thread = std::thread::spawn(move || {
        if !goes_on(&stopped, Duration::from_secs(1)) {
            return;
        }
        if !is_terminal() {
            let mut seconds = 1;
            loop {
                complain(&format!("{text}, for {seconds} s\n"));
                if !goes_on(&stopped, EVERY) {
                    return;
                }
                seconds += EVERY.as_secs();
            }
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        bar.set_message(text);
        while goes_on(&stopped, Duration::from_millis(200)) {
            bar.tick();
        }
        bar.finish_and_clear();
    });
    Spinner {
        stop: Some(stop),
        thread: Some(thread),
    }
}

fn goes_on(stopped: &Receiver<()>, wait: Duration) -> bool {
    stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
}

/// How many items of how many are done.
pub(super) struct Bar {
    bar: Option<ProgressBar>,
    text: &'static str,
    done: u64,
    len: u64,
    clock: Monotonic,
    said_ms: u64,
}

impl Bar {
    /// A bar over `len` items.
    pub(super) fn new(len: u64, text: &'static str) -> Self {
        let bar = is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr_with_hz(5));
            if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}") {
                bar.set_style(style);
            }
            bar.set_message(text);
            bar
        });
        Self {
            bar,
            text,
            done: 0,
            len,
            clock: Monotonic::start(),
            said_ms: 0,
        }
    }

    /// So many more are done.
    pub(super) fn inc(&mut self, more: u64) {
        self.done += more;
        let now_ms = self.clock.ms();
        if let Some(bar) = &self.bar {
            bar.inc(more);
        } else if now_ms >= self.said_ms + EVERY_MS {
            self.said_ms = now_ms;
            complain(&format!("{}, {} of {}\n", self.text, self.done, self.len));
        }
    }

    /// All are done.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
