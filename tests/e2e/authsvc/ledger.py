"""A ledger outside of authsvc: what was acknowledged before each `kill -9`, held against what is there after it.

Workers log in, refresh, log out. Each keeps account of what it was told. When the victim has been killed and is back, every
session of the ledger is held against the service and the database:

  acknowledged login      its refresh token is good
  acknowledged refresh    its successor is good; a token has one successor, for ever
  acknowledged logout     its refresh token is good no more
  a call without answer   happened or did not, and was not half done: repeating it works
  generation in the database = redemptions in the ledger, or one more where an answer was lost
"""
import concurrent.futures
import contextlib
import random
import shutil
import sqlite3
import tempfile
import threading
import time

import httpx

from tests.e2e.authsvc.doors import PASSWORD, Rest, document
from tests.support.postgresql import DURABLE, PostgreSQL
from tests.support.programs import until
from tests.support.stack import Authsvc

LOST = ("store_unavailable", "store_uncertain", "shutting_down")
SESSIONS = 12  # of one worker at most; older ones are logged out
GRACE = "10m"  # an answer that was lost in a crash is repeated after it


class Broken(AssertionError):
    """An acknowledged write is gone, or a token was redeemed twice."""


class Chain:
    """The refresh tokens of one session; `maybe` is the call whose answer did not come."""

    def __init__(self, session, token):
        self.session, self.token, self.moves, self.ended, self.maybe = session, token, 0, False, None
        self.successors = {}

    def move(self, answer):
        if self.successors.setdefault(self.token, answer) != answer:
            raise Broken(f"two successors of one token in session {self.session}")
        self.token, self.moves = answer, self.moves + 1


class Worker:
    def __init__(self, number, authsvc):
        self.user, self.authsvc, self.chains, self.stop, self.random = f"user{number}@clinicwave.com", authsvc, [], threading.Event(), random.Random(number)
        self.acknowledged = self.unanswered = 0

    def living(self):
        return [c for c in self.chains if not c.ended]

    def call(self, chain, what, act):
        """The answer of ACT, or None where none came; then CHAIN remembers what may have happened."""
        try:
            outcome = act()
        except httpx.HTTPError:
            outcome = None
        if outcome is None or outcome.reason in LOST:
            if chain:
                chain.maybe = what
            self.unanswered += 1
            return None
        if outcome.reason is not None:
            raise Broken(f"{what} of {chain.session if chain else 'nobody'} after {chain.moves if chain else 0} moves: {outcome}")
        self.acknowledged += 1
        return outcome.tokens

    def login(self, door):
        tokens = self.call(None, "login", lambda: door.login(self.user))
        if tokens:
            self.chains.append(Chain(tokens["session_id"], tokens["refresh_token"]))

    def refresh(self, door, chain):
        tokens = self.call(chain, "refresh", lambda: door.refresh(chain.token))
        if tokens:
            chain.move(tokens["refresh_token"])

    def logout(self, door, chain):
        if self.call(chain, "logout", lambda: door.logout(refresh_token=chain.token)) is not None:
            chain.ended = True

    def run(self):
        """Until it is told to stop, or nobody answers."""
        door, unanswered = Rest(self.authsvc), self.unanswered
        while not self.stop.is_set() and self.unanswered == unanswered:
            living = self.living()
            if len(living) > SESSIONS or (living and self.random.random() < 0.1):
                self.logout(door, living[0])
            elif not living or self.random.random() < 0.1:
                self.login(door)
            else:
                self.refresh(door, self.random.choice(living))

    def settle(self):
        """Holds the ledger against the service; what was open is done again."""
        door = Rest(self.authsvc)
        for chain in self.living():
            open_call, chain.maybe = chain.maybe, None
            if open_call == "logout":
                outcome = door.logout(refresh_token=chain.token)
                if outcome.reason not in (None, "refresh_invalid"):
                    raise Broken(f"a logout without answer, repeated: {outcome}")
                chain.ended = True
            else:
                self.refresh(door, chain)
                if chain.maybe:
                    raise Broken("no answer from a service that is well")
        for chain in self.chains:
            if chain.ended and door.refresh(chain.token).reason != "refresh_invalid":
                raise Broken(f"session {chain.session} was ended, and lives")

    def forget(self):
        self.chains = self.living()


