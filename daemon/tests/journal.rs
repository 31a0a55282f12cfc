//! The journal on a real file system: what was committed stays, what is damaged is never believed and never lost.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // seeds are printed; a test that meets the unexpected should stop there

use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use vakt_core::alarm::state::Arming;
use vakt_core::alarm::state::State;
use vakt_core::device::AreaId;
use vakt_core::device::UserId;
use vakt_core::event::AlarmKind;
use vakt_core::event::ArmMode;
use vakt_core::event::Class;
use vakt_core::event::Event;
use vakt_core::event::EventId;
use vakt_core::event::Fact;
use vakt_core::event::Method;
use vakt_core::event::Personal;
use vakt_core::event::RestartReason;
use vakt_core::event::Service;
use vakt_core::event::UserRole;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Receipt;
use vakt_core::port::Stored;
use vakt_core::stamp::Stamp;
use vaktd::journal::io::reader;
use vaktd::journal::io::reader::Reader;
use vaktd::journal::io::schema;
use vaktd::journal::io::store;
use vaktd::journal::io::store::JournalError;
use vaktd::journal::io::store::Opened;
use vaktd::journal::io::writer;
use vaktd::journal::io::writer::Journal;
use vaktd::journal::io::writer::Keys;
use vaktd::journal::retention::KEEP_ROWS;

const EPOCH: u64 = 4_711;
const SEAL: [u8; 32] = [7; 32];

fn keys() -> Keys {
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    Keys { seal: SEAL, sign: Arc::new(pair) }
}

fn hub_key() -> String {
    use base64::Engine;
    use ring::signature::KeyPair;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(keys().sign.public_key().as_ref())
}

fn event(number: u64, fact: Fact) -> Event {
    let mut entropy = [0u8; 10];
    entropy[2..].copy_from_slice(&number.to_be_bytes());
    let stamp = Stamp { boot: 1, mono_ms: number, wall_ms: 1_700_000_000_000 + number as i64, trusted: true };
    let (area, user) = (Some(AreaId::new("house").unwrap()), Some(UserId::new("anna").unwrap()));
    let name = [("name".to_owned(), format!("Anna {number}"))].into();
    let personal =
        matches!(fact, Fact::UserSet { .. }).then(|| Personal { salt: format!("{number:032x}"), fields: name });
    Event {
        id: EventId::mint(stamp.wall_ms, entropy),
        stamp,
        fact,
        area,
        zone: None,
        device: None,
        incident: None,
        user,
        method: Some(Method::Local),
        service: Service::Active,
        authenticated: None,
        personal,
        centre_only: false,
    }
}

/// A life of `count` events: the beginning, a key, an area, people, arming and disarming.
fn life(count: u64) -> Vec<Event> {
    let fact = |number| match number {
        1 => restarted(RestartReason::First, None),
        3 => Fact::KeyListed { kid: "hub".into(), role: "hub".into(), ed25519: hub_key() },
        2 => Fact::AreaSet { entry_s: 30, exit_s: 45 },
        n if n % 7 == 0 => Fact::UserSet { role: UserRole::Member, expires: None },
        n if n % 2 == 0 => Fact::AreaArmed { mode: ArmMode::Away },
        _ => Fact::AreaDisarmed { after_alarm: false },
    };
    (1..=count).map(|number| event(number, fact(number))).collect()
}

fn fold(events: &[Event]) -> State {
    let mut state = State::default();
    events.iter().for_each(|event| state.apply(event));
    state
}

