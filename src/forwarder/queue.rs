//! A queue that is fair between images: each in turn gives its oldest, so that one image with thousands of recipients does not
//! keep another image's change waiting. Pure.

use std::collections::{HashMap, VecDeque};

use crate::{clock::MonotonicInstant, domain::ImageId};

/// What waits for its turn.
#[derive(Debug)]
pub(super) struct QueuedItem<T> {
    /// It is too late to begin after this.
    pub(super) begin_by: MonotonicInstant,
    /// It begins with a read of the image. One turn, and one read, is enough for all of an image that do.
    pub(super) reads: bool,
    pub(super) item: T,
}

/// What waits of one image.
#[derive(Debug)]
struct ImageQueue<T> {
    waiting: VecDeque<QueuedItem<T>>,
    /// So many of them begin with a read.
    reads: usize,
}

impl<T> ImageQueue<T> {
    /// So many turns this takes.
    fn turns(&self) -> usize {
        self.waiting.len() - self.reads + self.reads.min(1)
    }

    fn take_first(&mut self) -> Option<QueuedItem<T>> {
        let first = self.waiting.pop_front()?;
        self.reads -= usize::from(first.reads);
        Some(first)
    }

    /// Takes the first, and others that can share its read, at most so many of these.
    fn take_turn(&mut self, most_others: usize) -> Option<(T, VecDeque<T>)> {
        let first = self.take_first()?;
        let mut others = VecDeque::new();
        if first.reads && self.reads > 0 && most_others > 0 {
            for waiting in std::mem::take(&mut self.waiting) {
                if waiting.reads && others.len() < most_others {
                    others.push_back(waiting.item);
                } else {
                    self.waiting.push_back(waiting);
                }
            }
            self.reads -= others.len();
        }
        Some((first.item, others))
    }
}

/// The queue.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    images: HashMap<ImageId, ImageQueue<T>>,
    /// The images that have something waiting, each once.
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
    pub(super) fn push(&mut self, image: ImageId, waiting: QueuedItem<T>) {
        let line = self.images.entry(image.clone()).or_insert_with(|| ImageQueue {
            waiting: VecDeque::new(),
            reads: 0,
        });
        if line.waiting.is_empty() {
            self.turns.push_back(image);
        }
        line.reads += usize::from(waiting.reads);
        line.waiting.push_back(waiting);
        self.len += 1;
    }

    /// Takes the oldest of the image whose turn it is; and if it begins with a read, at most so many others that share it.
    pub(super) fn pop(&mut self, most_others: usize) -> Option<(T, VecDeque<T>)> {
        let image = self.turns.pop_front()?;
        self.take_from(image, |line| line.take_turn(most_others))
    }

    /// Takes something that it is too late to begin. What came first to an image is the first to be late.
    pub(super) fn pop_late(&mut self, now: MonotonicInstant) -> Option<T> {
        let is_late = |image: &ImageId| {
            let first = self.images.get(image).and_then(|line| line.waiting.front());
            first.is_some_and(|waiting| waiting.begin_by <= now)
        };
        let at = self.turns.iter().position(is_late)?;
        let image = self.turns.remove(at)?;
        self.take_from(image, |line| line.take_first().map(|first| first.item))
    }

    /// When something will be late first.
    pub(super) fn late_at(&self) -> Option<MonotonicInstant> {
        let firsts = self.images.values().filter_map(|line| line.waiting.front());
        firsts.map(|waiting| waiting.begin_by).min()
    }

    /// So many wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// So many turns are taken before what is added to this image now has its own.
    pub(super) fn turns_ahead(&self, image: &ImageId, reads: bool) -> usize {
        let own = match self.images.get(image) {
            None => 0,
            // At the latest it goes with the last of those that wait to read.
            Some(line) if reads && line.reads > 0 => line.turns() - 1,
            Some(line) => line.turns(),
        };
        let others = self.images.iter().filter(|(other, _)| *other != image);
        own + others.map(|(_, line)| line.turns().min(own + 1)).sum::<usize>()
    }

    /// The image gives what is taken, and has its next turn after the others.
    fn take_from<R>(&mut self, image: ImageId, take: impl FnOnce(&mut ImageQueue<T>) -> Option<R>) -> Option<R> {
        let line = self.images.get_mut(&image)?;
        let before = line.waiting.len();
        let taken = take(line);
        self.len -= before - line.waiting.len();
        if line.waiting.is_empty() {
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
        let waiting = QueuedItem {
            begin_by: start().plus(Duration::from_secs(number)),
            reads: true,
            item: (name, number),
        };
        queue.push(image(&name.to_string()), waiting);
    }

    fn pop_one(queue: &mut FairQueue<(char, u64)>) -> Option<(char, u64)> {
        let (first, others) = queue.pop(10)?;
        assert!(others.is_empty(), "{others:?}");
        Some(first)
    }

    #[test]
    fn images_take_turns_and_each_gives_its_oldest_first() {
        let mut queue = FairQueue::default();
        for number in 0..1000 {
            put(&mut queue, 'a', number);
        }
        put(&mut queue, 'b', 0);
        put(&mut queue, 'c', 0);
        put(&mut queue, 'b', 1);
        assert_eq!(queue.turns_ahead(&image("b"), false), 2 + 3 + 1);
        assert_eq!(queue.turns_ahead(&image("d"), false), 3, "one of each of the others");
        let first: Vec<_> = std::iter::from_fn(|| pop_one(&mut queue)).take(7).collect();
        assert_eq!(
            first,
            [('a', 0), ('b', 0), ('c', 0), ('a', 1), ('b', 1), ('a', 2), ('a', 3)]
        );
        assert_eq!(queue.len(), 996);
    }

    #[test]
    fn those_of_an_image_that_begin_with_a_read_share_one_turn() {
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
            "at most so many"
        );
        assert_eq!(queue.len(), 2);
        assert_eq!(pop_one(&mut queue), Some(('a', 5)));
        assert_eq!((pop_one(&mut queue), queue.len()), (Some(('a', 6)), 0));
    }

    #[test]
    fn what_is_late_is_found_behind_others() {
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
