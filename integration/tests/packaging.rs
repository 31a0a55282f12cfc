//! The package on a real systemd, in Debian 12 and 13: installed, watched, upgraded, interrupted, removed, purged.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used)] // a test that meets the unexpected should stop there

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use vakt_integration::lab::machine::Machine;
use vakt_integration::lab::machine::run;

/// The Debians that run a program built on this machine: one built on Debian 12 runs on both, one built later needs later
/// libraries. The package that is given away is built on Debian 12 (`packaging/build`).
fn suites() -> [&'static str; 2] {
    let release = std::fs::read_to_string("/etc/os-release").unwrap();
    match release.lines().any(|line| line == "VERSION_CODENAME=bookworm") {
        true => ["bookworm", "trixie"],
        false => {
            eprintln!("Debian 12 is left out: what is built on this machine does not run there");
            ["trixie"; 2]
        }
    }
}

/// The package of the program that was just built.
fn package() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let top = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let said = run(Command::new(top.join("packaging/build")).arg("here")).unwrap();
        let name = String::from_utf8(said.stderr).unwrap();
        top.join(name.lines().last().unwrap().trim())
    })
}

/// The same under another version, with what `change` makes of its maintainer scripts.
fn other(version: &str, change: &str) -> tempfile::NamedTempFile {
    let made = tempfile::Builder::new().prefix("vaktd_").suffix(".deb").tempfile().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "dpkg-deb -R {deb} {at}/d && cd {at}/d && sed -i 's/^Version: .*/Version: {version}/' DEBIAN/control &&
         sed -i 's/0\\.1\\.0/{version}/g' DEBIAN/preinst && {change} &&
         dpkg-deb -Znone --root-owner-group -b . {to}",
        deb = package().display(),
        at = folder.path().display(),
        to = made.path().display(),
    );
    run(Command::new("sh").args(["-euc", &script])).unwrap();
    made
}

/// A machine with the package installed as a program does it: nobody sees what it says.
fn installed(suite: &str) -> (Machine, String) {
    installed_by(suite, "dpkg -i vaktd.deb")
}

/// The same, as a line of shell does it.
fn installed_by(suite: &str, line: &str) -> (Machine, String) {
    let mut machine = Machine::new(suite).unwrap();
    machine.boot().unwrap();
    machine.put(package(), "/root/vaktd.deb").unwrap();
    let said = machine.ok(line).unwrap();
    machine.ok("systemctl is-active vaktd || { journalctl -u vaktd -n 20; exit 1; }").unwrap();
    (machine, said)
}

/// The claim code that was told to whoever installed.
fn claim_code(said: &str) -> String {
    let line = said.lines().find_map(|line| line.strip_prefix("claim code: "));
    line.unwrap_or_else(|| panic!("no claim code was told: {said}")).to_owned()
}

/// How many events its journal holds.
fn events(machine: &Machine) -> u64 {
    machine.ok("vaktd journal list | wc -l").unwrap().trim().parse().unwrap()
}