fn open(dir: &Path) -> Opened {
    store::open(dir, &SEAL, EPOCH).unwrap()
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn record(journal: &Journal, events: &[Event]) -> Place {
    let mut head = Place::default();
    for batch in events.chunks(50) {
        head = journal.record(batch.to_vec()).await.unwrap().unwrap().head.place;
    }
    head
}

fn receipt(upto: u64) -> Receipt {
    use base64::Engine;
    let claims = format!("{{\"epoch\":{EPOCH},\"upto\":{upto}}}");
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
    Receipt { epoch: EPOCH, upto, seqs: vec![], ids: vec![], jws: format!("e30.{claims}.") }
}

/// A closed journal with `count` events, half of them signed for, a snapshot in the middle and a side snapshot.
fn lived(dir: &Path, count: u64) -> Vec<Event> {
    let events = life(count);
    let opened = open(dir);
    let (journal, thread) = writer::start(dir.to_owned(), opened.store, keys()).unwrap();
    block(async {
        let half = usize::try_from(count / 2).unwrap();
        let middle = record(&journal, &events[..half]).await;
        journal.snapshot(Arc::new(fold(&events[..half])), middle);
        let head = record(&journal, &events[half..]).await;
        journal.side(Arc::new(fold(&events)), head);
        journal.receipt(receipt(half as u64));
        record(&journal, &[]).await;
        journal.stop().await;
    });
    thread.join().unwrap();
    events
}

fn rows(path: &Path) -> Vec<(u64, u64, Vec<u8>, Vec<u8>)> {
    let conn = Connection::open(path).unwrap();
    let mut rows = conn.prepare("SELECT epoch, seq, body, hash FROM event ORDER BY epoch, seq").unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// The one receipt of a file, as far as it can be read: epoch, up to which seq, the signed text.
fn receipt_of(path: &Path) -> Option<(u64, u64, String)> {
    let receipt = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Connection::open(path).ok()?.query_row("SELECT epoch, upto, jws FROM receipt", [], receipt).ok()
}

fn definitions(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let mut rows = conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_fresh_journal_is_what_its_schema_says_and_reopens_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path());
    let begun = opened.begun.unwrap();
    assert_eq!((begun.reason, begun.salvaged, opened.store.epoch), (RestartReason::First, 0, EPOCH));
    drop(opened.store);
    let fresh = Connection::open_in_memory().unwrap();
    fresh.execute_batch(schema::SCHEMA).unwrap();
    let plain = dir.path().join("plain.db");
    fresh.execute("VACUUM INTO ?1", [plain.to_str().unwrap()]).unwrap();
    assert_eq!(definitions(&dir.path().join("journal.db")), definitions(&plain));
    let again = open(dir.path());
    assert_eq!(again.begun, Some(begun), "its first event has still to be written, and says the same");
    assert_eq!(again.store.head.place, Place { epoch: EPOCH, seq: 0 });
}

#[test]
fn replay_of_the_journal_is_the_state_that_lived_with_and_without_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let events = lived(dir.path(), 201);
    let again = open(dir.path());
    assert_eq!(again.state, fold(&events));
    assert_eq!(again.store.head.place, Place { epoch: EPOCH, seq: 201 });
    drop(again.store);
    let path = dir.path().join("journal.db");
    Connection::open(&path).unwrap().execute("DELETE FROM snapshot", []).unwrap();
    std::fs::remove_file(dir.path().join("arm-state")).unwrap();
    assert_eq!(open(dir.path()).state, fold(&events), "from the first event on");
    let found = Reader::open(&path).unwrap().verify().unwrap();
    assert_eq!((found.rows, found.lost, found.head.place.seq), (201, 0, 201));
}

#[test]
fn the_same_events_asked_for_again_after_a_failure_are_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path());
    let (journal, thread) = writer::start(dir.path().to_owned(), opened.store, keys()).unwrap();
    let events = life(30);
    let path = dir.path().join("journal.db");
    block(async {
        record(&journal, &events[..10]).await;
        // Somebody else holds the file longer than the writer waits: the commit fails, and is asked for again.
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let failed = journal.record(events[10..20].to_vec()).await.unwrap();
        assert!(failed.is_err());
        other.execute_batch("ROLLBACK").unwrap();
        // And this one was written although its answer never came.
        record(&journal, &events[10..]).await;
        journal.stop().await;
    });
    thread.join().unwrap();
    assert_eq!(rows(&path).len(), 30);
    Reader::open(&path).unwrap().verify().unwrap();
}

