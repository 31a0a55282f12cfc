//! The commands every cluster has: attributes read, written, reported, and how their reports are set up (07-5123,
//! chapter 2). A list that cannot be read to its end is refused whole: half of it could hide the half that alarms.

use crate::zigbee::bytes::Reader;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Status;
use crate::zigbee::zcl::global;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zcl_value::Value;

/// An attribute and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its id in its cluster.
    pub id: u16,
    /// Its value.
    pub value: Value,
}

/// What is asked of an attribute's reporting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reporting {
    /// The receiver shall report.
    Send {
        /// The attribute.
        id: u16,
        /// Its type.
        data_type: DataType,
        /// Not sooner than this after the last report, s.
        min_s: u16,
        /// Not later than this, s; FFFF is never.
        max_s: u16,
        /// The least change worth a report; for analog types only.
        change: Option<Value>,
    },
    /// The receiver will get reports.
    Expect {
        /// The attribute.
        id: u16,
        /// Missing after this time, s; 0 is never.
        timeout_s: u16,
    },
}

/// A global command with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Global {
    /// Asks for attributes.
    Read(Vec<u16>),
    /// Each attribute that was asked for, or why not.
    ReadResponse(Vec<(u16, Result<Value, Status>)>),
    /// Sets attributes.
    Write(Vec<Attribute>),
    /// The attributes that were not written, and why. Empty: all were.
    WriteResponse(Vec<(u16, Status)>),
    /// Sets up reports.
    ConfigureReporting(Vec<Reporting>),
    /// The attributes whose reports were not set up, and why. Empty: all were.
    ConfigureReportingResponse(Vec<(u16, Status)>),
    /// Attributes told unasked.
    Report(Vec<Attribute>),
    /// What became of a command that has no answer of its own.
    DefaultResponse {
        /// The command that is answered.
        command: u8,
        /// What became of it.
        status: Status,
    },
}

impl Global {
    /// Whether an answer to something that was to be done says that all of it was.
    pub fn all_done(&self) -> bool {
        match self {
            Self::WriteResponse(failed) | Self::ConfigureReportingResponse(failed) => failed.is_empty(),
            Self::DefaultResponse { status, .. } => *status == Status::SUCCESS,
            _ => false,
        }
    }

    /// Reads the payload of a global command, to its end.
    ///
    /// # Errors
    /// `too_short`, `unknown_type`, `bad_value`; `not_supported` for other commands.
    pub fn parse(command: u8, reader: &mut Reader) -> Result<Self, Refused> {
        Ok(match command {
            global::READ => Self::Read(list(reader, |reader| reader.u16("an attribute id"))?),
            global::READ_RESPONSE => Self::ReadResponse(list(reader, read_record)?),
            global::WRITE => Self::Write(list(reader, attribute)?),
            global::WRITE_RESPONSE => Self::WriteResponse(failures(reader, |_| Ok(()))?),
            global::CONFIGURE_REPORTING => Self::ConfigureReporting(list(reader, reporting)?),
            global::CONFIGURE_REPORTING_RESPONSE => {
                Self::ConfigureReportingResponse(failures(reader, |reader| reader.u8("a direction").map(drop))?)
            }
            global::REPORT => Self::Report(list(reader, attribute)?),
            global::DEFAULT_RESPONSE => Self::DefaultResponse {
                command: reader.u8("the answered command")?,
                status: Status(reader.u8("a status")?),
            },
            other => {
                let text = format!("global command 0x{other:02x} is none that this receiver reads");
                return Err(Refused::new(Reason::NotSupported, reader.at(), text));
            }
        })
    }

    /// The command's number.
    pub fn command(&self) -> u8 {
        match self {
            Self::Read(_) => global::READ,
            Self::ReadResponse(_) => global::READ_RESPONSE,
            Self::Write(_) => global::WRITE,
            Self::WriteResponse(_) => global::WRITE_RESPONSE,
            Self::ConfigureReporting(_) => global::CONFIGURE_REPORTING,
            Self::ConfigureReportingResponse(_) => global::CONFIGURE_REPORTING_RESPONSE,
            Self::Report(_) => global::REPORT,
            Self::DefaultResponse { .. } => global::DEFAULT_RESPONSE,
        }
    }

