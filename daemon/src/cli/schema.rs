//! What is published for those who build on the hub: JSON Schemas and an AsyncAPI document, made from the types that the
//! daemon itself reads and writes, so that they cannot drift.

use crate::cli::arguments::Schema;
use crate::config::print;
use crate::upstream::receipt::ReceiptPayload;
use crate::upstream::topic::BeatPayload;
use crate::upstream::topic::DeviceView;
use crate::upstream::topic::Echo;
use crate::upstream::topic::PathPayload;
use crate::upstream::topic::ReplyPayload;
use crate::upstream::topic::StatePayload;
use crate::upstream::topic::TelemetryPayload;
use schemars::schema_for;
use std::fmt::Write;

/// A schema as text.
pub fn text(what: Schema) -> String {
    let value = match what {
        Schema::Event => schema_for!(vakt_core::canonical::EventV1).to_value(),
        Schema::State => schema_for!(StatePayload).to_value(),
        Schema::Device => schema_for!(DeviceView).to_value(),
        Schema::Path => schema_for!(PathPayload).to_value(),
        Schema::Beat => schema_for!(BeatPayload).to_value(),
        Schema::Echo => schema_for!(Echo).to_value(),
        Schema::Receipt => schema_for!(ReceiptPayload).to_value(),
        Schema::Reply => schema_for!(ReplyPayload).to_value(),
        Schema::Telemetry => schema_for!(TelemetryPayload).to_value(),
        Schema::Warrant => crate::upstream::warrant::schema(),
        Schema::Config => print::schema(),
    };
    format!("{value:#}")
}

/// Everything that is published, by its name below `config/`.
pub fn published() -> Vec<(&'static str, String)> {
    vec![
        ("schema/event.json", text(Schema::Event)),
        ("schema/state.json", text(Schema::State)),
        ("schema/device.json", text(Schema::Device)),
        ("schema/path.json", text(Schema::Path)),
        ("schema/beat.json", text(Schema::Beat)),
        ("schema/echo.json", text(Schema::Echo)),
        ("schema/receipt.json", text(Schema::Receipt)),
        ("schema/reply.json", text(Schema::Reply)),
        ("schema/telemetry.json", text(Schema::Telemetry)),
        ("schema/warrant.json", text(Schema::Warrant)),
        ("schema/config.json", text(Schema::Config)),
        ("asyncapi.yaml", asyncapi()),
    ]
}

/// A topic below `vakt/v1/{gateway}/`.
struct Channel {
    name: &'static str,
    below: &'static str,
    /// Whether the hub says it; else it hears it.
    up: bool,
    retain: bool,
    /// At least once, or at most.
    qos: u8,
    /// Its payload's schema, or that of what is signed in it.
    schema: &'static str,
    signed: bool,
    what: &'static str,
}

const fn up(
    name: &'static str,
    below: &'static str,
    retain: bool,
    schema: &'static str,
    what: &'static str,
) -> Channel {
    Channel { name, below, up: true, retain, qos: 1, schema, signed: false, what }
}

/// In place of a schema: bytes, of no form.
const BYTES: &str = "";

