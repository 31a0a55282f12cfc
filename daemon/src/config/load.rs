//! From texts to a `Config`, or to every fault at once with its file and line.
//!
//! Base file and patches are read each on its own, checked against `fields`, and laid over each other in order: a
//! later file's key replaces an earlier one's, its `[[section]]` list replaces the whole list. Only then is asked what
//! is missing and what contradicts what. This file opens no files, and a fault never repeats a text that could be a
//! secret.

use crate::config::fields::Absent;
use crate::config::fields::Field;
use crate::config::fields::Form;
use crate::config::fields::Kind;
use crate::config::fields::Literal;
use crate::config::fields::Section;
use crate::config::fields::{children, join, section};
use crate::config::settings::{Broker, Config};
use crate::config::shapes::Shape;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use toml::de::{DeTable, DeValue};

/// Longest text taken of one file, in bytes; a longer file is refused unread. Real ones have some thousand.
pub const TEXT_LIMIT: usize = 256 * 1024;

/// Most files taken, the base file included; with more all are refused unread.
pub const FILES_LIMIT: usize = 64;

/// Most faults returned; the last then says how many are left out. A file that is no TOML at all has thousands.
pub const FAULTS_LIMIT: usize = 500;

/// The path that has a modem (contract, "paths").
const MOBILE: &str = "lte";

/// Most characters of a wrong key or value shown in a fault; the rest is cut.
const SHOWN_LIMIT: usize = 64;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct Fault {
    /// The name of the file, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The dotted key, or `syntax`.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}, {}", self.file, self.line, self.key, self.wrong, self.right)
    }
}

/// Reads `(file name, text)`, the base file first and its patches in the order in which they apply.
///
/// # Errors
/// Every fault of every file, ordered by file and line.
pub fn load(files: &[(String, String)]) -> Result<Config, Vec<Fault>> {
    let mut reader = Reader { files, faults: Vec::new(), syntax: false };
    let nowhere = Origin { file: 0, line: 1 };
    if files.len() > FILES_LIMIT {
        let wrong = format!("{} files are too many", files.len());
        reader.fault(nowhere, "syntax", wrong, format!("{FILES_LIMIT} is the limit: join some"));
        return Err(reader.faults);
    }
    let mut whole = Node { origin: nowhere, what: What::Table(BTreeMap::new()) };
    for file in 0..files.len() {
        whole.patch(reader.file(file));
    }
    // what could not be read may well have been what now seems to be missing
    let config = if reader.syntax { None } else { reader.finish(&whole) };
    match config {
        Some(config) if reader.faults.is_empty() => Ok(config),
        _ => Err(reader.sorted()),
    }
}

/// Where something stands.
#[derive(Clone, Copy, PartialEq)]
struct Origin {
    file: usize,
    line: usize,
}

/// Something that stands in a file, and matches the table as far as its place goes.
struct Node {
    origin: Origin,
    what: What,
}

enum What {
    /// A value; `None` when it was refused.
    Value(Option<Value>),
    Table(BTreeMap<&'static str, Node>),
    List(Vec<Node>),
}

impl Node {
    /// Lays a later file over this one.
    fn patch(&mut self, later: Node) {
        match (&mut self.what, later.what) {
            (What::Table(old), What::Table(new)) => {
                for (key, node) in new {
                    match old.get_mut(key) {
                        Some(known) => known.patch(node),
                        None => drop(old.insert(key, node)),
                    }
                }
            }
            (old, new) => {
                *old = new;
                self.origin = later.origin;
            }
        }
    }

    fn get(&self, key: &str) -> Option<&Node> {
        match &self.what {
            What::Table(table) => table.get(key),
            _ => None,
        }
    }

    fn list(&self, path: [&str; 2]) -> &[Node] {
        match self.get(path[0]).and_then(|node| node.get(path[1])).map(|node| &node.what) {
            Some(What::List(list)) => list,
            _ => &[],
        }
    }

    fn value(&self, key: &str) -> Option<&Value> {
        match &self.get(key)?.what {
            What::Value(value) => value.as_ref(),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.value(key).and_then(Value::as_str)
    }
}

/// What stands in one file while it is read.
struct Place<'a> {
    file: usize,
    /// Where each line after the first begins.
    breaks: &'a [usize],
}

impl Place<'_> {
    fn at(&self, offset: usize) -> Origin {
        Origin { file: self.file, line: 1 + self.breaks.partition_point(|start| *start <= offset) }
    }
}

