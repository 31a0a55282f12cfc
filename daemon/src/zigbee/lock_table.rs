//! Who may open: what should be in a lock, and what is done until it is. Knows no radio and no clock.
//!
//! A place holds a key when the lock has said "done" *and*, asked again, that somebody is there. What it holds it mostly
//! does not show, so the hub remembers which revision it put there, and puts it there anew when it cannot know. Keys that
//! were lost or stolen go before anything else. Somebody the hub does not know is told of and left alone. A key with
//! hours is put there disabled and enabled when its hours have been read back: else it would open always for a while.
//!
//! ```text
//!   Look ─┬─ as it should be ──────────────────────────────────────────────────────────────▶ done
//!         ├─ enabled, disabled ───────────────────────────────────────────▶ Enable ─▶ Check ─▶ done
//!         ├─ empty ─────────────▶ Set ─▶ (Access ─▶ windows, each read back) ─▲
//!         └─ another ─▶ Clear ─▶ Cleared ─▲
//! ```

use crate::zigbee::lock_words::Access;
use crate::zigbee::lock_words::Ask;
use crate::zigbee::lock_words::Failure;
use crate::zigbee::lock_words::Held;
use crate::zigbee::lock_words::Key;
use crate::zigbee::lock_words::KeyKind;
use crate::zigbee::lock_words::OWN_DEED_MS;
use crate::zigbee::lock_words::Reply;
use crate::zigbee::lock_words::Settings;
use crate::zigbee::lock_words::Slot;
use crate::zigbee::lock_words::Stage;
use crate::zigbee::lock_words::Wanted;
use crate::zigbee::lock_words::Window;
use crate::zigbee::lock_words::Word;
use crate::zigbee::secret::Secret;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

/// A place is tried so often in a row; then it has failed, is told, and waits.
const ROUNDS: u8 = 3;
/// Between two rounds, ms.
const AGAIN_MS: u64 = 20_000;
const HOUR_MS: u64 = 3_600_000;
/// A key that must go and does not is tried again this long after it was told, ms; others after an hour.
const BLOCKED_AGAIN_MS: u64 = 600_000;
/// Questions and orders for the table in an hour: a lock that lies must not empty its battery. Beyond it the rest waits
/// for the next hour; the last of them only keys that must go may use.
const WORK_MAX: u32 = 300;
const WORK_FOR_BLOCKED: u32 = 80;
/// Of them for looking who else is there; the hub's own people come first.
const WORK_FOR_SCAN: u32 = 120;
/// Places looked at for people the hub does not know; beyond it nobody looks.
const SCAN_MAX: u16 = 1_000;
/// Windows of a user; more are refused as more than the lock has.
const WINDOWS_MAX: u8 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Look,
    Clear(KeyKind),
    Cleared,
    /// What could not be cleared shall at least not open.
    Disable,
    Set,
    Access,
    SetAccess,
    AccessBack,
    ClearWindow(u8),
    SetWindow(u8),
    ReadWindow(u8),
    Enable,
    Check,
    Compare,
}

enum Next {
    Step(Step),
    Done,
    /// Not this time.
    Round(Failure),
    /// Not at all, as it is.
    Give(Failure),
}

#[derive(Debug)]
struct Job {
    slot: Slot,
    step: Step,
    asked: bool,
    /// Something at the lock was changed.
    changed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Work {
    due_ms: u64,
    rounds: u8,
    /// Somebody waits for the outcome.
    announced: bool,
    told: Option<Failure>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    wanted: BTreeMap<Slot, Wanted>,
    /// The hub's own place.
    own: Option<Slot>,
    /// What each wanted place holds, as far as the hub knows.
    placed: BTreeMap<Slot, u32>,
    work: BTreeMap<Slot, Work>,
    job: Option<Job>,
    /// The next place to look at for people the hub does not know.
    scan: Option<Slot>,
    foreign: BTreeSet<Slot>,
    /// Places the hub has changed, and until when the lock's own word of it may come, ms.
    deeds: BTreeMap<Slot, u64>,
    /// It answers only when asked for the key itself.
    by_key: bool,
    hour_ms: u64,
    spent: u32,
}

impl Table {
    pub(crate) fn new(placed: BTreeMap<Slot, u32>) -> Self {
        Self { placed, ..Self::default() }
    }

