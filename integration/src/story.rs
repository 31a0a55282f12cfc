//! Reads a story: at which second what happens, and beneath it what must follow. It plays nothing and knows no phrase.
//!
//! ```text
//! # a comment
//! 00:09  smoke in the kitchen
//!        then the sound is fire
//! ```

use thiserror::Error;

/// The longest story read. A story beyond it is no story; its reader says so and plays nothing.
pub const STEPS_MAX: usize = 500;

/// One thing that happens, and what must follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Seconds after the story's beginning, at the earliest.
    pub at_s: u64,
    /// What happens.
    pub deed: String,
    /// What must follow, in this order.
    pub then: Vec<String>,
}

/// A story that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} of the story, `{text}`: {why}")]
#[allow(missing_docs)]
pub struct Unreadable {
    pub line: usize,
    pub text: String,
    pub why: &'static str,
}

/// Reads a whole story.
///
/// # Errors
/// The first line that is neither a step, nor what must follow one, nor a comment.
pub fn read(text: &str) -> Result<Vec<Step>, Unreadable> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let unreadable = |why| Unreadable { line: number + 1, text: line.to_owned(), why };
        let words = line.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        if let Some(follows) = words.strip_prefix("then ") {
            let step = steps.last_mut().ok_or_else(|| unreadable("nothing has happened that it could follow"))?;
            step.then.push(follows.trim().to_owned());
            continue;
        }
        let (at, deed) = words.split_once("  ").ok_or_else(|| unreadable("right would be `00:07  what happens`"))?;
        let at_s = seconds(at).ok_or_else(|| unreadable("it must begin with a time like 00:07"))?;
        if steps.last().is_some_and(|before| before.at_s > at_s) {
            return Err(unreadable("it happens before the line above it"));
        }
        if steps.len() == STEPS_MAX {
            return Err(unreadable("the story is too long"));
        }
        steps.push(Step { at_s, deed: deed.trim().to_owned(), then: Vec::new() });
    }
    Ok(steps)
}

/// Seconds as a story writes them: `01:05`.
pub fn clock(at_s: u64) -> String {
    format!("{:02}:{:02}", at_s / 60, at_s % 60)
}

fn seconds(time: &str) -> Option<u64> {
    let (minutes, seconds) = time.split_once(':')?;
    let number = |digits: &str| digits.parse::<u64>().ok().filter(|_| digits.len() == 2);
    let (minutes, seconds) = (number(minutes)?, number(seconds)?);
    (seconds < 60).then_some(minutes * 60 + seconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on must fail
mod tests {
    use super::*;

    #[test]
    fn a_story_is_its_steps_and_what_must_follow_each() {
        let steps =
            read("# once\n00:00  it starts\n\n01:05  smoke\n       then a siren\n       then a receipt\n").unwrap();
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0], Step { at_s: 0, deed: "it starts".to_owned(), then: Vec::new() });
        assert_eq!((steps[1].at_s, clock(steps[1].at_s)), (65, "01:05".to_owned()));
        assert_eq!(steps[1].then, ["a siren", "a receipt"]);
    }

    #[test]
    fn a_line_that_says_nothing_is_named_and_never_skipped() {
        for (text, line) in [
            ("then a siren", 1),
            ("00:00  a\nsmoke", 2),
            ("00:05  a\n00:04  b", 2),
            ("0:5  a", 1),
            ("00:60  a", 1),
            ("00:00 one blank", 1),
        ] {
            assert_eq!(read(text).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn a_story_without_end_is_refused() {
        let text = "00:00  again\n".repeat(STEPS_MAX + 1);
        assert_eq!(read(&text).unwrap_err().line, STEPS_MAX + 1);
    }
}