const CHANNELS: [Channel; 11] = [
    up(
        "event",
        "event/{class}",
        false,
        "event",
        "One event, as it was hashed. At least once; the same bytes each time.",
    ),
    up("state", "state", true, "state", "The site as a whole, at most every 5 s, on the path that carries."),
    up("device", "device/{id}", true, "device", "One device; an empty payload takes it off. Not over LTE."),
    up("path", "path/{path}", true, "path", "A path's birth, farewell or last will."),
    up(
        "beat",
        "path/{path}/beat",
        false,
        "beat",
        "Every 20 s on the first path, every 180 s on the other while that is good.",
    ),
    Channel {
        qos: 0,
        ..up(
            "telemetry",
            "telemetry",
            false,
            "telemetry",
            "What devices measured, each measure every five minutes at most; expires after ten. Not over LTE.",
        )
    },
    up(
        "reply",
        "reply/{jti}",
        false,
        "reply",
        "What became of a warrant: accepted, sent, confirmed, failed or refused.",
    ),
    up(
        "media",
        "media/{id}/{offset}",
        false,
        BYTES,
        "Bytes of a sealed file from that offset, 64 KiB at most, 8 KiB on a slow path; on the connection `{gateway}-media`.",
    ),
    Channel {
        name: "ack",
        below: "ack",
        up: false,
        retain: false,
        qos: 1,
        schema: "receipt",
        signed: true,
        what: "The centre's receipt: only it delivers. By any path; retained ones are refused.",
    },
    Channel {
        name: "echo",
        below: "path/{path}/echo",
        up: false,
        retain: false,
        qos: 1,
        schema: "echo",
        signed: false,
        what: "The centre's echo of a beat; three missing ones are a silent centre.",
    },
    Channel {
        name: "cmd",
        below: "cmd",
        up: false,
        retain: false,
        qos: 1,
        schema: "warrant",
        signed: true,
        what: "A warrant. Retained, expired, foreign and unsigned ones are refused.",
    },
];

const PARAMETERS: [(&str, &str); 6] = [
    ("gateway", "The hub: 1 to 32 of a-z, 0-9 and -; the CN of its client certificate."),
    ("class", "alarm, fault, access, state, test or audit: the order in which the centre must hear."),
    ("id", "The device, such as zb-00124b0001020304, or the medium."),
    ("offset", "The first byte's place in the sealed file."),
    ("path", "eth or lte."),
    ("jti", "The warrant's own name."),
];

/// The AsyncAPI document. Its schemas stand beside it.
fn asyncapi() -> String {
    let mut text = String::from(
        "# What a hub says and hears over MQTT 5, version 1. Generated from the daemon's own types: change those.\n\
         asyncapi: 3.0.0\n\
         info:\n  title: Vakt hub\n  version: 1.0.0\n  description: >-\n    \
         Clean start, session expiry 0, packets up to 96 KiB, TLS with a client certificate whose CN is the gateway. Two\n    \
         connections, `{gateway}-eth` and `{gateway}-lte`, each with a last will on its path, and `{gateway}-media` with\n    \
         none. Members are only ever added.\n\
         defaultContentType: application/json\n\
         channels:\n",
    );
    for channel in &CHANNELS {
        let address = format!("vakt/v1/{{gateway}}/{}", channel.below);
        line(
            &mut text,
            format_args!("  {}:\n    address: {address}\n    description: {:?}", channel.name, channel.what),
        );
        line(&mut text, format_args!("    parameters:"));
        for (name, what) in PARAMETERS.iter().filter(|(name, _)| address.contains(&format!("{{{name}}}"))) {
            line(&mut text, format_args!("      {name}:\n        description: {what:?}"));
        }
        line(&mut text, format_args!("    messages:\n      {}:", channel.name));
        if channel.signed {
            let said = "A compact JWS (EdDSA, RFC 7515). The schema is that of what is signed.";
            line(&mut text, format_args!("        contentType: application/jose\n        description: {said:?}"));
        }
        if channel.schema == BYTES {
            line(&mut text, format_args!("        contentType: application/octet-stream"));
            continue;
        }
        let format = "'application/schema+json;version=draft-2020-12'";
        line(&mut text, format_args!("        payload:\n          schemaFormat: {format}"));
        line(&mut text, format_args!("          schema:\n            $ref: ./schema/{}.json", channel.schema));
    }
    line(&mut text, format_args!("operations:"));
    for channel in &CHANNELS {
        let (verb, action) = if channel.up { ("say", "send") } else { ("hear", "receive") };
        line(&mut text, format_args!("  {verb}_{}:\n    action: {action}", channel.name));
        line(&mut text, format_args!("    channel:\n      $ref: '#/channels/{}'", channel.name));
        line(
            &mut text,
            format_args!(
                "    bindings:\n      mqtt:\n        qos: {}\n        retain: {}",
                channel.qos, channel.retain
            ),
        );
        line(&mut text, format_args!("        bindingVersion: 0.2.0"));
    }
    text.truncate(text.trim_end().len());
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{what}");
}
