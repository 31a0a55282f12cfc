//! One door lock, whatever wire it hangs on: orders, how it stands, its settings, and who may open it. Pure: what the
//! lock says and the time go in, what to ask it and words for the hub come out.
//!
//! It never takes the lock's "done" for the bolt's place, never unlocks twice for one order (`lock_order` says why), never
//! tells a bolt that nobody could read as locked, and tells nobody's own turning for the hub's or the other way round:
//! what the hub did itself is no person's deed.
//!
//! One thing is asked at a time, because a sleeping lock fetches one message at a time. An order comes before everything;
//! then how it stands, keys that must go, its settings, and last who else may open it.

use crate::zigbee::lock_chores::Chore;
use crate::zigbee::lock_chores::Chores;
use crate::zigbee::lock_chores::Patience;
use crate::zigbee::lock_order::ANSWER_MS;
use crate::zigbee::lock_order::End;
use crate::zigbee::lock_order::Order;
use crate::zigbee::lock_table::Table;
use crate::zigbee::lock_words::Alarm;
use crate::zigbee::lock_words::Ask;
use crate::zigbee::lock_words::Bolt;
use crate::zigbee::lock_words::Change;
use crate::zigbee::lock_words::Door;
use crate::zigbee::lock_words::Failure;
use crate::zigbee::lock_words::Fault;
use crate::zigbee::lock_words::Heard;
use crate::zigbee::lock_words::How;
use crate::zigbee::lock_words::Key;
use crate::zigbee::lock_words::OWN_DEED_MS;
use crate::zigbee::lock_words::OrderId;
use crate::zigbee::lock_words::Part;
use crate::zigbee::lock_words::Reply;
use crate::zigbee::lock_words::Settings;
use crate::zigbee::lock_words::Slot;
use crate::zigbee::lock_words::Stage;
use crate::zigbee::lock_words::Told;
use crate::zigbee::lock_words::Turn;
use crate::zigbee::lock_words::Wanted;
use crate::zigbee::lock_words::Word;
use crate::zigbee::secret::Secret;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

/// What an order to a sleeping lock may take, ms: 10 s for its answer, 1 s for the bolt, 9 s to read it back, 2 s of
/// mesh. Whoever gives orders should not give up before; a lock that is awake takes 2 s.
pub const ORDER_MS: u64 = 22_000;
/// A question is answered within this, ms: the 7.68 s of a sleeper, and the mesh.
const READ_MS: u64 = 9_000;
/// After somebody turned it, it is read when the bolt has come to rest, ms.
const REST_MS: u64 = 2_000;
/// Nobody knows where the bolt is after so many silences.
const SILENCES_MAX: u32 = 3;
/// Everything is read and compared again after this, ms.
const CHECK_MS: u64 = 86_400_000;

/// What is asked for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Order,
    Watch,
    Chore,
    Table,
}

/// The rules of one lock.
#[derive(Debug)]
pub struct LockRules {
    up: bool,
    order: Option<Order>,
    /// What the hub had it do, whose own word of it may still come, and until when, ms.
    own_deed: Option<(Turn, u64)>,
    asked: Option<(For, u64)>,
    watch: Patience,
    door: Option<Door>,
    /// An alarm or the door says that it is stuck; until the bolt goes home.
    stuck: bool,
    faults: BTreeSet<Fault>,
    settings: Settings,
    chores: Chores,
    table: Table,
    check_ms: u64,
    /// The hub's own place and key, for locks that demand one.
    own: Option<(Slot, Secret)>,
    words: VecDeque<Word>,
}

impl LockRules {
    /// A lock whose places hold these revisions, as [`Word::Placed`] told; the hub's own place and key, which no person
    /// has.
    pub fn new(placed: BTreeMap<Slot, u32>, own: Option<(Slot, Secret)>) -> Self {
        Self {
            up: false,
            order: None,
            own_deed: None,
            asked: None,
            watch: Patience::default(),
            door: None,
            stuck: false,
            faults: BTreeSet::new(),
            settings: Settings::default(),
            chores: Chores::default(),
            table: Table::new(placed),
            check_ms: 0,
            own,
            words: VecDeque::new(),
        }
    }

    /// The lock can be reached: it joined, came back, or the stick did. What it is now nobody knows.
    pub fn link_up(&mut self, now_ms: u64) {
        self.up = true;
        self.asked = None;
        self.watch.from(now_ms);
        self.check(now_ms);
    }

    /// It cannot. An order under way has failed, whatever the lock still makes of it: nobody would hear.
    pub fn link_lost(&mut self, now_ms: u64) {
        self.up = false;
        self.asked = None;
        self.table.interrupted();
        if self.order.is_some() {
            self.end(Err(Failure::LinkLost), now_ms);
        }
    }

    fn check(&mut self, now_ms: u64) {
        self.chores.all(now_ms);
        self.table.check_all(now_ms);
        self.check_ms = now_ms + CHECK_MS;
    }

    /// An order, until when it is waited for, ms ([`ORDER_MS`] from now, or less where nobody waits so long).
    pub fn order(&mut self, id: OrderId, turn: Turn, deadline_ms: u64, now_ms: u64) {
        let key = match (self.settings.demands_key, &self.own) {
            (Some(true), None) => Err(Failure::NoCredential),
            (Some(true), Some((_, key))) => Ok(Some(key.clone())),
            // It has not said yet; a key it does not hold would be a wrong code.
            (None, Some((slot, key))) if self.table.holds(*slot) => Ok(Some(key.clone())),
            _ => Ok(None),
        };
        let refused = match () {
            () if !self.up => Some(Failure::LinkLost),
            () if self.order.is_some() => Some(Failure::Busy),
            () => key.as_ref().err().copied(),
        };
        if let Some(why) = refused {
            return self.words.push_back(Word::Order(id, Stage::Failed(why)));
        }
        self.words.push_back(Word::Order(id, Stage::Accepted));
        self.order = Some(Order::new(id, turn, key.unwrap_or_default(), deadline_ms, now_ms));
    }

    /// Who should be in the lock. Whoever is in no place of the table is nobody of the hub's, and not touched.
    pub fn want(&mut self, mut wanted: BTreeMap<Slot, Wanted>, now_ms: u64) {
        self.drop_table_ask();
        if let Some((slot, own)) = self.own_wanted() {
            wanted.insert(slot, own);
        }
        self.table.want(wanted, now_ms, &mut self.words);
    }

    /// How many seconds after it was unlocked the lock shall lock by itself; 0: never, which ends a contract (B13).
    pub fn want_auto_relock(&mut self, seconds: u32, now_ms: u64) {
        self.chores.relock_s = Some(seconds);
        self.words.push_back(Word::AutoRelock(Stage::Accepted));
        self.chores.first(Chore::Relock(seconds), now_ms);
    }

