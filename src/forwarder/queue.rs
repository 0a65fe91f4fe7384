//! A queue that is fair between images: each in turn gives its oldest, so that one image with thousands of recipients does not
//! keep another image's change waiting. Pure.

use std::collections::{HashMap, VecDeque};

use crate::{clock::Elapsed, domain::ImageId};

/// What waits for its turn.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    /// It is too late to begin after this.
    pub(super) begin_by: Elapsed,
    pub(super) item: T,
}

/// The queue.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    images: HashMap<ImageId, VecDeque<Waiting<T>>>,
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
    pub(super) fn push(&mut self, image: ImageId, waiting: Waiting<T>) {
        let line = self.images.entry(image.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(image);
        }
        line.push_back(waiting);
        self.len += 1;
    }

    /// Takes the oldest of the image whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let image = self.turns.pop_front()?;
        self.take_from(image)
    }

    /// Takes something that it is too late to begin. What came first to an image is the first to be late.
    pub(super) fn pop_late(&mut self, now: Elapsed) -> Option<T> {
        let is_late = |image: &ImageId| {
            let first = self.images.get(image).and_then(VecDeque::front);
            first.is_some_and(|waiting| waiting.begin_by <= now)
        };
        let at = self.turns.iter().position(is_late)?;
        let image = self.turns.remove(at)?;
        self.take_from(image)
    }

    /// When something will be late first.
    pub(super) fn late_at(&self) -> Option<Elapsed> {
        let firsts = self.images.values().filter_map(VecDeque::front);
        firsts.map(|waiting| waiting.begin_by).min()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// So many turns are taken before one that is added to this image now.
    pub(super) fn ahead_of(&self, image: &ImageId) -> usize {
        let own = self.images.get(image).map_or(0, VecDeque::len);
        let others = self.images.iter().filter(|(other, _)| *other != image);
        own + others.map(|(_, line)| line.len().min(own + 1)).sum::<usize>()
    }

    /// The image gives its first, and takes its place behind the others.
    fn take_from(&mut self, image: ImageId) -> Option<T> {
        let line = self.images.get_mut(&image)?;
        let first = line.pop_front()?;
        self.len -= 1;
        if line.is_empty() {
            self.images.remove(&image);
        } else {
            self.turns.push_back(image);
        }
        Some(first.item)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{clock::Clock, domain::Timestamp};

    fn start() -> Elapsed {
        Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap()).elapsed()
    }

    fn image(name: &str) -> ImageId {
        format!("wsi-{name}00000000").parse().unwrap()
    }

    fn put(queue: &mut FairQueue<(char, u64)>, name: char, number: u64) {
        let begin_by = start().plus(Duration::from_secs(number));
        let item = (name, number);
        queue.push(image(&name.to_string()), Waiting { begin_by, item });
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
        assert_eq!(queue.ahead_of(&image("b")), 2 + 3 + 1);
        assert_eq!(queue.ahead_of(&image("d")), 3, "one of each of the others");
        let first: Vec<_> = std::iter::from_fn(|| queue.pop()).take(7).collect();
        assert_eq!(
            first,
            [('a', 0), ('b', 0), ('c', 0), ('a', 1), ('b', 1), ('a', 2), ('a', 3)]
        );
        assert_eq!(queue.len(), 996);
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
        assert_eq!((queue.pop(), queue.pop(), queue.len()), (Some(('a', 9)), None, 0));
        assert_eq!(queue.late_at(), None);
    }
}
