#!/bin/bash
# Brings what others wrote and the demo and the interop lane run, into .run/deps; cached per set of inputs.
# usage: scripts/deps.sh [interop]   without an argument: the demo's identity provider only
set -euo pipefail
. "$(dirname "$0")/lib.sh"

cache=${CW_CACHE:-$HOME/.cache/clinicwave}

# cached NAME WHAT INPUT…: $made holds what make_NAME DIRECTORY made of the inputs, now or at an earlier time.
cached() {
    local name=$1 what=$2
    shift 2
    made=$cache/$name-$(find "$@" -type f -print0 | sort -z | xargs -0 cat | sha256sum | cut -c1-16)
    [ ! -e "$made/complete" ] || { touch "$made/complete"; return 0; } # used: scripts/cache.py lets it live
    step "$what"
    rm -rf "$made.new"
    mkdir -p "$made.new"
    retry 3 "make_$name" "$made.new" || {
        tail -5 "$made.new/log" >&2
        fail "$what" "check that its registry can be reached, read $made.new/log, then run this again"
    }
    touch "$made.new/complete"
    rm -rf "$made"
    mv "$made.new" "$made"
}

# npm_ci DIRECTORY SOURCE
npm_ci() {
    cp "$2/package.json" "$2/package-lock.json" "$1/"
    (cd "$1" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund > log 2>&1)
}

# place WHERE FILE…: as .run/deps/WHERE/…
place() {
    local to=$CW_RUN/deps/$1 file
    shift
    mkdir -p "$to"
    for file; do
        rm -rf "${to:?}/$(basename "$file")"
        cp -r "$file" "$to/"
    done
}

idp=$CW_ROOT/examples/idp
make_npm() { npm_ci "$1" "$idp"; }

eureka=$CW_ROOT/tests/interop/eureka
make_eureka_js() { npm_ci "$1" "$eureka"; }
make_eureka_py() {
    python3 -m pip install --no-deps --disable-pip-version-check --root-user-action=ignore --target "$1/python" \
        -r "$eureka/requirements.txt" > "$1/log" 2>&1
}
# spring DIRECTORY SUFFIX [OPTION…]: the modules as NAME SUFFIX .jar
spring() {
    local to=$1 suffix=$2 module
    shift 2
    cp -r "$eureka/spring/." "$to/"
    (cd "$to" && mvn -q -B "$@" package >> log 2>&1) || return
    for module in registry greeter gateway; do
        mv "$to/$module/target/$module.jar" "$to/$module$suffix.jar"
        rm -rf "${to:?}/$module"
    done
}
make_eureka_java() {
    spring "$1" "" && spring "$1" -older -Dboot.version=3.5.7 -Dcloud.version=2025.0.0
}

cached npm "npm oidc-provider (about 10 MB, less than a minute)" "$idp/package.json" "$idp/package-lock.json"
place idp "$made/node_modules" "$made/package.json" "$idp/idp.mjs"

if [ "${1:-}" = interop ]; then
    cached eureka_js "npm eureka-js-client (about 15 MB, less than a minute)" "$eureka/package.json" "$eureka/package-lock.json"
    place eureka "$made/node_modules" "$made/package.json"
    cached eureka_py "Python py-eureka-client (1 MB)" "$eureka/requirements.txt"
    place eureka "$made/python"
    cached eureka_java "Spring Cloud's Eureka, client and gateway of two trains (about 250 MB, two minutes)" "$eureka/spring" "$CW_ROOT/scripts/deps.sh"
    place eureka "$made"/*.jar
fi