    /// Whether the hub changes or has just changed this place: the lock tells of that too, and not every one says by whom.
    /// Taken for somebody else's it would be changed back, told, and changed back again.
    pub(crate) fn is_deed(&self, slot: Slot, now_ms: u64) -> bool {
        self.deeds.get(&slot).is_some_and(|until| now_ms < *until)
    }

    /// Whether it waits for an answer about this place.
    pub(crate) fn is_at(&self, slot: Slot) -> bool {
        self.job.as_ref().is_some_and(|job| job.slot == slot)
    }

    pub(crate) fn holds(&self, slot: Slot) -> bool {
        self.placed.contains_key(&slot)
    }

    /// What should be there; what stays as it was is not touched.
    pub(crate) fn want(&mut self, wanted: BTreeMap<Slot, Wanted>, now_ms: u64, words: &mut VecDeque<Word>) {
        for (slot, new) in &wanted {
            self.foreign.remove(slot);
            if self.wanted.get(slot) != Some(new) {
                self.work.insert(*slot, Work { due_ms: now_ms, rounds: 0, announced: true, told: None });
                words.push_back(Word::Slot(*slot, Stage::Accepted));
            }
        }
        self.wanted = wanted;
        self.work.retain(|slot, _| self.wanted.contains_key(slot));
        // Whatever was under way may be for what is no more wanted so.
        self.job = None;
    }

    /// One place of the hub's own: its key, or nothing where the lock demands none.
    pub(crate) fn want_own(&mut self, slot: Slot, wanted: Wanted, now_ms: u64, words: &mut VecDeque<Word>) {
        self.own = Some(slot);
        let mut all = self.wanted.clone();
        all.insert(slot, wanted);
        self.want(all, now_ms, words);
    }

    /// Everything is to be looked at, and who else is there.
    pub(crate) fn check_all(&mut self, now_ms: u64) {
        for slot in self.wanted.keys() {
            let work = Work { due_ms: now_ms, rounds: 0, announced: false, told: None };
            self.work.entry(*slot).or_insert(work).due_ms = now_ms;
        }
        self.scan = Some(0);
    }

    /// The lock forgot everything.
    pub(crate) fn reset(&mut self, now_ms: u64, words: &mut VecDeque<Word>) {
        words.extend(std::mem::take(&mut self.placed).into_keys().map(|slot| Word::Placed(slot, None)));
        self.foreign.clear();
        self.job = None;
        self.check_all(now_ms);
    }

    /// Somebody changed a place at the lock itself; what it holds nobody knows any more.
    pub(crate) fn changed(&mut self, slot: Slot, now_ms: u64, words: &mut VecDeque<Word>) {
        // Were it not forgotten, a start would take the place for the hub's work.
        if self.placed.remove(&slot).is_some() {
            words.push_back(Word::Placed(slot, None));
        }
        self.foreign.remove(&slot);
        self.work.insert(slot, Work { due_ms: now_ms, rounds: 0, announced: false, told: None });
        if self.job.as_ref().is_some_and(|job| job.slot == slot) {
            self.job = None;
        }
    }

    /// Something more urgent took the lock: what was under way begins again with a look.
    pub(crate) fn interrupted(&mut self) {
        self.job = None;
    }

    fn is_blocked(&self, slot: Slot) -> bool {
        self.wanted.get(&slot) == Some(&Wanted::Blocked)
    }

    /// The most urgent place: blocked ones, the hub's own, the others; the longest waiting first.
    fn most_urgent(&self, blocked_only: bool) -> Option<(Slot, u64)> {
        let rank = |slot: &Slot| match () {
            () if self.is_blocked(*slot) => 0,
            () if self.own == Some(*slot) => 1,
            () => 2,
        };
        let all = self.work.iter().filter(|(slot, _)| !blocked_only || self.is_blocked(**slot));
        let (slot, work) = all.min_by_key(|(slot, work)| (work.due_ms, rank(slot)))?;
        Some((*slot, work.due_ms))
    }

    fn due_now(&self, blocked_only: bool, now_ms: u64) -> Option<Slot> {
        let blocked = self.most_urgent(true).filter(|(_, due)| *due <= now_ms);
        let own = self.own.filter(|own| self.work.get(own).is_some_and(|work| work.due_ms <= now_ms));
        let any = || self.most_urgent(false).filter(|(_, due)| *due <= now_ms).map(|(slot, _)| slot);
        blocked.map(|(slot, _)| slot).or_else(|| if blocked_only { None } else { own.or_else(any) })
    }

