"""`cw_cors tenant`: the origins that the sidecar tells are kept at the gateway, over reloads, killed workers and the sidecar's absence."""
import os
import signal

import pytest

from tests.support.gateway import Origins
from tests.support.programs import until

HOST, ALIAS, OTHER_HOST = "clinicwave.localhost", "clinicwave.com", "abott.localhost"
PORTAL, DEV, OTHER = "https://portal.clinicwave.com", "http://localhost:5173", "https://portal.abott.com"
CONFIGURED = "https://ops.example"
CLINICWAVE, ABOTT = ([HOST, ALIAS], [PORTAL, DEV]), ([OTHER_HOST], [OTHER])
SERVER = """
    cw_cors tenant;
    location /api/ { cw_auth required; proxy_pass http://@SERVICE@; }
    location /more/ { cw_auth required; cw_cors tenant; cw_cors clinicwave.localhost https://ops.example; proxy_pass http://@SERVICE@; }
    location /fixed/ { cw_auth required; cw_cors clinicwave.localhost https://ops.example; proxy_pass http://@SERVICE@; }
    location = /metrics { cw_auth off; cw_metrics; }
    location /open/ { cw_auth off; proxy_pass http://@SERVICE@; }
    location /none/ { cw_auth required; cw_cors off; proxy_pass http://@SERVICE@; }
    location /cookie/ { cw_auth required; cw_token_from cookie __Host-at; proxy_pass http://@SERVICE@; }"""


@pytest.fixture
def origins(judge):
    """The sidecar's, which knows clinicwave and abott."""
    judge.stop()
    judge.origins = Origins()
    judge.origins.say(CLINICWAVE, ABOTT)
    judge.start()
    return judge.origins


@pytest.fixture
def gateway(nginx, origins):
    g = nginx(SERVER)
    return until("the origins are known", lambda: allowed(g, PORTAL)) and g


def preflight(gateway, origin, host=HOST, path="/api/x", method="PUT"):
    return gateway.get(path, method="OPTIONS", host=host, headers={"Origin": origin, "Access-Control-Request-Method": method,
                                                                   "Access-Control-Request-Headers": "authorization"})


def allowed(gateway, origin, host=HOST, path="/api/x"):
    return preflight(gateway, origin, host, path).status == 204


def readable(answer):
    """The origin that may read the answer; every answer says that it depends on it."""
    assert "Origin" in answer.headers["vary"]
    return answer.headers.get("access-control-allow-origin")


def test_a_preflight_is_answered_without_token_and_service(gateway, judge, service):
    r = preflight(gateway, PORTAL)
    assert (r.status, r.body, readable(r)) == (204, b"", PORTAL)
    assert "PUT" in r.headers["access-control-allow-methods"] and r.headers["access-control-allow-headers"] == "authorization"
    assert "access-control-allow-credentials" not in r.headers
    assert not judge.judged and not service.requests


@pytest.mark.parametrize("host", [HOST, ALIAS, "CLINICWAVE.localhost.:8443"])
def test_each_domain_of_the_tenant_has_its_origins(gateway, host):
    assert allowed(gateway, PORTAL, host) and allowed(gateway, DEV, host) and not allowed(gateway, OTHER, host)


@pytest.mark.parametrize("origin, host", [
    (OTHER, HOST), (PORTAL, OTHER_HOST), (PORTAL, "nobody.localhost"), ("https://evil.example", HOST), ("null", HOST), ("", HOST), ("*", HOST),
    (PORTAL + ".evil.example", HOST), (PORTAL + ":443", HOST), (PORTAL + "/", HOST), (PORTAL.upper(), HOST), (PORTAL[:-1], HOST),
    ("http" + PORTAL[5:], HOST), (f"{PORTAL} {DEV}", HOST), (f"{PORTAL}, {DEV}", HOST), ("https://" + "a" * 253 + ".com", HOST), ("https://" + "x" * 20000, HOST),
    ([PORTAL, PORTAL], HOST), ([PORTAL, "https://evil.example"], HOST), (["null", PORTAL], HOST)])
