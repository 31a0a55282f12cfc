//! What texts of the configuration must look like: each shape with its name, what would be right, and its check.
//!
//! A shape says nothing of where a text stands or what it means; `fields` does.

use crate::config::settings::Broker;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core::net::Ipv6Addr;
use vakt_core::device::GatewayId;

/// What a text must look like.
pub struct Shape {
    /// The noun, for "this is not ...".
    pub name: &'static str,
    /// What would be right, for "write ...".
    pub right: &'static str,
    /// The same as a regular expression, where one says it: every text it matches passes `check` (a test holds it to
    /// that), so the JSON Schema never promises what the daemon refuses.
    pub pattern: Option<&'static str>,
    /// The longest text taken, in bytes.
    pub max: usize,
    /// Whether the daemon takes it; never sees more than `max` bytes.
    pub check: fn(&str) -> bool,
    /// Whether a refused text may be shown. Not where a hurried hand could paste a private key.
    pub echo: bool,
}

pub(super) const GATEWAY: Shape = Shape {
    name: "a gateway id",
    right: "1 to 32 of a-z, 0-9 and -",
    pattern: Some("^[a-z0-9-]{1,32}$"),
    max: 32,
    check: |text| GatewayId::new(text).is_ok(),
    echo: true,
};

pub(super) const NAME: Shape = Shape {
    name: "a name",
    right: "1 to 32 of a-z, 0-9 and -",
    pattern: Some("^[a-z0-9-]{1,32}$"),
    max: 32,
    check: |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
    echo: true,
};

pub(super) const KID: Shape = Shape {
    name: "a key id",
    right: "1 to 64 of A-Z, a-z, 0-9, '.', '_' and -",
    pattern: Some("^[A-Za-z0-9._-]{1,64}$"),
    max: 64,
    check: |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
    echo: true,
};

pub(super) const ED25519: Shape = Shape {
    name: "an Ed25519 public key",
    right: "its 32 bytes in base64url without padding, 43 characters",
    // the 43rd character carries four bits; the other two are zero
    pattern: Some("^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"),
    max: 43,
    check: |text| URL_SAFE_NO_PAD.decode(text).is_ok_and(|key| key.len() == 32),
    echo: false,
};

/// Linux takes 4096 bytes with the closing zero (PATH_MAX).
pub(super) const FILE: Shape = Shape {
    name: "an absolute path",
    right: "a path that begins with /",
    pattern: Some("^(/[^/\\x00-\\x1f\\x7f]+)+$"),
    max: 4095,
    check: absolute,
    echo: false,
};

/// A Unix socket's path has 107 bytes (unix(7), sun_path), and `/control.sock` must still fit behind this.
pub(super) const RUN_DIR: Shape = Shape { right: "a path that begins with /, 94 bytes at most", max: 94, ..FILE };

pub(super) const TIMEZONE: Shape = Shape {
    name: "a time zone of the IANA database",
    right: "Area/City, such as Europe/Stockholm, or UTC",
    pattern: Some("^(UTC|[A-Z][A-Za-z]{1,20}(/[A-Z][A-Za-z0-9_+-]{1,30}){1,2})$"),
    max: 96,
    check: timezone,
    echo: true,
};

pub(super) const INTERFACE: Shape = Shape {
    name: "a network interface",
    right: "1 to 15 of A-Z, a-z, 0-9, '_', '.' and -, such as eth0",
    pattern: Some("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$"),
    max: 15, // IFNAMSIZ is 16 with the closing zero
    check: kernel_name,
    echo: true,
};

pub(super) const GPIO: Shape = Shape {
    name: "a GPIO line",
    right: "its name such as GPIO17, or chip:line such as gpiochip0:17",
    pattern: Some("^([A-Za-z0-9_.-]{1,32}|gpiochip[0-9]{1,3}:[0-9]{1,4})$"),
    max: 32,
    check: gpio,
    echo: true,
};

pub(super) const SUPPLY: Shape = Shape {
    name: "a power supply",
    right: "a name below /sys/class/power_supply: 1 to 64 of A-Z, a-z, 0-9, '_', '.' and -",
    pattern: Some("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"),
    max: 64,
    check: kernel_name,
    echo: true,
};

pub(super) const BROKER: Shape = Shape {
    name: "a broker",
    right: "host:port, such as arc.example:8883 or [2001:db8::1]:8883",
    pattern: None,
    max: 260,
    check: |text| text.parse::<Broker>().is_ok(),
    echo: true,
};

pub(super) const SERVER_NAME: Shape = Shape {
    name: "a server name",
    right: "a DNS name or an IP address, without a port",
    pattern: Some("^[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?){0,4}$"),
    max: 253,
    check: |text| host_name(text) || text.parse::<Ipv6Addr>().is_ok(),
    echo: true,
};

pub(super) const SDR: Shape = Shape {
    name: "an RTL-SDR receiver",
    right: "0 to 9 for the n-th stick, :SERIAL for the one with that serial number, or rtl_tcp:HOST:PORT",
    pattern: Some(
        "^([0-9]|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}|\
         rtl_tcp:[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?){0,4}:\
         ([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))$",
    ),
    max: 140,
    check: sdr,
    echo: true,
};

/// As rtl_433 takes it: nothing that looks like one of its options, or like another kind of receiver.
fn sdr(text: &str) -> bool {
    if let Some(server) = text.strip_prefix("rtl_tcp:") {
        let Some((host, port)) = server.rsplit_once(':') else { return false };
        return host_name(host)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
            && port.bytes().all(|b| b.is_ascii_digit());
    }
    match text.strip_prefix(':') {
        Some(serial) => kernel_name(serial) && serial.len() <= 64,
        None => text.len() == 1 && text.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// A name that the kernel gives a device: no path, and nothing that looks like an option.
fn kernel_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn gpio(text: &str) -> bool {
    let digits = |text: &str, max: usize| (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    match text.split_once(':') {
        Some((chip, line)) => chip.strip_prefix("gpiochip").is_some_and(|chip| digits(chip, 3)) && digits(line, 4),
        None => !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
    }
}

fn absolute(text: &str) -> bool {
    let control = text.bytes().any(|b| b.is_ascii_control());
    text.strip_prefix('/').is_some_and(|rest| !control && rest.split('/').all(|part| !part.is_empty()))
}

fn timezone(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
    };
    text == "UTC" || ((2..=3).contains(&text.split('/').count()) && text.split('/').all(part))
}

/// Whether this is a host name (RFC 1123, 2.1) or an IPv4 address, which looks like one.
pub fn host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}
