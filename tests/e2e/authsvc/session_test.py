"""Who am I, where am I logged in, and out: over both doors; and what the sidecars are told of it."""
import itertools
import queue
import time

import grpc
import pytest

from tests.e2e.authsvc.doors import ANNA, HOST, ISSUER, PASSWORD, Grpc, Rest
from tests.support import rpc
from tests.support.programs import until

FEED = "clinicwave.identity.v1.RevocationService"


def test_userinfo_tells_the_claims(door):
    t = door.login().tokens
    outcome = door.userinfo(t["access_token"])
    assert outcome.reason is None
    claims = outcome.tokens
    assert claims["sub"] and claims["email"] == ANNA and claims["preferred_username"] == ANNA and claims["roles"] == ["doctor", "auditor"]
    assert claims["tenant"] == "clinicwave"
    claims = door.userinfo(door.login(client="mobile", scopes=["openid"]).tokens["access_token"]).tokens
    assert "email" not in claims and claims["sub"]
    assert door.userinfo(door.login(client="mobile", scopes=["email"]).tokens["access_token"]).reason == "scope_insufficient"


@pytest.mark.parametrize("method", ["userinfo", "sessions", "logout"])
def test_only_a_living_access_token_of_this_tenant_opens_it(door, method):
    t = door.login().tokens
    call = getattr(door, method)
    assert call("").reason == "token_missing"
    assert call("x").reason == "token_malformed"
    assert call(t["id_token"]).reason == "type_mismatch"
    assert call(t["access_token"][:-4] + "AAAA").reason == "signature_invalid"
    assert call(t["access_token"], domain="unknown.localhost").reason == "tenant_unknown"
    assert call(t["access_token"]).reason is None


def test_a_token_of_another_tenant_is_no_token_here(door):
    t = door.login().tokens
    assert door.userinfo(t["access_token"], domain="other.localhost").reason in ("issuer_unknown", "issuer_mismatch", "key_unknown")


def test_sessions_are_listed_newest_first_and_only_ones_own(door, authsvc):
    first, second = door.login().tokens, door.login(client="mobile").tokens
    sessions = door.sessions(second["access_token"]).tokens
    assert [s["session_id"] for s in sessions] == [second["session_id"], first["session_id"]]
    assert {s["session_id"]: s["current"] for s in sessions}[second["session_id"]] is True
    assert {s["session_id"]: s["current"] for s in sessions}[first["session_id"]] is False
    assert all(s["started_at"] <= time.time() < s["expires_at"] for s in sessions)
    assert {s["client_id"] for s in sessions} == {"portal", "mobile"}


def test_a_session_tells_its_device_its_address_and_when_it_was_used(door):
    t = door.login(device="Mozilla/5.0 (Häuser)", address="198.51.100.7").tokens
    long = door.login(device="é" * 200, address="2001:db8::7").tokens
    mapped = door.login(address="::ffff:198.51.100.8").tokens

    def session(of):
        return next(s for s in door.sessions(t["access_token"]).tokens if s["session_id"] == of["session_id"])
    first = session(t)
    assert (first["device"], first["address"]) == ("Mozilla/5.0 (Häuser)", "198.51.100.7")
    assert session(mapped)["address"] == "198.51.100.8"  # one spelling, as in throttling and in the log
    assert (session(long)["device"], session(long)["address"]) == ("é" * 128, "2001:db8::7")  # 256 bytes, whole characters
    assert first["started_at"] <= first["used_at"] <= time.time()
    token = [t["refresh_token"]]

    def used_later():
        token.append(door.refresh(token[-1]).tokens["refresh_token"])
        return session(t)["used_at"] > first["used_at"] or time.sleep(0.2)
    until("a refresh counts as use", used_later)
    assert session(t)["started_at"] == first["started_at"]


def test_a_session_can_be_ended_by_its_user_only(door, authsvc):
    authsvc.stop()
    authsvc.add_user("clinicwave", "bob@clinicwave.com", PASSWORD)
    authsvc.start()
    anna, other, bob = door.login().tokens, door.login().tokens, door.login("bob@clinicwave.com").tokens
    assert door.end_session(bob["access_token"], anna["session_id"]).reason == "not_found"
    assert door.end_session(anna["access_token"], other["session_id"]).reason is None
    assert door.end_session(anna["access_token"], other["session_id"]).reason == "not_found"
    assert door.refresh(other["refresh_token"]).reason == "refresh_invalid"
    assert door.userinfo(other["access_token"]).reason == "token_revoked"
    assert door.refresh(anna["refresh_token"]).reason is None


@pytest.mark.parametrize("by", ["refresh_token", "access_token", "old refresh_token"])
def test_logout_ends_the_session(door, by):
    t = door.login().tokens
    newest = door.refresh(t["refresh_token"]).tokens
    if by == "access_token":
        assert door.logout(newest["access_token"]).reason is None
    else:
        assert door.logout(refresh_token=(t if by.startswith("old") else newest)["refresh_token"]).reason is None
    assert door.refresh(newest["refresh_token"]).reason == "refresh_invalid"
    assert door.userinfo(newest["access_token"]).reason == "token_revoked"
    assert door.logout(refresh_token=newest["refresh_token"]).reason is None  # over is over
    assert door.login().reason is None


