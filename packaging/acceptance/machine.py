"""The emulated board, spoken to over its serial line."""

import atexit
import os
import re
import subprocess
import time

# The device tree that is made for a board holds its processors and its memory.
SHAPE = ["-cpu", "cortex-a57", "-smp", "2", "-m", "768"]
VIRT = "virt,gic-version=3"
# What is waited for comes in its time on a machine that does nothing else; on a busy one it may take this much longer.
PATIENCE = 6


class Machine:
    """The emulated board, spoken to over its serial line."""

    def __init__(self, vmlinuz, initrd, disk, log=None, acks=None, dtb=None):
        drive = ["-drive", f"file={disk},if=none,id=d,format=raw,cache=writeback"]
        device = ["-device", "virtio-blk-pci,drive=d"]
        if log:
            drive = ["-blockdev", f"driver=file,node-name=f0,filename={disk}",
                     "-blockdev", "driver=raw,node-name=r0,file=f0",
                     "-blockdev", f"driver=file,node-name=lf,filename={log}",
                     "-blockdev", "driver=blklogwrites,node-name=lw,file=r0,log=lf,log-sector-size=512,"
                                  "log-super-update-interval=1"]
            device = ["-device", "virtio-blk-pci,drive=lw,write-cache=on"]
        out = ["-device", "virtio-serial-pci", "-chardev", f"file,id=ack,path={acks}", "-device",
               "virtserialport,chardev=ack,name=ack"] if acks else []
        tree = ["-dtb", dtb] if dtb else []
        began = time.monotonic()
        self.process = subprocess.Popen(
            ["qemu-system-aarch64", "-M", VIRT, *SHAPE, "-accel", "tcg,thread=multi", "-nographic", "-nodefaults",
             "-serial", "stdio", "-kernel", vmlinuz, "-initrd", initrd, *tree,
             "-append", "console=ttyAMA0 root=/dev/vda rw quiet systemd.show_status=no", *drive, *device, *out, "-no-reboot"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        # It does not end with this program by itself, not even when a check could not be made.
        atexit.register(self.process.kill)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.text = ""
        self.wait_for(r"root@[^\n]*# ", 240)
        self.boot_s = time.monotonic() - began
        self.sh("stty -echo; PS1=; bind 'set enable-bracketed-paste off' 2>/dev/null; dmesg -n 1")

    def wait_for(self, pattern, seconds):
        end = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < end:
            read = self.process.stdout.read()
            if read:
                self.text += read.decode("utf-8", "replace")
                found = re.search(pattern, self.text)
                if found:
                    before, self.text = self.text[: found.start()], self.text[found.end():]
                    return before, found
            elif self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"no {pattern!r} within {seconds * PATIENCE} s; the machine said: {self.text[-2000:]}")

    def sh(self, line, seconds=120):
        """Runs a line; its exit status and all it said."""
        self.process.stdin.write((line + '; echo "ZQ""1Z $?"\n').encode())
        self.process.stdin.flush()
        said, found = self.wait_for(r"ZQ1Z (\d+)\r?\n", seconds)
        return int(found.group(1)), said.replace("\r", "").strip()

    def ok(self, line, seconds=120):
        status, said = self.sh(line, seconds)
        if status:
            raise RuntimeError(f"{line!r} ended with {status}: {said}")
        return said

    def cut(self):
        self.process.kill()
        self.process.wait()
