#!/bin/bash
# A PostgreSQL of the test's own, in the foreground, in the folder DIR; its socket is in DIR, too. Ends with its parent.
# usage: postgresql.sh DIR [--prepare | SETTING=VALUE…]
set -eu
dir=$1
shift
bins=(/usr/lib/postgresql/*/bin)
bin=${bins[-1]}
[ -x "$bin/postgres" ] || { echo "postgresql.sh: no PostgreSQL: scripts/install.sh test" >&2; exit 2; }

# It refuses to run as root.
as=(setpriv)
if [ "$(id -u)" = 0 ]; then
    chown nobody "$dir"
    as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
fi
cd "$dir"
if [ ! -e "$dir/data/PG_VERSION" ]; then
    "${as[@]}" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --wal-segsize=1 --no-sync --no-instructions > "$dir/initdb.log" 2>&1 ||
        { cat "$dir/initdb.log" >&2; exit 2; }
    # One role that must give its password.
    sed -i '1i local all secret scram-sha-256' "$dir/data/pg_hba.conf"
fi
[ "${1-}" != --prepare ] || exit 0
settings=(listen_addresses= unix_socket_directories="$dir" unix_socket_permissions=0777 min_wal_size=2MB shared_buffers=16MB max_connections=60 fsync=off
    full_page_writes=off wal_level=minimal max_wal_senders=0 jit=off autovacuum=off log_min_messages=warning "$@")
exec "${as[@]}" --pdeathsig QUIT "$bin/postgres" -D "$dir/data" "${settings[@]/#/--}"
