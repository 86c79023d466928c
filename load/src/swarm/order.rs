//! Whether the offsets of one subscription come in the order that its settings promise, where that is more than "each above the
//! last": per (topic, key) where a rate releases messages, per partition where a pattern spans several.
//!
//! Pure. What was not released by a rate (history; a rate that only acts behind) is *raw*: it rises over the whole subscription, above
//! everything before it, so from then on nothing need be known of single keys. How many are known at once has a limit, which
//! all subscriptions of a swarm share.
use std::collections::HashMap;

/// What an offset is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// As promised.
    Rises,
    /// It came before.
    Again,
    /// It is less than one before.
    Falls,
}

/// The keys that may be followed yet, over all subscriptions, and the messages that were not for want of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Keys.
    pub keys: usize,
    /// Messages.
    pub unfollowed: u64,
}

/// What is known of one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Everything comes after this.
    floor: i64,
    /// The highest so far.
    newest: i64,
    resume: i64,
    keys: HashMap<u64, i64>,
}

impl Order {
    /// Of a subscription that stands after this offset.
    pub fn after(offset: i64) -> Self {
        Self {
            floor: offset,
            newest: offset,
            resume: i64::MIN,
            keys: HashMap::new(),
        }
    }

    /// A message that no rate has released.
    pub fn raw(&mut self, offset: i64, room: &mut Room) -> Step {
        let step = compare(offset, self.newest);
        if step == Step::Rises {
            self.begin_after(offset, room);
        }
        step
    }

    /// A message of this topic and key, released by a rate.
    pub fn released(&mut self, identity: u64, offset: i64, resume: i64, room: &mut Room) -> Step {
        let within = self.within(identity, offset, room);
        self.newest = self.newest.max(offset);
        if resume < self.resume {
            return Step::Falls;
        }
        self.resume = resume;
        within
    }

    /// A message of this partition.
    pub fn in_part(&mut self, part: u32, offset: i64, room: &mut Room) -> Step {
        self.within(u64::from(part), offset, room)
    }

    /// It reads history from where it may resume: what comes newest of a key may come again.
    pub fn replay(&mut self, room: &mut Room) {
        self.begin_after(self.resume, room);
    }

    /// Gives its keys back.
    pub fn clear(&mut self, room: &mut Room) {
        room.keys += self.keys.len();
        self.keys.clear();
    }

    fn begin_after(&mut self, offset: i64, room: &mut Room) {
        (self.floor, self.newest) = (offset, offset);
        self.clear(room);
    }

    fn within(&mut self, lane: u64, offset: i64, room: &mut Room) -> Step {
        let last = self.keys.get_mut(&lane);
        let step = compare(
            offset,
            last.as_deref()
                .map_or(self.floor, |last| *last.max(&self.floor)),
        );
        match last {
            _ if step != Step::Rises => {}
            Some(last) => *last = offset,
            None if room.keys > 0 => {
                room.keys -= 1;
                self.keys.insert(lane, offset);
            }
            None => room.unfollowed += 1,
        }
        step
    }
}

fn compare(offset: i64, last: i64) -> Step {
    match offset.cmp(&last) {
        std::cmp::Ordering::Greater => Step::Rises,
        std::cmp::Ordering::Equal => Step::Again,
        std::cmp::Ordering::Less => Step::Falls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 1;
    const B: u64 = 2;

    fn room() -> Room {
        Room {
            keys: 10,
            unfollowed: 0,
        }
    }

    #[test]
    fn released_messages_rise_within_their_key_and_not_over_keys() {
        let (mut order, mut room) = (Order::after(4), room());
        let mut released = |key, offset| order.released(key, offset, 0, &mut room);
        assert_eq!(
            [
                released(A, 9),
                released(B, 7),
                released(A, 12),
                released(B, 8)
            ],
            [Step::Rises; 4]
        );
        assert_eq!(
            [released(A, 12), released(B, 7), released(3, 4)],
            [Step::Again, Step::Falls, Step::Again]
        );
    }

    #[test]
    fn the_offset_to_resume_after_never_falls() {
        let (mut order, mut room) = (Order::after(0), room());
        assert_eq!(order.released(A, 9, 5, &mut room), Step::Rises);
        assert_eq!(order.released(B, 7, 5, &mut room), Step::Rises);
        assert_eq!(order.released(A, 11, 4, &mut room), Step::Falls);
    }

    #[test]
    fn raw_messages_rise_above_all_before_them_and_all_after_rise_above_them() {
        let (mut order, mut room) = (Order::after(0), room());
        assert_eq!(order.released(A, 9, 5, &mut room), Step::Rises);
        assert_eq!(order.raw(8, &mut room), Step::Falls);
        assert_eq!(order.raw(10, &mut room), Step::Rises);
        assert_eq!(room.keys, 10, "single keys need not be known any more");
        assert_eq!(order.released(B, 10, 10, &mut room), Step::Again);
        assert_eq!(order.released(B, 11, 11, &mut room), Step::Rises);
    }

    #[test]
    fn in_replay_what_came_newest_may_come_again_from_where_it_resumes() {
        let (mut order, mut room) = (Order::after(0), room());
        order.released(A, 9, 5, &mut room);
        order.replay(&mut room);
        assert_eq!(order.raw(5, &mut room), Step::Again);
        assert_eq!(
            [6, 9, 10].map(|offset| order.raw(offset, &mut room)),
            [Step::Rises; 3]
        );
        assert_eq!(order.raw(9, &mut room), Step::Falls);
    }

    #[test]
    fn partitions_have_orders_of_their_own() {
        let (mut order, mut room) = (Order::after(i64::MIN), room());
        let mut came = |part, offset| order.in_part(part, offset, &mut room);
        assert_eq!([came(0, 100), came(1, 3), came(0, 101)], [Step::Rises; 3]);
        assert_eq!([came(1, 3), came(0, 99)], [Step::Again, Step::Falls]);
    }

    #[test]
    fn keys_beyond_the_room_are_counted_and_not_followed() {
        let (mut order, mut room) = (Order::after(0), room());
        room.keys = 1;
        assert_eq!(order.released(A, 2, 0, &mut room), Step::Rises);
        assert_eq!(order.released(B, 2, 0, &mut room), Step::Rises);
        assert_eq!(
            order.released(B, 1, 0, &mut room),
            Step::Rises,
            "nobody knows"
        );
        assert_eq!((room.keys, room.unfollowed), (0, 2));
        order.clear(&mut room);
        assert_eq!(room.keys, 1);
    }
}
