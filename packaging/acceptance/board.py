"""The board's devices: what udev calls them, who may open them, and that the daemon in its sandbox can open these alone.

Lines are simulated by the kernel (gpio-sim), the SPI bus is made of four of them, and sticks are gadgets on a simulated USB
host. No chip answers bit by bit.
"""

import base64
import json
import os
import re
import time

from acceptance.disks import Kernel, image
from acceptance.machine import SHAPE, VIRT, Machine
from acceptance.said import check, run, say
from acceptance.scenario import scenario

HERE = os.path.dirname(os.path.abspath(__file__))
SIMULATED = "/sys/devices/platform/gpiosim"
# Lines 0 to 3 are the SPI's, 15 is the charger's; see board.dtso.
SPI_IN, MAINS = 2, 15
ZBT_2 = ("Nabu Casa", "ZBT-2", "A0B1C2D3E4F5")
ZBDONGLE_E = ("ITEAD", "SONOFF Zigbee 3.0 USB Dongle Plus V2", "20240101000000")
# What a Zigbee host says first, by the ASH specification: cancels, then a reset, its checksum and a flag.
ASH_RESET = "c0 38 bc"
CONFIG = '[zigbee]\npath = "/dev/vakt/zigbee"\n'


class Board(Machine):
    """The machine with lines."""

    def find_lines(self):
        self.chip = self.ok(f"basename {SIMULATED}/gpiochip*")
        if not re.fullmatch(r"gpiochip\d+", self.chip):
            raise RuntimeError(f"one simulated chip is expected, not {self.chip}")

    def pull(self, line, up):
        """What is outside pulls this line up or down."""
        self.ok(f"echo pull-{'up' if up else 'down'} > {SIMULATED}/{self.chip}/sim_gpio{line}/pull")

    def level(self, line):
        """What a meter on this line would show."""
        return int(self.ok(f"cat {SIMULATED}/{self.chip}/sim_gpio{line}/value"))

    def probe(self, what, before=""):
        """What probe.pl says of each device, by its name."""
        said = self.ok(f"{before} probe {what}")
        return dict(line.split(": ", 1) for line in said.splitlines())

    def write(self, path, text):
        text = base64.b64encode(text.encode()).decode()
        self.ok(f"mkdir -p {os.path.dirname(path)} && echo {text} | base64 -d > {path}")


def device_tree(folder):
    """qemu's own, with the board's devices laid over it."""
    plain, over, whole = (f"{folder}/{name}" for name in ("plain.dtb", "board.dtbo", "board.dtb"))
    run("qemu-system-aarch64", "-M", f"{VIRT},dumpdtb={plain}", *SHAPE, "-nographic", "-nodefaults", capture_output=True)
    run("dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", over, f"{HERE}/board.dtso")
    run("fdtoverlay", "-i", plain, "-o", whole, over)
    return whole


def lines(board):
    """That the simulation itself is to be believed: without it nothing below could fail."""
    read = lambda line: board.probe(f"in /dev/{board.chip} {line}")[f"/dev/{board.chip}"]
    seen = []
    for up in (True, False, True):
        board.pull(4, up)
        seen.append((read(4), board.level(4)))
    check("what pulls at a line is read from it", seen == [("1", 1), ("0", 0), ("1", 1)], str(seen))
    seen = []
    for level in (1, 0):
        board.ok(f"probe hold /dev/{board.chip} 5 {level} > /run/held & for i in $(seq 50); do grep -q . /run/held "
                 "&& break; sleep 0.1; done; grep -q holds /run/held")
        seen.append(board.level(5))
        board.ok("kill %%; wait; true")
    check("what a program sets a line to is seen outside", seen == [1, 0], str(seen))
    seen = []
    for up in (True, False):
        board.pull(MAINS, up)
        seen.append(board.ok("cat /sys/class/power_supply/charger/online"))
    check("a charger shows whether there is mains", seen == ["1", "0"], str(seen))


def rights(board):
    said = board.ok("stat -c '%G %a %n' /dev/spidev0.0 /dev/gpiochip*").splitlines()
    wrong = [line for line in said if not line.startswith("spi 660 " if "spidev" in line else "gpio 660 ")]
    check("the SPI is the group spi's, and the lines are the group gpio's", not wrong, "; ".join(wrong or said))
    say("      " + board.ok("grep -E 'spi|gpio|tty(S|A|U)' /proc/devices | tr -s ' \\n' ' '"))