def test_an_origin_of_nobody_of_another_tenant_or_of_more_than_one_gets_nothing(gateway, origin, host):
    r = preflight(gateway, origin, host)
    assert r.status == 401 and readable(r) is None and not [h for h in r.headers if h.startswith("access-control-")]
    r = gateway.get("/api/x", "good", host=host, headers={"Origin": origin})
    assert r.status == 200 and readable(r) is None


def test_answers_and_refusals_can_be_read_by_the_tenants_pages_only(gateway, judge):
    judge.refuse("expired", "token_expired")
    judge.refuse("narrow", "scope_insufficient", decision=3)
    judge.undecided("later", reason="keys_unavailable")
    for token, status, reason in (("good", 200, None), (None, 401, "token_missing"), ("expired", 401, "token_expired"),
                                  ("narrow", 403, "scope_insufficient"), ("later", 503, "keys_unavailable")):
        r = gateway.get("/api/x", token, headers={"Origin": PORTAL})
        assert (r.status, readable(r)) == (status, PORTAL) and (reason is None or r.reason == reason)
        assert r.headers["access-control-expose-headers"] == "WWW-Authenticate, Retry-After, X-Request-Id"
        assert readable(gateway.get("/api/x", token, headers={"Origin": OTHER})) is None


def test_so_can_what_nobody_has_judged(gateway):
    r = gateway.get("/api/a%2fb", "good", headers={"Origin": PORTAL})
    assert r.status == 400 and readable(r) == PORTAL
    r = gateway.get("/open/x", headers={"Origin": PORTAL})
    assert r.status == 200 and readable(r) == PORTAL


def test_without_a_sidecar_503_and_preflights_keep_their_headers(gateway, judge):
    judge.stop()
    r = until("nobody can decide", lambda: (lambda a: a.status == 503 and a)(gateway.get("/api/x", "good", headers={"Origin": PORTAL})))
    assert r.reason == "validator_unavailable" and readable(r) == PORTAL
    assert allowed(gateway, PORTAL) and not allowed(gateway, OTHER)


def lookups(gateway):
    """(allowed, refused): how often the zone was asked."""
    now = gateway.metrics()
    return tuple(int(now[f'cw_gateway_origins_total{{result="{result}"}}']) for result in ("allowed", "refused"))


def test_only_an_origin_is_looked_up_and_once_an_answer(gateway, judge):
    judge.refuse("expired", "token_expired")
    before = lookups(gateway)
    for token in ("good", "expired", None):
        r = gateway.get("/api/x", token)
        assert readable(r) is None and not [h for h in r.headers if h.startswith("access-control-")]
    assert gateway.get("/api/x", "good", headers={"Origin": [PORTAL, PORTAL]}).status == 200
    assert gateway.get("/fixed/x", "good", headers={"Origin": PORTAL}).status == 200
    assert lookups(gateway) == before
    gateway.get("/api/x", "good", headers={"Origin": PORTAL})
    gateway.get("/api/x", headers={"Origin": PORTAL})
    assert allowed(gateway, PORTAL)
    gateway.get("/api/x", "good", headers={"Origin": OTHER})
    assert lookups(gateway) == (before[0] + 3, before[1] + 1)
    assert not allowed(gateway, OTHER)  # a preflight that is refused is a request without a token, too
    assert lookups(gateway) == (before[0] + 3, before[1] + 2)
    for origin, status in ((OTHER, 403), (PORTAL, 200)):
        r = gateway.get("/cookie/x", method="POST", body=b"x", headers={"Cookie": "__Host-at=good", "Origin": origin})
        assert r.status == status
    assert lookups(gateway) == (before[0] + 4, before[1] + 3)


