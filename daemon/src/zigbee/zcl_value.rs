//! Attribute values: every data type of the Zigbee Cluster Library (07-5123, table 2-11), each with its own length.
//! A type that is not in the table ends the reading, because nothing after it can be placed; none is ever guessed.

use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;

/// How deep arrays and structures may stand in one another (the standard says 15). A value that goes deeper is
/// refused with its whole frame; no alarm attribute nests at all.
pub const MAX_DEPTH: u8 = 4;

/// A type code of the standard; one that is not cannot exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataType(u8);

/// How a type's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// So many bytes, 8 at most.
    Fixed(usize),
    /// A 128-bit key.
    Key,
    /// A length of so many bytes, then that many bytes; all ones is "no value".
    Counted(usize),
    /// A type, a count of two bytes, then so many values of it.
    Many,
    /// A count of two bytes, then so many types, each with its value.
    Fields,
}

fn layout(code: u8) -> Option<Layout> {
    Some(match code {
        0x00 | 0xFF => Layout::Fixed(0),
        // data8 to data64, bitmap8 to bitmap64, uint8 to uint64, int8 to int64.
        0x08..=0x0F | 0x18..=0x1F | 0x20..=0x2F => Layout::Fixed(usize::from(code & 7) + 1),
        0x10 | 0x30 => Layout::Fixed(1),
        0x31 | 0x38 | 0xE8 | 0xE9 => Layout::Fixed(2),
        0x39 | 0xE0..=0xE2 | 0xEA => Layout::Fixed(4),
        0x3A | 0xF0 => Layout::Fixed(8),
        0x41 | 0x42 => Layout::Counted(1),
        0x43 | 0x44 => Layout::Counted(2),
        0x48 | 0x50 | 0x51 => Layout::Many,
        0x4C => Layout::Fields,
        0xF1 => Layout::Key,
        _ => return None,
    })
}

#[allow(missing_docs)] // the standard's own names
impl DataType {
    pub const BOOL: Self = Self(0x10);
    pub const BITMAP8: Self = Self(0x18);
    pub const BITMAP16: Self = Self(0x19);
    pub const BITMAP32: Self = Self(0x1B);
    pub const UINT8: Self = Self(0x20);
    pub const UINT16: Self = Self(0x21);
    pub const UINT32: Self = Self(0x23);
    pub const INT8: Self = Self(0x28);
    pub const INT16: Self = Self(0x29);
    pub const ENUM8: Self = Self(0x30);
    pub const ENUM16: Self = Self(0x31);
    pub const CHAR_STRING: Self = Self(0x42);
    pub const EUI64: Self = Self(0xF0);
}

impl DataType {
    /// The type of a code.
    pub fn new(code: u8) -> Option<Self> {
        layout(code).map(|_| Self(code))
    }

    /// Its code.
    pub fn code(self) -> u8 {
        self.0
    }

    /// Whether reports of it carry a least change: numbers and times (07-5123, 2.6.2: analog).
    pub fn is_analog(self) -> bool {
        matches!(self.0, 0x20..=0x2F | 0x38..=0x3A | 0xE0..=0xE2)
    }

    /// Its name, e.g. `bitmap16`.
    pub fn name(self) -> String {
        let bits = |family: &str| format!("{family}{}", (self.0 & 7) * 8 + 8);
        match self.0 {
            0x08..=0x0F => bits("data"),
            0x18..=0x1F => bits("bitmap"),
            0x20..=0x27 => bits("uint"),
            0x28..=0x2F => bits("int"),
            0x30 => "enum8".into(),
            0x31 => "enum16".into(),
            code => match code {
                0x00 => "none",
                0x10 => "bool",
                0x38 => "semi",
                0x39 => "single",
                0x3A => "double",
                0x41 => "octets",
                0x42 => "string",
                0x43 => "long_octets",
                0x44 => "long_string",
                0x48 => "array",
                0x4C => "struct",
                0x50 => "set",
                0x51 => "bag",
                0xE0 => "time_of_day",
                0xE1 => "date",
                0xE2 => "utc",
                0xE8 => "cluster_id",
                0xE9 => "attribute_id",
                0xEA => "bacnet_oid",
                0xF0 => "eui64",
                0xF1 => "key",
                _ => "unknown",
            }
            .into(),
        }
    }

