"""What a client says under the gateway's names never reaches a service."""
import pytest

ROUTES = """
    location /ruled/ { cw_auth required; cw_claim_header X-Email email; proxy_pass http://@SERVICE@; }
    location /maybe/ { cw_auth optional; proxy_pass http://@SERVICE@; }
    location /open/ { cw_auth off; proxy_pass http://@SERVICE@; }
"""
LAX = "underscores_in_headers on; ignore_invalid_headers off;"

SPELLINGS = ["X-Auth-Subject", "x-auth-subject", "X_Auth_Subject", "x_auth-Subject", "X-AUTH_SUBJECT", "X.Auth.Subject", "X-Auth-Anything",
             "X-Email", "x_email", "X-Forwarded-For", "X_Forwarded_Host", "Forwarded", "X-Real-IP", "X-Request-Id", "traceparent",
             "tracestate", "X-Original-URL", "X-Rewrite-URL", "Proxy-Authorization"]


@pytest.mark.parametrize("http", ["", LAX], ids=["strict", "lax"])
@pytest.mark.parametrize("path", ["/ruled/x", "/maybe/x", "/open/x"])
def test_forged_names_are_gone_in_every_spelling_on_every_route(nginx, judge, http, path):
    g = nginx(ROUTES, http=http)
    r = g.get(path, "good" if path == "/ruled/x" else None, headers={n: "forged-value" for n in SPELLINGS})
    assert r.status == 200
    assert "forged-value" not in r.body.decode()


def test_other_headers_pass_in_order_and_whole(nginx, judge):
    g = nginx(ROUTES)
    sent = {f"X-Other-{i}": f"v{i}" for i in range(60)}
    mixed = {}
    for i, (k, v) in enumerate(sent.items()):
        mixed[k] = v
        mixed[f"X-Auth-Forged{i}"] = "forged-value"
    r = g.get("/ruled/x", "good", headers=mixed)
    got = {k: v for k, v in r.json["headers"]}
    assert {k: got.get(k) for k in sent} == sent
    assert "forged-value" not in r.body.decode()


def test_only_forged_headers_and_nothing_else(nginx, judge):
    g = nginx(ROUTES)
    raw = g.raw(b"GET /open/x HTTP/1.0\r\n" + b"".join(b"X-Auth-%d: forged-value\r\n" % i for i in range(50)) + b"\r\n")
    assert b"200 OK" in raw and b"forged-value" not in raw


def test_a_request_without_any_header_ends_no_worker(nginx, judge, service):
    """HTTP/0.9 (RFC 1945 §6): nginx makes no list of headers for it."""
    g = nginx(ROUTES + "location = /well { cw_auth off; cw_healthz; } location = /text { cw_auth off; return 200 text; }"
              " location / { cw_auth off; cw_route_unknown; }")
    for path, told in (("/open/x", b"X-Request-Id"), ("/ruled/x", b"tenant_unknown"), ("/maybe/x", b"tenant_unknown"), ("/well", b"UP"),
                       ("/text", b"text"), ("/none", b"route_unknown")):
        assert told in g.raw(b"GET " + path.encode() + b"\r\n"), path
    assert [r["path"] for r in service.requests] == ["/open/x"]