#[test]
fn r48_a_package_installs_into_a_hub_that_guards_and_shares_no_secret() {
    let names = suites().map(|suite| {
        let (machine, said) = installed(suite);
        assert!(said.contains("vaktd guards") && said.contains("clock"), "a person reads how it stands: {said}");
        let told = said.contains("sudo vaktd claim new") && !said.contains("claim code: ");
        assert!(told, "a pipe ends in somebody's log: {said}");
        let of = |property: &str| machine.ok(&format!("systemctl show -P {property} vaktd")).unwrap().trim().to_owned();
        assert_eq!((of("ActiveState"), of("Type"), of("User")), ("active".into(), "notify".into(), "vakt".into()));
        assert!(of("StatusText").contains("0 devices"), "{}", of("StatusText"));
        assert_eq!(of("WatchdogUSec"), "10s");
        machine.ok("systemctl is-enabled vaktd").unwrap();
        machine.ok("dpkg -V vaktd").unwrap();
        // Who is not of its group learns nothing and can ask nothing.
        let modes =
            machine.ok("stat -c '%U:%G %a' /var/lib/vakt /run/vakt /run/vakt/control.sock /etc/vakt/tls").unwrap();
        assert_eq!(modes, "vakt:vakt 700\nvakt:vakt 750\nvakt:vakt 660\nroot:vakt 750\n");
        let stranger = "runuser -u nobody -- vaktd status; test $? = 77";
        machine.ok(stranger).unwrap();
        let keys =
            machine.ok("cd /etc/vakt/tls && stat -c '%U %a' client.key page.key && sha256sum client.key page.key");
        let keys = keys.unwrap();
        assert!(keys.starts_with("vakt 400\nvakt 400\n"), "{keys}");
        // Its words are in systemd's journal, with their fields.
        machine.ok("journalctl -u vaktd -o json | grep -q '\"VAKT_GATEWAY\":\"vakt-'").unwrap();
        let limit = "systemd-analyze security --offline=true --threshold=20 vaktd.service";
        let judged = machine.sh(limit).unwrap();
        assert!(judged.0, "its sandbox is laxer than 2.0: {}", judged.1);
        let secrets = machine.ok("cat /var/lib/vakt/secrets.db* | sha256sum").unwrap();
        (machine.ok("cat /etc/vakt/vaktd.d/00-gateway.toml").unwrap(), keys, secrets)
    });
    let [one, other] = names;
    assert!(one.0 != other.0 && one.1 != other.1 && one.2 != other.2, "two installations: {one:?} {other:?}");
}

/// S8, 5.1: no two installations have the same claim code; it was told once, and stands nowhere; it works once.
#[test]
fn s8_a_claim_code_is_told_to_who_installs_stands_nowhere_and_works_once() {
    let codes = suites().map(|suite| {
        // At a terminal, as a technician does it.
        let (machine, said) = installed_by(suite, "script -qec 'dpkg -i vaktd.deb' /dev/null");
        let code = claim_code(&said);
        let looks = |for_: &str| {
            let lines = [
                format!("grep -rlsF -e {for_} / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev"),
                format!("journalctl -o export | grep -F -e {for_}"),
            ];
            lines.map(|line| machine.sh(&line).unwrap().1).concat()
        };
        for written in [code.clone(), code.replace('-', ""), code.to_lowercase()] {
            assert_eq!(looks(&written), "", "{suite}");
        }
        machine.ok(&format!("echo {code} > /var/log/seen && logger -t test {code}")).unwrap();
        let found = looks(&code);
        assert!(found.contains("/var/log/seen") && found.contains("MESSAGE="), "it would have been found: {found}");
        // Who may open the socket, and no more, draws none: else he could take a new hub from who installs it.
        let member = "setpriv --reuid=nobody --regid=vakt --clear-groups";
        let (well, said) = machine.sh(&format!("{member} vaktd claim new")).unwrap();
        assert!(!well && said.contains("not_root"), "{said}");
        let only_root = |line: &str| {
            let (well, said) = machine.sh(&format!("echo 13579 | {member} vaktd user {line}")).unwrap();
            assert!(!well && said.contains("only root makes or changes an owner"), "{line}: {said}");
        };
        only_root("set eve --role owner --with-code");
        machine.ok(&format!("echo 97531 | {member} vaktd user set ben --with-code")).unwrap();
        let claim = format!("printf '%s\\n24680\\n' {code} | {member} vaktd claim --user anna --name Anna");
        machine.ok(&claim).unwrap();
        let (well, said) = machine.sh(&claim).unwrap();
        assert!(!well && said.contains("claimed"), "{said}");
        // Nor does he take the owner's place.
        ["set anna --role owner --with-code", "set anna --with-code", "remove anna"].into_iter().for_each(only_root);
        machine.ok("echo 24680 | vaktd test-mode 1").unwrap();
        // A hub that has its owner is installed anew: no code is drawn, and nobody is told that it has none.
        let anew = "DPKG_MAINTSCRIPT_PACKAGE=vaktd script -qec '/var/lib/dpkg/info/vaktd.postinst configure' /dev/null";
        let said = machine.ok(anew).unwrap();
        assert!(
            said.contains("has its owner") && !said.contains("claim code") && !said.contains("nobody owns"),
            "{said}"
        );
        code
    });
    assert_ne!(codes[0], codes[1]);
}

