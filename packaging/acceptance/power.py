"""A hundred power cuts: from qemu's record of each write and each flush, disks are made as a cut may have left them."""

import glob
import json
import os
import random
import re
import shutil
import struct
import subprocess
import tempfile
import time

from acceptance.machine import Machine
from acceptance.said import check, run, say

IMAGES = int(os.environ.get("VAKT_CRASH_IMAGES", "120"))
SEED = int(os.environ.get("VAKT_SEED", "20261121"))
TRAFFIC_S = 40
# One order after the other; each that is answered as journaled is told to the outside.
TRAFFIC = """#!/bin/bash
n=0
while n=$((n + 1)); do
    printf '{"command":"area_set","area":"house","entry_s":%d,"exit_s":30}\\n' $((n % 40))
    read -r answer || exit
    case $answer in *'"journaled":true'*) echo . > "$1" ;; esac
done
"""


def entries(log):
    """Where each entry of qemu's record begins: (offset of the data, sector, sectors, flags). dm-log-writes' format."""
    with open(log, "rb") as record:
        magic, _version, count, size = struct.unpack("<QQQL", record.read(28))
        if magic != 0x6A736677736872:
            raise RuntimeError("this is no record of writes")
        at, found = size, []
        for _ in range(count):
            record.seek(at)
            sector, sectors, flags, _length = struct.unpack("<QQQQ", record.read(32))
            at += size
            found.append((at, sector, sectors, flags))
            if not flags & 4:
                at += sectors * size
    return found, size


FLUSH, FUA, DISCARD = 1, 2, 4


def crash(folder, log, all_entries, size, upto, base, obeyed, dice):
    """A disk as a power cut after `upto` entries may have left it: what was flushed is there, of the rest any half."""
    # A name of its own: a loop device may still remember what another file of that name held.
    disk = tempfile.mktemp(prefix="crash-", suffix=".img", dir=folder)
    run("cp", "--reflink=auto", "--sparse=always", base, disk)
    flushed = 0
    if obeyed:
        flushed = max((at + 1 for at in range(upto) if all_entries[at][3] & FLUSH), default=0)
    with open(log, "rb") as record, open(disk, "r+b") as to:
        for at, (offset, sector, sectors, flags) in enumerate(all_entries[:upto]):
            kept = at < flushed or (obeyed and flags & FUA) or dice.random() < 0.5
            if sectors and kept and not flags & DISCARD:
                record.seek(offset)
                to.seek(sector * size)
                to.write(record.read(sectors * size))
    return disk


def judge(folder, disk, acked, vaktd):
    """Whether the journal on this disk opens, verifies, and holds all that was acknowledged; what is wrong, else None."""
    mount = f"{folder}/mnt"
    os.makedirs(mount, exist_ok=True)
    try:
        run("mount", "-o", "loop", disk, mount, stderr=subprocess.DEVNULL)
    except subprocess.CalledProcessError:
        return "the file system does not mount"
    try:
        state = f"{folder}/state"
        shutil.rmtree(state, ignore_errors=True)
        os.makedirs(state)
        for name in glob.glob(f"{mount}/var/lib/vakt/journal.db*"):
            shutil.copy(name, state)
    except OSError as error:
        return f"its journal cannot be read: {error}"
    finally:
        run("umount", mount)
    if not os.path.exists(f"{state}/journal.db"):
        return "there is no journal"
    verified = subprocess.run([vaktd, "journal", "verify", "--db", f"{state}/journal.db"], capture_output=True, text=True)
    if verified.returncode:
        return verified.stderr.strip().splitlines()[-1] if verified.stderr.strip() else "it does not verify"
    seq = json.loads(verified.stdout)["head"]["seq"]
    return None if seq >= acked else f"{acked - seq} acknowledged events are lost"


def power(folder, vmlinuz, initrd, disk, vaktd):
    """A hundred power cuts under event traffic."""
    base, log, acks = f"{folder}/base.img", f"{folder}/writes.log", f"{folder}/acks"
    run("cp", "--reflink=auto", "--sparse=always", disk, base)
    with open(log, "wb") as to:
        to.truncate(16 << 30)
    machine = Machine(vmlinuz, initrd, disk, log=log, acks=acks)
    machine.ok("for i in $(seq 100); do systemctl is-active -q vaktd && break; sleep 0.2; done; systemctl is-active vaktd")
    # Each answer says that its event is on disk; that is told to the outside past this machine's own disk.
    machine.ok("port=$(ls /dev/vport*p1 | head -n 1); vaktd journal list | tail -n 1 | "
               "sed 's/.*\"seq\":\\([0-9]*\\).*/head \\1/' > $port")
    machine.ok("setsid socat UNIX-CONNECT:/run/vakt/control.sock EXEC:\"/root/traffic $port\" >/dev/null 2>&1 & true")
    samples = []
    end = time.monotonic() + TRAFFIC_S
    while time.monotonic() < end:
        time.sleep(0.05)
        # First what was acknowledged, then what had been written: never the other way.
        text = open(acks).read()
        with open(log, "rb") as record:
            count = struct.unpack("<QQQL", record.read(28))[2]
        head = re.search(r"head (\d+)", text)
        if head:
            samples.append((int(head.group(1)) + text.count("."), count))
    machine.cut()
    all_entries, size = entries(log)
    acked = samples[-1][0] - samples[0][0]
    say(f"      {acked} events acknowledged in {TRAFFIC_S} s, {len(all_entries)} writes and flushes recorded")
    dice = random.Random(SEED)
    chosen = sorted(dice.sample(range(len(samples)), min(IMAGES, len(samples))))
    for obeyed, what in ((True, "flushes obeyed"), (False, "flushes ignored")):
        bad = []
        some = chosen if obeyed else chosen[:: max(1, len(chosen) // 30)]
        for sample in some:
            acknowledged, written = samples[sample]
            made = crash(folder, log, all_entries, size, written, base, obeyed, dice)
            wrong = judge(folder, made, acknowledged, vaktd)
            os.remove(made)
            if wrong:
                bad.append(wrong)
        if obeyed:
            check(f"{len(some)} power cuts lose nothing that was acknowledged (seed {SEED})", not bad, "; ".join(bad[:3]))
        else:
            check(f"of {len(some)} cuts with the flushes ignored most lose something", len(bad) * 2 > len(some),
                  f"{len(bad)} do, such as: {bad[0] if bad else ''}")
