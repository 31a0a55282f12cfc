//! A mobile modem with a SIM card, behind AT commands on an abstract Unix socket, for a real ModemManager. It registers in an
//! LTE network, tells its signal, wants a PIN, counts wrong ones, and breaks in the ways modems break.
//!
//! Written from 3GPP TS 27.007 and TS 31.102 / ETSI TS 102 221 alone; it shares nothing with the daemon, which never speaks
//! AT. It carries no data: that is the lab's networks' part.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// The longest command line taken; TS 27.007 names no limit, and nobody sends half of this.
const LINE_MAX: usize = 4096;
/// Words that come by themselves and wait for who listens; more than one test ever makes.
const UNASKED_MAX: usize = 64;
/// Tries at a PIN and at a PUK on a fresh card (TS 102 221).
const PIN_TRIES: u8 = 3;
const PUK_TRIES: u8 = 10;

/// A SIM card.
#[derive(Debug, Clone)]
pub struct Card {
    /// Its number, 19 or 20 digits.
    pub iccid: String,
    /// The subscriber's number.
    pub imsi: String,
    /// What it wants to hear before it works; `None`: nothing.
    pub pin: Option<String>,
    /// Tries left at the PIN.
    pub pin_tries: u8,
    /// Tries left at the PUK.
    pub puk_tries: u8,
}

impl Card {
    /// A fresh one.
    pub fn new(iccid: &str, pin: Option<&str>) -> Self {
        let (iccid, pin) = (iccid.to_owned(), pin.map(str::to_owned));
        Self { iccid, imsi: "001010123456789".to_owned(), pin, pin_tries: PIN_TRIES, puk_tries: PUK_TRIES }
    }
}

/// What the modem hears on the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Air {
    /// A cell at -92 dBm RSRP and -10 dB RSRQ.
    Good,
    /// No cell, and no energy either.
    Nothing,
    /// No cell, and more energy than a cell close by would give: -53 dBm.
    Noise,
}

/// What has been asked of it that a test wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Every PIN that was tried, in order.
    pub pins: Vec<String>,
    /// Every PUK that was tried.
    pub puks: Vec<String>,
    /// How often it was started anew.
    pub resets: u32,
}

#[derive(Debug)]
struct State {
    card: Option<Card>,
    /// The card has heard its PIN since it was powered.
    open: bool,
    radio: bool,
    air: Air,
    silent: bool,
    /// The form of +COPS, and whether changes of +CREG, +CGREG and +CEREG are told unasked, and how much of them.
    numeric: bool,
    told: [u8; 3],
    deeds: Deeds,
}

/// The modem.
pub struct Modem {
    state: Arc<Mutex<State>>,
    unasked: broadcast::Sender<String>,
    name: String,
    accepts: JoinHandle<()>,
}