    fn limit(&self, slot: Slot) -> u32 {
        match self.work.get(&slot) {
            Some(_) if self.is_blocked(slot) => WORK_MAX,
            Some(_) => WORK_MAX - WORK_FOR_BLOCKED,
            None => WORK_FOR_SCAN,
        }
    }

    /// What is to be asked; `blocked_only` while other things come first.
    pub(crate) fn next(
        &mut self,
        settings: &Settings,
        blocked_only: bool,
        now_ms: u64,
        words: &mut VecDeque<Word>,
    ) -> Option<Ask> {
        if self.hour_ms + HOUR_MS <= now_ms {
            (self.hour_ms, self.spent) = (now_ms, 0);
        }
        let blocked = self.due_now(true, now_ms);
        let under_way = self.job.as_ref().map(|job| job.slot);
        if let (Some(_), Some(slot)) = (blocked, under_way)
            && !self.is_blocked(slot)
        {
            self.job = None;
        }
        if self.job.as_ref().is_some_and(|job| job.asked || (blocked_only && !self.is_blocked(job.slot))) {
            return None;
        }
        if self.job.is_none() {
            let mut slot = self.due_now(blocked_only, now_ms);
            if slot.is_none() && !blocked_only {
                slot = self.next_to_scan(settings);
            }
            let slot = slot?;
            let first = if self.is_blocked(slot) { Step::Clear(KeyKind::Pin) } else { Step::Look };
            self.job = Some(Job { slot, step: first, asked: false, changed: false });
        }
        let (slot, step) = self.job.as_ref().map(|job| (job.slot, job.step))?;
        if self.spent >= self.limit(slot) {
            return None;
        }
        let ask = self.ask(slot, step);
        let first = self.work.get(&slot).is_some_and(|work| work.rounds == 0 && work.told.is_none());
        let job = self.job.as_mut().expect("it was made or found above");
        let changes = !matches!(ask, Ask::Held(_) | Ask::HeldKey(..) | Ask::Access(_) | Ask::ReadWindow(..));
        if changes && !job.changed && first {
            words.push_back(Word::Slot(slot, Stage::Sent));
        }
        if changes {
            self.deeds.retain(|_, until| now_ms < *until);
            self.deeds.insert(slot, now_ms + OWN_DEED_MS);
        }
        job.asked = true;
        job.changed |= changes;
        self.spent += 1;
        Some(ask)
    }

    /// When there is something to ask, ms. Not while an answer is waited for.
    pub(crate) fn due_ms(&self, blocked_only: bool, now_ms: u64) -> Option<u64> {
        let next_hour = self.hour_ms + HOUR_MS;
        let affordable = |slot: Slot, due: u64| {
            if self.spent >= self.limit(slot) { due.max(next_hour) } else { due.max(now_ms) }
        };
        let blocked = self.most_urgent(true).map(|(slot, due)| affordable(slot, due));
        if blocked_only {
            return blocked;
        }
        let job = self.job.as_ref().map(|job| affordable(job.slot, now_ms));
        let other = self.most_urgent(false).map(|(slot, due)| affordable(slot, due));
        let scan = self.scan.map(|slot| affordable(slot, now_ms));
        // A job under way goes on before another begins.
        [job.or(other), blocked, scan.filter(|_| self.job.is_none())].into_iter().flatten().min()
    }

    /// The scan goes past the hub's own people, and ends where the lock has no more places.
    fn next_to_scan(&mut self, settings: &Settings) -> Option<Slot> {
        // Some locks count from 0 and some from 1.
        let last = settings.users.filter(|users| *users > 0).map(|users| users.min(SCAN_MAX));
        let places = self.scan.zip(last).map(|(from, last)| from..=last);
        self.scan = places.and_then(|mut places| places.find(|slot| !self.wanted.contains_key(slot)));
        self.scan
    }

    fn key(&self, slot: Slot) -> Option<(&Key, bool, &[Window], u32)> {
        match self.wanted.get(&slot)? {
            Wanted::Key { key, enabled, windows, revision } => Some((key, *enabled, windows, *revision)),
            Wanted::Empty | Wanted::Blocked => None,
        }
    }

