"""Brute force is slowed down, softly, and nobody who knows the password is punished."""
import concurrent.futures
import json
import pwd
import subprocess

import pytest

from tests.e2e.authsvc.doors import ANNA, DOORS, HOST, PASSWORD, Grpc
from tests.support import rpc
from tests.support.fixtures import only_root

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


def test_an_ipv4_mapped_address_is_the_ipv4_one(door):
    mapped = ["::ffff:198.51.100.1", "::FFFF:c633:6401", "0:0:0:0:0:ffff:198.51.100.1"]
    assert [door.login(password="wrong", address=a).reason for a in (*mapped, "198.51.100.1", *mapped)] == ["credentials_invalid"] * 5 + ["throttled"] * 2
    assert door.login(address="198.51.100.1").reason == "throttled"
    assert door.login(address="::ffff:198.51.100.2").reason is None  # a neighbour, not the same network of ::/64


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


# --- who may say where a login comes from, by gRPC

NOBODY = pwd.getpwnam("nobody").pw_uid
GUESS, DENIED, WAIT = (f"StatusCode.{code}" for code in ("UNAUTHENTICATED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"))

# Calls Login with each request of standard input and prints what became of it.
STRANGER = """
import json, sys, grpc
channel = grpc.insecure_channel("unix:" + sys.argv[1], options=[("grpc.default_authority", "localhost")])
for request, address in json.load(sys.stdin):
    try:
        channel.unary_unary("/clinicwave.identity.v1.IdentityService/Login")(bytes.fromhex(request), timeout=20, metadata=[("x-forwarded-for", address)] if address else [])
    except grpc.RpcError as e:
        print(e.code())
"""


def strangers_guesses(authsvc, where, n=8):
    """What the user `nobody`, who can open the socket, gets for N guesses; each says that it comes from elsewhere, in the field or the metadata."""
    authsvc.socket.chmod(0o666)
    request = rpc.message("clinicwave.identity.v1.LoginRequest")
    told = [f"198.51.100.{i}" for i in range(n)]
    calls = [(request(domain=HOST, username=ANNA.encode(), password=b"wrong", client_address=t if where == "field" else "").SerializeToString().hex(),
              t if where == "metadata" else None) for t in told]
    r = subprocess.run(["/usr/bin/python3", "-c", STRANGER, authsvc.socket], input=json.dumps(calls), user="nobody", capture_output=True, text=True, timeout=120)
    assert r.returncode == 0, r.stderr
    return r.stdout.split()


@only_root
@pytest.mark.parametrize("where", ["field", "metadata"])
def test_another_local_user_does_not_choose_the_address_that_is_counted(start, where):
    assert strangers_guesses(start(authsvc=LIMITS), where) == [GUESS] * 5 + [WAIT] * 3


@only_root
@pytest.mark.parametrize("where", ["field", "metadata"])
def test_a_gateways_user_tells_the_address(start, where):
    assert strangers_guesses(start(authsvc={**LIMITS, "gateway-uids": [str(NOBODY)]}), where) == [GUESS] * 8


@only_root
@pytest.mark.parametrize("uids, got", [({"service-uids": [str(NOBODY - 1)]}, DENIED), ({"service-uids": [str(NOBODY)]}, GUESS),
                                       ({"service-uids": [str(NOBODY - 1)], "gateway-uids": [str(NOBODY)]}, GUESS)])
def test_who_is_not_among_the_service_uids_may_not_call(start, uids, got):
    assert strangers_guesses(start(authsvc={**LIMITS, **uids}), "field", 1) == [got]


def test_what_a_proxy_saw_goes_before_what_the_client_says(start):
    door = Grpc(start(authsvc=LIMITS))

    def guess():
        return door.outcome(lambda: door.stub.Login(domain=HOST, username=ANNA.encode(), password=b"wrong", client_address="192.0.2.7",
                                                    metadata=[("x-forwarded-for", "203.0.113.9, 198.51.100.1")])).reason
    assert [guess() for _ in range(6)] == ["credentials_invalid"] * 5 + ["throttled"]
    assert door.login(address="198.51.100.1").reason == "throttled"  # the last one: the proxy's own observation
    assert door.login(address="203.0.113.9").reason is None and door.login(address="192.0.2.7").reason is None
