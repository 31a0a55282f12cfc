//! The default file and the JSON Schema, both written from `fields`.
//!
//! `config/vaktd.toml` and `config/schema/config.json` are these texts and nothing else; a test compares them.

use crate::config::fields::Absent;
use crate::config::fields::Field;
use crate::config::fields::Form;
use crate::config::fields::Kind;
use crate::config::fields::SECTIONS;
use crate::config::fields::Section;
use crate::config::fields::children;
use crate::config::shapes::Shape;
use serde_json::{Map, Value, json};

/// Columns a comment of the default file fills at most.
const WIDTH: usize = 100;

const HEAD: &str = "\
The configuration of vaktd: install facts only. Areas, users, devices and delays are not here, they are \
events in the journal. Files in vaktd.d beside this one are read after it in the order of their names: a key \
there replaces the key here, a [[list]] there replaces the whole list here. An unknown key is an error; \
`vaktd check` tells all errors at once. `# ` begins a comment, `#` alone a key or table that is not set: \
remove it to set one. Secrets are never written here, only the paths of the files that hold them.";

/// The default configuration with every key, its meaning, unit and default. It lacks only the required keys.
pub fn default_toml() -> String {
    let mut out = String::new();
    comment(&mut out, HEAD);
    for section in SECTIONS {
        out.push('\n');
        if !section.doc.is_empty() {
            comment(&mut out, section.doc);
        }
        let off = match section.form {
            Form::Once => "",
            Form::Optional | Form::Many(_) => "#",
        };
        match (section.path, section.form) {
            ("", _) => {}
            (path, Form::Many(_)) => out.push_str(&format!("#[[{path}]]\n")),
            (path, _) => out.push_str(&format!("{off}[{path}]\n")),
        }
        for field in section.fields {
            comment(&mut out, &told(field));
            let (off, value) = match field.absent {
                Absent::Required(example) | Absent::Optional(example) => ("#", example),
                Absent::Default(value) => (off, value),
            };
            out.push_str(&format!("{off}{} = {value}\n", field.key));
        }
    }
    out
}

/// A field's meaning and what it takes.
fn told(field: &Field) -> String {
    let takes = match &field.kind {
        Kind::Text(shape) => shape.right.to_owned(),
        Kind::List(shape, max) => format!("1 to {max} of {}", shape.right),
        Kind::Int(min, max, unit) => format!("{min} to {max} {unit}"),
        Kind::Choice(words) => words.join(", "),
        Kind::Flag => "true or false".to_owned(),
    };
    let needed = match field.absent {
        Absent::Required(_) => " Required.",
        Absent::Optional(_) => " Optional.",
        Absent::Default(_) => "",
    };
    let alone = if field.unique { " No two alike." } else { "" };
    format!("{} ({takes}){needed}{alone}", field.doc)
}

fn comment(out: &mut String, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() <= WIDTH {
            column += 1 + word.len();
        } else {
            out.push_str(if column == 0 { "#" } else { "\n#" });
            column = 2 + word.len();
        }
        out.push(' ');
        out.push_str(word);
    }
    out.push('\n');
}

/// The JSON Schema of the files laid over each other. What needs two keys to be wrong is told in words only.
pub fn schema() -> Value {
    let mut schema = object(SECTIONS.first().expect("the table begins with its root"));
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("vaktd.toml");
    schema["description"] = json!("The configuration of vaktd.");
    schema
}

fn object(section: &Section) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in section.fields {
        properties.insert(field.key.to_owned(), property(field));
        if matches!(field.absent, Absent::Required(_)) {
            required.push(field.key);
        }
    }
    for (name, below) in children(section.path) {
        let value = match below.form {
            Form::Many(max) => json!({"type": "array", "maxItems": max, "items": object(below)}),
            Form::Once | Form::Optional => object(below),
        };
        properties.insert(name.to_owned(), value);
    }
    json!({
        "type": "object",
        "description": section.doc,
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    })
}

fn property(field: &Field) -> Value {
    let mut value = match &field.kind {
        Kind::Text(shape) => text(shape),
        Kind::List(shape, max) => json!({"type": "array", "minItems": 1, "maxItems": max, "items": text(shape)}),
        Kind::Int(min, max, _) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Flag => json!({"type": "boolean"}),
    };
    value["description"] = json!(told(field));
    match field.absent {
        Absent::Default(literal) => value["default"] = literal.json(),
        Absent::Required(literal) | Absent::Optional(literal) => value["examples"] = json!([literal.json()]),
    }
    value
}

fn text(shape: &Shape) -> Value {
    let mut value = json!({"type": "string", "maxLength": shape.max});
    if let Some(pattern) = shape.pattern {
        value["pattern"] = json!(pattern);
    }
    value
}
