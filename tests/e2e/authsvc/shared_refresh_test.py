"""Refreshes that share a transaction of PostgreSQL, when it fails: each of them is redeemed once or may be repeated, and ends nobody's session."""
import concurrent.futures
import re
import subprocess
import threading

import pytest

from tests.e2e.authsvc.doors import ANNA, PASSWORD, Rest, document
from tests.e2e.authsvc.postgresql_test import PATIENT, Cutter
from tests.support.postgresql import PostgreSQL
from tests.support.programs import until
from tests.support.stack import Authsvc

TABS = 6  # of them two with the same token
SYNC = b"S\0\0\0\4"  # the end of a round trip


class BatchCutter(Cutter):
    """Cuts a round trip that redeems two tokens or more: by the statement that takes arrays."""

    REDEEMS = re.compile(rb"(s\d+)\0UPDATE refresh_family SET generation = refresh_family\.generation")

    def redeems(self, data):
        return super().redeems(data) and data.endswith(SYNC)

    def forward(self, data, sink):
        if self.cut == "half":  # all of them are moved, and nothing says that this is all
            sink.sendall(data[:-len(SYNC)])


@pytest.fixture
def server(ending):
    return ending(PostgreSQL()).start()


class Scene:
    """Sessions of one user, each with a token; of those that are refreshed while `first` waits for its row, two or more go together."""

    def __init__(self, authsvc, server):
        self.authsvc, self.server = authsvc, server
        logins = [Rest(authsvc).login().tokens for _ in range(TABS)]
        self.first, *self.others = [(t["session_id"], t["refresh_token"]) for t in logins]
        self.others.append(self.others[-1])  # another tab

    def count(self, condition):
        return int(self.server.psql(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cw-authsvc' AND {condition}"))

    def refresh(self, session):
        return Rest(self.authsvc).refresh(session[1])

    def together(self, meanwhile):
        """The outcomes of the others. `meanwhile` is called when they are about to be sent."""
        sent = threading.Barrier(len(self.others) + 1)

        def tab(session):
            door = Rest(self.authsvc)
            sent.wait(60)
            return door.refresh(session[1])
        holder = subprocess.Popen(["psql", "-XAtq", self.server.url("t0")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            holder.stdin.write(f"BEGIN; SELECT 1 FROM refresh_family WHERE session_id = '{self.first[0]}' FOR UPDATE;\n")
            holder.stdin.flush()
            until("the row is held", lambda: self.server.psql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'") == "1", 60)
            with concurrent.futures.ThreadPoolExecutor(TABS + 1) as pool:
                first = pool.submit(self.refresh, self.first)
                until("the first one waits for it", lambda: self.count("wait_event_type = 'Lock'") == 1, 60)
                others = [pool.submit(tab, session) for session in self.others]
                sent.wait(60)
                threading.Event().wait(0.2)  # most of them are there; who is late goes alone, and is seen below
                meanwhile()
                holder.stdin.write("COMMIT;\n")
                holder.stdin.flush()
                outcome = first.result()
                assert outcome.reason is None, outcome
                self.first = (self.first[0], outcome.tokens["refresh_token"])
                return [o.result() for o in others]
        finally:
            holder.kill()
            holder.wait()

    def generations(self):
        rows = self.server.psql("SELECT session_id, generation FROM refresh_family", "t0")
        return {session: int(generation) for session, generation in (row.split("|") for row in rows.splitlines())}


@pytest.mark.parametrize("cut, moved", [("before", 0), ("half", 0), ("after", 1)])
def test_what_is_lost_is_lost_for_all_of_them_and_may_be_repeated(directory, ending, server, cut, moved):
    (directory / "proxy").mkdir()
    proxy = ending(BatchCutter(directory / "proxy", server))
    url = server.fresh().replace(f"host={server.directory}", f"host={directory}/proxy")
    # Four connections: one refresh at a time leads, and all that come meanwhile wait for it.
    store = {"store": {**PATIENT, "connections": 4}, "refresh": {"threads": 16}}
    authsvc = ending(Authsvc(directory, document(authsvc=store), url).add_user("clinicwave", ANNA, PASSWORD)).start()
    scene = Scene(authsvc, server)
    for _ in range(20):
        before = scene.generations()
        outcomes = scene.together(lambda: setattr(proxy, "cut", cut))
        proxy.cut = None
        if proxy.cuts == 1:
            break
        assert {o.reason for o in outcomes} == {None}, outcomes
        scene.others = [(session, o.tokens["refresh_token"]) for (session, _), o in zip(scene.others, outcomes)]
    assert proxy.cuts == 1, "no two of them went together"
    until("nothing is under way", lambda: scene.count("state <> 'idle'") == 0, 60)
    lost = [session for (session, _), o in zip(scene.others, outcomes) if o.reason is not None]
    assert len(lost) >= 2 and {(o.reason, o.status) for o in outcomes if o.reason is not None} == {("store_uncertain", 503)}, outcomes
    after = scene.generations()
    alone = {session for (session, _), o in zip(scene.others, outcomes) if o.reason is None}
    for session in set(lost):  # once at most, whatever was sent with it; in another tab it may have gone through
        assert after[session] - before[session] == (1 if session in alone else moved), (session, before, after)
    again = [scene.refresh(session) for session in scene.others]
    assert {o.reason for o in again} == {None}, again
    successors = {}
    for (session, _), o in zip(scene.others, again):  # the other tab's, and the one that was told at first
        assert successors.setdefault(session, o.tokens["refresh_token"]) == o.tokens["refresh_token"]
    for (session, _), o in zip(scene.others, outcomes):
        assert o.reason is not None or o.tokens["refresh_token"] == successors[session]
    for session, token in successors.items():
        assert Rest(authsvc).refresh(token).reason is None
        assert scene.generations()[session] == before[session] + 2
    assert "refresh-token-reused" not in authsvc.process.log()
