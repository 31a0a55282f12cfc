//! `vaktd doctor`: looks at the board as a technician would, says what is wrong and what to do about it. It asks files of
//! the kernel and of the configuration; it changes nothing, and sends nothing to anybody.

use crate::board::io as board;
use crate::board::pins::Line;
use crate::config::settings::ClockTrust;
use crate::config::settings::Config;
use crate::config::settings::RadioChip;
use crate::config::settings::UpstreamPath;
use crate::journal::io::open::BLOCK_MIN_BYTES;
use crate::journal::io::open::small_blocks;
use crate::journal::io::room;
use crate::network::modem as network;
use crate::network::sim::PIN_FILE_MAX;
use crate::network::sim::Pin;
use crate::subghz::io::rtl_433;
use crate::upstream::io::names::LISTS;
use crate::upstream::names::servers;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use vakt_core::port::ModemState;
use vakt_core::port::Networks;
use vakt_core::port::SimLock;

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of check it is.
    pub check: &'static str,
    /// Of what.
    pub on: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn good(check: &'static str, on: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check, on: on.into(), ok: true, found: found.into(), remedy: None }
    }

    pub(super) fn bad(
        check: &'static str,
        on: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { check, on: on.into(), ok: false, found: found.into(), remedy: Some(remedy.into()) }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}: {}", if self.ok { " ok " } else { "BAD " }, self.check, self.on, self.found)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "\n     -> {remedy}"))
    }
}

/// Everything that can be looked at beside the daemon.
pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = folders(config);
    findings.extend(ground(&config.state_dir, small_blocks(&config.state_dir), room::scarce(&config.state_dir)));
    findings.extend(clock(config.clock.trust, Path::new("/run/systemd/timesync/synchronized").exists()));
    findings.extend(serial_ports(config));
    findings.extend(sticks_with_rtl_433(config));
    findings.extend(config.modem.pin_file.as_deref().map(pin_file));
    findings.extend(pins(config));
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let defaults = default_routes(&routes);
    let paths = &config.upstream.paths;
    let tls = || paths.iter().filter_map(|path| path.tls.as_ref());
    let files: BTreeSet<&PathBuf> = tls().flat_map(|tls| [&tls.ca, &tls.cert, &tls.key]).collect();
    findings.extend(files.into_iter().map(|file| readable(file)));
    let keys: BTreeSet<&PathBuf> = tls().map(|tls| &tls.key).collect();
    findings.extend(keys.into_iter().filter_map(|key| private(key)));
    for path in paths {
        match &path.device {
            Some(device) => findings.extend(interface(device, &defaults, paths.len())),
            None if paths.len() > 1 => findings.push(unbound(path)),
            None => {}
        }
    }
    findings.extend(equal_metrics(paths, &defaults));
    let named =
        |path: &UpstreamPath| path.brokers.iter().any(|broker| broker.to_string().parse::<SocketAddr>().is_err());
    if paths.iter().any(|path| path.device.is_some() && named(path)) {
        let lists: Vec<String> = LISTS.iter().filter_map(|list| std::fs::read_to_string(list).ok()).collect();
        findings.push(name_servers(&servers(lists.iter().map(String::as_str))));
    }
    findings
}

