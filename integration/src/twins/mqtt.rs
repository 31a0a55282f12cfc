//! As much of MQTT 5 (OASIS standard, 2019-03-07) on the wire as the evil broker and raw test clients need.
//!
//! Pure. Properties are read past, but for the two anyone here asks for, and never invented. It refuses what it does
//! not know rather than guessing.

use thiserror::Error;

/// The largest packet read; far above the contract's 96 KiB so that breaches of it can be seen.
pub const PACKET_MAX_BYTES: usize = 1024 * 1024;

const SESSION_EXPIRY: u8 = 0x11;
const SERVER_KEEP_ALIVE: u8 = 0x13;

/// A packet that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("reading an MQTT 5 packet: {0}")]
pub struct Malformed(pub String);

/// A packet, either way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the standard's own words
pub enum Packet {
    Connect {
        client_id: String,
        clean_start: bool,
        keep_alive_s: u16,
        session_expiry_s: u32,
        will_topic: Option<String>,
    },
    ConnAck {
        session_present: bool,
        reason: u8,
        server_keep_alive_s: Option<u16>,
    },
    Publish {
        dup: bool,
        qos: u8,
        retain: bool,
        topic: String,
        id: u16,
        payload: Vec<u8>,
    },
    PubAck {
        id: u16,
        reason: u8,
    },
    Subscribe {
        id: u16,
        filters: Vec<(String, u8)>,
    },
    SubAck {
        id: u16,
        reasons: Vec<u8>,
    },
    PingReq,
    PingResp,
    Disconnect {
        reason: u8,
    },
}

impl Packet {
    /// The packet's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let first = match self {
            Self::Connect { client_id, clean_start, keep_alive_s, session_expiry_s, will_topic } => {
                put_text(&mut body, "MQTT");
                body.push(5);
                body.push(u8::from(*clean_start) << 1 | if will_topic.is_some() { 0x2c } else { 0 });
                body.extend(keep_alive_s.to_be_bytes());
                body.extend([5, SESSION_EXPIRY]);
                body.extend(session_expiry_s.to_be_bytes());
                put_text(&mut body, client_id);
                if let Some(topic) = will_topic {
                    body.push(0);
                    put_text(&mut body, topic);
                    put_text(&mut body, "");
                }
                0x10
            }
            Self::ConnAck { session_present, reason, server_keep_alive_s } => {
                body.extend([u8::from(*session_present), *reason]);
                match server_keep_alive_s {
                    Some(seconds) => {
                        body.extend([3, SERVER_KEEP_ALIVE]);
                        body.extend(seconds.to_be_bytes());
                    }
                    None => body.push(0),
                }
                0x20
            }
            Self::Publish { dup, qos, retain, topic, id, payload } => {
                put_text(&mut body, topic);
                if *qos > 0 {
                    body.extend(id.to_be_bytes());
                }
                body.push(0);
                body.extend(payload);
                0x30 | u8::from(*dup) << 3 | qos << 1 | u8::from(*retain)
            }
            Self::PubAck { id, reason } => {
                body.extend(id.to_be_bytes());
                body.push(*reason);
                0x40
            }
            Self::Subscribe { id, filters } => {
                body.extend(id.to_be_bytes());
                body.push(0);
                for (filter, qos) in filters {
                    put_text(&mut body, filter);
                    body.push(*qos);
                }
                0x82
            }
            Self::SubAck { id, reasons } => {
                body.extend(id.to_be_bytes());
                body.push(0);
                body.extend(reasons);
                0x90
            }
            Self::PingReq => 0xc0,
            Self::PingResp => 0xd0,
            Self::Disconnect { reason } => {
                body.push(*reason);
                0xe0
            }
        };
        let mut packet = vec![first];
        put_length(&mut packet, body.len());
        packet.extend(body);
        packet
    }

    /// Reads one packet from the front of `bytes`: the packet and its length, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// What is there can never become a packet.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some(first) = bytes.first() else { return Ok(None) };
        let mut reader = Reader(&bytes[1..]);
        let Some(length) = reader.length()? else { return Ok(None) };
        if length > PACKET_MAX_BYTES {
            return Err(Malformed(format!("{length} bytes long, {PACKET_MAX_BYTES} is the most read here")));
        }
        let Some(body) = reader.0.get(..length) else { return Ok(None) };
        let used = bytes.len() - reader.0.len() + length;
        Ok(Some((parse(*first, Reader(body))?, used)))
    }
}

fn parse(first: u8, mut body: Reader<'_>) -> Result<Packet, Malformed> {
    Ok(match first >> 4 {
        1 => connect(body)?,
        2 => {
            let (flags, reason) = (body.byte()?, body.byte()?);
            let properties = body.properties()?;
            Packet::ConnAck {
                session_present: flags & 1 == 1,
                reason,
                server_keep_alive_s: properties.server_keep_alive_s,
            }
        }
        3 => {
            let (dup, qos, retain) = (first & 8 != 0, first >> 1 & 3, first & 1 == 1);
            let topic = body.text()?;
            let id = if qos > 0 { body.word()? } else { 0 };
            body.skip_properties()?;
            Packet::Publish { dup, qos, retain, topic, id, payload: body.0.to_vec() }
        }
        4 => Packet::PubAck { id: body.word()?, reason: body.0.first().copied().unwrap_or(0) },
        8 => {
            let id = body.word()?;
            body.skip_properties()?;
            let mut filters = Vec::new();
            while !body.0.is_empty() {
                filters.push((body.text()?, body.byte()? & 3));
            }
            Packet::Subscribe { id, filters }
        }
        9 => {
            let id = body.word()?;
            body.skip_properties()?;
            Packet::SubAck { id, reasons: body.0.to_vec() }
        }
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => Packet::Disconnect { reason: body.0.first().copied().unwrap_or(0) },
        other => return Err(Malformed(format!("packet type {other} is not spoken here"))),
    })
}

