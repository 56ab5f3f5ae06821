//! How the program logs: what is said, in which format, and where it goes, which is always stderr.
//!
//! Nothing here or anywhere decides by what a resident said, and nothing says it, at any level and in any format. Every line stands in the
//! spans of what it belongs to, from the outer to the inner: `session` (both ends of one log the same `id`), `log`, `command`, `page`.
//! Whoever looks for one session among a thousand looks for its `id`.
//!
//! Libraries say what they are worried about and no more; Automerge says nothing, because it says it with the words of records, and
//! asks for a span at each call. The journal of systemd is written through stderr, as sd-daemon(3) has it: the level in front of the
//! line, for `journalctl -p`. Rejected: `tracing-journald`, which gives each field a name of its own in the journal and needs
//! a second way out of the program, another crate, and something else to do where its socket is not there.

use std::fmt;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{self, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, spans, words.
    Text,
    /// One JSON object a line, for programs that gather logs.
    Json,
    /// For the journal of systemd, which knows the time.
    Journald,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Json, Self::Journald];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Journald => "journald",
        }
    }
}

/// Begins to log. What was said before is lost, and whoever calls it again changes nothing.
pub fn start(level: Level, format: Format) {
    let level = LevelFilter::from_level(level);
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target("automerge", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    let lines = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
        Format::Journald => lines
            .event_format(Prioritised(
                format::Format::default()
                    .without_time()
                    .with_level(false)
                    .with_target(false),
            ))
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(targets).with(lines);
    drop(subscriber.try_init());
}

/// A line with its priority in front (sd-daemon(3), syslog(3)).
struct Prioritised(format::Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Prioritised
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}