/// What there is to be said of a mobile path's modem. `needed`: the configuration has things that only ModemManager can be
/// asked for, a PIN to give or a power line to switch when the modem is gone.
pub fn modem(networks: &Networks, needed: bool) -> Vec<Finding> {
    let service = |name: &str, runs: bool| {
        let found = if runs { "runs" } else { "does not run; a modem that is a plain interface needs it not" };
        let remedy = format!("apt-get install {}", name.to_lowercase().replace("networkm", "network-m"));
        Finding { remedy: (!runs).then_some(remedy), ..Finding::good("service", name, found) }
    };
    let modem_manager = match needed && !networks.modem_manager {
        true => {
            let found = "does not run, so modem.pin_file and modem.power_gpio do nothing";
            Finding::bad("service", "ModemManager", found, "apt-get install modemmanager")
        }
        false => service("ModemManager", networks.modem_manager),
    };
    let mut findings = vec![modem_manager, service("NetworkManager", networks.network_manager)];
    let bad = |found: String, remedy: &str| Finding::bad("modem", "lte", found, remedy);
    let Some(modem) = &networks.modem else {
        let none =
            bad("ModemManager knows none for this path".to_owned(), "`mmcli -L` lists what it knows; plug it in");
        findings.extend(networks.modem_manager.then_some(none));
        return findings;
    };
    findings.push(match (modem.state, modem.lock) {
        (ModemState::Failed, _) => {
            let why = modem.failed.as_deref().unwrap_or("unknown");
            bad(format!("cannot be used: {why}"), "put a SIM card in, or pull the modem's plug for a minute")
        }
        (_, SimLock::Pin) => {
            let tries = modem.pin_retries.map_or_else(|| "?".to_owned(), |tries| tries.to_string());
            let remedy = "write the SIM card's PIN into the file that `modem.pin_file` names";
            bad(format!("its SIM card wants a PIN, {tries} tries are left"), remedy)
        }
        (_, SimLock::Puk) => {
            bad("its SIM card wants its PUK".to_owned(), "put it into a phone and unlock it there; the hub never tries")
        }
        (_, SimLock::Other) => bad("is locked to another operator or device".to_owned(), "ask who sold it"),
        (ModemState::Disabled, _) => {
            bad("its radio is off".to_owned(), "let NetworkManager connect it: `nmcli connection up` and its profile")
        }
        (ModemState::Searching, _) => {
            bad(format!("is in no network ({})", modem.registration), "look at its antenna, and at its operator's bill")
        }
        _ => {
            let name = modem.operator.as_deref().unwrap_or("a network without a name");
            Finding::good("modem", "lte", format!("is in {name}, {}", modem.technology.unwrap_or("?")))
        }
    });
    if let Some(signal) = networks.signal.as_ref().filter(|_| network::registered(modem)) {
        let measured = modem.rsrp_dbm.map_or_else(String::new, |rsrp| format!(", RSRP {rsrp} dBm"));
        let found = format!("{} of 4 bars{measured}", signal.bars);
        findings.push(match signal.bars {
            0 | 1 => Finding::bad("signal", "lte", found, "move the antenna, a window is often enough"),
            _ => Finding::good("signal", "lte", found),
        });
    }
    findings
}

fn folders(config: &Config) -> Vec<Finding> {
    let folders = [("state_dir", &config.state_dir), ("run_dir", &config.run_dir)];
    let look = |(key, path): (&'static str, &PathBuf)| match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Finding::good(key, path.display().to_string(), "is there"),
        Ok(_) => Finding::bad(key, path.display().to_string(), "is no folder", format!("name a folder as {key}")),
        Err(error) => {
            let remedy = "make it, for the user the daemon runs as; the package does so by itself";
            Finding::bad(key, path.display().to_string(), error.to_string(), remedy)
        }
    };
    folders.map(look).to_vec()
}

/// What the journal stands on: the size of the file system's blocks and what is free on it, where it is too little.
fn ground(dir: &Path, small_blocks: Option<u64>, scarce: Option<u64>) -> Vec<Finding> {
    let on = dir.display().to_string();
    let blocks = small_blocks.map(|bytes| {
        let found = format!(
            "the file system has blocks of {bytes} bytes, so the journal is kept without a log: each commit takes longer, \
             and waits while the journal is verified"
        );
        let remedy = format!(
            "stop vaktd, copy the files elsewhere, make it anew with `mkfs.ext4 -b {BLOCK_MIN_BYTES}`, copy them back"
        );
        Finding::bad("blocks", on.as_str(), found, remedy)
    });
    let room = scarce.map(|bytes| {
        let found = format!("{} KiB are free, too little for some to be kept aside for events", bytes >> 10);
        Finding::bad("room", on.as_str(), found, "make room, `du -xh` shows what takes it, or use a larger disk")
    });
    blocks.into_iter().chain(room).collect()
}