    fn ask(&self, slot: Slot, step: Step) -> Ask {
        let key = self.key(slot);
        let kind = key.map_or(KeyKind::Pin, |(key, ..)| key.kind());
        let windows = key.map_or(&[][..], |(_, _, windows, _)| windows);
        let window = |n: u8| windows.get(usize::from(n)).copied().or(windows.first().copied());
        let held = if self.by_key { Ask::HeldKey(slot, kind) } else { Ask::Held(slot) };
        match (step, key) {
            (Step::Clear(kind), _) => Ask::Clear(slot, kind),
            (Step::Disable, _) => Ask::Enable(slot, false),
            (Step::Set, Some((key, enabled, windows, _))) => {
                Ask::Set(slot, key.clone(), enabled && windows.is_empty(), access(windows))
            }
            (Step::Access | Step::AccessBack, _) => Ask::Access(slot),
            (Step::SetAccess, _) => Ask::SetAccess(slot, access(windows)),
            (Step::SetWindow(n), _) => window(n).map_or(held, |window| Ask::SetWindow(slot, n, window)),
            (Step::ReadWindow(n), _) => window(n).map_or(held, |window| Ask::ReadWindow(slot, n, window)),
            (Step::ClearWindow(n), _) => window(n).map_or(held, |window| Ask::ClearWindow(slot, n, window)),
            (Step::Enable, Some((_, enabled, ..))) => Ask::Enable(slot, enabled),
            (Step::Compare, _) => Ask::HeldKey(slot, kind),
            _ => held,
        }
    }

    /// The answer to what was asked.
    pub(crate) fn replied(&mut self, reply: &Reply, settings: &Settings, now_ms: u64, words: &mut VecDeque<Word>) {
        let Some(job) = self.job.as_mut().filter(|job| job.asked) else { return };
        job.asked = false;
        let (slot, step) = (job.slot, job.step);
        // Not every lock knows the short question.
        if let (Step::Look | Step::Cleared | Step::Check, Reply::Not(Failure::Unsupported), false) =
            (step, reply, self.by_key)
        {
            self.by_key = true;
            return;
        }
        if !self.wanted.contains_key(&slot) {
            return self.looked(slot, reply, words);
        }
        let next = self.after(slot, step, reply, settings);
        self.go_on(slot, next, now_ms, words);
    }

    fn go_on(&mut self, slot: Slot, next: Next, now_ms: u64, words: &mut VecDeque<Word>) {
        match next {
            Next::Step(step) => {
                if let Some(job) = &mut self.job {
                    job.step = step;
                }
            }
            Next::Done => self.done(slot, words),
            Next::Round(why) => self.failed(slot, why, false, now_ms, words),
            Next::Give(why) => self.failed(slot, why, true, now_ms, words),
        }
    }

    /// Nothing came in time.
    pub(crate) fn silent(&mut self, now_ms: u64, words: &mut VecDeque<Word>) {
        let Some(slot) = self.job.as_ref().map(|job| job.slot) else { return };
        if self.wanted.contains_key(&slot) {
            return self.failed(slot, Failure::NoAnswer, false, now_ms, words);
        }
        // A place that was changed is looked at again soon; who else is there, tomorrow.
        self.job = None;
        match self.work.get_mut(&slot) {
            Some(work) if work.rounds < ROUNDS => {
                work.rounds += 1;
                work.due_ms = now_ms + AGAIN_MS;
            }
            Some(_) => drop(self.work.remove(&slot)),
            None => self.scan = None,
        }
    }

    /// A place the hub put nobody in.
    fn looked(&mut self, slot: Slot, reply: &Reply, words: &mut VecDeque<Word>) {
        match reply {
            Reply::Held(held @ (Held::Enabled | Held::Disabled), _) if self.foreign.insert(slot) => {
                words.push_back(Word::Foreign { slot, enabled: *held == Held::Enabled });
            }
            Reply::Held(Held::Empty, _) => drop(self.foreign.remove(&slot)),
            _ => {}
        }
        self.job = None;
        if self.work.remove(&slot).is_none() {
            self.scan = Some(slot + 1);
        }
    }

