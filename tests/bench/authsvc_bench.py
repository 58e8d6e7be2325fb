"""Logins and refreshes of cw-authsvc through its REST door, beside the work that they cannot do without in a loop without a door
(tests/bench/authsvc_loop.c): one argon2id hash at production parameters and the two signatures through libjwt; the statements of a
refresh and the two signatures, on SQLite and on PostgreSQL, both with what survives a loss of power."""
# build: //authsvc:cw-authsvc //tests/bench:authsvc_loop //tests/bench:rest_load
import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import tempfile

from tests.bench.measure import BIN, QUICK, alternate, duration, report, rss_kib, runs, say

os.environ.setdefault("CW_PROGRAMS", str(BIN))

from tests.e2e.authsvc.doors import HOST, PASSWORD, Rest, document  # noqa: E402 (needs CW_PROGRAMS)
from tests.support.postgresql import DURABLE, PostgreSQL  # noqa: E402
from tests.support.stack import Authsvc  # noqa: E402

CORES = os.cpu_count()
MEMORY_KIB, ITERATIONS = 19 * 1024, 2  # OWASP's, the default
AT_ONCE = 4 * CORES  # refreshes under way
USERS = 2 * CORES  # logins under way
MS = duration(2500)
ALGORITHMS = ("RS256", "ES256")


class Load:
    """Requests that were answered with 200 in MS milliseconds; `tokens` are the refresh tokens as they are afterwards."""

    def __init__(self, port, path, lines, ms=None, host=HOST, media_type="application/json"):
        out = subprocess.run([BIN / "tests/bench/rest_load", str(port), host, path, media_type, str(ms or MS)], input="\n".join(lines) + "\n",
                             text=True, capture_output=True)
        if out.returncode:
            raise SystemExit(f"bench: {out.stderr.strip()}")
        first, *self.tokens = out.stdout.splitlines()
        requests, seconds, self.p50_us, self.p99_us = (float(x) for x in first.split())
        self.per_second = requests / seconds


def loop(*arguments):
    """Rounds a second of the yardstick."""
    out = subprocess.run([str(a) for a in (BIN / "tests/bench/authsvc_loop", *arguments)], check=True, capture_output=True, text=True).stdout.split()
    return int(out[0]) / float(out[1])


def settings(algorithm, memory_kib=MEMORY_KIB, iterations=ITERATIONS):
    """Production's, but for the sessions that one user may have."""
    return document(algorithm=algorithm, **{"sessions-max": 1000, "refresh-token-grace": "1s"},
                    authsvc={"password": {"memory": f"{memory_kib}KiB", "iterations": iterations}, "keys": {"rsa-bits": 2048}})


def login_body(n):
    return json.dumps({"username": f"user{n}@clinicwave.com", "password": PASSWORD})


@contextlib.contextmanager
def running(directory, configuration, store=None):
    directory.mkdir(exist_ok=True)
    authsvc = Authsvc(directory, configuration, store)
    for n in range(USERS):
        authsvc.add_user("clinicwave", f"user{n}@clinicwave.com", PASSWORD, "doctor")
    authsvc.start()
    try:
        yield authsvc
    finally:
        authsvc.stop()


def refresh_tokens(authsvc, n):
    """Of N sessions."""
    door = Rest(authsvc)
    return [door.login(f"user{i % USERS}@clinicwave.com", PASSWORD).tokens["refresh_token"] for i in range(n)]


def logins(directory, algorithm, n):
    lines = [login_body(i) for i in range(USERS)]
    with running(directory, settings(algorithm)) as authsvc:
        loads = []

        def ours():
            loads.append(Load(authsvc.rest, "/auth/v1/login", lines))
            return loads[-1].per_second
        ours, theirs = alternate(n, ours, lambda: loop("login", algorithm, CORES, MS, MEMORY_KIB, ITERATIONS))
        report("authsvc", f"login {algorithm}", ours, "hash + signatures", theirs, "logins/s", n)
        return loads[-1], rss_kib(authsvc.process.process)


def refreshes(directory, algorithm, n, url, fresh):
    with running(directory, settings(algorithm), url) as authsvc:
        tokens = refresh_tokens(authsvc, AT_ONCE)
        loads = []

        def ours():
            load = Load(authsvc.rest, "/auth/v1/refresh", ['{"refresh_token":"\t%s\t"}' % t for t in tokens])
            tokens[:] = load.tokens
            loads.append(load)
            return load.per_second
        ours, theirs = alternate(n, ours, lambda: loop("refresh", algorithm, AT_ONCE, MS, fresh()))
        store = "PostgreSQL" if url else "SQLite"
        report("authsvc", f"refresh {algorithm} {store}", ours, "statements + signatures", theirs, "refreshes/s", n)
        return loads[-1], rss_kib(authsvc.process.process)


def main(directory):
    n, numbers = runs(5), itertools.count()
    say(f"  {CORES} cores, load {os.getloadavg()[0]:.1f}; {USERS} logins at once, {AT_ONCE} refreshes at once\n")
    server = PostgreSQL(*DURABLE).start()
    try:
        rows = []
        for algorithm in ALGORITHMS:
            rows.append((f"login {algorithm}", *logins(directory / f"l{algorithm}", algorithm, n)))
            rows.append((f"refresh {algorithm} SQLite", *refreshes(directory / f"s{algorithm}", algorithm, n, None,
                                                                    lambda: f"sqlite:{directory}/loop{next(numbers)}.db")))
            rows.append((f"refresh {algorithm} PostgreSQL", *refreshes(directory / f"p{algorithm}", algorithm, n, server.fresh(), server.fresh)))
        say()
        for name, load, rss in rows:
            say(f"  {name:26} p50 {load.p50_us / 1000:7.2f} ms   p99 {load.p99_us / 1000:7.2f} ms   cw-authsvc {rss / 1024:5.1f} MiB")
    finally:
        server.stop()
    say(f"\n  load at the end {os.getloadavg()[0]:.1f}" + (" (quick: too short to mean much)" if QUICK else ""))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="cwb", dir="/tmp") as d:
        main(pathlib.Path(d))