def test_a_change_counts_at_once_and_for_every_worker(nginx, origins):
    gateway = nginx(SERVER, workers=4)
    until("the origins are known", lambda: allowed(gateway, PORTAL))
    origins.say(([HOST], ["https://new.example"]), ABOTT)
    until("the new one is allowed", lambda: allowed(gateway, "https://new.example"))
    # The zone is one for all workers: no connection finds the old ones.
    assert not any(allowed(gateway, PORTAL) or allowed(gateway, DEV) or allowed(gateway, "https://new.example", ALIAS) for _ in range(20))
    assert all(allowed(gateway, "https://new.example") and allowed(gateway, OTHER, OTHER_HOST) for _ in range(20))
    origins.say()
    until("nobody is allowed", lambda: not allowed(gateway, "https://new.example"))
    assert not allowed(gateway, OTHER, OTHER_HOST)


def test_configured_origins_are_an_addition_or_work_alone(gateway):
    assert allowed(gateway, PORTAL, path="/more/x") and allowed(gateway, CONFIGURED, path="/more/x")
    assert not allowed(gateway, CONFIGURED) and not allowed(gateway, CONFIGURED, OTHER_HOST, "/more/x")
    assert allowed(gateway, CONFIGURED, path="/fixed/x") and not allowed(gateway, PORTAL, path="/fixed/x")
    r = preflight(gateway, PORTAL, path="/none/x")
    assert r.status == 401 and "vary" not in r.headers


def test_what_the_service_says_of_origins_is_replaced(gateway, service):
    service.reply = lambda seen: (200, {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}, b"")
    r = gateway.get("/api/x", "good", headers={"Origin": PORTAL})
    assert readable(r) == PORTAL and "access-control-allow-credentials" not in r.headers
    assert readable(gateway.get("/api/x", "good", headers={"Origin": OTHER})) is None


def test_a_cookies_token_comes_with_credentials_and_only_from_the_tenants_pages(gateway):
    cookie = {"Cookie": "__Host-at=good"}
    r = gateway.get("/cookie/x", method="POST", body=b"x", headers={**cookie, "Origin": PORTAL})
    assert r.status == 200 and readable(r) == PORTAL and r.headers["access-control-allow-credentials"] == "true"
    for origin in (OTHER, "null", [PORTAL, PORTAL]):
        r = gateway.get("/cookie/x", method="POST", body=b"x", headers={**cookie, "Origin": origin})
        assert (r.status, r.reason, readable(r)) == (403, "origin_forbidden", None)
        assert "access-control-allow-credentials" not in r.headers


def test_they_outlive_a_reload_and_a_killed_worker_without_the_sidecar(nginx, origins, judge):
    gateway = nginx(SERVER, workers=2)
    until("the origins are known", lambda: allowed(gateway, PORTAL))
    judge.stop()
    gateway.reload()
    until("the old workers are gone", lambda: len(gateway.workers()) == 2)
    assert all(allowed(gateway, PORTAL) for _ in range(10))
    gateway.expected = ("exited on signal 9",)
    for worker in gateway.workers():
        os.kill(worker, signal.SIGKILL)
    until("there are other workers", lambda: answers(gateway))
    assert all(allowed(gateway, PORTAL) and not allowed(gateway, OTHER) for _ in range(10))


def answers(gateway):
    try:
        return gateway.get("/none/x").status
    except OSError:
        return None


def test_a_killed_worker_is_replaced_by_one_that_learns(nginx, origins):
    gateway = nginx(SERVER)
    until("the origins are known", lambda: allowed(gateway, PORTAL))
    gateway.expected = ("exited on signal 9",)
    os.kill(gateway.workers()[0], signal.SIGKILL)
    until("there is another worker", lambda: answers(gateway))
    origins.say(ABOTT)
    until("it has learned", lambda: not allowed(gateway, PORTAL))


def test_a_reload_that_turns_it_on_learns_from_the_sidecar(nginx, origins):
    gateway = nginx(SERVER.replace("cw_cors tenant;", ""))
    assert not allowed(gateway, PORTAL)
    gateway.config.write_text(gateway.text.replace("cw_sidecar ", "cw_cors tenant; cw_sidecar "))
    gateway.reload()
    until("the origins are known", lambda: allowed(gateway, PORTAL))