#[test]
fn a_journal_that_is_gone_or_older_than_the_hub_begins_a_new_epoch_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    lived(dir.path(), 100);
    let copy = std::fs::read(dir.path().join("journal.db")).unwrap();
    let opened = open(dir.path());
    let (journal, thread) = writer::start(dir.path().to_owned(), opened.store, keys()).unwrap();
    let more: Vec<Event> = life(120).split_off(100);
    block(async {
        let head = record(&journal, &more).await;
        journal.side(Arc::new(fold(&life(120))), head);
        journal.stop().await;
    });
    thread.join().unwrap();
    std::fs::write(dir.path().join("journal.db"), copy).unwrap();
    let restored = open(dir.path());
    let begun = restored.begun.unwrap();
    assert_eq!((begun.reason, restored.store.epoch), (RestartReason::Restored, EPOCH + 1));
    assert_eq!(restored.state, fold(&life(120)), "what the hub knew, not what the copy knew");
    drop(restored.store);
    std::fs::remove_file(dir.path().join("journal.db")).unwrap();
    let missing = open(dir.path());
    let begun = missing.begun.unwrap();
    assert_eq!((begun.reason, missing.store.epoch), (RestartReason::Missing, EPOCH + 2));
    assert!(begun.arm_state_known);
    assert_eq!(std::fs::read_to_string(dir.path().join("epoch")).unwrap(), format!("{}\n", EPOCH + 2));
}

#[test]
fn a_later_programs_journal_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    lived(dir.path(), 20);
    let path = dir.path().join("journal.db");
    let later = Connection::open(&path).unwrap();
    later.execute_batch("ALTER TABLE anchor ADD COLUMN reason TEXT; PRAGMA user_version = 9").unwrap();
    drop(later);
    assert!(matches!(store::open(dir.path(), &SEAL, EPOCH), Err(JournalError::Newer { found: 9, .. })));
    assert_eq!(rows(&path).len(), 20);
    assert!(!dir.path().join("journal.db.quarantined-1").exists());
}

/// A file and what SQLite keeps beside it.
fn bytes_of(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap())
    };
    let mut all: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| read(entry.unwrap())).collect();
    all.sort();
    all
}

/// R90: whoever goes back to an earlier program is told, and comes to no harm.
#[test]
fn r90_what_only_a_later_program_understands_is_refused_and_left_as_it_is() {
    use sha2::Digest;
    let sha = |bytes: &[u8]| sha2::Sha256::digest(bytes).to_vec();
    for what in ["epoch 4711 seq 20", "what the hub knew at epoch 4711 seq 10"] {
        let dir = tempfile::tempdir().unwrap();
        lived(dir.path(), 20);
        let conn = Connection::open(dir.path().join("journal.db")).unwrap();
        let of_row = "SELECT body FROM event WHERE seq = 20";
        let of_state = "SELECT state FROM snapshot WHERE seq = 10";
        let asked = if what.starts_with("epoch") { of_row } else { of_state };
        let text = String::from_utf8(conn.query_row(asked, [], |row| row.get(0)).unwrap()).unwrap();
        if what.starts_with("epoch") {
            let later = text.replace("area_armed", "moon_landed").into_bytes();
            conn.execute("UPDATE event SET body = ?1, hash = ?2 WHERE seq = 20", (&later, sha(&later))).unwrap();
        } else {
            let later = text.replacen("{\"", "{\"aaa_moon\":true,\"", 1).into_bytes();
            let sql = "UPDATE snapshot SET version = version + 1, state = ?1, hash = ?2 WHERE seq = 10";
            conn.execute(sql, (&later, sha(&later))).unwrap();
        }
        drop(conn);
        let before = bytes_of(dir.path());
        let refused = store::open(dir.path(), &SEAL, EPOCH).unwrap_err();
        assert!(matches!(refused, JournalError::Later { .. }), "{refused}");
        assert!(
            refused
                .to_string()
                .ends_with(&format!("{what} is of a later program than this: install the newer vaktd again"))
        );
        assert_eq!(bytes_of(dir.path()), before, "{what}");
    }
}

/// SQLite lets go of all its locks on a file when anybody in the process closes that file: then the next reader takes the
/// log's index away under the writer's hands.
#[test]
fn the_index_of_the_log_stays_locked_while_the_writer_has_it() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path());
    let (journal, thread) = writer::start(dir.path().to_owned(), opened.store, keys()).unwrap();
    block(record(&journal, &life(3)));
    let index = std::fs::metadata(dir.path().join("journal.db-shm")).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let own = format!(" {} ", std::process::id());
    let held = |line: &&str| line.contains(&own) && line.contains(&format!(":{index} "));
    assert!(locks.lines().any(|line| held(&line)), "{locks}");
    block(journal.stop());
    thread.join().unwrap();
}

