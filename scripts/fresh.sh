#!/bin/bash
# The two commands where nothing is installed: a bare Debian 12 in a folder, a clone inside, ./dev up, a login and a
# request, ./dev test --quick, ./dev down. Nothing of the outer machine gets in but its packages' sources: the apt
# configuration, its certificates and proxy settings are copied at run time.
# usage: scripts/fresh.sh   (root; CW_FRESH_DIR: where; kept with CW_FRESH_KEEP=1)
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || fail "a chroot needs root" "sudo ./dev test fresh"
[ -z "$(git -C "$CW_ROOT" status --porcelain)" ] || say "note: only what is committed is tested"

base=${CW_FRESH_DIR:-$(mktemp -d /var/tmp/cw-fresh-XXXXXX)}
root=$base/root
begun=$SECONDS
minute() { printf '%d:%02d' $(((SECONDS - begun) / 60)) $(((SECONDS - begun) % 60)); }

# What runs inside: found by its root folder, not by name.
pids_inside() {
    local pid
    for pid in $(find /proc -maxdepth 1 -regex '/proc/[0-9]+' -printf '%f\n'); do
        if [ "$(readlink "/proc/$pid/root" 2> /dev/null)" = "$root" ]; then echo "$pid"; fi
    done
}

cleanup() {
    local pid
    for pid in $(pids_inside); do kill -9 "$pid" 2> /dev/null || true; done # it would hold the mounts
    for m in dev/pts dev/shm dev proc sys; do umount -l "$root/$m" 2> /dev/null || true; done
    if [ -z "${CW_FRESH_KEEP:-}" ] && ! grep -q " $root/" /proc/mounts; then rm -rf --one-file-system "$base"; fi
}
trap cleanup EXIT

step "Debian 12, minbase (about a minute)"
source_of() { { cat /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2> /dev/null || true; } | sed -nE "$1" | sed -n 1p; }
mirror=$(source_of 's/^URIs: *([^ ]+).*/\1/p; s/^deb (\[[^]]*\] )?([^ ]+) .*/\2/p')
[ -n "$mirror" ] || fail "no package source is found in /etc/apt/sources.list or sources.list.d/debian.sources" "name one there"
mkdir -p "$root"
retry 3 debootstrap --variant=minbase bookworm "$root" "$mirror" > "$base/debootstrap.log" 2>&1 || {
    tail -5 "$base/debootstrap.log" >&2
    fail "debootstrap" "check /etc/apt/sources.list and the network"
}

# How this machine reaches its package sources.
cp /etc/resolv.conf "$root/etc/resolv.conf" 2> /dev/null || true
for f in /etc/apt/apt.conf.d/*; do
    if grep -qiE 'proxy|verify-peer|cainfo' "$f"; then cp "$f" "$root/etc/apt/apt.conf.d/"; fi
done
cat > "$root/etc/apt/sources.list" <<END
deb $mirror bookworm main
deb $mirror bookworm-updates main
END
security=$(source_of 's/^URIs: *([^ ]*security[^ ]*).*/\1/p; s/^deb (\[[^]]*\] )?([^ ]*security[^ ]*) .*/\2/p')
[ -z "$security" ] || echo "deb $security bookworm-security main" >> "$root/etc/apt/sources.list"
mkdir -p "$root/usr/local/share/ca-certificates"
cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2> /dev/null || true
[ ! -e "$HOME/.npmrc" ] || cp "$HOME/.npmrc" "$root/root/.npmrc"

for m in proc sys dev dev/pts dev/shm; do
    mkdir -p "$root/$m"
    mount --bind "/$m" "$root/$m"
done

step "the clone ($(minute))"
git clone -q --no-hardlinks "$CW_ROOT" "$root/srv/clinicwave-gate"

# Ports of its own, since a chroot shares the outer machine's.
settings=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CW_PORT_BASE="${CW_PORT_BASE:-20000}" TERM=dumb)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || settings+=("$name=${!name}")
done
# Certificates that were added here by hand, beside Debian's own.
if [ -n "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r "$NODE_EXTRA_CA_CERTS" ]; then
    cp "$NODE_EXTRA_CA_CERTS" "$root/srv/extra-ca.pem"
    settings+=(NODE_EXTRA_CA_CERTS=/srv/extra-ca.pem)
fi
inside() { chroot "$root" /usr/bin/env -i "${settings[@]}" /bin/bash -c "cd /srv/clinicwave-gate && $1" < /dev/null; }

step "./dev up ($(minute))"
inside "./dev up" || fail "./dev up in a bare Debian" "read the step that failed above; CW_FRESH_KEEP=1 keeps the folder"
up=$(minute)

step "a login and a request, by curl ($(minute))"
inside "scripts/smoke.sh" || fail "a login and a request in a bare Debian" "read above"

step "./dev status, a second ./dev up, ./dev logs ($(minute))"
inside "./dev status" || fail "./dev status in a bare Debian" "read above"
inside "./dev up" > "$base/again.log" || { cat "$base/again.log"; fail "a second ./dev up in a bare Debian" "read above"; }
[ "$(grep -c ': unchanged, runs as process' "$base/again.log")" = 5 ] && ! grep -q 'ready after' "$base/again.log" || {
    cat "$base/again.log"
    fail "a second ./dev up did not leave alone what had not changed" "read above"
}
[ -n "$(inside "./dev logs gateway -n 1")" ] || fail "./dev logs gateway says nothing in a bare Debian" "read above"

step "./dev test --quick ($(minute))"
inside "./dev test --quick" || fail "./dev test --quick in a bare Debian" "read above"

step "./dev compile-commands, ./dev coverage of one test ($(minute))"
inside "./dev compile-commands" || fail "./dev compile-commands in a bare Debian" "read above"
inside "python3 - << 'END'
import json, os, subprocess
entries = {e['file']: e for e in json.load(open('compile_commands.json'))}
assert len(entries) > 100 and all(map(os.path.exists, entries))
one = entries['sidecar/handle/wire.c']  # includes what is generated
subprocess.run([*one['arguments'], '-MF', '/dev/null', '-fsyntax-only'], cwd=one['directory'], check=True)
END" || fail "./dev compile-commands names what does not exist or does not compile" "look into compile_commands.json"
inside "./dev coverage //tests/unit/common/base:str_test" > "$base/coverage.log" 2>&1 && grep -qE '^ +common/base +[1-9][0-9]* of ' "$base/coverage.log" || {
    cat "$base/coverage.log"
    fail "./dev coverage in a bare Debian" "read above"
}

step "./dev down ($(minute))"
inside "./dev down"
! inside "./dev status" || fail "./dev status is content after ./dev down" "read above"
inside "bazel shutdown" || true
for _ in $(seq 20); do # Bazel's server takes a moment
    pid=$(pids_inside)
    [ -n "$pid" ] || break
    sleep 1
done
[ -z "$pid" ] || { ps -f -p "$(tr '\n' , <<< "$pid" | sed 's/,$//')"; fail "./dev down left processes behind" "read above"; }
say ""
say "a bare Debian: ./dev up done at $up, all done at $(minute)"
