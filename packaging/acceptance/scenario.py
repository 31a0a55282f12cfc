"""What the daemon makes of its pins: a lid, a button, a wired door, a siren, a sounder, a lamp, the mains, and its keys as
systemd's credentials. Inputs are pulled at from outside, outputs are read there.
"""

import json
import time

from acceptance.said import check, say

# Lines of the simulated chip; 15 is the charger's, see board.dtso.
LID, BUTTON, DOOR, SIREN, SOUNDER, LAMP, MAINS = 6, 7, 8, 9, 10, 11, 15
CODE = "24680"


def config(chip):
    pin = lambda table, name, line, rest: f'[[board.{table}]]\nname = "{name}"\nline = "{chip}:{line}"\n{rest}\n'
    return "\n".join([
        '[board]\nmains = "charger"\n',
        pin("input", "lid", LID, 'watches = "lid"\npull = "none"'),
        pin("input", "button", BUTTON, 'watches = "sos"\nactive = "low"\npull = "up"'),
        pin("input", "door", DOOR, 'watches = "contact"\npull = "none"'),
        pin("output", "siren", SIREN, 'drives = "siren"'),
        pin("output", "sounder", SOUNDER, 'drives = "sounder"'),
        pin("output", "lamp", LAMP, 'drives = "lamp"'),
    ])


class Journal:
    """What is in it since it was last looked at."""

    def __init__(self, board):
        self.board, self.seen, self.kept = board, 0, []
        self.events()

    def events(self):
        lines = self.board.ok("vaktd journal list").splitlines()
        fresh, self.seen = lines[self.seen:], len(lines)
        kept, self.kept = self.kept, []
        return kept + [json.loads(line) for line in fresh]

    def wait(self, seconds=240, **wanted):
        """The first event of this type, device and so on."""
        end = time.monotonic() + seconds
        while True:
            events = self.events()
            for at, event in enumerate(events):
                if all(event.get(key, event["detail"].get(key)) == value for key, value in wanted.items()):
                    self.kept = events[at + 1:]
                    return event
            if time.monotonic() > end:
                return None
            time.sleep(0.5)


# One process, so that no other has to be started between up and down; of Perl only what each Debian has.
PULSE = """perl -e 'my ($line, $seconds) = @ARGV;
    sub pull { open(my $file, ">", $line) or die "$line: $!"; print $file $_[0]; close($file) or die "$line: $!"; }
    sub now { open(my $file, "<", "/proc/uptime") or die $!; return (split " ", <$file>)[0]; }
    my $began = now(); pull("pull-up"); select(undef, undef, undef, $seconds); pull("pull-down");
    printf("%.2f", now() - $began);'""".replace("\n", " ")


def pulse(board, line, seconds):
    """Up and down again, timed in the machine; how long it was at most, because emulation may be slow."""
    return float(board.ok(f"{PULSE} /sys/devices/platform/gpiosim/{board.chip}/sim_gpio{line}/pull {seconds}"))


def short_pulse(board, journal, line, seconds, most):
    """What the journal says of a pulse that was no longer than `most`."""
    for _ in range(10):
        lasted = pulse(board, line, seconds)
        time.sleep(2)
        said = [event for event in journal.events() if event.get("device") == "hub-lid"]
        if lasted < most:
            return lasted, said
        time.sleep(5)
        journal.events()
    raise RuntimeError(f"this machine cannot do a pulse of less than {most} s")


def levels(board, line, times=12):
    return {board.level(line) for _ in range(times)}


def wait_level(board, line, level, seconds=120):
    end = time.monotonic() + seconds
    while board.level(line) != level:
        if time.monotonic() > end:
            return False
    return True


