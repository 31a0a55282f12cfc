//! Interference on the mesh's own channel (R27): when the stick is made to look at the air, and what was seen. How much
//! of it in a minute is jamming is the core's word.
//!
//! It never takes a stick that sees nothing for a quiet house or for a jammed one, and never calls loudness alone
//! interference: an energy scan tells the loudest moment, and in homes with Wi-Fi that is loud on nearly every channel
//! (zigbee2mqtt #23086, #24387: users' scans met -3 to -64 dBm). What a jammer takes away is that anything gets
//! through, so a loud channel is asked to carry a frame. IEEE 802.15.4 radios listen before they send (CSMA-CA,
//! 802.15.4-2015, 6.2.5.1): a frame that finds a gap proves that there is one, and the stick counts those that found none
//! (UG100, PHY_CCA_FAIL_COUNT). Who jams only while a frame is on the air is not found this way.
//!
//! ```text
//!   Rests ──due──▶ Scans ──loud, or not seen──▶ Probes ──half a second──▶ Counts ──counters──▶ Rests
//!     ▲             │ quiet                                                                     ▲
//!     └─────────────┘   while the stick is busy it does not scan: straight to Probes            │
//! ```

use crate::zigbee::ezsp_status::Status;

/// Between two looks while the air carries, ms. A scan makes the stick deaf for 31 ms: 0.2 % of the time. A jam is found
/// within this and two looks, and 30 s of it within 48 s.
pub(crate) const SLOW_MS: u64 = 15_000;
/// Between two looks while it may not, ms: deaf for 3 % of the time.
pub(crate) const FAST_MS: u64 = 1_000;
/// Exponent of a scan: (2^0 + 1) periods of 960 symbols of 16 us are 31 ms, the shortest there is (UG100, startScan).
pub(crate) const SCAN_EXPONENT: u8 = 0;
/// From here on the channel is loud, dBm: the threshold above which the radios under EmberZNet take it for somebody
/// else's and do not send (energy detect, Silicon Labs' default).
const LOUD_DBM: i8 = -75;
/// Looks in a row at which nothing gets through, until it is interference. In crowded air too some frames find no gap
/// (zigbee2mqtt #22453): were it a third of them, two in a row would be 11 % of the time, far from half of a minute.
const BEGINS: u32 = 2;
/// A scan that is not over after so long, ms, is not made.
const SCAN_MS: u64 = 300;
/// From a probe to the counters, ms. A broadcast waits 64 ms at most (nwkcMaxBroadcastJitter) and listens for 37 ms.
const PROBE_MS: u64 = 500;
/// Looks in a row that told nothing, after which interference is no longer claimed: a jammed stick may well run out of
/// buffers for a while.
const BLIND_MAX: u32 = 10;
/// So long after interference, ms, the air is looked at each second: the core sums it up over a minute.
const WARY_MS: u64 = 60_000;

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Have the stick scan its channel.
    Scan,
    /// Send a frame that nobody answers.
    Probe,
    /// Read the stick's counters.
    Count,
    /// Tell that interference has begun, or ended; `None`: nothing is known any more.
    Tell(Option<bool>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// The stick is in no network.
    #[default]
    Off,
    Rests {
        until_ms: u64,
    },
    Scans {
        until_ms: u64,
    },
    Probes {
        until_ms: u64,
    },
    Counts,
}

/// What became of the frame that was to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Probe {
    #[default]
    None,
    /// The stick has it.
    Taken,
    /// It was sent.
    Sent,
    /// The radio found no gap for it.
    NoGap,
}

enum Verdict {
    Carries,
    Busy,
    Unknown,
}

/// What one look has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    /// Something came through, proven by the network's key.
    carried: bool,
    loudest_dbm: Option<i8>,
    probe: Probe,
    /// Frames that found no gap since the counters were read before; `None` while they are not read.
    no_gap: Option<u32>,
}

