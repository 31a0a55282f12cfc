//! Fail-over on a clock of its own: the real speaker, two paths with brokers behind them, and a centre. A second takes no
//! time here, so what must happen within one is a rule and not a measurement.
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use vakt_core::challenge::Challenges;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::GatewayId;
use vakt_core::device::Measurement;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::port::Head;
use vakt_core::port::LinkState;
use vakt_core::port::Links;
use vakt_core::port::Measured;
use vakt_core::port::MediaPiece;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Signal;
use vakt_core::port::Stored;
use vakt_core::port::UpstreamNote;
use vakt_core::port::Waiting;
use vakt_core::stamp::Stamp;
use vaktd::upstream::backoff::ALARM_JITTER_MS;
use vaktd::upstream::outbox::ConnId;
use vaktd::upstream::port::Failure;
use vaktd::upstream::port::LinkEvent;
use vaktd::upstream::port::Out;
use vaktd::upstream::receipt::Claim;
use vaktd::upstream::settings::PathSettings;
use vaktd::upstream::settings::Settings;
use vaktd::upstream::speaker::Around;
use vaktd::upstream::speaker::Speaker;
use vaktd::upstream::topic::DeviceView;
use vaktd::upstream::topic::View;
use vaktd::upstream::verdict::Reason;

const ETH: usize = 0;
const LTE: usize = 1;
const NAMES: [&str; 2] = ["eth", "lte"];
const DEVICES: [&str; 2] = ["eth0", "wwan0"];
const EPOCH: u64 = 7;
const MINUTE: u64 = 60_000;

/// One way to the centre.
struct Wire {
    /// From end to end, one way, in milliseconds.
    takes_ms: u64,
    up: bool,
    down: bool,
    /// The centre hears behind this broker.
    centre: bool,
    conn: Option<ConnId>,
    id: u16,
    /// What the hub said, by topic below the gateway's.
    said: Vec<(u64, String)>,
}

/// On its way.
enum Packet {
    Up { path: usize, conn: ConnId, id: u16, topic: String, payload: Vec<u8> },
    Down { path: usize, conn: ConnId, event: LinkEvent },
    Receipt { path: usize, upto: u64, seqs: Vec<u64> },
}

struct Site {
    speaker: Speaker,
    now_ms: u64,
    rows: Vec<Stored>,
    receipted: BTreeSet<u64>,
    view: View,
    links: Option<Links>,
    wires: [Wire; 2],
    air: BTreeMap<(u64, u64), Packet>,
    packets: u64,
    /// What the centre holds, and when and by which path it first came.
    held: BTreeMap<u64, (u64, usize)>,
    notes: Vec<(u64, UpstreamNote)>,
    /// Bytes of the one medium there is, if there is one, and the connection it leaves on.
    stock: u64,
    media: Option<(usize, ConnId)>,
    /// When its pieces left, by which path, and their bytes.
    pieces: Vec<(u64, usize, u64)>,
    /// When each path was dialled.
    dials: [Vec<u64>; 2],
    /// What the hub draws.
    random: u64,
}

impl Site {
    fn new() -> Self {
        let path = |at: usize| PathSettings {
            name: NAMES[at].to_owned(),
            brokers: vec![],
            device: Some(DEVICES[at].to_owned()),
            tls: None,
        };
        let settings = Settings {
            gateway: GatewayId::new("hub-1").unwrap(),
            run_dir: PathBuf::new(),
            state_dir: PathBuf::new(),
            paths: vec![path(ETH), path(LTE)],
            alarm_deadline_s: 10,
            beat_primary_s: 20,
            beat_alternative_s: 180,
        };
        let wire = |takes_ms| Wire { takes_ms, up: true, down: true, centre: true, conn: None, id: 0, said: vec![] };
        let head = Place { epoch: EPOCH, seq: 0 };
        let mut site = Self {
            speaker: Speaker::new(&settings, Challenges::new([5; 32]), head, at(1_000)),
            now_ms: 1_000,
            rows: vec![],
            receipted: BTreeSet::new(),
            view: View::default(),
            links: Some(DEVICES.iter().map(|device| ((*device).to_owned(), LinkState::Well)).collect()),
            wires: [wire(5), wire(35)],
            air: BTreeMap::new(),
            packets: 0,
            held: BTreeMap::new(),
            notes: vec![],
            stock: 0,
            media: None,
            pieces: vec![],
            dials: [vec![], vec![]],
            random: 77,
        };
        site.pass(5_000);
        site
    }

