//! A CC1101 behind `embedded-hal`: its registers, commands and FIFO, one transaction each. It waits for nothing; the engine
//! in `cc1101` knows what follows what, and when.
//!
//! SWRS061 sections 10 (SPI) and 20 (FIFO); errata SWRZ020, "SPI read synchronization": a status register that changes while
//! it is read may read as neither value, so each is read until it says the same twice.

use crate::subghz::cc1101_registers::FIFO;
use crate::subghz::cc1101_registers::READ_FIFO;
use crate::subghz::cc1101_registers::RXBYTES_COUNT;
use crate::subghz::cc1101_registers::RXFIFO_OVERFLOW;
use crate::subghz::cc1101_registers::Register;
use crate::subghz::cc1101_registers::State;
use crate::subghz::cc1101_registers::Status;
use crate::subghz::cc1101_registers::Strobe;
use crate::subghz::cc1101_told::Fault;
use embedded_hal::spi::SpiDevice;

/// Times a status register is read for two equal values in a row. A byte arrives each 80 µs at most and disturbs one
/// reading, so three are ample; what needs more is no radio chip's doing.
const READINGS: usize = 8;

/// How full the FIFO is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// So many bytes.
    Bytes(usize),
    /// It ran over.
    Overflow,
    /// It never read the same twice, or as more than the FIFO holds.
    Unstable,
}

/// The chip.
#[derive(Debug)]
pub struct Chip<S> {
    spi: S,
}

impl<S: SpiDevice> Chip<S> {
    /// The chip behind this bus: mode 0, most significant bit first, 6.5 MHz at most.
    pub fn new(spi: S) -> Self {
        Self { spi }
    }

    fn transfer(&mut self, what: &'static str, bytes: &mut [u8]) -> Result<(), Fault> {
        self.spi.transfer_in_place(bytes).map_err(|error| Fault::Spi { what, error: format!("{error:?}") })
    }

    /// Gives a command; the status byte answers.
    ///
    /// # Errors
    /// The bus refused.
    pub fn strobe(&mut self, strobe: Strobe) -> Result<u8, Fault> {
        let mut bytes = [strobe as u8];
        self.transfer("giving a command", &mut bytes)?;
        Ok(bytes[0])
    }

    /// Writes a register.
    ///
    /// # Errors
    /// The bus refused.
    pub fn write(&mut self, register: Register, value: u8) -> Result<(), Fault> {
        self.transfer("writing a register", &mut [register.write(), value])
    }

    /// Reads a register.
    ///
    /// # Errors
    /// The bus refused.
    pub fn read(&mut self, register: Register) -> Result<u8, Fault> {
        let mut bytes = [register.read(), 0];
        self.transfer("reading a register", &mut bytes)?;
        Ok(bytes[1])
    }

    /// Reads a status register once, for values that are never settled: RSSI and LQI.
    ///
    /// # Errors
    /// The bus refused.
    pub fn glance(&mut self, status: Status) -> Result<u8, Fault> {
        let mut bytes = [status.read(), 0];
        self.transfer("reading a status register", &mut bytes)?;
        Ok(bytes[1])
    }

    /// Reads a status register until it says the same twice; None where it never does.
    fn settled(&mut self, status: Status) -> Result<Option<u8>, Fault> {
        let mut last = self.glance(status)?;
        for _ in 1..READINGS {
            let now = self.glance(status)?;
            if now == last {
                return Ok(Some(now));
            }
            last = now;
        }
        Ok(None)
    }

    /// PARTNUM and VERSION.
    ///
    /// # Errors
    /// The bus refused, or they do not settle.
    pub fn identity(&mut self) -> Result<(u8, u8), Fault> {
        let partnum = self.settled(Status::Partnum)?.ok_or(Fault::Unstable { register: "PARTNUM" })?;
        let version = self.settled(Status::Version)?.ok_or(Fault::Unstable { register: "VERSION" })?;
        Ok((partnum, version))
    }

    /// Where its state machine is.
    ///
    /// # Errors
    /// The bus refused, or it does not settle.
    pub fn state(&mut self) -> Result<State, Fault> {
        let value = self.settled(Status::Marcstate)?.ok_or(Fault::Unstable { register: "MARCSTATE" })?;
        Ok(State::from_marcstate(value))
    }

    /// How full the FIFO is.
    ///
    /// # Errors
    /// The bus refused.
    pub fn fill(&mut self) -> Result<Fill, Fault> {
        Ok(match self.settled(Status::Rxbytes)? {
            Some(value) if value & RXFIFO_OVERFLOW != 0 => Fill::Overflow,
            Some(value) if usize::from(value & RXBYTES_COUNT) <= FIFO => Fill::Bytes(usize::from(value)),
            _ => Fill::Unstable,
        })
    }

    /// Takes `count` bytes out of the FIFO, no more than it holds. The caller leaves one in it while the packet goes on: of an emptied
    /// FIFO the chip gives the last byte again (SWRS061, 20).
    ///
    /// # Errors
    /// The bus refused.
    pub fn take(&mut self, count: usize, into: &mut Vec<u8>) -> Result<(), Fault> {
        let mut bytes = [0; 1 + FIFO];
        let bytes = &mut bytes[..1 + count.min(FIFO)];
        bytes[0] = READ_FIFO;
        self.transfer("reading the FIFO", bytes)?;
        into.extend_from_slice(&bytes[1..]);
        Ok(())
    }
}
