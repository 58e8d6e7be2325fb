"""A provider that refuses, errs, lies, hangs or is not there: each answer is clear, none is a wrong password, nothing is lost."""
import json
import signal
import threading
import time

import httpx
import pytest
import yaml

from tests.e2e.authsvc.idp_errors import LOGIN, error
from tests.e2e.authsvc.idp_world import ABOTT, abott, claims, one_idp, start  # noqa: F401 (fixtures)
from tests.support import tokens
from tests.support.idp import BOB, Idp
from tests.support.programs import until


@pytest.fixture(params=[("rest", "auth0"), ("grpc", "rfc9068")], ids="-".join)
def world(request, directory, ending):
    """Both doors and both dialects, once each."""
    door, profile = request.param
    return start(directory, ending, ending(Idp(profile)), door, breaker={"failures": 1000})


@pytest.mark.parametrize("status, body, headers, reason", [
    *[(status, body, {}, reason) for status, body, reason in LOGIN],
    (429, error("too_many_attempts"), {"Retry_After": "120"}, "throttled"),
    (404, b"<html>no</html>", {}, "idp_misconfigured"),
    (503, b"<html>busy</html>", {}, "idp_unavailable"),
    (403, b"", {}, "idp_unavailable"),
    (302, b"", {"Location": "http://127.0.0.1/"}, "idp_unavailable"),
    (200, b"", {}, "idp_unavailable"),
    (200, b"[]", {}, "idp_unavailable"),
    (200, {"access_token": "x"}, {}, "idp_unavailable"),
    (200, {"access_token": "x", "token_type": "Bearer"}, {}, "idp_unavailable"),  # no ID token
    (200, b'{"a":' + b'"' + b"x" * 400000 + b'"}', {}, "idp_unavailable"),
], ids=lambda v: str(v)[:40])
def test_what_the_provider_says_is_passed_on_in_our_words(world, status, body, headers, reason):
    world.idp.answer_with(status, body, **headers)
    outcome = world.login()
    assert outcome.reason == reason and outcome.tokens is None, outcome
    assert "Unauthorized" not in outcome.text and "Service not found" not in outcome.text
    if "Retry_After" in headers:
        assert outcome.retry_after == 120
    world.idp.answer_normally()
    assert world.login().reason is None  # and nothing is left of it


@pytest.mark.parametrize("change, fine", [
    ({}, True),
    ({"aud": "another"}, False), ({"iss": "https://elsewhere/"}, False), ({"exp": 1}, False), ({"sub": ""}, False), ({"sub": None}, False),
    ({"iat": None}, False), ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, False), ({"aud": ["clinicwave", "x"]}, False),
    ({"aud": ["clinicwave", "x"], "azp": "clinicwave"}, True), ({"azp": "x"}, False),
], ids=str)
def test_an_id_token_is_believed_only_when_all_of_it_is_right(world, change, fine):
    world.idp.id_claims = change
    assert world.login().reason == (None if fine else "idp_unavailable")


def test_an_id_token_of_another_signature_is_not_believed(world):
    real, other = world.idp.keys[0], tokens.Key("RS256")
    other.kid = real.kid
    body = world.idp.token_set(world.idp.users[BOB], "openid")
    for forged in (tokens.mint(other, claims(body["id_token"]), typ="JWT"), tokens.unsigned(claims(body["id_token"])),
                   tokens.hmac_with_public_key(real, claims(body["id_token"])), body["access_token"], "x.y.z", "opaque"):
        world.idp.answer_with(200, {**body, "id_token": forged})
        assert world.login().reason == "idp_unavailable"
    world.idp.answer_with(200, body)
    assert world.login().reason is None


def test_an_access_token_about_another_subject_is_refused(world):
    body = world.idp.token_set(world.idp.users[BOB], "openid")
    world.idp.users["eve"] = dict(world.idp.users[BOB], sub="auth0|eve")
    body["access_token"] = world.idp.access_token(world.idp.users["eve"], "openid")
    world.idp.answer_with(200, body)
    assert world.login().reason == "idp_unavailable"


def test_a_new_key_of_the_provider_is_fetched_when_it_is_first_used(world):
    assert world.login().reason is None
    world.idp.rotate()
    # An unknown key is asked for once the last fetch is old enough; until then nothing is decided.
    until("the new key is known", lambda: world.login().reason is None, 60)


def test_claims_about_another_subject_are_not_passed_on(world):
    t = world.login().tokens
    world.idp.userinfo_script = lambda request: world.idp.send(request, {"sub": "auth0|eve"})
    assert world.door.userinfo(t["access_token"], domain=ABOTT).reason == "idp_unavailable"


def test_an_opaque_access_token_works_for_the_claims(world):
    body = dict(world.idp.token_set(world.idp.users[BOB], "openid offline_access"), access_token="opaque-" + "x" * 36)
    world.idp.answer_with(200, body, times=1)
    t = world.login().tokens
    world.idp.userinfo_script = lambda request: world.idp.send(request, {"sub": "auth0|bob"})
    assert world.door.userinfo(t["access_token"], domain=ABOTT).tokens == {"sub": "auth0|bob"}
    assert world.door.logout(token=t["access_token"], domain=ABOTT).reason is None
    assert world.door.userinfo(t["access_token"], domain=ABOTT).reason == "token_revoked"