fn clock(trust: ClockTrust, synchronized: bool) -> Option<Finding> {
    let never = "is never believed (clock.trust), so every order that needs a clock is refused";
    match trust {
        ClockTrust::Always => None,
        ClockTrust::Never => {
            Some(Finding::bad("clock", "wall clock", never, "set clock.trust to timesync unless that is meant"))
        }
        ClockTrust::Timesync if synchronized => {
            Some(Finding::good("clock", "wall clock", "was set by systemd-timesyncd"))
        }
        ClockTrust::Timesync => {
            let remedy = "let systemd-timesyncd reach a time server, or set clock.trust on a board with a clock chip";
            Some(Finding::bad("clock", "wall clock", "has not been set since the board started", remedy))
        }
    }
}

fn serial_ports(config: &Config) -> Vec<Finding> {
    let subghz = config.subghz.ports.iter().map(|port| &port.path);
    let ports = subghz.chain(config.zigbee.as_ref().map(|zigbee| &zigbee.path));
    let look = |path: &PathBuf| {
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(path);
        match opened {
            Ok(_) => Finding::good("port", path.display().to_string(), "opens"),
            Err(error) => {
                let remedy = "plug it in; `ls /dev/serial/by-id` names what is there. If it is: the daemon's user must be \
                              in the group dialout";
                Finding::bad("port", path.display().to_string(), error.to_string(), remedy)
            }
        }
    };
    let spi = |path: &PathBuf| match std::fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Finding::good("port", path.display().to_string(), "opens"),
        Err(error) => {
            let remedy = "switch SPI on (`dtparam=spi=on` in /boot/firmware/config.txt on a Raspberry Pi); the daemon's user must \
                          be in the group spi";
            Finding::bad("port", path.display().to_string(), error.to_string(), remedy)
        }
    };
    ports.map(look).chain(config.subghz.chips.iter().map(|chip| spi(&chip.spi))).collect()
}

/// Whether the program is there that a configured stick needs. Its release is said when it starts, in the log.
fn sticks_with_rtl_433(config: &Config) -> Option<Finding> {
    let first = config.subghz.rtl_433.first()?;
    let what = format!("{} for {}", rtl_433::PROGRAM, first.name);
    Some(match std::fs::metadata(rtl_433::PROGRAM) {
        Ok(_) => Finding::good("port", what, "is installed"),
        Err(error) => {
            let remedy = "`apt install rtl-433`; a stick also needs the package's sandbox opened (README, \"rtl_433\")";
            Finding::bad("port", what, error.to_string(), remedy)
        }
    })
}

/// The file with the SIM card's PIN. What stands in it is never said.
fn pin_file(file: &Path) -> Finding {
    let bad = |found: String, remedy: String| Finding::bad("pin_file", file.display().to_string(), found, remedy);
    let write = "write the SIM card's PIN into it, 4 to 8 digits and nothing else".to_owned();
    let meta = match std::fs::metadata(file) {
        Ok(meta) if meta.is_file() => meta,
        Ok(_) => return bad("is no file".to_owned(), "name a file as modem.pin_file".to_owned()),
        Err(error) => return bad(error.to_string(), "put the file there, readable by the daemon's user".to_owned()),
    };
    let others = meta.mode() & 0o077;
    if others != 0 {
        return bad(format!("others may touch it (0{others:02o})"), format!("chmod 600 {}", file.display()));
    }
    if meta.len() > PIN_FILE_MAX {
        return bad("holds more than a PIN".to_owned(), write);
    }
    match std::fs::read(file) {
        Ok(bytes) => match Pin::of(&String::from_utf8_lossy(&bytes)) {
            Pin::Digits(_) => {
                Finding::good("pin_file", file.display().to_string(), "holds a PIN, and is the owner's alone")
            }
            _ => bad("holds no PIN".to_owned(), write),
        },
        Err(error) => bad(error.to_string(), "make it readable by the daemon's user".to_owned()),
    }
}