    fn layout(self) -> Layout {
        layout(self.0).expect("a DataType is only made from a code that has a layout")
    }

    /// The next byte as a type code.
    ///
    /// # Errors
    /// `unknown_type` naming it, `too_short`.
    pub fn parse(reader: &mut Reader) -> Result<Self, Refused> {
        let at = reader.at();
        let code = reader.u8("a data type")?;
        let text = || format!("data type 0x{code:02x} is not in the standard: its length cannot be known");
        Self::new(code).ok_or_else(|| Refused::new(Reason::UnknownType, at, text()))
    }
}

/// What a value holds, as it lay on the air.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Types of a fixed width up to 8 bytes, as an unsigned number.
    Bits(u64),
    /// A string's bytes or a key's; `None` is a string that says it has no value.
    Bytes(Option<Vec<u8>>),
    /// Elements of one type; `None` where it says it has no value.
    Many(DataType, Option<Vec<Value>>),
    /// Values of several types; `None` where it says it has no value.
    Fields(Option<Vec<Value>>),
}

/// An attribute's value. Its type and its content agree always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    data_type: DataType,
    content: Content,
}

impl Value {
    /// A value of a fixed width; `None` for types of another kind and for bits that do not fit.
    pub fn fixed(data_type: DataType, bits: u64) -> Option<Self> {
        let Layout::Fixed(width) = data_type.layout() else { return None };
        let fits = width == 8 || bits >> (8 * width) == 0;
        fits.then_some(Self { data_type, content: Content::Bits(bits) })
    }

    /// A character string; `None` if it is longer than the 254 bytes that fit.
    pub fn text(text: &str) -> Option<Self> {
        let content = Content::Bytes(Some(text.as_bytes().to_vec()));
        (text.len() < 255).then_some(Self { data_type: DataType::CHAR_STRING, content })
    }

    /// An IEEE address.
    pub fn eui64(address: Eui64) -> Self {
        Self { data_type: DataType::EUI64, content: Content::Bits(address.0) }
    }

    /// Its type.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// What it holds.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The bits of a value of fixed width, whatever they stand for.
    pub fn bits(&self) -> Option<u64> {
        if let Content::Bits(bits) = self.content { Some(bits) } else { None }
    }

    /// The number, if this is an unsigned integer that is not its type's "no value" (all ones).
    pub fn unsigned(&self) -> Option<u64> {
        let (0x20..=0x27, Content::Bits(bits), Layout::Fixed(width)) =
            (self.data_type.0, &self.content, self.data_type.layout())
        else {
            return None;
        };
        (*bits != u64::MAX >> (64 - 8 * width)).then_some(*bits)
    }

    /// The number, if this is a signed integer that is not its type's "no value" (the lowest).
    pub fn signed(&self) -> Option<i64> {
        let (0x28..=0x2F, Content::Bits(bits), Layout::Fixed(width)) =
            (self.data_type.0, &self.content, self.data_type.layout())
        else {
            return None;
        };
        let unused = 64 - 8 * width;
        let number = (bits << unused).cast_signed() >> unused;
        (number != i64::MIN >> unused).then_some(number)
    }

