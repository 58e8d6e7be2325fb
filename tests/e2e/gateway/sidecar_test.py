"""Real nginx, real cw-sidecar: the verdicts that matter, and the faults that only a real process has."""
import concurrent.futures
import time

import pytest

from tests.support.programs import until

ROUTES = """
    location /quick/ { cw_auth required; cw_timeout 500ms; proxy_pass http://@SERVICE@; }
    location /a/ { cw_auth required; cw_timeout 8s; proxy_pass http://@SERVICE@; }
    location /slow/ { cw_auth required; cw_timeout 8s; proxy_pass http://@SERVICE@; }
    location /scoped/ { cw_auth required; cw_scope files:write; proxy_pass http://@SERVICE@; }
    location /other/ { cw_auth required; cw_audience https://somewhere.else; proxy_pass http://@SERVICE@; }
    location = /healthz { cw_auth off; cw_healthz; }
    location = /metrics { cw_auth off; cw_metrics; }
"""


@pytest.fixture
def gateway(sidecar, nginx):
    return nginx(ROUTES, sidecar=str(sidecar.gateway_socket))


@pytest.fixture
def token(issuer):
    return issuer.token(sub="anna", scope="files:read")


def test_a_good_token_opens_the_door(gateway, token, issuer):
    r = gateway.get("/a/x", token)
    assert r.status == 200, r
    assert r.reached("X-Auth-Tenant") == ["clinicwave"]
    assert r.reached("X-Auth-Subject") == ["anna"]
    assert r.reached("X-Auth-Issuer") == [issuer.url]
    assert r.reached("X-Auth-Scope") == ["files:read"]


def test_the_second_time_it_comes_from_the_cache(gateway, token):
    for _ in range(3):
        assert gateway.get("/a/x", token).status == 200
    assert [l["cached"] for l in gateway.logged(3)] == ["false", "true", "true"]
    assert gateway.metrics()['cw_gateway_questions_total{by="digest"}'] == 2


def test_what_is_wrong_with_a_token_is_told(gateway, issuer, token):
    assert gateway.get("/a/x", issuer.token(exp=int(time.time()) - 3600)).reason == "token_expired"
    head, payload, signature = token.split(".")
    forged = f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    assert gateway.get("/a/x", forged).reason == "signature_invalid"
    assert gateway.get("/a/x", "no.jwt").status == 401
    assert gateway.get("/other/x", token).reason == "audience_mismatch"
    r = gateway.get("/scoped/x", token)
    assert (r.status, r.reason) == (403, "scope_insufficient")
    assert 'scope="files:write"' in r.headers["www-authenticate"]


def test_a_tampered_token_of_a_cached_one_is_refused(gateway, token):
    assert gateway.get("/a/x", token).status == 200
    assert gateway.get("/a/x", token[:-6] + "AAAAAA").status == 401


@pytest.mark.parametrize("with_token", [True, False])
def test_a_domain_of_nobody_is_421(gateway, token, with_token):
    r = gateway.get("/a/x", token if with_token else None, host="nobody.example")
    assert (r.status, r.reason) == (421, "tenant_unknown")


def test_no_token_is_401(gateway):
    assert gateway.get("/a/x").reason == "token_missing"


def test_a_sidecar_that_is_stopped_and_goes_on(gateway, sidecar, token):
    assert gateway.get("/a/x", token).status == 200
    sidecar.process.pause()
    try:
        for _ in range(2):
            start = time.monotonic()
            r = gateway.get("/quick/x", token)
            assert r.status == 503 and r.reason in ("deadline_exceeded", "validator_unavailable")
            assert r.headers["retry-after"]
            assert time.monotonic() - start < 5
        until("healthz says so", lambda: gateway.get("/healthz").status == 503)
    finally:
        sidecar.process.go_on()
    until("requests pass again", lambda: gateway.get("/a/x", token).status == 200)


def test_a_sidecar_that_is_killed_and_comes_back(gateway, sidecar, token):
    assert gateway.get("/a/x", token).status == 200
    sidecar.process.kill()
    r = gateway.get("/quick/x", token)
    assert (r.status, r.reason) == (503, "validator_unavailable")
    sidecar.start()
    until("requests pass again", lambda: gateway.get("/a/x", token).status == 200)


def test_a_restart_under_load_costs_no_request(gateway, sidecar, token):
    def ask(_):
        return gateway.get("/slow/x", token, timeout=20).status
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        before = list(pool.map(ask, range(40)))
        rest = pool.map(ask, range(200))
        sidecar.process.stop()
        sidecar.start()
        after = list(rest)
    assert set(before + after) == {200}


def test_keys_that_never_came_are_503(directory, authority, ending, nginx):
    from tests.support.fixtures import tenant_of
    from tests.support.issuer import Issuer
    from tests.support.stack import Sidecar
    issuer = ending(Issuer(authority.issue("127.0.0.1")))
    issuer.answer_keys_with(status=500)
    s = ending(Sidecar(directory, [tenant_of(issuer, authority)]).start())
    g = nginx(ROUTES, sidecar=str(s.gateway_socket))
    r = g.get("/slow/x", issuer.token(), timeout=15)
    assert (r.status, r.reason) == (503, "keys_unavailable")
    assert r.headers["retry-after"] and "www-authenticate" not in r.headers


def test_many_tokens_at_once_are_all_judged_rightly(gateway, issuer):
    good = [issuer.token(sub=f"user-{i}") for i in range(40)]
    bad = [t[:-8] + "AAAAAAAA" for t in good]

    def ask(i):
        t = (good if i % 2 else bad)[i // 2 % 40]
        r = gateway.get("/slow/x", t)
        return r.status == (200 if i % 2 else 401) and (i % 2 == 0 or r.reached("X-Auth-Subject") == [f"user-{i // 2 % 40}"])
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(400)))
