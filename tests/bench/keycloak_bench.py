"""Beside a real Keycloak (tests/interop/keycloak/distribution): logins at Keycloak's own hash parameters, refreshes, memory, time to ready.
Both on one PostgreSQL that loses nothing, both over plain HTTP on loopback, Keycloak with its own default heap, warmed up first. Skipped where
it cannot be had.

Refreshes are measured with 8 and with 32 calls at once, and each side is judged by the better of its two: what is asked is throughput, and with 8 at
once two cores stand idle for a third of the time, since every call waits for the disk; Keycloak, too, does up to half as much again with 32."""
# build: //authsvc:cw-authsvc //tests/bench:rest_load
# packages: eureka
# deps: keycloak
import os
import pathlib
import tempfile
import time
import urllib.parse

from tests.bench.authsvc_bench import USERS, Load, login_body, refresh_tokens, running, settings
from tests.bench.measure import QUICK, alternate, report, rss_kib, runs, say
from tests.support import keycloak
from tests.support.postgresql import DURABLE

AT_ONCE = 8  # logins
REFRESHES_AT_ONCE = (8, 32)
MS, WARM_MS = (1000, 2000) if QUICK else (5000, 20000)
ALGORITHMS = ("RS256", "ES256")
FORM = "application/x-www-form-urlencoded"
# What the issue asks for; a ratio above 1 means that ours does better.
BARS = {"login RS256": 4, "refresh RS256": 4, "refresh ES256": 8, "memory": 15, "time to ready": 50}


def realm_name(algorithm):
    return f"bench-{algorithm.lower()}"


def documents():
    """A realm for each algorithm, as Keycloak makes them; only that it has users."""
    users = [keycloak.user(f"user{i}@clinicwave.com", "nurse") for i in range(max(REFRESHES_AT_ONCE))]
    return [keycloak.realm(users, realm=realm_name(a), defaultSignatureAlgorithm=a, revokeRefreshToken=False) for a in ALGORITHMS]


class Keycloak:
    """The load on one of its realms."""

    def __init__(self, server, algorithm):
        self.server, self.path = server, f"/realms/{realm_name(algorithm)}/protocol/openid-connect/token"
        self.client = urllib.parse.urlencode({"client_id": keycloak.CLIENT, "client_secret": keycloak.SECRET})
        self.tokens = {}

    def load(self, lines, ms):
        return Load(self.server.port, self.path, lines, ms, f"127.0.0.1:{self.server.port}", FORM)

    def login(self, ms=MS):
        forms = [urllib.parse.urlencode({"grant_type": "password", "scope": "openid profile email", "username": f"user{i}@clinicwave.com",
                                         "password": keycloak.PASSWORD}) for i in range(AT_ONCE)]
        return self.load([f"{self.client}&{f}" for f in forms], ms).per_second

    def refresh(self, at_once, ms=MS):
        tokens = self.tokens.get(at_once) or self.sessions(at_once)
        load = self.load([f"{self.client}&grant_type=refresh_token&refresh_token=\t{t}\t" for t in tokens], ms)
        self.tokens[at_once] = load.tokens
        return load.per_second

    def sessions(self, n):
        """The refresh tokens of N sessions, each of a user of its own."""
        realm = self.path.split("/")[2]
        return [self.server.token(f"user{i}@clinicwave.com", realm=realm)["refresh_token"] for i in range(n)]


class Ours:
    def __init__(self, authsvc):
        self.authsvc, self.tokens = authsvc, {n: refresh_tokens(authsvc, n) for n in REFRESHES_AT_ONCE}

    def login(self):
        return Load(self.authsvc.rest, "/auth/v1/login", [login_body(i % USERS) for i in range(AT_ONCE)], MS).per_second

    def refresh(self, at_once):
        load = Load(self.authsvc.rest, "/auth/v1/refresh", ['{"refresh_token":"\t%s\t"}' % t for t in self.tokens[at_once]], MS)
        self.tokens[at_once] = load.tokens
        return load.per_second

    def ready_s(self):
        self.authsvc.stop()
        begin = time.monotonic()
        self.authsvc.start()
        return time.monotonic() - begin


def start_twice(server):
    """Seconds until it is ready; the first start makes tables and realms, so the second one counts."""
    begin = time.monotonic()
    server.start()
    say(f"  Keycloak, {server.version()}: first start {time.monotonic() - begin:.0f} s, hash {server.hash_parameters()}")
    if not QUICK:
        server.process.stop()
        begin = time.monotonic()
        server.start_again()
    return time.monotonic() - begin


def measure(directory, server, kept):
    def row(case, ours, theirs, unit, n, ratio=None):
        report("keycloak", case, ours, "Keycloak", theirs, unit, n, ratio)
        kept[case] = ratio if ratio is not None else ours / theirs
    ready = start_twice(server)
    hashing = server.hash_parameters()
    memory, iterations = int(hashing["additionalParameters"]["memory"][0]), hashing["hashIterations"]
    theirs = {a: Keycloak(server, a) for a in ALGORITHMS}
    for algorithm, one in theirs.items():  # the virtual machine compiles what is hot
        one.login(WARM_MS // 2 if algorithm == "RS256" else WARM_MS // 8)
        for at_once in REFRESHES_AT_ONCE:
            one.refresh(at_once, WARM_MS // 4)
    n = runs(3)
    for algorithm in ALGORITHMS:
        with running(directory / algorithm, settings(algorithm, memory, iterations), server.database.fresh()) as authsvc:
            ours = Ours(authsvc)
            if algorithm == "RS256":
                row(f"login {algorithm}", *alternate(n, ours.login, theirs[algorithm].login), "logins/s", n)
            best = [0, 0]
            for at_once in REFRESHES_AT_ONCE:
                both = alternate(n, lambda: ours.refresh(at_once), lambda: theirs[algorithm].refresh(at_once))
                row(f"refresh {algorithm} x{at_once}", *both, "refreshes/s", n)
                best = [max(one) for one in zip(best, both)]
            row(f"refresh {algorithm}", *best, "refreshes/s, each best", n, best[0] / best[1])
            if algorithm == "RS256":
                mine, its = rss_kib(authsvc.process.process) / 1024, rss_kib(server) / 1024
                row("memory", mine, its, "MiB", 1, its / mine)
                mine, = alternate(runs(5), ours.ready_s)
                row("time to ready", mine * 1000, ready * 1000, "ms", 1, ready / mine)


def main(directory):
    if not keycloak.prepared():
        say("  skipped: Keycloak is not here and could not be fetched (see above; scripts/deps.sh keycloak needs Maven, Java 17 and a registry)")
        return
    say(f"  {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {AT_ONCE} logins at once, {REFRESHES_AT_ONCE} refreshes")
    server = keycloak.Keycloak(directory, documents(), *DURABLE, "shared_buffers=128MB", "max_connections=200", "autovacuum=on", "max_wal_size=256MB")
    kept = {}
    try:
        measure(directory, server, kept)
    finally:
        server.stop()
    say()
    for case, ratio in ((case, ratio) for case, ratio in kept.items() if case in BARS):
        say(f"  {case:14} {ratio:7.1f}, asked {BARS[case]:3}: {'kept' if ratio >= BARS[case] else 'MISSED'}")
    say(f"  load at the end {os.getloadavg()[0]:.1f}" + (" (quick: a first start, a cold Keycloak)" if QUICK else ""))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="cwb", dir="/tmp") as d:
        main(pathlib.Path(d))
