//! Wireless M-Bus detectors and the sticks that hear them, for a site without hardware: a telegram without CRCs goes
//! in, the bytes a receiver would put on its serial line come out.
//!
//! Written from the standards alone (EN 13757-4, OMS vol. 2, IMST HCI 1.6, culfw, rtl_wmbus) and sharing no code with
//! the daemon, so that both being wrong in the same way is unlikely. It never listens.

use cbc::cipher::BlockModeEncrypt;
use cbc::cipher::KeyIvInit;

/// CRC of EN 13757-4, bit by bit.
pub fn crc_en13757(bytes: &[u8]) -> [u8; 2] {
    let mut register = 0u16;
    for byte in bytes {
        for bit in (0..8).rev() {
            let top = register >> 15 & 1;
            register <<= 1;
            if top != u16::from(byte >> bit & 1) {
                register ^= 0x3D65;
            }
        }
    }
    (register ^ 0xFFFF).to_be_bytes()
}

/// The frame in format A: a CRC behind 10 bytes, then behind every 16 begun.
pub fn format_a(frame: &[u8]) -> Vec<u8> {
    let (first, rest) = frame.split_at(frame.len().min(10));
    let mut out = Vec::new();
    for block in std::iter::once(first).chain(rest.chunks(16)) {
        out.extend_from_slice(block);
        out.extend_from_slice(&crc_en13757(block));
    }
    out
}

/// The frame in format B, with L counting the CRCs. `None` when it does not fit into 255.
pub fn format_b(frame: &[u8]) -> Option<Vec<u8>> {
    let crcs = if frame.len() + 2 <= 128 { 2 } else { 4 };
    let mut frame = frame.to_vec();
    *frame.first_mut()? = u8::try_from(frame.len() - 1 + crcs).ok()?;
    let mut out = Vec::new();
    let (front, back) = frame.split_at(frame.len().min(126));
    for block in [front, back].into_iter().filter(|block| !block.is_empty()) {
        out.extend_from_slice(block);
        out.extend_from_slice(&crc_en13757(block));
    }
    Some(out)
}

/// T1 on air behind the sync word: format A in 3-of-6 symbols, a last half byte filled with 01.
pub fn three_of_six(format_a: &[u8]) -> Vec<u8> {
    const SYMBOLS: [&str; 16] = [
        "010110", "001101", "001110", "001011", "011100", "011001", "011010", "010011", "101100", "100101", "100110",
        "100011", "110100", "110001", "110010", "101001",
    ];
    let nibbles = format_a.iter().flat_map(|b| [b >> 4, b & 15]);
    let mut chips: Vec<u8> = nibbles.flat_map(|n| SYMBOLS[usize::from(n)].bytes()).collect();
    while !chips.len().is_multiple_of(8) {
        chips.push(if chips.len().is_multiple_of(2) { b'0' } else { b'1' });
    }
    chips.chunks(8).map(|byte| byte.iter().fold(0, |n, chip| n << 1 | (chip - b'0'))).collect()
}

/// A line of rtl_wmbus for a good T1 telegram heard at `time` (`2026-11-20 21:39:00.000`).
pub fn rtl_wmbus_line(frame: &[u8], time: &str) -> String {
    let id = frame.get(4..8).map_or_else(String::new, |id| id.iter().rev().map(|b| format!("{b:02X}")).collect());
    let data: String = frame.iter().map(|b| format!("{b:02x}")).collect();
    format!("T1;1;1;{time};97;148;{id};0x{data}\n")
}

/// A line of a CUL in T mode, started with X21: format A, then LQI and signal strength.
pub fn cul_line(frame: &[u8], rssi_dbm: i16) -> String {
    let raw = (rssi_dbm + 74).clamp(-64, 63) * 2;
    let mut bytes = format_a(frame);
    bytes.extend([0x30, raw.to_le_bytes()[0]]);
    let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
    format!("b{hex}\r\n")
}

/// A line of a CUL in C mode for a format B telegram, without signal strength.
pub fn cul_line_b(frame: &[u8]) -> Option<String> {
    let hex: String = format_b(frame)?.iter().map(|b| format!("{b:02X}")).collect();
    Some(format!("bY{hex}\r\n"))
}

/// A packet of an iM871A with signal strength and CRC-16.
pub fn im871a_packet(frame: &[u8], rssi_dbm: i16) -> Vec<u8> {
    let raw = ((rssi_dbm + 100) * 2 + 45).clamp(0, 255).to_le_bytes()[0];
    let mut packet = vec![0xA5, 0xC2, 0x03];
    packet.extend_from_slice(frame);
    packet.push(raw);
    let mut register = 0xFFFFu16;
    for byte in &packet[1..] {
        register ^= u16::from(*byte);
        for _ in 0..8 {
            register = if register & 1 == 1 { register >> 1 ^ 0x8408 } else { register >> 1 };
        }
    }
    packet.extend((!register).to_le_bytes());
    packet
}

/// The same telegram under security mode 5. It must have a short header (CI 7A) and data that begins 2F 2F; data that
/// does not fill whole blocks stays in clear behind them. `None` when it is not such a telegram.
pub fn encrypt_mode5(frame: &[u8], key: &[u8; 16]) -> Option<Vec<u8>> {
    const HEADER: usize = 15;
    if frame.get(10) != Some(&0x7A) || frame.get(HEADER..HEADER + 2) != Some(&[0x2F, 0x2F]) {
        return None;
    }
    let mut out = frame.to_vec();
    let blocks = (out.len() - HEADER) / 16;
    let blocks = u8::try_from(blocks).ok().filter(|n| (1..=15).contains(n))?;
    out[13] = out[13] & 0x0F | blocks << 4;
    out[14] = out[14] & 0xE0 | 5;
    let mut vector = [out[11]; 16];
    vector[..8].copy_from_slice(&out[2..10]);
    let mut cipher = cbc::Encryptor::<aes::Aes128>::new(&(*key).into(), &vector.into());
    for block in out[HEADER..].chunks_exact_mut(16) {
        let mut whole: [u8; 16] = (&*block).try_into().expect("chunks_exact gives 16");
        cipher.encrypt_block((&mut whole).into());
        block.copy_from_slice(&whole);
    }
    Some(out)
}