/// apt keeps what packages say: under it no claim code is told, and root draws one.
#[test]
fn s8_no_claim_code_stands_in_apts_log() {
    for suite in suites() {
        let mut machine = Machine::new(suite).unwrap();
        machine.boot().unwrap();
        machine.put(package(), "/root/vaktd.deb").unwrap();
        let said = machine.ok("apt-get -y install ./vaktd.deb").unwrap();
        assert!(said.contains("vaktd claim new") && !said.contains("claim code: "), "{suite}: {said}");
        machine
            .ok("grep -q 'vaktd claim new' /var/log/apt/term.log && ! grep -q 'claim code: ' /var/log/apt/term.log")
            .unwrap();
        machine.ok("vaktd claim new | grep -q claim_code").unwrap();
    }
}

#[test]
fn a_daemon_that_hangs_or_falls_again_and_again_is_always_started_anew() {
    let (machine, _) = installed(suites()[0]);
    let pid = || machine.ok("systemctl show -P MainPID vaktd").unwrap().trim().to_owned();
    let first = pid();
    machine.ok(&format!("kill -STOP {first}")).unwrap();
    machine.until(&format!("test $(systemctl show -P MainPID vaktd) != {first} && systemctl is-active vaktd")).unwrap();
    machine.ok("journalctl -u vaktd | grep -q 'Watchdog timeout'").unwrap();
    for _ in 0..12 {
        machine.until("systemctl is-active vaktd").unwrap();
        machine.ok("systemctl kill -s KILL vaktd").unwrap();
    }
    machine.until("systemctl is-active vaktd && vaktd status").unwrap();
    machine.ok("vaktd journal verify").unwrap();
    // What no restart mends is not tried for ever: a person is told.
    machine.ok("echo 'nonsense = 1' >> /etc/vakt/vaktd.d/90-mine.toml; systemctl restart vaktd || true").unwrap();
    machine.until("test $(systemctl show -P ActiveState vaktd) = failed").unwrap();
    machine.ok("systemctl show -P ExecMainStatus vaktd | grep -qx 78").unwrap();
}

/// No process but the camera's own has GStreamer in it.
#[test]
fn only_the_cameras_process_is_linked_with_gstreamer() {
    let linked = |program: &str| {
        let program = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release")).join(program);
        String::from_utf8(run(Command::new("readelf").arg("-d").arg(program)).unwrap().stdout).unwrap()
    };
    let camera = linked("vakt-camera");
    assert!(camera.contains("[libgstreamer-1.0.so.0]"), "{camera}");
    let hub = linked("vaktd");
    assert!(hub.contains("NEEDED") && !hub.contains("libgst") && !hub.contains("libglib"), "{hub}");
}

