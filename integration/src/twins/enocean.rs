//! EnOcean devices and the transceiver that hears them, for a site without hardware: telegrams go in, the bytes of its serial
//! line come out, and what the hub sends through it is kept.
//!
//! Written from the specifications alone (ESP3 1.47, EEP 2.6.7, Security of EnOcean Radio Networks 1.8) and sharing no code
//! with the daemon, so that both being wrong in the same way is unlikely. It has no radio and no duty cycle.

use aes::Aes128;
use aes::cipher::BlockCipherEncrypt;
use aes::cipher::KeyInit;

/// CRC8 of ESP3, bit by bit: x8 + x2 + x + 1.
fn crc8(bytes: &[u8]) -> u8 {
    let mut register = 0u8;
    for byte in bytes {
        for bit in (0..8).rev() {
            let top = register >> 7;
            register <<= 1;
            if top != byte >> bit & 1 {
                register ^= 0x07;
            }
        }
    }
    register
}

/// A packet of a type.
pub fn packet(packet_type: u8, data: &[u8], optional: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes();
    let header = [high, low, u8::try_from(optional.len()).unwrap_or(u8::MAX), packet_type];
    let body = [data, optional].concat();
    [&[0x55][..], &header, &[crc8(&header)], &body, &[crc8(&body)]].concat()
}

/// A radio telegram as the transceiver tells it, heard at so many dBm below zero. A wireless repeater counts up the low half
/// of the status.
pub fn heard(rorg: u8, payload: &[u8], sender: u32, status: u8, minus_dbm: u8) -> Vec<u8> {
    let data = [&[rorg], payload, &sender.to_be_bytes(), &[status]].concat();
    packet(1, &data, &[1, 0xFF, 0xFF, 0xFF, 0xFF, minus_dbm, 0])
}

/// A secure contact (D5-00-01 in RORG 31): security level AB, a rolling code of 24 bits that it tells, a code of 3 bytes.
#[derive(Debug, Clone)]
pub struct SecureContact {
    /// Its id.
    pub id: u32,
    /// Its key.
    pub key: [u8; 16],
    /// Its next rolling code.
    pub rlc: u32,
}

impl SecureContact {
    fn rolling(&self) -> [u8; 3] {
        let [_, rolling @ ..] = self.rlc.to_be_bytes();
        rolling
    }

    /// Its teach-in, in two parts.
    pub fn teach(&self) -> [Vec<u8>; 2] {
        let first = [&[0x20, 0xAB][..], &self.rolling(), &self.key[..5]].concat();
        let second = [&[0x40][..], &self.key[5..]].concat();
        [first, second].map(|payload| heard(0x35, &payload, self.id, 0, 60))
    }

    /// What it says when the window moves; its rolling code goes on.
    pub fn says(&mut self, closed: bool) -> Vec<u8> {
        let aes = Aes128::new(&self.key.into());
        // 4.3.5: the public key with the rolling code in front is encrypted, and hides the data.
        let mut block =
            [0x34, 0x10, 0xDE, 0x8F, 0x1A, 0xBA, 0x3E, 0xFF, 0x9F, 0x5A, 0x11, 0x71, 0x72, 0xEA, 0xCA, 0xBD];
        block.iter_mut().zip(self.rolling()).for_each(|(byte, rolling)| *byte ^= rolling);
        let mut stream = block.into();
        aes.encrypt_block(&mut stream);
        let plain = [0xD5, if closed { 0x09 } else { 0x08 }];
        let hidden = [plain[0] ^ stream[0], plain[1] ^ stream[1]];
        let proven = [&[0x31][..], &hidden, &self.rolling()].concat();
        let code = cmac(&aes, &proven);
        let payload = [&hidden[..], &self.rolling(), &code[..3]].concat();
        self.rlc += 1;
        heard(0x31, &payload, self.id, 0, 60)
    }
}

/// CMAC (RFC 4493) of a message that fits into one block.
fn cmac(aes: &Aes128, message: &[u8]) -> [u8; 16] {
    let double = |block: u128| block << 1 ^ if block >> 127 == 1 { 0x87 } else { 0 };
    let encrypt = |block: u128| {
        let mut bytes = block.to_be_bytes().into();
        aes.encrypt_block(&mut bytes);
        u128::from_be_bytes(bytes.into())
    };
    let first = double(encrypt(0));
    let mut padded = [0u8; 16];
    padded[..message.len()].copy_from_slice(message);
    let subkey = if message.len() == 16 {
        first
    } else {
        padded[message.len()] = 0x80;
        double(first)
    };
    encrypt(u128::from_be_bytes(padded) ^ subkey).to_be_bytes()
}

