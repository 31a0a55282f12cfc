//! EZSP as a server: which format, which version, which command; and what it says by itself.
//!
//! A command that it does not know, or that comes before VERSION, is answered with invalidCommand.

use super::Duty;
use super::Ncp;
use super::ash::Ticket;
use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::frames;
use super::frames::control;
use super::frames::id;
use super::status::Status;
use std::time::Duration;

/// EzspStatus of invalidCommand.
pub mod refusal {
    /// VERSION has not been agreed since the last reset.
    pub const VERSION_NOT_SET: u8 = 0x30;
    /// No such command in this firmware.
    pub const INVALID_FRAME_ID: u8 = 0x31;
    /// The frame came from the wrong side.
    pub const WRONG_DIRECTION: u8 = 0x32;
    /// The command is shorter than its layout.
    pub const TRUNCATED: u8 = 0x33;
}

/// The answer to a command: a body, nothing known, or too short.
pub(super) type Answer = Result<Option<Vec<u8>>, Short>;

impl Ncp {
    /// A frame came over the link.
    pub(super) fn command_frame(&mut self, now: Duration, frame: &[u8]) {
        let mut r = Reader(frame);
        let Ok([sequence, low, third]) = r.array::<3>() else { return };
        // In the legacy format the third byte is the frame id, and only VERSION (0) may come in it.
        let legacy = third == 0x00;
        let id = if legacy { Ok(id::VERSION) } else { r.u16() };
        let answer = match id {
            _ if low & 0x80 != 0 => Err(refusal::WRONG_DIRECTION),
            Err(Short) => Err(refusal::TRUNCATED),
            Ok(_) if !legacy && third != 0x01 => Err(refusal::INVALID_FRAME_ID),
            Ok(id::VERSION) => self.version(&mut r).map(|body| (id::VERSION, body)),
            Ok(_) if !self.ram.version_set => Err(refusal::VERSION_NOT_SET),
            Ok(id) => self.command(now, id, r).map(|body| (id, body)),
        };
        let (id, body) = answer.unwrap_or_else(|reason| (id::INVALID, self.refusal(reason)));
        let control = control::REPLY | self.flags();
        let reply = if legacy && id == id::VERSION {
            frames::legacy(sequence, control, 0, &body)
        } else {
            frames::extended(sequence, control, id, &body)
        };
        if self.settings.think.is_zero() {
            self.ram.sequence = sequence;
            self.ash.send(now, reply, false, None);
        } else {
            self.agenda.at(now + self.settings.think, Duty::Reply(reply));
        }
    }

    fn version(&mut self, r: &mut Reader<'_>) -> Result<Vec<u8>, u8> {
        let wanted = r.u8().map_err(|Short| refusal::TRUNCATED)?;
        if wanted == self.settings.ezsp {
            self.ram.version_set = true;
        }
        let [major, minor, patch, special] = self.settings.stack;
        let number = u16::from(major) << 12 | u16::from(minor) << 8 | u16::from(patch) << 4 | u16::from(special);
        Ok(Writer::new().u8(self.settings.ezsp).u8(2).u16(number).done())
    }

    fn refusal(&self, reason: u8) -> Vec<u8> {
        if self.settings.ezsp < frames::NEW_LAYOUT { vec![reason] } else { u32::from(reason).to_le_bytes().to_vec() }
    }

    fn command(&mut self, now: Duration, id: u16, r: Reader<'_>) -> Result<Vec<u8>, u8> {
        let families =
            [Self::shelf_command, Self::network_command, Self::key_command, Self::table_command, Self::radio_command];
        for family in families {
            match family(self, now, id, r) {
                Ok(Some(body)) => return Ok(body),
                Ok(None) => {}
                Err(Short) => return Err(refusal::TRUNCATED),
            }
        }
        Err(refusal::INVALID_FRAME_ID)
    }

    fn flags(&mut self) -> u8 {
        let overflow = if std::mem::take(&mut self.ram.overflowed) { control::OVERFLOW } else { 0 };
        let pending = if self.ash.queued() > 0 { control::PENDING } else { 0 };
        overflow | pending
    }

    /// A status in this version's width.
    pub(super) fn status(&self, status: Status) -> Vec<u8> {
        frames::status(self.settings.ezsp, status)
    }

    /// The same, at the front of an answer.
    pub(super) fn out(&self, status: Status) -> Writer {
        Writer(self.status(status))
    }

    /// It says something by itself. False when there was no room.
    pub(super) fn callback(&mut self, now: Duration, id: u16, body: &[u8], ticket: Option<Ticket>) -> bool {
        // Before VERSION nobody would know the layout; real sticks are silent then.
        if !self.ram.version_set {
            return false;
        }
        if self.ash.queued() >= super::CALLBACKS_MOST {
            self.ram.overflowed = true;
            return false;
        }
        let control = control::CALLBACK | self.flags();
        let frame = frames::extended(self.ram.sequence, control, id, body);
        self.ash.send(now, frame, true, ticket);
        true
    }

    /// Its network changed, and it says so.
    pub(super) fn stack_status(&mut self, now: Duration, status: Status) {
        let body = self.status(status);
        self.callback(now, id::STACK_STATUS, &body, None);
    }
}