/// What a camera sends may take over whoever reads it: that one has the hub's keys neither by its user nor in its sandbox.
#[test]
fn cameras_are_read_by_a_user_of_their_own_that_reaches_nothing_of_the_hubs() {
    for suite in suites() {
        let (machine, said) = installed(suite);
        assert!(said.contains("ok  camera GStreamer: 1."), "{suite}: who installs reads it: {said}");
        let judged = machine.sh("systemd-analyze security --offline=true --threshold=20 vakt-camera.service").unwrap();
        assert!(judged.0, "its sandbox is laxer than 2.0: {}", judged.1);
        let said = machine.sh("runuser -u vakt -- vaktd doctor").unwrap().1;
        for found in
            ["GStreamer: 1.", "gstreamer1.0-plugins-good: brings rtspsrc, ", "bad: brings h264parse, h265parse"]
        {
            assert!(said.contains(found), "{suite}: inside the sandbox all can be made: {said}");
        }
        let asked_by = machine.ok("stat -c '%U:%G %a' /run/vakt-camera/camera.sock").unwrap();
        assert_eq!(asked_by, "root:vakt 660\n");
        let pid = |unit: &str| machine.ok(&format!("systemctl show -P MainPID {unit}")).unwrap().trim().to_owned();
        let (hub, camera) = (pid("vaktd"), pid("vakt-camera"));
        let number = |of: &str| machine.ok(&format!("id {of} vakt-camera")).unwrap().trim().to_owned();
        let (user, groups) = (number("-u"), number("-G"));
        let is =
            machine.ok(&format!("grep -E '^(Uid|Groups|CapBnd|NoNewPrivs|Seccomp):' /proc/{camera}/status")).unwrap();
        let expected = format!(
            "Uid:\t{user}\t{user}\t{user}\t{user}\nGroups:\t{groups} \nCapBnd:\t{:016}\nNoNewPrivs:\t1\nSeccomp:\t2\n",
            0
        );
        assert_eq!(is, expected, "{suite}");
        assert!(groups.parse::<u32>().is_ok(), "one group, its own: {groups}");
        // By the sandbox: not even root would find them in it. By their modes: this user would not find them outside either.
        for kept in ["/var/lib/vakt/secrets.db", "/etc/vakt/tls/client.key", "/run/vakt/control.sock"] {
            machine.ok(&format!("nsenter -t {hub} -m test -e {kept} && runuser -u vakt -- test -r {kept}")).unwrap();
            let (found, _) = machine.sh(&format!("nsenter -t {camera} -m test -e {kept}")).unwrap();
            assert!(!found, "{suite}: {kept} is in its sandbox");
            let (read, _) = machine.sh(&format!("runuser -u vakt-camera -- test -r {kept}")).unwrap();
            assert!(!read, "{suite}: {kept} is open to its user");
        }
        // What is not the kernel's own for every process belongs to nobody but root there: no debugger, no dump.
        let hidden = machine.ok(&format!("stat -c %U /proc/{camera}/mem /proc/{hub}/mem")).unwrap();
        assert_eq!(hidden, "root\nvakt\n", "{suite}");
    }
}

/// What has taken it over calls nobody: it reaches the networks that cameras stand in, and nothing on the way out.
#[test]
fn cameras_process_reaches_the_sites_networks_and_no_other() {
    let (machine, _) = installed(suites()[0]);
    machine.ok("ip link set lo up && ip addr add 192.168.77.1/32 dev lo && ip addr add 203.0.113.1/32 dev lo").unwrap();
    machine.sh("vaktd doctor").unwrap();
    let inside = "echo $$ > /sys/fs/cgroup/system.slice/vakt-camera.service/cgroup.procs";
    let sent =
        |before: &str, to: &str| machine.sh(&format!("bash -c '{before}; echo hello > /dev/udp/{to}/5000'")).unwrap();
    for to in ["192.168.77.1", "203.0.113.1", "127.0.0.1"] {
        assert!(sent("true", to).0, "{to} can be reached by others");
        let (well, said) = sent(inside, to);
        assert_eq!(well, to == "192.168.77.1", "{to}: {said}");
    }
}