/// Where there is no log (on small blocks), whoever reads slowly does not keep the hub from writing.
#[test]
fn whoever_prints_a_long_journal_slowly_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    lived(dir.path(), 700);
    let path = dir.path().join("journal.db");
    let writes = Connection::open(&path).unwrap();
    writes.pragma_update(None, "journal_mode", "PERSIST").unwrap();
    writes.busy_timeout(std::time::Duration::ZERO).unwrap();
    let reader = Reader::open(&path).unwrap();
    let mut seen = 0;
    let take = |_: &[u8]| -> Result<(), JournalError> {
        seen += 1;
        writes.execute("UPDATE receipt SET upto = upto - 1", []).unwrap();
        Ok(())
    };
    reader.each(Place::default(), &Default::default(), take).unwrap();
    assert_eq!(seen, 700);
}

/// What SQLite left beside a journal that is gone would be written into the new one.
#[test]
fn what_is_left_beside_a_lost_journal_is_not_taken_for_the_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    lived(dir.path(), 10);
    let opened = open(dir.path());
    opened.store.conn.execute("UPDATE receipt SET upto = 1", []).unwrap();
    let log = std::fs::read(dir.path().join("journal.db-wal")).unwrap();
    assert!(log.len() > 4096);
    drop(opened.store);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(dir.path().join("journal.db-wal"), &log).unwrap();
    let fresh = open(dir.path());
    assert_eq!(fresh.begun.unwrap().reason, RestartReason::Missing);
    drop(fresh.store);
    assert_eq!(rows(&path).len(), 0);
    assert_eq!(std::fs::read(dir.path().join("journal.db.quarantined-1-wal")).unwrap(), log);
}

fn restarted(reason: RestartReason, old_epoch: Option<u64>) -> Fact {
    Fact::JournalRestarted { reason, old_epoch, old_seq: None, old_hash: None, salvaged: 0, arm_state_known: false }
}

/// A small generator with a printed seed: enough to pick bytes.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn a_damaged_journal_is_never_believed_never_lost_and_never_stops_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    let events = lived(dir.path(), 200);
    let sound = std::fs::read(dir.path().join("journal.db")).unwrap();
    let good = rows(&dir.path().join("journal.db"));
    let signed = receipt_of(&dir.path().join("journal.db"));
    assert!(signed.as_ref().is_some_and(|(_, upto, _)| *upto == 100));
    let seed = std::env::var("VAKT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(u64::from(std::process::id()));
    println!("seed {seed} (VAKT_SEED={seed} plays it again)");
    let mut dice = Dice(seed);
    let (mut aside, mut unharmed) = (0, 0);
    for round in 0..160 {
        let hub = tempfile::tempdir().unwrap();
        for name in ["epoch", "arm-state"] {
            std::fs::copy(dir.path().join(name), hub.path().join(name)).unwrap();
        }
        let mut bytes = sound.clone();
        if round % 4 == 0 {
            bytes.truncate(dice.below(sound.len()));
        } else {
            let at = dice.below(sound.len());
            bytes[at] ^= 1 << dice.below(8);
        }
        let path = hub.path().join("journal.db");
        std::fs::write(&path, &bytes).unwrap();
        let verified = Reader::open(&path).map(|reader| reader.verify().is_ok()).unwrap_or(false);
        let opened = open(hub.path());
        assert_eq!(opened.state, fold(&events), "round {round}: from the signed side snapshot, if not from the rows");
        match opened.begun {
            None => {
                drop(opened.store);
                unharmed += 1;
                assert_eq!(rows(&path), good, "round {round}");
            }
            Some(begun) => {
                aside += 1;
                assert!(!verified, "round {round}: verify said ok, the start did not: {}", begun.text);
                assert!(begun.arm_state_known && opened.store.epoch > EPOCH, "round {round}");
                let kept = hub.path().join("journal.db.quarantined-1");
                assert!(kept.exists() || begun.reason != RestartReason::Quarantined, "round {round}");
                // What was carried over is what was written, byte for byte, and only what nobody has signed for, as far as
                // the file still says what was: what is sent twice harms nobody, what is not sent may.
                let carried = rows(&path);
                assert!(carried.iter().all(|row| good.contains(row)), "round {round}");
                let whole = kept.exists() && receipt_of(&kept) == signed;
                assert!(!whole || carried.iter().all(|row| row.1 > 100), "round {round}");
                assert_eq!(carried.len() as u64, begun.salvaged, "round {round}");
                let told = event(9_000, restarted(begun.reason, begun.old.map(|(place, _)| place.epoch)));
                let (journal, thread) = writer::start(hub.path().to_owned(), opened.store, keys()).unwrap();
                block(async {
                    record(&journal, &[told]).await;
                    journal.stop().await;
                });
                thread.join().unwrap();
            }
        }
        let verified = Reader::open(&path).unwrap().verify();
        assert!(verified.is_ok(), "round {round}: {}", verified.unwrap_err());
    }
    println!("{aside} put aside, {unharmed} unharmed");
    assert!(aside > 60 && unharmed > 0);
}

