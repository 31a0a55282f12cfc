//! Orders a centre sends (contract, "Warrants"): from a line of words to the signed text, and each way one can be wrong.
//!
//! Pure: time, the newest challenge and the order's name are arguments. It knows no table of who may order what: what a
//! hub must refuse can be sent like anything else.

use super::jws::Signer;
use super::jws::signing_input;
use super::misbehave::stranger;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// Orders that must repeat a challenge of the hub.
const CHALLENGED: [&str; 4] = ["lock", "unlock", "emergency_unlock", "fog_fire"];
/// Seconds an order lives, where the line does not say: the most that any order may.
const LIFE_S: i64 = 60;
/// How long ago an expired one expired, in seconds: far beyond what clocks may differ.
const EXPIRED_S: i64 = 3_600;

/// The words `parse` understands, for `--help` and for errors.
pub const WORDS: &str = "order [forged|unsigned|expired|foreign|retained|reused] ROLE CMD [ARG=VALUE…] [incident=ID] [ground=GROUND] \
     [sub=PERSON] [jti=NAME] [nonce=CHALLENGE|none] [life=SECONDS] [as=KID] [text=WORDS TO THE END] · \
     order again (the last one, byte for byte)";

/// What is wrong with an order on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Signed by a key nobody listed, under a listed name.
    Forged,
    /// Its signature is empty.
    Unsigned,
    /// It was good an hour ago.
    Expired,
    /// For another gateway.
    Foreign,
    /// Left in the broker's memory.
    Retained,
    /// Under the name of the order before it.
    Reused,
}

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// The last one once more, byte for byte.
    Again,
    /// A new one.
    New(Box<New>),
}

/// A new order, as a line says it.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)] // the claims' own words
pub struct New {
    pub wrong: Option<Wrong>,
    pub role: String,
    pub cmd: String,
    pub args: Map<String, Value>,
    pub incident: Option<String>,
    pub ground: Option<String>,
    pub sub: Option<String>,
    pub jti: Option<String>,
    /// `None`: the newest the centre has seen, where the order needs one. `Some(None)`: none.
    #[allow(clippy::option_option)]
    pub nonce: Option<Option<String>>,
    pub life_s: Option<i64>,
    /// The key that signs it; the centre's own if none.
    pub kid: Option<String>,
}

/// What an order is made with beside its own words.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The hub it is for.
    pub gateway: &'a str,
    /// Its name, where the line gives none.
    pub jti: &'a str,
    /// Seconds since 1970.
    pub now_s: i64,
    /// The newest challenge the centre has seen.
    pub challenge: Option<&'a str>,
}

/// An order ready to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its name.
    pub jti: String,
    /// The compact JWS.
    pub text: String,
    /// Whether the broker is to keep it, which is wrong.
    pub retained: bool,
}

impl Order {
    /// Reads a line of `WORDS`.
    ///
    /// # Errors
    /// The line is none of them.
    pub fn parse(line: &str) -> Result<Self, String> {
        let wrong = || format!("`{line}` is not understood; right would be: {WORDS}");
        let (words, text) = match line.split_once(" text=") {
            Some((words, text)) => (words, Some(text)),
            None => (line, None),
        };
        let mut words = words.split_whitespace().peekable();
        if words.next() != Some("order") {
            return Err(wrong());
        }
        let mut order = New { wrong: words.peek().and_then(|word| misdeed(word)), ..New::default() };
        if order.wrong.is_some() {
            words.next();
        }
        order.role = words.next().ok_or_else(wrong)?.to_owned();
        let Some(cmd) = words.next() else {
            return if order.role == "again" && order.wrong.is_none() { Ok(Self::Again) } else { Err(wrong()) };
        };
        order.cmd = cmd.to_owned();
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(wrong)?;
            order.say(name, value).ok_or_else(wrong)?;
        }
        order.args.extend(text.map(|text| ("text".to_owned(), json!(text))));
        Ok(Self::New(Box::new(order)))
    }
}

impl New {
    fn say(&mut self, name: &str, value: &str) -> Option<()> {
        let text = Some(value.to_owned());
        match name {
            "incident" => self.incident = text,
            "ground" => self.ground = text,
            "sub" => self.sub = text,
            "jti" => self.jti = text,
            "nonce" => self.nonce = Some(text.filter(|nonce| nonce != "none")),
            "life" => self.life_s = Some(value.parse().ok()?),
            "as" => self.kid = text,
            argument => drop(self.args.insert(argument.to_owned(), argument_value(value))),
        }
        Some(())
    }

