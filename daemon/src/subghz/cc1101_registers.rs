//! The CC1101's registers by name, what is written to them for wireless M-Bus, and the chip's rule for addresses.
//!
//! Values: radio868.md, section 3 (TI application note AN067, as a-culfw f4305ea and SzczepanLeon/esphome-components
//! 10debab have them; read there, computed again for a 26 MHz crystal). What is not in the tables stays as a reset leaves
//! it. Addresses and commands: data sheet SWRS061, sections 10 and 29. Knows nothing of time and moves no byte.

/// A configuration register, 00 to 2E.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)] // the data sheet's names, table 43
pub enum Register {
    Iocfg2 = 0x00,
    Iocfg0 = 0x02,
    Fifothr = 0x03,
    Sync1 = 0x04,
    Sync0 = 0x05,
    Pktlen = 0x06,
    Pktctrl1 = 0x07,
    Pktctrl0 = 0x08,
    Addr = 0x09,
    Channr = 0x0A,
    Fsctrl1 = 0x0B,
    Fsctrl0 = 0x0C,
    Freq2 = 0x0D,
    Freq1 = 0x0E,
    Freq0 = 0x0F,
    Mdmcfg4 = 0x10,
    Mdmcfg3 = 0x11,
    Mdmcfg2 = 0x12,
    Mdmcfg1 = 0x13,
    Mdmcfg0 = 0x14,
    Deviatn = 0x15,
    Mcsm2 = 0x16,
    Mcsm1 = 0x17,
    Mcsm0 = 0x18,
    Foccfg = 0x19,
    Bscfg = 0x1A,
    Agcctrl2 = 0x1B,
    Agcctrl1 = 0x1C,
    Agcctrl0 = 0x1D,
    Frend1 = 0x21,
    Frend0 = 0x22,
    Fscal3 = 0x23,
    Fscal2 = 0x24,
    Fscal1 = 0x25,
    Fscal0 = 0x26,
    Fstest = 0x29,
    Test2 = 0x2C,
    Test1 = 0x2D,
    Test0 = 0x2E,
}

/// A status register, 30 to 3B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // the data sheet's names, table 44
pub enum Status {
    Partnum = 0x30,
    Version = 0x31,
    Lqi = 0x33,
    Rssi = 0x34,
    Marcstate = 0x35,
    Pktstatus = 0x38,
    Rxbytes = 0x3B,
}

/// A command, which is the address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // the data sheet's names, table 42
pub enum Strobe {
    Sres = 0x30,
    Srx = 0x34,
    Sidle = 0x36,
    Sfrx = 0x3A,
    Snop = 0x3D,
}

/// Set in a header that reads.
pub const READ: u8 = 0x80;
/// Set in a header that goes on to the next address; and in one that means a status register: the same address without it
/// is a command, so that a read of VERSION without it would calibrate the chip.
pub const BURST: u8 = 0x40;
/// Header of a read of the receive FIFO that goes on until the chip is deselected.
pub const READ_FIFO: u8 = READ | BURST | 0x3F;

impl Register {
    /// The header that writes it.
    pub fn write(self) -> u8 {
        self as u8
    }

    /// The header that reads it.
    pub fn read(self) -> u8 {
        READ | self as u8
    }
}

impl Status {
    /// The header that reads it: 30 to 3D are commands without the burst bit.
    pub fn read(self) -> u8 {
        READ | BURST | self as u8
    }
}

/// Set in the status byte, which answers each header, while the crystal is not running.
pub const CHIP_RDYN: u8 = 0x80;
/// Set in RXBYTES when the FIFO ran over.
pub const RXFIFO_OVERFLOW: u8 = 0x80;
/// Bytes in the FIFO, in RXBYTES.
pub const RXBYTES_COUNT: u8 = 0x7F;
/// Bytes the FIFO holds.
pub const FIFO: usize = 64;
/// In PKTSTATUS: carrier sense.
pub const CS: u8 = 0x40;
/// In PKTSTATUS: a sync word was found, and its packet goes on.
pub const SFD: u8 = 0x08;
/// In LQI: the estimate, without the CRC's bit.
pub const LQI_ESTIMATE: u8 = 0x7F;

/// MARCSTATE, as far as a receiver meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for a command.
    Idle,
    /// It receives, or is about to enter or leave a packet.
    Rx,
    /// The FIFO ran over; only SFRX leads out.
    RxOverflow,
    /// Anything else: on its way, or somewhere a receiver never goes.
    Other(u8),
}