/// The transceiver's side of the line: what it answers, and the telegrams it was given to send.
#[derive(Debug, Default)]
pub struct Transceiver {
    line: Vec<u8>,
    /// Telegrams to be sent: type, payload, sender, status; and to whom.
    pub sent: Vec<(Vec<u8>, u32)>,
}

/// The transceiver's own id.
pub const CHIP_ID: u32 = 0x019A_BCDE;

impl Transceiver {
    /// Takes what the host wrote; gives what it answers.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.line.extend(bytes);
        let mut answers = Vec::new();
        while let Some(at) = self.line.iter().position(|byte| *byte == 0x55) {
            self.line.drain(..at);
            let Some(header) = self.line.get(1..6).map(<[u8]>::to_vec) else { break };
            let (data, optional) = (usize::from(header[0]) << 8 | usize::from(header[1]), usize::from(header[2]));
            let Some(body) = self.line.get(6..6 + data + optional + 1).map(<[u8]>::to_vec) else { break };
            if crc8(&header[..4]) != header[4] || crc8(&body[..data + optional]) != body[data + optional] {
                self.line.drain(..1);
                continue;
            }
            self.line.drain(..6 + body.len());
            answers.extend(match (header[3], &body[..data]) {
                (5, [0x03]) => packet(2, &version(), &[]),
                (5, _) => packet(2, &[0x02], &[]), // not supported
                (1, telegram) => {
                    let to = body[data + 1..data + 5].try_into().map_or(0, u32::from_be_bytes);
                    self.sent.push((telegram.to_vec(), to));
                    packet(2, &[0x00], &[])
                }
                _ => Vec::new(),
            });
        }
        answers
    }
}

/// The answer to CO_RD_VERSION: application, interface, id, chip's version, description.
fn version() -> Vec<u8> {
    let mut name = [0u8; 16];
    name[..11].copy_from_slice(b"GATEWAYCTRL");
    [&[0, 2, 11, 1, 0, 2, 6, 3, 0][..], &CHIP_ID.to_be_bytes(), &[0x45, 0x4F, 1, 3], &name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own example (V1.8, annex), as its contact.
    #[test]
    fn its_telegrams_are_the_specifications() {
        let mut contact = SecureContact { id: 0x019E_B63B, key: *b"EnOcean GmbH.13\0", rlc: 0x00C0_FFEF };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        let said = contact.says(false);
        assert_eq!(hex(&said[6..6 + 14]), "317555C0FFEF438319019EB63B00");
        assert_eq!((contact.rlc, said.len()), (0x00C0_FFF0, 6 + 14 + 7 + 1));
        contact.rlc = 0x00C0_FFEE;
        let [first, second] = contact.teach();
        assert_eq!(hex(&first[6..6 + 16]), "3520ABC0FFEE456E4F6365019EB63B00");
        assert_eq!(hex(&second[6..6 + 18]), "3540616E20476D62482E313300019EB63B00");
        // A packet that was heard from a real transceiver.
        let door = heard(0xD5, &[0x08], 0x0511_5A8D, 0, 45);
        assert_eq!(hex(&door[..6]), "55000707017A");
    }

    #[test]
    fn it_says_who_it_is_and_keeps_what_it_is_to_send() {
        let mut transceiver = Transceiver::default();
        let answer = transceiver.take(&packet(5, &[0x03], &[]));
        assert_eq!((answer[4], answer.len()), (2, 6 + 33 + 1));
        let telegram = [0xD4, 0x91, 0xFF, 0x3E, 0x00, 0x01, 0x01, 0xD2, 0x01, 0x9A, 0xBC, 0xDE, 0x00];
        transceiver.take(&packet(1, &telegram, &[3, 0x01, 0x94, 0xE3, 0xB9, 0xFF, 0]));
        assert_eq!(transceiver.sent, [(telegram.to_vec(), 0x0194_E3B9)]);
    }
}