/// A folder whose journal of 60 events, the newer half without a receipt, has a page overwritten.
fn damaged() -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    lived(dir.path(), 60);
    let path = dir.path().join("journal.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // The file's own number of its schema: nothing of the rows is hurt, and nothing of the file is believed.
    bytes[60..64].copy_from_slice(&[0xFF; 4]);
    std::fs::write(&path, &bytes).unwrap();
    (dir, bytes)
}

#[test]
fn a_fall_while_a_damaged_journal_is_put_aside_loses_nothing() {
    let (dir, bytes) = damaged();
    let path = dir.path().join("journal.db");
    // It cannot be made: the damaged one stays where it is.
    let making = dir.path().join("journal.db.making");
    std::fs::create_dir(&making).unwrap();
    assert!(store::open(dir.path(), &SEAL, EPOCH).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    std::fs::remove_dir(&making).unwrap();
    // Half made: thrown away and made again.
    std::fs::write(&making, b"half of a journal").unwrap();
    let whole = open(dir.path());
    let begun = whole.begun.unwrap();
    assert_eq!((begun.reason, begun.salvaged), (RestartReason::Quarantined, 30));
    let (last, hash) = begun.old.unwrap();
    assert_eq!((last.seq, hash.is_some()), (60, true), "the old head is named, receipted or not");
    drop(whole.store);
    // Made, and not yet put in place.
    std::fs::rename(&path, dir.path().join("journal.db.next")).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let placed = open(dir.path());
    let again = placed.begun.unwrap();
    assert_eq!((again.reason, again.salvaged, again.old), (begun.reason, 30, begun.old));
    assert_eq!(rows(&path).len(), 30);
    assert_eq!(std::fs::read(dir.path().join("journal.db.quarantined-2")).unwrap(), bytes);
}

#[test]
fn a_new_epoch_takes_nothing_before_it_has_said_why_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path());
    let (journal, thread) = writer::start(dir.path().to_owned(), opened.store, keys()).unwrap();
    let events = life(3);
    block(async {
        let refused = journal.record(events[1..].to_vec()).await.unwrap();
        assert!(matches!(refused, Err(JournalError::Unannounced)), "{refused:?}");
        record(&journal, &events).await;
        journal.stop().await;
    });
    thread.join().unwrap();
    assert_eq!(rows(&dir.path().join("journal.db")).len(), 3);
}