fn connect(mut body: Reader<'_>) -> Result<Packet, Malformed> {
    let (protocol, version, flags) = (body.text()?, body.byte()?, body.byte()?);
    if protocol != "MQTT" || version != 5 {
        return Err(Malformed(format!("protocol {protocol} {version}, only MQTT 5 is spoken here")));
    }
    let keep_alive_s = body.word()?;
    let session_expiry_s = body.properties()?.session_expiry_s;
    let client_id = body.text()?;
    let will_topic = if flags & 4 != 0 {
        body.skip_properties()?;
        Some(body.text()?)
    } else {
        None
    };
    Ok(Packet::Connect { client_id, clean_start: flags & 2 != 0, keep_alive_s, session_expiry_s, will_topic })
}

#[derive(Default)]
struct Properties {
    session_expiry_s: u32,
    server_keep_alive_s: Option<u16>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(|| Malformed("it ends too early".to_owned()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn word(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = self.word()?;
        let bytes = self.take(usize::from(length))?;
        String::from_utf8(bytes.to_vec()).map_err(|e| Malformed(format!("a text that is not UTF-8: {e}")))
    }

    /// A variable byte integer; `None` when it is not complete.
    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let Some((byte, rest)) = self.0.split_first() else { return Ok(None) };
            self.0 = rest;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(Some(value));
            }
        }
        Err(Malformed("a length of more than four bytes".to_owned()))
    }

    fn skip_properties(&mut self) -> Result<(), Malformed> {
        let length = self.length()?.ok_or_else(|| Malformed("it ends within its properties".to_owned()))?;
        self.take(length).map(drop)
    }

    /// Reads the properties of CONNECT or CONNACK (standard, 2.2.2.2).
    fn properties(&mut self) -> Result<Properties, Malformed> {
        let length = self.length()?.ok_or_else(|| Malformed("it ends within its properties".to_owned()))?;
        let mut properties = Reader(self.take(length)?);
        let mut found = Properties::default();
        while !properties.0.is_empty() {
            match properties.byte()? {
                SESSION_EXPIRY => {
                    found.session_expiry_s = u32::from(properties.word()?) << 16 | u32::from(properties.word()?);
                }
                SERVER_KEEP_ALIVE => found.server_keep_alive_s = Some(properties.word()?),
                0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => drop(properties.byte()?),
                0x21 | 0x22 => drop(properties.word()?),
                0x27 => drop(properties.take(4)?),
                0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => {
                    let length = properties.word()?;
                    properties.take(usize::from(length))?;
                }
                0x26 => drop((properties.text()?, properties.text()?)),
                other => return Err(Malformed(format!("property {other:#04x} is not known here"))),
            }
        }
        Ok(found)
    }
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("texts written here are short");
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
}

fn put_length(packet: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        packet.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_reads_back_and_every_prefix_asks_for_more() {
        let text = |text: &str| text.to_owned();
        let packets = [
            Packet::Connect {
                client_id: text("hub-eth"),
                clean_start: true,
                keep_alive_s: 20,
                session_expiry_s: 70_000,
                will_topic: Some(text("w")),
            },
            Packet::ConnAck { session_present: true, reason: 0x89, server_keep_alive_s: Some(0) },
            Packet::Publish { dup: true, qos: 1, retain: true, topic: text("a/b"), id: 513, payload: vec![7; 300] },
            Packet::Publish { dup: false, qos: 0, retain: false, topic: text("a"), id: 0, payload: vec![] },
            Packet::PubAck { id: 9, reason: 0x97 },
            Packet::Subscribe { id: 1, filters: vec![(text("a/+"), 1), (text("b"), 0)] },
            Packet::SubAck { id: 1, reasons: vec![1, 0x87] },
            Packet::PingReq,
            Packet::PingResp,
            Packet::Disconnect { reason: 0x8e },
        ];
        for packet in packets {
            let bytes = packet.encode();
            assert_eq!(Packet::decode(&bytes), Ok(Some((packet.clone(), bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(Packet::decode(&bytes[..cut]), Ok(None), "{packet:?} cut to {cut}");
            }
        }
    }

    #[test]
    fn an_mqtt_5_connect_from_a_capture_is_read() {
        // mosquitto_pub 2.0.11 -V 5 -i m -k 60, as captured: its properties hold only Receive Maximum 20.
        let bytes = [0x10, 0x11, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 3, 0x21, 0, 20, 0, 1, b'm'];
        let connect = Packet::Connect {
            client_id: "m".to_owned(),
            clean_start: true,
            keep_alive_s: 60,
            session_expiry_s: 0,
            will_topic: None,
        };
        assert_eq!(Packet::decode(&bytes), Ok(Some((connect, 19))));
    }

    #[test]
    fn what_is_not_mqtt_5_is_refused() {
        for bytes in [&[0x10, 0x80, 0x80, 0x80, 0x80, 1][..], &[0xf0, 0], &[0x10, 2, 0, 9], b"0\xff\xff\xff\x7fHTTP"] {
            assert!(Packet::decode(bytes).is_err(), "{bytes:02x?}");
        }
    }
}
