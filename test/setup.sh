# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash

# What test/run and other scripts share; bash sources it. It fetches what a bare
# Debian 12 lacks, and builds. All but packages is written to build/.
#
# nginx is never installed: Debian's package would start a service. Its files
# are unpacked to build/deb and run from there.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
build=${WM_BUILD:-$root/build}

# Packages to install, by purpose; none of them brings a service.
# shellcheck disable=SC2034
{
    build_packages=(gcc libc6-dev meson ninja-build pkg-config python3)
    # what nginx and its Lua module are linked with
    nginx_packages=(libcrypt1 libgcc-s1 libluajit2-5.1-2 libpcre2-8-0 libpcre3
        libssl3 zlib1g)
    test_packages=(abigail-tools clang-16 clang-format-16 clang-tidy-16 doxygen
        g++ groff-base libcli11-dev libclang-rt-16-dev libcmocka-dev
        liburcu-dev lua-check luajit2 make nlohmann-json3-dev python3-pytest
        python3-pytest-xdist relacy-dev scdoc spin valgrind)
    bench_packages=(g++ libbenchmark-dev liburcu-dev wrk)
    plot_packages=(gnuplot-nox)
    chaos_packages=(g++ libcli11-dev nlohmann-json3-dev)
    arm64_packages=(clang-16 lld-16 qemu-user)
    systems_packages=(gcc-12-multilib libc6-dev-i386 musl-tools)
}

say() {
    printf 'setup: %s\n' "$*" >&2
}

fail() {
    printf 'setup: error: %s\n' "$*" >&2
    exit 1
}

