//! The chip's receiver: from chips to a sync word, from there to bytes in the FIFO, and how a packet ends.

use super::State;
use super::air::Burst;
use super::registers as reg;
use crate::twins::ncp::bytes::Chance;
use std::collections::VecDeque;

/// Bytes the FIFO holds.
pub const FIFO: usize = 64;
/// The crystal.
const CRYSTAL_HZ: f64 = 26e6;
/// What an empty band reads as.
const FLOOR_DBM: i16 = -104;
/// Where carrier sense begins with the usual gain settings (SWRS061, tables 31 and 32: between -97 and -100).
const CARRIER_DBM: i16 = -97;

/// What a write to PKTCTRL0 in mid-packet, from infinite to fixed length, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthWrite {
    /// As TI design note DN500 describes: the packet ends when the byte counter, eight bits wide, reaches PKTLEN.
    Counts,
    /// As seen on real chips (SzczepanLeon/esphome-components #443): it ends there and then.
    EndsAtOnce,
}

/// A packet that goes on.
#[derive(Debug, Clone, Default)]
struct Packet {
    bits: u32,
    byte: u8,
    /// Bytes received, and the first of them.
    count: u64,
    first: u8,
    chip_ns: u64,
}

/// The receiver.
#[derive(Debug)]
pub struct Radio {
    bursts: Vec<(usize, Burst)>,
    heard: usize,
    synced: Vec<usize>,
    chance: Chance,
    shift: u16,
    packet: Option<Packet>,
    chip_due_ns: Option<u64>,
    fifo: VecDeque<u8>,
    last_read: u8,
    overflow: bool,
    /// When a byte last came, and how many there were before.
    byte_ns: Option<(u64, u8)>,
    rssi: u8,
    /// What a write to PKTCTRL0 in mid-packet does.
    pub length_write: LengthWrite,
    /// What the host did with the FIFO that the data sheet forbids.
    pub misuses: Vec<&'static str>,
}

impl Radio {
    /// A receiver that hears nothing yet.
    pub fn new(seed: u64) -> Self {
        Self {
            bursts: Vec::new(),
            heard: 0,
            synced: Vec::new(),
            chance: Chance::new(seed),
            shift: 0,
            packet: None,
            chip_due_ns: None,
            fifo: VecDeque::new(),
            last_read: 0,
            overflow: false,
            byte_ns: None,
            rssi: raw(FLOOR_DBM),
            length_write: LengthWrite::Counts,
            misuses: Vec::new(),
        }
    }

    /// Something is sent; its number.
    pub fn hear(&mut self, burst: Burst) -> usize {
        self.heard += 1;
        self.bursts.push((self.heard, burst));
        self.heard
    }

    /// Those of which the sync word was found, and not something like it behind it.
    pub fn synced(&self) -> &[usize] {
        &self.synced
    }

    /// A sync word was found, and the packet goes on.
    pub fn in_packet(&self) -> bool {
        self.packet.is_some()
    }

    /// The FIFO ran over.
    pub fn overflowed(&self) -> bool {
        self.overflow
    }

    /// Bytes in the FIFO.
    pub fn filled(&self) -> usize {
        self.fifo.len()
    }

    /// When a byte last came, and what RXBYTES was before.
    pub fn last_byte(&self) -> Option<(u64, u8)> {
        self.byte_ns
    }

    /// RX is entered: nothing is left of what was being received.
    pub fn enter(&mut self) {
        self.shift = 0;
        self.packet = None;
        self.chip_due_ns = None;
    }

    /// RX is left; the FIFO stays as it is.
    pub fn leave(&mut self) {
        self.packet = None;
        self.chip_due_ns = None;
    }

    /// SFRX.
    pub fn flush(&mut self) {
        self.fifo.clear();
        self.overflow = false;
        self.byte_ns = None;
    }

    /// A byte out of the FIFO. While the packet goes on its last byte does not leave it (SWRS061, 20).
    pub fn pop(&mut self) -> u8 {
        match self.fifo.len() {
            0 => self.misuses.push("the FIFO was read while it was empty"),
            1 if self.packet.is_some() => {
                self.misuses.push("the FIFO was emptied before the packet's last byte");
                self.last_read = self.fifo[0];
            }
            _ => self.last_read = self.fifo.pop_front().unwrap_or_default(),
        }
        self.last_read
    }

