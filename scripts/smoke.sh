#!/bin/bash
# One login and one request through the running gateway, with nothing but curl.
# usage: scripts/smoke.sh
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ -r "$CW_RUN/env" ] || fail "nothing is up in this checkout" "./dev up"
. "$CW_RUN/env"
gate=$CW_GATEWAY
user=$(python3 -c 'import json,sys; u=[u for u in json.load(open(sys.argv[1])) if u["tenant"]=="clinicwave"][0]; print(json.dumps({"username":u["username"],"password":u["password"]}))' "$CW_RUN/demo-users.json")
answer=$(curl -sS --fail --cacert "$CW_RUN/ca.pem" -H 'Content-Type: application/json' -d "$user" "$gate/auth/v1/login") || fail "the login at $gate" "./dev status, ./dev logs"
token=$(printf '%s' "$answer" | python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])')
status=$(curl -sS -o /dev/null -w '%{http_code}' --cacert "$CW_RUN/ca.pem" -H "Authorization: Bearer $token" "$gate/api/storage/files")
[ "$status" = 200 ] || fail "GET $gate/api/storage/files answered $status" "./dev status, ./dev logs"
say "login 200, GET /api/storage/files 200"