    fn commit(&mut self, class: Class) -> u64 {
        self.commit_with(class, false)
    }

    fn commit_with(&mut self, class: Class, every_way: bool) -> u64 {
        let seq = self.rows.len() as u64 + 1;
        let mut entropy = [0; 10];
        entropy[2..].copy_from_slice(&seq.to_be_bytes());
        let (place, id) = (Place { epoch: EPOCH, seq }, EventId::mint(1, entropy));
        let wire: Arc<[u8]> = Arc::from(seq.to_string().as_bytes());
        self.rows.push(Stored { place, id, class, every_way, stamp: at(self.now_ms), wire });
        self.work();
        seq
    }

    fn with(&mut self, call: impl FnOnce(&mut Speaker, &mut Around<'_>)) {
        let head = Head { place: Place { epoch: EPOCH, seq: self.rows.len() as u64 }, hash: [0; 32] };
        let drawn = self.random;
        let (now, waiting, random) = (at(self.now_ms), Waiting::default(), &mut || drawn);
        let links = self.links.as_ref();
        call(
            &mut self.speaker,
            &mut Around { now, head, waiting, view: &self.view, keys: &[], links, media: self.stock, random },
        );
    }

    fn work(&mut self) {
        self.with(Speaker::work);
        while let Some(out) = self.speaker.out() {
            self.perform(out);
        }
        while let Some(note) = self.speaker.note() {
            if let UpstreamNote::Receipt(receipt) = &note {
                self.receipted.extend((1..=receipt.upto).chain(receipt.seqs.iter().copied()));
            }
            self.notes.push((self.now_ms, note));
        }
    }

    fn perform(&mut self, out: Out) {
        match out {
            Out::Dial { path, conn, .. } => {
                self.dials[path].push(self.now_ms);
                let wire = &mut self.wires[path];
                let plugged =
                    self.links.as_ref().is_none_or(|links| links.get(DEVICES[path]) == Some(&LinkState::Well));
                wire.conn = (wire.up && wire.down && plugged).then_some(conn);
                let event = match wire.conn {
                    Some(_) => LinkEvent::Connected { receive_max: 20, packet_max: 98_304 },
                    None => ended(Reason::TcpTimeout),
                };
                let takes = if wire.conn.is_some() { 6 * wire.takes_ms } else { 3_000 };
                self.send(takes, Packet::Down { path, conn, event });
            }
            Out::Subscribe { path, conn } => {
                self.wires[path].id = 1;
                self.down(path, conn, LinkEvent::Subscribed(true));
            }
            Out::Event { conn, publish } => {
                self.up(conn, format!("event/{}", publish.class.name()), publish.wire.to_vec())
            }
            Out::DialMedia { path, conn } => {
                self.media = Some((path, conn));
                self.down(path, conn, LinkEvent::Connected { receive_max: 20, packet_max: 98_304 });
            }
            Out::AskMedia(asked) => {
                let offset = asked.after.map_or(0, |(_, offset)| offset);
                let most = u64::try_from(asked.most).unwrap().min(self.stock - offset);
                let bytes = vec![7; usize::try_from(most).unwrap()].into();
                let piece = MediaPiece { media: "clip".to_owned(), offset, bytes };
                self.with(|speaker, around| speaker.media_answered((most > 0).then_some(piece), around));
                self.with(Speaker::work);
            }
            Out::Publish { conn, payload, .. } if self.media.is_some_and(|(_, media)| media == conn) => {
                let path = self.media.map_or(0, |(path, _)| path);
                self.pieces.push((self.now_ms, path, payload.len() as u64));
                self.with(|speaker, around| speaker.told(path, conn, LinkEvent::Left(9), around));
                if self.wires[path].up {
                    let takes = 2 * self.wires[path].takes_ms;
                    self.send(takes, Packet::Down { path, conn, event: LinkEvent::Answered { id: 9, code: 0 } });
                }
            }
            Out::Publish { conn, topic, payload, .. } => {
                self.up(conn, topic.trim_start_matches("vakt/v1/hub-1/").to_owned(), payload)
            }
            Out::Close(conn) => {
                self.wires.iter_mut().filter(|wire| wire.conn == Some(conn)).for_each(|wire| wire.conn = None)
            }
            Out::Ask(asked) => {
                let rows = self.read(asked);
                self.speaker.answered(Some(&rows), at(self.now_ms));
                self.with(Speaker::work);
            }
            Out::Telemetry { conn, .. } => {
                let wire = self.wires.iter_mut().find(|wire| wire.conn == Some(conn)).expect("it has begun");
                wire.said.push((self.now_ms, "telemetry".to_owned()));
            }
            Out::Goodbye(_) | Out::Order(_) | Out::Log { .. } => {}
        }
    }

    fn read(&self, asked: NextEvents) -> Vec<Stored> {
        let wanted = |row: &&Stored| row.class == asked.class && row.place > asked.after;
        let open = |row: &&Stored| !self.receipted.contains(&row.place.seq);
        self.rows.iter().filter(wanted).filter(open).take(asked.limit).cloned().collect()
    }

    fn up(&mut self, conn: ConnId, topic: String, payload: Vec<u8>) {
        let Some(path) = self.wires.iter().position(|wire| wire.conn == Some(conn)) else { return };
        let wire = &mut self.wires[path];
        wire.id = if wire.id >= 20 { 1 } else { wire.id + 1 };
        wire.said.push((self.now_ms, topic.clone()));
        let (id, takes_ms) = (wire.id, wire.takes_ms);
        self.with(|speaker, around| speaker.told(path, conn, LinkEvent::Left(id), around));
        self.send(takes_ms, Packet::Up { path, conn, id, topic, payload });
    }

    fn down(&mut self, path: usize, conn: ConnId, event: LinkEvent) {
        self.send(self.wires[path].takes_ms, Packet::Down { path, conn, event });
    }

    fn send(&mut self, takes_ms: u64, packet: Packet) {
        self.packets += 1;
        self.air.insert((self.now_ms + takes_ms, self.packets), packet);
    }

    /// Time goes on, and everything that falls due in it happens.
    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        loop {
            self.work();
            let due = self.speaker.due_ms(self.now_ms).unwrap_or(u64::MAX).max(self.now_ms + 1);
            let packet = self.air.keys().next().map_or(u64::MAX, |(at, _)| (*at).max(self.now_ms));
            let next = due.min(packet);
            if next > end {
                self.now_ms = end;
                return self.work();
            }
            self.now_ms = next;
            while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= next) {
                let packet = entry.remove();
                self.arrives(packet);
            }
        }
    }

    fn arrives(&mut self, packet: Packet) {
        match packet {
            Packet::Up { path, conn, id, topic, payload } if self.wires[path].up => {
                self.down(path, conn, LinkEvent::Answered { id, code: 0 });
                if !self.wires[path].centre {
                    return;
                }
                if topic.starts_with("event/") {
                    let seq: u64 = std::str::from_utf8(&payload).unwrap().parse().unwrap();
                    self.held.entry(seq).or_insert((self.now_ms, path));
                    let upto = (1..).take_while(|seq| self.held.contains_key(seq)).last().unwrap_or(0);
                    let seqs: Vec<u64> = self.held.range(upto + 1..).map(|(seq, _)| *seq).collect();
                    for path in [ETH, LTE] {
                        if self.wires[path].centre {
                            self.send(self.wires[path].takes_ms, Packet::Receipt { path, upto, seqs: seqs.clone() });
                        }
                    }
                } else if topic.ends_with("/beat") {
                    let beat: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                    let topic = format!("vakt/v1/hub-1/path/{}/echo", NAMES[path]).into_bytes();
                    let payload = format!("{{\"counter\":{}}}", beat["counter"]).into_bytes();
                    self.down(path, conn, LinkEvent::Message { topic, retained: false, payload });
                }
            }
            Packet::Down { path, conn, event } if self.wires[path].down || matches!(event, LinkEvent::Ended(_)) => {
                self.with(|speaker, around| speaker.told(path, conn, event, around));
            }
            Packet::Receipt { path, upto, seqs } if self.wires[path].down && self.wires[path].conn.is_some() => {
                let claim = Claim { epoch: EPOCH, upto, seqs, ids: vec![], jws: String::new() };
                self.speaker.claimed(path, claim, at(self.now_ms));
            }
            _ => {} // the network has it, and keeps it
        }
    }

    /// When a row came to the centre since it was committed, and by which path.
    fn came(&self, seq: u64) -> (u64, usize) {
        let (when, path) = self.held[&seq];
        (when - self.rows[seq as usize - 1].stamp.mono_ms, path)
    }

    fn silent(&mut self, path: usize, silent: bool) {
        (self.wires[path].up, self.wires[path].down) = (!silent, !silent);
    }

    /// What was said on a path since then.
    fn said(&self, path: usize, since_ms: u64) -> Vec<&str> {
        self.wires[path].said.iter().filter(|(at, _)| *at >= since_ms).map(|(_, topic)| topic.as_str()).collect()
    }

    fn path_notes(&self, since_ms: u64) -> Vec<(&str, Option<&str>)> {
        let notes = self.notes.iter().filter(|(at, _)| *at >= since_ms);
        let path = notes.map(|(_, note)| match note {
            UpstreamNote::Path { path, reason } => Some((path.as_str(), reason.as_deref())),
            _ => None,
        });
        path.flatten().collect()
    }
}

