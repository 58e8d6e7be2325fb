#!/bin/bash
# Installs the packages of the named groups of scripts/packages.txt that are missing. Idempotent; root, or sudo.
# usage: scripts/install.sh [GROUP…]   without a group: all
set -euo pipefail
. "$(dirname "$0")/lib.sh"

missing=()
for p in $(packages "$@"); do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

step "Debian packages: ${missing[*]}"
if [ "$(id -u)" != 0 ] && ! command -v sudo > /dev/null; then
    fail "the packages above are missing, and this user is neither root nor has sudo" \
        "as root: apt-get install --no-install-recommends ${missing[*]}"
fi

apt=(apt-get -q -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold)
retry 3 as_root "${apt[@]}" update > "${TMPDIR:-/tmp}/cw-apt.$$" 2>&1 || {
    tail -5 "${TMPDIR:-/tmp}/cw-apt.$$" >&2
    rm -f "${TMPDIR:-/tmp}/cw-apt.$$"
    fail "apt-get update" "check /etc/apt/sources.list and the network, then run this again"
}
rm -f "${TMPDIR:-/tmp}/cw-apt.$$"

# Size and time first.
plan=$(apt-get -q install --no-install-recommends --assume-no "${missing[@]}" 2>&1 || true)
printf '%s\n' "$plan" | grep -E '^[0-9]+ upgraded|^Need to get|^After this' || true
mb=$(printf '%s\n' "$plan" | sed -nE 's/^Need to get ([0-9.,]+) MB.*/\1/p; s/^Need to get .* kB.*/1/p' | tr -d , | cut -d. -f1)
say "This takes about $((1 + ${mb:-1} / 150)) to $((2 + ${mb:-1} / 50)) minutes."

# Packages must not start their servers: the stack is started by ./dev up, and nothing else.
policy=/usr/sbin/policy-rc.d
placed=
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy > /dev/null
    as_root chmod 755 $policy
    placed=1
fi
cleanup() { [ -z "$placed" ] || as_root rm -f $policy; }
trap cleanup EXIT

log=$(mktemp)
total=$(printf '%s\n' "$plan" | sed -nE 's/.* ([0-9]+) newly installed.*/\1/p')
install() {
    as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "${apt[@]}" install -y --no-install-recommends "${missing[@]}" 2>&1 |
        tee "$log" |
        awk -v total="${total:-0}" '
            /^Get:/ && ++got % 50 == 0 { print "  fetched " got; fflush() }
            /^Unpacking / && ++unpacked % 50 == 0 { print "  unpacked " unpacked " of " total; fflush() }
            /^Setting up / && ++set % 50 == 0 { print "  set up " set " of " total; fflush() }'
}
retry 3 install || {
    tail -15 "$log" >&2
    rm -f "$log"
    fail "apt-get install" "read the lines above; 'apt-get -f install' repairs a broken run, then run this again"
}
rm -f "$log"
say "  installed"
