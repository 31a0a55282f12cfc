//! What to send next, on which connection, and what the centre's receipts settle: a cursor over the journal, with no
//! queue of its own, so a dead network fills the disk and never the heap.
//!
//! The broker's PUBACK settles nothing here: it only frees a slot of the connection's window. An event waits until the
//! centre has signed for it, and a receipt settles only what this hub has sent: a centre that signs for a whole range
//! with a hole in it does not make the hub forget the hole. It never reads a clock and never touches a socket.

use crate::upstream::alarms::Alarms;
use crate::upstream::alarms::Extra;
use crate::upstream::cursor::Lane;
use crate::upstream::cursor::Next;
use crate::upstream::receipt::Claim;
use crate::upstream::receipt::Refused;
use crate::upstream::window::Room;
use std::collections::BTreeMap;
use std::sync::Arc;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Receipt;
use vakt_core::port::Stored;
use vakt_core::port::Unjournaled;
use vakt_core::port::UpstreamNote;
use vakt_core::stamp::Stamp;

/// Connections at once: two paths, and a spare while one is being replaced.
pub const CONNECTIONS_MAX: usize = 4;
/// Epochs remembered. A hub that restarted its journal more often without the centre hearing of it sends the oldest
/// again before it takes a receipt for them.
pub const EPOCHS_MAX: usize = 16;

/// A connection; a number is never used twice.
pub type ConnId = u64;

/// One publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Its topic and urgency.
    pub class: Class,
    /// Where it stands; `None` for an alarm the disk has not taken yet.
    pub place: Option<Place>,
    /// Its name.
    pub id: EventId,
    /// The bytes, as journaled.
    pub wire: Arc<[u8]>,
}

/// What a connection is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Publish this; it counts as sent from now.
    Send(Publish),
    /// Ask the journal first.
    Read(NextEvents),
    /// Nothing to do until something changes.
    Rest,
}

/// What a receipt settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// To be recorded.
    pub receipt: Receipt,
    /// The connections that carried any of it: they reach the centre.
    pub sent_on: Vec<ConnId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Epoch {
    highest_sent: u64,
    receipted_upto: u64,
}

/// The connection that carries.
#[derive(Debug, Clone, Copy)]
struct Carrier {
    conn: ConnId,
    since_ms: u64,
    /// An alarm without a receipt for so long goes over the others too.
    patience_ms: u64,
}

/// The outbox of one hub, over all its connections.
#[derive(Debug, Clone)]
pub struct Outbox {
    head: Place,
    /// The head when the daemon started: an earlier run may have sent anything up to it.
    start: Place,
    lanes: BTreeMap<ConnId, Lane>,
    /// The connection that carries everything; the others carry what is in a hurry.
    carrier: Option<Carrier>,
    /// Per class, how far everything has been sent in this run, on whichever connection.
    sent_to: [Place; 6],
    epochs: BTreeMap<u64, Epoch>,
    alarms: Alarms,
}

impl Outbox {
    /// A hub that has just started, its journal at `head`.
    pub fn new(head: Place, alarm_deadline_ms: u64) -> Self {
        let mut epochs = BTreeMap::new();
        epochs.insert(head.epoch, Epoch::default());
        Self {
            head,
            start: head,
            lanes: BTreeMap::new(),
            carrier: None,
            sent_to: [Place::default(); 6],
            epochs,
            alarms: Alarms::new(alarm_deadline_ms),
        }
    }

    /// The journal has committed up to here.
    pub fn head(&mut self, head: Place) {
        self.head = self.head.max(head);
        self.epoch(self.head.epoch);
    }

    /// A connection is ready for events; `metered`: each byte on it is paid for.
    pub fn opened(&mut self, conn: ConnId, metered: bool) {
        assert!(self.lanes.len() < CONNECTIONS_MAX, "a path has one connection");
        self.lanes.insert(conn, Lane::new(metered));
    }

    /// A connection is gone. What it carried waits for the next.
    pub fn closed(&mut self, conn: ConnId) {
        self.lanes.remove(&conn);
    }

    /// This connection carries everything from now on: whatever has no receipt goes out on it, oldest first. Alarms
    /// without a receipt for `patience_ms` go over the others too.
    pub fn carry(&mut self, conn: Option<ConnId>, patience_ms: u64, now_ms: u64) {
        let since_ms = |conn| self.carrier.filter(|old| old.conn == conn).map_or(now_ms, |old| old.since_ms);
        self.carrier = conn.map(|conn| Carrier { conn, since_ms: since_ms(conn), patience_ms });
    }

    /// An alarm that the disk has not taken yet. Only while `takes_unjournaled`.
    pub fn unjournaled(&mut self, alarm: Unjournaled, now: Stamp) {
        self.alarms.add(alarm, now);
    }

