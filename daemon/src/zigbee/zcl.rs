//! The Zigbee Cluster Library's header: whose command, to which side, in which transaction, and the Default Response
//! that answers it (07-5123, chapter 2). What the payload means is not decided here.

use crate::zigbee::bytes::Reader;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;

/// Bits of the frame control byte; 5 to 7 are reserved and not looked at, as the standard asks of receivers.
mod control {
    pub const CLUSTER: u8 = 0x01;
    pub const TYPE: u8 = 0x03;
    pub const MANUFACTURER: u8 = 0x04;
    pub const TO_CLIENT: u8 = 0x08;
    pub const NO_DEFAULT_RESPONSE: u8 = 0x10;
}

/// Commands every cluster has.
pub mod global {
    #![allow(missing_docs)] // the standard's own names
    pub const READ: u8 = 0x00;
    pub const READ_RESPONSE: u8 = 0x01;
    pub const WRITE: u8 = 0x02;
    pub const WRITE_RESPONSE: u8 = 0x04;
    pub const CONFIGURE_REPORTING: u8 = 0x06;
    pub const CONFIGURE_REPORTING_RESPONSE: u8 = 0x07;
    pub const REPORT: u8 = 0x0A;
    pub const DEFAULT_RESPONSE: u8 = 0x0B;
}

/// Whose command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One that every cluster has.
    Global,
    /// The cluster's own.
    Cluster,
}

/// Which side of the cluster is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client: our requests, a keypad's commands.
    ToServer,
    /// From the server: a detector's word, an answer to our request.
    ToClient,
}

/// What stands before every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose command it is.
    pub scope: Scope,
    /// Which side is spoken to.
    pub direction: Direction,
    /// The sender wants a Default Response only if something is wrong.
    pub no_default_response: bool,
    /// Whose extension it is, where it is no command of the standard.
    pub manufacturer: Option<u16>,
    /// The transaction: an answer has its request's.
    pub tsn: u8,
    /// The command, in its scope.
    pub command: u8,
}

impl Header {
    /// Our request for a global command, whose answer makes a Default Response needless.
    pub fn request(tsn: u8, command: u8) -> Self {
        Self {
            scope: Scope::Global,
            direction: Direction::ToServer,
            no_default_response: true,
            manufacturer: None,
            tsn,
            command,
        }
    }

    /// Reads the header.
    ///
    /// # Errors
    /// `too_short`; `not_supported` for the frame types the standard keeps for later.
    pub fn parse(reader: &mut Reader) -> Result<Self, Refused> {
        let bits = reader.u8("the frame control")?;
        let scope = match bits & control::TYPE {
            0 => Scope::Global,
            control::CLUSTER => Scope::Cluster,
            other => return Err(Refused::new(Reason::NotSupported, 0, format!("frame type {other} is reserved"))),
        };
        let own = bits & control::MANUFACTURER != 0;
        let manufacturer = if own { Some(reader.u16("the manufacturer code")?) } else { None };
        let direction = if bits & control::TO_CLIENT == 0 { Direction::ToServer } else { Direction::ToClient };
        let no_default_response = bits & control::NO_DEFAULT_RESPONSE != 0;
        let tsn = reader.u8("the transaction number")?;
        let command = reader.u8("the command")?;
        Ok(Self { scope, direction, no_default_response, manufacturer, tsn, command })
    }

    /// A whole message: this header, then the payload.
    pub fn message(&self, payload: &[u8]) -> Vec<u8> {
        let bit = |on, bit| if on { bit } else { 0 };
        let mut out = vec![
            bit(self.scope == Scope::Cluster, control::CLUSTER)
                | bit(self.manufacturer.is_some(), control::MANUFACTURER)
                | bit(self.direction == Direction::ToClient, control::TO_CLIENT)
                | bit(self.no_default_response, control::NO_DEFAULT_RESPONSE),
        ];
        out.extend(self.manufacturer.iter().flat_map(|code| code.to_le_bytes()));
        out.extend([self.tsn, self.command]);
        out.extend(payload);
        out
    }

    /// Whether its sender must be answered with a Default Response of success once the message is safe. A detector
    /// that is not keeps repeating its alarm. Never for broadcasts, and not where a special answer follows.
    pub fn wants_default_response(&self) -> bool {
        !self.no_default_response && !self.is_global(global::DEFAULT_RESPONSE)
    }

    /// The Default Response to a message with this header.
    pub fn default_response(&self, status: Status) -> Vec<u8> {
        let direction = match self.direction {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        };
        let header = Self {
            scope: Scope::Global,
            direction,
            no_default_response: true,
            command: global::DEFAULT_RESPONSE,
            ..*self
        };
        header.message(&[self.command, status.0])
    }

    fn is_global(&self, command: u8) -> bool {
        self.scope == Scope::Global && self.command == command
    }
}

/// A status of the standard, or any other: all are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(pub u8);

impl Status {
    /// Done.
    pub const SUCCESS: Self = Self(0x00);
    /// A command of a cluster that its receiver does not know.
    pub const UNSUPPORTED_CLUSTER_COMMAND: Self = Self(0x81);
    /// A global command that its receiver does not know.
    pub const UNSUPPORTED_GENERAL_COMMAND: Self = Self(0x82);
    /// The command could not be read.
    pub const MALFORMED_COMMAND: Self = Self(0x80);
    /// No such cluster on this endpoint.
    pub const UNSUPPORTED_CLUSTER: Self = Self(0xC3);
    /// No such attribute.
    pub const UNSUPPORTED_ATTRIBUTE: Self = Self(0x86);

    /// Its name in the standard (07-5123, 2.6.3); `unknown` for codes it does not have.
    pub fn name(self) -> &'static str {
        match self.0 {
            0x00 => "success",
            0x01 => "failure",
            0x7E => "not_authorized",
            0x80 => "malformed_command",
            0x81 => "unsupported_cluster_command",
            0x82 => "unsupported_general_command",
            0x83 => "unsupported_manufacturer_cluster_command",
            0x84 => "unsupported_manufacturer_general_command",
            0x85 => "invalid_field",
            0x86 => "unsupported_attribute",
            0x87 => "invalid_value",
            0x88 => "read_only",
            0x89 => "insufficient_space",
            0x8A => "duplicate_exists",
            0x8B => "not_found",
            0x8C => "unreportable_attribute",
            0x8D => "invalid_data_type",
            0x8E => "invalid_selector",
            0x8F => "write_only",
            0x90 => "inconsistent_startup_state",
            0x91 => "defined_out_of_band",
            0x92 => "inconsistent",
            0x93 => "action_denied",
            0x94 => "timeout",
            0x95 => "abort",
            0x96 => "invalid_image",
            0x97 => "wait_for_data",
            0x98 => "no_image_available",
            0x99 => "require_more_image",
            0x9A => "notification_pending",
            0xC0 => "hardware_failure",
            0xC1 => "software_failure",
            0xC2 => "calibration_error",
            0xC3 => "unsupported_cluster",
            0xC4 => "limit_reached",
            _ => "unknown",
        }
    }
}
