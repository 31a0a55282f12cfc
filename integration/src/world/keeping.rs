//! The hub and its disk: what is recorded, what is kept in memory while the disk fails, and how it gets there when the
//! disk is back, as `hub/io/core` does it. Events are kept in order; none is passed over.

use super::Item;
use super::World;
use super::checks::Broken;
use super::checks::Check;
use super::checks::Held;
use super::checks::broken;
use super::hub::Standing;
use super::story::DiskFault;
use std::sync::Arc;
use std::time::Duration;
use vakt_core::event::Class;
use vakt_core::event::Event;
use vakt_core::event::Fact;
use vakt_core::input::Input;
use vakt_core::turn::Decided;
use vakt_core::turn::Recorded;

/// A commit that takes longer than this has failed, for now, in ms.
const COMMIT_LIMIT_MS: u64 = 1_000;
/// A failed disk is tried again after so many ms. The daemon tries four times as often; here each try costs real time.
const RETRY_MS: u64 = 2_000;
/// Events given to the disk at once when it is back.
const RECOVER_MAX: usize = 256;
/// Alarms and what people do while a disk fails: they are few, and kept whatever the room.
const KEPT_ANYWAY_MAX: usize = 4096;

impl World {
    pub(super) fn record(&mut self, decided: Decided) -> Result<Recorded, Broken> {
        let decided = match decided.nothing_to_record() {
            Ok(recorded) => return Ok(recorded),
            Err(decided) => decided,
        };
        let Some(hub) = self.hub.as_mut() else { return broken(Check::Panics, "nobody records") };
        if !hub.disk_well() {
            return self.keep(decided);
        }
        let slow_ms = match self.disk_fault {
            Some(DiskFault::Slow(ms)) => ms,
            _ => 0,
        };
        let busy = self.disk_fault == Some(DiskFault::Busy);
        if let (true, Some(store)) = (busy, hub.desk.store()) {
            // Nobody waits here: the lock is not let go meanwhile.
            store.conn.busy_timeout(Duration::ZERO).expect("a number");
            self.disk.held(true);
        }
        let mut answer = hub.journal.record(decided.events().to_vec());
        if slow_ms <= COMMIT_LIMIT_MS {
            self.now += slow_ms;
            hub.desk.work();
        } else {
            self.now += COMMIT_LIMIT_MS;
        }
        if busy {
            self.disk.held(false);
            self.disk_fault = None;
        }
        let error = match answer.try_recv() {
            Ok(Ok(committed)) => {
                hub.place = committed.head.place;
                hub.since_snapshot += committed.ids.len() as u64;
                let recorded = decided.committed(&committed);
                self.look()?;
                return Ok(recorded);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {COMMIT_LIMIT_MS} ms"),
        };
        let late = slow_ms > COMMIT_LIMIT_MS;
        let covers = if late { decided.events().len() } else { 0 };
        let answer = late.then_some((answer, self.now + slow_ms.saturating_sub(COMMIT_LIMIT_MS)));
        hub.standing = Standing::Failed { answer, covers, retry_at: self.now + RETRY_MS, refused: 0, total: 0 };
        // The folder's name differs from run to run.
        let said = error.rsplit(": ").next().unwrap_or_default().to_owned();
        self.trace.note(self.now, "disk", format_args!("does not answer: {said}"));
        hub.again.push(Input::DiskFailed { error: said });
        self.keep(decided)
    }

    /// The disk does not answer: keep, apply, tell.
    pub(super) fn keep(&mut self, decided: Decided) -> Result<Recorded, Broken> {
        let Some(hub) = self.hub.as_mut() else { return broken(Check::Panics, "nobody keeps") };
        if let Standing::Failed { refused, total, .. } = &mut hub.standing {
            *refused += decided.refused();
            *total += decided.events().len() as u64;
        }
        let (recorded, kept) = decided.kept();
        hub.pending.extend(kept);
        let counted = hub.pending.iter().filter(|event| !kept_anyway(event)).count();
        if counted > self.story.room || hub.pending.len() > self.story.room + KEPT_ANYWAY_MAX {
            return broken(Check::Limits, format!("{} events wait for the disk", hub.pending.len()));
        }
        Ok(recorded)
    }

    /// Something is due with a disk that failed.
    pub(super) fn tries_disk(&mut self) -> Held {
        let now = self.now;
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        let Standing::Failed { answer, covers, retry_at, .. } = &mut hub.standing else { return Ok(()) };
        if answer.as_ref().is_some_and(|(_, at)| *at > now) || answer.is_none() && *retry_at > now {
            return Ok(());
        }
        *retry_at = now + RETRY_MS;
        let Some((mut asked, _)) = answer.take() else {
            if hub.pending.is_empty() {
                return self.disk_is_back();
            }
            let events: Vec<Event> = hub.pending.iter().take(RECOVER_MAX).cloned().collect();
            let slow_ms = match self.disk_fault {
                Some(DiskFault::Slow(ms)) => ms,
                _ => 0,
            };
            *covers = events.len();
            *answer = Some((hub.journal.record(events), now + slow_ms));
            return if slow_ms == 0 { self.tries_disk() } else { Ok(()) };
        };
        hub.desk.work();
        let covered = std::mem::take(covers).min(hub.pending.len());
        if let Ok(Ok(committed)) = asked.try_recv() {
            hub.pending.drain(..covered);
            hub.place = committed.head.place;
            hub.since_snapshot += covered as u64;
            self.look()?;
            self.saved();
            return self.goes_on();
        }
        match hub.journal.take_begun() {
            Some(begun) => broken(Check::Replay, format!("a new epoch begins, nothing was damaged: {}", begun.text)),
            None => Ok(()),
        }
    }

    pub(super) fn goes_on(&mut self) -> Held {
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        if hub.pending.is_empty() {
            return self.disk_is_back();
        }
        if let Standing::Failed { retry_at, .. } = &mut hub.standing {
            *retry_at = self.now;
        }
        Ok(())
    }

    pub(super) fn disk_is_back(&mut self) -> Held {
        let Some(hub) = self.hub.as_mut() else { return Ok(()) };
        let Standing::Failed { refused, total, .. } = hub.standing else { return Ok(()) };
        hub.standing = Standing::Well;
        self.kept_alarms.clear();
        self.trace.note(self.now, "disk", format_args!("answers again, {total} waited, {refused} found no room"));
        self.saved();
        self.turn(vec![Input::DiskRecovered { pending: total, refused }])?;
        self.snapshot();
        Ok(())
    }

    pub(super) fn snapshot(&mut self) {
        let Some(hub) = self.hub.as_mut().filter(|hub| hub.disk_well()) else { return };
        if hub.journal.snapshot(Arc::new(hub.panel.state().clone()), hub.place) {
            hub.since_snapshot = 0;
            hub.desk.work();
        }
    }

    /// A receipt is handed to the journal; it is written with the next commit, or now.
    pub(super) fn notes_receipts(&mut self) {
        let Some(hub) = self.hub.as_mut() else { return };
        for receipt in hub.voice.receipts.drain(..) {
            let _ = hub.journal.receipt(receipt);
        }
        self.writes_what_waits();
    }

    /// What nobody waits for is written when the disk has nothing else to do.
    pub(super) fn writes_what_waits(&mut self) {
        let slow = matches!(self.disk_fault, Some(DiskFault::Slow(_)));
        let Some(hub) = self.hub.as_mut().filter(|_| !slow) else { return };
        if !matches!(hub.standing, Standing::Failed { answer: Some(_), .. }) {
            hub.desk.work();
        }
    }

    /// The disk is full, as far as SQLite is concerned.
    pub(super) fn disk_fills(&mut self, full: bool) {
        let Some(conn) = self.hub.as_mut().and_then(|hub| hub.desk.store()).map(|store| &store.conn) else { return };
        let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("a number");
        let most = if full { pages } else { 1 << 30 };
        conn.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(())).expect("a number is set");
    }