impl Seen {
    fn verdict(&self) -> Verdict {
        let quiet = self.loudest_dbm.is_some_and(|dbm| dbm < LOUD_DBM);
        match (self.probe, self.no_gap) {
            _ if self.carried || quiet => Verdict::Carries,
            (Probe::Sent, _) | (Probe::Taken, Some(0)) => Verdict::Carries,
            (Probe::NoGap, _) | (_, Some(1..)) => Verdict::Busy,
            (Probe::None | Probe::Taken, _) => Verdict::Unknown,
        }
    }
}

/// The channel's air.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noise {
    stage: Stage,
    seen: Seen,
    /// When the look began, ms.
    began_ms: u64,
    /// Looks in a row at which nothing got through, and at which nothing was seen.
    busy: u32,
    blind: u32,
    wary_until_ms: u64,
    /// The last word; `None` while nothing is known.
    interferes: Option<bool>,
    /// Scans that the stick did not make.
    pub unseen: u64,
}

impl Noise {
    /// The stick's network is up.
    pub fn up(&mut self, now_ms: u64) {
        self.stage = Stage::Rests { until_ms: now_ms + SLOW_MS };
    }

    /// The stick is gone: nothing is known of the air. That interference is over is said by who says that it is gone.
    pub fn down(&mut self) {
        *self = Self { unseen: self.unseen, ..Self::default() };
    }

    /// When `tick` has something to do, ms.
    pub fn due_ms(&self) -> Option<u64> {
        match self.stage {
            Stage::Rests { until_ms } | Stage::Scans { until_ms } | Stage::Probes { until_ms } => Some(until_ms),
            Stage::Off | Stage::Counts => None,
        }
    }

    /// Does what has fallen due. While the stick has other work it must not be made deaf.
    pub fn tick(&mut self, may_scan: bool, now_ms: u64) -> Option<Step> {
        self.due_ms().filter(|due_ms| *due_ms <= now_ms)?;
        match self.stage {
            Stage::Rests { .. } => {
                (self.seen, self.began_ms) = (Seen::default(), now_ms);
                if !may_scan {
                    return Some(self.probe(now_ms));
                }
                self.stage = Stage::Scans { until_ms: now_ms + SCAN_MS };
                Some(Step::Scan)
            }
            Stage::Scans { .. } => self.scanned(false, now_ms),
            Stage::Probes { .. } => {
                self.stage = Stage::Counts;
                Some(Step::Count)
            }
            Stage::Off | Stage::Counts => None,
        }
    }

    /// The loudest moment of a scan. Some sticks tell it twice, some not at all (bellows, `energy_scan`).
    pub fn loudest(&mut self, rssi_dbm: i8) {
        if matches!(self.stage, Stage::Scans { .. }) {
            self.seen.loudest_dbm = self.seen.loudest_dbm.max(Some(rssi_dbm));
        }
    }

    /// The scan is over, or was not made.
    pub fn scanned(&mut self, made: bool, now_ms: u64) -> Option<Step> {
        if !matches!(self.stage, Stage::Scans { .. }) {
            return None;
        }
        if !made {
            self.seen.loudest_dbm = None;
        }
        match self.seen.loudest_dbm {
            Some(dbm) if dbm < LOUD_DBM => return self.judge(now_ms),
            Some(_) => {}
            None => self.unseen += 1,
        }
        Some(self.probe(now_ms))
    }

    fn probe(&mut self, now_ms: u64) -> Step {
        self.stage = Stage::Probes { until_ms: now_ms + PROBE_MS };
        Step::Probe
    }

    /// Whether the stick has taken the probe.
    pub fn probe_taken(&mut self, taken: bool) {
        if taken && self.seen.probe == Probe::None {
            self.seen.probe = Probe::Taken;
        }
    }

    /// What became of a message: to one receiver, who has acknowledged it, or to whoever hears it.
    pub fn sent(&mut self, to_all: bool, status: Status, now_ms: u64) {
        match status {
            Status::Ok if to_all => self.seen.probe = Probe::Sent,
            Status::Ok => self.seen.carried = true,
            Status::AirBusy => {
                self.suspect(now_ms);
                if self.seen.probe != Probe::Sent {
                    self.seen.probe = Probe::NoGap;
                }
            }
            _ if to_all => self.suspect(now_ms),
            _ => {}
        }
    }

