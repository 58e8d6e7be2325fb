"""Signing keys are replaced: published before they sign and after, by command, by age, in an emergency, and under load."""
import base64
import json
import sqlite3
import subprocess
import threading
import time

import pytest

from tests.e2e.authsvc.administration import Admin, refused
from tests.e2e.authsvc.doors import ANNA, HOST, Rest
from tests.support.programs import program, until
from tests.support.stack import Sidecar

ACME = "acme.localhost"
ROUTES = "location / { cw_auth required; cw_timeout 30s; proxy_pass http://@SERVICE@; }"
QUICK = {"keys": {"publish-ahead": "2s", "retire-margin": "1s"}}
GONE = ("key_withdrawn", "key_unknown")


def kid(token):
    header = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def cwctl(authsvc, *arguments, code=0):
    r = subprocess.run([str(a) for a in (program("cwctl/cwctl"), "signing-keys", *arguments, "--run-dir", authsvc.directory)],
                       text=True, capture_output=True, timeout=120)
    assert r.returncode == code, (r.returncode, r.stdout, r.stderr)
    return r.stdout + r.stderr


def keys(authsvc, tenant="acme"):
    """(kid, state) of the keys, in the order in which they sign."""
    return [(k["key_id"], k["state"]) for k in json.loads(cwctl(authsvc, "list", "--tenant", tenant, "--json")).get("keys", [])]


def states(authsvc, tenant="acme"):
    return [state for _, state in keys(authsvc, tenant)]


def published(authsvc, host=ACME):
    answer = Rest(authsvc).client.get("/.well-known/jwks.json", headers={"Host": host})
    return [k["kid"] for k in answer.json()["keys"]]


def token_of(authsvc, host=ACME):
    return Rest(authsvc).login(domain=host).tokens["access_token"]


@pytest.fixture
def acme(start):
    """`acme(**keys)`: authsvc with the tenant acme and anna in it."""
    def run(keys=None, **settings):
        authsvc = start(authsvc=keys or QUICK)
        admin = Admin(authsvc)
        admin.create(**settings)
        admin.user()
        return authsvc
    return run


@pytest.fixture
def route(directory, ending, nginx):
    """`route(authsvc)`: sidecar and gateway before it."""
    def run(authsvc):
        (directory / "sidecar").mkdir()
        sidecar = ending(Sidecar(directory / "sidecar", [], sidecar={"authsvc": {"socket": str(authsvc.socket)}}).start())
        until("the sidecar knows the tenants and the revocations", lambda: sidecar.ready() and (directory / "sidecar/state/revocations").exists())
        gateway = nginx(ROUTES, sidecar=str(sidecar.gateway_socket))
        gateway.sidecar = sidecar
        return gateway
    return run


def answer(gateway, token, host=ACME):
    r = gateway.get("/x", token, host=host, timeout=60)
    return r.status if r.status == 200 else r.reason


def kept(sidecar):
    """Key ids of all issuers."""
    answer = sidecar.stub("clinicwave.token.v1.TokenAdminService", sidecar.admin_socket).ListKeys()
    return {key.key_id for issuer in answer.issuers for key in issuer.keys}


def known(gateway, token, host=ACME):
    return until("the token is good", lambda: answer(gateway, token, host) == 200, 60)


# --- by command ---


def test_the_next_key_is_published_ahead_and_then_signs(acme):
    authsvc = acme({"keys": {"publish-ahead": "12s"}})
    first, = published(authsvc)
    text = cwctl(authsvc, "rotate", "--tenant", "acme")
    assert "active" in text and "pending" in text and "signs from 20" in text
    one, two = json.loads(cwctl(authsvc, "rotate", "--tenant", "acme", "--json"))["keys"]  # again: the same one waits
    assert (one["key_id"], one["state"], two["state"]) == (first, "active", "pending")
    second, instant = two["key_id"], int(two["active_at"])
    assert published(authsvc) == [first, second]
    signed = []

    def next_signs():
        before, signed[:], after = time.time(), [kid(token_of(authsvc))], time.time()
        assert signed == [first] or after >= instant, "it was too early"
        assert signed == [second] or before < instant + 1, "it was too late"
        return signed == [second]
    until("the next key signs", next_signs, 60)
    until("the rows say so", lambda: states(authsvc) == ["retired", "active"], 60)
    assert published(authsvc) == [first, second]


def test_it_survives_a_restart_in_the_middle(acme):
    authsvc = acme({"keys": {"publish-ahead": "3s"}})
    cwctl(authsvc, "rotate", "--tenant", "acme")
    before = [k for k, _ in keys(authsvc)]
    assert authsvc.stop() == 0
    authsvc.start()
    assert [k for k, _ in keys(authsvc)] == before
    until("the next key signs", lambda: kid(token_of(authsvc)) == before[1], 60)


