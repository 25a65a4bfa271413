#!/usr/bin/env bash
# An arm64 Debian on this machine, under qemu: a device of the true architecture for test_arm64.py.
#
#   arm64.sh why         say what is missing here; says nothing and ends with 0 where all is there
#   arm64.sh make        make the root in $FCNSHIP_ARM64, or leave a whole one alone (3 minutes, 300 MB)
#   arm64.sh serve PORT AUTHORIZED_KEYS HOST_KEY   run its sshd in the foreground, on the loopback
#
# $FCNSHIP_ARM64 is a folder that may be kept between runs: root/ is the device, qemu-aarch64 what runs it.
# Packages come from where this machine's own apt and pip get theirs. Needs root: chroot and binfmt_misc.
set -euo pipefail

folder=${FCNSHIP_ARM64:?name a folder for the arm64 Debian}
here=$(cd "$(dirname "$0")" && pwd)
# ONNX Runtime 1.31 crashes under Debian 12's qemu 7.2, and works under the 10.0 of its backports.
least_qemu=8
name=fcnship-aarch64
formats=/proc/sys/fs/binfmt_misc
root=$folder/root
mounted=

why() {
    if [ "$(id -u)" != 0 ]; then echo "needs root, for chroot and binfmt_misc"; return 1; fi
    local tool
    for tool in mmdebstrap unshare chroot; do
        if ! command -v $tool >/dev/null; then echo "there is no $tool here (apt install mmdebstrap)"; return 1; fi
    done
    if ! grep -q binfmt_misc /proc/filesystems; then echo "this kernel has no binfmt_misc"; return 1; fi
}

codename() { (. /etc/os-release && echo "${VERSION_CODENAME:?}"); }

# The files that say where this machine gets its own release from.
sources() { grep -l -s -w "$(codename)" /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; }

version_of() { "$1" --version 2>/dev/null | sed -n 's/.* version \([0-9]*\).*/\1/p;q'; }

# The first qemu that is new enough: a kept one, the system's, one from Debian's backports.
find_qemu() {
    local candidate version
    for candidate in "$folder/qemu-aarch64" /usr/bin/qemu-aarch64-static /usr/bin/qemu-aarch64; do
        [ -x "$candidate" ] || continue
        version=$(version_of "$candidate")
        if [ "${version:-0}" -ge $least_qemu ] && ! interpreted "$candidate"; then
            cmp -s "$candidate" "$folder/qemu-aarch64" || cp "$candidate" "$folder/qemu-aarch64"
            return
        fi
    done
    download_qemu
}

# Within a chroot only a static program can run.
interpreted() { LC_ALL=C grep -q -a -m1 /ld-linux "$1"; }

# From the system's own sources with the suite changed, beside the system's lists: nothing here is changed.
download_qemu() {
    local apt=$folder/apt file
    rm -rf "$apt" && mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/cache/archives/partial"
    for file in $(sources); do
        sed -E "s/\b$(codename)(-updates|-security)?\b/$(codename)-backports/g" "$file" >"$apt/sources/own-$(basename "$file")"
    done
    local options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/sources"
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache")
    # A source without backports (the security archive has none) only warns; the package decides.
    apt-get "${options[@]}" -qq update || true
    # Since qemu 9.2 the static programs are those of qemu-user; the qemu-user-static of old has links to them.
    (cd "$apt" && apt-get "${options[@]}" -qq download "qemu-user/$(codename)-backports")
    dpkg-deb --fsys-tarfile "$apt"/qemu-user_*.deb | tar -xO ./usr/bin/qemu-aarch64 >"$folder/qemu-new"
    chmod 0755 "$folder/qemu-new" && mv "$folder/qemu-new" "$folder/qemu-aarch64"
    rm -rf "$apt"
}

# The kernel starts arm64 programs with our qemu; F: it is opened now, so that a chroot needs no copy of it.
register() {
    if ! mountpoint -q $formats; then mount -t binfmt_misc binfmt_misc $formats && mounted=yes; fi
    [ ! -e $formats/$name ] || echo -1 >$formats/$name
    local magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf ':%s:M::%s:%s:%s:OCF' $name "$magic" "$mask" "$folder/qemu-aarch64" >$formats/register
}

unregister() {
    [ ! -e $formats/$name ] || echo -1 >$formats/$name
    [ -z "$mounted" ] || umount $formats
}

make_root() {
    mkdir -p "$folder"
    exec 9>"$folder/lock"
    flock 9 # whoever asks while it is made waits for it
    [ ! -e "$root/etc/fcnship-whole" ] || return 0
    find_qemu
    register
    trap unregister EXIT
    rm -rf "$root" "$folder/root-new"
    mmdebstrap --quiet --architectures=arm64 --variant=minbase --mode=root --skip=check/qemu \
        --include=python3,python3-numpy,openssh-server \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$(codename)" "$folder/root-new" $(sources)
    add_onnxruntime "$folder/root-new"
    touch "$folder/root-new/etc/fcnship-whole"
    mv "$folder/root-new" "$root"
}

# The device's own ONNX Runtime, as somebody would have put it there: the wheel of its architecture.
add_onnxruntime() {
    local python wheels=$folder/wheels
    python=$(chroot "$1" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    rm -rf "$wheels"
    python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version "$python" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --constraint "$here/../../constraints.txt" \
        --dest "$wheels" onnxruntime
    python3 -m zipfile -e "$wheels"/onnxruntime-*.whl "$1/usr/lib/python3/dist-packages"
    chroot "$1" python3 -c 'import onnxruntime; print("onnxruntime", onnxruntime.__version__)'
    rm -rf "$wheels"
}

# In a mount and process namespace of its own: all of it goes when this process is ended.
serve() {
    register
    trap unregister EXIT
    install -D -m 0600 "$2" "$root/root/.ssh/authorized_keys"
    install -D -m 0600 "$3" "$root/etc/fcnship-host-key"
    unshare --mount --pid --fork --kill-child=KILL --mount-proc="$root/proc" -- bash -c '
        mount --rbind /dev "$1/dev"
        mkdir -p "$1/run/sshd"
        exec chroot "$1" /usr/sbin/sshd -D -e -f /dev/null -h /etc/fcnship-host-key -p "$2" \
            -o ListenAddress=127.0.0.1 -o PidFile=none -o StrictModes=no -o PasswordAuthentication=no \
            -o PermitRootLogin=prohibit-password' serve "$root" "$1" &
    # unshare itself heeds no other signal; with it goes the first process of the namespace, and so all of them.
    trap 'kill -KILL $! 2>/dev/null; wait; unregister' EXIT
    trap 'exit 0' TERM INT HUP
    wait $!
}

case ${1:-} in
    why) why ;;
    make) why && make_root ;;
    serve) serve "$2" "$3" "$4" ;;
    *) sed -n '2,9s/^# \?//p' "$0"; exit 2 ;;
esac
