//! The live line of a command that waits for a pending change: what it waits for, on a terminal's standard error. Without a
//! terminal there is no line, and no additional call.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use time::OffsetDateTime;

use super::{audit::time_arg::now, connection::Silence, console::Console, format::utc, text::one_line};
use crate::{
    client::{Error, Telling},
    domain::Timestamp,
    proto::v1::Change,
};

/// How long the service waits before it says that a change is pending. A person sees the first line after this time.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How often the line is drawn again, because its times pass.
const TICK: Duration = Duration::from_millis(250);

/// What a pending change waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct WaitReason {
    /// The error code of the last answer of AWS, if it was an error.
    error_code: Option<String>,
    /// The next attempt.
    next: Option<OffsetDateTime>,
    /// The replica whose call to AWS is out.
    replica: Option<String>,
    /// Since when it is out.
    since: Option<OffsetDateTime>,
    /// The older change of the permission that must end first.
    behind: Option<String>,
}

/// How long a command waits in silence.
const SILENCE: Duration = Duration::from_secs(1);

/// Without an answer for this time, a live line or a bar says so. A call of a grant alone waits for [`TELL_EVERY`].
const NOTED_SILENCE: Duration = Duration::from_secs(3);

/// What live lines and bars say while the service does not answer.
#[derive(Debug, Clone, Default)]
pub(super) struct SilenceNote(Silence);

impl SilenceNote {
    pub(super) fn new(silence: Silence) -> Self {
        Self(silence)
    }

    /// The text after a line or a bar; empty while answers come.
    pub(super) fn text(&self) -> String {
        match self.0.lasts().filter(|lasts| *lasts >= NOTED_SILENCE) {
            Some(lasts) => format!("; no answer of the service for {} s", lasts.as_secs()),
            None => String::new(),
        }
    }
}

/// The line of a command that the service has not answered yet. It appears after [`SILENCE`], and disappears when it is dropped.
pub(super) struct WaitingLine {
    what: String,
    bar: ProgressBar,
}

impl WaitingLine {
    pub(super) fn begin(what: String) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{waiting}") {
            let shown = what.clone();
            let write = move |state: &ProgressState, out: &mut dyn fmt::Write| {
                if state.elapsed() >= SILENCE {
                    let _ = out.write_str(&shown);
                }
            };
            bar.set_style(style.with_key("waiting", write));
        }
        bar.enable_steady_tick(TICK);
        Self { what, bar }
    }

    pub(super) fn text(&self) -> String {
        self.what.clone()
    }

    pub(super) fn end(&self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}

impl Drop for WaitingLine {
    fn drop(&mut self) {
        self.end();
    }
}

/// The line. It disappears when it is dropped.
pub(super) struct LiveLine {
    bar: ProgressBar,
    waiting: Arc<Mutex<Option<WaitReason>>>,
}

