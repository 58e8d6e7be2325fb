"""Several cw-authsvc on one PostgreSQL: one set of sessions, refresh chains, counters, keys and revocations."""
import concurrent.futures
import os
import threading
import time

import pytest

from tests.e2e.authsvc.administration import Admin
from tests.e2e.authsvc.doors import ANNA, HOST, PASSWORD, Rest, document
from tests.e2e.authsvc.logout_route_test import allowed, reason
from tests.e2e.authsvc.rotation_test import kid
from tests.e2e.authsvc.session_test import Watcher
from tests.support.programs import until
from tests.support.stack import Authsvc, Sidecar, merged


@pytest.fixture
def fleet(directory, ending, postgresql):
    """`fleet(2, **changes)`: so many authsvc, started at the same moment on an empty database, with one key-encryption key."""
    def run(n, **changes):
        kek = directory / "kek"
        kek.write_bytes(os.urandom(32))
        kek.chmod(0o400)
        changes["authsvc"] = merged({"keys": {"kek-file": str(kek)}}, changes.get("authsvc"))
        url, parts = postgresql.fresh(), []
        for i in range(n):
            (directory / f"a{i}").mkdir()
            parts.append(Authsvc(directory / f"a{i}", document(**changes), url))
        for part in parts:
            ending(part).process.start()
        for part in parts:
            part.until_ready()
        parts[0].schema = url.rpartition("%3D")[2]
        return parts
    return run


@pytest.fixture
def two(fleet):
    a, b = fleet(2)
    a.add_user("clinicwave", ANNA, PASSWORD, "doctor")  # beside the running service
    return a, b


def test_all_start_at_once_and_share_one_set_of_keys(fleet):
    parts = fleet(4)
    parts[0].add_user("clinicwave", ANNA, PASSWORD)
    sets = [Rest(p).client.get("/.well-known/jwks.json", headers={"Host": HOST}).json() for p in parts]
    assert all(s == sets[0] and len(s["keys"]) == 1 for s in sets)
    token = Rest(parts[0]).login().tokens["access_token"]
    assert [Rest(p).userinfo(token).reason for p in parts] == [None] * 4


def test_a_session_of_one_is_a_session_of_all(two):
    a, b = map(Rest, two)
    first = a.login().tokens
    second = b.refresh(first["refresh_token"]).tokens
    third = a.refresh(second["refresh_token"]).tokens
    assert [s["session_id"] for s in b.sessions(third["access_token"]).tokens] == [first["session_id"]]
    assert b.end_session(third["access_token"], first["session_id"]).reason is None
    assert a.refresh(third["refresh_token"]).reason == "refresh_invalid"


def test_of_many_refreshes_at_both_one_moves_the_chain(two, postgresql):
    doors = [Rest(p) for p in two for _ in range(8)]
    token = doors[0].login().tokens["refresh_token"]
    for generation in range(1, 4):
        with concurrent.futures.ThreadPoolExecutor(len(doors)) as pool:
            outcomes = list(pool.map(lambda door: door.refresh(token), doors))
        assert {o.reason for o in outcomes} == {None}
        successors = {o.tokens["refresh_token"] for o in outcomes}
        assert len(successors) == 1, "all tabs go on with the same token"
        assert postgresql.psql("SELECT generation FROM refresh_family", two[0].schema) == str(generation)
        token = successors.pop()


def test_guesses_at_both_are_counted_together(fleet):
    parts = fleet(2, authsvc={"throttle": {"account": {"burst": 5}}})
    parts[0].add_user("clinicwave", ANNA, PASSWORD)
    doors = [Rest(p) for p in parts for _ in range(6)]
    with concurrent.futures.ThreadPoolExecutor(len(doors)) as pool:
        reasons = list(pool.map(lambda door: door.login(password="wrong", address="192.0.2.9").reason, doors))
    assert reasons.count("credentials_invalid") == 5 and reasons.count("throttled") == 7


