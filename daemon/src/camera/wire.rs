//! The language between the hub and the camera's process: a connection is one line asked, one line answered, and its end.
//!
//! Each side takes the other for one that may have been taken over by what a camera sent: lines have a limit, what is
//! unknown is refused, and no word of the other side reaches a person's terminal as it came.

use crate::camera::elements::NEEDED;
use crate::camera::elements::needed;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeSet;

/// Where the process is asked. systemd makes it, and starts the process at the first connection.
pub const SOCKET: &str = "/run/vakt-camera/camera.sock";
/// A longer request is refused; who sent it loses the connection.
pub const REQUEST_MAX: usize = 4096;
/// A longer answer is no answer: the process is as good as fallen.
pub const ANSWER_MAX: usize = 16 * 1024;
/// More of a refusal's words is not shown.
const WORDS_MAX: usize = 300;
/// A version is not longer than this.
const VERSION_MAX: usize = 16;

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Which of the elements that cameras need are there, inside the sandbox.
    Elements {},
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// To [`Request::Elements`].
    Elements {
        /// GStreamer's version.
        gstreamer: String,
        /// Each element that is needed.
        elements: Vec<Found>,
    },
    /// Nothing was done.
    Refused {
        /// Why, for programs.
        refused: String,
        /// Why, for people.
        text: String,
    },
}

/// An element, looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// As GStreamer calls it.
    pub name: String,
    /// The Debian package that brings it.
    pub package: String,
    /// Whether one could be made.
    pub there: bool,
}

impl Answer {
    /// A refusal.
    pub fn refused(code: &str, text: impl Into<String>) -> Self {
        Self::Refused { refused: code.to_owned(), text: text.into() }
    }

    /// What was found of the elements that are needed.
    pub fn elements(version: (u32, u32, u32), there: impl Fn(&str) -> bool) -> Self {
        let found =
            |name: &str, package: &str| Found { there: there(name), name: name.into(), package: package.into() };
        Self::Elements {
            gstreamer: format!("{}.{}.{}", version.0, version.1, version.2),
            elements: needed().map(|element| found(element.name, element.package)).collect(),
        }
    }

    /// As a line.
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("texts and booleans are always JSON");
        line.push('\n');
        line
    }
}

/// Reads a request, with or without its line's end.
///
/// # Errors
/// It is none: with the refusal.
pub fn request(line: &[u8]) -> Result<Request, Answer> {
    if line.len() > REQUEST_MAX {
        return Err(Answer::refused("too_long", format!("a request has at most {REQUEST_MAX} bytes")));
    }
    // What it says wrongly is not quoted: it may be for another's eyes.
    let place = |error: serde_json::Error| format!("no request that is known ends at column {}", error.column());
    serde_json::from_slice(line).map_err(|error| Answer::refused("bad_request", place(error)))
}

/// What the process says of itself, in our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// GStreamer's version.
    pub version: String,
    /// For each package what of it works, and what is missing.
    pub packages: Vec<Package>,
}

/// A package's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Those that can be made.
    pub there: Vec<&'static str>,
    /// Those that cannot.
    pub missing: Vec<&'static str>,
}

/// Reads the answer to [`Request::Elements`]. What it does not speak of is missing; what we do not need is left out.
///
/// # Errors
/// It is a refusal or no answer: why, fit to be shown.
pub fn inventory(line: &[u8]) -> Result<Inventory, String> {
    let strange = || "gave an answer that is none".to_owned();
    let (version, elements) = match serde_json::from_slice(line).map_err(|_| strange())? {
        Answer::Elements { gstreamer, elements } => (gstreamer, elements),
        Answer::Refused { text, .. } => return Err(shown(&text)),
    };
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    if version.is_empty() || version.len() > VERSION_MAX || !version.chars().all(digits) {
        return Err(strange());
    }
    let there: BTreeSet<&str> = elements.iter().filter(|found| found.there).map(|found| found.name.as_str()).collect();
    let packages = NEEDED.iter().map(|(name, all)| {
        let (there, missing) = all.iter().partition(|element| there.contains(*element));
        Package { name, there, missing }
    });
    Ok(Inventory { version, packages: packages.collect() })
}

/// Another process's words as a terminal may have them.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_is_known_and_all_others_are_refused_without_being_quoted() {
        assert_eq!(request(b"{\"command\":\"elements\"}\n"), Ok(Request::Elements {}));
        let code = |line: &[u8]| match request(line) {
            Err(Answer::Refused { refused, text }) => {
                assert!(!text.contains("sesame"), "{text}");
                refused
            }
            other => panic!("{other:?}"),
        };
        for bad in [
            &b""[..],
            b"\n",
            b"sesame",
            b"{}",
            b"{\"command\":\"sesame\"}",
            b"{\"command\":\"elements\",\"sesame\":1}",
            b"{\"command\":\"elements\"}{\"command\":\"elements\"}",
            b"\xff\xfe",
        ] {
            assert_eq!(code(bad), "bad_request", "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(code(&[b'['; REQUEST_MAX]), "bad_request", "deep nesting is no danger");
        assert_eq!(code(&[b' '; REQUEST_MAX + 1]), "too_long");
    }

    #[test]
    fn what_is_missing_stands_beside_the_package_that_brings_it() {
        let line = Answer::elements((1, 22, 0), |name| name != "h265parse").line();
        assert!(line.len() < ANSWER_MAX && line.ends_with("}\n"));
        let h265 = r#"{"name":"h265parse","package":"gstreamer1.0-plugins-bad","there":false}"#;
        assert!(
            line.starts_with(r#"{"gstreamer":"1.22.0","elements":[{"name":"appsrc","#) && line.contains(h265),
            "{line}"
        );
        let told = inventory(line.as_bytes()).unwrap();
        assert_eq!(told.version, "1.22.0");
        let incomplete: Vec<_> = told.packages.iter().filter(|package| !package.missing.is_empty()).collect();
        let [bad] = incomplete[..] else { panic!("{incomplete:?}") };
        assert_eq!((bad.name, &bad.missing[..]), ("gstreamer1.0-plugins-bad", &["h265parse"][..]));
        assert_eq!(bad.there, ["h264parse", "voaacenc"]);
    }

    #[test]
    fn a_process_that_was_taken_over_can_say_nothing_to_a_terminal() {
        for line in [
            "",
            "null",
            r#"{"gstreamer":"1.22\u001b[2J","elements":[]}"#,
            r#"{"gstreamer":"","elements":[]}"#,
            r#"{"gstreamer":"11111111111111111","elements":[]}"#,
            r#"{"gstreamer":"1.22.0","elements":[{"name":"rtspsrc"}]}"#,
        ] {
            assert_eq!(inventory(line.as_bytes()), Err("gave an answer that is none".to_owned()), "{line}");
        }
        let lie = r#"{"gstreamer":"1.22.0","elements":[{"name":"\u001b[2J","package":"rm -rf /","there":true}]}"#;
        let told = inventory(lie.as_bytes()).unwrap();
        assert!(told.packages.iter().all(|package| package.there.is_empty()), "{told:?}");
        let refused = Answer::refused("gstreamer", format!("no\u{1b}[2J{}", "x".repeat(2 * WORDS_MAX))).line();
        let text = inventory(refused.as_bytes()).unwrap_err();
        assert!(text.starts_with("no[2Jx") && text.len() == WORDS_MAX, "{text}");
    }
}