    /// What follows from an answer about a wanted place.
    fn after(&mut self, slot: Slot, step: Step, reply: &Reply, settings: &Settings) -> Next {
        let Some((_, enabled, windows, _)) = self.key(slot) else { return self.after_taking(step, reply, settings) };
        let last = u8::try_from(windows.len()).unwrap_or(u8::MAX);
        match (step, reply) {
            (Step::Look, Reply::Held(held, shown)) => self.after_look(slot, *held, shown.as_ref(), settings),
            (Step::Clear(kind), _) => after_clear(kind, settings),
            (Step::Cleared, Reply::Held(Held::Empty, _)) => self.before_set(slot, settings),
            (Step::Cleared | Step::Disable, _) => Next::Round(why(reply)),
            (Step::Set, Reply::Done) if windows.is_empty() => Next::Step(Step::Check),
            (Step::Set, Reply::Done) => Next::Step(Step::Access),
            (Step::Access | Step::AccessBack, Reply::Access(told)) if *told == access(windows) => {
                let more = windows_of(windows, settings).unwrap_or(last);
                Next::Step(if last < more { Step::ClearWindow(last) } else { Step::SetWindow(0) })
            }
            (Step::Access, Reply::Access(_)) => Next::Step(Step::SetAccess),
            (Step::SetAccess, Reply::Done) => Next::Step(Step::AccessBack),
            // Whoever had the place before may have left hours there.
            (Step::ClearWindow(n), _) => {
                let more = windows_of(windows, settings).is_some_and(|count| n + 1 < count);
                Next::Step(if more { Step::ClearWindow(n + 1) } else { Step::SetWindow(0) })
            }
            (Step::SetWindow(n), Reply::Done) => Next::Step(Step::ReadWindow(n)),
            (Step::ReadWindow(n), Reply::Window(told)) => match windows.get(usize::from(n)) {
                Some(window) if *told != Some(*window) => Next::Round(Failure::Contrary),
                _ if n + 1 < last => Next::Step(Step::SetWindow(n + 1)),
                _ if enabled => Next::Step(Step::Enable),
                _ => Next::Step(Step::Check),
            },
            (Step::Enable, Reply::Done) => Next::Step(Step::Check),
            // Putting it there anew says the same; a key with hours would open always meanwhile.
            (Step::Enable, Reply::Not(Failure::Unsupported)) if windows.is_empty() => Next::Step(Step::Set),
            (Step::Check, Reply::Held(held, _)) if *held != right(enabled) => Next::Round(Failure::Contrary),
            (Step::Check, Reply::Held(_, shown)) => self.compared(slot, shown.as_ref(), settings),
            (Step::Compare, Reply::Held(_, shown)) => self.after_compare(slot, shown.as_ref()),
            (Step::Compare, _) => Next::Done, // it keeps the key to itself after all
            (
                Step::Set | Step::Access | Step::AccessBack | Step::SetAccess | Step::SetWindow(_) | Step::Enable,
                Reply::Not(why @ (Failure::Full | Failure::Duplicate | Failure::Length | Failure::Unsupported)),
            ) => Next::Give(*why),
            _ => Next::Round(why(reply)),
        }
    }

    /// The same for a place that should be empty.
    fn after_taking(&self, step: Step, reply: &Reply, settings: &Settings) -> Next {
        match (step, reply) {
            (Step::Look | Step::Cleared, Reply::Held(Held::Empty, _)) => Next::Done,
            (Step::Look, _) => Next::Step(Step::Clear(KeyKind::Pin)),
            (Step::Clear(kind), _) => after_clear(kind, settings),
            (Step::Cleared, Reply::Held(..)) => Next::Step(Step::Disable),
            // Not what was asked for, so it is tried again; but a key that does not open is half of it.
            (Step::Disable, _) => Next::Round(Failure::Contrary),
            _ => Next::Round(why(reply)),
        }
    }

    fn after_look(&mut self, slot: Slot, held: Held, shown: Option<&Secret>, settings: &Settings) -> Next {
        let Some((key, enabled, _, revision)) = self.key(slot) else { return Next::Done };
        let other_key = shown.is_some_and(|shown| readable(key, shown) && shown != key.secret());
        let known = self.placed.get(&slot) == Some(&revision) && !other_key;
        match held {
            Held::Empty => {
                self.placed.remove(&slot);
                self.before_set(slot, settings)
            }
            // What is there nobody can say, and whether anything is neither: only "done" is left of the proof.
            Held::Unclear => Next::Give(Failure::Unsupported),
            Held::Enabled | Held::Disabled if !known => {
                self.placed.remove(&slot);
                Next::Step(Step::Clear(KeyKind::Pin))
            }
            held if held == right(enabled) => self.compared(slot, shown, settings),
            _ => Next::Step(Step::Enable),
        }
    }

