//! Install codes (Zigbee Base Device Behaviour, 10.1): the code printed on a device, checked, and the link key made of
//! it, so that the network's key never crosses the air under a key everybody knows.

use crate::zigbee::ezsp::Key;
use aes::cipher::BlockCipherEncrypt;
use aes::cipher::KeyInit;

/// Why a text is no install code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// Other characters than hex digits, spaces and dashes.
    #[error("an install code is hex digits; spaces and dashes between them are passed over")]
    Digits,
    /// Another length.
    #[error("an install code has 16, 20, 28 or 36 hex digits with its check, not {0}")]
    Length(usize),
    /// A digit is wrong.
    #[error("the check of this install code does not fit: a digit is wrong, read it once more")]
    Check,
}

/// The link key of an install code as it is printed, its CRC at the end.
///
/// # Errors
/// What is wrong with it.
pub fn link_key(text: &str) -> Result<Key, BadCode> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = digits.into_iter().map(digit).collect();
    let digits = digits.ok_or(BadCode::Digits)?;
    // 6, 8, 12 or 16 bytes and a check of two
    if !matches!(digits.len(), 16 | 20 | 28 | 36) {
        return Err(BadCode::Length(digits.len()));
    }
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let (code, check) = bytes.split_at(bytes.len() - 2);
    if check != crc(code).to_le_bytes() {
        return Err(BadCode::Check);
    }
    Ok(Key(hash(&bytes)))
}

/// CRC-16/X-25.
fn crc(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc: u16, _| if crc & 1 != 0 { (crc >> 1) ^ 0x8408 } else { crc >> 1 })
    })
}

/// AES-MMO (05-3474, B.6): Matyas-Meyer-Oseas over AES-128, for texts far below 8 KiB.
fn hash(bytes: &[u8]) -> [u8; 16] {
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    while padded.len() % 16 != 14 {
        padded.push(0);
    }
    padded.extend(((bytes.len() * 8) as u16).to_be_bytes());
    let mut hash = [0u8; 16];
    for block in padded.chunks_exact(16) {
        let mut out: [u8; 16] = block.try_into().expect("chunks of sixteen");
        aes::Aes128::new(&hash.into()).encrypt_block((&mut out).into());
        for (to, (out, block)) in hash.iter_mut().zip(out.iter().zip(block)) {
            *to = out ^ block;
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_code_gives_the_standards_key_and_a_wrong_digit_is_found() {
        let right =
            Key([0x66, 0xB6, 0x90, 0x09, 0x81, 0xE1, 0xEE, 0x3C, 0xA4, 0x20, 0x6B, 0x6B, 0x86, 0x1C, 0x02, 0xBB]);
        assert_eq!(link_key("83FED3407A939723A5C639B26916D505C3B5"), Ok(right));
        assert_eq!(link_key("83fe-d340 7a93-9723 a5c6-39b2 6916-d505 c3b5"), Ok(right));
        assert_eq!(link_key("83FED3407A939723A5C639B26916D505C3B6"), Err(BadCode::Check));
        assert_eq!(link_key("83FED3407A939723A5C639B26916D505"), Err(BadCode::Length(32)));
        assert_eq!(link_key("ZigBeeAlliance09"), Err(BadCode::Digits));
    }
}