def greeted(board):
    """The daemon's first word, as it comes out at the stick's far end."""
    listen = "heard=; IFS= LC_ALL=C read -r -t 60 -d '~' heard < /dev/ttyGS0; printf %s \"$heard\" | od -An -tx1"
    heard = board.sh(listen, 90)[1]
    return heard.endswith(ASH_RESET), heard[-len(ASH_RESET):] or board.ok("journalctl -u vaktd -o cat -n 1")


def plug(board, stick):
    by_id = f"/dev/serial/by-id/usb-{stick[0]}_{stick[1]}_{stick[2]}-if00".replace(" ", "_")
    board.ok("stick in '%s' '%s' '%s'" % stick)
    board.ok(f"udevadm wait -t 60 {by_id}", 90)
    return by_id


def sticks(board):
    board.write("/etc/vakt/vaktd.d/50-stick.toml", CONFIG)
    board.ok("systemctl restart vaktd")
    for stick in (ZBT_2, ZBDONGLE_E):
        by_id = plug(board, stick)
        said = board.sh(f"readlink -f {by_id} /dev/vakt/zigbee; stat -L -c '%G %a' /dev/vakt/zigbee")[1].split()
        check(f"a {stick[1]} gets the hub's own name", said == ["/dev/ttyACM0", "/dev/ttyACM0", "dialout", "660"],
              " ".join(said))
        # The unit's DeviceAllow holds only what the kernel knew when the daemon began.
        check("the daemon opens it, though it was plugged in later", *greeted(board))
        if stick is ZBT_2:
            board.ok("stick out; udevadm wait -t 60 --removed /dev/ttyACM0", 90)
            check("its name goes with it", board.sh("ls /dev/vakt/zigbee")[0] != 0)


def sandbox(board):
    chip = f"/dev/{board.chip}"
    # By its file's rights anybody may; the class is none of the daemon's.
    board.ok("chmod 666 /dev/vda")
    what = f"spi /dev/spidev0.0 in {chip} 4 open /dev/vakt/zigbee open /dev/ttyGS0 open /dev/vda"
    outside = board.probe(what, "runuser -u vakt --")
    board.write("/etc/systemd/system/vaktd.service.d/probe.conf",
                f"[Service]\nExecStartPre=/bin/sh -c 'probe {what} > /run/vakt/probe'\n"
                "ExecStartPre=-/bin/sh -c 'vaktd doctor --json > /run/vakt/doctor'\n")
    seen = []
    for up in (True, False):
        board.pull(SPI_IN, up)
        board.pull(4, up)
        board.ok("systemctl daemon-reload; systemctl restart vaktd")
        said = dict(line.split(": ", 1) for line in board.ok("cat /run/vakt/probe").splitlines())
        seen.append((said.get("/dev/spidev0.0"), said.get(chip)))
    check("in the unit's sandbox the user vakt reads the SPI and a line", seen == [("ff", "1"), ("00", "0")], str(seen))
    check("and opens the stick", said.get("/dev/vakt/zigbee") == "opens", said.get("/dev/vakt/zigbee"))
    for device in ("/dev/vda", "/dev/ttyGS0"):
        check(f"{device}, which it could open outside, is refused there",
              outside.get(device) == "opens" and said.get(device) == "Operation not permitted",
              f"outside: {outside.get(device)}; inside: {said.get(device)}")
    found = [json.loads(line) for line in board.ok("cat /run/vakt/doctor").splitlines() if line.startswith("{")]
    port = [finding for finding in found if finding["check"] == "port"]
    check("the doctor says there that the port opens", [p["ok"] for p in port] == [True], json.dumps(port))
    board.ok("chmod 660 /dev/vda; rm -r /etc/systemd/system/vaktd.service.d; systemctl daemon-reload; systemctl restart vaktd")


def board(folder, root, package):
    kernel = Kernel("sid", "linux-image-arm64")
    programs = {f"/usr/local/bin/{name}": open(f"{HERE}/{file}").read()
                for name, file in (("probe", "probe.pl"), ("stick", "stick.sh"))}
    disk = image(folder, root, kernel, package, programs)
    board = Board(kernel.vmlinuz, kernel.initramfs(folder), disk, dtb=device_tree(folder))
    say(f"      power to prompt {board.boot_s:.1f} s, emulated, Linux {kernel.version}")
    board.ok("modprobe -a gpio-sim spi-gpio gpio-charger; udevadm wait -t 180 /dev/spidev0.0; udevadm settle -t 180", 400)
    board.ok("dpkg -i vaktd.deb", 180)
    board.ok("udevadm settle -t 180", 200)
    board.find_lines()
    lines(board)
    rights(board)
    sticks(board)
    sandbox(board)
    try:
        scenario(board)
    except RuntimeError:
        say(board.sh("journalctl -u vaktd -o short-monotonic -n 40")[1])
        raise
    board.cut()