fn at(mono_ms: u64) -> Stamp {
    Stamp { boot: 1, mono_ms, wall_ms: 1_795_210_740_007, trusted: true }
}

fn ended(reason: Reason) -> LinkEvent {
    LinkEvent::Ended(Failure { reason, detail: String::new() })
}

#[test]
fn r37_one_path_carries_and_the_other_only_beats() {
    let mut site = Site::new();
    assert_eq!(site.path_notes(0), [("eth", None), ("lte", None)]);
    let since = site.now_ms;
    let state = site.commit(Class::State);
    let alarm = site.commit(Class::Alarm);
    site.pass(1_000);
    assert_eq!((site.came(state), site.came(alarm)), ((5, ETH), (5, ETH)));
    assert_eq!(site.said(LTE, since), [""; 0]);
    site.pass(24 * 60 * MINUTE - 1_000);
    let beats = site.said(LTE, since);
    assert_eq!((beats.len(), beats.iter().all(|topic| *topic == "path/lte/beat")), (480, true), "a day on LTE");
}

#[test]
fn r28_an_alarm_takes_the_other_path_within_a_second_of_silence_whichever_way_it_is_silent() {
    for (up, down) in [(false, false), (false, true), (true, false)] {
        let mut site = Site::new();
        (site.wires[ETH].up, site.wires[ETH].down) = (up, down);
        let since = site.now_ms;
        let first = site.commit(Class::Alarm);
        site.pass(400);
        let second = site.commit(Class::Access);
        site.pass(3_000);
        let way = format!("up {up}, down {down}");
        assert!(site.held.contains_key(&first) && site.held.contains_key(&second), "{way}");
        assert!(site.came(first).0 <= 900 + 35, "{way}: {:?}", site.came(first));
        assert!(site.came(second).0 <= 900 + 35, "{way}: {:?}", site.came(second));
        assert!(site.receipted.contains(&first) && site.receipted.contains(&second), "{way}");
        site.pass(30_000);
        assert_eq!(site.path_notes(since)[0], ("eth", Some("silent")), "{way}");
    }
}

