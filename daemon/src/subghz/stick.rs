//! Setting a stick up, and seeing that it stays so: what it is asked, whether the answer is right, and what to do when
//! none comes.
//!
//! A stick that listens in another mode is deaf and says nothing of it, so it is set up only once it has confirmed. One
//! that has been quiet is set up again: its answer shows that it lives, and one that restarted unseen hears again. Pure:
//! time is an argument, bytes are somebody else's. Sources: IMST WMBus HCI specification 1.6; AMBER's manuals of the
//! AMB8426-M and AMB8465-M; culfw command reference (`br`, `X`); sticks silent for hours: wmbusmeters #407 and #1226.

use crate::subghz::line::Source;
use crate::subghz::packet::Answer;
use crate::subghz::packet::checksum;
use std::collections::VecDeque;
use std::time::Duration;

/// An answer comes within this time, or the question is asked again. A reset takes most of it.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Questions without an answer until the stick is given up; its port is then opened anew.
pub const TRIES: u32 = 5;
/// A stick that has said nothing for so long is set up again.
pub const QUIET: Duration = Duration::from_secs(60);

/// One question, and the number of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// iM871A: is it there, at this rate?
    Ping,
    /// iM871A: which module, which firmware?
    Info,
    /// iM871A: link mode, signal strength attached, no time; until it loses power.
    Configure { mode: u8 },
    /// AMB8465: its lasting parameters.
    Read,
    /// AMB8465: one lasting parameter. Written only where it differs: a loss of power meanwhile can cost the stick its
    /// settings (manual, 7.5).
    Write { place: u8 },
    /// AMB8465: takes what was written.
    Reset,
    /// AMB8465: mode of operation, until the next reset.
    Mode,
}

/// iM871A, link modes: T1, and from firmware 1.4 on C1 and T1 at once.
const T1: u8 = 0x03;
const C1_AND_T1: u8 = 0x0A;
/// The newest firmware that hears one mode only.
const FIRMWARE_ONE_MODE: u8 = 0x13;
/// The module type of an iM871A; an iM170A (36) is for another band.
const MODULE_IM871A: u8 = 0x33;
/// AMB8465: "C2/T2 other", which hears meters in C1 and T1.
const C2_T2_OTHER: u8 = 0x09;
/// AMB8465, places of parameters: telegrams as packets, and signal strength in them; 1 is on.
const COMMAND_OUTPUT: u8 = 5;
const RSSI_ENABLE: u8 = 69;

impl Question {
    fn bytes(self) -> Vec<u8> {
        let sealed = |bytes: &[u8]| [bytes, &[checksum(bytes)]].concat();
        match self {
            Question::Ping => vec![0xA5, 0x01, 0x01, 0x00],
            Question::Info => vec![0xA5, 0x01, 0x0F, 0x00],
            // Not stored; first group: link mode; second group: signal strength on, time off.
            Question::Configure { mode } => vec![0xA5, 0x01, 0x03, 0x06, 0x00, 0x02, mode, 0x30, 0x01, 0x00],
            Question::Read => sealed(&[0xFF, 0x0A, 0x02, 0x00, 0x80]),
            Question::Write { place } => sealed(&[0xFF, 0x09, 0x03, place, 0x01, 0x01]),
            Question::Reset => sealed(&[0xFF, 0x05, 0x00]),
            Question::Mode => sealed(&[0xFF, 0x04, 0x01, C2_T2_OTHER]),
        }
    }

    fn answered_by(self) -> u8 {
        match self {
            Question::Ping => 0x02,
            Question::Info => 0x10,
            Question::Configure { .. } => 0x04,
            Question::Read => 0x8A,
            Question::Write { .. } => 0x89,
            Question::Reset => 0x85,
            Question::Mode => 0x84,
        }
    }
}

/// One stick, from the opening of its port.
///
/// ```text
/// asked ──answer──▶ asked (the next) ──last answer──▶ set up ──quiet──▶ asked again, and still set up
///   └──no answer, TRIES times, or a refusal──▶ given up
/// ```
#[derive(Debug, Clone)]
pub struct Stick {
    source: Source,
    /// What is still to be asked; the first is being asked.
    questions: VecDeque<Question>,
    /// When it was asked, and how often.
    asked: Option<Duration>,
    tries: u32,
    set_up: bool,
    /// Lasting parameters were written since the port was opened: once, because each time wears its memory.
    written: bool,
    /// Whether something came since the last look, and when something last did.
    heard: bool,
    heard_at: Duration,
    given_up: Option<String>,
}