#[test]
fn cameras_process_comes_when_asked_goes_when_not_and_its_fall_is_nobody_elses() {
    let (machine, _) = installed(suites()[0]);
    let shown = |property: &str, unit: &str| {
        machine.ok(&format!("systemctl show -P {property} {unit}")).unwrap().trim().to_owned()
    };
    let asked = || machine.sh("vaktd doctor").unwrap().1;
    let hub = shown("MainPID", "vaktd");
    // A minute is long for a test.
    let drop_in = "/etc/systemd/system/vakt-camera.service.d";
    let shorter = "[Service]\\nExecStart=\\nExecStart=/usr/lib/vakt/vakt-camera --idle 1\\n";
    machine.ok(&format!("mkdir {drop_in} && printf '{shorter}' > {drop_in}/idle.conf")).unwrap();
    machine
        .ok("systemctl daemon-reload && systemctl stop vakt-camera.service && systemctl is-active vakt-camera.socket")
        .unwrap();
    assert!(asked().contains("ok  camera GStreamer"), "{}", asked());
    machine.until("test $(systemctl show -P ActiveState vakt-camera) = inactive").unwrap();
    assert_eq!((shown("Result", "vakt-camera"), shown("NRestarts", "vakt-camera")), ("success".into(), "0".into()));
    machine.ok(&format!("rm -r {drop_in} && systemctl daemon-reload")).unwrap();
    // A plugin that is gone is told with its package; one that has come is found.
    let parsers = "/usr/lib/*/gstreamer-1.0/libgstvideoparsersbad.so";
    machine.ok(&format!("mv {parsers} /root")).unwrap();
    let said = asked();
    assert!(said.contains("h264parse, h265parse cannot be made"), "{said}");
    assert!(said.contains("-> apt-get install gstreamer1.0-plugins-bad"), "{said}");
    machine.ok("mv /root/libgstvideoparsersbad.so /usr/lib/*/gstreamer-1.0/").unwrap();
    assert!(asked().contains("brings h264parse, h265parse"), "{}", asked());
    // It falls; whoever asks next is answered by another, and the hub has not noticed.
    for _ in 0..8 {
        let camera = shown("MainPID", "vakt-camera");
        machine.ok(&format!("kill -KILL {camera}")).unwrap();
        machine.until(&format!("test $(systemctl show -P MainPID vakt-camera) != {camera}")).unwrap();
        assert!(asked().contains("ok  camera GStreamer"), "{}", asked());
    }
    assert_eq!((shown("MainPID", "vaktd"), shown("NRestarts", "vaktd")), (hub, "0".into()));
    machine.ok("vaktd status && vaktd journal verify").unwrap();
}

#[test]
fn b21_r87_the_supply_is_told_from_inside_the_sandbox_and_after_its_end_all_is_as_before() {
    let (mut machine, _) = installed(suites()[0]);
    // Laid over the kernel's own. Unlike that, it is seen by no sandbox that was made before.
    let wired = "mount --bind /srv/supply /sys/class/power_supply && systemctl restart vaktd";
    let battery = |machine: &Machine, status: &str, percent: u8| {
        machine.ok(&format!("cd /srv/supply/battery && echo {percent} > capacity && echo {status} > status")).unwrap();
    };
    machine.ok("mkdir -p /srv/supply/battery").unwrap();
    battery(&machine, "Full", 100);
    let board =
        "[board]\nbattery = \"battery\"\n[[board.input]]\nname = \"lid\"\nline = \"GPIO17\"\nwatches = \"lid\"\n";
    machine.ok(&format!("printf '{board}' > /etc/vakt/vaktd.d/50-board.toml && {wired}")).unwrap();
    machine.until("vaktd status | grep -q '\"battery_percent\":100'").unwrap();
    // This machine has no such line: that is told, by the hub and by whoever looks, and nothing else is lost by it.
    let has = |machine: &Machine, what: &str| machine.until(&format!("vaktd journal list | grep {what}")).unwrap();
    assert!(has(&machine, "fault_raised").contains("\"device\":\"hub-lid\""));
    let (well, said) = machine.sh("runuser -u vakt -- vaktd doctor").unwrap();
    assert!(!well && said.contains("pin board.input lid GPIO17") && said.contains("ok  supply battery"), "{said}");
    machine.ok("vaktd area set house --exit 0 && echo 24680 | vaktd user set anna --role owner --with-code").unwrap();
    machine.ok("echo 24680 | vaktd arm house || echo 24680 | vaktd arm house").unwrap();
    battery(&machine, "Discharging", 64);
    has(&machine, "mains_lost");
    battery(&machine, "Discharging", 18);
    has(&machine, "hub_battery_low");
    battery(&machine, "Discharging", 3);
    has(&machine, "last_breath");
    machine.cut();
    machine.boot().unwrap();
    battery(&machine, "Charging", 41);
    machine.ok(wired).unwrap();
    has(&machine, "hub_battery_well");
    has(&machine, "mains_back");
    let status = machine.ok("vaktd status").unwrap();
    assert!(status.contains("\"arm\":\"armed_away\"") && status.contains("\"mains\":true"), "{status}");
    machine.ok("vaktd journal verify").unwrap();
}