# answer USAGE OPTIONS ARGUMENT...: ends the script with its usage for --help,
# or with an error if an argument is none of the options. Each has a value, but
# those that are given with a mark, as --quick!.
answer() {
    local usage=$1 options=" $2 "
    shift 2
    if [[ ${1-} == --help ]]; then
        printf '%s\n' "$usage"
        exit
    fi
    while (($#)); do
        [[ $options != *" $1! "* ]] || {
            shift
            continue
        }
        [[ $options == *" $1 "* ]] || fail "$1 is no option; see $0 --help"
        (($# > 1)) || fail "$1 wants a value; see $0 --help"
        shift 2
    done
}

# --- commands and signals -----------------------------------------------------

# A command runs in a process group of its own while the shell only waits, so
# that a signal is answered at once: it ends the command, then the script. A
# package manager that is changing the system is waited for instead.
patient=

run() {
    set -m
    "$@" </dev/null &
    set +m
    wait "$!"
}

with_output_to() {
    "${@:2}" >"$1" 2>&1
}

# Runs a command with its output in a file, which a failure shows.
quietly() {
    run with_output_to "$@" || {
        cat "$1" >&2
        fail "failed: ${*:2}"
    }
}

stop() {
    local group
    trap '' INT TERM HUP
    for group in $(jobs -p); do
        if [[ $patient ]]; then
            say "interrupted; the package manager ends first"
            wait "$group"
            continue
        fi
        kill -TERM -- "-$group"
        timeout 3 sh -c 'while kill -0 "-$1"; do sleep 0.05; done' - "$group"
        kill -KILL -- "-$group"
    done 2>/dev/null
    echo "interrupted" >&2
    exit $((128 + $1))
}

# --- preparation --------------------------------------------------------------

# Comes first: puts temporary files and caches of all that follows into build/.
prepare() {
    [[ $root != *[\;?]* ]] ||
        fail "Lua cannot load from a path with ; or ? in it: $root"
    mkdir -p "$build/tmp" 2>/dev/null
    [[ -w $build && -w $build/tmp ]] || fail "cannot write to $build"
    export TMPDIR=${WM_TMPDIR:-$build/tmp}
    export WM_BUILD=$build
    export PYTHONPATH=$root/test/support
    export PYTHONPYCACHEPREFIX=$build/tmp/pycache
    export CCACHE_DIR=$build/tmp/ccache
    trap 'stop 1' HUP
    trap 'stop 2' INT
    trap 'stop 15' TERM
}

# One at a time may fetch to a build directory or build in it.
lock() {
    mkdir -p "$1"
    exec {lock_fd}>"$1/.lock"
    flock -n "$lock_fd" || {
        say "waiting for another run that is at work in $1"
        run flock "$lock_fd"
    }
}

unlock() {
    exec {lock_fd}>&-
}

# Two runs wait for each other: apt-get itself waits for dpkg's lock alone.
apt() {
    flock /var/lib/apt/lists env -u TMPDIR DEBIAN_FRONTEND=noninteractive \
        NEEDRESTART_SUSPEND=1 LC_ALL=C apt-get -qq \
        -o DPkg::Lock::Timeout=120 "$@"
}

# own_apt DIR LINE...: from here on apt keeps all in the directory, knows nothing
# that is installed, and has these lines of configuration as well.
own_apt() {
    export APT_CONFIG=$1/apt.conf
    mkdir -p "$1"
    : >"$1/status"
    printf '%s;\n' 'APT::Sandbox::User "root"' "Dir::Cache \"$1/cache\"" \
        "Dir::State \"$1\"" "Dir::State::status \"$1/status\"" \
        "${@:2}" >"$APT_CONFIG"
}

updated=
update() {
    [[ ! $updated ]] || return 0
    updated=1
    say "fetching package lists"
    run apt update || fail "apt-get update failed"
}

# Sets `missing` to what is not installed of these packages.
lacking() {
    local package here
    here=$(dpkg-query -W -f '${db:Status-Abbrev}${Package} ' "$@" 2>/dev/null)
    missing=()
    for package; do
        [[ $here == *"i $package "* ]] || missing+=("$package")
    done
}

# Installs it.
need() {
    lacking "$@"
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || fail "not root, and these packages are missing:" \
        "${missing[*]}"
    update
    say "installing ${missing[*]}"
    patient=1
    # --no-remove: rather fail than take something away.
    quietly "$build/tmp/install.log" apt install -y --no-install-recommends \
        --no-remove -o Dpkg::Use-Pty=0 "${missing[@]}"
    patient=
}

# download DIR PACKAGE...
download() {
    run with_output_to "$build/tmp/download.log" env -C "$1" -u TMPDIR \
        LC_ALL=C apt-get -qq -o APT::Sandbox::User=root download "${@:2}"
}

# unpack DIR PACKAGE...: once. The directory gets its name when it is whole.
unpack() {
    local dir=$1 new=$1.new file
    shift
    [[ ! -e $dir/.complete ]] || return 0
    say "unpacking $*"
    rm -rf -- "$new"
    mkdir -p "$new/files"
    download "$new" "$@" ||
        { ((EUID == 0)) && update && download "$new" "$@"; } || {
        cat "$build/tmp/download.log" >&2
        fail "cannot download $* (does apt-get update help? this wants" \
            "Debian 12)"
    }
    for file in "$new"/*.deb; do
        run dpkg-deb -x "$file" "$new/files" || fail "cannot unpack $file"
        basename -- "$file" >>"$new/files/.complete"
    done
    rm -rf -- "$dir"
    mv -- "$new/files" "$dir"
    rm -rf -- "$new"
}

# Unpacks nginx to build/deb.
unpack_nginx() {
    unpack "$build/deb" nginx nginx-common libnginx-mod-http-lua \
        libnginx-mod-http-ndk lua-resty-core lua-resty-lrucache
    if ldd "$build/deb/usr/sbin/nginx" "$build"/deb/usr/lib/nginx/modules/*.so |
        grep 'not found' >&2; then
        fail "nginx lacks a library"
    fi
}

# --- building -----------------------------------------------------------------

# Whether the directory was set up whole, for this source tree.
configured() {
    [[ -e $1/build.ninja ]] &&
        grep -qsF "\"source\": \"$root\"" "$1/meson-info/meson-info.json"
}

# configure DIR [OPTION...]: sets up a build directory, or changes its options.
configure() {
    local dir=$1
    shift
    if ! configured "$dir"; then
        rm -rf -- "$dir"/meson-* "$dir/build.ninja"
        mkdir -p "$dir"
        quietly "$dir/setup.log" meson setup "$@" "$dir" "$root"
    elif [[ $# -gt 0 && $* != "$(cat "$dir/.options" 2>/dev/null)" ]]; then
        quietly "$dir/setup.log" \
            meson setup --reconfigure "$@" "$dir" "$root"
    fi
    [[ $# -eq 0 ]] || echo "$*" >"$dir/.options"
}

# offer DIR FILE OPTION: sets the directory up with Meson's defaults, or anew
# with the option if nothing there builds the file: its packages may be new.
offer() {
    configured "$1" || configure "$1"
    grep -q "^build $2:" "$1/build.ninja" ||
        quietly "$1/setup.log" meson setup --reconfigure "$3" "$1" "$root"
}

# compile DIR [TARGET...]
compile() {
    local dir=$1
    shift
    say "building in $dir"
    quietly "$dir/compile.log" meson compile -C "$dir" "$@"
}

# test_on DIR OPTION... -- ARGUMENT...: builds for the machine that `describe`
# writes to Meson, and runs the tests: all, or those that the arguments choose.
test_on() {
    local dir=$1 options=()
    while shift && [[ $1 != -- ]]; do
        options+=("$1")
    done
    shift
    # A file that is written anew makes Meson configure anew.
    describe >"$dir/machine.new"
    cmp -s "$dir/machine.new" "$dir/machine.ini" ||
        cp "$dir/machine.new" "$dir/machine.ini"
    configure "$dir" --cross-file "$dir/machine.ini" -Dtests=enabled \
        -Dwerror=true -Ddebug=false -Dbench=disabled -Dlua=disabled \
        -Dtools=disabled "${options[@]}"
    compile "$dir"
    unlock
    ulimit -c 0
    (($#)) || set -- --suite unit --suite hostile --suite stress
    exec meson test -C "$dir" --no-rebuild --print-errorlogs \
        --timeout-multiplier 4 "$@"
}