    /// Whether one more can be held.
    pub fn takes_unjournaled(&self) -> bool {
        self.alarms.room()
    }

    /// What this connection is to do next, given the room in its window.
    pub fn step(&mut self, conn: ConnId, room: Room, now: Stamp) -> Step {
        let Self { lanes, alarms, epochs, head, carrier, .. } = self;
        let Some(lane) = lanes.get_mut(&conn) else { return Step::Rest };
        if !room.alarm {
            return Step::Rest;
        }
        let carries = carrier.is_some_and(|carrier| carrier.conn == conn);
        let again = |lane: &Lane, id| match lane.extras.get(&id) {
            Some(at) => carries && lane.extra_again_at_ms(*at) <= now.mono_ms,
            None => true,
        };
        let here = |extra: &&Extra| (carries || extra.every_way) && again(lane, extra.alarm.id);
        if let Some(extra) = alarms.extras.iter().find(here) {
            let Unjournaled { id, class, ref wire, .. } = extra.alarm;
            lane.extras.insert(id, now.mono_ms);
            return Step::Send(Publish { class, place: None, id, wire: Arc::clone(wire) });
        }
        let alarms_to = if carries { *head } else { alarms.every_way_to };
        let others = room.event && carries;
        let next = lane.next(*head, alarms_to, others, now.mono_ms, |place| receipted(epochs, place));
        for (all, lane) in self.sent_to.iter_mut().zip(lane.sent_to()) {
            *all = lane.max(*all);
        }
        match next {
            Next::Row(row) => {
                lane.sent(&row, now.mono_ms);
                let epoch = self.epoch(row.place.epoch);
                epoch.highest_sent = epoch.highest_sent.max(row.place.seq);
                Step::Send(Publish { class: row.class, place: Some(row.place), id: row.id, wire: row.wire })
            }
            Next::Read(question) => Step::Read(question),
            Next::Nothing => Step::Rest,
        }
    }

    /// What is to be read so that alarms are watched while no connection reads them.
    pub fn watch(&self) -> Option<NextEvents> {
        self.alarms.wants(self.head)
    }

    /// The journal's answer to a question asked when its head was `head`.
    pub fn read(&mut self, asked: NextEvents, head: Place, rows: &[Stored], now: Stamp) {
        let in_order = rows.windows(2).all(|pair| pair[0].place < pair[1].place);
        let asked_for = rows.iter().all(|row| row.class == asked.class && row.place > asked.after);
        assert!(in_order && asked_for && rows.len() <= asked.limit, "the journal answers what was asked, in order");
        for row in rows {
            self.epoch(row.place.epoch);
        }
        let epochs = &self.epochs;
        self.alarms.read(asked, head, rows, now, |place| receipted(epochs, place));
        let extras = &self.alarms.extras;
        for lane in self.lanes.values_mut() {
            lane.read(asked, head, rows);
            lane.extras.retain(|id, _| extras.iter().any(|extra| extra.alarm.id == *id));
            for (all, lane) in self.sent_to.iter_mut().zip(lane.sent_to()) {
                *all = lane.max(*all);
            }
        }
    }

    /// The centre's claim, its signature checked: what it settles, to be recorded. `Ok(None)`: nothing new.
    ///
    /// # Errors
    /// It is about events this hub has not sent.
    pub fn receipt(&mut self, mut claim: Claim) -> Result<Option<Settled>, Refused> {
        let epoch = *self.epochs.get(&claim.epoch).ok_or(Refused::ForeignEpoch)?;
        let most = match claim.epoch.cmp(&self.start.epoch) {
            std::cmp::Ordering::Less => u64::MAX, // an earlier run's, sent in full or not: what is sent decides below
            std::cmp::Ordering::Equal => epoch.highest_sent.max(self.start.seq),
            std::cmp::Ordering::Greater => epoch.highest_sent,
        };
        if claim.upto > most || claim.seqs.iter().any(|seq| *seq > most) {
            return Err(Refused::FromTheFuture);
        }
        claim.seqs.sort_unstable();
        let whole = self.whole(claim.epoch);
        let upto = claim.upto.min(whole);
        let mut seqs = Vec::new();
        for (place, _) in self.lanes.values().flat_map(Lane::unreceipted) {
            let claimed = place.seq <= claim.upto || claim.seqs.binary_search(&place.seq).is_ok();
            if place.epoch == claim.epoch && place.seq > upto && claimed {
                seqs.push(place.seq);
            }
        }
        seqs.extend(claim.seqs.iter().filter(|seq| **seq > upto && **seq <= whole));
        seqs.retain(|seq| *seq > epoch.receipted_upto); // settled long ago
        seqs.sort_unstable();
        seqs.dedup();
        let ids: Vec<EventId> = claim.ids.iter().copied().filter(|id| self.has_sent(*id)).collect();

        let here = claim.epoch;
        let covered = |place: Place, id: EventId| {
            let by_place = place.epoch == here && (place.seq <= upto || seqs.binary_search(&place.seq).is_ok());
            by_place || ids.contains(&id)
        };
        let mut sent_on = Vec::new();
        for (conn, lane) in &mut self.lanes {
            let extras = lane.extras.len();
            lane.extras.retain(|id, _| !ids.contains(id));
            if lane.receipted(covered) || lane.extras.len() < extras {
                sent_on.push(*conn);
            }
        }
        self.alarms.receipted(covered, &ids);
        let known = self.epoch(here);
        let news = upto > known.receipted_upto || !seqs.is_empty() || !ids.is_empty();
        known.receipted_upto = known.receipted_upto.max(upto);
        let receipt = Receipt { epoch: here, upto, seqs, ids, jws: claim.jws };
        Ok(news.then_some(Settled { receipt, sent_on }))
    }