#[test]
fn receipts_leave_room_for_events_behind_a_disk_that_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path());
    let (journal, thread) = writer::start(dir.path().to_owned(), opened.store, keys()).unwrap();
    let events = life(3);
    block(async {
        record(&journal, &events[..1]).await;
        let other = Connection::open(dir.path().join("journal.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let taken = (0..200).filter(|_| journal.receipt(receipt(1))).count();
        assert!(taken < 100, "{taken} receipts were taken");
        let answer = journal.record(events[1..].to_vec());
        other.execute_batch("ROLLBACK").unwrap();
        answer.await.unwrap().unwrap();
        journal.stop().await;
    });
    thread.join().unwrap();
}

#[test]
fn the_outbox_reads_the_journal_that_is_there_now_and_never_passes_over_a_row() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    lived(dir.path(), 60);
    lived(other.path(), 80);
    let path = dir.path().join("journal.db");
    let (told, suspected) = std::sync::mpsc::sync_channel(16);
    let questions = reader::serve(path.clone(), move || told.send(()).unwrap()).unwrap();
    let ask = |after: u64| {
        let (answer, rows) = tokio::sync::oneshot::channel();
        let asked = NextEvents { class: Class::Access, after: Place { epoch: EPOCH, seq: after }, limit: 100 };
        questions.blocking_send((asked, answer)).unwrap();
        rows.blocking_recv().map(|rows: Vec<Stored>| rows.len()).ok()
    };
    assert_eq!(ask(0), Some(30));
    // Another file in its place, as when a damaged one is put aside.
    std::fs::rename(other.path().join("journal.db"), &path).unwrap();
    assert_eq!(ask(0), Some(40));
    assert!(suspected.try_recv().is_err());
    Connection::open(&path).unwrap().execute("UPDATE event SET body = x'00' WHERE seq = 70", []).unwrap();
    assert!(ask(0).is_none(), "no answer is not an empty answer");
    suspected.recv_timeout(std::time::Duration::from_secs(5)).unwrap();
}

#[test]
fn without_anything_signed_the_arm_state_is_unknown_and_a_forged_side_snapshot_is_not_signed() {
    for forged in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        lived(dir.path(), 50);
        let side = dir.path().join("arm-state");
        if forged {
            let mut bytes = std::fs::read(&side).unwrap();
            let at = bytes.windows(5).position(|window| window == b"armed").unwrap();
            bytes[at] = b'u';
            std::fs::write(&side, bytes).unwrap();
        } else {
            std::fs::remove_file(&side).unwrap();
        }
        std::fs::write(dir.path().join("journal.db"), b"not a database, not even nearly, but long enough to be one")
            .unwrap();
        let opened = open(dir.path());
        let begun = opened.begun.unwrap();
        assert_eq!((begun.reason, begun.arm_state_known), (RestartReason::Quarantined, false));
        let mut state = fold(&life(50));
        state.apply(&event(51, restarted(begun.reason, None)));
        assert!(state.areas.values().all(|area| area.arming == Arming::Unknown));
    }
}

#[test]
fn old_rows_that_are_signed_for_are_pruned_to_an_anchor_that_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path());
    let (journal, thread) = writer::start(dir.path().to_owned(), opened.store, keys()).unwrap();
    let count = KEEP_ROWS + 500;
    let events = life(count);
    let pruned = block(async {
        let head = record(&journal, &events).await;
        assert_eq!(journal.prune(i64::MAX).await.unwrap(), None, "nothing goes without a receipt and a snapshot");
        for seq in [head.seq - 1, head.seq] {
            let known = fold(&events[..usize::try_from(seq).unwrap()]);
            journal.snapshot(Arc::new(known), Place { seq, ..head });
        }
        journal.receipt(receipt(400));
        record(&journal, &[]).await;
        let pruned = journal.prune(i64::MAX).await.unwrap();
        journal.stop().await;
        pruned
    });
    thread.join().unwrap();
    assert_eq!(pruned, Some(Place { epoch: EPOCH, seq: 400 }));
    let path = dir.path().join("journal.db");
    let found = Reader::open(&path).unwrap().verify().unwrap();
    assert_eq!((found.rows, found.lost), (count - 400, 0));
    let again = open(dir.path());
    assert_eq!(again.state, fold(&events));
    drop(again.store);
    let conn = Connection::open(&path).unwrap();
    let forged = "UPDATE anchor SET hash = zeroblob(32)";
    conn.execute(forged, []).unwrap();
    let bad = Reader::open(&path).unwrap().verify().unwrap_err().to_string();
    assert!(bad.contains("prev") || bad.contains("signature"), "{bad}");
    conn.execute("DELETE FROM event WHERE seq = 401", []).unwrap();
    assert!(Reader::open(&path).unwrap().verify().is_err(), "a row taken out behind the anchor");
}

