//! A fair queue: round robin between images, first in first out within an image. Pure.
//!
//! An image with thousands of recipients therefore does not delay the change of another image.

use std::collections::{HashMap, VecDeque};

use crate::{clock::MonotonicInstant, domain::ImageId};

#[derive(Debug)]
pub(super) struct QueuedItem<T> {
    /// The latest time at which the item may start.
    pub(super) begin_by: MonotonicInstant,
    /// True if it starts with a read of the image. All such items of an image share one turn and one read.
    pub(super) reads: bool,
    pub(super) item: T,
}

/// The queued items of one image, oldest first.
#[derive(Debug)]
struct ImageQueue<T> {
    items: VecDeque<QueuedItem<T>>,
    /// How many of them start with a read.
    reads: usize,
}

impl<T> ImageQueue<T> {
    /// The turns until all of them have started.
    fn turns(&self) -> usize {
        self.items.len() - self.reads + self.reads.min(1)
    }

    fn take_first(&mut self) -> Option<QueuedItem<T>> {
        let first = self.items.pop_front()?;
        self.reads -= usize::from(first.reads);
        Some(first)
    }

    /// Removes the first item and, if it starts with a read, at most `max_others` items that share the read.
    fn take_turn(&mut self, max_others: usize) -> Option<(T, VecDeque<T>)> {
        let first = self.take_first()?;
        let mut others = VecDeque::new();
        if first.reads && self.reads > 0 && max_others > 0 {
            for item in std::mem::take(&mut self.items) {
                if item.reads && others.len() < max_others {
                    others.push_back(item.item);
                } else {
                    self.items.push_back(item);
                }
            }
            self.reads -= others.len();
        }
        Some((first.item, others))
    }
}