def test_another_process_of_the_sidecar_is_believed_unless_it_knows_nothing_yet(gateway, judge):
    judge.stop()
    judge.origins = Origins(epoch=2)
    judge.origins.say(provisional=True)
    judge.start()
    until("it was asked", lambda: judge.origins.asked)
    until("it decides", lambda: gateway.get("/api/x", "good").status == 200)
    assert allowed(gateway, PORTAL)
    judge.origins.say(([HOST], ["https://new.example"]))
    until("it knows", lambda: allowed(gateway, "https://new.example"))
    assert not allowed(gateway, PORTAL)


def test_an_older_sidecar_breaks_nothing_and_is_named_in_the_log(nginx, judge):
    gateway = nginx(SERVER)
    until("the log says so", lambda: "tells no origins of tenants" in gateway.process.log())
    assert gateway.get("/api/x", "good", headers={"Origin": PORTAL}).status == 200
    assert not allowed(gateway, PORTAL) and allowed(gateway, CONFIGURED, path="/more/x")
    assert gateway.process.log().count("tells no origins of tenants") == 1
    judge.stop()
    judge.origins = Origins()
    judge.origins.say(CLINICWAVE)
    judge.start()
    until("its successor is asked", lambda: allowed(gateway, PORTAL))


def test_a_message_that_is_none_costs_the_connection_and_no_request(gateway, origins, judge):
    before = origins.asked
    origins.say(([HOST], [PORTAL]))
    with origins.news:
        origins.generation, origins.said = origins.generation + 1, Garbage()
        origins.news.notify_all()
    until("it asks again", lambda: origins.asked > before)
    origins.say(ABOTT)
    until("what is told then counts", lambda: not allowed(gateway, PORTAL))
    until("and it decides", lambda: gateway.get("/api/x", "good").status == 200)


class Garbage:
    def SerializeToString(self):
        return b"\x22\x7fcut"


def test_a_zone_that_is_too_small_allows_nobody_rather_than_those_of_before(nginx, origins):
    gateway = nginx(SERVER, http="cw_origins_zone 64k;")
    gateway.expected = ('"cw_origins_zone" is too small',)
    until("the origins are known", lambda: allowed(gateway, PORTAL))
    many = [([f"t{i}.example"], [f"https://{'x' * 50}.t{i}.example"]) for i in range(1000)]
    origins.say(CLINICWAVE, *many)
    until("the log says so", lambda: '"cw_origins_zone" is too small' in gateway.process.log())
    assert not allowed(gateway, PORTAL) and gateway.get("/api/x", "good").status == 200
    origins.say(CLINICWAVE)
    until("what fits is allowed again", lambda: allowed(gateway, PORTAL))


def test_ten_thousand_tenants_fit(nginx, origins):
    gateway = nginx(SERVER)
    origins.say(*[([f"t{i}.example", f"www.t{i}.example"], [f"https://portal.t{i}.example", f"https://admin.t{i}.example"]) for i in range(10000)])
    until("the last one is known", lambda: allowed(gateway, "https://admin.t9999.example", "www.t9999.example"))
    assert not allowed(gateway, "https://admin.t9998.example", "www.t9999.example")
    origins.say(*[([f"t{i}.example"], [f"https://new.t{i}.example"]) for i in range(10000)])
    until("the next ones are", lambda: allowed(gateway, "https://new.t0.example", "t0.example"))
    assert not allowed(gateway, "https://admin.t9999.example", "www.t9999.example")


@pytest.mark.parametrize("server, http, words", [
    ("cw_cors tenant https://x;", "", "takes no origins beside"), ("cw_cors clinicwave.localhost;", "", "needs a domain and its origins"),
    ("", "cw_origins_zone 4k;", "too small")])
def test_what_cannot_be_meant_is_refused(nginx_check, server, http, words):
    accepted, text = nginx_check(server, http=http)
    assert not accepted and words in text