struct Reader<'a> {
    files: &'a [(String, String)],
    faults: Vec<Fault>,
    /// Whether some file could not be read to its end.
    syntax: bool,
}

impl Reader<'_> {
    fn fault(&mut self, origin: Origin, key: &str, wrong: impl Into<String>, right: impl Into<String>) {
        let file = self.files.get(origin.file).map_or("vaktd.toml", |(name, _)| name.as_str());
        let (file, key) = (file.to_owned(), key.to_owned());
        self.faults.push(Fault { file, line: origin.line, key, wrong: wrong.into(), right: right.into() });
    }

    fn sorted(mut self) -> Vec<Fault> {
        let position = |fault: &Fault| self.files.iter().position(|(name, _)| *name == fault.file);
        self.faults.sort_by_cached_key(|fault| (position(fault), fault.clone()));
        self.faults.dedup();
        let more = self.faults.len().saturating_sub(FAULTS_LIMIT);
        if more > 0 {
            self.faults.truncate(FAULTS_LIMIT);
            let last = self.faults.last_mut().expect("a limit above 0 leaves a fault");
            last.right.push_str(&format!(" (and {more} faults more)"));
        }
        self.faults
    }

    /// One file as far as it can be understood.
    fn file(&mut self, file: usize) -> Node {
        let text = &self.files[file].1;
        let start = Origin { file, line: 1 };
        if text.len() > TEXT_LIMIT {
            self.syntax = true;
            self.fault(start, "syntax", format!("{} bytes are too many", text.len()), format!("{TEXT_LIMIT} at most"));
            return Node { origin: start, what: What::Table(BTreeMap::new()) };
        }
        let breaks: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        let place = Place { file, breaks: &breaks };
        let (table, errors) = DeTable::parse_recoverable(text);
        let before = self.faults.len();
        let node = self.table(&place, start, section("").expect("the table has a root"), table.get_ref());
        let mut broken: Vec<usize> = Vec::new();
        let meant = self.faults.split_off(before);
        for error in errors.iter().take(FAULTS_LIMIT) {
            let origin = place.at(error.span().map_or(text.len(), |span| span.start));
            broken.push(origin.line);
            self.syntax = true;
            self.fault(origin, "syntax", error.message(), "TOML 1.0 as in the default file would be right");
        }
        // a line that is no TOML was guessed at by the parser: what the guess then got wrong is no news
        self.faults.extend(meant.into_iter().filter(|fault| !broken.contains(&fault.line)));
        node
    }

    fn table(&mut self, place: &Place, origin: Origin, section: &Section, table: &DeTable) -> Node {
        let mut known = BTreeMap::new();
        for (key, value) in table {
            let at = place.at(key.span().start);
            let name = key.get_ref().as_ref();
            let value_at = place.at(value.span().start);
            if let Some(field) = section.fields.iter().find(|field| field.key == name) {
                let what = What::Value(self.value(place, value_at, section, field, value.get_ref()));
                known.insert(field.key, Node { origin: at, what });
            } else if let Some((name, below)) = children(section.path).find(|(last, _)| *last == name) {
                known.extend(self.below(place, value_at, below, value.get_ref()).map(|node| (name, node)));
            } else {
                let key = shown(&join(section.path, name));
                self.fault(at, &key, "there is no such key", suggestion(section, name));
            }
        }
        Node { origin, what: What::Table(known) }
    }

    /// A section that stands inside another.
    fn below(&mut self, place: &Place, origin: Origin, section: &Section, value: &DeValue) -> Option<Node> {
        match (section.form, value) {
            (Form::Once | Form::Optional, DeValue::Table(table)) => Some(self.table(place, origin, section, table)),
            (Form::Many(max), DeValue::Array(items)) => {
                if items.len() > max {
                    let wrong = format!("{} entries are too many", items.len());
                    self.fault(origin, section.path, wrong, format!("{max} at most"));
                }
                let items = items.iter().take(max);
                let nodes = items.filter_map(|item| {
                    let at = place.at(item.span().start);
                    match item.get_ref() {
                        DeValue::Table(table) => Some(self.table(place, at, section, table)),
                        other => self.no_section(at, section, other),
                    }
                });
                Some(Node { origin, what: What::List(nodes.collect()) })
            }
            (_, other) => self.no_section(origin, section, other),
        }
    }

    fn no_section(&mut self, at: Origin, section: &Section, value: &DeValue) -> Option<Node> {
        let right = match section.form {
            Form::Many(_) => format!("write [[{}]] and the whole list (a later file replaces it)", section.path),
            _ => format!("write [{}]", section.path),
        };
        self.fault(at, section.path, format!("{} cannot stand here", article(value)), right);
        None
    }

    /// A value as its field wants it, `None` with a fault otherwise.
    fn value(&mut self, place: &Place, at: Origin, section: &Section, field: &Field, value: &DeValue) -> Option<Value> {
        let path = join(section.path, field.key);
        match (&field.kind, value) {
            (Kind::Text(shape), DeValue::String(text)) => self.text(at, &path, shape, text),
            (Kind::Flag, DeValue::Boolean(flag)) => Some(json!(flag)),
            (Kind::Choice(words), DeValue::String(text)) if words.contains(&text.as_ref()) => Some(json!(text)),
            (Kind::Choice(words), DeValue::String(text)) => {
                let wrong = format!("\"{}\" is none of the words known here", shown(text));
                self.fault(at, &path, wrong, format!("write {}", or(words)));
                None
            }
            (Kind::Int(min, max, unit), DeValue::Integer(number)) => {
                let in_range = i64::from_str_radix(number.as_str(), number.radix()).ok();
                let in_range = in_range.filter(|number| (min..=max).contains(&number));
                if in_range.is_none() {
                    let wrong = format!("{} is out of range", shown(&number.to_string()));
                    self.fault(at, &path, wrong, format!("write {min} to {max} {unit}"));
                }
                in_range.map(|number| json!(number))
            }
            (Kind::List(shape, max), DeValue::Array(items)) => {
                if !(1..=*max).contains(&items.len()) {
                    let wrong = format!("a list of {} is refused", items.len());
                    self.fault(at, &path, wrong, format!("write 1 to {max}"));
                    return None;
                }
                let texts = items.iter().map(|item| match item.get_ref() {
                    DeValue::String(text) => self.text(place.at(item.span().start), &path, shape, text),
                    other => self.wrong_type(place.at(item.span().start), &path, other, shape.right),
                });
                let texts: Vec<Option<Value>> = texts.collect();
                texts.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
            }
            (kind, other) => self.wrong_type(at, &path, other, &expected(kind)),
        }
    }

    fn text(&mut self, at: Origin, path: &str, shape: &Shape, text: &str) -> Option<Value> {
        if text.len() <= shape.max && (shape.check)(text) {
            return Some(json!(text));
        }
        let what = if shape.echo { format!("\"{}\"", shown(text)) } else { "the text".to_owned() };
        self.fault(at, path, format!("{what} is not {}", shape.name), format!("write {}", shape.right));
        None
    }

    fn wrong_type(&mut self, at: Origin, path: &str, value: &DeValue, right: &str) -> Option<Value> {
        self.fault(at, path, format!("{} cannot stand here", article(value)), format!("write {right}"));
        None
    }

    /// All that needs the whole: missing keys, contradictions, and then the typed form.
    fn finish(&mut self, whole: &Node) -> Option<Config> {
        let root = section("").expect("the table has a root");
        let tree = self.complete(root, Some(whole), whole.origin);
        self.keys_for_paths(whole);
        self.path_for_modem(whole);
        self.pins_for_one(whole);
        self.mains_is_no_battery(whole);
        for path in whole.list(["upstream", "path"]) {
            self.tls_or_loopback(path);
        }
        if !self.faults.is_empty() {
            return None;
        }
        match serde_json::from_value(tree) {
            Ok(config) => Some(config),
            Err(why) => {
                self.fault(whole.origin, "syntax", format!("the values do not fit: {why}"), "report this");
                None
            }
        }
    }

    /// A section with its defaults, and a fault for each key it lacks and each value that had to be unique.
    fn complete(&mut self, section: &Section, node: Option<&Node>, origin: Origin) -> Value {
        let mut object = Map::new();
        for field in section.fields {
            match (node.and_then(|node| node.get(field.key)).map(|node| &node.what), field.absent) {
                (Some(What::Value(value)), _) => {
                    object.extend(value.clone().map(|value| (field.key.to_owned(), value)));
                }
                (_, Absent::Required(example)) => {
                    let path = join(section.path, field.key);
                    let right = format!("write it, such as {} = {example}", field.key);
                    self.fault(origin, &path, "the key is missing", right);
                }
                (_, Absent::Default(value)) => drop(object.insert(field.key.to_owned(), value.json())),
                (_, Absent::Optional(_)) => {}
            }
        }
        for (name, below) in children(section.path) {
            let node = node.and_then(|node| node.get(name));
            let value = match (below.form, node) {
                (Form::Optional, None) => continue,
                (Form::Many(_), None) => json!([]),
                (Form::Many(_), Some(Node { what: What::List(items), .. })) => {
                    self.unique(below, items);
                    items.iter().map(|item| self.complete(below, Some(item), item.origin)).collect()
                }
                (_, node) => self.complete(below, node, node.map_or(origin, |node| node.origin)),
            };
            object.insert(name.to_owned(), value);
        }
        Value::Object(object)
    }

    fn unique(&mut self, section: &Section, items: &[Node]) {
        for field in section.fields.iter().filter(|field| field.unique) {
            for (at, item) in items.iter().enumerate() {
                let value = item.value(field.key);
                let first = items[..at].iter().find(|earlier| value.is_some() && earlier.value(field.key) == value);
                if let (Some(first), Some(node)) = (first.and_then(|first| first.get(field.key)), item.get(field.key)) {
                    let wrong = format!("line {} has this value already", first.origin.line);
                    self.fault(node.origin, &join(section.path, field.key), wrong, "write one of its own");
                }
            }
        }
    }

    /// Only the centre's signature makes an event delivered, so a path without a key would resend for ever.
    fn keys_for_paths(&mut self, whole: &Node) {
        let (paths, keys) = (whole.list(["upstream", "path"]), whole.list(["centre", "key"]));
        // a role that was refused or left to its default counts: it has its own fault, or is `arc`
        let arc = keys.iter().any(|key| key.text("role").is_none_or(|role| role == "arc"));
        if let (Some(path), false) = (paths.first(), arc) {
            let wrong = "no key of role arc, which signs receipts, but an upstream.path";
            self.fault(path.origin, "centre.key", wrong, "write a [[centre.key]] with the centre's public key");
        }
    }

    /// What is said of a modem that no path has would be passed over, and a card stay locked.
    fn path_for_modem(&mut self, whole: &Node) {
        // a name that was refused has its own fault
        let mobile = |path: &Node| path.text("name").is_none_or(|name| name == MOBILE);
        if whole.list(["upstream", "path"]).iter().any(mobile) {
            return;
        }
        for key in ["pin_file", "monthly_mb", "power_gpio"] {
            if let Some(said) = whole.get("modem").and_then(|modem| modem.get(key)) {
                let wrong = format!("it is about the modem of the path `{MOBILE}`, and there is no such path");
                let right = format!("write a [[upstream.path]] with name = \"{MOBILE}\", or remove this key");
                self.fault(said.origin, &join("modem", key), wrong, right);
            }
        }
    }

    /// A line does one thing, and a name is one device's. Within a table each key sees to that itself.
    fn pins_for_one(&mut self, whole: &Node) {
        let uses = |tables: &[Node], path: &'static str, key: &str| -> Vec<_> {
            let use_of = |node: &Node| Some((path, node.text(key)?.to_owned(), node.get(key)?.origin));
            tables.iter().filter_map(use_of).collect()
        };
        let (inputs, outputs) = (whole.list(["board", "input"]), whole.list(["board", "output"]));
        let chips = whole.list(["subghz", "chip"]);
        let modem = whole.get("modem").map(std::slice::from_ref).unwrap_or_default();
        let names = [
            vec![("the supply's gauge", "gauge".to_owned(), whole.origin)],
            uses(inputs, "board.input.name", "name"),
            uses(outputs, "board.output.name", "name"),
        ];
        let lines = [
            uses(inputs, "board.input.line", "line"),
            uses(outputs, "board.output.line", "line"),
            uses(modem, "modem.power_gpio", "power_gpio"),
            uses(chips, "subghz.chip.gdo0", "gdo0"),
            uses(chips, "subghz.chip.gdo2", "gdo2"),
        ];
        let receivers = [
            vec![("the Zigbee stick", "zigbee".to_owned(), whole.origin)],
            uses(whole.list(["subghz", "port"]), "subghz.port.name", "name"),
            uses(chips, "subghz.chip.name", "name"),
        ];
        for places in [&names[..], &lines, &receivers] {
            for (n, uses) in places.iter().enumerate() {
                for (path, text, origin) in uses {
                    if let Some((by, ..)) = places[..n].iter().flatten().find(|(_, taken, _)| taken == text) {
                        self.fault(*origin, path, format!("`{text}` is taken by {by}"), "write another");
                    }
                }
            }
        }
    }

    fn mains_is_no_battery(&mut self, whole: &Node) {
        let Some(board) = whole.get("board") else { return };
        if let (Some(mains), Some(battery), Some(node)) =
            (board.text("mains"), board.text("battery"), board.get("mains"))
            && mains == battery
        {
            let wrong = format!("`{mains}` is the battery's, which tells nothing of the mains by being there");
            self.fault(
                node.origin,
                "board.mains",
                wrong,
                "leave it out: then it follows from the battery being emptied",
            );
        }
    }

    fn tls_or_loopback(&mut self, path: &Node) {
        let key = "upstream.path.insecure_plain";
        let at = path.get("insecure_plain").map_or(path.origin, |node| node.origin);
        let plain = match path.get("insecure_plain").map(|node| &node.what) {
            None => false,
            Some(What::Value(Some(Value::Bool(plain)))) => *plain,
            Some(_) => return, // refused, and told so already
        };
        match (path.get("tls"), plain) {
            (Some(_), false) => {}
            (Some(_), true) => {
                self.fault(at, key, "true contradicts the tls table of this path", "remove one of the two");
            }
            (None, false) => {
                let right = "write it with ca, cert and key (insecure_plain = true is for a loopback broker only)";
                self.fault(path.origin, "upstream.path.tls", "the table is missing", right);
            }
            (None, true) => {
                let brokers = path.value("brokers").and_then(Value::as_array).into_iter().flatten();
                let loopback =
                    |text: &Value| text.as_str().and_then(|b| b.parse::<Broker>().ok()).is_none_or(|b| b.is_loopback());
                if !brokers.into_iter().all(loopback) {
                    let right = "write a [upstream.path.tls] table, or loopback brokers such as 127.0.0.1:1883";
                    self.fault(at, key, "a broker that is not on this machine would hear alarms unencrypted", right);
                }
            }
        }
    }
}

fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Text(shape) => format!("a string: {}", shape.right),
        Kind::List(shape, max) => format!("a list of 1 to {max} strings: {}", shape.right),
        Kind::Int(min, max, unit) => format!("a whole number, {min} to {max} {unit}"),
        Kind::Choice(words) => or(words),
        Kind::Flag => "true or false".to_owned(),
    }
}

fn article(value: &DeValue) -> String {
    let name = value.type_str();
    format!("{} {name}", if name.starts_with(['a', 'i']) { "an" } else { "a" })
}

fn or(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

/// A text of a file, safe in one line of a terminal.
fn shown(text: &str) -> String {
    let head: String = text.chars().take(SHOWN_LIMIT).collect();
    let cut = if head.len() < text.len() { "..." } else { "" };
    format!("{}{cut}", head.escape_debug())
}

/// The known key that a wrong one was probably meant to be, or all of them.
fn suggestion(section: &Section, wrong: &str) -> String {
    let below = children(section.path).map(|(name, _)| name);
    let mut known: Vec<&str> = section.fields.iter().map(|field| field.key).chain(below).collect();
    known.sort_by_cached_key(|key| distance(key, wrong));
    match known.first() {
        Some(key) if distance(key, wrong) <= 1 + key.len() / 4 => format!("did you mean `{key}`?"),
        _ => {
            known.sort_unstable();
            format!("known here: {}", known.join(" "))
        }
    }
}

/// Levenshtein's distance in characters; a text beyond `SHOWN_LIMIT` is like nothing.
fn distance(a: &str, b: &str) -> usize {
    if b.len() > SHOWN_LIMIT {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl Literal {
    /// The value for the typed form and the schema.
    pub fn json(self) -> Value {
        match self {
            Literal::Text(text) => json!(text),
            Literal::List(text) => json!([text]),
            Literal::Int(number) => json!(number),
            Literal::Flag(flag) => json!(flag),
        }
    }
}

impl fmt::Display for Literal {
    /// As TOML, which writes these plain values as JSON does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.json())
    }
}
