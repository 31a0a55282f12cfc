"""Roots, kernels and disks of the emulated board. What takes long is kept in the cache; nothing there is ever changed."""

import glob
import os
import shutil
import subprocess

from acceptance.said import run, say

CACHE = os.environ.get("VAKT_CACHE", os.path.expanduser("~/.cache/vakt"))
PACKAGES = "systemd,systemd-sysv,udev,dbus,kmod,iproute2,procps,libsystemd0,adduser,login,passwd,gpiod,socat,libgstreamer1.0-0"
MODULES = ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_console", "ext4"]


def need():
    wanted = {"qemu-system-aarch64": "qemu-system-arm", "qemu-aarch64-static": "qemu-user-static",
              "mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "cpio": "cpio", "mke2fs": "e2fsprogs",
              "modprobe": "kmod", "dtc": "device-tree-compiler"}
    missing = [package for tool, package in wanted.items() if not shutil.which(tool)]
    if missing:
        say("installing:", *missing)
        run("apt-get", "update", "-qq", stdout=subprocess.DEVNULL)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, stdout=subprocess.DEVNULL,
            env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))


def emulation():
    """Programs of the other architecture run here, for as long as this machine is up."""
    misc = "/proc/sys/fs/binfmt_misc"
    if not os.path.exists(f"{misc}/register"):
        run("mount", "-t", "binfmt_misc", "binfmt_misc", misc)
    if not os.path.exists(f"{misc}/qemu-aarch64"):
        with open("/usr/lib/binfmt.d/qemu-aarch64.conf", "rb") as rule, open(f"{misc}/register", "wb") as register:
            register.write(rule.read().strip())


def debian(suite):
    root = f"{CACHE}/arm64-{suite}-2"
    if not os.path.exists(f"{root}/made"):
        say(f"making an arm64 Debian ({suite}), emulated; some minutes, once")
        shutil.rmtree(root, ignore_errors=True)
        run("mmdebstrap", "--quiet", "--variant=minbase", "--architectures=arm64", "--mode=root",
            '--aptopt=Acquire::Retries "5"', f"--include={PACKAGES}", suite, root)
        open(f"{root}/made", "w").close()
    return root


class Kernel:
    """A kernel's files and busybox, laid out and never configured: no program of theirs runs here."""

    def __init__(self, suite, package="linux-image-cloud-arm64"):
        self.tree = f"{CACHE}/arm64-kernel-{suite}-1"
        if not os.path.exists(f"{self.tree}/made"):
            say(f"fetching a kernel ({suite})")
            shutil.rmtree(self.tree, ignore_errors=True)
            # Nothing of sid is installed, so a mirror of it that has stood still for a while is good enough.
            run("mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64", "--mode=root",
                '--aptopt=Acquire::Retries "5"', '--aptopt=Acquire::Check-Valid-Until "false"',
                f"--include={package},busybox-static", suite, self.tree)
            open(f"{self.tree}/made", "w").close()
        # Under /usr since Debian 13, and since 7.2 the kernel itself lies beside its modules.
        self.modules = (glob.glob(f"{self.tree}/lib/modules/*") or glob.glob(f"{self.tree}/usr/lib/modules/*"))[0]
        self.version = os.path.basename(self.modules)
        self.vmlinuz = (glob.glob(f"{self.tree}/boot/vmlinuz-*") or [f"{self.modules}/vmlinuz"])[0]

    def initramfs(self, folder):
        """Just enough to find the disk."""
        base = self.modules[: self.modules.rindex("/lib/modules/")]
        run("depmod", "-b", base, self.version)
        files = []
        for name in MODULES:
            said = run("modprobe", "-d", base, "-S", self.version, "--show-depends", name, capture_output=True, text=True)
            for line in said.stdout.splitlines():
                if line.startswith("insmod ") and line.split()[1] not in files:
                    files.append(line.split()[1])
        init = f"{folder}/init"
        os.makedirs(f"{init}/m")
        for place in ("bin", "proc", "dev", "sys", "new"):
            os.makedirs(f"{init}/{place}")
        paths = (f"{self.tree}/bin/busybox", f"{self.tree}/usr/bin/busybox")
        shutil.copy(next(path for path in paths if os.path.exists(path)), f"{init}/bin/busybox")
        lines = []
        for number, file in enumerate(files):
            name = f"{number:02}-{os.path.basename(file)}"
            shutil.copy(file, f"{init}/m/{name}")
            lines.append(f"/bin/busybox insmod /m/{name}" if not name.endswith(".xz")
                         else f"/bin/busybox xzcat /m/{name} > /k.ko && /bin/busybox insmod /k.ko")
        script = "#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev\n/bin/busybox mount -t proc proc /proc\n"
        script += "\n".join(lines)
        script += "\n/bin/busybox mount -t ext4 /dev/vda /new\nexec /bin/busybox switch_root /new /sbin/init\n"
        with open(f"{init}/init", "w") as to:
            to.write(script)
        os.chmod(f"{init}/init", 0o755)
        run("sh", "-c", f"cd {init} && find . | cpio --quiet -o -H newc | gzip -1 > {folder}/initramfs.gz")
        return f"{folder}/initramfs.gz"


def image(folder, root, kernel, package, programs):
    """A disk with this Debian, its kernel's modules, the package in root's folder, and programs: path to text."""
    tree = f"{folder}/root"
    run("cp", "-a", root, tree)
    aside = shutil.ignore_patterns("dtb", "vmlinuz", "build", "source")
    shutil.copytree(kernel.modules, f"{tree}/lib/modules/{kernel.version}", symlinks=True, ignore=aside)
    shutil.copy(package, f"{tree}/root/vaktd.deb")
    with open(f"{tree}/etc/fstab", "w") as fstab:
        fstab.write("/dev/vda / ext4 defaults 0 1\n")
    run("sed", "-i", "s/^root:[^:]*:/root::/", f"{tree}/etc/shadow")
    auto = f"{tree}/etc/systemd/system/serial-getty@ttyAMA0.service.d"
    os.makedirs(auto)
    with open(f"{auto}/auto.conf", "w") as unit:
        unit.write("[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I vt220\n")
    for path, text in programs.items():
        with open(f"{tree}{path}", "w") as to:
            to.write(text)
        os.chmod(f"{tree}{path}", 0o755)
    disk = f"{folder}/disk.img"
    run("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", tree, disk, "1500M", stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return disk