    /// The payload as it goes on the air.
    pub fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Read(ids) => out.extend(ids.iter().flat_map(|id| id.to_le_bytes())),
            Self::ReadResponse(records) => records.iter().for_each(|(id, result)| {
                out.extend(id.to_le_bytes());
                match result {
                    Ok(value) => {
                        out.push(Status::SUCCESS.0);
                        write_typed(value, &mut out);
                    }
                    Err(status) => out.push(status.0),
                }
            }),
            Self::Write(attributes) | Self::Report(attributes) => attributes.iter().for_each(|attribute| {
                out.extend(attribute.id.to_le_bytes());
                write_typed(&attribute.value, &mut out);
            }),
            Self::WriteResponse(failed) => write_failures(failed, &[], &mut out),
            Self::ConfigureReporting(all) => all.iter().for_each(|one| write_reporting(one, &mut out)),
            Self::ConfigureReportingResponse(failed) => write_failures(failed, &[0], &mut out),
            Self::DefaultResponse { command, status } => out.extend([*command, status.0]),
        }
        out
    }

    /// Our request, as a whole message.
    pub fn request(&self, tsn: u8) -> Vec<u8> {
        Header::request(tsn, self.command()).message(&self.payload())
    }

    /// Every attribute whose value is told, by a report or an answer.
    pub fn told(&self) -> impl Iterator<Item = (u16, &Value)> {
        let (reported, read): (&[Attribute], &[_]) = match self {
            Self::Report(reported) => (reported, &[]),
            Self::ReadResponse(read) => (&[], read),
            _ => (&[], &[]),
        };
        let read = read.iter().filter_map(|(id, result)| result.as_ref().ok().map(|value| (*id, value)));
        reported.iter().map(|attribute| (attribute.id, &attribute.value)).chain(read)
    }
}

/// At least one of something, to the end of the message, which bounds how many there are.
fn list<T>(reader: &mut Reader, mut one: impl FnMut(&mut Reader) -> Result<T, Refused>) -> Result<Vec<T>, Refused> {
    let mut all = vec![one(reader)?];
    while reader.left() > 0 {
        all.push(one(reader)?);
    }
    Ok(all)
}

fn typed(reader: &mut Reader) -> Result<Value, Refused> {
    let data_type = DataType::parse(reader)?;
    Value::parse(data_type, reader)
}

fn write_typed(value: &Value, out: &mut Vec<u8>) {
    out.push(value.data_type().code());
    value.write(out);
}

fn attribute(reader: &mut Reader) -> Result<Attribute, Refused> {
    Ok(Attribute { id: reader.u16("an attribute id")?, value: typed(reader)? })
}

fn read_record(reader: &mut Reader) -> Result<(u16, Result<Value, Status>), Refused> {
    let id = reader.u16("an attribute id")?;
    let status = Status(reader.u8("a status")?);
    Ok((id, if status == Status::SUCCESS { Ok(typed(reader)?) } else { Err(status) }))
}

/// One byte of success for all, or each attribute that failed. Some devices name those that did not: no failure.
fn failures(
    reader: &mut Reader,
    between: impl Fn(&mut Reader) -> Result<(), Refused>,
) -> Result<Vec<(u16, Status)>, Refused> {
    let one_byte = reader.left() == 1;
    let all = list(reader, |reader| {
        let status = Status(reader.u8("a status")?);
        if one_byte && status == Status::SUCCESS {
            return Ok(None);
        }
        between(reader)?;
        let id = reader.u16("an attribute id")?;
        Ok((status != Status::SUCCESS).then_some((id, status)))
    })?;
    Ok(all.into_iter().flatten().collect())
}

fn write_failures(failed: &[(u16, Status)], between: &[u8], out: &mut Vec<u8>) {
    if failed.is_empty() {
        out.push(Status::SUCCESS.0);
    }
    for (id, status) in failed {
        out.push(status.0);
        out.extend(between);
        out.extend(id.to_le_bytes());
    }
}

fn reporting(reader: &mut Reader) -> Result<Reporting, Refused> {
    let at = reader.at();
    let direction = reader.u8("a direction")?;
    let id = reader.u16("an attribute id")?;
    match direction {
        0 => {
            let data_type = DataType::parse(reader)?;
            let min_s = reader.u16("the least interval")?;
            let max_s = reader.u16("the greatest interval")?;
            let change = if data_type.is_analog() { Some(Value::parse(data_type, reader)?) } else { None };
            Ok(Reporting::Send { id, data_type, min_s, max_s, change })
        }
        1 => Ok(Reporting::Expect { id, timeout_s: reader.u16("a time-out")? }),
        other => Err(Refused::new(Reason::BadValue, at, format!("direction {other}: it is 0 or 1"))),
    }
}

fn write_reporting(reporting: &Reporting, out: &mut Vec<u8>) {
    match reporting {
        Reporting::Send { id, data_type, min_s, max_s, change } => {
            out.push(0);
            out.extend(id.to_le_bytes());
            out.push(data_type.code());
            out.extend(min_s.to_le_bytes());
            out.extend(max_s.to_le_bytes());
            change.iter().for_each(|change| change.write(out));
        }
        Reporting::Expect { id, timeout_s } => {
            out.push(1);
            out.extend(id.to_le_bytes());
            out.extend(timeout_s.to_le_bytes());
        }
    }
}