/// Every line that is configured; none is touched.
fn pins(config: &Config) -> Vec<Finding> {
    let modem = config.modem.power_gpio.iter().map(|line| ("modem.power_gpio".to_owned(), line.as_str()));
    let look = |(of, line): (String, &str)| match board::look(&Line::from(line)) {
        Ok(found) => Finding::good("pin", format!("{of} {line}"), found),
        Err(found) => {
            let remedy = "name the line it is wired to (`gpioinfo` of the package gpiod lists them); the daemon's user must be \
                          in the group gpio";
            Finding::bad("pin", format!("{of} {line}"), found, remedy)
        }
    };
    let supply = |name: &String| match board::look_at_supply(name) {
        Ok(found) => Finding::good("supply", name, found),
        Err(found) => {
            let known = std::fs::read_dir(board::POWER_SUPPLIES).into_iter().flatten().flatten();
            let known: Vec<_> = known.map(|one| one.file_name().to_string_lossy().into_owned()).collect();
            let known = if known.is_empty() { "no supply; its driver is missing".to_owned() } else { known.join(", ") };
            Finding::bad("supply", name, found, format!("the kernel knows {known}"))
        }
    };
    let supplies = [&config.board.mains, &config.board.battery].into_iter().flatten();
    let chip = |chip: &'_ RadioChip| {
        let of = |gdo: &str| format!("subghz.chip {} {gdo}", chip.name);
        [(of("gdo0"), chip.gdo0.clone()), (of("gdo2"), chip.gdo2.clone())]
    };
    let chips: Vec<_> = config.subghz.chips.iter().flat_map(chip).collect();
    let chips = chips.iter().map(|(of, line)| (of.clone(), line.as_str()));
    modem.chain(chips).chain(config.board.lines()).map(look).chain(supplies.map(supply)).collect()
}

fn readable(file: &Path) -> Finding {
    match std::fs::File::open(file) {
        Ok(_) => Finding::good("tls", file.display().to_string(), "opens"),
        Err(error) => {
            let remedy = "put the file there, readable by the daemon's user";
            Finding::bad("tls", file.display().to_string(), error.to_string(), remedy)
        }
    }
}

/// `None`: there is none, which was told already.
fn private(key: &Path) -> Option<Finding> {
    let others = std::fs::metadata(key).ok()?.mode() & 0o077;
    Some(match others {
        0 => Finding::good("tls_key", key.display().to_string(), "is the owner's alone"),
        _ => {
            let found = format!("others may touch it (0{others:02o})");
            Finding::bad("tls_key", key.display().to_string(), found, format!("chmod 600 {}", key.display()))
        }
    })
}

fn unbound(path: &UpstreamPath) -> Finding {
    let found = "is bound to no interface, so the routing table decides and both paths may take the same cable";
    Finding::bad("path", path.name.clone(), found, "set `device` of each [[upstream.path]]")
}

fn interface(device: &str, defaults: &BTreeMap<String, u32>, paths: usize) -> Vec<Finding> {
    let folder = Path::new("/sys/class/net").join(device);
    if !folder.exists() {
        let remedy = "`ip link` lists what is there; set `device` of the [[upstream.path]], or plug the modem in";
        return vec![Finding::bad("interface", device, "is not there", remedy)];
    }
    let carrier = std::fs::read_to_string(folder.join("carrier")).unwrap_or_default();
    let mut findings = vec![match carrier.trim() {
        "1" => Finding::good("interface", device, "has its carrier"),
        _ => Finding::bad("interface", device, "has no carrier", "put the cable in, or let NetworkManager connect it"),
    }];
    let read = |of: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{of}/rp_filter")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    findings.push(reverse_path(device, read("all"), read(device)));
    findings.push(match defaults.get(device) {
        Some(metric) => Finding::good("route", device, format!("has a default route, metric {metric}")),
        None => {
            let remedy = "each path needs a default route of its own, the second with a higher metric; with \
                          NetworkManager: ipv4.route-metric";
            Finding::bad("route", device, "has no default route, so a broker elsewhere is out of its reach", remedy)
        }
    });
    // One path needs no answer that comes back another way than the kernel expects.
    findings.retain(|finding| finding.check != "rp_filter" || paths > 1);
    findings
}

/// The kernel takes the stricter of both (Documentation/networking/ip-sysctl): 1 drops what comes in where the answer
/// would not go out, which is every packet on the path that is not the default one.
fn reverse_path(device: &str, all: u8, own: u8) -> Finding {
    match all.max(own) {
        1 => {
            let found = "drops every answer on the path whose route is not the first (strict reverse-path filter)";
            let remedy = format!("sysctl -w net.ipv4.conf.{device}.rp_filter=2, and the same line below /etc/sysctl.d");
            Finding::bad("rp_filter", device, found, remedy)
        }
        mode => Finding::good("rp_filter", device, format!("is {mode}")),
    }
}

