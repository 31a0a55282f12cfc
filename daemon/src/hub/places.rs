//! Where the events stand that answers to warrants name: known after the commit that wrote them.
//!
//! Of this run only. An older one could be found by walking the journal, which has no index by name; the reply to an
//! order said again much later names its event without its place instead.

use std::collections::VecDeque;
use vakt_core::event::Event;
use vakt_core::event::EventId;
use vakt_core::event::Fact;
use vakt_core::port::Place;
use vakt_core::turn::Committed;

/// Places remembered: one for each warrant the core remembers. The oldest is forgotten.
const PLACES_MAX: usize = 256;

/// The places of what answers may name.
#[derive(Debug, Default)]
pub struct Places {
    known: VecDeque<(EventId, Place)>,
}

impl Places {
    /// A turn's events were written one after the other, up to the head; these of them may be named.
    pub fn note(&mut self, committed: &Committed, named: impl Fn(usize) -> bool) {
        let Committed { ids, head } = committed;
        for (at, id) in ids.iter().enumerate().filter(|(at, _)| named(*at)) {
            let after = u64::try_from(ids.len() - 1 - at).unwrap_or(u64::MAX);
            // not in this epoch: the journal begins anew, and this one's place is not known
            let Some(seq) = head.place.seq.checked_sub(after).filter(|seq| *seq > 0) else { continue };
            if self.known.len() >= PLACES_MAX {
                self.known.pop_front();
            }
            self.known.push_back((*id, Place { seq, ..head.place }));
        }
    }

    /// Where this one stands.
    pub fn of(&self, id: EventId) -> Option<Place> {
        self.known.iter().rev().find(|(known, _)| *known == id).map(|(_, place)| *place)
    }
}

/// Whether an answer to a warrant may name this event.
pub fn answers_name(event: &Event) -> bool {
    matches!(
        event.fact,
        Fact::WarrantAccepted { .. }
            | Fact::WarrantRefused { .. }
            | Fact::CommandSent { .. }
            | Fact::CommandConfirmed { .. }
            | Fact::CommandFailed { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use vakt_core::port::Head;

    #[test]
    fn the_last_event_stands_at_the_head_and_the_others_before_it() {
        let id = |n: u8| EventId([n; 16]);
        let head = |seq| Head { place: Place { epoch: 4, seq }, hash: [0; 32] };
        let mut places = Places::default();
        places.note(&Committed { ids: vec![id(1), id(2), id(3)], head: head(9) }, |at| at != 1);
        assert_eq!(places.of(id(1)), Some(Place { epoch: 4, seq: 7 }));
        assert_eq!(places.of(id(2)), None);
        assert_eq!(places.of(id(3)), Some(Place { epoch: 4, seq: 9 }));
        places.note(&Committed { ids: vec![id(4), id(5)], head: head(1) }, |_| true);
        assert_eq!((places.of(id(4)), places.of(id(5))), (None, Some(Place { epoch: 4, seq: 1 })));
        for n in 0..300 {
            places.note(&Committed { ids: vec![id(6)], head: head(n + 10) }, |_| true);
        }
        assert_eq!((places.known.len(), places.of(id(3))), (PLACES_MAX, None));
    }
}