    pub(super) fn disk_breaks(&mut self, fault: DiskFault, for_ms: u64) {
        if self.disk_fault.is_some() || self.dark {
            return;
        }
        self.trace.note(self.now, "disk", format_args!("{fault:?} for {for_ms} ms"));
        self.disk_fault = Some(fault);
        match fault {
            DiskFault::Failing => self.disk.fails(true),
            DiskFault::Full => self.disk_fills(true),
            DiskFault::Busy | DiskFault::Slow(_) => {}
        }
        self.disk_heals_at = self.now + for_ms;
        self.after(self.disk_heals_at, Item::DiskHeals(self.disk_heals_at));
    }

    pub(super) fn disk_heals(&mut self) {
        let Some(fault) = self.disk_fault.take() else { return };
        self.disk.fails(false);
        if fault == DiskFault::Full {
            self.disk_fills(false);
        }
        self.trace.note(self.now, "disk", format_args!("is well"));
        self.writes_what_waits();
    }
}

/// What is kept however little room there is: alarms, what people do, and the ends of what has begun (B6).
fn kept_anyway(event: &Event) -> bool {
    let ends = matches!(
        event.fact,
        Fact::DeviceChanged { .. }
            | Fact::PermitClosed {}
            | Fact::CommandConfirmed { .. }
            | Fact::CommandFailed { .. }
            | Fact::Settled {}
            | Fact::TestEnded {}
            | Fact::ServiceChanged { .. }
    );
    ends || matches!(event.fact.class(), Class::Alarm | Class::Access)
}
