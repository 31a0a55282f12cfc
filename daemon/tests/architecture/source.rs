//! Rust text as far as the rules need it: tokens without comments, strings and tests; paths; sizes.

use crate::FILE_WALL;
use crate::FUNCTION_WALL;
use crate::architecture::rules::Violation;
use std::collections::BTreeMap;
use std::ops::Range;

/// A word or a sign, and its line. A string or character literal is one token `""`.
#[derive(Debug, Clone)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A dotted-out path, groups and renames resolved: `use a::{b, c as d}` is `a::b` and `a::c`.
#[derive(Debug)]
pub struct Path {
    pub segments: Vec<String>,
    pub line: usize,
    /// Whether it stands in a `use` or `extern crate`, where one word alone already names a crate.
    pub used: bool,
}

/// One file.
pub struct Source {
    pub text: String,
    /// Everything but comments and the contents of literals.
    pub all: Vec<Token>,
    /// The same without what is compiled for tests only.
    pub code: Vec<Token>,
    test_lines: usize,
}

/// A thing that has a wall: its name, its size and that wall, all in lines.
pub struct Size {
    pub name: String,
    pub line: usize,
    pub lines: usize,
    pub wall: usize,
}

impl Source {
    pub fn read(text: &str) -> Self {
        let all = tokens(text);
        let mut code = Vec::new();
        let (mut at, mut test_lines) = (0, 0);
        while at < all.len() {
            let Some(test) = test_item(&all, at) else {
                code.push(all[at].clone());
                at += 1;
                continue;
            };
            test_lines += all[test.end - 1].line - all[test.start].line + 1;
            at = test.end;
        }
        Self { text: text.to_owned(), all, code, test_lines }
    }

    /// Every path in the code.
    pub fn paths(&self) -> Vec<Path> {
        let code = &self.code;
        let mut found = Vec::new();
        let mut at = 0;
        while at < code.len() {
            let before = if at == 0 { "" } else { code[at - 1].text.as_str() };
            let next = code.get(at + 1).map_or("", |token| token.text.as_str());
            if code[at].text == "use" && next != "<" {
                at = use_tree(code, at + 1, &mut Vec::new(), &mut found);
            } else if code[at].text == "extern" && next == "crate" {
                at = use_tree(code, at + 2, &mut Vec::new(), &mut found);
            } else if is_word(&code[at].text) && before != "." {
                let line = code[at].line;
                let mut segments = vec![code[at].text.clone()];
                while text(code, at + 1) == "::" && is_word(text(code, at + 2)) {
                    segments.push(text(code, at + 2).to_owned());
                    at += 2;
                }
                found.push(Path { segments, line, used: false });
                at += 1;
            } else {
                at += 1;
            }
        }
        found
    }

    /// Whether these tokens follow each other somewhere, and on which lines they begin.
    pub fn lines_of(tokens: &[Token], wanted: &[&str]) -> Vec<usize> {
        let here = |window: &&[Token]| window.iter().map(|token| token.text.as_str()).eq(wanted.iter().copied());
        tokens.windows(wanted.len()).filter(here).map(|window| window[0].line).collect()
    }

    /// The file and its functions, for the ratchet.
    pub fn sizes(&self, path: &str) -> Vec<Size> {
        let lines = self.text.lines().count() - self.test_lines;
        let mut sizes = vec![Size { name: path.to_owned(), line: 1, lines, wall: FILE_WALL }];
        for at in 0..self.code.len() {
            if text(&self.code, at) == "fn" && is_word(text(&self.code, at + 1)) {
                let end = item_end(&self.code, at);
                let (line, name) = (self.code[at].line, format!("{path}::{}", text(&self.code, at + 1)));
                let lines = self.code[end - 1].line - line + 1;
                sizes.push(Size { name, line, lines, wall: FUNCTION_WALL });
            }
        }
        sizes
    }
}

/// What outgrew its wall, and exceptions that are larger than they need to be.
pub fn ratchet(sizes: &[Size], exceptions: &[(&str, usize)]) -> Vec<Violation> {
    let mut largest: BTreeMap<&str, &Size> = BTreeMap::new();
    for size in sizes {
        let known = largest.entry(&size.name).or_insert(size);
        if known.lines < size.lines {
            *known = size;
        }
    }
    let mut found = Vec::new();
    let mut tell = |size: &Size, what: String| {
        let path = size.name.split("::").next().unwrap_or(&size.name);
        found.push(Violation::new(path, size.line, "small by ratchet", what));
    };
    for size in largest.values() {
        let exception = exceptions.iter().find(|(name, _)| *name == size.name).map(|(_, lines)| *lines);
        let (name, lines, wall) = (&size.name, size.lines, size.wall);
        match exception {
            None if lines > wall => tell(size, format!("{name} has {lines} lines, the wall is {wall}: split it")),
            Some(allowed) if lines > allowed => {
                tell(size, format!("{name} grew from {allowed} to {lines} lines: exceptions only shrink"));
            }
            Some(_) if lines <= wall => tell(size, format!("{name} fits its wall now: remove it from LARGE")),
            Some(allowed) if lines < allowed => tell(size, format!("{name} shrank: write {lines} in LARGE")),
            _ => {}
        }
    }
    for (name, _) in exceptions.iter().filter(|(name, _)| !largest.contains_key(name)) {
        found.push(Violation::new(name, 1, "small by ratchet", format!("{name} is gone: remove it from LARGE")));
    }
    found
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| &token.text)
}

pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The tokens of an item compiled for tests only, if one begins here.
fn test_item(tokens: &[Token], at: usize) -> Option<Range<usize>> {
    let attribute = attribute_end(tokens, at)?;
    let words = || tokens[at..attribute].iter().map(|token| token.text.as_str());
    if text(tokens, at + 2) != "cfg" || !words().any(|word| word == "test") || words().any(|word| word == "not") {
        return None;
    }
    let mut item = attribute;
    while let Some(end) = attribute_end(tokens, item) {
        item = end;
    }
    Some(at..item_end(tokens, item))
}

/// Where the attribute that begins here is over.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    if text(tokens, at) != "#" || text(tokens, at + 1) != "[" {
        return None;
    }
    let mut depth = 0;
    for (end, token) in tokens.iter().enumerate().skip(at + 1) {
        depth += i32::from(token.text == "[") - i32::from(token.text == "]");
        if depth == 0 {
            return Some(end + 1);
        }
    }
    None
}

/// Where the item that begins here is over: at a `;` or the closing `}` outside of all brackets.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (end, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth <= 0 {
                    return end + 1;
                }
            }
            ";" if depth == 0 => return end + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Reads one branch of a use tree; returns the place of the `,`, `}` or `;` behind it.
fn use_tree(tokens: &[Token], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Path>) -> usize {
    let before = prefix.len();
    let mut group = false;
    while at < tokens.len() && !matches!(text(tokens, at), "," | "}" | ";") {
        match text(tokens, at) {
            "{" => {
                group = true;
                at += 1;
                while at < tokens.len() && text(tokens, at) != "}" && text(tokens, at) != ";" {
                    at = use_tree(tokens, at, prefix, found);
                    at += usize::from(text(tokens, at) == ",");
                }
            }
            "as" => at += 1,
            // `self` in a group is the path before it
            "self" if !prefix.is_empty() => {}
            word if is_word(word) || word == "*" => prefix.push(word.to_owned()),
            _ => {}
        }
        at += 1;
    }
    if !group && !prefix.is_empty() {
        let line = tokens[at.min(tokens.len()) - 1].line;
        found.push(Path { segments: prefix.clone(), line, used: true });
    }
    prefix.truncate(before);
    at
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let (end, text) = token(&chars, at);
        if let Some(text) = text {
            tokens.push(Token { text, line });
        }
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    tokens
}

/// The token that begins here and where it ends; none for space and comments.
fn token(chars: &[char], at: usize) -> (usize, Option<String>) {
    let peek = |ahead: usize| chars.get(at + ahead).copied().unwrap_or('\0');
    let word = |from: usize| {
        let rest = chars[from..].iter().take_while(|c| c.is_alphanumeric() || **c == '_');
        rest.collect::<String>()
    };
    match (chars[at], peek(1)) {
        (c, _) if c.is_whitespace() => (at + 1, None),
        ('/', '/') => (at + chars[at..].iter().take_while(|c| **c != '\n').count(), None),
        ('/', '*') => (comment_end(chars, at), None),
        (':', ':') => (at + 2, Some("::".to_owned())),
        ('"', _) => (string_end(chars, at + 1), Some("\"\"".to_owned())),
        ('\'', '\\') => (string_end_at(chars, at + 3, '\''), Some("\"\"".to_owned())),
        ('\'', _) if peek(2) == '\'' => (at + 3, Some("\"\"".to_owned())),
        ('\'', _) => (at + 1 + word(at + 1).chars().count(), None), // a lifetime
        (c, _) if c.is_alphanumeric() || c == '_' => {
            let word = word(at);
            let end = at + word.chars().count();
            let hashes = chars[end..].iter().take_while(|c| **c == '#').count();
            let quote = chars.get(end + hashes) == Some(&'"');
            match word.as_str() {
                "r" | "br" | "cr" if quote => (raw_end(chars, end + hashes + 1, hashes), Some("\"\"".to_owned())),
                "b" | "c" if quote && hashes == 0 => (string_end(chars, end + 1), Some("\"\"".to_owned())),
                "r" if hashes == 1 => (end + 1, None), // a raw identifier: the word follows
                _ => (end, Some(word)),
            }
        }
        (c, _) => (at + 1, Some(c.to_string())),
    }
}

fn comment_end(chars: &[char], at: usize) -> usize {
    let (mut end, mut depth) = (at + 2, 1);
    while end < chars.len() && depth > 0 {
        match (chars[end], chars.get(end + 1)) {
            ('/', Some('*')) => (end, depth) = (end + 2, depth + 1),
            ('*', Some('/')) => (end, depth) = (end + 2, depth - 1),
            _ => end += 1,
        }
    }
    end
}

fn string_end(chars: &[char], at: usize) -> usize {
    string_end_at(chars, at, '"')
}

fn string_end_at(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_end(chars: &[char], mut at: usize, hashes: usize) -> usize {
    while at < chars.len() {
        let closed = chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        if closed {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}