impl Drop for Modem {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// The modem's own number: a check digit that is right, a type allocation of the test range (GSMA TS.06).
pub const IMEI: &str = "001017123456780";
/// Its operator's name; 001 01 is the network of tests (ITU-T E.212).
pub const OPERATOR: &str = "Twin Net";

impl Modem {
    /// Plugs it in, with a card.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn plug(name: &str, card: Card) -> io::Result<Self> {
        let name = format!("abstract:{name}");
        let listener = std::os::unix::net::UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let state = State {
            card: Some(card),
            open: false,
            radio: true,
            air: Air::Good,
            silent: false,
            numeric: false,
            told: [0; 3],
            deeds: Deeds::default(),
        };
        let (state, (unasked, _)) = (Arc::new(Mutex::new(state)), broadcast::channel(UNASKED_MAX));
        let (of, tells) = (Arc::clone(&state), unasked.clone());
        let accepts = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // It ends with its peer.
                tokio::spawn(speak(stream, Arc::clone(&of), tells.subscribe()));
            }
        });
        Ok(Self { state, unasked, name, accepts })
    }

    /// What ModemManager's test interface calls its port.
    pub fn port(&self) -> &str {
        &self.name
    }

    /// What has been asked of it.
    pub fn deeds(&self) -> Deeds {
        self.lock().deeds.clone()
    }

    /// The air changes, and with it the registration: whoever asked for it is told.
    pub fn air(&self, air: Air) {
        let words = {
            let mut state = self.lock();
            state.air = air;
            ["CREG", "CGREG", "CEREG"]
                .iter()
                .zip(state.told)
                .filter(|(_, told)| *told > 0)
                .map(|(name, told)| format!("+{name}: {}", state.registration(told)))
                .collect::<Vec<String>>()
        };
        for word in words {
            // Nobody may be listening.
            let _ = self.unasked.send(word);
        }
    }

    /// Another card is put in, or none; the modem notices when it is powered again.
    pub fn swap(&self, card: Option<Card>) {
        let mut state = self.lock();
        (state.card, state.open) = (card, false);
    }

    /// The card that is in it.
    pub fn card(&self) -> Option<Card> {
        self.lock().card.clone()
    }

    /// It says nothing any more, or speaks again.
    pub fn silent(&self, silent: bool) {
        self.lock().silent = silent;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

/// One opened port.
async fn speak(mut stream: UnixStream, state: Arc<Mutex<State>>, mut unasked: broadcast::Receiver<String>) {
    let mut unread: Vec<u8> = Vec::new();
    loop {
        let answer = tokio::select! {
            read = stream.read_buf(&mut unread) => match read {
                Ok(n) if n > 0 && unread.len() <= LINE_MAX => answers(&mut unread, &state),
                _ => return,
            },
            Ok(word) = unasked.recv() => format!("\r\n{word}\r\n"),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answers(unread: &mut Vec<u8>, state: &Mutex<State>) -> String {
    let mut all = String::new();
    while let Some(end) = unread.iter().position(|byte| *byte == b'\r') {
        let line: Vec<u8> = unread.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        let Ok(mut state) = state.lock() else { return all };
        if let Some(command) = line.strip_prefix("AT").filter(|_| !state.silent) {
            all.push_str(&match state.answer(command) {
                Some(text) if text.is_empty() => "\r\nOK\r\n".to_owned(),
                Some(text) => format!("\r\n{text}\r\n\r\nOK\r\n"),
                None => "\r\nERROR\r\n".to_owned(),
            });
        }
    }
    all
}

impl State {
    /// What a command is answered; `None` is ERROR.
    fn answer(&mut self, command: &str) -> Option<String> {
        let ok = || Some(String::new());
        if let Some(answer) = self.identity(command).or_else(|| self.network(command)) {
            return Some(answer);
        }
        if let Some(pin) = command.strip_prefix("+CPIN=") {
            return self.unlock(pin);
        }
        if let Some(apdu) = command.strip_prefix("+CSIM=10,") {
            return self.verify_status(apdu.trim_matches('"'));
        }
        if let Some(read) = command.strip_prefix("+CRSM=176,") {
            return self.read(read);
        }
        match command {
            "" | "E0" | "V1" | "+CMEE=1" | "X4" | "&C1" | "+CFUN=4" => {
                self.radio &= command != "+CFUN=4";
                ok()
            }
            "+CFUN=1" => {
                self.radio = true;
                ok()
            }
            // As Telit's modems are told; ModemManager's generic plugin cannot reset any.
            "#REBOOT" => {
                self.deeds.resets += 1;
                (self.open, self.told) = (false, [0; 3]);
                ok()
            }
            "+CFUN?" => Some(format!("+CFUN: {}", if self.radio { 1 } else { 4 })),
            "+CPIN?" => self.lock_word().map(|word| format!("+CPIN: {word}")),
            _ => None,
        }
    }

    fn identity(&self, command: &str) -> Option<String> {
        let answer = match command {
            "+CGMI" => "Twin".to_owned(),
            "+CGMM" => "LTE-1".to_owned(),
            "+CGMR" => "1.0".to_owned(),
            "+CGSN" => IMEI.to_owned(),
            "+GCAP" => "+GCAP: +CGSM,+CLTE2".to_owned(),
            "+CGDCONT=?" => {
                ["IP", "IPV6", "IPV4V6"].map(|kind| format!("+CGDCONT: (1-11),\"{kind}\",,,(0-2),(0-4)")).join("\r\n")
            }
            "+CIMI" if self.usable() => self.card.as_ref()?.imsi.clone(),
            _ => return None,
        };
        Some(answer)
    }

    /// What it is asked about its network.
    fn network(&mut self, command: &str) -> Option<String> {
        for (at, name) in ["+CREG", "+CGREG", "+CEREG"].into_iter().enumerate() {
            match command.strip_prefix(name) {
                Some("=?") => return Some(format!("{name}: (0-2)")),
                Some("?") => return Some(format!("{name}: {},{}", self.told[at], self.registration(self.told[at]))),
                Some(set) => {
                    self.told[at] = set.strip_prefix('=')?.parse().ok().filter(|told| *told <= 2)?;
                    return Some(String::new());
                }
                None => {}
            }
        }
        Some(match command {
            "+CSQ" => match self.air {
                Air::Good => "+CSQ: 17,99".to_owned(),
                Air::Nothing => "+CSQ: 99,99".to_owned(),
                Air::Noise => "+CSQ: 30,99".to_owned(),
            },
            // RSRQ in half dB from -20, RSRP in dB from -141
            "+CESQ" => match self.air {
                Air::Good => "+CESQ: 99,99,255,255,20,49".to_owned(),
                Air::Nothing => "+CESQ: 99,99,255,255,255,255".to_owned(),
                // It looks for GSM too, and hears -53 dBm there
                Air::Noise => "+CESQ: 58,99,255,255,255,255".to_owned(),
            },
            "+CESQ=?" => "+CESQ: (0-63,99),(0-7,99),(0-96,255),(0-49,255),(0-34,255),(0-97,255)".to_owned(),
            "+COPS=3,0" | "+COPS=3,2" => {
                self.numeric = command.ends_with('2');
                String::new()
            }
            "+COPS?" if !self.registered() => "+COPS: 0".to_owned(),
            "+COPS?" if self.numeric => "+COPS: 0,2,\"00101\",7".to_owned(),
            "+COPS?" => format!("+COPS: 0,0,\"{OPERATOR}\",7"),
            _ => return None,
        })
    }

    fn registered(&self) -> bool {
        self.air == Air::Good && self.usable() && self.radio
    }

    /// As +CEREG tells it; `told` 2: with the cell.
    fn registration(&self, told: u8) -> String {
        match (self.registered(), told) {
            (true, 2) => "1,\"0001\",\"01A2B3C4\",7".to_owned(),
            (true, _) => "1".to_owned(),
            (false, _) => "2".to_owned(),
        }
    }

    fn usable(&self) -> bool {
        self.card.as_ref().is_some_and(|card| card.pin.is_none() || self.open)
    }

    fn lock_word(&self) -> Option<&'static str> {
        let card = self.card.as_ref()?;
        Some(match (self.usable(), card.pin_tries) {
            (true, _) => "READY",
            (false, 0) => "SIM PUK",
            (false, _) => "SIM PIN",
        })
    }

    fn unlock(&mut self, given: &str) -> Option<String> {
        let words: Vec<String> = given.split(',').map(|word| word.trim_matches('"').to_owned()).collect();
        let card = self.card.as_mut()?;
        let [pin] = &words[..] else {
            self.deeds.puks.extend(words.first().cloned());
            card.puk_tries = card.puk_tries.saturating_sub(1);
            return None;
        };
        self.deeds.pins.push(pin.clone());
        if card.pin_tries == 0 {
            return None;
        }
        if card.pin.as_ref() != Some(pin) {
            card.pin_tries -= 1;
            return None;
        }
        card.pin_tries = PIN_TRIES;
        self.open = true;
        Some(String::new())
    }

    /// VERIFY without a PIN (TS 102 221, 11.1.9): how many tries are left. 2C is UNBLOCK.
    fn verify_status(&self, apdu: &str) -> Option<String> {
        let card = self.card.as_ref()?;
        let left = match apdu {
            "0020000100" => card.pin_tries,
            "002C000100" => card.puk_tries,
            "0020008100" => PIN_TRIES,
            "002C008100" => PUK_TRIES,
            _ => return None,
        };
        Some(format!("+CSIM: 4,\"{}\"", if left == 0 { "6983".to_owned() } else { format!("63C{left:X}") }))
    }

    /// READ BINARY of EF_ICCID, which needs no PIN, and of EF_AD.
    fn read(&self, what: &str) -> Option<String> {
        let card = self.card.as_ref()?;
        match what {
            "12258,0,0,10" => Some(format!("+CRSM: 144,0,\"{}\"", swapped(&card.iccid))),
            "28589,0,0,4" if self.usable() => Some("+CRSM: 144,0,\"00000002\"".to_owned()),
            _ => None,
        }
    }
}

/// Digits as a card stores them: two a byte, the first in the low half, filled with F.
fn swapped(digits: &str) -> String {
    let mut digits: Vec<char> = digits.chars().collect();
    digits.resize(20, 'F');
    digits.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect()
}