#[test]
fn r90_an_upgrade_keeps_data_and_settings_and_waits_while_the_house_is_armed() {
    for suite in suites() {
        let (machine, _) = installed(suite);
        machine.put(other("0.1.1", "true").path(), "/root/newer.deb").unwrap();
        machine
            .ok("sed -i 's/^profile = .*/profile = \"dk\"/' /etc/vakt/vaktd.toml && systemctl restart vaktd")
            .unwrap();
        machine
            .ok("vaktd area set house --exit 0 && echo 24680 | vaktd user set anna --role owner --with-code")
            .unwrap();
        machine.ok("echo 24680 | vaktd arm house || echo 24680 | vaktd arm house").unwrap();
        let before = events(&machine);
        let (well, said) = machine.sh("dpkg -i newer.deb").unwrap();
        assert!(!well && said.contains("house is armed"), "{said}");
        machine.ok("systemctl is-active vaktd && dpkg -s vaktd | grep -qx 'Version: 0.1.0'").unwrap();
        machine.ok("echo 24680 | vaktd disarm house").unwrap();
        machine
            .ok("dpkg -i newer.deb && systemctl is-active vaktd && dpkg -s vaktd | grep -qx 'Version: 0.1.1'")
            .unwrap();
        assert!(events(&machine) > before, "{suite}: the journal goes on");
        machine.ok("vaktd journal verify && grep -qx 'profile = \"dk\"' /etc/vakt/vaktd.toml").unwrap();
        machine.ok("vaktd status | grep -q '\"house\"'").unwrap();
        let (well, said) = machine.sh("dpkg -i vaktd.deb").unwrap();
        assert!(!well && said.contains("this downgrade is refused"), "{said}");
        machine.ok("systemctl is-active vaktd && dpkg -s vaktd | grep -qx 'Version: 0.1.1'").unwrap();
    }
}

/// The power goes at each step of an upgrade: afterwards the old one or the new one runs, and the upgrade can be ended.
#[test]
fn r90_an_upgrade_cut_short_at_any_step_boots_the_old_or_the_new() {
    let fall = "kill -9 $(ps -o ppid= -p $$)";
    let begin = |script: &str| format!("sed -i '2i {fall}' DEBIAN/{script}");
    let end = |script: &str| format!("printf '{fall}\\n' >> DEBIAN/{script}");
    for step in [begin("preinst"), end("preinst"), begin("postinst"), end("postinst")] {
        let (mut machine, _) = installed(suites()[0]);
        let before = events(&machine);
        machine.put(other("0.1.1", &step).path(), "/root/falls.deb").unwrap();
        machine.put(other("0.1.2", "true").path(), "/root/whole.deb").unwrap();
        let (well, said) = machine.sh("dpkg -i falls.deb").unwrap();
        assert!(!well, "it was cut short: {step}: {said}");
        machine.ok("sync").unwrap();
        machine.cut();
        machine.boot().unwrap();
        machine.until("systemctl is-active vaktd && vaktd status").unwrap();
        assert!(events(&machine) > before, "{step}");
        machine.ok("dpkg -i whole.deb && systemctl is-active vaktd && vaktd journal verify").unwrap();
    }
}

