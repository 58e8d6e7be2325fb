"""Where a token may stand, and how it must look there."""
import pytest

ROUTES = """
    location /a/ { cw_auth required; proxy_pass http://@SERVICE@; }
    location /maybe/ { cw_auth optional; proxy_pass http://@SERVICE@; }
    location /open/ { cw_auth off; proxy_pass http://@SERVICE@; }
    location /passed/ { cw_auth off; cw_authorization pass; proxy_pass http://@SERVICE@; }
    location /own/ { cw_auth required; cw_token_from header X-Token; proxy_pass http://@SERVICE@; }
    location /cookie/ { cw_auth required; cw_token_from cookie __Host-token; cw_cors clinicwave.localhost https://portal.example; proxy_pass http://@SERVICE@; }
"""


@pytest.fixture
def gateway(nginx, judge):
    return nginx(ROUTES)


@pytest.mark.parametrize("value", ["Bearer good", "bearer good", "BEARER good", "bEaReR good", "Bearer  good", "Bearer      good"])
def test_the_scheme_is_read_in_any_case(gateway, value):
    assert gateway.get("/a/x", headers={"Authorization": value}).status == 200


@pytest.mark.parametrize("value, status, reason", [
    ("Basic Z29vZA==", 401, "token_missing"),
    ("Digest good", 401, "token_missing"),
    ("good", 401, "token_missing"),
    ("Bearerx good", 401, "token_missing"),
    ("Bearer", 400, "authorization_malformed"),
    ("Bearer\tgood", 400, "authorization_malformed"),
    ("Bearer, good", 400, "authorization_malformed"),
    ("Bearer good good", 400, "authorization_malformed"),
    ("Bearer good,good", 400, "authorization_malformed"),
    ("Bearer good, Bearer good", 400, "authorization_malformed"),
    ("Bearer go\"od", 400, "authorization_malformed"),
    ("Bearer g\u00f6od", 400, "authorization_malformed"),
    ("Bearer =good", 400, "authorization_malformed"),
    ("Bearer go=od", 400, "authorization_malformed"),
    ("", 401, "token_missing"),
])
def test_everything_else_is_refused_by_name(gateway, judge, value, status, reason):
    r = gateway.get("/a/x", headers={"Authorization": value})
    assert (r.status, r.reason) == (status, reason)
    assert r.headers["www-authenticate"].startswith("Bearer realm=")
    if status == 400:
        assert 'error="invalid_request"' in r.headers["www-authenticate"]
    assert not judge.judged


def test_two_authorization_headers_are_400(gateway, judge):
    r = gateway.get("/a/x", headers={"Authorization": ["Bearer good", "Bearer good"]})
    assert r.status == 400 and r.headers["content-type"] == "application/problem+json"
    assert not judge.judged


@pytest.mark.parametrize("joined", ["Bearer good, Negotiate", "Bearer good,Negotiate", "Bearer good,", "Negotiate, Bearer good", "Basic eDp5, Bearer good"])
def test_several_schemes_in_one_header_are_not_believed(gateway, judge, joined):
    headers = {"Authorization": joined}
    first = joined.startswith("Bearer")
    assert gateway.get("/a/x", headers=headers).reason == ("authorization_malformed" if first else "token_missing")
    assert gateway.get("/maybe/x", headers=headers).status == (400 if first else 200)
    r = gateway.get("/open/x", headers=headers)  # nobody looks for a token here
    assert r.status == 200 and r.reached("Authorization") == [] and r.reached("X-Auth-Subject") == []
    r = gateway.get("/passed/x", headers=headers)
    assert r.status == 200 and r.reached("Authorization") == [joined] and r.reached("X-Auth-Subject") == []
    assert not judge.judged
    assert gateway.get("/a/x", "good").status == 200


def test_a_token_of_16_kib_is_judged_and_one_byte_more_is_not(gateway, judge):
    judge.allow("g" * 16384)
    assert gateway.get("/a/x", "g" * 16384).status == 200
    r = gateway.get("/a/x", "g" * 16385)
    assert (r.status, r.reason) == (401, "token_too_large")
    assert len(judge.seen) == 1


def test_a_token_in_the_query_or_the_form_is_no_token(gateway, judge):
    for r in (gateway.get("/a/x?access_token=good"), gateway.get("/a/x?token=good&authorization=Bearer+good"),
              gateway.get("/a/x", method="POST", headers={"Content-Type": "application/x-www-form-urlencoded"}, body=b"access_token=good")):
        assert (r.status, r.reason) == (401, "token_missing")
    assert not judge.judged


def test_other_schemes_pass_an_optional_route_as_anonymous(gateway):
    assert gateway.get("/maybe/x", headers={"Authorization": "Basic eDp5"}).status == 200
    assert gateway.get("/maybe/x", headers={"Authorization": "Bearer"}).status == 400


def test_a_rule_may_read_another_header(gateway):
    r = gateway.get("/own/x", headers={"X-Token": "good"})
    assert r.status == 200 and r.reached("X-Token") == []
    assert gateway.get("/own/x", "good").reason == "token_missing"
    assert gateway.get("/own/x", headers={"X-Token": ["good", "good"]}).reason == "token_multiple"
    assert gateway.get("/own/x", "good", headers={"X-Token": "good"}).reason == "token_multiple"


def test_a_cookie_is_read_once_and_only_under_its_whole_name(gateway):
    assert gateway.get("/cookie/x", headers={"Cookie": "a=b; __Host-token=good; c=d"}).status == 200
    assert gateway.get("/cookie/x", headers={"Cookie": "__Host-token=good; __Host-token=good"}).reason == "token_multiple"
    assert gateway.get("/cookie/x", headers={"Cookie": ["__Host-token=good", "__Host-token=good"]}).reason == "token_multiple"
    assert gateway.get("/cookie/x", headers={"Cookie": "x__Host-token=good"}).reason == "token_missing"
    assert gateway.get("/cookie/x", headers={"Cookie": "__Host-token2=good"}).reason == "token_missing"


def test_the_cookie_with_the_token_does_not_reach_the_service(gateway):
    r = gateway.get("/cookie/x", headers={"Cookie": "a=b; __Host-token=good; c=d"})
    assert r.reached("Cookie") == ["a=b; c=d"]
    assert gateway.get("/cookie/x", headers={"Cookie": "__Host-token=good"}).reached("Cookie") == []


@pytest.mark.parametrize("origin, status", [(None, 403), ("https://evil.example", 403), ("http://clinicwave.localhost", 403), ("null", 403),
                                            ("https://clinicwave.localhost", 200), ("https://portal.example", 200)])
def test_a_cookie_does_not_authenticate_a_forged_request(gateway, origin, status):
    headers = {"Cookie": "__Host-token=good", **({"Origin": origin} if origin else {})}
    r = gateway.get("/cookie/x", method="POST", headers=headers, body=b"x")
    assert r.status == status
    if status == 403:
        assert r.reason == "origin_forbidden" and "www-authenticate" not in r.headers