def test_only_so_many_sessions_wherever_they_begin(fleet, postgresql):
    parts = fleet(2, **{"sessions-max": 3})
    parts[0].add_user("clinicwave", ANNA, PASSWORD)
    doors = [Rest(p) for p in parts for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(len(doors)) as pool:
        assert {o.reason for o in pool.map(lambda door: door.login(), doors)} == {None}
    assert postgresql.psql("SELECT COUNT(*) FROM session WHERE ended_at IS NULL", parts[0].schema) == "3"


def test_a_tenant_of_one_is_a_tenant_of_all_within_moments(two):
    """By NOTIFY, and by a look at the counter twice a second where that is lost."""
    a, b = two
    admin, door, took = Admin(a), Rest(b), []

    def seen(what, condition):
        began = time.monotonic()
        until(what, condition)
        took.append(time.monotonic() - began)
    assert door.login(domain="acme.localhost").reason == "tenant_unknown"
    admin.create()
    admin.user()
    seen("it is there", lambda: door.login(domain="acme.localhost").reason is None)
    tokens = door.login(domain="acme.localhost").tokens
    assert Rest(a).userinfo(tokens["access_token"], domain="acme.localhost").reason is None
    admin.update(domains="acme.test")
    seen("its domain has changed", lambda: door.login(domain="acme.localhost").reason == "tenant_unknown")
    assert door.login(domain="acme.test").reason is None
    admin.stub.DisableTenant(name="acme")
    seen("it is disabled", lambda: door.login(domain="acme.test").reason == "tenant_disabled")
    assert door.refresh(tokens["refresh_token"], domain="acme.test").reason == "tenant_disabled"
    Admin(b).stub.EnableTenant(name="acme")  # the other way
    seen("it is enabled", lambda: Rest(a).login(domain="acme.test").reason is None)
    admin.stub.DisableTenant(name="acme")
    admin.stub.DeleteTenant(name="acme")
    seen("it is gone", lambda: door.login(domain="acme.test").reason == "tenant_unknown")
    assert sorted(took)[len(took) // 2] < 2, took


def test_each_sees_the_revocations_of_the_other_in_one_order(two):
    watchers = [Watcher(p) for p in two]
    begin = [w.next() for w in watchers]
    assert begin[0].epoch == begin[1].epoch and begin[0].snapshot and begin[1].snapshot
    sessions = [Rest(p).login().tokens for _ in range(8) for p in two]

    def logout(job):
        part, tokens = job
        assert Rest(part).logout(refresh_token=tokens["refresh_token"]).reason is None

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(logout, [(two[(i // 2) % 2], t) for i, t in enumerate(sessions)]))
    seen = []
    for watcher in watchers:
        order, number = [], 0
        while len(order) < len(sessions):
            message = watcher.next()
            assert not message.snapshot and message.number >= number
            number = message.number
            order += [r.session_id for r in message.revocations]
        assert number == len(sessions)
        seen.append(order)
        watcher.close()
    assert seen[0] == seen[1] and set(seen[0]) == {t["session_id"] for t in sessions}


def test_a_logout_at_one_reaches_the_sidecar_of_the_other_within_a_second(two, directory, ending):
    a, b = two
    (directory / "sidecar").mkdir()
    sidecar = ending(Sidecar(directory / "sidecar", [], sidecar={"authsvc": {"socket": str(b.socket), "max-stale": "60s"}}).start())
    until("the feed has begun", lambda: (directory / "sidecar/state/revocations").exists())
    door, took = Rest(a), []
    for _ in range(5):
        tokens = door.login().tokens
        allowed(sidecar, tokens["access_token"])
        assert door.logout(refresh_token=tokens["refresh_token"]).reason is None
        begin = time.monotonic()
        until("the token is refused", lambda: reason(sidecar, tokens["access_token"]) == "token_revoked")
        took.append(time.monotonic() - begin)
    assert sorted(took)[2] < 1.0 and max(took) < 10, took


def test_one_may_crash_while_the_other_goes_on(two):
    a, b = two
    stop, problems = threading.Event(), []

    def refresh():
        door = Rest(b)
        token = door.login().tokens["refresh_token"]
        while not stop.is_set():
            outcome = door.refresh(token)
            if outcome.reason is not None:
                problems.append(outcome)
                return
            token = outcome.tokens["refresh_token"]

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        worker = pool.submit(refresh)
        for _ in range(3):
            Rest(a).login()
            a.process.kill()
            a.start()
        stop.set()
        worker.result()
    assert not problems


def signers(parts):
    return [kid(Rest(p).login().tokens["access_token"]) for p in parts]


def test_a_key_that_one_makes_is_published_by_all_and_signs_at_one_instant(fleet):
    parts = fleet(3, algorithm="ES256", authsvc={"keys": {"publish-ahead": "15s", "rotate-after": "0s"}})
    parts[0].add_user("clinicwave", ANNA, PASSWORD)
    first, = set(signers(parts))
    keys = Admin(parts[0]).stub.RotateSigningKey(tenant="clinicwave").keys
    assert [k.state for k in keys] == ["active", "pending"]
    instant = keys[1].active_at

    def all_publish():
        sets = [Rest(p).client.get("/.well-known/jwks.json", headers={"Host": HOST}).json()["keys"] for p in parts]
        return all([k["kid"] for k in s] == [first, keys[1].key_id] for s in sets)
    until("all publish both", all_publish, 60)
    assert [k.key_id for k in Admin(parts[1]).stub.RotateSigningKey(tenant="clinicwave").keys] == [k.key_id for k in keys] or time.time() > instant

    def all_sign_with_the_second():
        before, seen, after = time.time(), set(signers(parts)), time.time()
        assert seen == {first} or after >= instant, "one was too early"
        assert seen == {keys[1].key_id} or before < instant + 1, "one was too late"
        return seen == {keys[1].key_id}
    until("all sign with the second", all_sign_with_the_second, 60)


def test_a_key_that_was_withdrawn_at_one_is_refused_at_all(fleet):
    parts = fleet(2, algorithm="ES256")
    parts[0].add_user("clinicwave", ANNA, PASSWORD)
    token = Rest(parts[1]).login().tokens["access_token"]
    assert Admin(parts[0]).stub.RotateSigningKey(tenant="clinicwave", emergency=True).withdrawn == 1
    assert Rest(parts[0]).userinfo(token).reason in ("key_unknown", "key_withdrawn")
    until("the other one has heard of it", lambda: Rest(parts[1]).userinfo(token).reason in ("key_unknown", "key_withdrawn"), 60)
    a, b = signers(parts)
    assert a == b != kid(token)


def test_of_all_that_find_a_key_old_one_makes_the_next(fleet, postgresql):
    parts = fleet(3, algorithm="ES256", authsvc={"keys": {"publish-ahead": "3s", "rotate-after": "6s"}})
    parts[0].add_user("clinicwave", ANNA, PASSWORD)
    count = "SELECT COUNT(*) FROM signing_key WHERE tenant = 'clinicwave'"
    times = "SELECT active_at FROM signing_key WHERE tenant = 'clinicwave' ORDER BY active_at"
    until("there are four keys", lambda: int(postgresql.psql(count, parts[0].schema)) >= 4, 120)
    instants = [int(t) for t in postgresql.psql(times, parts[0].schema).split()]
    assert min(b - a for a, b in zip(instants, instants[1:])) >= 6000, "none before its time"
