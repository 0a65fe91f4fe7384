//! The memory of answers that are being built, or built and not yet sent: a budget in bytes for the whole server, and a share of
//! it for each principal.
//!
//! Each call has a [`CallMemory`]. A handler reserves bytes in it before it reads a page, so that the rows are counted too.
//! When the answer is encoded, the reservation shrinks to its size. It ends when the connection has written or
//! dropped the last byte. Small answers are counted without a reservation: the maximum number of calls bounds them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::Instruments;

use super::quota::Usage;

/// The unit of reservations in bytes, because a semaphore counts with 32 bits.
const UNIT: usize = 1024;

/// Maximum unsent bytes of an answer with which its next frame is made. Answers up to this size are sent at once,
/// with their trailers.
pub(super) const MAX_AHEAD: usize = 16 * 1024;

/// A semaphore for this number of bytes.
pub(super) fn semaphore(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS)))
}

/// The budget of a server. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    memory: Arc<Semaphore>,
    /// All reserved and unsent bytes, small answers included.
    held: Arc<AtomicUsize>,
    instruments: Instruments,
}

impl Answers {
    /// `max_bytes` is the maximum of all reservations together.
    pub(crate) fn new(max_bytes: usize, instruments: &Instruments) -> Self {
        let held = Arc::<AtomicUsize>::default();
        let observed = Arc::downgrade(&held);
        instruments.observe_unsent_answers(move || Some(observed.upgrade()?.load(Ordering::Relaxed) as u64));
        Self {
            memory: semaphore(max_bytes),
            held,
            instruments: instruments.clone(),
        }
    }

    /// A client took nothing of an answer for too long.
    pub(super) fn count_stalled(&self) {
        self.instruments.answer_stalled();
    }
}

/// The memory that one call holds for its answer, and whether its client takes it.
#[derive(Debug)]
pub(crate) struct CallMemory {
    answers: Answers,
    /// None: a call without a principal. It cannot reserve.
    usage: Option<Arc<Usage>>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    reserved: Option<Reserved>,
    /// The reservation is for a page that is not encoded yet.
    is_being_made: bool,
    /// The page is still being read, so a frame that is encoded meanwhile is an earlier one.
    is_being_read: bool,
    /// Bytes that are encoded and not taken.
    unsent: usize,
    /// Changes whenever the client takes bytes.
    progress: u64,
    /// The task of the stream. It waits until the unsent bytes are taken.
    waiting: Option<Waker>,
}

/// A reservation, first in the share of the principal.
#[derive(Debug)]
struct Reserved([OwnedSemaphorePermit; 2]);

impl Reserved {
    fn bytes(&self) -> usize {
        self.0[0].num_permits() * UNIT
    }

    fn add(&mut self, more: Self) {
        for (permit, more) in self.0.iter_mut().zip(more.0) {
            permit.merge(more);
        }
    }

    fn shrink_to(&mut self, bytes: usize) {
        let kept = bytes.div_ceil(UNIT);
        for permit in &mut self.0 {
            drop(permit.split(permit.num_permits().saturating_sub(kept)));
        }
    }
}

impl Held {
    fn bytes(&self) -> usize {
        self.reserved.as_ref().map_or(0, Reserved::bytes).max(self.unsent)
    }

    fn shrink(&mut self) {
        if let Some(reserved) = self.reserved.as_mut().filter(|_| !self.is_being_made) {
            reserved.shrink_to(self.unsent);
        }
    }
}

impl CallMemory {
    pub(super) fn new(answers: &Answers, usage: Option<Arc<Usage>>) -> Arc<Self> {
        Arc::new(Self {
            answers: answers.clone(),
            usage,
            held: Mutex::default(),
        })
    }

    /// Waits until `bytes` more fit into the share of the principal and into the budget, and reserves them for the next page. A
    /// reservation for a page that is not encoded yet is used again.
    pub(crate) async fn reserve(&self, bytes: usize) {
        let Some(usage) = &self.usage else { return };
        if self.has_reserved(bytes) {
            return;
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        // In this order, a principal over its share holds nothing that others wait for.
        let (Ok(share), Ok(all)) = (
            usage.memory().acquire_many_owned(units).await,
            self.answers.memory.clone().acquire_many_owned(units).await,
        ) else {
            return; // The semaphores are never closed.
        };
        self.change(|held| {
            held.is_being_made = true;
            let more = Reserved([share, all]);
            match &mut held.reserved {
                Some(reserved) => reserved.add(more),
                none => *none = Some(more),
            }
        });
    }

    /// Reserves memory for a page of a stream, and reads it.
    pub(crate) async fn read<T>(&self, bytes: usize, page: impl Future<Output = T>) -> T {
        self.reserve(bytes).await;
        self.change(|held| held.is_being_read = true);
        let page = page.await;
        self.change(|held| held.is_being_read = false);
        page
    }

    fn has_reserved(&self, bytes: usize) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.is_being_made && held.reserved.as_ref().is_some_and(|reserved| reserved.bytes() >= bytes)
    }

    /// A frame of the answer was encoded.
    pub(super) fn encoded(&self, bytes: usize) {
        self.change(|held| {
            held.unsent += bytes;
            held.is_being_made &= held.is_being_read;
            held.shrink();
        });
    }

    /// The client took a part of a frame.
    pub(super) fn moved(&self) {
        self.change(|held| held.progress += 1);
    }

    /// A frame was taken, or dropped with its stream.
    pub(super) fn taken(&self, bytes: usize) {
        self.change(|held| {
            held.unsent -= bytes;
            held.progress += 1;
            held.shrink();
            if held.unsent <= MAX_AHEAD
                && let Some(waiting) = held.waiting.take()
            {
                waiting.wake();
            }
        });
    }

    /// The bytes that are encoded and not taken, and the progress so far. Wakes the task when they are taken.
    pub(super) fn unsent(&self, context: &Context<'_>) -> (usize, u64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.unsent > 0 {
            held.waiting = Some(context.waker().clone());
        }
        (held.unsent, held.progress)
    }

    pub(super) fn answers(&self) -> &Answers {
        &self.answers
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.bytes();
        change(&mut held);
        let after = held.bytes();
        if after > before {
            self.answers.held.fetch_add(after - before, Ordering::Relaxed);
        } else if after < before {
            self.answers.held.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

impl Drop for CallMemory {
    fn drop(&mut self) {
        self.change(|held| *held = Held::default());
    }
}

#[cfg(test)]
mod tests;