    /// Everything without a receipt goes out again: the centre is back.
    pub fn rewind(&mut self, conn: ConnId) {
        if let Some(lane) = self.lanes.get_mut(&conn) {
            lane.rewind();
        }
    }

    /// Time has passed: alarms whose deadline it was, each once; and what waited too long for its receipt is sent
    /// again.
    pub fn tick(&mut self, now: Stamp) -> Vec<UpstreamNote> {
        if let Some(Carrier { conn, since_ms, patience_ms }) = self.carrier {
            // What also left elsewhere left there once: each byte on LTE is paid for.
            self.lanes.get_mut(&conn).into_iter().for_each(|lane| lane.rewind_if_due(now.mono_ms));
            self.alarms.hedge(since_ms, patience_ms, now.mono_ms);
        }
        self.alarms.overdue(now)
    }

    /// When `tick` is next needed, in monotonic milliseconds.
    pub fn due_ms(&mut self) -> Option<u64> {
        let hedge = |carrier: Carrier| self.alarms.hedge_due_ms(carrier.since_ms, carrier.patience_ms);
        let hedge = self.carrier.filter(|_| self.lanes.len() > 1).and_then(hedge);
        let lane = self.carrier.and_then(|carrier| self.lanes.get_mut(&carrier.conn));
        let resend = lane.and_then(|lane| {
            let extra = lane.extras.values().map(|at| lane.extra_again_at_ms(*at)).min();
            lane.resend_at_ms().into_iter().chain(extra).min()
        });
        [self.alarms.due_ms(), hedge, resend].into_iter().flatten().min()
    }

    /// Whether an alarm waits for the centre: dial now.
    pub fn alarm_waits(&self) -> bool {
        self.alarms.waiting()
    }

    /// Events sent on a connection and not receipted.
    pub fn unreceipted(&self, conn: ConnId) -> usize {
        self.lanes.get(&conn).map_or(0, |lane| lane.unreceipted().len())
    }

    /// Up to which seq of an epoch every event of every class has been sent in this run, or needs no sending.
    fn whole(&self, epoch: u64) -> u64 {
        let least = self.sent_to.iter().copied().min().unwrap_or_default();
        match least.epoch.cmp(&epoch) {
            std::cmp::Ordering::Greater => u64::MAX,
            std::cmp::Ordering::Equal => least.seq,
            std::cmp::Ordering::Less => 0,
        }
    }

    fn has_sent(&self, id: EventId) -> bool {
        self.lanes
            .values()
            .any(|lane| lane.extras.contains_key(&id) || lane.unreceipted().values().any(|sent| sent.id == id))
    }

    fn epoch(&mut self, epoch: u64) -> &mut Epoch {
        if self.epochs.len() >= EPOCHS_MAX && !self.epochs.contains_key(&epoch) {
            self.epochs.pop_first();
        }
        self.epochs.entry(epoch).or_default()
    }
}