#[test]
fn a_row_taken_out_put_in_or_moved_is_named() {
    let dir = tempfile::tempdir().unwrap();
    lived(dir.path(), 60);
    let path = dir.path().join("journal.db");
    let sound = std::fs::read(&path).unwrap();
    for (change, named) in [
        ("DELETE FROM event WHERE seq = 30", "seq 31"),
        ("UPDATE event SET seq = 99 WHERE seq = 60", "seq 99"),
        ("UPDATE event SET class = 0 WHERE seq = 12", "seq 12"),
        ("UPDATE event SET hash = zeroblob(32) WHERE seq = 12", "seq 12"),
        ("UPDATE personal SET body = CAST(replace(body, 'Anna', 'Emma') AS BLOB) WHERE seq = 14", "seq 14"),
        ("UPDATE receipt SET upto = 59", "seq 59, its signed text"),
    ] {
        std::fs::write(&path, &sound).unwrap();
        let conn = Connection::open(&path).unwrap();
        conn.execute(change, []).unwrap();
        let bad = Reader::open(&path).unwrap().verify().unwrap_err().to_string();
        assert!(bad.contains(named), "{change}: {bad}");
    }
    // Erasing what is personal is no damage.
    std::fs::write(&path, &sound).unwrap();
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "secure_delete", "ON").unwrap(); // as the daemon's own connection does
    conn.execute("DELETE FROM personal", []).unwrap();
    drop(conn);
    Reader::open(&path).unwrap().verify().unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    assert!(!text.contains("Anna 14"), "erased means gone from the file");
}

/// A disk that takes no more pages than the journal has.
fn fill_up(store: &store::Store) {
    let pages: u64 = store.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let most: u64 = store.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get(0)).unwrap();
    assert_eq!(most, pages);
}

#[test]
fn on_a_full_disk_what_is_signed_for_makes_room_and_nothing_else_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let events = life(4_000);
    let opened = open(dir.path());
    let (journal, thread) = writer::start(dir.path().to_owned(), opened.store, keys()).unwrap();
    block(async {
        let head = record(&journal, &events[..3_000]).await;
        for seq in [head.seq - 1, head.seq] {
            journal.snapshot(Arc::new(fold(&events[..usize::try_from(seq).unwrap()])), Place { seq, ..head });
        }
        journal.receipt(receipt(1_500));
        record(&journal, &[]).await;
        journal.stop().await;
    });
    thread.join().unwrap();

    let opened = open(dir.path());
    fill_up(&opened.store);
    let (journal, thread) = writer::start(dir.path().to_owned(), opened.store, keys()).unwrap();
    // Room for as many as had a receipt, and then for none.
    let (taken, refused) = block(async {
        let (mut taken, mut refused) = (0, 0);
        for event in &events[3_000..] {
            match journal.record(vec![event.clone()]).await.unwrap() {
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
        }
        journal.stop().await;
        (taken, refused)
    });
    thread.join().unwrap();
    assert!(taken > 800, "{taken} taken, {refused} refused");
    let found = Reader::open(&path).unwrap().verify().unwrap();
    assert_eq!((found.rows, found.lost), (3_000 + taken - 1_500, 0), "what has no receipt stays");
}

/// R90: what an earlier version has written, this one reads on: nothing is put aside and nothing begins anew.
#[test]
fn r90_a_journal_of_each_version_that_was_given_away_is_read_on() {
    // Of the second the rows that made its state are pruned: there it stands on its snapshot alone, and a state of another
    // version needs a step from each that was given away (`record::STEPS`).
    for version in ["0.1.0", "0.1.0-pruned"] {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/journal-{version}"));
        let dir = tempfile::tempdir().unwrap();
        for file in ["journal.db", "epoch"] {
            std::fs::copy(kept.join(file), dir.path().join(file)).unwrap();
        }
        let opened = store::open(dir.path(), &[0; 32], 1).unwrap();
        assert_eq!(opened.begun, None, "{version}: {:?}", opened.begun);
        let house = &opened.state.areas[&AreaId::new("house").unwrap()];
        assert!(house.arming.guarding().is_some(), "{version}: it was armed when it was left");
        assert_eq!((opened.state.devices.len(), opened.state.users.len(), opened.state.rules.len()), (1, 1, 1));
        assert!(opened.state.incidents.values().any(|incident| incident.kind == AlarmKind::Sos), "{version}");
        drop(opened);
        Reader::open(&dir.path().join("journal.db")).unwrap().verify().unwrap();
    }
}