    /// The strongest that is on air within the filter.
    fn strongest(&self, now_ns: u64, registers: &[u8; reg::COUNT]) -> Option<&(usize, Burst)> {
        let on_air =
            self.bursts.iter().filter(|(_, b)| b.at_ns <= now_ns && now_ns < b.end_ns() && tuned(b, registers));
        on_air.max_by_key(|(_, burst)| burst.dbm)
    }

    /// RSSI: as it is now, or as it was when the receiver stopped.
    pub fn rssi(&mut self, now_ns: u64, listening: bool, registers: &[u8; reg::COUNT]) -> u8 {
        if listening {
            let dbm = self.strongest(now_ns, registers).map(|(_, burst)| burst.dbm);
            let noise = i16::try_from(self.chance.draw() % 3).unwrap_or(0);
            self.rssi = raw(dbm.unwrap_or(FLOOR_DBM + noise));
        }
        self.rssi
    }

    /// Carrier sense by the absolute threshold, where one is set.
    pub fn carrier(&self, now_ns: u64, registers: &[u8; reg::COUNT]) -> bool {
        let off = registers[reg::AGCCTRL1] & 0x0F == 0x08;
        !off && self.strongest(now_ns, registers).is_some_and(|(_, burst)| burst.dbm >= CARRIER_DBM)
    }

    /// When the next chip is sampled; nothing where there is nothing to hear until something is sent.
    pub fn next_ns(&mut self, now_ns: u64, registers: &[u8; reg::COUNT]) -> Option<u64> {
        if let Some(due) = self.chip_due_ns {
            return Some(due);
        }
        let on_air = self.strongest(now_ns, registers).map(|(_, b)| {
            let chip = (now_ns - b.at_ns) / b.chip_ns + 1;
            b.at_ns + chip * b.chip_ns + b.chip_ns / 2
        });
        let first = |(_, b): &&(usize, Burst)| b.at_ns > now_ns && tuned(b, registers);
        let next = self.bursts.iter().filter(first).map(|(_, b)| b.at_ns + b.chip_ns / 2).min();
        // Without the carrier's leave the correlator works on noise as well.
        let noise = (registers[reg::MDMCFG2] & 0x04 == 0).then_some(now_ns + rate_ns(registers));
        self.chip_due_ns = [on_air, next, noise].into_iter().flatten().min();
        self.chip_due_ns
    }

    /// Something new is on air, or tuned: the clock is set anew, except in a packet.
    pub fn resync(&mut self) {
        if self.packet.is_none() {
            self.chip_due_ns = None;
        }
    }

    /// Samples one chip. The state that follows, where it is another than RX.
    pub fn sample(&mut self, now_ns: u64, registers: &[u8; reg::COUNT]) -> Option<State> {
        let sent = self.strongest(now_ns, registers).map(|(id, b)| (*id, b.chip(now_ns), b.chip_ns, b.in_data(now_ns)));
        let (id, chip, chip_ns) = match sent {
            Some((id, Some(chip), chip_ns, in_data)) => (Some((id, in_data)), chip, chip_ns),
            _ => (None, self.chance.draw() & 1 == 1, rate_ns(registers)),
        };
        if self.packet.is_some() {
            self.chip_due_ns = Some(now_ns + self.packet.as_ref().map_or(chip_ns, |packet| packet.chip_ns));
            return self.packet_chip(now_ns, chip, registers);
        }
        self.bursts.retain(|(_, burst)| burst.end_ns() > now_ns);
        self.chip_due_ns = id.map(|_| now_ns + chip_ns);
        self.shift = self.shift << 1 | u16::from(chip);
        if self.is_sync(now_ns, registers) {
            self.synced.extend(id.filter(|(_, in_data)| !in_data).map(|(id, _)| id));
            self.packet = Some(Packet { chip_ns, ..Packet::default() });
            self.chip_due_ns = Some(now_ns + chip_ns);
        }
        None
    }