    /// The number, if this is a floating one that is a number.
    pub fn float(&self) -> Option<f64> {
        let bits = self.bits()?;
        let number = match self.data_type.0 {
            0x38 => half(u16::try_from(bits).ok()?),
            0x39 => f64::from(f32::from_bits(u32::try_from(bits).ok()?)),
            0x3A => f64::from_bits(bits),
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// The bytes of a string or a key, if it has any.
    pub fn bytes(&self) -> Option<&[u8]> {
        if let Content::Bytes(Some(bytes)) = &self.content { Some(bytes) } else { None }
    }

    /// Reads a value of a known type.
    ///
    /// # Errors
    /// `too_short`; `unknown_type`, `too_long` and `bad_value` inside arrays and structures.
    pub fn parse(data_type: DataType, reader: &mut Reader) -> Result<Self, Refused> {
        Self::nested(data_type, reader, 0)
    }

    fn nested(data_type: DataType, reader: &mut Reader, depth: u8) -> Result<Self, Refused> {
        let layout = data_type.layout();
        if depth > MAX_DEPTH {
            let text = format!("arrays and structures more than {MAX_DEPTH} deep are not taken");
            return Err(Refused::new(Reason::TooLong, reader.at(), text));
        }
        let content = match layout {
            Layout::Fixed(width) => Content::Bits(reader.number(width, "a value")?),
            Layout::Key => Content::Bytes(Some(reader.take(16, "a key")?.to_vec())),
            Layout::Counted(width) => Content::Bytes(match counted(width, reader)? {
                Some(length) => Some(reader.take(length, "a string")?.to_vec()),
                None => None,
            }),
            Layout::Many => {
                let at = reader.at();
                let of = DataType::parse(reader)?;
                if of.layout() == Layout::Fixed(0) {
                    let text = "elements without bytes could be any number";
                    return Err(Refused::new(Reason::BadValue, at, text));
                }
                let count = counted(2, reader)?;
                Content::Many(of, several(count, || Self::nested(of, reader, depth + 1))?)
            }
            Layout::Fields => {
                let count = counted(2, reader)?;
                Content::Fields(several(count, || Self::nested(DataType::parse(reader)?, reader, depth + 1))?)
            }
        };
        Ok(Self { data_type, content })
    }

    /// Appends it as it goes on the air, without its type.
    pub fn write(&self, out: &mut Vec<u8>) {
        match (&self.content, self.data_type.layout()) {
            (Content::Bits(bits), Layout::Fixed(width)) => out.extend(&bits.to_le_bytes()[..width]),
            (Content::Bytes(Some(bytes)), Layout::Key) => out.extend(bytes),
            (Content::Bytes(bytes), Layout::Counted(width)) => {
                write_count(bytes.as_ref().map(Vec::len), width, out);
                out.extend(bytes.iter().flatten());
            }
            (Content::Many(of, elements), Layout::Many) => {
                out.push(of.0);
                write_count(elements.as_ref().map(Vec::len), 2, out);
                elements.iter().flatten().for_each(|element| element.write(out));
            }
            (Content::Fields(fields), Layout::Fields) => {
                write_count(fields.as_ref().map(Vec::len), 2, out);
                for field in fields.iter().flatten() {
                    out.push(field.data_type.0);
                    field.write(out);
                }
            }
            _ => unreachable!("a value's type and content are made together"),
        }
    }
}

/// A length or a count of `width` bytes; all ones is "no value".
fn counted(width: usize, reader: &mut Reader) -> Result<Option<usize>, Refused> {
    let count = reader.number(width, "a length")?;
    let none = u64::MAX >> (64 - 8 * width);
    Ok((count != none).then(|| usize::try_from(count).expect("two bytes are a usize")))
}

fn write_count(count: Option<usize>, width: usize, out: &mut Vec<u8>) {
    out.extend(&count.unwrap_or(usize::MAX).to_le_bytes()[..width]);
}

/// So many values. A count only promises: memory grows with the values that are really there.
fn several(
    count: Option<usize>,
    mut one: impl FnMut() -> Result<Value, Refused>,
) -> Result<Option<Vec<Value>>, Refused> {
    count.map(|count| (0..count).map(|_| one()).collect()).transpose()
}

/// A half-precision number (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3FF));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 => f64::NAN,
        exponent => (fraction + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}