#[test]
fn removing_keeps_what_the_hub_knows_and_purging_takes_all_of_it() {
    let (machine, _) = installed("trixie");
    machine.ok("vaktd area set house").unwrap();
    let name = machine.ok("cat /etc/vakt/vaktd.d/00-gateway.toml").unwrap();
    machine.ok("dpkg -r vaktd && ! systemctl is-active vaktd && test -e /var/lib/vakt/journal.db").unwrap();
    machine.ok("dpkg -i vaktd.deb && vaktd status | grep -q '\"house\"'").unwrap();
    assert_eq!(machine.ok("cat /etc/vakt/vaktd.d/00-gateway.toml").unwrap(), name);
    machine.ok("dpkg -P vaktd && ! test -e /var/lib/vakt && ! test -e /etc/vakt").unwrap();
    let left =
        machine.ok("find / -xdev -path /proc -prune -o -name '*vakt*' -print | grep -v '^/root/\\|^/var/lib/dpkg'");
    assert!(left.is_err(), "nothing of it is left: {left:?}");
}

/// S14: what the operator's key has not signed is not installed, nor what was changed on its way; what it has signed is,
/// by itself, and not while the house is armed.
#[test]
fn r90_updates_come_from_a_signed_repository_and_from_nowhere_else() {
    let (machine, _) = installed(suites()[0]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let gpg_home = at("gnupg");
    let make = format!(
        "mkdir -m 700 {home} && gpg --batch --quiet --passphrase '' --quick-generate-key lab@vakt.invalid ed25519 sign 1d",
        home = gpg_home.display(),
    );
    let with_key = |command: &mut Command| run(command.env("GNUPGHOME", &gpg_home)).unwrap();
    with_key(Command::new("sh").args(["-euc", &make]));
    let repo = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/repo");
    with_key(Command::new(repo).arg(at("apt")).arg("lab@vakt.invalid").arg(other("0.1.1", "true").path()));
    run(Command::new("cp").arg("-a").arg(at("apt")).arg(machine.root().join("srv/apt"))).unwrap();
    let source = "Types: deb\\nURIs: file:/srv/apt\\nSuites: bookworm\\nComponents: main\\nSigned-By: /srv/key.gpg\\n";
    let line = format!("rm -f /etc/apt/sources.list* ; printf '{source}' > /etc/apt/sources.list.d/vakt.sources");
    machine.ok(&line).unwrap();
    let newest = "apt-get -qq update && apt-cache policy vaktd | grep -q 'Candidate: 0.1.1'";
    // Without the operator's key, and with another's.
    assert!(!machine.sh(newest).unwrap().0, "an unknown key is believed");
    machine.ok("cp /srv/apt/vakt.gpg /srv/key.gpg").unwrap();
    machine.ok(newest).unwrap();
    // While it guards: apt is told so before anything is unpacked.
    machine.ok("vaktd area set house --exit 0 && echo 24680 | vaktd user set anna --role owner --with-code").unwrap();
    machine.ok("echo 24680 | vaktd arm house || echo 24680 | vaktd arm house").unwrap();
    let (well, said) = machine.sh("apt-get -y -qq install vaktd").unwrap();
    assert!(!well && said.contains("house is armed"), "{said}");
    machine.ok("echo 24680 | vaktd disarm house").unwrap();
    // One byte changed on its way.
    machine.ok("cd /srv/apt/pool/main/v/vaktd && cp vaktd_0.1.1_*.deb /root/good.deb").unwrap();
    machine
        .ok("cd /srv/apt/pool/main/v/vaktd && printf x | dd of=$(echo vaktd_0.1.1_*.deb) bs=1 seek=5000 conv=notrunc")
        .unwrap();
    let (well, said) = machine.sh("apt-get -y -qq install vaktd").unwrap();
    assert!(!well && said.contains("Hash Sum mismatch"), "{said}");
    machine.ok("cp /root/good.deb $(echo /srv/apt/pool/main/v/vaktd/vaktd_0.1.1_*.deb)").unwrap();
    machine.ok("apt-get -y -qq install vaktd && dpkg -s vaktd | grep -qx 'Version: 0.1.1'").unwrap();
    machine.ok("systemctl is-active vaktd && vaktd journal verify").unwrap();
}