    /// A message came from another node of the mesh.
    pub fn heard(&mut self) {
        self.seen.carried = true;
    }

    /// The stick's counters were read: frames that found no gap since the last time, where it counts them.
    pub fn counted(&mut self, no_gap: Option<u16>, now_ms: u64) {
        let Some(no_gap) = no_gap else { return };
        self.seen.no_gap = Some(self.seen.no_gap.unwrap_or(0).saturating_add(no_gap.into()));
        if no_gap > 0 {
            self.suspect(now_ms);
        }
    }

    /// The counters that a look waits for were read, or cannot be.
    pub fn judged(&mut self, now_ms: u64) -> Option<Step> {
        if self.stage == Stage::Counts { self.judge(now_ms) } else { None }
    }

    /// A frame found no gap, or was said to all and failed, which in crowded air comes of the same (zigbee2mqtt #22453): the
    /// next look is now.
    fn suspect(&mut self, now_ms: u64) {
        if let Stage::Rests { until_ms } = &mut self.stage {
            *until_ms = (*until_ms).min(now_ms.max(self.began_ms + FAST_MS));
        }
    }

    fn judge(&mut self, now_ms: u64) -> Option<Step> {
        let before = self.interferes;
        match self.seen.verdict() {
            Verdict::Carries => (self.busy, self.blind, self.interferes) = (0, 0, Some(false)),
            Verdict::Busy => {
                (self.busy, self.blind) = (self.busy.saturating_add(1), 0);
                if self.busy >= BEGINS {
                    self.interferes = Some(true);
                }
            }
            Verdict::Unknown => {
                self.blind = self.blind.saturating_add(1);
                if self.blind >= BLIND_MAX {
                    (self.busy, self.interferes) = (0, None);
                }
            }
        }
        if before == Some(true) && self.interferes != Some(true) {
            self.wary_until_ms = now_ms + WARY_MS;
        }
        let fast = self.busy > 0 || now_ms < self.wary_until_ms;
        let next_ms = self.began_ms + if fast { FAST_MS } else { SLOW_MS };
        self.stage = Stage::Rests { until_ms: next_ms.max(now_ms) };
        (before != self.interferes).then_some(Step::Tell(self.interferes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stick and its air, by the millisecond: how loud its channel is, and whether a frame finds a gap.
    struct Stick {
        noise: Noise,
        now_ms: u64,
        air: Box<dyn Fn(u64) -> (i8, bool)>,
        scans: bool,
        counts: bool,
        tells_sent: bool,
        /// When interference began and ended.
        told: Vec<(u64, bool)>,
        scanned: u64,
        probed: u64,
    }

    impl Stick {
        fn new(air: impl Fn(u64) -> (i8, bool) + 'static) -> Self {
            let mut noise = Noise::default();
            noise.up(0);
            let (scans, counts, tells_sent) = (true, true, true);
            let (told, scanned, probed) = (Vec::new(), 0, 0);
            Self { noise, now_ms: 0, air: Box::new(air), scans, counts, tells_sent, told, scanned, probed }
        }

        fn does(&mut self, step: Option<Step>) {
            let (loudest, gap) = (self.air)(self.now_ms);
            let next = match step {
                None => return,
                Some(Step::Tell(on)) => {
                    // That it is quiet at first is no news here.
                    if on == Some(true) || !self.told.is_empty() {
                        self.told.push((self.now_ms, on == Some(true)));
                    }
                    return;
                }
                Some(Step::Scan) if !self.scans => self.noise.scanned(false, self.now_ms),
                Some(Step::Scan) => {
                    self.scanned += 1;
                    self.now_ms += 31;
                    self.noise.loudest(loudest);
                    self.noise.scanned(true, self.now_ms)
                }
                Some(Step::Probe) => {
                    self.probed += 1;
                    self.noise.probe_taken(true);
                    let status = if gap { Status::Ok } else { Status::AirBusy };
                    if self.tells_sent {
                        self.noise.sent(true, status, self.now_ms);
                    }
                    None
                }
                Some(Step::Count) => {
                    self.noise.counted(self.counts.then_some(u16::from(!gap)), self.now_ms);
                    self.noise.judged(self.now_ms)
                }
            };
            self.does(next);
        }

        fn run(&mut self, until_ms: u64) {
            while let Some(due_ms) = self.noise.due_ms().filter(|due_ms| *due_ms <= until_ms) {
                self.now_ms = self.now_ms.max(due_ms);
                let step = self.noise.tick(true, self.now_ms);
                self.does(step);
            }
            self.now_ms = until_ms;
        }

        /// Interference told in the minute before, ms, as the core sums it up.
        fn of_a_minute(&self, end_ms: u64) -> u64 {
            let from_ms = end_ms.saturating_sub(60_000);
            let spans = self.told.iter().enumerate().filter(|(_, (_, on))| *on).map(|(at, (begin_ms, _))| {
                let over_ms = self.told.get(at + 1).map_or(end_ms, |(over_ms, _)| (*over_ms).min(end_ms));
                over_ms.saturating_sub((*begin_ms).max(from_ms))
            });
            spans.sum()
        }
    }

    const QUIET: (i8, bool) = (-95, true);
    const JAMMED: (i8, bool) = (-40, false);
    /// Beside an access point: each scan meets it, and frames pass between its own.
    const WIFI: (i8, bool) = (-35, true);

    #[test]
    fn r27_half_a_minute_of_jamming_is_told_within_a_minute_whenever_it_begins() {
        for begin_ms in (60_000..76_000).step_by(250) {
            let mut stick = Stick::new(move |now_ms| if now_ms < begin_ms { QUIET } else { JAMMED });
            stick.run(begin_ms + 60_000);
            let [(on_ms, true)] = stick.told[..] else { panic!("{begin_ms}: {:?}", stick.told) };
            assert!(on_ms - begin_ms <= 18_000, "{begin_ms}: begun to be told at {on_ms}");
            assert!(stick.of_a_minute(begin_ms + 48_000) >= 30_000, "{begin_ms}: {on_ms}");
        }
    }

    #[test]
    fn r27_a_jam_ends_with_the_first_look_that_finds_the_air_free() {
        let mut stick = Stick::new(|now_ms| if (60_000..100_000).contains(&now_ms) { JAMMED } else { QUIET });
        stick.run(300_000);
        let [(_, true), (over_ms, false)] = stick.told[..] else { panic!("{:?}", stick.told) };
        assert!((100_000..=101_500).contains(&over_ms), "{over_ms}");
    }

    #[test]
    fn r27_bursts_of_twenty_seconds_are_summed_up_after_the_first() {
        let mut stick = Stick::new(|now_ms| if now_ms / 20_000 % 2 == 1 { JAMMED } else { QUIET });
        stick.run(180_000);
        let most = (0..180).map(|second| stick.of_a_minute(second * 1_000)).max();
        assert!(most >= Some(30_000), "{most:?} of {:?}", stick.told);
    }

    #[test]
    fn r27_a_wifi_that_is_loud_at_every_look_is_no_jammer() {
        let mut stick = Stick::new(|_| WIFI);
        stick.run(3_600_000);
        assert_eq!((stick.told, stick.noise.unseen), (vec![], 0));
        assert!(stick.probed <= 240, "one frame each quarter of a minute, not {}", stick.probed);
    }

    #[test]
    fn r27_air_in_which_a_third_of_all_frames_find_no_gap_is_far_from_jammed() {
        // Which ones: by a generator's high bits (Knuth, MMIX), so that there is no pattern in it.
        let gap = |now_ms: u64| (now_ms + 7).wrapping_mul(6_364_136_223_846_793_005) >> 32 & 0xFF >= 85;
        let mut stick = Stick::new(move |now_ms| (-50, gap(now_ms / 10)));
        stick.tells_sent = false;
        stick.run(24 * 3_600_000);
        assert!(!stick.told.is_empty(), "it does interfere now and then");
        let most = (0..24 * 60).map(|minute| stick.of_a_minute(minute * 60_000)).max();
        assert!(most < Some(30_000), "{most:?}");
    }

    #[test]
    fn a_quiet_house_is_deaf_for_two_thousandths_of_the_time_and_sends_nothing() {
        let mut stick = Stick::new(|_| QUIET);
        stick.run(3_600_000);
        assert_eq!((stick.scanned, stick.probed), (240, 0));
        assert!(stick.scanned * 31 * 1_000 <= 3_600_000 * 21 / 10, "31 ms each");
    }

    #[test]
    fn r27_a_stick_that_does_not_scan_is_judged_by_what_it_counts() {
        let mut stick = Stick::new(|now_ms| if now_ms < 60_000 { WIFI } else { JAMMED });
        (stick.scans, stick.tells_sent) = (false, false);
        stick.run(120_000);
        assert!(matches!(stick.told[..], [(60_000..=78_000, true)]), "{:?}", stick.told);
        assert!(stick.noise.unseen > 4, "and that it does not is counted");
    }

    #[test]
    fn a_stick_that_tells_nothing_says_nothing_of_the_air_and_claims_no_jam_for_long() {
        let mut stick = Stick::new(|_| JAMMED);
        (stick.counts, stick.tells_sent) = (false, false);
        stick.run(600_000);
        assert_eq!(stick.told, [], "loudness alone is none");
        let mut stick = Stick::new(|_| JAMMED);
        stick.run(60_000);
        (stick.scans, stick.counts, stick.tells_sent) = (false, false, false);
        stick.run(120_000);
        let [(_, true), (over_ms, false)] = stick.told[..] else { panic!("{:?}", stick.told) };
        assert!((65_000..=72_000).contains(&over_ms), "after ten looks without a word: {over_ms}");
    }

    #[test]
    fn r27_what_comes_through_with_the_networks_key_proves_that_the_air_carries() {
        let mut stick = Stick::new(|_| JAMMED);
        stick.run(30_000);
        assert!(matches!(stick.told[..], [(_, true)]), "{:?}", stick.told);
        let step = stick.noise.tick(true, stick.noise.due_ms().unwrap_or(0));
        stick.noise.heard();
        stick.does(step);
        stick.run(32_000);
        assert!(matches!(stick.told[..], [(_, true), (_, false), ..]), "{:?}", stick.told);
    }

    #[test]
    fn a_frame_that_finds_no_gap_brings_the_next_look_forward() {
        let mut stick = Stick::new(|_| JAMMED);
        stick.noise.counted(Some(3), 2_000);
        assert_eq!(stick.noise.due_ms(), Some(2_000));
        stick.noise.up(2_000);
        stick.noise.sent(false, Status::AirBusy, 2_500);
        assert_eq!(stick.noise.due_ms(), Some(2_500));
    }

    #[test]
    fn a_stick_with_other_work_is_not_made_deaf_and_is_judged_all_the_same() {
        let mut stick = Stick::new(|_| JAMMED);
        assert_eq!(stick.noise.tick(false, SLOW_MS), Some(Step::Probe));
        assert_eq!(stick.noise.unseen, 0, "nothing was asked of it");
    }

    #[test]
    fn a_stick_that_is_gone_is_not_looked_through() {
        let mut stick = Stick::new(|_| JAMMED);
        stick.run(60_000);
        stick.noise.down();
        assert_eq!((stick.noise.due_ms(), stick.noise.judged(60_000)), (None, None));
        stick.noise.up(100_000);
        stick.told.clear();
        stick.run(130_000);
        assert!(matches!(stick.told[..], [(_, true)]), "found anew: {:?}", stick.told);
    }

    #[test]
    fn results_that_nobody_waits_for_are_nobodys() {
        let mut noise = Noise::default();
        noise.up(0);
        noise.loudest(0);
        assert_eq!((noise.scanned(true, 5), noise.judged(5), noise.due_ms()), (None, None, Some(SLOW_MS)));
    }
}