def killing(authsvc, victims, rounds, generations, workers=4, longest_s=0.4, progress=lambda n, acknowledged: None):
    """ROUNDS times: load, `kill` of one of VICTIMS ((kill, start) pairs) at a random moment, start, comparison.

    GENERATIONS() reads {session: generation} past the service. The number of acknowledged and of unanswered calls."""
    crew = [Worker(n, authsvc) for n in range(workers)]
    for n in range(rounds):
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            before = sum(w.acknowledged for w in crew)
            running = [pool.submit(w.run) for w in crew]
            until("the load runs", lambda: sum(w.acknowledged for w in crew) > before + workers or any(f.done() for f in running), 60)
            time.sleep(random.random() * longest_s)
            kill, start = random.choice(victims)
            kill()
            for w in crew:
                w.stop.set()
            for f in running:
                f.result()
            start()
        for w in crew:
            w.stop.clear()
        stored = generations()
        for w in crew:
            for chain in w.living():
                if chain.session not in stored:
                    raise Broken(f"the acknowledged session {chain.session} is gone")
                if stored[chain.session] - chain.moves not in ((0, 1) if chain.maybe == "refresh" else (0,)):
                    raise Broken(f"session {chain.session}: {chain.moves} refreshes were acknowledged, the database counts {stored[chain.session]}")
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for f in [pool.submit(w.settle) for w in crew]:
                f.result()
        for w in crew:
            w.forget()
        progress(n + 1, sum(w.acknowledged for w in crew))
    return sum(w.acknowledged for w in crew), sum(w.unanswered for w in crew)


def settings():
    return document(**{"refresh-token-grace": GRACE, "sessions-max": 10000},
                    authsvc={"store": {"statement-timeout": "2s", "connect-timeout": "2s"}, "keys": {"rsa-bits": 2048}})


def with_users(authsvc, workers=4):
    for n in range(workers):
        authsvc.add_user("clinicwave", f"user{n}@clinicwave.com", PASSWORD)
    return authsvc


QUERY = "SELECT session_id, generation FROM refresh_family"


def killing_on_sqlite(directory, rounds, **options):
    authsvc = with_users(Authsvc(directory, settings())).start()

    def generations():  # the file is locked; nobody writes now, so a copy is whole
        with tempfile.TemporaryDirectory(dir=directory) as copy:
            for name in ("authsvc.db", "authsvc.db-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(directory / "state" / name, copy)
            with contextlib.closing(sqlite3.connect(f"{copy}/authsvc.db")) as db:
                return dict(db.execute(QUERY).fetchall())
    try:
        return killing(authsvc, [(authsvc.process.kill, authsvc.start)], rounds, generations, **options)
    finally:
        authsvc.stop()


def killing_on_postgresql(directory, rounds, **options):
    """The victim is authsvc, or the server with all its processes."""
    server = PostgreSQL(*DURABLE).start()
    try:
        url = server.fresh()
        authsvc = with_users(Authsvc(directory, settings(), url)).start()

        def back():
            server.start()
            health = f"http://127.0.0.1:{authsvc.management}/actuator/health/readiness"
            until("authsvc has the database again", lambda: httpx.get(health, timeout=20).status_code == 200, 60)

        def generations():
            return {k: int(v) for k, v in (line.split("|") for line in server.psql(QUERY, "t0").splitlines())}
        try:
            return killing(authsvc, [(authsvc.process.kill, authsvc.start), (server.kill, back)], rounds, generations, **options)
        finally:
            authsvc.stop()
    finally:
        server.stop()