    /// Whether the lock can take the key at all.
    fn before_set(&self, slot: Slot, settings: &Settings) -> Next {
        let Some((key, _, windows, _)) = self.key(slot) else { return Next::Done };
        let limits = match key.kind() {
            KeyKind::Pin => settings.pin_length,
            KeyKind::Rfid => settings.rfid_length,
        };
        let length = key.secret().bytes().len();
        let fits = limits.is_none_or(|(least, most)| (usize::from(least)..=usize::from(most)).contains(&length));
        if !fits || length == 0 || length >= usize::from(u8::MAX) {
            return Next::Give(Failure::Length);
        }
        let one_sort = windows.iter().all(|window| access(&[*window]) == access(windows));
        let room = windows_of(windows, settings).unwrap_or(WINDOWS_MAX);
        if !one_sort || windows.len() > usize::from(room) {
            return Next::Give(Failure::Windows);
        }
        Next::Step(Step::Set)
    }

    /// After the lock has said that somebody is there: whether it is the right key, if it shows it.
    fn compared(&mut self, slot: Slot, shown: Option<&Secret>, settings: &Settings) -> Next {
        match shown {
            Some(_) => self.after_compare(slot, shown),
            None if settings.shows_keys == Some(true) => Next::Step(Step::Compare),
            None => Next::Done,
        }
    }

    fn after_compare(&mut self, slot: Slot, shown: Option<&Secret>) -> Next {
        let Some((key, ..)) = self.key(slot) else { return Next::Done };
        if shown.is_none_or(|shown| !readable(key, shown) || shown == key.secret()) {
            return Next::Done;
        }
        self.placed.remove(&slot);
        Next::Round(Failure::Contrary)
    }

    fn done(&mut self, slot: Slot, words: &mut VecDeque<Word>) {
        let changed = self.job.take().is_some_and(|job| job.changed);
        let announced = self.work.remove(&slot).is_some_and(|work| work.announced || work.told.is_some());
        let revision = self.key(slot).map(|(_, _, _, revision)| revision);
        let before = match revision {
            Some(revision) => self.placed.insert(slot, revision),
            None => self.placed.remove(&slot),
        };
        if before != revision || changed {
            words.push_back(Word::Placed(slot, revision));
        }
        if changed || announced {
            words.push_back(Word::Slot(slot, Stage::Confirmed));
        }
    }

    fn failed(&mut self, slot: Slot, why: Failure, given_up: bool, now_ms: u64, words: &mut VecDeque<Word>) {
        self.job = None;
        let blocked = self.is_blocked(slot);
        let Some(work) = self.work.get_mut(&slot) else { return };
        work.rounds += 1;
        if work.rounds < ROUNDS && !given_up {
            work.due_ms = now_ms + AGAIN_MS;
            return;
        }
        work.rounds = 0;
        work.due_ms = now_ms + if blocked { BLOCKED_AGAIN_MS } else { HOUR_MS };
        // Said once, not every hour.
        if work.told != Some(why) {
            work.told = Some(why);
            words.push_back(Word::Slot(slot, Stage::Failed(why)));
        }
    }
}

/// For how long whose key opens.
fn access(windows: &[Window]) -> Access {
    match windows.first() {
        None => Access::Always,
        Some(Window::Week(_)) => Access::Week,
        Some(Window::Dates { .. }) => Access::Dates,
    }
}

/// How many windows of this sort a user may have.
fn windows_of(windows: &[Window], settings: &Settings) -> Option<u8> {
    let count = match access(windows) {
        Access::Week => settings.week_windows,
        Access::Dates => settings.date_windows,
        Access::Always | Access::Other => Some(0),
    };
    count.map(|count| count.min(WINDOWS_MAX))
}

fn right(enabled: bool) -> Held {
    if enabled { Held::Enabled } else { Held::Disabled }
}

/// Some locks show stars.
fn readable(key: &Key, shown: &Secret) -> bool {
    key.kind() == KeyKind::Rfid || shown.bytes().iter().all(u8::is_ascii_digit)
}

/// A code and a tag may share a place; a lock that takes no tags says so, or refuses, and neither does harm.
fn after_clear(kind: KeyKind, settings: &Settings) -> Next {
    match kind {
        KeyKind::Pin if settings.rfid_users != Some(0) => Next::Step(Step::Clear(KeyKind::Rfid)),
        _ => Next::Step(Step::Cleared),
    }
}

fn why(reply: &Reply) -> Failure {
    if let Reply::Not(why) = reply { *why } else { Failure::Contrary }
}
