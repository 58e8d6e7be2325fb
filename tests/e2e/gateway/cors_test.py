"""Browsers of other origins: preflights without a token, answers that they may read, per domain."""
import pytest

PORTAL, OTHER = "https://portal.clinicwave.com", "https://portal.abott.com"


@pytest.fixture
def gateway(nginx, judge):
    return nginx(f"""
        cw_cors clinicwave.localhost {PORTAL} http://localhost:3000;
        cw_cors abott.localhost {OTHER};
        location /api/ {{ cw_auth required; proxy_pass http://@SERVICE@; }}
        location /auth/v1/ {{ cw_auth off; proxy_pass http://@SERVICE@; }}
        location /any/ {{ cw_auth required; cw_cors * https://ops.example; proxy_pass http://@SERVICE@; }}
        location /none/ {{ cw_auth required; cw_cors off; proxy_pass http://@SERVICE@; }}""")


def preflight(gateway, origin, path="/api/x", **more):
    return gateway.get(path, method="OPTIONS", headers={"Origin": origin, "Access-Control-Request-Method": "PUT",
                                                        "Access-Control-Request-Headers": "authorization, content-type"}, **more)


def test_a_preflight_needs_no_token_and_asks_nobody(gateway, judge, service):
    r = preflight(gateway, PORTAL)
    assert (r.status, r.body) == (204, b"")
    assert r.headers["access-control-allow-origin"] == PORTAL
    assert "PUT" in r.headers["access-control-allow-methods"]
    assert r.headers["access-control-allow-headers"] == "authorization, content-type"
    assert int(r.headers["access-control-max-age"]) > 0
    assert "Origin" in r.headers["vary"]
    assert "access-control-allow-credentials" not in r.headers
    assert not judge.judged and not service.requests


@pytest.mark.parametrize("origin, host", [("https://evil.example", "clinicwave.localhost"), (OTHER, "clinicwave.localhost"),
                                          (PORTAL, "abott.localhost"), ("null", "clinicwave.localhost"), (PORTAL + ".evil.example", "clinicwave.localhost")])
def test_an_origin_of_nobody_or_of_another_tenant_gets_none(gateway, origin, host):
    r = preflight(gateway, origin, host=host)
    assert r.status == 401
    assert "access-control-allow-origin" not in r.headers and "Origin" in r.headers["vary"]


def test_answers_can_be_read_by_the_origin(gateway):
    r = gateway.get("/api/x", "good", headers={"Origin": PORTAL})
    assert r.status == 200 and r.headers["access-control-allow-origin"] == PORTAL
    assert r.headers["access-control-expose-headers"] == "WWW-Authenticate, Retry-After, X-Request-Id"


def test_refusals_too(gateway):
    r = gateway.get("/api/x", headers={"Origin": "http://localhost:3000"})
    assert r.status == 401 and r.headers["access-control-allow-origin"] == "http://localhost:3000"


def test_a_location_without_a_rule_is_as_others(gateway, service):
    r = preflight(gateway, PORTAL, "/auth/v1/login")
    assert (r.status, r.headers["access-control-allow-origin"]) == (204, PORTAL) and not service.requests
    r = gateway.get("/auth/v1/login", method="POST", body=b"{}", headers={"Origin": PORTAL})
    assert (r.status, r.headers["access-control-allow-origin"]) == (200, PORTAL)
    r = gateway.get("/auth/v1/login", method="POST", body=b"{}", headers={"Origin": OTHER})
    assert r.status == 200 and "access-control-allow-origin" not in r.headers


def test_a_star_is_any_domain_and_no_other_origin(gateway):
    for host in ("clinicwave.localhost", "abott.localhost", "nobody.example"):
        assert preflight(gateway, "https://ops.example", "/any/x", host=host).status == 204
    assert preflight(gateway, PORTAL, "/any/x").status == 401


def test_what_the_service_says_of_origins_is_replaced(gateway, service):
    service.reply = lambda seen: (200, {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}, b"")
    r = gateway.get("/api/x", "good", headers={"Origin": PORTAL})
    assert r.headers["access-control-allow-origin"] == PORTAL and "access-control-allow-credentials" not in r.headers


def test_an_options_request_that_is_no_preflight_needs_a_token(gateway):
    assert gateway.get("/api/x", method="OPTIONS").status == 401
    assert gateway.get("/api/x", method="OPTIONS", headers={"Origin": PORTAL}).status == 401


def test_a_location_can_turn_it_off(gateway):
    assert preflight(gateway, PORTAL, "/none/x").status == 401


def test_what_needs_no_token_can_be_called_from_elsewhere_too(nginx, judge, service):
    g = nginx(f"cw_cors clinicwave.localhost {PORTAL}; location /auth/v1/ {{ cw_auth off; proxy_pass http://@SERVICE@; }}")
    r = preflight(g, PORTAL, "/auth/v1/login")
    assert (r.status, r.headers["access-control-allow-origin"]) == (204, PORTAL)
    assert not service.requests
    assert g.get("/auth/v1/login", headers={"Origin": PORTAL}).headers["access-control-allow-origin"] == PORTAL
    assert "access-control-allow-origin" not in g.get("/auth/v1/login", headers={"Origin": OTHER}).headers


def test_a_star_in_the_domains_place_is_any_domain(nginx, judge):
    g = nginx(f"cw_cors * {PORTAL}; location / {{ cw_auth required; proxy_pass http://@SERVICE@; }}")
    for host in ("clinicwave.localhost", "abott.localhost"):
        assert preflight(g, PORTAL, host=host).headers["access-control-allow-origin"] == PORTAL
        assert preflight(g, OTHER, host=host).status == 401


def test_a_star_is_refused_in_the_configuration(nginx_check):
    accepted, text = nginx_check("cw_cors clinicwave.localhost *;")
    assert not accepted and "origins" in text