impl State {
    /// From the register's value.
    pub fn from_marcstate(value: u8) -> Self {
        match value & 0x1F {
            0x01 => Self::Idle,
            0x0D..=0x0F => Self::Rx,
            0x11 => Self::RxOverflow,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Idle => f.write_str("IDLE"),
            Self::Rx => f.write_str("RX"),
            Self::RxOverflow => f.write_str("RXFIFO_OVERFLOW"),
            Self::Other(value) => write!(f, "MARCSTATE {value:02X}"),
        }
    }
}

/// The level of a GDO line that was told to stand still: for the test of the wires.
pub const GDO_LOW: u8 = 0x2F;
/// The other one: the same, inverted.
pub const GDO_HIGH: u8 = 0x6F;
/// GDO: high from the sync word to the packet's end, which without a length is SIDLE.
pub const GDO_SYNC: u8 = 0x06;
/// GDO: high while the FIFO holds its threshold or more.
pub const GDO_FIFO: u8 = 0x00;

/// FIFOTHR for 4 bytes: the length field is there as soon as can be.
pub const THRESHOLD_4: u8 = 0x00;
/// FIFOTHR for 32 bytes: the rest of a frame in few readings; 32 more fit in before it runs over.
pub const THRESHOLD_32: u8 = 0x07;

/// Which frames are received. One chip hears one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// T1 and C1: 868.95 MHz, 100,000 chips a second.
    #[default]
    T,
    /// S1: 868.30 MHz, 32,768 chips a second.
    S,
}

impl Mode {
    /// Time of one byte in the FIFO, in µs, rounded up.
    pub fn byte_us(self) -> u64 {
        match self {
            Self::T => 80,
            Self::S => 245,
        }
    }

    /// FREQ2, FREQ1, FREQ0.
    pub fn frequency(self) -> [u8; 3] {
        match self {
            Self::T => [0x21, 0x6B, 0xD0],
            Self::S => [0x21, 0x65, 0x6A],
        }
    }

    /// The band at which this mode's receiver has a look now and then, for noise.
    pub fn other(self) -> Self {
        match self {
            Self::T => Self::S,
            Self::S => Self::T,
        }
    }

    /// All that is written after a reset, in the order of the addresses.
    pub fn registers(self) -> impl Iterator<Item = (Register, u8)> {
        let [freq2, freq1, freq0] = self.frequency();
        let own = match self {
            Self::T => T_REGISTERS,
            Self::S => S_REGISTERS,
        };
        let frequency = [(Register::Freq2, freq2), (Register::Freq1, freq1), (Register::Freq0, freq0)];
        COMMON.into_iter().chain(own).chain(frequency)
    }
}

/// What both modes share. PKTLEN, ADDR, CHANNR and MCSM2 are as after a reset: written because reception hangs on them.
const COMMON: [(Register, u8); 27] = [
    (Register::Iocfg2, GDO_SYNC),
    (Register::Iocfg0, GDO_FIFO),
    (Register::Fifothr, THRESHOLD_4),
    (Register::Pktlen, 0xFF),
    // No status appended, no address filter.
    (Register::Pktctrl1, 0x00),
    // Infinite length, for ever: fixed length cuts at 255 bytes (esphome-components #406), and to switch to it in mid-packet
    // ends the packet at once on some silicon (#443).
    (Register::Pktctrl0, 0x02),
    (Register::Addr, 0x00),
    (Register::Channr, 0x00),
    (Register::Fsctrl1, 0x08),
    (Register::Fsctrl0, 0x00),
    // 2-FSK, no Manchester, all 16 bits of the sync word, and a carrier.
    (Register::Mdmcfg2, 0x06),
    (Register::Mdmcfg1, 0x22),
    (Register::Mdmcfg0, 0xF8),
    (Register::Mcsm2, 0x07),
    (Register::Mcsm1, 0x00),
    // Calibrates on the way from IDLE to RX.
    (Register::Mcsm0, 0x18),
    (Register::Foccfg, 0x2E),
    (Register::Frend1, 0xB6),
    (Register::Frend0, 0x10),
    (Register::Fscal3, 0xEA),
    (Register::Fscal2, 0x2A),
    (Register::Fscal1, 0x00),
    (Register::Fscal0, 0x1F),
    (Register::Fstest, 0x59),
    (Register::Test2, 0x81),
    (Register::Test1, 0x35),
    (Register::Test0, 0x09),
];

