//! Security mode 5 (OMS vol. 2, 9.3.5): AES-128-CBC under a key of the device.
//!
//! Mode 5 hides, it does not prove: there is no authentication code and the access number repeats after 256 frames.
//! So this file never raises trust; it tells only whether the key opened the data.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_tpl::Security;
use crate::subghz::wmbus_tpl::Telegram;
use cbc::cipher::BlockModeDecrypt;
use cbc::cipher::KeyIvInit;

/// An AES-128 key.
pub type Key = [u8; 16];

/// The application data in clear; what lies behind the encrypted blocks is passed through.
///
/// # Errors
/// `wrong_key` when the first two plain bytes are not the 2F 2F every mode 5 telegram begins with.
pub fn decrypt(telegram: &Telegram, key: &Key) -> Result<Vec<u8>, Refused> {
    let mut payload = telegram.payload.clone();
    let Security::Mode5 { blocks } = telegram.security else {
        return Ok(payload);
    };
    let mut cipher = cbc::Decryptor::<aes::Aes128>::new(&(*key).into(), &vector(telegram).into());
    for block in payload.chunks_exact_mut(16).take(blocks) {
        let mut whole: [u8; 16] = (&*block).try_into().expect("chunks_exact gives 16");
        cipher.decrypt_block((&mut whole).into());
        block.copy_from_slice(&whole);
    }
    if !payload.starts_with(&[0x2F, 0x2F]) {
        let text = "the key does not open this telegram: decrypted data must begin 2F 2F";
        return Err(Refused::new(Reason::WrongKey, telegram.payload_at, text));
    }
    Ok(payload)
}

/// M, A, then eight times the access number.
fn vector(telegram: &Telegram) -> [u8; 16] {
    let mut vector = [telegram.access.unwrap_or_default(); 16];
    vector[..8].copy_from_slice(&telegram.address.to_link());
    vector
}