def test_a_guess_logs_nobody_out(door):
    t = door.login().tokens
    forged = t["refresh_token"][:-4] + ("AAAA" if not t["refresh_token"].endswith("AAAA") else "BAAA")
    assert door.logout(refresh_token=forged).reason == "refresh_invalid"
    assert door.logout(refresh_token="x").reason == "refresh_invalid"
    assert door.refresh(t["refresh_token"]).reason is None


def test_logout_by_the_access_token_may_have_an_empty_object_beside_it(authsvc):
    """As HTTP libraries send it that always have a body."""
    rest = Rest(authsvc)
    t = rest.login().tokens
    assert rest.send("POST", "/auth/v1/logout", t["access_token"], body={}).status == 204
    assert rest.refresh(t["refresh_token"]).reason == "refresh_invalid"
    both, other = rest.login().tokens, rest.login().tokens
    assert rest.send("POST", "/auth/v1/logout", other["access_token"], body={"refresh_token": both["refresh_token"]}).status == 204
    assert rest.refresh(both["refresh_token"]).reason == "refresh_invalid", "the body's token says which session"
    assert rest.refresh(other["refresh_token"]).reason is None
    assert rest.send("POST", "/auth/v1/logout", body={}).reason == "token_missing"


def test_logout_without_any_token_is_refused(authsvc):
    rest = Rest(authsvc)
    assert rest.logout().reason == "token_missing"
    assert Grpc(authsvc).logout().reason == "token_missing"
    answer = rest.client.post("/auth/v1/logout", content=b"x", headers={"Host": HOST, "Content-Type": "text/plain"})
    assert answer.status_code == 415


class Watcher:
    """A sidecar that applies what it is told and says so."""

    def __init__(self, authsvc, acknowledge=True):
        self.requests, self.acknowledge = queue.Queue(), acknowledge
        self.request = rpc.message("clinicwave.identity.v1.RevocationServiceWatchRequest")
        self.requests.put(self.request())
        self.call = authsvc.stub(FEED).Watch(iter(self.requests.get, None), timeout=30)

    def next(self):
        answer = next(self.call)
        if self.acknowledge:
            self.requests.put(self.request(number=answer.number))
        return answer

    def close(self):
        self.requests.put(None)
        self.call.cancel()


def test_the_feed_begins_with_a_snapshot_and_goes_on_with_what_happens(authsvc):
    door = Rest(authsvc)
    before, after = door.login().tokens, door.login().tokens
    door.logout(refresh_token=before["refresh_token"])
    watcher = Watcher(authsvc)
    snapshot = watcher.next()
    assert snapshot.snapshot and len(snapshot.epoch) == 32 and ISSUER in snapshot.issuers
    revoked, = snapshot.revocations
    assert (revoked.issuer, revoked.session_id) == (ISSUER, before["session_id"]) and revoked.expires_at > time.time() + 300
    door.logout(refresh_token=after["refresh_token"])
    update = next(a for a in iter(watcher.next, None) if a.revocations)
    assert not update.snapshot and update.number == snapshot.number + 1
    assert [r.session_id for r in update.revocations] == [after["session_id"]]
    watcher.close()


def test_logout_waits_for_the_sidecars_but_not_long(authsvc):
    door = Rest(authsvc)
    tokens = [door.login().tokens["refresh_token"] for _ in range(20)]
    watcher = Watcher(authsvc, acknowledge=False)
    watcher.next()
    started = time.monotonic()
    assert door.logout(refresh_token=tokens.pop()).reason is None  # nobody acknowledges
    assert 0.08 < time.monotonic() - started < 10
    watcher.close()

    def at_once():
        started = time.monotonic()
        assert door.logout(refresh_token=tokens.pop()).reason is None
        return time.monotonic() - started < 0.09 or time.sleep(0.1)
    until("nobody is there to wait for", at_once)


def test_a_reused_refresh_token_is_in_the_feed_and_it_survives_a_restart(authsvc):
    door = Rest(authsvc)
    first = door.login().tokens
    second = door.refresh(first["refresh_token"]).tokens
    door.refresh(second["refresh_token"])
    assert door.refresh(first["refresh_token"]).reason == "refresh_invalid"
    watcher = Watcher(authsvc)
    before = watcher.next()
    assert [r.session_id for r in before.revocations] == [first["session_id"]]
    watcher.close()
    authsvc.process.kill()
    authsvc.start()
    watcher = Watcher(authsvc)
    after = watcher.next()
    assert (after.epoch, after.number, list(after.revocations)) == (before.epoch, before.number, list(before.revocations))
    watcher.close()


def test_heartbeats_come(authsvc):
    watcher = Watcher(authsvc)
    snapshot = watcher.next()
    beat = watcher.next()
    assert not beat.snapshot and not beat.revocations and beat.number == snapshot.number
    watcher.close()


def test_streams_end_when_authsvc_does(authsvc):
    watcher = Watcher(authsvc)
    watcher.next()
    assert authsvc.stop() == 0
    with pytest.raises(grpc.RpcError) as e:
        list(itertools.islice(watcher.call, 5))
    assert e.value.code() == grpc.StatusCode.UNAVAILABLE
    watcher.close()
