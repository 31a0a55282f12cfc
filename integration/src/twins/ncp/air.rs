//! The air around the stick: who else is on its channel, what an energy scan tells of that, and what gets through.
//!
//! A scan tells the loudest moment of its time, so that bursts look like a jammer in it; frames pass between bursts, and
//! none passes a jammer. While it scans, a radio neither receives nor sends (Silicon Labs' documents on scans).

use super::Duty;
use super::Ncp;
use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::frames::Outgoing;
use super::frames::id;
use super::shelf::counter;
use super::status::Status;
use std::time::Duration;

/// At this level on the channel no radio sends: the energy detect threshold that Silicon Labs' radios come with.
pub const BUSY_DBM: i8 = -75;

/// One scan period: 960 symbols of 16 us; a channel takes two to the exponent of them, and one.
const PERIOD: Duration = Duration::from_micros(15_360);
/// The longest exponent there is.
const EXPONENT_MOST: u8 = 14;
/// A broadcast is tried so often, as no neighbour repeats it (Zigbee, nwkMaxBroadcastRetries and the first).
const BROADCAST_TRIES: u16 = 3;
/// And is given up after so long (nwkPassiveAckTimeout for each).
const BROADCAST_GIVES_UP: Duration = Duration::from_millis(1500);
/// A unicast is tried so often by the MAC, and so is each of its three APS tries.
const UNICAST_TRIES: u16 = 12;

/// Who else is on the stick's channel, dBm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Air {
    /// All the time.
    pub jammer: Option<i8>,
    /// Now and then, with room between: an ordinary Wi-Fi.
    pub bursts: Option<i8>,
}

impl Ncp {
    /// Somebody sends on the channel without a pause, or no longer.
    pub fn jam(&mut self, dbm: Option<i8>) {
        self.air.jammer = dbm;
    }

    /// Somebody sends bursts on the channel, or no longer.
    pub fn bursts(&mut self, dbm: Option<i8>) {
        self.air.bursts = dbm;
    }

    /// Nobody gets through to anybody: all find the channel busy.
    pub(super) fn is_jammed(&self) -> bool {
        self.air.jammer.is_some_and(|dbm| dbm >= BUSY_DBM)
    }

    /// The radio is away on a scan.
    pub(super) fn is_deaf(&self, now: Duration) -> bool {
        now < self.ram.scans_until
    }

    /// startScan; only energy scans find something. Its status is a word in every layout (EmberZNet 7's own dispatcher).
    pub(super) fn start_scan(&mut self, now: Duration, mut r: Reader<'_>) -> Result<Vec<u8>, Short> {
        let (kind, channels, exponent) = (r.u8()?, r.u32()?, r.u8()?);
        let wanted: Vec<u8> = (11..=26).filter(|channel| channels >> channel & 1 == 1).collect();
        let status = if self.is_deaf(now) {
            Status::Scanning
        } else if wanted.is_empty() || exponent > EXPONENT_MOST {
            Status::BadArgument
        } else {
            self.scan(now, kind == 0, &wanted, PERIOD * ((1 << exponent) + 1));
            Status::Ok
        };
        Ok(Writer::new().u32(status.word()).done())
    }

    fn scan(&mut self, now: Duration, energy: bool, channels: &[u8], each: Duration) {
        let mut at = now;
        for channel in channels {
            at += each;
            if energy {
                self.agenda.at(at, Duty::Measured { channel: *channel });
            }
        }
        self.ram.scans_until = at;
        let done = Writer::new().u8(0).bytes(&self.status(Status::Ok)).done();
        self.agenda.at(at, Duty::Callback { id: id::SCAN_COMPLETE, body: done });
    }

    /// One channel was listened to. A quiet band is a little louder towards channel 26, the same in every run.
    pub(super) fn measured(&mut self, now: Duration, channel: u8) {
        let own = self.memory.network.as_ref().filter(|_| self.ram.up).map(|network| network.channel);
        let floor = -95 + i8::try_from(channel.saturating_sub(11)).unwrap_or(0);
        let others = [self.air.jammer, self.air.bursts].into_iter().flatten().filter(|_| own == Some(channel));
        let loudest = others.fold(floor, i8::max);
        self.callback(now, id::ENERGY, &[channel, loudest.cast_unsigned()], None);
    }

    /// A message that finds the channel busy at each try. What is said to all fails like any other delivery
    /// (zigbee2mqtt #22453); that it was the air only the counter tells.
    pub(super) fn finds_no_gap(&mut self, now: Duration, outgoing: Outgoing, gives_up: Duration) {
        let to_all = outgoing.kind != 0;
        let (tries, after, status) = if to_all {
            (BROADCAST_TRIES, BROADCAST_GIVES_UP, Status::DeliveryFailed)
        } else {
            self.ram.count(counter::MAC_TX_FAILED);
            (UNICAST_TRIES, gives_up, Status::AirBusy)
        };
        (0..tries).for_each(|_| self.ram.count(counter::NO_GAP));
        self.agenda.at(now + after, Duty::Sent { outgoing, status });
    }
}
