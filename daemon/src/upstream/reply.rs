//! Replies to warrants on their way to the broker: kept until it has taken them, on the path by which the warrant came
//! while that is up, else on the other.
//!
//! Nothing of it is on disk: what became of a warrant is in the journal, and who sends the same warrant again is told it
//! again. It never looks at what a reply says.

use crate::upstream::outbox::ConnId;
use std::collections::VecDeque;

/// Replies held. When it is full the oldest is lost: a newer word about the same order says more.
pub const REPLIES_MAX: usize = 64;
/// Warrants of which it is known by which path they came. The oldest is forgotten: its replies take the first path up.
pub const CAME_MAX: usize = 256;

/// A reply; a number is never used twice.
pub type ReplyId = u64;

#[derive(Debug, Clone)]
struct Waiting {
    id: ReplyId,
    jti: String,
    payload: Vec<u8>,
    /// The connection it has left on, until the broker answers.
    on: Option<ConnId>,
}

/// All that wait.
#[derive(Debug, Clone, Default)]
pub struct Replies {
    waiting: VecDeque<Waiting>,
    came: VecDeque<(String, usize)>,
    last: ReplyId,
}

impl Replies {
    /// A warrant, or what calls itself one, came by this path.
    pub fn came(&mut self, jti: &str, path: usize) {
        self.came.retain(|(known, _)| known != jti);
        if self.came.len() >= CAME_MAX {
            self.came.pop_front();
        }
        self.came.push_back((jti.to_owned(), path));
    }

    /// One more reply. Gives back the jti whose reply is lost for it.
    pub fn add(&mut self, jti: String, payload: Vec<u8>) -> Option<String> {
        let lost = if self.waiting.len() >= REPLIES_MAX { self.waiting.pop_front() } else { None };
        self.last += 1;
        self.waiting.push_back(Waiting { id: self.last, jti, payload, on: None });
        lost.map(|lost| lost.jti)
    }

    /// The next reply to leave on this path: its number, the warrant it is about, and its payload.
    pub fn next(&self, path: usize, up: impl Fn(usize) -> bool) -> Option<(ReplyId, String, Vec<u8>)> {
        let here = |reply: &&Waiting| {
            let home = self.came.iter().find(|(jti, _)| *jti == reply.jti).map(|(_, path)| *path);
            home.is_none_or(|home| home == path || !up(home))
        };
        let next = self.waiting.iter().filter(|reply| reply.on.is_none()).find(here)?;
        Some((next.id, next.jti.clone(), next.payload.clone()))
    }

    /// It has left on this connection.
    pub fn sent(&mut self, id: ReplyId, conn: ConnId) {
        self.waiting.iter_mut().filter(|reply| reply.id == id).for_each(|reply| reply.on = Some(conn));
    }

    /// The broker has it, or will not have it.
    pub fn settled(&mut self, id: ReplyId) {
        self.waiting.retain(|reply| reply.id != id);
    }

    /// A connection is gone. What it carried without the broker's word leaves again on the next.
    pub fn closed(&mut self, conn: ConnId) {
        self.waiting.iter_mut().filter(|reply| reply.on == Some(conn)).for_each(|reply| reply.on = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: fn(usize) -> bool = |_| true;
    const ONLY_1: fn(usize) -> bool = |path| path == 1;

    fn next(replies: &Replies, path: usize, up: fn(usize) -> bool) -> Option<(ReplyId, String)> {
        replies.next(path, up).map(|(id, jti, _)| (id, jti))
    }

    #[test]
    fn a_reply_takes_its_warrants_path_and_the_other_when_that_is_down() {
        let mut replies = Replies::default();
        replies.came("a", 0);
        replies.came("b", 1);
        for jti in ["a", "b", "a", "unknown"] {
            replies.add(jti.to_owned(), jti.into());
        }
        assert_eq!(next(&replies, 1, BOTH), Some((2, "b".into())));
        assert_eq!(next(&replies, 0, BOTH), Some((1, "a".into())));
        replies.sent(1, 70);
        assert_eq!(next(&replies, 0, BOTH), Some((3, "a".into())), "in order on one path");
        assert_eq!(next(&replies, 1, ONLY_1), Some((2, "b".into())));
        replies.settled(2);
        replies.closed(70);
        assert_eq!(next(&replies, 1, ONLY_1), Some((1, "a".into())), "what had no answer leaves again, first");
        replies.settled(1);
        replies.settled(3);
        assert_eq!(next(&replies, 1, BOTH), Some((4, "unknown".into())));
        replies.came("a", 1);
        replies.add("a".into(), vec![]);
        replies.settled(4);
        assert_eq!(next(&replies, 0, BOTH), None, "it came again, by the other path");
    }

    #[test]
    fn the_oldest_reply_is_lost_and_its_jti_is_told() {
        let mut replies = Replies::default();
        for n in 0..REPLIES_MAX {
            assert_eq!(replies.add(n.to_string(), vec![]), None);
        }
        assert_eq!(replies.add("new".into(), vec![]), Some("0".into()));
        for n in 0..2 * CAME_MAX {
            replies.came(&n.to_string(), 1);
        }
        assert_eq!(replies.came.len(), CAME_MAX);
        assert_eq!(next(&replies, 0, BOTH), Some((2, "1".into())), "forgotten: any path will do");
    }
}