@pytest.mark.parametrize("page", ["= /page/err", "/page/err", "@page"])
def test_the_page_of_an_error_before_all_phases_gets_clean_headers(nginx, judge, service, page):
    """nginx goes to it without having passed the phase in which the headers are looked at."""
    g = nginx(f"error_page 400 414 505 {page}; location @page {{ cw_auth off; proxy_pass http://@SERVICE@; }}"
              " location /page/ { cw_auth off; proxy_pass http://@SERVICE@; }"
              " location / { cw_auth off; cw_route_unknown; }")
    named = b"GET /x HTTP/1.1\r\nX-Auth-Subject: root\r\nX_Auth_Roles: admin\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
    nameless = (b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    if page == "@page":  # nginx goes to none without a path
        assert all(b" 500 " in g.raw(raw) for raw in nameless)
    for raw in (named,) if page == "@page" else (named, *nameless):
        g.raw(raw)
        assert service.requests, raw
        told = {k.lower().replace("_", "-"): v for k, v in service.requests.pop()["headers"]}
        assert not [k for k in told if k.startswith("x-auth-")], told
        assert "1.2.3.4" not in told.get("x-forwarded-for", ""), told


def test_a_name_in_connection_does_not_make_the_next_hop_drop_it(nginx, judge):
    g = nginx("location /a/ { cw_auth required; proxy_set_header Connection $http_connection; proxy_pass http://@SERVICE@; }")
    r = g.get("/a/x", "good", headers={"Connection": "close, X-Auth-Subject, x-auth-tenant"})
    assert r.reached("Connection") == ["close"]
    assert r.reached("X-Auth-Subject") == ["anna"]


def test_identity_of_a_claim_that_is_absent_is_no_header(nginx, judge):
    judge.allow("bare")
    r = nginx(ROUTES).get("/ruled/x", "bare", headers={"X-Auth-Client": "forged", "X-Auth-Roles": "admin"})
    assert r.reached("X-Auth-Client") == [] and r.reached("X-Auth-Roles") == []


def test_a_kept_claim_goes_into_the_header_that_the_rule_names(nginx, judge):
    judge.allow("mail", claims=[{"name": "email", "json": b'"anna@clinicwave.com"'}])
    g = nginx(ROUTES)
    assert g.get("/ruled/x", "mail").reached("X-Email") == ["anna@clinicwave.com"]
    assert list(judge.rules[judge.seen[-1].rule].claims) == ["email"]
    for json, plain in ((r'"CLINIC\\anna"', r"CLINIC\anna"), (r'"Anna \"Ann\" Berg"', 'Anna "Ann" Berg'), ('"Zoë"', "Zoë"), (r'"\\"', "\\")):
        judge.allow("named", claims=[{"name": "email", "json": json.encode()}])
        assert [v.encode("latin-1").decode() for v in g.get("/ruled/x", "named").reached("X-Email")] == [plain]
    for text in ('{"a":1}', '["x","y"]', "7", "true", r'"two\u000alines"', r'"a\\b\u0000"'):  # no strings, or none that can be sent: as JSON
        judge.allow("other", claims=[{"name": "email", "json": text.encode()}])
        assert g.get("/ruled/x", "other").reached("X-Email") == [text]


@pytest.mark.parametrize("identity", [
    {"subject": "anna\r\nX-Auth-Roles: admin"}, {"subject": "a\x00b"}, {"roles": ["doctor,admin"]}, {"scopes": ["a b"]}, {"roles": [""]},
    {"client_id": "x\x7f"}, {"tenant": "a\x1f"}, {"issuer": "https://i\n/"}, {"session_id": "\x01"}, {"scopes": ["a", "b\tc"]}, {"roles": ["doctor", "x\r"]}])
def test_an_identity_that_would_arrive_as_another_is_refused(nginx, judge, service, identity):
    judge.allow("odd", **identity)
    r = nginx(ROUTES).get("/ruled/x", "odd")
    assert (r.status, r.reason) == (401, "claim_invalid")
    assert not service.requests


def test_what_would_end_its_line_is_no_header(nginx, judge, service):
    g = nginx(ROUTES + "location /basic/ { cw_auth off; cw_authorization pass; proxy_pass http://@SERVICE@; }")
    judge.allow("mail", claims=[{"name": "email", "json": b'"anna\x01"'}])
    assert g.get("/ruled/x", "mail").status == 500
    for value in (b"Basic a\x01b", b"Bearer a\x0bb"):
        assert b" 400 " in g.raw(b"GET /basic/x HTTP/1.0\r\nAuthorization: " + value + b"\r\n\r\n").split(b"\r\n")[0]
    assert not service.requests
    raw = g.raw(b"GET /basic/x HTTP/1.0\r\nAuthorization: Basic YTpi\r\n\r\n")
    assert b" 200 " in raw.split(b"\r\n")[0] and b"YTpi" in raw


def test_a_trusted_proxy_is_believed(nginx, judge):
    g = nginx(ROUTES, http="cw_trusted_proxy 127.0.0.0/8;")
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    r = g.get("/open/x", headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "outside.example",
                                  "X-Request-Id": "r-1", "traceparent": trace, "tracestate": "a=b", "X-Auth-Subject": "root"})
    assert r.reached("X-Forwarded-For") == ["203.0.113.7, 127.0.0.1"]
    assert r.reached("X-Forwarded-Proto") == ["https"]
    assert r.reached("X-Forwarded-Host") == ["outside.example"]
    assert r.reached("X-Request-Id") == ["r-1"] and r.headers["x-request-id"] == "r-1"
    assert r.reached("tracestate") == ["a=b"]
    [t] = r.reached("traceparent")
    assert t.split("-")[1] == trace.split("-")[1] and t.split("-")[2] != trace.split("-")[2] and t.endswith("-01")
    assert r.reached("X-Auth-Subject") == []


def test_an_untrusted_one_is_not(nginx, judge):
    g = nginx(ROUTES, http="cw_trusted_proxy 192.0.2.0/24;")
    r = g.get("/open/x", headers={"X-Forwarded-For": "203.0.113.7", "X-Request-Id": "r-1", "tracestate": "a=b"})
    assert r.reached("X-Forwarded-For") == ["127.0.0.1"]
    assert len(r.reached("X-Request-Id")[0]) == 32
    assert r.reached("tracestate") == []


def test_a_trace_is_continued_where_the_edge_says_so(nginx, judge):
    g = nginx("cw_trace continue;" + ROUTES)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert g.get("/open/x", headers={"traceparent": trace}).reached("traceparent")[0].split("-")[1] == trace.split("-")[1]
    for bad in ["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "00-" + "0" * 32 + "-b7ad6b7169203331-01", trace + "-x",
                "ff" + trace[2:], "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", "x", trace[:-1]]:
        t = g.get("/open/x", headers={"traceparent": bad}).reached("traceparent")[0]
        assert t.split("-")[1] != trace.split("-")[1] and len(t) == 55


def test_each_request_has_its_own_id(nginx, judge):
    g = nginx(ROUTES)
    assert len({g.get("/open/x").headers["x-request-id"] for _ in range(200)}) == 200
