"""The package on the emulated board: it installs, guards, is sandboxed, and is started anew when it hangs."""

import os
import time

from acceptance.said import check, say


def install(machine, package):
    said = machine.ok("dpkg -i vaktd.deb", 180)
    check("the arm64 package installs and says how the board stands", "vaktd guards" in said)
    show = lambda of: machine.ok(f"systemctl show -P {of} vaktd")
    check("it is active, of type notify, with its line of status", show("ActiveState") == "active", show("StatusText"))
    ready = int(show("ActiveEnterTimestampMonotonic")) - int(show("ExecMainStartTimestampMonotonic"))
    say(f"      start to ready {ready / 1e6:.2f} s, emulated")
    time.sleep(5)
    rss = machine.ok("grep VmRSS /proc/$(systemctl show -P MainPID vaktd)/status").split()[1]
    say(f"      RSS {int(rss) / 1024:.1f} MiB")
    installed = machine.ok("dpkg-query -W -f '${Installed-Size}' vaktd")
    say(f"      package {os.path.getsize(package) / 2**20:.1f} MiB, installed {int(installed) / 1024:.1f} MiB")
    status, said = machine.sh("systemd-analyze security --offline=true --threshold=20 vaktd.service | tail -n 1")
    check("its sandbox is 2.0 or stricter", status == 0, said)
    pid = show("MainPID")
    machine.ok(f"test {pid} -gt 1 && kill -STOP {pid}")
    machine.ok(f"for i in $(seq 60); do p=$(systemctl show -P MainPID vaktd); test $p != {pid} && test $p != 0 && "
               "systemctl is-active -q vaktd && break; sleep 1; done; systemctl is-active vaktd", 120)
    check("a daemon that hangs is killed and started anew", show("MainPID") not in (pid, "0"))
    status, said = machine.sh("vaktd doctor --json")
    check("the doctor looks at this board", '"check":"clock"' in said)
    check("the package's files are whole", machine.sh("dpkg -V vaktd")[0] == 0)