/// 103.15 kBd, 325 kHz wide, deviation 38.1 kHz: senders may be 12 % off.
const T_REGISTERS: [(Register, u8); 9] = [
    (Register::Sync1, 0x54),
    (Register::Sync0, 0x3D),
    (Register::Mdmcfg4, 0x5C),
    (Register::Mdmcfg3, 0x04),
    (Register::Deviatn, 0x44),
    (Register::Bscfg, 0xBF),
    (Register::Agcctrl2, 0x43),
    (Register::Agcctrl1, 0x09),
    (Register::Agcctrl0, 0xB5),
];

/// 32.73 kBd, 271 kHz wide, deviation 47.6 kHz.
const S_REGISTERS: [(Register, u8); 9] = [
    (Register::Sync1, 0x76),
    (Register::Sync0, 0x96),
    (Register::Mdmcfg4, 0x6A),
    (Register::Mdmcfg3, 0x4A),
    (Register::Deviatn, 0x47),
    (Register::Bscfg, 0x6D),
    (Register::Agcctrl2, 0x04),
    (Register::Agcctrl1, 0x09),
    (Register::Agcctrl0, 0xB2),
];

/// Signal strength in dBm from RSSI: half decibels in two's complement, offset 74 (SWRS061, 17.3).
pub fn dbm(raw: u8) -> i16 {
    i16::from(raw.cast_signed()) / 2 - 74
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The data sheet's formulas, for a 26 MHz crystal.
    fn computed(mode: Mode) -> (f64, f64, f64, f64) {
        const CRYSTAL: f64 = 26e6;
        let r: BTreeMap<Register, u8> = mode.registers().collect();
        let v = |register| f64::from(r[&register]);
        let two = |exponent: u8| f64::from(exponent).exp2();
        let freq = CRYSTAL / 65536.0 * (v(Register::Freq2) * 65536.0 + v(Register::Freq1) * 256.0 + v(Register::Freq0));
        let mdmcfg4 = r[&Register::Mdmcfg4];
        let rate = (256.0 + v(Register::Mdmcfg3)) * two(mdmcfg4 & 15) / 2f64.powi(28) * CRYSTAL;
        let width = CRYSTAL / (8.0 * (4.0 + f64::from(mdmcfg4 >> 4 & 3)) * two(mdmcfg4 >> 6));
        let deviatn = r[&Register::Deviatn];
        let deviation = CRYSTAL / 2f64.powi(17) * (8.0 + f64::from(deviatn & 7)) * two(deviatn >> 4 & 7);
        (freq, rate, width, deviation)
    }

    #[test]
    fn the_tables_are_the_radios_that_en_13757_4_asks_for() {
        // Frequency, chips a second, filter, deviation, as radio868.md computed them from the published tables.
        for (mode, want) in
            [(Mode::T, [868.9497e6, 103.15e3, 325e3, 38.1e3]), (Mode::S, [868.2999e6, 32.73e3, 271e3, 47.6e3])]
        {
            let (freq, rate, width, deviation) = computed(mode);
            for (got, want) in [freq, rate, width, deviation].into_iter().zip(want) {
                assert!((got - want).abs() / want < 0.002, "{mode:?}: {got} is not {want}");
            }
        }
    }

    #[test]
    fn each_register_is_written_once_and_a_status_register_never_as_a_command() {
        for mode in [Mode::T, Mode::S] {
            let mut addresses: Vec<u8> = mode.registers().map(|(register, _)| register as u8).collect();
            assert_eq!(addresses.len(), 39);
            addresses.sort_unstable();
            addresses.dedup();
            assert_eq!(addresses.len(), 39, "a register stands twice");
            assert!(addresses.iter().all(|address| *address <= 0x2E));
        }
        assert_eq!(Status::Version.read(), 0xF1);
        assert_eq!(Status::Rxbytes.read(), 0xFB);
        assert_eq!(READ_FIFO, 0xFF);
        assert_eq!(Register::Sync1.read(), 0x84);
    }

    #[test]
    fn signal_strength_is_the_data_sheets_formula() {
        // SWRS061, 17.3: for 128 and more (raw - 256) / 2 - 74, below raw / 2 - 74.
        for (raw, want) in [(0x00, -74), (0x80, -138), (0xFF, -74), (0x40, -42), (0xD0, -98)] {
            assert_eq!(dbm(raw), want);
        }
    }
}