fn receipted(epochs: &BTreeMap<u64, Epoch>, place: Place) -> bool {
    epochs.get(&place.epoch).is_some_and(|epoch| place.seq <= epoch.receipted_upto)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::cursor::SEND_AHEAD;
    use crate::upstream::window::EVENTS_MAX;
    use crate::upstream::window::Kind;
    use crate::upstream::window::Window;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const EPOCH: u64 = 0x5a5a_1234_5678;
    const DEADLINE_MS: u64 = 30_000;

    fn at(mono_ms: u64) -> Stamp {
        Stamp { boot: 1, mono_ms, wall_ms: 0, trusted: false }
    }

    fn row(seq: u64, class: Class, mono_ms: u64) -> Stored {
        let mut entropy = [0; 10];
        entropy[2..].copy_from_slice(&seq.to_be_bytes());
        Stored {
            place: Place { epoch: EPOCH, seq },
            id: EventId::mint(1, entropy),
            class,
            every_way: false,
            stamp: at(mono_ms),
            wire: Arc::from(format!("{seq}").as_bytes()),
        }
    }

    /// A hub's journal, one connection at a time, a broker and a centre, all of them honest but for what is lost.
    struct Site {
        outbox: Outbox,
        rows: Vec<Stored>,
        receipted: BTreeSet<u64>,
        now_ms: u64,
        conn: Option<(ConnId, Window<u64>)>,
        conns: u64,
        /// Per connection and class: what was sent on it, first arrivals.
        firsts: BTreeMap<(ConnId, Class), BTreeSet<u64>>,
        /// Alarms that were committed when something last left on this connection.
        alarms_at_last_send: usize,
        sent_since_rewind: BTreeSet<u64>,
        held: BTreeSet<u64>,
        wire: Vec<u64>,
        question: Option<(NextEvents, Place)>,
    }

    impl Site {
        fn new() -> Self {
            Self {
                outbox: Outbox::new(Place { epoch: EPOCH, seq: 0 }, DEADLINE_MS),
                rows: vec![],
                receipted: BTreeSet::new(),
                now_ms: 0,
                conn: None,
                conns: 0,
                firsts: BTreeMap::new(),
                alarms_at_last_send: 0,
                sent_since_rewind: BTreeSet::new(),
                held: BTreeSet::new(),
                wire: vec![],
                question: None,
            }
        }

        fn commit(&mut self, class: Class) {
            let seq = self.rows.len() as u64 + 1;
            self.rows.push(row(seq, class, self.now_ms));
            self.outbox.head(Place { epoch: EPOCH, seq });
        }

        fn open(&mut self) {
            if self.conn.is_none() {
                self.conns += 1;
                self.outbox.opened(self.conns, false);
                self.outbox.carry(Some(self.conns), DEADLINE_MS, self.now_ms);
                self.conn = Some((self.conns, Window::new(20)));
                self.sent_since_rewind.clear();
                self.alarms_at_last_send = 0;
            }
        }

        fn close(&mut self, arrived: usize) {
            if let Some((conn, _)) = self.conn.take() {
                self.outbox.closed(conn);
                self.arrive(arrived);
                self.wire.clear();
            }
        }

        fn arrive(&mut self, most: usize) {
            for seq in self.wire.drain(..most.min(self.wire.len())) {
                self.held.insert(seq);
            }
        }

        fn answer(&mut self) {
            if let Some((asked, head)) = self.question.take() {
                let rows: Vec<Stored> = self
                    .rows
                    .iter()
                    .filter(|row| row.class == asked.class && row.place > asked.after)
                    .filter(|row| !self.receipted.contains(&row.place.seq))
                    .take(asked.limit)
                    .cloned()
                    .collect();
                self.outbox.read(asked, head, &rows, at(self.now_ms));
            }
        }

        fn steps(&mut self, most: usize, answer: bool) {
            for _ in 0..most {
                let Some((conn, window)) = &mut self.conn else { return };
                let conn = *conn;
                match self.outbox.step(conn, window.room(), at(self.now_ms)) {
                    Step::Send(publish) => {
                        let seq = publish.place.expect("this site journals everything").seq;
                        let kind = if publish.class == Class::Alarm { Kind::Alarm } else { Kind::Event };
                        window.take(kind, seq, self.now_ms);
                        assert!(window.open() <= EVENTS_MAX, "in flight");
                        self.sent(conn, seq, publish.class);
                    }
                    Step::Read(asked) => {
                        let head = Place { epoch: EPOCH, seq: self.rows.len() as u64 };
                        self.question = Some((asked, head));
                        if !answer {
                            return; // it is answered later, perhaps too late
                        }
                        self.answer();
                    }
                    Step::Rest => return,
                }
                assert!(self.outbox.unreceipted(conn) <= 6 * SEND_AHEAD, "bounded");
            }
        }

        fn sent(&mut self, conn: ConnId, seq: u64, class: Class) {
            let waiting = |row: &&Stored| !self.receipted.contains(&row.place.seq);
            if class != Class::Alarm {
                let alarms = self.rows[..self.alarms_at_last_send].iter().filter(|row| row.class == Class::Alarm);
                let (sent, unsent): (Vec<_>, Vec<_>) =
                    alarms.filter(waiting).partition(|row| self.sent_since_rewind.contains(&row.place.seq));
                let overtaken = unsent.first().filter(|_| sent.len() < SEND_AHEAD);
                assert!(overtaken.is_none(), "{seq} overtook the alarm {overtaken:?}");
            }
            let firsts = self.firsts.entry((conn, class)).or_default();
            if firsts.insert(seq) {
                let earlier = self.rows[..seq as usize - 1].iter().filter(waiting).filter(|row| row.class == class);
                for row in earlier {
                    assert!(firsts.contains(&row.place.seq), "{seq} before {} on connection {conn}", row.place.seq);
                }
            }
            self.sent_since_rewind.insert(seq);
            self.alarms_at_last_send = self.rows.len();
            self.wire.push(seq);
        }

        fn claim(&mut self, upto: u64, seqs: Vec<u64>) -> Result<Option<Receipt>, Refused> {
            let claim = Claim { epoch: EPOCH, upto, seqs, ids: vec![], jws: String::new() };
            let got = self.outbox.receipt(claim).map(|settled| settled.map(|settled| settled.receipt));
            if let Ok(Some(receipt)) = &got {
                for row in &self.rows {
                    if row.place.seq <= receipt.upto || receipt.seqs.contains(&row.place.seq) {
                        self.receipted.insert(row.place.seq);
                    }
                }
            }
            got
        }

        fn honest_receipt(&mut self) {
            let upto = (1..).take_while(|seq| self.held.contains(seq)).last().unwrap_or(0);
            let seqs: Vec<u64> = self.held.range(upto + 1..).copied().take(20).collect();
            self.claim(upto, seqs).expect("an honest receipt is taken");
            assert!(self.receipted.is_subset(&self.held), "nothing is settled that the centre does not hold");
        }

        fn tick(&mut self, ms: u64) {
            self.now_ms += ms;
            let before = self.alarms_out();
            self.outbox.tick(at(self.now_ms));
            if before > 0 && self.alarms_out() == 0 {
                self.sent_since_rewind.clear();
                self.alarms_at_last_send = 0;
            }
        }

        /// Alarms sent on this connection and not receipted.
        fn alarms_out(&self) -> usize {
            let Some((conn, _)) = &self.conn else { return 0 };
            let out = self.outbox.lanes[conn].unreceipted().keys();
            out.filter(|place| self.rows[place.seq as usize - 1].class == Class::Alarm).count()
        }

        fn broker_answers(&mut self, nth: usize) {
            if let Some((_, window)) = &mut self.conn
                && window.open() > 0
            {
                let ids: Vec<u16> = (1..=20).collect();
                let mut at = nth % 20;
                while window.answered(ids[at], self.now_ms).is_none() {
                    at = (at + 1) % 20;
                }
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Happening {
        Commit(usize, usize),
        Open,
        Close(usize),
        Steps(usize, bool),
        Answer,
        BrokerAnswers(usize),
        Arrive(usize),
        CentreLoses(usize),
        Receipt,
        FutureReceipt(u64, bool),
        LyingReceipt,
        Time(u64),
    }

    fn happening() -> impl Strategy<Value = Happening> {
        use Happening::*;
        prop_oneof![
            4 => (0..6usize, 1..40usize).prop_map(|(class, n)| Commit(class, n)),
            2 => Just(Open),
            1 => (0..20usize).prop_map(Close),
            6 => (1..60usize, any::<bool>()).prop_map(|(n, answer)| Steps(n, answer)),
            2 => Just(Answer),
            6 => (0..20usize).prop_map(BrokerAnswers),
            3 => (1..30usize).prop_map(Arrive),
            1 => (0..500usize).prop_map(CentreLoses),
            3 => Just(Receipt),
            1 => (1..1_000_000u64, any::<bool>()).prop_map(|(n, seqs)| FutureReceipt(n, seqs)),
            1 => Just(LyingReceipt),
            2 => (1..8_000u64).prop_map(Time),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn whatever_is_lost_on_the_way_nothing_is_forgotten(story in prop::collection::vec(happening(), 1..120)) {
            let mut site = Site::new();
            for happening in story {
                match happening {
                    Happening::Commit(class, n) => (0..n).for_each(|_| site.commit(Class::ALL[class])),
                    Happening::Open => site.open(),
                    Happening::Close(arrived) => site.close(arrived),
                    Happening::Steps(n, answer) => site.steps(n, answer),
                    Happening::Answer => site.answer(),
                    Happening::BrokerAnswers(nth) => site.broker_answers(nth),
                    Happening::Arrive(n) => site.arrive(n),
                    // the centre lost what it has not signed for yet
                    Happening::CentreLoses(nth) => {
                        let lost = site.held.difference(&site.receipted).nth(nth % 40).copied();
                        lost.map(|seq| site.held.remove(&seq));
                    }
                    Happening::Receipt => site.honest_receipt(),
                    Happening::FutureReceipt(n, in_seqs) => {
                        let seq = site.rows.len() as u64 + n;
                        let got = if in_seqs { site.claim(0, vec![seq]) } else { site.claim(seq, vec![]) };
                        prop_assert_eq!(got, Err(Refused::FromTheFuture));
                    }
                    // the centre signs for a range whose lower classes it has never been sent
                    Happening::LyingReceipt => {
                        let sent: BTreeSet<u64> = site.firsts.values().flatten().copied().collect();
                        if let Some(highest) = sent.last() {
                            let before = site.receipted.clone();
                            site.claim(*highest, vec![]).expect("it was sent");
                            prop_assert!(site.receipted.difference(&before).all(|seq| sent.contains(seq)));
                            site.held.extend(site.receipted.iter().copied());
                        }
                    }
                    Happening::Time(ms) => site.tick(ms),
                }
            }
            // then everything works, and what was committed arrives
            site.answer();
            site.open();
            for _ in 0..2_000 {
                second(&mut site, false);
                if site.receipted.len() == site.rows.len() {
                    break;
                }
            }
            prop_assert_eq!(site.receipted.len(), site.rows.len(), "every event has its receipt in the end");
        }
    }

    /// A second of a slow path: what fits the window once goes, the broker answers, the centre signs.
    fn second(site: &mut Site, whole_ranges_only: bool) {
        site.steps(100, true);
        while site.conn.as_ref().is_some_and(|(_, window)| window.open() > 0) {
            site.broker_answers(0);
        }
        site.arrive(usize::MAX);
        if whole_ranges_only {
            let upto = (1..).take_while(|seq| site.held.contains(seq)).last().unwrap_or(0);
            site.claim(upto, vec![]).expect("it was sent");
        } else {
            site.honest_receipt();
        }
        site.tick(1_000);
    }

    #[test]
    fn on_a_slow_path_the_event_the_centre_waits_for_gets_its_turn() {
        let mut site = Site::new();
        site.commit(Class::Audit);
        for class in 1..5 {
            (0..250).for_each(|_| site.commit(Class::ALL[class]));
        }
        site.open();
        let mut seconds = 0;
        while site.receipted.len() < site.rows.len() {
            second(&mut site, true);
            seconds += 1;
            assert!(seconds < 300, "{} of {} in {seconds} s", site.receipted.len(), site.rows.len());
        }
    }

    #[test]
    fn classes_that_overtook_each_other_are_all_signed_for_in_the_end() {
        let mut site = Site::new();
        let of_classes = [(4, 11), (5, 31), (3, 21), (4, 20), (0, 37), (1, 73), (0, 34), (1, 82)];
        for (class, n) in of_classes {
            (0..n).for_each(|_| site.commit(Class::ALL[class]));
        }
        site.open();
        (0..300).for_each(|_| second(&mut site, false));
        assert_eq!(site.receipted.len(), site.rows.len());
    }

    #[test]
    fn alarms_go_first_and_still_go_when_the_centre_signs_for_nothing() {
        let mut site = Site::new();
        (0..1_000).for_each(|_| site.commit(Class::Audit));
        site.open();
        for _ in 0..200 {
            site.steps(100, true);
            (0..12).for_each(|_| site.broker_answers(0));
        }
        assert_eq!(site.wire.len(), SEND_AHEAD);
        site.commit(Class::Alarm);
        site.steps(100, true);
        assert_eq!(site.wire.last(), Some(&1_001), "another class's silence does not hold it");
        site.close(0);
        site.open();
        site.steps(100, true);
        assert_eq!(site.wire.first(), Some(&1_001), "and first on the next connection");
    }

    #[test]
    fn a_centre_that_signs_only_for_whole_ranges_gets_the_lowest_event_whatever_its_class() {
        let mut site = Site::new();
        site.commit(Class::Audit);
        (0..2_000).for_each(|_| site.commit(Class::Alarm));
        site.open();
        for _ in 0..1_000 {
            site.steps(100, true);
            (0..12).for_each(|_| site.broker_answers(0));
            site.arrive(usize::MAX);
            let upto = (1..).take_while(|seq| site.held.contains(seq)).last().unwrap_or(0);
            site.claim(upto, vec![]).expect("an honest receipt is taken");
        }
        assert_eq!(site.receipted.len(), 2_001);
    }

    #[test]
    fn with_every_slot_but_the_alarms_taken_a_new_alarm_is_still_read_and_sent() {
        let mut site = Site::new();
        (0..50).for_each(|_| site.commit(Class::State));
        site.open();
        site.steps(100, true);
        assert_eq!(site.wire.len(), 10);
        site.commit(Class::Alarm);
        site.steps(100, true);
        assert_eq!(site.wire.last(), Some(&51));
    }

    #[test]
    fn silence_of_the_centre_sends_again_after_five_seconds_then_ten_up_to_sixty() {
        let mut site = Site::new();
        site.commit(Class::State);
        site.open();
        let mut at = vec![];
        for _ in 0..200 {
            site.steps(10, true);
            site.broker_answers(0);
            if !site.wire.is_empty() {
                at.push(site.now_ms);
                site.wire.clear();
            }
            site.tick(1_000);
        }
        assert_eq!(at, [0, 5_000, 15_000, 35_000, 75_000, 135_000, 195_000]);
        site.held.insert(1);
        site.honest_receipt();
        assert_eq!(site.outbox.due_ms(), None, "then there is nothing to wait for");
    }

    #[test]
    fn receipts_are_refused_for_what_was_never_ours_or_never_sent() {
        let mut site = Site::new();
        site.commit(Class::State);
        site.commit(Class::Alarm);
        assert_eq!(site.claim(1, vec![]), Err(Refused::FromTheFuture), "nothing was sent yet");
        let foreign = Claim { epoch: EPOCH + 1, upto: 0, seqs: vec![], ids: vec![], jws: String::new() };
        assert_eq!(site.outbox.receipt(foreign), Err(Refused::ForeignEpoch));
        site.open();
        site.steps(2, true); // the question, and the alarm
        assert_eq!(site.wire, [2]);
        let receipt = site.claim(2, vec![]).unwrap().unwrap();
        assert_eq!((receipt.upto, receipt.seqs), (0, vec![2]), "seq 1 was never sent, so nobody can hold it");
        site.steps(20, true);
        assert_eq!(site.wire, [2, 1]);
        let receipt = site.claim(2, vec![]).unwrap().unwrap();
        assert_eq!(receipt.upto, 2);
        assert_eq!(site.claim(2, vec![]), Ok(None), "the same again is no news");
    }

    /// Everything that leaves on a connection at this moment.
    fn leave(site: &mut Site, conn: ConnId, now_ms: u64) -> Vec<u64> {
        let room = Room { alarm: true, event: true, control: true, reply: true };
        let mut sent = vec![];
        site.now_ms = now_ms;
        loop {
            match site.outbox.step(conn, room, at(now_ms)) {
                Step::Send(publish) => sent.push(publish.place.unwrap().seq),
                Step::Read(asked) => {
                    site.question = Some((asked, Place { epoch: EPOCH, seq: site.rows.len() as u64 }));
                    site.answer();
                }
                Step::Rest => return sent,
            }
        }
    }

    const NONE: [u64; 0] = [];

    fn two_paths() -> Site {
        let mut site = Site::new();
        (0..3).for_each(|_| site.commit(Class::State));
        (0..2).for_each(|_| site.commit(Class::Alarm));
        [1, 2].into_iter().for_each(|conn| site.outbox.opened(conn, false));
        site.outbox.carry(Some(1), 900, 0);
        site
    }

    #[test]
    fn one_path_carries_and_an_alarm_without_a_receipt_takes_the_other_after_its_patience() {
        let mut site = two_paths();
        assert_eq!(leave(&mut site, 2, 0), NONE, "the other waits");
        assert_eq!(leave(&mut site, 1, 0), [4, 5, 1, 2, 3]);
        assert_eq!(site.outbox.due_ms(), Some(900));
        site.outbox.tick(at(899));
        assert_eq!(leave(&mut site, 2, 899), NONE);
        site.outbox.tick(at(900));
        assert_eq!(leave(&mut site, 2, 900), [4, 5], "alarms only, and none before an earlier one");
        assert_eq!(site.claim(5, vec![]).unwrap().unwrap().upto, 5);
        assert_eq!((site.outbox.unreceipted(1), site.outbox.unreceipted(2), site.outbox.due_ms()), (0, 0, None));
        assert_eq!(site.claim(4, vec![5]), Ok(None), "an old receipt played again is no news");
    }

    #[test]
    fn a_path_that_takes_over_sends_all_that_has_no_receipt() {
        let mut site = two_paths();
        assert_eq!(leave(&mut site, 1, 0), [4, 5, 1, 2, 3]);
        site.claim(0, vec![4, 1]).unwrap();
        site.outbox.carry(Some(2), 900, 500);
        assert_eq!(leave(&mut site, 2, 500), [5, 2, 3]);
        site.commit(Class::Alarm);
        assert_eq!(leave(&mut site, 1, 600), NONE, "the one that is suspect no longer carries");
        assert_eq!(leave(&mut site, 2, 600), [6]);
        site.outbox.tick(at(1_400));
        assert_eq!(leave(&mut site, 1, 1_400), NONE, "5 left there before; 6 has not waited so long since it was seen");
        site.outbox.tick(at(1_900));
        assert_eq!(leave(&mut site, 1, 1_900), [6]);
        site.outbox.closed(1);
        site.outbox.carry(None, 0, 2_000);
        assert_eq!(leave(&mut site, 2, 2_000), NONE);
    }

    #[test]
    fn r71_a_call_for_help_leaves_on_every_path_at_once_and_what_came_before_it_too() {
        let mut site = two_paths();
        site.commit(Class::Alarm);
        site.rows[5].every_way = true;
        site.commit(Class::Alarm);
        assert_eq!(leave(&mut site, 1, 0), [4, 5, 6, 7, 1, 2, 3]);
        assert_eq!(leave(&mut site, 2, 0), [4, 5, 6], "none before an earlier one of its class");
        let help = row(9, Class::Alarm, 0);
        let help = Unjournaled { id: help.id, class: Class::Alarm, every_way: true, wire: help.wire };
        site.outbox.unjournaled(help.clone(), at(0));
        let room = Room { alarm: true, event: true, control: true, reply: true };
        for conn in [1, 2] {
            let Step::Send(publish) = site.outbox.step(conn, room, at(0)) else { panic!("it goes on {conn}") };
            assert_eq!(publish.id, help.id);
        }
    }

    #[test]
    fn after_a_restart_an_old_receipt_is_neither_a_fault_nor_taken_for_more_than_is_sent() {
        let mut outbox = Outbox::new(Place { epoch: EPOCH, seq: 20 }, DEADLINE_MS);
        let claim = |upto| Claim { epoch: EPOCH, upto, seqs: vec![], ids: vec![], jws: String::new() };
        assert_eq!(outbox.receipt(claim(20)), Ok(None));
        assert_eq!(outbox.receipt(claim(21)), Err(Refused::FromTheFuture));
    }

    #[test]
    fn a_missed_deadline_is_told_once_whether_or_not_there_is_a_connection() {
        let mut site = Site::new();
        site.now_ms = 1_000;
        site.commit(Class::Alarm);
        site.commit(Class::State);
        assert!(!site.outbox.alarm_waits());
        let asked = site.outbox.watch().expect("alarms are watched without a connection");
        site.question = Some((asked, Place { epoch: EPOCH, seq: 2 }));
        site.answer();
        assert_eq!(site.outbox.watch(), None);
        assert!(site.outbox.alarm_waits());
        assert_eq!(site.outbox.due_ms(), Some(1_000 + DEADLINE_MS));
        assert_eq!(site.outbox.tick(at(30_999)), vec![]);
        let id = site.rows[0].id;
        let place = site.rows[0].place;
        assert_eq!(site.outbox.tick(at(31_005)), vec![UpstreamNote::Overdue { event: id, place, after_ms: 30_005 }]);
        assert_eq!(site.outbox.tick(at(99_000)), vec![]);
        assert!(site.outbox.alarm_waits(), "it still waits");
        site.open();
        site.steps(20, true);
        site.arrive(9);
        site.honest_receipt();
        assert!(!site.outbox.alarm_waits());
    }

    #[test]
    fn an_alarm_the_disk_has_not_taken_goes_first_and_again_until_signed_for_or_journaled() {
        let mut site = Site::new();
        site.commit(Class::Alarm);
        let twin = row(2, Class::Alarm, 0);
        let alarm =
            Unjournaled { id: twin.id, class: Class::Alarm, every_way: false, wire: Arc::from(&b"unjournaled"[..]) };
        site.outbox.opened(1, false);
        site.outbox.carry(Some(1), 900, 0);
        site.outbox.unjournaled(alarm.clone(), at(0));
        site.outbox.unjournaled(alarm.clone(), at(0));
        let room = Room { alarm: true, event: true, control: true, reply: true };
        let first = site.outbox.step(1, room, at(0));
        let publish = Publish { class: Class::Alarm, place: None, id: twin.id, wire: alarm.wire.clone() };
        assert_eq!(first, Step::Send(publish.clone()));
        assert!(matches!(site.outbox.step(1, room, at(0)), Step::Read(_)), "once is enough for now");
        assert_eq!(site.outbox.due_ms(), Some(5_000));
        assert_eq!(site.outbox.step(1, room, at(5_000)), Step::Send(publish));
        let mut signed = site.outbox.clone();
        let claim = Claim { epoch: EPOCH, upto: 0, seqs: vec![], ids: vec![twin.id], jws: String::new() };
        let receipt = signed.receipt(claim).unwrap().unwrap().receipt;
        assert_eq!(receipt.ids, [twin.id]);
        assert!(matches!(signed.step(1, room, at(60_000)), Step::Read(_)) && signed.due_ms().is_none());
        // instead of a receipt, the disk comes back: the journaled event takes over
        site.commit(Class::Alarm);
        let asked = NextEvents { class: Class::Alarm, after: Place::default(), limit: 16 };
        site.outbox.read(asked, Place { epoch: EPOCH, seq: 2 }, &site.rows.clone(), at(6_000));
        for seq in [1, 2] {
            let Step::Send(publish) = site.outbox.step(1, room, at(60_000)) else { panic!("{seq} is next") };
            assert_eq!(publish.place.map(|place| place.seq), Some(seq));
        }
        (0..UNJOURNALED).for_each(|n| {
            site.outbox.unjournaled(Unjournaled { id: EventId::mint(9, [n; 10]), ..alarm.clone() }, at(0))
        });
        assert!(!site.outbox.takes_unjournaled(), "bounded");
    }

    const UNJOURNALED: u8 = crate::upstream::alarms::UNJOURNALED_MAX as u8;
}