# --- time and absence


def test_a_hanging_provider_costs_its_own_users_only(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, timeout="2s", concurrency=4, anna=True)
    assert world.login().reason is None
    one_idp.hang_on_tokens()
    reasons = []
    threads = [threading.Thread(target=lambda: reasons.append(world.login().reason)) for _ in range(8)]
    for t in threads:
        t.start()
    until("the calls are out", lambda: len(one_idp.seen()) >= 4)
    started = time.monotonic()
    assert world.anna().reason is None  # another tenant's login does not wait for it
    for t in threads:
        t.join(30)
    assert set(reasons) == {"idp_unavailable"} and len(reasons) == 8
    assert time.monotonic() - started < 25
    assert len(one_idp.seen()) <= 1 + 4 + 4  # never more than the bound at once
    one_idp.answer_normally()
    until("it is asked again", lambda: world.login().reason is None, 30)


def test_the_breaker_keeps_calls_away_and_lets_one_try(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, breaker={"failures": 3, "open": "1s"})
    assert world.login().reason is None
    one_idp.answer_with(500, error("server_error"))
    for _ in range(3):
        assert world.login().reason == "idp_unavailable"
    seen = len(one_idp.seen())
    outcome = world.login()
    assert outcome.reason == "idp_unavailable" and outcome.retry_after >= 1 and len(one_idp.seen()) == seen
    one_idp.answer_normally()
    until("the probe is good", lambda: world.login().reason is None, 20)


def test_wrong_passwords_open_no_breaker(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, breaker={"failures": 2, "open": "1h"})
    for _ in range(5):
        assert world.login(password="wrong").reason == "credentials_invalid"
    assert world.login().reason is None


def test_our_own_rate_limit_keeps_the_providers(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, rate={"per-second": 1, "burst": 3})
    outcomes = [world.login() for _ in range(8)]
    assert [o.reason for o in outcomes[:3]] == [None] * 3
    refused = [o for o in outcomes if o.reason]
    assert refused and all(o.reason == "idp_unavailable" and o.retry_after >= 1 for o in refused)


