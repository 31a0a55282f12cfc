//! The ciphers: security mode 5 (OMS vol. 2, 9.3.5), security mode 7 (OMS vol. 2, 9.3.6 and annex N; EN 13757-7, 9) and
//! AES-CTR of the extended link layer (EN 13757-4, 12.2.6).
//!
//! Mode 5 and AES-CTR hide, they do not prove: two fillers, or a CRC, tell only whether the key opened the data, and an
//! access number repeats after 256 frames. They never raise trust. Mode 7 proves by a code of at least 8 bytes over the
//! message and its counter; whether the counter is a new one is not judged here.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_afl::Afl;
use crate::subghz::wmbus_tpl::Security;
use crate::subghz::wmbus_tpl::Telegram;
use aes::Aes128;
use cbc::cipher::BlockCipherEncrypt;
use cbc::cipher::BlockModeDecrypt;
use cbc::cipher::KeyIvInit;
use cmac::Cmac;
use cmac::KeyInit;
use cmac::Mac;

/// An AES-128 key.
pub type Key = [u8; 16];

/// A telegram whose data is in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The telegram with its data in clear; of one under AES-CTR the telegram inside.
    pub telegram: Telegram,
    /// The counter of a message whose authentication code was right; `None` where none proves it.
    pub counter: Option<u32>,
}

/// Undoes what protects the data; data in clear comes back as it is. What lies behind encrypted blocks is passed
/// through.
///
/// # Errors
/// `wrong_key` when the data is not what the key's owner would have sent, `bad_mac` when the key opens the data and the
/// authentication code is not that of this message, and what is wrong with headers that were hidden.
pub fn decrypt(telegram: &Telegram, key: &Key) -> Result<Opened, Refused> {
    let mut opened = Opened { telegram: telegram.clone(), counter: None };
    let payload = &mut opened.telegram.payload;
    match &telegram.security {
        Security::Clear => {}
        Security::Mode5 { blocks } => {
            chain(key, vector(telegram), payload, *blocks);
            if !telegram_begins(payload) {
                return Err(wrong_key(telegram));
            }
        }
        Security::Mode7 { blocks, afl } => {
            let own = |purpose| message_key(key, purpose, afl.counter, telegram.address.id);
            let right = is_proven(afl, &own(Purpose::Authentication));
            chain(&own(Purpose::Encryption), [0; 16], payload, *blocks);
            let opens = *blocks == 0 || telegram_begins(payload);
            match (right, opens) {
                (true, true) => opened.counter = Some(afl.counter),
                (true, false) | (false, false) => return Err(wrong_key(telegram)),
                (false, true) => {
                    let text = "the key opens this message, but the authentication code is not its own: it was changed";
                    return Err(Refused::new(Reason::BadMac, afl.mac_at, text));
                }
            }
        }
        Security::EllCtr { vector } => {
            count(key, *vector, payload);
            opened.telegram = telegram.inside(payload).map_err(|refused| match refused.kind {
                Reason::BadCrc => wrong_key(telegram),
                _ => refused,
            })?;
        }
    }
    opened.telegram.security = Security::Clear;
    Ok(opened)
}

/// Every telegram in modes 5 and 7 begins with two idle fillers once it is plain.
fn telegram_begins(plain: &[u8]) -> bool {
    plain.starts_with(&[0x2F, 0x2F])
}

fn wrong_key(telegram: &Telegram) -> Refused {
    let proof = match telegram.security {
        Security::EllCtr { .. } => "have its payload CRC",
        _ => "begin 2F 2F",
    };
    let text = format!("the key does not open this telegram: decrypted data must {proof}");
    Refused::new(Reason::WrongKey, telegram.payload_at, text)
}

/// M, A, then eight times the access number: mode 5's initialisation vector.
fn vector(telegram: &Telegram) -> [u8; 16] {
    let mut vector = [telegram.access.unwrap_or_default(); 16];
    vector[..8].copy_from_slice(&telegram.address.to_link());
    vector
}

/// AES-128-CBC over the first `blocks` blocks.
fn chain(key: &Key, vector: [u8; 16], data: &mut [u8], blocks: usize) {
    let mut cipher = cbc::Decryptor::<Aes128>::new(&(*key).into(), &vector.into());
    for block in data.chunks_exact_mut(16).take(blocks) {
        let mut whole: [u8; 16] = (&*block).try_into().expect("chunks_exact gives 16");
        cipher.decrypt_block((&mut whole).into());
        block.copy_from_slice(&whole);
    }
}

/// AES-128-CTR; the last byte of the vector counts blocks, of which a frame has 16 at most.
fn count(key: &Key, vector: [u8; 16], data: &mut [u8]) {
    let cipher = Aes128::new(&(*key).into());
    for (n, piece) in data.chunks_mut(16).enumerate() {
        let mut stream = vector;
        stream[15] = stream[15].wrapping_add(n as u8);
        cipher.encrypt_block((&mut stream).into());
        piece.iter_mut().zip(stream).for_each(|(byte, hidden)| *byte ^= hidden);
    }
}

/// What a key that is made for one message is for: the derivation constant of what a meter sends (OMS vol. 2, 9.6).
#[derive(Clone, Copy)]
enum Purpose {
    Encryption = 0x00,
    Authentication = 0x01,
}

/// Key derivation function A: the message's own key, from the device's, the counter and the meter's id.
fn message_key(key: &Key, purpose: Purpose, counter: u32, id: u32) -> Key {
    let mut input = [0x07; 16];
    input[0] = purpose as u8;
    input[1..5].copy_from_slice(&counter.to_le_bytes());
    input[5..9].copy_from_slice(&id.to_le_bytes());
    code(key, &input).finalize().into_bytes().into()
}

fn code(key: &Key, bytes: &[u8]) -> Cmac<Aes128> {
    Cmac::<Aes128>::new(&(*key).into()).chain_update(bytes)
}

/// Whether the code is the first bytes of the AES-CMAC over what it proves; compared in constant time.
fn is_proven(afl: &Afl, key: &Key) -> bool {
    code(key, &afl.proven).verify_truncated_left(&afl.mac).is_ok()
}