#[test]
fn r88_a_call_for_help_leaves_on_both_at_once() {
    let mut site = Site::new();
    site.silent(ETH, true);
    let help = site.commit_with(Class::Alarm, true);
    site.pass(100);
    assert_eq!(site.came(help), (35, LTE));
}

#[test]
fn a_cable_that_is_out_hands_over_at_once_and_says_so() {
    let mut site = Site::new();
    let since = site.now_ms;
    site.silent(ETH, true);
    site.links.as_mut().unwrap().insert("eth0".to_owned(), LinkState::NoCarrier);
    let event = site.commit(Class::Access);
    site.pass(100);
    assert_eq!(site.came(event), (35, LTE));
    assert_eq!(site.path_notes(since), [("eth", Some("no_carrier"))]);
    site.pass(5_000);
    site.silent(ETH, false);
    site.links.as_mut().unwrap().insert("eth0".to_owned(), LinkState::Well);
    site.pass(1_000);
    assert_eq!(site.path_notes(since), [("eth", Some("no_carrier")), ("eth", None)], "in again, and heard");
    site.links.as_mut().unwrap().remove("eth0");
    site.pass(1);
    assert_eq!(site.path_notes(since).last(), Some(&("eth", Some("no_device"))));
}

#[test]
fn a_cable_that_is_in_again_is_dialled_within_half_a_second_whatever_the_path_was_doing() {
    for on_its_way in [false, true] {
        let mut site = Site::new();
        site.random = 999;
        if !on_its_way {
            // Given up already: its back-off runs.
            site.silent(ETH, true);
            site.commit(Class::State);
            site.pass(20_000);
        }
        site.silent(ETH, true);
        site.commit(Class::State);
        site.links.as_mut().unwrap().insert("eth0".to_owned(), LinkState::NoCarrier);
        site.pass(3_000);
        // A dial under way is not dialled again; it has its own patience.
        while !on_its_way && site.dials[ETH].last().is_some_and(|at| site.now_ms < at + 3_050) {
            site.pass(10);
        }
        site.silent(ETH, false);
        site.links.as_mut().unwrap().insert("eth0".to_owned(), LinkState::Well);
        let back = site.now_ms;
        site.pass(1_000);
        let dialled = site.dials[ETH].iter().find(|at| **at >= back).map(|at| at - back);
        assert!(dialled.is_some_and(|after| after <= ALARM_JITTER_MS), "on its way: {on_its_way}: {dialled:?}");
    }
}