/// Two paths with equal metrics: the kernel may take either for whatever is not bound, name look-ups for one.
fn equal_metrics(paths: &[UpstreamPath], defaults: &BTreeMap<String, u32>) -> Option<Finding> {
    let metrics: Vec<(&String, &u32)> = paths
        .iter()
        .filter_map(|path| path.device.as_ref())
        .filter_map(|device| defaults.get_key_value(device))
        .collect();
    let [(first, metric), (second, other)] = metrics[..] else { return None };
    (metric == other).then(|| {
        let found = format!("both default routes have metric {metric}: which one is taken is chance");
        let remedy = "give the second a higher metric; with NetworkManager: ipv4.route-metric";
        Finding::bad("route", format!("{first}, {second}"), found, remedy)
    })
}

/// Those that can be asked through one interface: one on this board asks by the route it likes.
fn name_servers(known: &[SocketAddr]) -> Finding {
    let on = "name servers";
    if known.is_empty() {
        let found = "none is known beside this board's own, which asks by the default route alone";
        let remedy = "let the DHCP client or NetworkManager write them down, or name the brokers by address and their \
                      certificate's name in tls.name";
        return Finding::bad("names", on, found, remedy);
    }
    let list: Vec<String> = known.iter().map(|server| server.ip().to_string()).collect();
    Finding::good("names", on, format!("{} asked on each path", list.join(", ")))
}

