//! Since when a client has had no answer, for a program that shows what it waits for.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::deadline::now;

/// Since when the calls of a client that are under way have had no answer. Clones of a client share it.
#[derive(Debug, Clone, Default)]
pub struct Silence(Arc<Mutex<UnansweredCalls>>);

#[derive(Debug, Default)]
struct UnansweredCalls {
    /// The calls, and the messages of streams, that are waited for.
    calls: usize,
    /// The last answer, or the begin of the first call after it. A try without an answer does not end the silence.
    since: Option<Instant>,
}

/// A call that is under way.
#[derive(Debug)]
pub(crate) struct AwaitedAnswer {
    silence: Silence,
    is_answered: bool,
}

impl Silence {
    /// How long calls have waited without an answer to any of them; `None` if no call is under way.
    pub fn lasts(&self) -> Option<Duration> {
        let waiting = self.lock();
        let since = waiting.since.filter(|_| waiting.calls > 0)?;
        Some(now().saturating_duration_since(since))
    }

    /// A call begins. It ends when the value is dropped.
    pub(crate) fn begin(&self) -> AwaitedAnswer {
        let mut waiting = self.lock();
        waiting.calls += 1;
        waiting.since.get_or_insert_with(now);
        AwaitedAnswer {
            silence: self.clone(),
            is_answered: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnansweredCalls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AwaitedAnswer {
    /// The service has answered.
    pub(crate) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for AwaitedAnswer {
    fn drop(&mut self) {
        let mut waiting = self.silence.lock();
        waiting.calls -= 1;
        if self.is_answered {
            waiting.since = (waiting.calls > 0).then(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_lasts_over_tries_without_an_answer_and_ends_with_an_answer() {
        let silence = Silence::default();
        assert_eq!(silence.lasts(), None);
        let (first, other) = (silence.begin(), silence.begin());
        let began = silence.lock().since;
        assert!(began.is_some());
        drop(first);
        let next = silence.begin();
        assert_eq!(silence.lock().since, began, "nothing was answered");
        next.answered();
        assert!(silence.lasts().is_some(), "another call still waits");
        other.answered();
        assert_eq!((silence.lasts(), silence.lock().since), (None, None));
    }
}