#[test]
fn r27_a_mobile_path_that_is_down_in_a_jammed_network_says_so_and_one_that_works_does_not() {
    let mut site = Site::new();
    let since = site.now_ms;
    site.view.mobile.jammed = true;
    site.pass(4 * MINUTE);
    assert_eq!(site.path_notes(since), [], "whatever its modem hears, it carries");
    site.silent(LTE, true);
    site.links.as_mut().unwrap().insert("wwan0".to_owned(), LinkState::NoCarrier);
    site.links.as_mut().unwrap().insert("eth0".to_owned(), LinkState::NoCarrier);
    site.pass(100);
    assert_eq!(site.path_notes(since), [("eth", Some("no_carrier")), ("lte", Some("jammed"))], "no cable is jammed");
    site.view.mobile.jammed = false;
    site.pass(100);
    assert_eq!(site.path_notes(since).last(), Some(&("lte", Some("no_carrier"))));
}

#[test]
fn r45_how_the_modem_is_connected_is_said_on_its_own_path_every_quarter_of_an_hour_at_most() {
    let mut site = Site::new();
    let since = site.now_ms;
    let shown =
        |site: &Site, path: usize, topic: &str| site.said(path, since).iter().filter(|said| **said == topic).count();
    for bars in 0..20 {
        site.view.mobile.signal = Some(Signal { bars: bars % 4, operator: None, technology: None });
        let view = site.view.clone();
        site.speaker.seen(&view);
        site.pass(MINUTE);
    }
    assert_eq!((shown(&site, LTE, "path/lte"), shown(&site, ETH, "path/eth")), (1, 0));
}

