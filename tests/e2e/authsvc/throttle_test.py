"""Brute force is slowed down, softly, and nobody who knows the password is punished."""
import concurrent.futures

import pytest

from tests.e2e.authsvc.doors import ANNA, DOORS, PASSWORD

LIMITS = {"throttle": {"account": {"burst": 5, "per-minute": 1}, "address": {"burst": 12, "per-minute": 1}}}


@pytest.fixture(params=sorted(DOORS))
def door(request, start):
    return DOORS[request.param](start(authsvc=LIMITS))


def fail(door, n, username=ANNA, address="198.51.100.1"):
    return [door.login(username, "wrong", address=address).reason for _ in range(n)]


def test_after_some_failures_one_has_to_wait(door):
    assert fail(door, 5) == ["credentials_invalid"] * 5
    outcome = door.login(password=PASSWORD, address="198.51.100.1")  # even with the right password: no oracle
    assert outcome.reason == "throttled" and 1 <= outcome.retry_after <= 60


def test_unknown_users_are_throttled_alike(door):
    assert fail(door, 6, "nobody@clinicwave.com") == ["credentials_invalid"] * 5 + ["throttled"]


def test_the_owner_at_another_address_is_not_locked_out(door):
    assert fail(door, 6)[-1] == "throttled"
    assert door.login(address="203.0.113.5").reason is None


def test_one_address_cannot_try_many_users(door):
    reasons = [door.login(f"user{i}@clinicwave.com", "wrong", address="198.51.100.1").reason for i in range(14)]
    assert reasons == ["credentials_invalid"] * 12 + ["throttled"] * 2
    assert door.login("user1@clinicwave.com", "wrong", address="198.51.100.2").reason == "credentials_invalid"


def test_an_ipv6_network_counts_as_one_address(door):
    reasons = [door.login(f"user{i}@clinicwave.com", "wrong", address=f"2001:db8:0:1::{i:x}").reason for i in range(1, 14)]
    assert reasons[-1] == "throttled"
    assert door.login("x@clinicwave.com", "wrong", address="2001:db8:0:2::1").reason == "credentials_invalid"


def test_a_success_forgets_the_failures(door):
    for _ in range(2):
        assert fail(door, 4) == ["credentials_invalid"] * 4
        assert door.login(address="198.51.100.1").reason is None


def test_many_valid_logins_at_once_are_never_punished(door):
    fail(door, 4)  # one more failure is all that fits
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        reasons = list(pool.map(lambda _: door.login(address="198.51.100.1").reason, range(60)))
    assert reasons == [None] * 60


def test_parallel_guesses_get_no_more_tries_than_serial_ones(door):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        reasons = list(pool.map(lambda i: door.login(password=f"guess {i}", address="198.51.100.1").reason, range(60)))
    assert reasons.count("credentials_invalid") == 5 and reasons.count("throttled") == 55


def test_counters_survive_a_restart(start):
    authsvc = start(authsvc=LIMITS)
    door = DOORS["rest"](authsvc)
    fail(door, 5)
    authsvc.process.kill()
    authsvc.start()
    assert DOORS["rest"](authsvc).login(address="198.51.100.1").reason == "throttled"


def test_a_flood_is_shed_and_refreshes_go_on(start):
    authsvc = start(authsvc={"password": {"memory": "19MiB", "iterations": 4}, "login": {"threads": 1, "queue": 4}})
    door = DOORS["rest"](authsvc)
    token = door.login().tokens["refresh_token"]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        flood = [pool.submit(door.login) for _ in range(48)]
        for _ in range(5):
            outcome = door.refresh(token)
            assert outcome.reason is None
            token = outcome.tokens["refresh_token"]
        outcomes = [f.result() for f in flood]
    reasons = {o.reason for o in outcomes}
    assert reasons == {None, "login_overloaded"}
    assert all(o.retry_after >= 1 and o.status == 503 for o in outcomes if o.reason)