/// The default routes of `/proc/net/route`, with the lowest metric of each interface.
fn default_routes(table: &str) -> BTreeMap<String, u32> {
    let mut defaults = BTreeMap::new();
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        // Iface Destination Gateway Flags RefCnt Use Metric Mask …
        if let [device, "00000000", _, _, _, _, metric, "00000000", ..] = columns[..]
            && let Ok(metric) = metric.parse::<u32>()
        {
            let lowest = defaults.entry(device.to_owned()).or_insert(metric);
            *lowest = metric.min(*lowest);
        }
    }
    defaults
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        eth0\t00000000\t0202000A\t0003\t0\t0\t900\t00000000\t0\t0\t0\n\
        eth0\t0002000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
        wwan0\t00000000\t0464A8C0\t0003\t0\t0\t700\t00000000\t0\t0\t0\n";

    fn path(device: Option<&str>) -> UpstreamPath {
        let device = device.map(str::to_owned);
        UpstreamPath { name: "eth".to_owned(), brokers: vec![], device, insecure_plain: false, tls: None }
    }

    #[test]
    fn default_routes_are_told_from_others() {
        let expected = [("eth0".to_owned(), 100), ("wwan0".to_owned(), 700)];
        assert_eq!(default_routes(TABLE), BTreeMap::from(expected));
        assert_eq!(default_routes("Iface\nrubbish"), BTreeMap::new());
    }

    #[test]
    fn only_the_strict_filter_is_bad() {
        for (all, own, ok) in [(0, 0, true), (1, 0, false), (0, 1, false), (1, 2, true), (2, 1, true), (2, 2, true)] {
            assert_eq!(reverse_path("wwan0", all, own).ok, ok, "{all} {own}");
        }
    }

    #[test]
    fn two_paths_need_two_routes_with_two_metrics() {
        let both = [path(Some("eth0")), path(Some("wwan0"))];
        assert_eq!(equal_metrics(&both, &default_routes(TABLE)), None);
        let equal = BTreeMap::from([("eth0".to_owned(), 100), ("wwan0".to_owned(), 100)]);
        assert!(equal_metrics(&both, &equal).is_some_and(|finding| !finding.ok));
        assert_eq!(equal_metrics(&both[..1], &equal), None);
        assert!(!unbound(&path(None)).ok);
    }

    #[test]
    fn a_board_that_knows_no_name_server_but_its_own_is_told_so() {
        assert!(!name_servers(&servers(["nameserver 127.0.0.53"])).ok);
        let found = name_servers(&servers(["nameserver 127.0.0.53\nnameserver 192.0.2.53"]));
        assert_eq!((found.ok, found.found.as_str()), (true, "192.0.2.53 asked on each path"));
    }

    #[test]
    fn ground_that_is_too_fine_or_too_full_is_told_with_what_to_do() {
        let dir = Path::new("/var/lib/vakt");
        let look = |blocks, scarce| {
            let found = ground(dir, blocks, scarce);
            found.into_iter().map(|finding| (finding.check, finding.ok)).collect::<Vec<_>>()
        };
        assert_eq!(look(None, None), []);
        assert_eq!(look(Some(1024), Some(10 << 20)), [("blocks", false), ("room", false)]);
        let told = ground(dir, Some(1024), None).remove(0);
        assert!(told.found.contains("1024 bytes") && told.remedy.unwrap().contains("mkfs.ext4 -b 4096"));
    }

    #[test]
    fn a_pin_file_holds_a_pin_for_its_owner_alone_and_it_is_never_said() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pin-of-the-card");
        assert!(!pin_file(&file).ok && !pin_file(folder.path()).ok);
        let long = "4711 ".repeat(20);
        for (text, mode, ok, found) in [
            ("4711\n", 0o600, true, "holds a PIN, and is the owner's alone"),
            ("4711", 0o640, false, "others may touch it (040)"),
            ("47110815x", 0o600, false, "holds no PIN"),
            ("471", 0o600, false, "holds no PIN"),
            (long.as_str(), 0o600, false, "holds more than a PIN"),
        ] {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let finding = pin_file(&file);
            assert_eq!((finding.ok, finding.found.as_str()), (ok, found));
            let said = format!("{}{}", finding.found, finding.remedy.as_deref().unwrap_or(""));
            assert!(!said.replace(&file.display().to_string(), "").contains("471"), "{said}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_modem_is_found_and_a_missing_service_is_no_fault() {
        use vakt_core::port::Modem;
        let bad = |networks: &Networks| {
            let bad = modem(networks, false).into_iter().filter(|finding| !finding.ok);
            bad.map(|finding| format!("{} {}", finding.check, finding.found)).collect::<Vec<_>>().join(", ")
        };
        let needed = modem(&Networks::default(), true);
        assert_eq!(
            needed.iter().filter(|finding| !finding.ok).map(|finding| &*finding.on).collect::<Vec<_>>(),
            ["ModemManager"]
        );
        let text = modem(&Networks::default(), false).iter().map(ToString::to_string).collect::<String>();
        assert!(
            text.contains("-> apt-get install modemmanager") && text.contains("-> apt-get install network-manager")
        );
        assert_eq!(bad(&Networks::default()), "");
        let manager = Networks { modem_manager: true, ..Networks::default() };
        assert_eq!(bad(&manager), "modem ModemManager knows none for this path");
        let with = |state, registration, lock, rsrp| {
            let modem =
                Modem { state, registration, lock, rsrp_dbm: Some(rsrp), pin_retries: Some(2), ..Modem::default() };
            Networks { signal: network::signal(&modem), modem: Some(modem), ..manager.clone() }
        };
        let locked = with(ModemState::Locked, "unknown", SimLock::Pin, 0);
        assert_eq!(bad(&locked), "modem its SIM card wants a PIN, 2 tries are left");
        let lost = with(ModemState::Searching, "searching", SimLock::None, 0);
        assert_eq!(bad(&lost), "modem is in no network (searching)");
        assert_eq!(bad(&with(ModemState::Connected, "home", SimLock::None, -92)), "");
        let weak = with(ModemState::Connected, "home", SimLock::None, -121);
        assert_eq!(bad(&weak), "signal 1 of 4 bars, RSRP -121 dBm");
    }

    #[test]
    fn a_bad_finding_says_what_to_do() {
        let finding = clock(ClockTrust::Timesync, false).unwrap();
        assert!(finding.to_string().starts_with("BAD  clock wall clock: has not been set"), "{finding}");
        assert!(finding.to_string().contains("\n     -> let systemd-timesyncd reach"), "{finding}");
        assert_eq!(clock(ClockTrust::Always, false), None);
    }
}