#[test]
fn what_has_failed_carries_again_after_a_stable_minute_and_the_other_beats_as_often_meanwhile() {
    let mut site = Site::new();
    site.silent(ETH, true);
    site.commit(Class::State);
    site.pass(20_000);
    let since = site.now_ms;
    site.pass(2 * MINUTE);
    let beats = site.said(LTE, since).iter().filter(|topic| **topic == "path/lte/beat").count();
    assert_eq!(beats, 6, "every 20 s while it carries");
    site.silent(ETH, false);
    site.pass(MINUTE); // the back-off has dialled again by then
    let event = site.commit(Class::State);
    site.pass(100);
    assert_eq!(site.came(event).1, LTE, "not yet");
    site.pass(2 * MINUTE);
    let event = site.commit(Class::State);
    site.pass(100);
    assert_eq!(site.came(event).1, ETH);
}

#[test]
fn a_broker_behind_which_the_centre_is_silent_carries_no_longer_than_a_minute() {
    let mut site = Site::new();
    site.wires[ETH].centre = false;
    let since = site.now_ms;
    let alarm = site.commit(Class::Alarm);
    let event = site.commit(Class::Access);
    site.pass(2_000);
    assert_eq!(site.came(alarm), (900 + 35, LTE), "its broker has it, the centre has not");
    assert!(!site.held.contains_key(&event));
    site.pass(80_000);
    assert_eq!(site.path_notes(since), [("eth", Some("centre_silent"))]);
    assert_eq!(site.came(event).1, LTE);
    site.wires[ETH].centre = true;
    site.pass(3 * MINUTE);
    let event = site.commit(Class::Access);
    site.pass(100);
    assert_eq!(site.came(event).1, ETH, "heard again for a minute");
}

#[test]
fn r45_devices_are_not_shown_on_lte_and_the_state_only_where_it_carries() {
    let mut site = Site::new();
    let device = DeviceView {
        kind: DeviceKind::Smoke,
        area: None,
        zone: None,
        state: None,
        battery: None,
        signal_dbm: Some(-70),
        last_heard: None,
        faults: vec![],
    };
    site.view.devices.insert(DeviceId::new("wm-a").unwrap(), device);
    let view = site.view.clone();
    site.speaker.seen(&view);
    let since = site.now_ms;
    site.pass(10_000);
    assert!(site.said(ETH, since).contains(&"device/wm-a"));
    site.silent(ETH, true);
    site.commit(Class::State);
    site.pass(30_000);
    let lte = site.said(LTE, since);
    assert!(lte.contains(&"state") && !lte.iter().any(|topic| topic.starts_with("device/")), "{lte:?}");
}

#[test]
fn r29_without_any_path_everything_waits_and_then_leaves_in_order() {
    let mut site = Site::new();
    [ETH, LTE].into_iter().for_each(|path| site.silent(path, true));
    let first = site.now_ms;
    for _ in 0..100 {
        site.commit(Class::Access);
        site.commit(Class::Alarm);
        site.pass(36_000);
    }
    assert_eq!(site.held.len(), 0);
    let late = site.notes.iter().filter(|(_, note)| matches!(note, UpstreamNote::Overdue { .. })).count();
    assert_eq!(late, 100, "each alarm is told to be late, once");
    site.silent(LTE, false);
    site.pass(10_000);
    assert_eq!(site.held.len(), 200, "an alarm waits, so it dials every five seconds");
    let order = |class: Class| -> Vec<u64> {
        let mut rows: Vec<(u64, u64)> = site.held.iter().map(|(seq, (at, _))| (*at, *seq)).collect();
        rows.retain(|(_, seq)| site.rows[*seq as usize - 1].class == class);
        rows.sort_unstable();
        rows.into_iter().map(|(_, seq)| seq).collect()
    };
    assert!(order(Class::Alarm).is_sorted() && order(Class::Access).is_sorted());
    assert!(first < site.now_ms && site.receipted.len() == 200);
}

