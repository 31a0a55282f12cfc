# What demo, test and bench share: installing what is missing on a bare Debian, and building once.
# It is sourced, from the repository's root.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

updated=
install_packages() {
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "not a Debian: please install what these packages hold: $*"
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        die "missing: $*. Installing needs root: run this as root, or install sudo, or: apt-get install $*"
    fi
    say "installing: $*"
    if [ -z "$updated" ]; then as_root apt-get update -qq >&2; updated=yes; fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# need COMMAND PACKAGE ...: each command that is missing brings its package.
need() {
    local missing=()
    while [ $# -gt 0 ]; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    install_packages "${missing[@]}"
}

newer_or_same() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# A cargo of at least the workspace's rust-version; Debian's own where there is none.
need_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    [ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
    found=$(cargo --version 2>/dev/null | awk '{print $2}')
    if [ -z "$found" ] || ! newer_or_same "$wanted" "$found"; then
        say "cargo is ${found:-missing}, $wanted is needed"
        install_packages cargo-web rustc-web ca-certificates
        # The one that was too old may stand before Debian's.
        PATH="/usr/bin:$PATH"
        hash -r
        found=$(cargo --version | awk '{print $2}')
        newer_or_same "$wanted" "$found" || die "cargo is $found after installing cargo-web; $wanted is needed"
    fi
    need cc gcc pkg-config pkg-config
    cc -x c -E - </dev/null >/dev/null 2>&1 && [ -e /usr/include/stdio.h ] || install_packages libc6-dev
}

# The C libraries that the daemon and the camera's process are linked with.
need_libraries() {
    local missing=()
    pkg-config --exists libsystemd || missing+=(libsystemd-dev)
    pkg-config --exists gstreamer-1.0 || missing+=(libgstreamer1.0-dev)
    install_packages "${missing[@]}"
}

# A Python that can make virtual environments with pip, for the independent Zigbee host.
need_python_venv() {
    need python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
}