    /// Its settings, as last read.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is to be told next.
    pub fn take_word(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    /// What the lock is to be asked now. What was asked before and not answered counts no more.
    pub fn next(&mut self, now_ms: u64) -> Option<Ask> {
        self.tick(now_ms);
        if !self.up {
            return None;
        }
        if let Some(ask) = self.order.as_mut().and_then(|order| order.next(now_ms)) {
            self.drop_table_ask();
            if let Some(order) = self.order.as_ref().filter(|order| order.just_sent()) {
                self.words.push_back(Word::Order(order.id, Stage::Sent));
            }
            return Some(self.asks(For::Order, ask, now_ms));
        }
        // Nothing stands between an order's message and its answer.
        if self.asked.is_some() || self.order.is_some() {
            return None;
        }
        if self.watch.is_due(now_ms) {
            return Some(self.asks(For::Watch, Ask::State, now_ms));
        }
        let Self { table, settings, words, chores, .. } = self;
        if let Some(ask) = table.next(settings, true, now_ms, words) {
            return Some(self.asks(For::Table, ask, now_ms));
        }
        if let Some(ask) = chores.next(now_ms) {
            return Some(self.asks(For::Chore, ask, now_ms));
        }
        // How long keys may be and whether one is demanded is known first.
        let ask = if chores.todo.is_empty() { table.next(settings, false, now_ms, words) } else { None };
        ask.map(|ask| self.asks(For::Table, ask, now_ms))
    }

    fn asks(&mut self, whose: For, ask: Ask, now_ms: u64) -> Ask {
        let wait = if matches!(ask, Ask::Turn(..)) { ANSWER_MS } else { READ_MS };
        self.asked = Some((whose, now_ms + wait));
        ask
    }

    fn drop_table_ask(&mut self) {
        self.table.interrupted();
        if matches!(self.asked, Some((For::Table, _))) {
            self.asked = None;
        }
    }

    /// When `next` has something to do, ms.
    pub fn due_ms(&self, now_ms: u64) -> Option<u64> {
        let order = self.order.as_ref().map(Order::due_ms);
        if !self.up {
            return order;
        }
        if let Some((_, answer)) = self.asked {
            return order.into_iter().chain([answer]).min();
        }
        if order.is_some() {
            return order;
        }
        let chores = self.chores.patience.due_ms.filter(|_| !self.chores.todo.is_empty());
        let table = self.table.due_ms(!self.chores.todo.is_empty(), now_ms);
        [self.watch.due_ms, chores, table, Some(self.check_ms)].into_iter().flatten().min()
    }

    fn tick(&mut self, now_ms: u64) {
        if let Some(end) = self.order.as_ref().and_then(|order| order.tick(now_ms)) {
            self.end(end, now_ms);
        }
        if let Some((whose, due)) = self.asked
            && due <= now_ms
        {
            self.asked = None;
            match whose {
                For::Order => {
                    let end = self.order.as_mut().and_then(|order| order.silent(now_ms));
                    self.end_if(end, now_ms);
                }
                For::Watch => self.unread(now_ms),
                For::Chore => self.chores.patience.silent(now_ms),
                For::Table => self.table.silent(now_ms, &mut self.words),
            }
        }
        if self.up && self.check_ms <= now_ms {
            self.check(now_ms);
        }
    }

    /// The message of what was asked last never left this house.
    pub fn not_sent(&mut self, now_ms: u64) {
        let Some((whose, _)) = self.asked.take() else { return };
        match whose {
            For::Order => {
                let end = self.order.as_mut().and_then(|order| order.not_sent(now_ms));
                self.end_if(end, now_ms);
            }
            For::Watch => self.watch.silent(now_ms),
            For::Chore => self.chores.patience.silent(now_ms),
            For::Table => self.table.silent(now_ms, &mut self.words),
        }
    }

    /// The answer to what was asked last.
    pub fn replied(&mut self, reply: &Reply, now_ms: u64) {
        let Some((whose, _)) = self.asked.take() else { return };
        match (whose, reply) {
            (For::Order | For::Watch, Reply::State(bolt, door)) => {
                self.stands(*bolt, *door, now_ms);
                if bolt.is_none() {
                    self.unread(now_ms);
                    let end = self.order.as_mut().and_then(|order| order.silent(now_ms));
                    self.end_if(end, now_ms);
                }
            }
            (For::Order, reply) => {
                let end = self.order.as_mut().and_then(|order| order.replied(reply, now_ms));
                self.end_if(end.map(|end| end.map_err(|why| self.reason(why))), now_ms);
            }
            (For::Watch, _) => self.unread(now_ms),
            (For::Chore, reply) => self.chore_done(reply, now_ms),
            (For::Table, reply) => {
                let Self { table, settings, words, .. } = self;
                table.replied(reply, settings, now_ms, words);
            }
        }
    }

    /// Why a lock may have refused, beyond its bare code.
    fn reason(&self, why: Failure) -> Failure {
        let no_key = self.settings.demands_key == Some(true)
            && self.own.as_ref().is_none_or(|(slot, _)| !self.table.holds(*slot));
        match why {
            Failure::Refused(_) if self.settings.remote_off == Some(true) => Failure::RemoteOff,
            Failure::Refused(_) if no_key => Failure::NoCredential,
            why => why,
        }
    }

    fn end_if(&mut self, end: Option<End>, now_ms: u64) {
        if let Some(end) = end {
            self.end(end, now_ms);
        }
    }

    fn end(&mut self, end: End, now_ms: u64) {
        let Some(order) = self.order.take() else { return };
        if matches!(self.asked, Some((For::Order, _))) {
            self.asked = None;
        }
        if order.is_out() {
            self.own_deed = Some((order.turn, now_ms + OWN_DEED_MS));
            // Whatever came of it, where the bolt is in the end is worth a look.
            self.watch.from(now_ms + REST_MS);
        }
        let stage = end.map_or_else(Stage::Failed, |()| Stage::Confirmed);
        self.words.push_back(Word::Order(order.id, stage));
    }

    /// What the lock says unasked.
    pub fn heard(&mut self, heard: &Heard, now_ms: u64) {
        match *heard {
            Heard::State(bolt, door) => self.stands(bolt, door, now_ms),
            Heard::Turned(turn, how, slot) => self.turned(turn, how, slot, now_ms),
            Heard::Denied(turn, how, slot, why) => {
                let unlocking = turn == Turn::Unlock;
                // The hub's own order is answered by the lock, and its refusal told by that.
                if !(how == How::Rf && self.is_own(turn, how, slot, now_ms)) {
                    self.words.push_back(Word::Tried { unlocking, how, slot, why });
                }
            }
            Heard::Strange => self.watch.from(now_ms),
            Heard::Programmed(slot, change, how) => self.programmed(slot, change, how, now_ms),
            Heard::Alarm(alarm) => self.alarmed(alarm, now_ms),
        }
    }

    /// Whether this is the lock's own word of what the hub has it do.
    fn is_own(&self, turn: Turn, how: How, slot: Option<Slot>, now_ms: u64) -> bool {
        let under_way = self.order.as_ref().is_some_and(|order| order.is_out() && order.turn == turn);
        let just_now = self.own_deed.is_some_and(|(done, until)| done == turn && now_ms < until);
        // Locks name the hub's place, none at all, or the first, which is also what none looks like.
        let nobody = slot.is_none_or(|slot| slot == 0 || self.own.as_ref().is_some_and(|(own, _)| *own == slot));
        matches!(how, How::Rf | How::Unknown) && nobody && (under_way || just_now)
    }

    fn turned(&mut self, turn: Turn, how: How, slot: Option<Slot>, now_ms: u64) {
        let own = self.is_own(turn, how, slot, now_ms);
        let bolt = if turn == Turn::Lock { Bolt::Locked } else { Bolt::Unlocked };
        if own {
            // One deed, one word.
            self.own_deed = None;
        } else {
            self.words.push_back(Word::Used { unlocked: turn == Turn::Unlock, how, slot });
            if let Some(order) = self.order.as_mut().filter(|order| order.is_out() && order.turn != turn) {
                order.overtaken = true;
            }
        }
        let ended = self.order.is_some();
        self.stands(Some(Told::Is(bolt)), None, now_ms);
        if own && ended && self.order.is_none() {
            self.own_deed = None; // it was told by this very word
        }
        // What it says it did is looked at once more when the bolt is at rest.
        self.watch.from(now_ms + REST_MS);
    }

    fn alarmed(&mut self, alarm: Alarm, now_ms: u64) {
        self.words.push_back(Word::Alarm(alarm));
        match alarm {
            Alarm::Jammed => {
                self.jammed();
                self.watch.from(now_ms);
            }
            Alarm::Reset => {
                self.drop_table_ask();
                self.settings = Settings::default();
                self.chores.masks_written = false;
                self.check(now_ms);
                self.table.reset(now_ms, &mut self.words);
                self.watch.from(now_ms);
            }
            Alarm::PowerCycled => {
                self.chores.masks_written = false;
                self.check(now_ms);
                self.watch.from(now_ms);
            }
            Alarm::WrongCodes | Alarm::Tamper | Alarm::Forced | Alarm::Other(_) => self.watch.from(now_ms),
        }
    }

    fn programmed(&mut self, slot: Option<Slot>, change: Change, how: How, now_ms: u64) {
        // By radio only the hub programs, and it reads back what it did.
        if how == How::Rf || slot.is_some_and(|slot| self.table.is_deed(slot, now_ms)) {
            return;
        }
        self.words.push_back(Word::Programmed(slot, change));
        match slot {
            Some(slot) => {
                if self.table.is_at(slot) {
                    self.drop_table_ask();
                }
                self.table.changed(slot, now_ms, &mut self.words);
            }
            None if change == Change::Master => {}
            None => {
                self.drop_table_ask();
                self.table.reset(now_ms, &mut self.words);
            }
        }
    }

    fn jammed(&mut self) {
        self.stuck = true;
        if let Some(order) = &mut self.order {
            order.jammed = true;
        }
        self.fault(Fault::Jammed, true);
    }

    fn fault(&mut self, fault: Fault, on: bool) {
        let changed = if on { self.faults.insert(fault) } else { self.faults.remove(&fault) };
        if changed {
            self.words.push_back(Word::Fault(fault, on));
        }
    }

    /// Asked how it stands, it said nothing, or nothing that can be read.
    fn unread(&mut self, now_ms: u64) {
        self.watch.silent(now_ms);
        if self.watch.silences >= SILENCES_MAX {
            self.fault(Fault::Unknown, true);
        }
    }

    /// How it stands, by its own word.
    fn stands(&mut self, bolt: Option<Told<Bolt>>, door: Option<Told<Door>>, now_ms: u64) {
        match door {
            Some(Told::Is(door)) => self.door_stands(door),
            Some(Told::Unknown) => self.fault(Fault::Door, true),
            None => {}
        }
        match bolt {
            Some(Told::Is(bolt)) => {
                self.words.push_back(Word::Bolt(bolt));
                self.stuck &= bolt != Bolt::Locked;
                self.fault(Fault::Jammed, self.stuck || bolt == Bolt::NotFully);
                self.fault(Fault::Unknown, false);
                if bolt == Bolt::NotFully { self.watch.silent(now_ms) } else { self.watch.over() }
            }
            Some(Told::Unknown) => {
                self.fault(Fault::Unknown, true);
                self.watch.silent(now_ms);
            }
            None => {}
        }
        let end = bolt.and_then(|bolt| self.order.as_mut()?.stands(bolt, now_ms));
        self.end_if(end, now_ms);
    }

    fn door_stands(&mut self, door: Door) {
        self.fault(Fault::Door, false);
        if door == Door::Jammed {
            self.jammed();
        }
        if self.door.replace(door) == Some(door) {
            return;
        }
        match door {
            Door::Open => self.words.push_back(Word::Door { open: true }),
            Door::Closed => self.words.push_back(Word::Door { open: false }),
            Door::Forced => {
                self.words.push_back(Word::Alarm(Alarm::Forced));
                self.words.push_back(Word::Door { open: true });
            }
            Door::Jammed => {}
        }
    }

    fn own_wanted(&self) -> Option<(Slot, Wanted)> {
        let (slot, key) = self.own.as_ref()?;
        match self.settings.demands_key? {
            true => {
                let key = Key::Pin(key.clone());
                Some((*slot, Wanted::Key { key, enabled: true, windows: Vec::new(), revision: 0 }))
            }
            // A code nobody needs is a code somebody could find.
            false => self.table.holds(*slot).then_some((*slot, Wanted::Empty)),
        }
    }

    fn chore_done(&mut self, reply: &Reply, now_ms: u64) {
        let Some(chore) = self.chores.todo.pop_front() else { return };
        self.chores.patience.from(now_ms);
        if let Reply::Settings(told) = reply {
            let before = self.settings;
            self.settings.learn(told);
            if before != self.settings {
                self.words.push_back(Word::Settings(self.settings));
            }
            if before.demands_key != self.settings.demands_key
                && let Some((slot, own)) = self.own_wanted()
            {
                self.table.want_own(slot, own, now_ms, &mut self.words);
            }
        }
        match chore {
            Chore::Read(Part::Masks) if self.settings.tells_all == Some(false) && !self.chores.masks_written => {
                self.chores.masks_written = true;
                self.chores.first(Chore::Masks, now_ms);
            }
            Chore::Read(Part::Behaviour) => {
                let (is, wanted) = (self.settings.auto_relock_s, self.chores.relock_s);
                if let Some(wanted) = wanted.filter(|wanted| is.is_some_and(|is| is != *wanted)) {
                    self.chores.first(Chore::Relock(wanted), now_ms);
                }
            }
            Chore::Read(_) => {}
            Chore::Masks => self.chores.first(Chore::Read(Part::Masks), now_ms),
            Chore::Relock(seconds) => match reply {
                Reply::Not(why) => self.words.push_back(Word::AutoRelock(Stage::Failed(*why))),
                _ => self.chores.first(Chore::RelockBack(seconds), now_ms),
            },
            Chore::RelockBack(seconds) => {
                let told = if let Reply::Settings(told) = reply { told.auto_relock_s } else { None };
                let stage = match told {
                    Some(is) if is == seconds => Stage::Confirmed,
                    Some(_) => Stage::Failed(Failure::Contrary),
                    None => Stage::Failed(Failure::NotReadBack),
                };
                self.words.push_back(Word::AutoRelock(stage));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Stories, told against a lock that is only a table and a bolt, with habits.

    use crate::zigbee::lock::LockRules;
    use crate::zigbee::lock::ORDER_MS;
    use crate::zigbee::lock_words::*;
    use crate::zigbee::secret::Secret;
    use std::collections::BTreeMap;

    const HOUR_MS: u64 = 3_600_000;

    #[derive(Clone)]
    struct Person {
        key: Key,
        enabled: bool,
        access: Access,
    }

    /// What a lock can be like.
    #[derive(Clone, Copy, PartialEq)]
    enum Habit {
        Honest,
        /// It hears nothing and says nothing.
        Silent,
        /// It says "done" to orders and does not move.
        Stuck,
        /// It turns, and its answer is lost.
        Mute,
        /// It says "done" to keys and keeps none.
        Forgetful,
        /// It refuses orders.
        Stubborn,
        /// The message never leaves the stick.
        Unsent,
    }

    struct Lock {
        habit: Habit,
        /// So many answers first come as honest ones.
        delay_ms: u64,
        bolt: Bolt,
        door: Option<Door>,
        people: BTreeMap<Slot, Person>,
        windows: BTreeMap<(Slot, u8), Window>,
        settings: Settings,
        /// How often each way it was told to turn.
        locks: u32,
        unlocks: u32,
        keys: Vec<Option<Secret>>,
    }

    impl Lock {
        fn held(&self, slot: Slot) -> Held {
            match self.people.get(&slot) {
                None => Held::Empty,
                Some(Person { enabled: true, .. }) => Held::Enabled,
                Some(_) => Held::Disabled,
            }
        }

        fn hear(&mut self, ask: &Ask) -> Option<Reply> {
            if self.habit == Habit::Silent {
                return None;
            }
            Some(match ask {
                Ask::Turn(turn, key) => {
                    self.keys.push(key.clone());
                    *(if *turn == Turn::Lock { &mut self.locks } else { &mut self.unlocks }) += 1;
                    if self.habit == Habit::Stubborn {
                        return Some(Reply::Not(Failure::Refused(1)));
                    }
                    if self.habit != Habit::Stuck {
                        self.bolt = if *turn == Turn::Lock { Bolt::Locked } else { Bolt::Unlocked };
                    }
                    return (self.habit != Habit::Mute).then_some(Reply::Done);
                }
                Ask::State => Reply::State(Some(Told::Is(self.bolt)), self.door.map(Told::Is)),
                Ask::Settings(Part::Masks) => {
                    Reply::Settings(Settings { tells_all: self.settings.tells_all, ..Settings::default() })
                }
                Ask::Settings(_) => Reply::Settings(Settings { tells_all: None, ..self.settings }),
                Ask::WriteMasks => Reply::Done,
                Ask::WriteAutoRelock(seconds) => {
                    self.settings.auto_relock_s = Some(*seconds);
                    Reply::Done
                }
                Ask::Held(slot) => Reply::Held(self.held(*slot), None),
                Ask::HeldKey(slot, _) => {
                    let shown = self.people.get(slot).map(|person| person.key.secret().clone());
                    Reply::Held(self.held(*slot), shown)
                }
                Ask::Set(slot, key, enabled, access) => {
                    let person = Person { key: key.clone(), enabled: *enabled, access: *access };
                    if self.habit != Habit::Forgetful {
                        self.people.insert(*slot, person);
                    }
                    Reply::Done
                }
                Ask::Clear(slot, kind) => {
                    if self.habit != Habit::Forgetful && self.people.get(slot).is_some_and(|p| p.key.kind() == *kind) {
                        self.people.remove(slot);
                    }
                    Reply::Done
                }
                Ask::Enable(slot, enabled) => {
                    if let Some(person) = self.people.get_mut(slot) {
                        person.enabled = *enabled;
                    }
                    Reply::Done
                }
                Ask::Access(slot) => Reply::Access(self.people.get(slot).map_or(Access::Other, |p| p.access)),
                Ask::SetAccess(slot, access) => {
                    self.people.get_mut(slot).unwrap().access = *access;
                    Reply::Done
                }
                Ask::SetWindow(slot, n, window) => {
                    self.windows.insert((*slot, *n), *window);
                    Reply::Done
                }
                Ask::ReadWindow(slot, n, _) => Reply::Window(self.windows.get(&(*slot, *n)).copied()),
                Ask::ClearWindow(slot, n, _) => {
                    self.windows.remove(&(*slot, *n));
                    Reply::Done
                }
            })
        }
    }

    struct Site {
        rules: LockRules,
        lock: Lock,
        now_ms: u64,
        asks: Vec<Ask>,
        words: Vec<Word>,
    }

    fn own() -> Option<(Slot, Secret)> {
        Some((9, Secret::new(*b"83920174")))
    }

    impl Site {
        fn with(habit: Habit, settings: Settings, placed: &[(Slot, u32)]) -> Self {
            let lock = Lock {
                habit,
                delay_ms: 400,
                bolt: Bolt::Locked,
                door: None,
                people: BTreeMap::new(),
                windows: BTreeMap::new(),
                settings,
                locks: 0,
                unlocks: 0,
                keys: Vec::new(),
            };
            let rules = LockRules::new(placed.iter().copied().collect(), own());
            let mut site = Self { rules, lock, now_ms: 1_000_000, asks: Vec::new(), words: Vec::new() };
            site.rules.link_up(site.now_ms);
            site
        }

        /// A lock that was there before, with nothing left to be done.
        fn at_rest() -> Self {
            let mut site = Self::with(Habit::Honest, plain_lock(), &[]);
            site.run(60_000);
            site.forget();
            site
        }

        fn forget(&mut self) {
            self.words.clear();
            self.asks.clear();
        }

        /// Lets so much time go by.
        fn run(&mut self, for_ms: u64) {
            let end = self.now_ms + for_ms;
            for _ in 0..200_000 {
                if let Some(ask) = self.rules.next(self.now_ms) {
                    self.asks.push(ask.clone());
                    self.tell();
                    if self.lock.habit == Habit::Unsent {
                        self.rules.not_sent(self.now_ms);
                        continue;
                    }
                    let answer = self.lock.hear(&ask).map(|reply| (self.now_ms + self.lock.delay_ms, reply));
                    if let Some((at, reply)) = answer.filter(|(at, _)| self.due().is_none_or(|due| *at < due)) {
                        self.now_ms = at;
                        self.rules.replied(&reply, self.now_ms);
                    }
                    continue;
                }
                self.tell();
                match self.due() {
                    Some(due) if due <= end => {
                        assert!(due > self.now_ms, "nothing to do now, yet due: {due}");
                        self.now_ms = due;
                    }
                    _ => {
                        self.now_ms = end;
                        return;
                    }
                }
            }
            panic!("it never rests: {:?}", &self.asks[self.asks.len() - 10..]);
        }

        fn due(&self) -> Option<u64> {
            self.rules.due_ms(self.now_ms)
        }

        fn tell(&mut self) {
            self.words.extend(std::iter::from_fn(|| self.rules.take_word()));
        }

        fn order(&mut self, turn: Turn) {
            self.rules.order(1, turn, self.now_ms + ORDER_MS, self.now_ms);
        }

        fn hears(&mut self, heard: Heard) {
            self.rules.heard(&heard, self.now_ms);
            self.tell();
        }

        fn stages(&self) -> Vec<Stage> {
            self.words
                .iter()
                .filter_map(|word| if let Word::Order(1, stage) = word { Some(*stage) } else { None })
                .collect()
        }

        fn slot(&self, slot: Slot) -> Vec<Stage> {
            let of =
                |word: &Word| if let Word::Slot(at, stage) = word { (*at == slot).then_some(*stage) } else { None };
            self.words.iter().filter_map(of).collect()
        }

        fn told(&self, word: Word) -> bool {
            self.words.contains(&word)
        }

        fn used(&self) -> usize {
            self.words.iter().filter(|word| matches!(word, Word::Used { .. })).count()
        }

        fn turns(&self) -> u32 {
            u32::try_from(self.asks.iter().filter(|ask| matches!(ask, Ask::Turn(..))).count()).unwrap()
        }
    }

    fn plain_lock() -> Settings {
        Settings {
            users: Some(10),
            rfid_users: Some(10),
            week_windows: Some(3),
            date_windows: Some(1),
            pin_length: Some((4, 8)),
            rfid_length: Some((4, 10)),
            auto_relock_s: Some(30),
            remote_off: Some(false),
            shows_keys: Some(false),
            demands_key: Some(false),
            sealed: Some(true),
            tells_all: Some(true),
            ..Settings::default()
        }
    }

    fn pin(digits: &str, revision: u32) -> Wanted {
        Wanted::Key { key: Key::Pin(Secret::new(digits)), enabled: true, windows: Vec::new(), revision }
    }

    fn table(rows: &[(Slot, Wanted)]) -> BTreeMap<Slot, Wanted> {
        rows.iter().cloned().collect()
    }

    const DONE: [Stage; 3] = [Stage::Accepted, Stage::Sent, Stage::Confirmed];

    fn failed(why: Failure) -> Vec<Stage> {
        vec![Stage::Accepted, Stage::Sent, Stage::Failed(why)]
    }

    #[test]
    fn an_order_is_confirmed_by_where_the_bolt_is() {
        let mut site = Site::at_rest();
        site.order(Turn::Unlock);
        site.run(30_000);
        assert_eq!(site.stages(), DONE);
        assert_eq!((site.lock.unlocks, site.lock.locks), (1, 0));
        let bolt = site.words.iter().position(|word| *word == Word::Bolt(Bolt::Unlocked)).unwrap();
        let confirmed = site.words.iter().position(|word| *word == Word::Order(1, Stage::Confirmed)).unwrap();
        assert!(bolt < confirmed, "the core hears where it is before it hears that this was an order");
        assert_eq!(site.used(), 0);
    }

    #[test]
    fn a_done_that_is_not_is_no_success() {
        let mut site = Site::at_rest();
        site.lock.habit = Habit::Stuck;
        site.order(Turn::Unlock);
        site.run(60_000);
        assert_eq!(site.stages(), failed(Failure::Contrary));
        assert_eq!(site.lock.unlocks, 1);

        let mut site = Site::at_rest();
        (site.lock.habit, site.lock.bolt) = (Habit::Stuck, Bolt::NotFully);
        site.order(Turn::Lock);
        site.run(60_000);
        assert_eq!(site.stages(), failed(Failure::Jammed));
        assert!(site.told(Word::Fault(Fault::Jammed, true)) && !site.told(Word::Bolt(Bolt::Locked)));

        let mut site = Site::at_rest();
        (site.lock.habit, site.lock.bolt, site.lock.door) = (Habit::Stuck, Bolt::Unlocked, Some(Door::Jammed));
        site.order(Turn::Lock);
        site.run(60_000);
        assert_eq!(site.stages(), failed(Failure::Jammed), "the door says so");
    }

    #[test]
    fn an_unlock_is_never_sent_twice_after_silence() {
        for (habit, outcome) in [(Habit::Silent, Stage::Failed(Failure::NoAnswer)), (Habit::Mute, Stage::Confirmed)] {
            let mut site = Site::at_rest();
            site.lock.habit = habit;
            site.order(Turn::Unlock);
            site.run(HOUR_MS);
            assert_eq!(site.stages().last(), Some(&outcome));
            assert_eq!(site.turns(), 1, "somebody may have shut the door since");
        }
    }

    #[test]
    fn a_lock_is_sent_twice_after_silence_and_no_more() {
        let mut site = Site::at_rest();
        site.lock.habit = Habit::Silent;
        site.order(Turn::Lock);
        site.run(HOUR_MS);
        assert_eq!((site.turns(), site.stages()), (2, failed(Failure::NoAnswer)));

        let mut site = Site::at_rest();
        site.lock.habit = Habit::Silent;
        site.order(Turn::Lock);
        site.run(2_000);
        site.hears(Heard::Turned(Turn::Unlock, How::Manual, None));
        site.run(HOUR_MS);
        assert_eq!(site.turns(), 1, "somebody has unlocked it meanwhile and is on his way through");
    }

    #[test]
    fn what_never_left_may_be_sent_again() {
        let mut site = Site::at_rest();
        site.lock.habit = Habit::Unsent;
        site.order(Turn::Unlock);
        site.run(1_200);
        site.lock.habit = Habit::Honest;
        site.run(30_000);
        assert_eq!((site.stages(), site.lock.unlocks), (DONE.to_vec(), 1));

        let mut site = Site::at_rest();
        site.lock.habit = Habit::Unsent;
        site.order(Turn::Unlock);
        site.run(30_000);
        assert_eq!((site.stages(), site.lock.unlocks), (failed(Failure::NotSent), 0));
    }

    #[test]
    fn no_order_outlives_its_link_or_its_deadline() {
        let mut site = Site::at_rest();
        site.lock.habit = Habit::Silent;
        site.order(Turn::Unlock);
        site.run(2_000);
        site.rules.link_lost(site.now_ms);
        site.lock.habit = Habit::Honest;
        site.run(5_000);
        site.rules.link_up(site.now_ms);
        site.run(HOUR_MS);
        assert_eq!((site.stages(), site.lock.unlocks), (failed(Failure::LinkLost), 0));

        let mut site = Site::at_rest();
        site.lock.delay_ms = 8_000;
        site.rules.order(1, Turn::Unlock, site.now_ms + 14_000, site.now_ms);
        let begun = site.now_ms;
        site.run(14_000);
        site.tell();
        assert_eq!(site.stages(), failed(Failure::NotReadBack), "done, and nobody has seen it: not confirmed");
        assert_eq!(site.now_ms, begun + 14_000);

        site.rules.link_lost(site.now_ms);
        site.forget();
        site.order(Turn::Lock);
        site.tell();
        assert_eq!(site.stages(), [Stage::Failed(Failure::LinkLost)]);
    }

    #[test]
    fn a_sleeper_is_given_the_time_it_needs() {
        let mut site = Site::at_rest();
        site.lock.delay_ms = 7_680;
        site.order(Turn::Unlock);
        site.run(ORDER_MS);
        assert_eq!(site.stages(), DONE);
    }

    #[test]
    fn a_refusal_ends_it_at_once_and_says_why() {
        for (settings, why) in [
            (plain_lock(), Failure::Refused(1)),
            (Settings { remote_off: Some(true), ..plain_lock() }, Failure::RemoteOff),
        ] {
            let mut site = Site::with(Habit::Honest, settings, &[]);
            site.run(60_000);
            site.forget();
            site.lock.habit = Habit::Stubborn;
            site.order(Turn::Unlock);
            site.run(2_000);
            assert_eq!((site.stages(), site.turns()), (failed(why), 1));
        }
    }

    #[test]
    fn one_order_at_a_time() {
        let mut site = Site::at_rest();
        site.order(Turn::Unlock);
        site.rules.order(2, Turn::Lock, site.now_ms + ORDER_MS, site.now_ms);
        site.run(30_000);
        assert!(site.told(Word::Order(2, Stage::Failed(Failure::Busy))));
        assert_eq!((site.stages(), site.lock.locks), (DONE.to_vec(), 0));
    }

    #[test]
    fn a_lock_that_demands_a_key_gets_the_hubs_own() {
        let demanding = Settings { demands_key: Some(true), ..plain_lock() };
        let mut site = Site::with(Habit::Honest, demanding, &[]);
        site.rules.want(table(&[(1, pin("1111", 1))]), site.now_ms);
        site.run(60_000);
        assert_eq!(site.lock.people[&9].key, Key::Pin(own().unwrap().1));
        let first = site.asks.iter().find(|ask| matches!(ask, Ask::Set(..)));
        assert!(matches!(first, Some(Ask::Set(9, ..))), "without it no door opens: {first:?}");
        site.order(Turn::Unlock);
        site.run(30_000);
        assert_eq!(site.lock.keys, [own().map(|(_, key)| key)]);

        let mut site = Site::at_rest();
        site.order(Turn::Unlock);
        site.run(30_000);
        assert_eq!(site.lock.keys, [None], "one that demands none is not told it");
        assert!(!site.lock.people.contains_key(&9), "nor does it hold it");

        let mut site = Site::with(Habit::Honest, demanding, &[]);
        site.rules = LockRules::new(BTreeMap::new(), None);
        site.rules.link_up(site.now_ms);
        site.run(60_000);
        site.order(Turn::Unlock);
        site.run(1_000);
        assert_eq!((site.stages(), site.turns()), (vec![Stage::Failed(Failure::NoCredential)], 0));
    }

    #[test]
    fn what_the_hub_did_is_no_persons_deed() {
        // Its word comes first, and confirms.
        let mut site = Site::at_rest();
        site.lock.habit = Habit::Mute;
        site.order(Turn::Unlock);
        site.run(2_000);
        site.hears(Heard::Turned(Turn::Unlock, How::Rf, None));
        assert_eq!((site.stages(), site.used()), (DONE.to_vec(), 0));
        // Or late, after the bolt was read; once, not twice.
        let mut site = Site::at_rest();
        site.order(Turn::Unlock);
        site.run(20_000);
        site.hears(Heard::Turned(Turn::Unlock, How::Rf, Some(9)));
        assert_eq!((site.stages(), site.used()), (DONE.to_vec(), 0));
        site.hears(Heard::Turned(Turn::Unlock, How::Rf, None));
        assert_eq!(site.used(), 1, "the hub has done it once");
        // A person at the keypad meanwhile is a person, and so is somebody else's place by radio.
        for (how, slot) in [(How::Keypad, Some(3)), (How::Rf, Some(3)), (How::Manual, None)] {
            let mut site = Site::at_rest();
            site.order(Turn::Unlock);
            site.run(300);
            site.hears(Heard::Turned(Turn::Unlock, how, slot));
            assert!(site.told(Word::Used { unlocked: true, how, slot }), "{how:?}");
        }
    }

    #[test]
    fn whoever_turns_it_or_tries_is_told() {
        let mut site = Site::at_rest();
        site.lock.bolt = Bolt::Unlocked;
        site.hears(Heard::Turned(Turn::Unlock, How::Rfid, Some(4)));
        assert_eq!(
            site.words,
            [Word::Used { unlocked: true, how: How::Rfid, slot: Some(4) }, Word::Bolt(Bolt::Unlocked),]
        );
        site.forget();
        site.run(10_000);
        assert_eq!(site.asks, [Ask::State], "and looked at when the bolt is at rest");
        site.forget();
        site.hears(Heard::Denied(Turn::Unlock, How::Keypad, None, Denied::WrongCode));
        let why = Denied::WrongCode;
        assert_eq!(site.words, [Word::Tried { unlocking: true, how: How::Keypad, slot: None, why }]);
    }

    #[test]
    fn what_nobody_understands_is_never_locked() {
        let mut site = Site::at_rest();
        site.hears(Heard::Strange);
        assert_eq!(site.words, []);
        site.lock.bolt = Bolt::Unlocked;
        site.run(1_000);
        assert!(site.told(Word::Bolt(Bolt::Unlocked)) && !site.told(Word::Bolt(Bolt::Locked)));

        site.forget();
        site.hears(Heard::State(Some(Told::Unknown), None));
        assert_eq!(site.words, [Word::Fault(Fault::Unknown, true)]);
        site.run(60_000);
        assert!(site.told(Word::Fault(Fault::Unknown, false)), "until it says something again");

        let mut site = Site::at_rest();
        site.lock.habit = Habit::Silent;
        site.hears(Heard::Strange);
        site.run(120_000);
        assert_eq!(site.words, [Word::Fault(Fault::Unknown, true)]);
        let asked = site.asks.len();
        site.run(HOUR_MS);
        assert!(site.asks.len() - asked < 8, "a lock out of reach keeps its battery: {}", site.asks.len() - asked);
    }

    #[test]
    fn alarms_are_told_and_looked_into() {
        let mut site = Site::at_rest();
        site.lock.bolt = Bolt::Unlocked;
        site.hears(Heard::Alarm(Alarm::Jammed));
        site.run(5_000);
        assert!(site.told(Word::Alarm(Alarm::Jammed)) && site.told(Word::Fault(Fault::Jammed, true)));
        assert!(
            !site.told(Word::Fault(Fault::Jammed, false)),
            "a bolt that is back is still one that could not go home"
        );
        site.hears(Heard::State(Some(Told::Is(Bolt::Locked)), None));
        assert!(site.told(Word::Fault(Fault::Jammed, false)));

        let mut site = Site::at_rest();
        for told in [Door::Closed, Door::Closed, Door::Forced, Door::Forced] {
            site.hears(Heard::State(None, Some(Told::Is(told))));
        }
        assert_eq!(site.words, [Word::Door { open: false }, Word::Alarm(Alarm::Forced), Word::Door { open: true },]);
    }

    #[test]
    fn keys_are_put_there_and_read_back() {
        let mut site = Site::at_rest();
        let tag = Wanted::Key {
            key: Key::Rfid(Secret::new([4, 0x2A, 9, 7])),
            enabled: false,
            windows: Vec::new(),
            revision: 2,
        };
        site.rules.want(table(&[(1, pin("4711", 7)), (2, tag)]), site.now_ms);
        site.run(60_000);
        for slot in [1, 2] {
            assert_eq!(site.slot(slot), DONE);
        }
        assert!(site.told(Word::Placed(1, Some(7))) && site.told(Word::Placed(2, Some(2))));
        assert_eq!((site.lock.held(1), site.lock.held(2)), (Held::Enabled, Held::Disabled));
        assert_eq!(site.lock.people[&1].key, Key::Pin(Secret::new("4711")));
        let shown = format!("{:?} {:?} {:?}", site.words, site.asks, site.rules);
        assert!(!shown.contains("4711") && !shown.contains("52, 55"), "{shown}");
        // The next day nothing is changed and nothing is said.
        site.forget();
        site.run(25 * HOUR_MS);
        assert!(!site.asks.iter().any(|ask| matches!(ask, Ask::Set(..) | Ask::Clear(..))), "{:?}", site.asks);
        assert_eq!(site.slot(1), []);
    }

    #[test]
    fn what_is_known_to_be_there_is_left_there() {
        let mut site = Site::with(Habit::Honest, plain_lock(), &[(1, 7), (2, 1)]);
        for (slot, digits) in [(1, "4711"), (2, "0815")] {
            let key = Key::Pin(Secret::new(digits));
            site.lock.people.insert(slot, Person { key, enabled: true, access: Access::Always });
        }
        site.rules.want(table(&[(1, pin("4711", 7)), (2, pin("2222", 2))]), site.now_ms);
        site.run(60_000);
        let set: Vec<Slot> =
            site.asks.iter().filter_map(|ask| if let Ask::Set(slot, ..) = ask { Some(*slot) } else { None }).collect();
        assert_eq!(set, [2], "only the place whose key was changed while the hub was away");
        assert_eq!(site.lock.people[&2].key, Key::Pin(Secret::new("2222")));
    }

    #[test]
    fn a_lock_that_shows_its_keys_is_compared() {
        let mut site = Site::with(Habit::Honest, Settings { shows_keys: Some(true), ..plain_lock() }, &[(1, 7)]);
        let key = Key::Pin(Secret::new("9999"));
        site.lock.people.insert(1, Person { key, enabled: true, access: Access::Always });
        site.rules.want(table(&[(1, pin("4711", 7))]), site.now_ms);
        site.run(60_000);
        assert_eq!(site.lock.people[&1].key, Key::Pin(Secret::new("4711")));
        assert_eq!(site.slot(1).last(), Some(&Stage::Confirmed));
    }

    #[test]
    fn lost_keys_go_before_anything_else() {
        let mut site = Site::with(Habit::Honest, Settings { demands_key: Some(true), ..plain_lock() }, &[(5, 1)]);
        let thief = Person { key: Key::Rfid(Secret::new([1; 4])), enabled: true, access: Access::Always };
        site.lock.people.insert(5, thief);
        site.rules.want(table(&[(1, pin("4711", 7)), (5, Wanted::Blocked)]), site.now_ms);
        site.run(60_000);
        let first = site.asks.iter().find(|ask| **ask != Ask::State).unwrap();
        assert_eq!(*first, Ask::Clear(5, KeyKind::Pin), "{:?}", site.asks);
        assert_eq!((site.lock.held(5), site.slot(5)), (Held::Empty, DONE.to_vec()));
        assert!(site.told(Word::Placed(5, None)));
    }

    #[test]
    fn a_lost_key_that_stays_does_at_least_not_open() {
        let mut site = Site::with(Habit::Forgetful, plain_lock(), &[]);
        let thief = Person { key: Key::Rfid(Secret::new([1; 4])), enabled: true, access: Access::Always };
        site.lock.people.insert(5, thief);
        site.rules.want(table(&[(5, Wanted::Blocked)]), site.now_ms);
        site.run(5 * HOUR_MS);
        assert_eq!(site.lock.held(5), Held::Disabled);
        assert_eq!(site.slot(5).iter().filter(|stage| matches!(stage, Stage::Failed(_))).count(), 1, "told once");
        site.lock.habit = Habit::Honest;
        site.run(HOUR_MS);
        assert_eq!((site.lock.held(5), site.slot(5).last()), (Held::Empty, Some(&Stage::Confirmed)));
    }

    #[test]
    fn a_lock_that_lies_is_found_out_and_left_in_peace() {
        let mut site = Site::with(Habit::Forgetful, plain_lock(), &[]);
        let rows: Vec<(Slot, Wanted)> = (1..=100).map(|slot| (slot, pin("4711", 1))).collect();
        site.rules.want(table(&rows), site.now_ms);
        site.run(HOUR_MS);
        let before = site.asks.len();
        site.run(10 * HOUR_MS);
        let hourly = (site.asks.len() - before) / 10;
        assert!(hourly <= 300, "{hourly} an hour");
        assert_eq!(site.slot(1), failed(Failure::Contrary), "told once");
        // A key that must go has messages of its own left.
        site.forget();
        let thief = Person { key: Key::Pin(Secret::new("1")), enabled: true, access: Access::Always };
        site.lock.people.insert(200, thief);
        site.rules.want(table(&[rows, vec![(200, Wanted::Blocked)]].concat()), site.now_ms);
        site.lock.habit = Habit::Honest;
        site.run(5_000);
        assert_eq!(site.slot(200), DONE);
        assert!(!site.told(Word::Slot(1, Stage::Confirmed)));
    }

    #[test]
    fn hours_are_read_back_before_the_key_opens() {
        let week = |days| Window::Week(WeekHours { days, start: (8, 0), end: (16, 30) });
        let windows = vec![week(0x3E), week(0x40)];
        let mut site = Site::at_rest();
        site.lock.windows.insert((4, 2), week(0x7F)); // whoever had the place before
        let cleaner =
            Wanted::Key { key: Key::Pin(Secret::new("4711")), enabled: true, windows: windows.clone(), revision: 1 };
        site.rules.want(table(&[(4, cleaner)]), site.now_ms);
        site.run(60_000);
        assert_eq!(site.slot(4), DONE);
        let place = |wanted: fn(&Ask) -> bool| site.asks.iter().position(wanted).unwrap();
        let set = place(|ask| matches!(ask, Ask::Set(4, _, false, Access::Week)));
        let read = place(|ask| matches!(ask, Ask::ReadWindow(4, 1, _)));
        let enabled = place(|ask| matches!(ask, Ask::Enable(4, true)));
        assert!(set < read && read < enabled);
        let left: Vec<_> = site.lock.windows.iter().map(|(at, window)| (*at, *window)).collect();
        assert_eq!(left, [((4, 0), windows[0]), ((4, 1), windows[1])], "and nothing of the one before");

        let many =
            Wanted::Key { key: Key::Pin(Secret::new("4711")), enabled: true, windows: vec![week(1); 4], revision: 1 };
        site.rules.want(table(&[(6, many)]), site.now_ms);
        site.run(60_000);
        assert_eq!(site.slot(6).last(), Some(&Stage::Failed(Failure::Windows)));
        assert_eq!(site.lock.held(6), Held::Empty, "less than it was asked for is not put there");
    }

    #[test]
    fn a_key_of_a_wrong_length_is_not_sent() {
        let mut site = Site::at_rest();
        site.rules.want(table(&[(1, pin("123", 1)), (2, pin("123456789", 1))]), site.now_ms);
        site.run(60_000);
        for slot in [1, 2] {
            assert_eq!(site.slot(slot), [Stage::Accepted, Stage::Failed(Failure::Length)]);
        }
    }

    #[test]
    fn after_a_reset_everything_is_put_there_again() {
        let mut site = Site::with(Habit::Honest, Settings { tells_all: Some(false), ..plain_lock() }, &[]);
        site.rules.want(table(&[(1, pin("4711", 7))]), site.now_ms);
        site.run(60_000);
        let masks = |site: &Site| site.asks.iter().filter(|ask| **ask == Ask::WriteMasks).count();
        assert_eq!(masks(&site), 1, "once, though this lock does not keep them");
        site.run(30 * HOUR_MS);
        assert_eq!(masks(&site), 1);
        site.forget();
        site.lock.people.clear();
        site.hears(Heard::Alarm(Alarm::Reset));
        assert!(site.told(Word::Placed(1, None)));
        site.run(60_000);
        assert_eq!((site.lock.held(1), masks(&site)), (Held::Enabled, 1));
        assert!(site.told(Word::Placed(1, Some(7))));
        // A reset nobody told of is found the next day.
        site.lock.people.clear();
        site.run(25 * HOUR_MS);
        assert_eq!(site.lock.held(1), Held::Enabled);
    }

    #[test]
    fn a_stranger_is_told_and_left_there() {
        let mut site = Site::with(Habit::Honest, plain_lock(), &[]);
        let stranger = Person { key: Key::Pin(Secret::new("2468")), enabled: true, access: Access::Always };
        site.lock.people.insert(10, stranger);
        site.run(HOUR_MS);
        assert!(site.told(Word::Foreign { slot: 10, enabled: true }));
        assert!(!site.asks.iter().any(|ask| matches!(ask, Ask::Clear(..) | Ask::Set(..) | Ask::Enable(..))));
        site.forget();
        site.run(50 * HOUR_MS);
        assert!(!site.told(Word::Foreign { slot: 10, enabled: true }), "once");
        // He is wanted gone: then he goes.
        site.rules.want(table(&[(10, Wanted::Empty)]), site.now_ms);
        site.run(60_000);
        assert_eq!((site.lock.held(10), site.slot(10)), (Held::Empty, DONE.to_vec()));
    }

    #[test]
    fn who_changes_keys_at_the_lock_is_told_and_overruled() {
        let mut site = Site::at_rest();
        site.rules.want(table(&[(1, pin("4711", 7))]), site.now_ms);
        site.run(HOUR_MS);
        site.forget();
        site.lock.people.get_mut(&1).unwrap().key = Key::Pin(Secret::new("0000"));
        site.hears(Heard::Programmed(Some(1), Change::Changed, How::Keypad));
        site.run(5_000);
        assert!(site.told(Word::Programmed(Some(1), Change::Changed)) && site.told(Word::Placed(1, None)));
        assert_eq!(site.lock.people[&1].key, Key::Pin(Secret::new("4711")));
        // The lock's word of the hub's own change is no one's, even if it does not say by whom.
        site.forget();
        site.hears(Heard::Programmed(Some(1), Change::Changed, How::Unknown));
        site.run(60_000);
        assert_eq!((site.words.len(), site.asks.len()), (0, 0));
        // Somebody added at the lock whom the hub does not know.
        let friend = Person { key: Key::Pin(Secret::new("1357")), enabled: true, access: Access::Always };
        site.lock.people.insert(3, friend);
        site.hears(Heard::Programmed(Some(3), Change::Added, How::Keypad));
        site.run(60_000);
        assert!(site.told(Word::Foreign { slot: 3, enabled: true }));
    }

    #[test]
    fn an_order_does_not_wait_for_keys() {
        let mut site = Site::at_rest();
        site.lock.delay_ms = 5_000;
        let rows: Vec<(Slot, Wanted)> = (1..=8).map(|slot| (slot, pin("4711", 1))).collect();
        site.rules.want(table(&rows), site.now_ms);
        let ask = site.rules.next(site.now_ms).unwrap();
        assert_eq!(ask, Ask::Held(1));
        site.order(Turn::Unlock);
        assert_eq!(site.rules.next(site.now_ms), Some(Ask::Turn(Turn::Unlock, None)));
        site.lock.hear(&Ask::Turn(Turn::Unlock, None));
        site.rules.replied(&Reply::Done, site.now_ms + 100);
        site.lock.delay_ms = 300;
        site.run(HOUR_MS);
        assert_eq!(site.stages(), DONE);
        assert!((1..=8).all(|slot| site.lock.held(slot) == Held::Enabled), "and the keys are put there after it");
    }

    #[test]
    fn auto_relock_is_switched_off_and_read_back() {
        let mut site = Site::at_rest();
        site.rules.want_auto_relock(0, site.now_ms);
        site.run(10_000);
        let told: Vec<&Word> = site.words.iter().filter(|word| matches!(word, Word::AutoRelock(_))).collect();
        assert_eq!(told, [&Word::AutoRelock(Stage::Accepted), &Word::AutoRelock(Stage::Confirmed)]);
        assert_eq!(site.lock.settings.auto_relock_s, Some(0));
        site.lock.settings.auto_relock_s = Some(30);
        site.run(25 * HOUR_MS);
        assert_eq!(site.lock.settings.auto_relock_s, Some(0), "and stays so");
    }

    #[test]
    fn whatever_happens_no_order_opens_a_door_twice() {
        use Habit::*;
        for seed in 1..=400u64 {
            let mut state = seed;
            let mut draw = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let mut site = Site::at_rest();
            let mut orders = 0;
            for _ in 0..40 {
                site.lock.delay_ms = [50, 400, 3_000, 7_680, 8_900][draw(5) as usize];
                site.lock.habit = [Honest, Honest, Silent, Stuck, Mute, Stubborn, Unsent, Forgetful][draw(8) as usize];
                match draw(8) {
                    0 | 1 => {
                        orders += 1;
                        let (turn, deadline) = ([Turn::Lock, Turn::Unlock][draw(2) as usize], site.now_ms + ORDER_MS);
                        site.rules.order(orders, turn, deadline, site.now_ms);
                        let before = site.lock.unlocks;
                        site.run(draw(60_000));
                        let most = u32::from(turn == Turn::Unlock);
                        assert!(site.lock.unlocks - before <= most, "seed {seed}");
                    }
                    2 => {
                        site.rules.link_lost(site.now_ms);
                        site.rules.link_up(site.now_ms);
                    }
                    3 => site.hears(Heard::Turned(Turn::Unlock, How::Keypad, Some(2))),
                    4 => site.hears(Heard::Turned(Turn::Lock, How::Rf, None)),
                    5 => site.hears(Heard::Strange),
                    6 => site.hears(Heard::Alarm(Alarm::Reset)),
                    _ => site.rules.want(table(&[(draw(5) as Slot, pin("4711", draw(3) as u32))]), site.now_ms),
                }
                site.run(draw(40_000));
            }
            site.run(ORDER_MS);
            site.tell();
            for order in 1..=orders {
                let ends = site.words.iter().filter(
                    |word| matches!(word, Word::Order(id, Stage::Confirmed | Stage::Failed(_)) if *id == order),
                );
                assert_eq!(ends.count(), 1, "seed {seed}: order {order} ends once");
            }
        }
    }
}
