//! Copies of one EnOcean telegram: what repeaters and a second antenna make of it within a tenth of a second.
//!
//! The core takes a state that was told twice for one (`alarm/detector.rs`). That is too late here: a copy of a secure
//! telegram carries a rolling code that was used a moment ago, and would be told as an attack. So copies are known
//! before they are opened, by their bytes. A contact that opens, closes and opens again within the time is not one
//! telegram: a copy has come through another number of repeaters, or nothing else of its sender came in between.

use crate::subghz::erp1::Telegram;
use std::collections::VecDeque;

/// How long copies may follow, in milliseconds: subtelegrams and repeaters are done within it (EnOcean Radio Protocol 1,
/// maturity time).
pub const WINDOW_MS: u64 = 100;
/// Telegrams remembered. In a storm of more than so many within [`WINDOW_MS`], some copies are passed on.
pub const REMEMBERED_MAX: usize = 64;

/// The telegrams of the last tenth of a second.
#[derive(Debug, Clone, Default)]
pub struct Copies {
    heard: VecDeque<Heard>,
}

#[derive(Debug, Clone)]
struct Heard {
    at_ms: u64,
    sender: u32,
    repeated: u8,
    /// Type and payload, and of the status what no repeater changes.
    bytes: Vec<u8>,
}

impl Copies {
    /// Whether a telegram heard at `now_ms`, on a clock that never goes back, is a copy of one that was passed on.
    pub fn is_copy(&mut self, telegram: &Telegram, now_ms: u64) -> bool {
        while self.heard.front().is_some_and(|first| first.at_ms.saturating_add(WINDOW_MS) < now_ms) {
            self.heard.pop_front();
        }
        let bytes = [&[telegram.rorg, telegram.status.0 & 0xF0], &*telegram.payload].concat();
        let repeated = telegram.status.repeated();
        let mut of_sender = self.heard.iter().rev().filter(|heard| heard.sender == telegram.sender);
        let is_latest = of_sender.clone().next().is_some_and(|latest| latest.bytes == bytes);
        if is_latest || of_sender.any(|heard| heard.bytes == bytes && heard.repeated != repeated) {
            return true;
        }
        if self.heard.len() == REMEMBERED_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(Heard { at_ms: now_ms, sender: telegram.sender, repeated, bytes });
        false
    }
}