    fn is_sync(&self, now_ns: u64, registers: &[u8; reg::COUNT]) -> bool {
        let word = u16::from_be_bytes([registers[reg::SYNC1], registers[reg::SYNC0]]);
        let wrong = (word ^ self.shift).count_ones();
        let mode = registers[reg::MDMCFG2] & 0x07;
        let found = match mode & 0x03 {
            1 => wrong <= 1,
            2 => wrong == 0,
            _ => false, // no sync word at all, or 32 bits, which wireless M-Bus does not have
        };
        found && (mode & 0x04 == 0 || self.carrier(now_ns, registers))
    }

    fn packet_chip(&mut self, now_ns: u64, chip: bool, registers: &[u8; reg::COUNT]) -> Option<State> {
        let packet = self.packet.as_mut()?;
        packet.byte = packet.byte << 1 | u8::from(chip);
        packet.bits += 1;
        if packet.bits < 8 {
            return None;
        }
        packet.bits = 0;
        packet.count += 1;
        if packet.count == 1 {
            packet.first = packet.byte;
        }
        let (byte, count, first) = (packet.byte, packet.count, packet.first);
        if self.fifo.len() == FIFO {
            self.overflow = true;
            self.leave();
            return Some(State::Overflow);
        }
        self.byte_ns = Some((now_ns, u8::try_from(self.fifo.len()).unwrap_or(u8::MAX)));
        self.fifo.push_back(byte);
        let over = match registers[reg::PKTCTRL0] & 0x03 {
            0 => count & 0xFF == u64::from(registers[reg::PKTLEN]),
            1 => count == 1 + u64::from(first),
            _ => false,
        };
        over.then(|| self.end_packet(registers))
    }

    fn end_packet(&mut self, registers: &[u8; reg::COUNT]) -> State {
        self.leave();
        if registers[reg::PKTCTRL1] & 0x04 != 0 {
            self.fifo.extend([self.rssi, 0x80]);
        }
        if registers[reg::MCSM1] >> 2 & 3 == 3 { State::Rx } else { State::Idle }
    }

    /// PKTCTRL0 is written.
    pub fn length_written(&mut self, before: u8, after: u8, registers: &[u8; reg::COUNT]) -> Option<State> {
        let cut = self.length_write == LengthWrite::EndsAtOnce && before & 3 == 2 && after & 3 == 0;
        (cut && self.packet.is_some()).then(|| self.end_packet(registers))
    }
}

fn raw(dbm: i16) -> u8 {
    ((dbm + 74) * 2).clamp(-128, 127).to_le_bytes()[0]
}

/// The chip's own symbol time, by MDMCFG4 and 3.
fn rate_ns(registers: &[u8; reg::COUNT]) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds in nanoseconds")]
    let ns = |baud: f64| (1e9 / baud) as u64;
    ns(baud(registers))
}

fn baud(registers: &[u8; reg::COUNT]) -> f64 {
    let exponent = f64::from(registers[reg::MDMCFG4] & 15).exp2();
    (256.0 + f64::from(registers[reg::MDMCFG3])) * exponent / 2f64.powi(28) * CRYSTAL_HZ
}

/// Whether a burst is within the filter, near enough in rate, and modulated as the chip is set: 2-FSK, no Manchester.
fn tuned(burst: &Burst, registers: &[u8; reg::COUNT]) -> bool {
    let byte = |at: usize| f64::from(registers[at]);
    let hz = CRYSTAL_HZ / 65536.0 * (byte(reg::FREQ2) * 65536.0 + byte(reg::FREQ1) * 256.0 + byte(reg::FREQ0));
    let spacing =
        CRYSTAL_HZ / 2f64.powi(18) * (256.0 + byte(reg::MDMCFG0)) * f64::from(registers[reg::MDMCFG1] & 3).exp2();
    let hz = hz + spacing * byte(reg::CHANNR);
    let wide = registers[reg::MDMCFG4] >> 4;
    let width = CRYSTAL_HZ / (8.0 * (4.0 + f64::from(wide & 3)) * f64::from(wide >> 2).exp2());
    let sent = 1e9 / burst.chip_ns as f64;
    let modulation = registers[reg::MDMCFG2] & 0x78 == 0;
    modulation && (hz - burst.hz).abs() < width / 2.0 && (sent / baud(registers) - 1.0).abs() < 0.12
}