def scenario(board):
    board.pull(LID, False)
    board.pull(DOOR, False)
    board.pull(BUTTON, False)
    board.pull(MAINS, True)
    # A stick that answers nothing would keep the house from being armed.
    board.ok("rm /etc/vakt/vaktd.d/50-stick.toml")
    board.write("/etc/vakt/vaktd.d/60-board.toml", config(board.chip))
    journal = Journal(board)
    board.ok("systemctl restart vaktd")
    lid = journal.wait(type="device_added", device="hub-lid")
    check("R87: what is wired is known when it first speaks", lid is not None)
    check("an input has the resistor that was asked for", board.level(BUTTON) == 1)
    said = [json.loads(line) for line in board.sh("runuser -u vakt -- vaktd doctor --json")[1].splitlines()
            if line.startswith("{")]
    pins = [finding for finding in said if finding["check"] in ("pin", "supply")]
    check("the doctor finds the lines the daemon's, and the mains", len(pins) == 7 and all(p["ok"] for p in pins),
          json.dumps(pins))

    journal.events()
    lasted, short = short_pulse(board, journal, LID, 0.05, 0.25)
    pulse(board, LID, 0.45)
    long = journal.wait(type="alarm_raised", device="hub-lid", kind="tamper")
    check("R87: what is gone in a moment is nothing, what lasts 450 ms is sabotage", not short and long is not None,
          f"{lasted} s: {json.dumps(short)}")
    check("its code is the hub's own", long is not None and long["cid"] == {"code": 137, "q": 1})
    check("and it ends by itself", journal.wait(type="alarm_restored", device="hub-lid") is not None)

    board.ok(f"vaktd area set house --exit 0 && echo {CODE} | vaktd user set anna --role owner --with-code && "
             "vaktd zone set hall --area house --role perimeter && vaktd device assign hub-door hall")
    board.ok("vaktd siren chirp")
    check("a chirp of the siren is confirmed", journal.wait(type="command_confirmed") is not None)
    board.ok(f"echo {CODE} | vaktd arm house")
    check("nothing sounds while nothing happens", levels(board, SIREN) == {0})
    board.pull(DOOR, True)
    began = time.monotonic()
    loud = wait_level(board, SIREN, 1)
    say(f"      wired door to siren {time.monotonic() - began:.2f} s, emulated, 0.3 s of it the filter")
    check("B9: a wired door that opens in an armed house sounds the siren and the sounder",
          loud and board.level(SOUNDER) == 1)
    board.ok("systemctl kill -s KILL vaktd")
    check("a siren that fell with its daemon sounds again with the next", wait_level(board, SIREN, 1))
    board.ok(f"for i in $(seq 60); do vaktd status >/dev/null && break; sleep 0.5; done; echo {CODE} | vaktd disarm house")
    check("and is silent when somebody disarms", wait_level(board, SIREN, 0))
    board.pull(DOOR, False)

    journal.events()
    board.pull(BUTTON, False)
    check("a wired button calls for help", journal.wait(type="alarm_raised", kind="sos", device="hub-button") is not None)
    board.pull(BUTTON, True)

    check("the lamp is steady while the hub is well", levels(board, LAMP) == {1})
    board.pull(MAINS, False)
    check("B21: mains lost is told", journal.wait(type="mains_lost") is not None)
    check("and the lamp blinks", levels(board, LAMP, 40) == {0, 1})
    board.pull(MAINS, True)
    check("B21: mains back is told", journal.wait(type="mains_back") is not None)
    credentials(board)


def credentials(board):
    """The client's key as an encrypted credential: the daemon reads it where systemd lays it, and nobody else does."""
    board.write("/etc/systemd/system/vaktd.service.d/key.conf",
                "[Service]\nLoadCredentialEncrypted=client.key:/etc/vakt/tls/client.key.cred\n"
                "ExecStartPre=/bin/sh -c 'head -c 27 /run/credentials/vaktd.service/client.key > /run/vakt/key'\n")
    board.ok("systemd-creds encrypt --name=client.key /etc/vakt/tls/client.key /etc/vakt/tls/client.key.cred && "
             "systemctl daemon-reload && systemctl restart vaktd")
    check("a key can be kept as systemd's encrypted credential", board.ok("cat /run/vakt/key").startswith("-----BEGIN"))
    status = board.sh("runuser -u nobody -- cat /run/credentials/vaktd.service/client.key")[0]
    check("which nobody else reads", status != 0)
    board.ok("rm -r /etc/systemd/system/vaktd.service.d; systemctl daemon-reload; systemctl restart vaktd")