impl LiveLine {
    pub(super) fn new(console: &Console<'_>) -> Self {
        let waiting = Arc::<Mutex<Option<WaitReason>>>::default();
        if !console.has_progress() {
            let bar = ProgressBar::hidden();
            return Self { bar, waiting };
        }
        console.end_waiting();
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{waiting}") {
            let first = console.waiting_text();
            let shown = waiting.clone();
            let silence = console.silence();
            let write = move |state: &ProgressState, out: &mut dyn fmt::Write| {
                let waiting = shown.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = match &*waiting {
                    Some(waiting) => write!(out, "{}{}", waiting.text(now()), silence.text()),
                    None if state.elapsed() >= SILENCE => out.write_str(&first),
                    None => Ok(()),
                };
            };
            bar.set_style(style.with_key("waiting", write));
        }
        bar.enable_steady_tick(TICK);
        Self { bar, waiting }
    }

    /// How a grant or a revoke tells what it waits for; `None` without a terminal.
    pub(super) fn telling<'a>(
        &self,
        console: &Console<'_>,
        tell: &'a mut (dyn FnMut(&Error) + Send),
    ) -> Option<Telling<'a>> {
        console.has_progress().then_some(Telling {
            every: TELL_EVERY,
            tell,
        })
    }

    /// Shows what CHANGE_PENDING says.
    pub(super) fn show_pending(&self, error: &Error) {
        self.show(WaitReason::of_error(error));
    }

    /// Shows what a pending change says.
    pub(super) fn show_change(&self, change: &Change) {
        self.show(WaitReason::of_change(change));
    }

    fn show(&self, waiting: WaitReason) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiting);
        self.bar.tick();
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl WaitReason {
    fn of_error(error: &Error) -> Self {
        let known = |name: &str| error.metadata.get(name).map(|text| one_line(text));
        let time = |name| known(name).and_then(|text| Some(Timestamp::parse(&text)?.to_offset_date_time()));
        Self {
            error_code: known("aws_error_code"),
            next: time("next_attempt_time"),
            replica: known("replica_id"),
            since: time("lease_start_time"),
            behind: None,
        }
    }

    fn of_change(change: &Change) -> Self {
        let progress = change.progress.as_ref();
        let text = |text: &String| Some(one_line(text)).filter(|text| !text.is_empty());
        Self {
            error_code: change.attempts.last().and_then(|attempt| text(&attempt.error_code)),
            next: progress.and_then(|progress| utc(progress.next_attempt_time.as_ref()?)),
            replica: progress.and_then(|progress| text(&progress.replica_id)),
            since: progress.and_then(|progress| utc(progress.lease_start_time.as_ref()?)),
            behind: progress.and_then(|progress| text(&progress.behind_change_id)),
        }
    }

    /// One line for a person, such as `ResourceUnavailableException: the image is not available yet; next try in 4 s`.
    fn text(&self, now: OffsetDateTime) -> String {
        let mut parts = Vec::new();
        if let Some(behind) = &self.behind {
            parts.push(format!("an older change must end first ({behind})"));
        }
        match self.error_code.as_deref().map(|code| (code, meaning_of(code))) {
            Some((code, Some(meaning))) => parts.push(format!("{code}: {meaning}")),
            Some((code, None)) => parts.push(format!("the last answer of AWS is {code}")),
            None => {}
        }
        // The times are of the database's clock, which may differ a little from the one here.
        match (&self.replica, self.since, self.next) {
            (Some(_), Some(since), _) => parts.push(format!(
                "a call to AWS is out for {} s",
                (now - since).whole_seconds().max(0)
            )),
            (Some(_), None, _) => parts.push("a call to AWS is out".to_owned()),
            (None, _, Some(next)) => match (next - now).whole_seconds() {
                ..=0 => parts.push("the next try is due".to_owned()),
                seconds => parts.push(format!("next try in {seconds} s")),
            },
            (None, _, None) => {}
        }
        if parts.is_empty() {
            parts.push("the change is in progress".to_owned());
        }
        parts.join("; ")
    }
}

/// What an error code of AWS or of the service says about a change.
fn meaning_of(code: &str) -> Option<&'static str> {
    Some(match code {
        "ResourceUnavailableException" => "the image is not available yet",
        "Timeout" => "AWS did not answer in time",
        "NotSent" => "AWS could not be reached",
        "LeaseExpired" => "the replica that worked on it was lost",
        code if code.contains("Throttl") || code == "TooManyRequestsException" => "AWS throttles",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Code;

    use super::*;
    use crate::{
        client::Error,
        proto::v1::{Attempt, ChangeProgress},
    };

    fn time(text: &str) -> OffsetDateTime {
        Timestamp::parse(text).unwrap().to_offset_date_time()
    }

    fn told(metadata: &[(&str, &str)]) -> String {
        let metadata: HashMap<_, _> = metadata
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let mut error = Error::from(&tonic::Status::new(Code::DeadlineExceeded, "pending"));
        error.metadata = metadata;
        WaitReason::of_error(&error).text(time("2026-01-02T03:04:05Z"))
    }

    #[test]
    fn the_line_says_what_a_change_waits_for() {
        let unavailable = ("aws_error_code", "ResourceUnavailableException");
        let next = ("next_attempt_time", "2026-01-02T03:04:09Z");
        assert_eq!(
            told(&[unavailable, next]),
            "ResourceUnavailableException: the image is not available yet; next try in 4 s"
        );
        assert_eq!(
            told(&[
                ("aws_error_code", "OddException"),
                ("next_attempt_time", "2026-01-02T03:04:05Z")
            ]),
            "the last answer of AWS is OddException; the next try is due"
        );
        let out = [("replica_id", "r"), ("lease_start_time", "2026-01-02T03:03:45Z")];
        assert_eq!(told(&out), "a call to AWS is out for 20 s");
        assert_eq!(told(&[]), "the change is in progress");
    }

    #[test]
    fn a_followed_change_gives_the_same_line() {
        let next = time("2026-01-02T03:04:09Z");
        let change = Change {
            attempts: vec![Attempt {
                error_code: "ResourceUnavailableException".into(),
                ..Attempt::default()
            }],
            progress: Some(ChangeProgress {
                next_attempt_time: Some(pbjson_types::Timestamp {
                    seconds: next.unix_timestamp(),
                    nanos: 0,
                }),
                ..ChangeProgress::default()
            }),
            ..Change::default()
        };
        let text = WaitReason::of_change(&change).text(time("2026-01-02T03:04:05Z"));
        assert_eq!(
            text,
            "ResourceUnavailableException: the image is not available yet; next try in 4 s"
        );
    }
}