    /// Its claims.
    pub fn claims(&self, moment: Moment<'_>, kid: &str) -> Value {
        let life_s = self.life_s.unwrap_or(LIFE_S);
        let ago_s = if self.wrong == Some(Wrong::Expired) { EXPIRED_S + life_s } else { 0 };
        let aud = if self.wrong == Some(Wrong::Foreign) { "another-hub" } else { moment.gateway };
        let newest = || moment.challenge.filter(|_| CHALLENGED.contains(&self.cmd.as_str())).map(str::to_owned);
        let mut claims = json!({
            "iss": "vakt-arc",
            "kid": kid,
            "sub": self.sub.as_deref().unwrap_or("operator"),
            "aud": aud,
            "iat": moment.now_s - ago_s,
            "exp": moment.now_s - ago_s + life_s,
            "jti": self.jti.as_deref().unwrap_or(moment.jti),
            "role": self.role,
            "cmd": self.cmd,
            "args": self.args,
        });
        let more = [
            ("incident", self.incident.clone()),
            ("ground", self.ground.clone()),
            ("nonce", self.nonce.clone().unwrap_or_else(newest)),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                claims[name] = json!(value);
            }
        }
        claims
    }

    /// The text to publish.
    pub fn seal(&self, moment: Moment<'_>, signer: &Signer) -> Sealed {
        let claims = self.claims(moment, signer.kid());
        let text = match self.wrong {
            Some(Wrong::Forged) => stranger(signer).sign(&claims),
            Some(Wrong::Unsigned) => {
                format!("{}.", signing_input(&json!({"alg": "EdDSA", "kid": signer.kid()}), &claims))
            }
            _ => signer.sign(&claims),
        };
        let jti = self.jti.as_deref().unwrap_or(moment.jti).to_owned();
        Sealed { jti, text, retained: self.wrong == Some(Wrong::Retained) }
    }
}

fn misdeed(word: &str) -> Option<Wrong> {
    Some(match word {
        "forged" => Wrong::Forged,
        "unsigned" => Wrong::Unsigned,
        "expired" => Wrong::Expired,
        "foreign" => Wrong::Foreign,
        "retained" => Wrong::Retained,
        "reused" => Wrong::Reused,
        _ => return None,
    })
}

/// A number or a truth value where it looks like one, else a text.
fn argument_value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => json!(text),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::arc::jws::verify;

    const MOMENT: Moment<'_> = Moment { gateway: "hub", jti: "o-1", now_s: 100_000, challenge: Some("cc") };

    fn parsed(line: &str) -> New {
        match Order::parse(line).unwrap() {
            Order::New(order) => *order,
            Order::Again => panic!("a new order"),
        }
    }

    #[test]
    fn a_line_becomes_claims_with_the_newest_challenge_where_one_is_needed() {
        let signer = Signer::from_seed("arc-1", &[3; 32]);
        let fog = parsed("order arc_operator fog_fire contacts=2 incident=i-1 ground=signals_and_picture sub=op-7");
        let sealed = fog.seal(MOMENT, &signer);
        let (_, claims) = verify(&sealed.text, signer.public_key()).unwrap();
        let whole = json!({
            "iss": "vakt-arc", "kid": "arc-1", "sub": "op-7", "aud": "hub", "iat": 100_000, "exp": 100_060, "jti": "o-1",
            "role": "arc_operator", "cmd": "fog_fire", "args": {"contacts": 2}, "incident": "i-1",
            "ground": "signals_and_picture", "nonce": "cc",
        });
        assert_eq!((claims, sealed.jti.as_str(), sealed.retained), (whole, "o-1", false));
        let note = parsed("order arc_operator incident_note jti=n.1 life=5 text=called = nobody answers");
        let claims = note.claims(MOMENT, "arc-1");
        assert_eq!(claims["args"], json!({"text": "called = nobody answers"}));
        assert_eq!((&claims["jti"], &claims["exp"], &claims["nonce"]), (&json!("n.1"), &json!(100_005), &Value::Null));
        let none = parsed("order owner lock nonce=none").claims(MOMENT, "k");
        assert_eq!(none["nonce"], Value::Null);
        assert_eq!(parsed("order owner lock nonce=dd").claims(MOMENT, "k")["nonce"], json!("dd"));
    }

    #[test]
    fn every_wrong_order_is_wrong_in_exactly_its_own_way() {
        let signer = Signer::from_seed("arc-1", &[3; 32]);
        let seal = |word: &str| parsed(&format!("order {word} arc_operator siren_stop")).seal(MOMENT, &signer);
        for word in ["forged", "unsigned"] {
            assert!(verify(&seal(word).text, signer.public_key()).is_err(), "{word} must not verify");
        }
        let claims = |word: &str| verify(&seal(word).text, signer.public_key()).unwrap().1;
        assert!(claims("expired")["exp"].as_i64().unwrap() < 100_000 - 3_000);
        assert_eq!(claims("foreign")["aud"], json!("another-hub"));
        assert!(seal("retained").retained);
        assert_eq!(claims("retained")["aud"], json!("hub"));
    }

    #[test]
    fn words_that_mean_nothing_are_refused_with_the_words_that_do() {
        for line in
            ["", "order", "order owner", "order forged", "order owner arm away", "orders a b", "order a b life=x"]
        {
            assert!(Order::parse(line).unwrap_err().contains("order again"), "{line}");
        }
        assert_eq!(Order::parse("order again"), Ok(Order::Again));
    }
}