impl Stick {
    /// A stick nothing was said to yet.
    pub fn new(source: Source) -> Self {
        let questions = match source {
            Source::Im871a => VecDeque::from([Question::Ping, Question::Info]),
            Source::Amber8465 => VecDeque::from([Question::Read]),
            Source::RtlWmbus | Source::Cul => VecDeque::new(),
        };
        Self {
            source,
            questions,
            asked: None,
            tries: 0,
            set_up: false,
            written: false,
            heard: false,
            heard_at: Duration::ZERO,
            given_up: None,
        }
    }

    /// Whether it has confirmed how it listens; receivers that are not asked are set up once they were spoken to.
    pub fn is_set_up(&self) -> bool {
        self.set_up
    }

    /// A telegram came: it lives.
    pub fn heard(&mut self) {
        self.heard = true;
    }

    /// What is to be written to it now; `now` is the time since its port was opened, and this is asked at least every
    /// tenth of a second.
    ///
    /// # Errors
    /// Why it is given up.
    pub fn due(&mut self, now: Duration) -> Result<Option<Vec<u8>>, String> {
        if let Some(reason) = &self.given_up {
            return Err(reason.clone());
        }
        if std::mem::take(&mut self.heard) {
            self.heard_at = now;
        }
        let Some(question) = self.questions.front().copied() else {
            return Ok(self.listening(now));
        };
        match self.asked {
            Some(asked) if now < asked + ANSWER_WITHIN => return Ok(None),
            Some(_) if self.tries == TRIES => {
                let text = format!("it did not answer {TRIES} times: another rate, another device, or it hangs");
                return Err(text);
            }
            _ => {}
        }
        (self.asked, self.tries) = (Some(now), self.tries + 1);
        Ok(Some(question.bytes()))
    }

    fn listening(&mut self, now: Duration) -> Option<Vec<u8>> {
        let first = !std::mem::replace(&mut self.set_up, true);
        match self.source {
            // Receive mode T, tell signal strength. It answers in words of its own firmware, which are not checked.
            Source::Cul if first => Some(b"brt\r\nX21\r\n".to_vec()),
            Source::Cul | Source::RtlWmbus => None,
            Source::Im871a | Source::Amber8465 => {
                if now >= self.heard_at + QUIET {
                    self.ask(if self.source == Source::Im871a { Question::Info } else { Question::Read });
                }
                None
            }
        }
    }

    fn ask(&mut self, question: Question) {
        self.questions.push_back(question);
    }

    /// Takes an answer. One to something else is passed over: the stick may have been asked twice.
    pub fn answered(&mut self, answer: &Answer) {
        let Some(question) = self.questions.front().copied().filter(|q| q.answered_by() == answer.number) else {
            return;
        };
        match self.check(question, &answer.content) {
            Ok(()) => {
                self.questions.pop_front();
                (self.asked, self.tries, self.heard) = (None, 0, true);
            }
            Err(reason) => self.given_up = Some(reason),
        }
    }

    /// Whether an answer is right, and what is to be asked after it.
    fn check(&mut self, question: Question, content: &[u8]) -> Result<(), String> {
        match (question, content) {
            (Question::Ping | Question::Configure { .. }, _) => Ok(()),
            (Question::Info, [MODULE_IM871A, _mode, firmware, ..]) => {
                let mode = if *firmware > FIRMWARE_ONE_MODE { C1_AND_T1 } else { T1 };
                self.ask(Question::Configure { mode });
                Ok(())
            }
            (Question::Info, _) => Err("it is no iM871A".to_owned()),
            (Question::Read, [0, _count, parameters @ ..]) if parameters.len() > usize::from(RSSI_ENABLE) => {
                let off = [COMMAND_OUTPUT, RSSI_ENABLE].into_iter().filter(|at| parameters[usize::from(*at)] != 1);
                let off: Vec<u8> = off.collect();
                if off.is_empty() {
                    self.ask(Question::Mode);
                    return Ok(());
                }
                if std::mem::replace(&mut self.written, true) {
                    return Err("it does not keep its parameters".to_owned());
                }
                off.into_iter().for_each(|place| self.ask(Question::Write { place }));
                // What was written is believed when it is read.
                [Question::Reset, Question::Read].into_iter().for_each(|next| self.ask(next));
                Ok(())
            }
            (Question::Read, _) => Err("its parameters are not an AMB8465's".to_owned()),
            (Question::Write { .. } | Question::Reset | Question::Mode, [0]) => Ok(()),
            (Question::Write { place }, _) => Err(format!("it refused to have parameter {place} set")),
            (Question::Reset, _) => Err("it refused a reset".to_owned()),
            (Question::Mode, _) => Err("it refused the mode C1 and T1".to_owned()),
        }
    }
}