#[derive(Debug)]
pub(super) struct FairQueue<T> {
    images: HashMap<ImageId, ImageQueue<T>>,
    /// The images with queued items, each once, in the order of their turns.
    turns: VecDeque<ImageId>,
    len: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            images: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
        }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn push(&mut self, image: ImageId, item: QueuedItem<T>) {
        let queue = self.images.entry(image.clone()).or_insert_with(|| ImageQueue {
            items: VecDeque::new(),
            reads: 0,
        });
        if queue.items.is_empty() {
            self.turns.push_back(image);
        }
        queue.reads += usize::from(item.reads);
        queue.items.push_back(item);
        self.len += 1;
    }

    /// Removes the oldest item of the next image and, if it starts with a read, at most `max_others` items that share the read.
    pub(super) fn pop(&mut self, max_others: usize) -> Option<(T, VecDeque<T>)> {
        let image = self.turns.pop_front()?;
        self.take_from(image, |queue| queue.take_turn(max_others))
    }

    /// Removes an item that is too late to start. The oldest item of an image is the first to be late.
    pub(super) fn pop_late(&mut self, now: MonotonicInstant) -> Option<T> {
        let is_late = |image: &ImageId| {
            let first = self.images.get(image).and_then(|queue| queue.items.front());
            first.is_some_and(|item| item.begin_by <= now)
        };
        let at = self.turns.iter().position(is_late)?;
        let image = self.turns.remove(at)?;
        self.take_from(image, |queue| queue.take_first().map(|first| first.item))
    }

    /// When the first item will be too late to start.
    pub(super) fn late_at(&self) -> Option<MonotonicInstant> {
        let firsts = self.images.values().filter_map(|queue| queue.items.front());
        firsts.map(|item| item.begin_by).min()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The turns that pass before an item that is added to `image` now has its turn.
    pub(super) fn turns_ahead(&self, image: &ImageId, reads: bool) -> usize {
        let own = match self.images.get(image) {
            None => 0,
            // It shares the turn of the last item that starts with a read, at the latest.
            Some(queue) if reads && queue.reads > 0 => queue.turns() - 1,
            Some(queue) => queue.turns(),
        };
        let others = self.images.iter().filter(|(other, _)| *other != image);
        own + others.map(|(_, queue)| queue.turns().min(own + 1)).sum::<usize>()
    }

    /// Removes items of an image, and puts the image behind the others.
    fn take_from<R>(&mut self, image: ImageId, take: impl FnOnce(&mut ImageQueue<T>) -> Option<R>) -> Option<R> {
        let queue = self.images.get_mut(&image)?;
        let before = queue.items.len();
        let taken = take(queue);
        self.len -= before - queue.items.len();
        if queue.items.is_empty() {
            self.images.remove(&image);
        } else {
            self.turns.push_back(image);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{clock::Clock, domain::Timestamp};

    fn start() -> MonotonicInstant {
        Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap()).monotonic_now()
    }

    fn image(name: &str) -> ImageId {
        format!("wsi-{name}00000000").parse().unwrap()
    }

    fn put(queue: &mut FairQueue<(char, u64)>, name: char, number: u64) {
        let begin_by = start().plus(Duration::from_secs(number));
        let item = (name, number);
        let reads = false;
        queue.push(image(&name.to_string()), QueuedItem { begin_by, reads, item });
    }

    fn put_reader(queue: &mut FairQueue<(char, u64)>, name: char, number: u64) {
        let item = QueuedItem {
            begin_by: start().plus(Duration::from_secs(number)),
            reads: true,
            item: (name, number),
        };
        queue.push(image(&name.to_string()), item);
    }

    fn pop_one(queue: &mut FairQueue<(char, u64)>) -> Option<(char, u64)> {
        let (first, others) = queue.pop(10)?;
        assert!(others.is_empty(), "{others:?}");
        Some(first)
    }

    #[test]
    fn images_take_turns_and_the_oldest_item_of_each_comes_first() {
        let mut queue = FairQueue::default();
        for number in 0..1000 {
            put(&mut queue, 'a', number);
        }
        put(&mut queue, 'b', 0);
        put(&mut queue, 'c', 0);
        put(&mut queue, 'b', 1);
        assert_eq!(queue.turns_ahead(&image("b"), false), 2 + 3 + 1);
        assert_eq!(queue.turns_ahead(&image("d"), false), 3, "one turn of each other image");
        let first: Vec<_> = std::iter::from_fn(|| pop_one(&mut queue)).take(7).collect();
        assert_eq!(
            first,
            [('a', 0), ('b', 0), ('c', 0), ('a', 1), ('b', 1), ('a', 2), ('a', 3)]
        );
        assert_eq!(queue.len(), 996);
    }

    #[test]
    fn items_of_an_image_that_start_with_a_read_share_one_turn() {
        let mut queue = FairQueue::default();
        put(&mut queue, 'a', 0);
        (1..=5).for_each(|number| put_reader(&mut queue, 'a', number));
        put(&mut queue, 'a', 6);
        put_reader(&mut queue, 'b', 7);
        assert_eq!(queue.turns_ahead(&image("a"), false), 3 + 1);
        assert_eq!(queue.turns_ahead(&image("a"), true), 2 + 1);
        assert_eq!(pop_one(&mut queue), Some(('a', 0)));
        assert_eq!(pop_one(&mut queue), Some(('b', 7)));
        assert_eq!(
            queue.pop(3),
            Some((('a', 1), VecDeque::from([('a', 2), ('a', 3), ('a', 4)]))),
            "the first item and at most 3 others"
        );
        assert_eq!(queue.len(), 2);
        assert_eq!(pop_one(&mut queue), Some(('a', 5)));
        assert_eq!((pop_one(&mut queue), queue.len()), (Some(('a', 6)), 0));
    }

    #[test]
    fn an_item_that_is_too_late_is_found_behind_others() {
        let mut queue = FairQueue::default();
        put(&mut queue, 'a', 9);
        put(&mut queue, 'b', 5);
        put(&mut queue, 'b', 7);
        let at = |seconds| start().plus(Duration::from_secs(seconds));
        assert_eq!(queue.late_at(), Some(at(5)));
        assert_eq!(queue.pop_late(at(4)), None);
        assert_eq!(queue.pop_late(at(7)), Some(('b', 5)));
        assert_eq!(queue.pop_late(at(7)), Some(('b', 7)));
        assert_eq!(queue.pop_late(at(7)), None);
        assert_eq!(
            (pop_one(&mut queue), pop_one(&mut queue), queue.len()),
            (Some(('a', 9)), None, 0)
        );
        assert_eq!(queue.late_at(), None);
    }
}