def test_a_rate_limit_of_the_provider_is_respected(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    one_idp.answer_with(429, error("too_many_requests"), X_RateLimit_Reset=str(int(time.time()) + 3))
    first = world.login()
    assert first.reason == "throttled" and 1 <= first.retry_after <= 3
    one_idp.answer_normally()
    seen = len(one_idp.seen())
    outcome = world.login()
    assert outcome.reason is None or len(one_idp.seen()) == seen  # asked again only after the pause
    until("the pause is over", lambda: world.login().reason is None, 20)


def test_failed_logins_are_throttled_here_before_the_provider_sees_them(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, authsvc={"throttle": {"account": {"burst": 2, "per-minute": 1}}})
    reasons = [world.login(password="wrong").reason for _ in range(4)]
    assert reasons == ["credentials_invalid"] * 2 + ["throttled"] * 2 and len(one_idp.seen()) == 2


def test_a_provider_that_is_down_counts_nobodys_attempts(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, authsvc={"throttle": {"account": {"burst": 2, "per-minute": 1}}}, breaker={"failures": 100})
    one_idp.answer_with(500, error("server_error"))
    assert [world.login().reason for _ in range(5)] == ["idp_unavailable"] * 5
    one_idp.answer_normally()
    assert world.login().reason is None


def test_a_provider_that_was_down_at_the_start_is_found_later(directory, ending):
    provider = ending(Idp())
    provider.metadata = {"token_endpoint": "http://elsewhere.example/token"}  # not one that can be used
    world = start(directory, ending, provider, anna=True)
    assert world.login().reason == "idp_unavailable"
    assert world.anna().reason is None
    provider.metadata = {}
    until("its metadata is read", lambda: world.login().reason is None, 30)


def test_metadata_of_another_issuer_is_not_used(directory, ending):
    provider = ending(Idp())
    provider.metadata = {"issuer": provider.url.rstrip("/")}
    world = start(directory, ending, provider)
    assert world.login().reason == "idp_unavailable"
    assert not provider.seen()
    assert '"idp-misconfigured"' in world.authsvc.process.log()


def test_metadata_is_looked_at_again_and_kept_when_that_fails(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, refresh="1s")
    assert world.login().reason is None
    until("it is looked at again", lambda: one_idp.discoveries >= 4, 30)
    one_idp.metadata = {"issuer": "https://somebody.else/"}
    seen = one_idp.discoveries
    until("the bad one was read", lambda: one_idp.discoveries > seen + 1, 30)
    assert world.login().reason is None


# --- refresh


@pytest.mark.parametrize("fault", ["error", "hang", "close"])
def test_a_refresh_that_fails_can_be_tried_again(world, fault):
    t = world.login().tokens
    if fault == "error":
        world.idp.answer_with(500, error("server_error"))
    elif fault == "hang":
        world.idp.hang_on_tokens()
    else:
        world.idp.close_on_tokens()
    assert world.refresh(t["refresh_token"]).reason == "idp_unavailable"
    world.idp.answer_normally()
    again = world.refresh(t["refresh_token"])
    assert again.reason is None and again.tokens["session_id"] == t["session_id"]


def test_a_misconfigured_client_ends_no_session(world):
    t = world.login().tokens
    world.idp.answer_with(401, error("access_denied", "Unauthorized"))
    assert world.refresh(t["refresh_token"]).reason == "idp_misconfigured"
    world.idp.answer_normally()
    assert world.refresh(t["refresh_token"]).reason is None


def test_a_rotation_that_was_lost_in_a_crash_ends_the_session(directory, ending, one_idp):  # noqa: F811
    """The provider has rotated, authsvc died before it could keep the new token: the documented end of the session."""
    world = start(directory, ending, one_idp)
    t = world.login().tokens
    answered, go = threading.Event(), threading.Event()

    def rotate_and_wait(request):
        form = one_idp.seen()[-1]
        body = one_idp.grant(form)  # rotated there …
        answered.set()
        go.wait(30)
        one_idp.send(request, body)  # … and the answer comes when nobody is left
    one_idp.token_script = rotate_and_wait
    thread = threading.Thread(target=lambda: pytest.raises(Exception, world.refresh, t["refresh_token"]))
    thread.start()
    assert answered.wait(20)
    world.authsvc.process.kill()
    go.set()
    thread.join(30)
    one_idp.answer_normally()
    world.authsvc.start()
    again = type(world.door)(world.authsvc)
    # While the claim of the dead process has not lapsed nothing is decided.
    outcome = until("the claim has lapsed", lambda: (o := again.refresh(t["refresh_token"], domain=ABOTT)).reason != "idp_unavailable" and o, 40)
    assert outcome.reason == "refresh_invalid"
    assert again.userinfo(t["access_token"], domain=ABOTT).reason == "token_revoked"
    assert again.login(BOB, one_idp.users[BOB]["password"], domain=ABOTT).reason is None


def test_a_session_that_ends_while_it_is_refreshed_stays_ended(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    t = world.login().tokens

    def end_it_meanwhile(request):
        one_idp.token_script = None
        assert world.door.logout(token=t["access_token"], domain=ABOTT).reason is None
        one_idp.send(request, one_idp.grant(one_idp.seen()[-1]))
    one_idp.token_script = end_it_meanwhile
    outcome = type(world.door)(world.authsvc).refresh(t["refresh_token"], domain=ABOTT)
    assert outcome.reason == "refresh_invalid"
    until("what came of it is given back", lambda: len(one_idp.revoked) >= 1)


def providers(world):
    """The health page's component, and the page as text."""
    page = httpx.get(f"http://127.0.0.1:{world.authsvc.management}/actuator/health", timeout=20)
    return page.json()["components"]["identityProviders"], page


def test_the_health_page_tells_how_a_provider_is(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, breaker={"failures": 2, "open": "60s"})
    assert world.login().reason is None
    part, _ = providers(world)
    assert part["status"] == "UP" and (part["details"]["providers"], part["details"]["troubled"]) == (1, 0)
    abotts = part["details"]["tenants"]["abott"]
    assert abotts["metadata"] is True and abotts["breaker"] == "closed" and 0 <= abotts["keysAgeSeconds"] < 300
    one_idp.answer_with(500, {"error": "server_error"})
    for _ in range(2):
        assert world.login().reason == "idp_unavailable"
    part, page = providers(world)
    assert part["status"] == "DOWN" and part["details"]["tenants"]["abott"]["breaker"] == "open"
    assert page.json()["status"] == "UP", "clinicwave's users can log in all the same"
    assert one_idp.secret not in page.text


def test_the_health_page_names_those_in_trouble_first_and_not_all(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    config = yaml.safe_load(world.authsvc.config.read_text())
    nobody = [{**config["tenants"][-1], "name": f"{'zyxw'[i % 4]}{i}", "domains": [f"t{i}.localhost"], "issuer": f"http://127.0.0.1:1/{i}/"} for i in range(30)]

    def reload(tenants):
        world.authsvc.config.write_text(json.dumps({**config, "tenants": tenants}))  # without the anchors of YAML
        world.authsvc.process.signal(signal.SIGHUP)
        until("the health page has them", lambda: providers(world)[0]["details"]["providers"] == len(tenants) - 2, 60)

    reload(config["tenants"] + nobody)
    part = until("all were tried", lambda: (p := providers(world)[0])["details"]["troubled"] == 30 and p, 60)
    assert part["status"] == "UNKNOWN" and len(part["details"]["tenants"]) == 20 and "abott" not in part["details"]["tenants"]
    assert all(t["metadata"] is False and "keysAgeSeconds" not in t for t in part["details"]["tenants"].values())
    assert world.login().reason is None
    reload(config["tenants"] + nobody[:3])
    part, _ = providers(world)
    assert set(part["details"]["tenants"]) == {"abott", "z0", "y1", "x2"} and part["details"]["troubled"] == 3
    assert world.login().reason is None
    reload(config["tenants"])
    assert providers(world)[0]["status"] == "UP"
