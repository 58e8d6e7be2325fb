#!/bin/bash
# Brings the servers of others that the demo and the interop lane run, into .run/deps; cached per lock file.
# usage: scripts/deps.sh
set -euo pipefail
. "$(dirname "$0")/lib.sh"

source=$CW_ROOT/examples/idp
cache=${CW_CACHE:-$HOME/.cache/clinicwave}/npm-$(cat "$source/package.json" "$source/package-lock.json" | sha256sum | cut -c1-16)
if [ ! -e "$cache/complete" ]; then
    step "npm oidc-provider (about 10 MB, less than a minute)"
    rm -rf "$cache.new"
    mkdir -p "$cache.new"
    cp "$source/package.json" "$source/package-lock.json" "$cache.new/"
    install() { (cd "$cache.new" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund > npm.log 2>&1); }
    retry 3 install || {
        tail -5 "$cache.new/npm.log" >&2
        fail "npm ci in examples/idp" "check that npm reaches its registry (npm ping), then run this again"
    }
    touch "$cache.new/complete"
    rm -rf "$cache"
    mv "$cache.new" "$cache"
fi
mkdir -p "$CW_RUN/deps/idp"
for name in node_modules package.json; do
    rm -rf "${CW_RUN:?}/deps/idp/$name"
    cp -r "$cache/$name" "$CW_RUN/deps/idp/$name"
done
cp "$source/idp.mjs" "$CW_RUN/deps/idp/"