def test_documents_may_be_cached_for_less_than_a_key_is_ahead(acme):
    authsvc = acme({"keys": {"publish-ahead": "90s"}})
    for path in ("jwks.json", "openid-configuration"):
        headers = Rest(authsvc).client.get(f"/.well-known/{path}", headers={"Host": ACME}).headers
        assert headers["cache-control"] == "public, max-age=45"
    assert Rest(authsvc).client.get("/.well-known/openid-configuration", headers={"Host": ACME}).json()["id_token_signing_alg_values_supported"] == ["ES256"]
    Admin(authsvc).update(algorithm="RS256")
    assert Rest(authsvc).client.get("/.well-known/openid-configuration", headers={"Host": ACME}).json()["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


def test_who_may_and_where_there_is_nothing_to_rotate(acme):
    authsvc = acme()
    assert "not_found" in cwctl(authsvc, "rotate", "--tenant", "nobody", code=1)
    stub = authsvc.stub("clinicwave.identity.v1.AdminService")
    assert refused(lambda: stub.RotateSigningKey(tenant="acme"))[0] in ("subject_forbidden", "token_missing", "permission_denied")
    assert states(authsvc) == ["active"]


# --- by age ---


def test_a_key_that_has_served_its_time_is_replaced_by_itself(acme):
    authsvc = acme({"keys": {"publish-ahead": "1s", "rotate-after": "2s", "retire-margin": "1s"}}, access__token__life="10s", id__token__life="10s")
    first, = published(authsvc)[:1]
    seen = set()

    def signed():
        seen.add(kid(token_of(authsvc)))
        return len(seen) >= 3
    until("three keys have signed", signed, 120)
    until("the first one is gone", lambda: first not in published(authsvc), 120)


def test_keys_of_many_tenants_that_are_old_at_once_are_replaced_one_after_the_other(acme):
    authsvc = acme({"keys": {"publish-ahead": "1h", "rotate-after": "3h"}})
    admin, names = Admin(authsvc), [f"t{i:02}" for i in range(20)]  # more than one round of the keeper's
    for name in names:
        admin.create(name, domains=f"{name}.localhost", issuer=f"https://{name}.localhost:8443")
    assert authsvc.stop() == 0
    with sqlite3.connect(authsvc.directory / "state/authsvc.db") as db:
        db.execute("UPDATE signing_key SET active_at = active_at - 10800000")
    db.close()
    authsvc.start()
    until("all have a key that waits", lambda: all(len(published(authsvc, f"{n}.localhost")) == 2 for n in names), 120)
    assert states(authsvc, "t19") == ["active", "pending"]


# --- in an emergency ---


def test_withdrawn_keys_count_for_the_very_next_request_and_sessions_go_on(acme, route):
    authsvc = acme({"keys": {"publish-ahead": "1h"}})
    gateway, door = route(authsvc), Rest(authsvc)
    session = door.login(domain=ACME).tokens
    cached, fresh, others = session["access_token"], token_of(authsvc), token_of(authsvc, HOST)
    known(gateway, cached)
    known(gateway, others, HOST)
    cwctl(authsvc, "rotate", "--tenant", "acme")  # even the one that waits goes
    text = cwctl(authsvc, "rotate", "--tenant", "acme", "--emergency")
    assert "withdrawn: 2" in text
    for token in (cached, fresh):  # the command waits for the sidecars, on a slow machine in vain
        until("the token is refused", lambda: answer(gateway, token) in GONE, 60)
    assert door.userinfo(cached, domain=ACME).reason in GONE
    assert states(authsvc) == ["active"] and kid(cached) not in published(authsvc)
    again = door.refresh(session["refresh_token"], domain=ACME).tokens["access_token"]
    assert kid(again) == published(authsvc)[0]
    known(gateway, again)
    assert answer(gateway, others, HOST) == 200  # another tenant's
    assert '"signing-keys-withdrawn"' in authsvc.process.log()


# --- under load ---


class User(threading.Thread):
    """Logs in, refreshes and requests without a pause; every good token must be let in."""

    def __init__(self, authsvc, gateway, stop):
        super().__init__(daemon=True)
        self.authsvc, self.gateway, self.stopping = authsvc, gateway, stop
        self.refused, self.kids, self.requests, self.failure = [], {}, 0, None

    def use(self, token, expires_at):
        if expires_at - time.time() < 5:
            return  # it may expire on the way
        seen = answer(self.gateway, token)
        self.requests += 1
        if seen != 200 and time.time() < expires_at - 1:  # on a slow machine it has expired on the way
            self.refused.append((kid(token), seen))

    def session(self):
        door = Rest(self.authsvc)
        before, tokens = None, door.login(domain=ACME).tokens
        for _ in range(4):
            self.kids.setdefault(kid(tokens["access_token"]), time.time())
            for t in (tokens, before):
                if t is not None:
                    self.use(t["access_token"], t["expires_at"])
            before, tokens = tokens, door.refresh(tokens["refresh_token"], domain=ACME).tokens

    def run(self):
        try:
            while not self.stopping.is_set():
                self.session()
        except Exception as e:  # told by the test
            self.failure = e


def test_under_load_not_one_good_token_is_refused(acme, route):
    authsvc = acme(access__token__life="15s", id__token__life="15s")
    gateway, admin, stop = route(authsvc), Admin(authsvc), threading.Event()
    oldest = token_of(authsvc)
    known(gateway, oldest)
    assert kid(oldest) in kept(gateway.sidecar)
    users = [User(authsvc, gateway, stop) for _ in range(3)]
    for user in users:
        user.start()

    def turn(change, n):
        change()
        until(f"key {n} signs", lambda: any(u.failure for u in users) or states(authsvc)[-1] == "active" and len({k for u in users for k in u.kids}) >= n, 120)
    try:
        turn(lambda: cwctl(authsvc, "rotate", "--tenant", "acme"), 2)
        turn(lambda: admin.update(algorithm="RS256"), 3)
        turn(lambda: cwctl(authsvc, "rotate", "--tenant", "acme"), 4)
        until("the first key is gone", lambda: kid(oldest) not in published(authsvc), 120)
    finally:
        stop.set()
        for user in users:
            user.join(120)
    assert [u.failure for u in users] == [None] * len(users)
    assert [u.refused for u in users] == [[]] * len(users)
    assert sum(u.requests for u in users) > 50
    until("the sidecar has dropped it, too", lambda: kid(oldest) not in kept(gateway.sidecar), 60)
    assert answer(gateway, oldest) != 200 and kid(oldest) in {k for u in users for k in u.kids}