#[test]
fn media_leave_by_the_path_that_carries_and_wait_for_an_alarm() {
    let mut site = Site::new();
    site.stock = 1_000_000;
    site.pass(100);
    let before = site.pieces.len();
    assert!(before > 0 && site.pieces.iter().all(|(_, path, _)| *path == ETH));
    // While an alarm has no receipt nothing begins; the piece on its way is all that is before it.
    site.wires[ETH].centre = false;
    site.wires[LTE].centre = false;
    site.commit(Class::Alarm);
    let then = site.now_ms;
    site.pass(20_000);
    assert!(site.pieces.iter().filter(|(at, _, _)| *at > then).count() <= 1, "{:?}", &site.pieces[before..]);
    site.wires[ETH].centre = true;
    site.wires[LTE].centre = true;
    site.pass(60_000);
    let sent: u64 = site.pieces.iter().map(|(_, _, bytes)| bytes).sum();
    assert!(sent >= 1_000_000, "{sent}");
}

#[test]
fn on_lte_media_leave_in_small_pieces() {
    let mut site = Site::new();
    site.silent(ETH, true);
    site.pass(MINUTE);
    site.stock = 100_000;
    let then = site.now_ms;
    site.view.mobile.spent = true;
    site.pass(5_000);
    assert_eq!(site.pieces, [], "the month's data are used up");
    site.view.mobile.spent = false;
    site.pass(5_000);
    let pieces: Vec<_> = site.pieces.iter().filter(|(at, _, _)| *at >= then).collect();
    assert!(pieces.iter().all(|(_, path, bytes)| (*path, *bytes <= 8 * 1024) == (LTE, true)), "{pieces:?}");
    assert_eq!(pieces.iter().map(|(_, _, bytes)| bytes).sum::<u64>(), 100_000);
    // Ethernet is back and stands: the rest of the stock leaves there, from where the centre's receipts are.
    site.silent(ETH, false);
    site.pass(3 * MINUTE);
    let then = site.now_ms;
    site.stock = 200_000;
    site.pass(5_000);
    let back = site.pieces.iter().filter(|(at, path, _)| *at >= then && *path == ETH).count();
    assert!(back > 0, "{:?}", site.pieces);
}

#[test]
fn r77_measurements_leave_where_they_cost_nothing_and_never_while_an_alarm_waits() {
    let mut site = Site::new();
    let measured = |site: &mut Site| {
        let (measure, unit) = ("temperature".to_owned(), "°C".to_owned());
        let values = vec![Measurement { measure, value_milli: 21_800, unit }];
        let since = site.now_ms;
        site.speaker.measured(&[Measured { device: DeviceId::new("wm-cellar").unwrap(), at: at(since), values }]);
        site.pass(1_000);
        [ETH, LTE].map(|path| site.said(path, since).iter().filter(|topic| **topic == "telemetry").count())
    };
    assert_eq!(measured(&mut site), [1, 0], "once, over Ethernet");
    site.wires[ETH].centre = false;
    site.wires[LTE].centre = false;
    site.commit(Class::Alarm);
    assert_eq!(measured(&mut site), [0, 0], "an alarm has no receipt");
    site.wires[LTE].centre = true;
    site.silent(ETH, true);
    site.pass(30_000);
    assert_eq!(site.receipted.len(), 1);
    assert_eq!(measured(&mut site), [0, 0], "LTE carries");
}
