"""Every error that the gateway makes, nginx's own included, is a problem+json with a reason; a service's own pass untouched."""
import json
import socket

import pytest

from tests.support.gateway import parse
from tests.support.programs import free_port

ROUTES = """
    location /ruled/ { cw_auth required; proxy_pass http://@SERVICE@; }
    location /open/ { cw_auth off; client_max_body_size 1k; proxy_read_timeout 300ms; proxy_pass http://@SERVICE@; }
    location /files/ { root @DIR@/html; }
    location /denied/ { deny all; }
    location /limited/ { cw_auth off; limit_req zone=one; proxy_pass http://@SERVICE@; }
    location /basic/ { auth_basic x; auth_basic_user_file @DIR@/none; }
    location /page/ { error_page 404 /own.html; }
    location /page2/ { error_page 404 =410 @own; }
    location @own { return 200 own; }
    location = /own.html { internal; root @DIR@; }
    location /plain/ { cw_problem off; }
"""
HTTP = "limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m; limit_req_status 429;"


@pytest.fixture
def gateway(nginx, judge, directory):
    (directory / "own.html").write_text("own")
    (directory / "html/files").mkdir(parents=True)
    (directory / "html/files/one").write_text("one")
    return nginx(ROUTES, http=HTTP)


def problem(answer, status, reason):
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.headers["cache-control"] == "no-store"
    document = answer.json
    assert document["status"] == status and document["reason"] == reason
    assert document["type"] == f"https://clinicwave.com/docs/ERRORS.md#{reason}"
    assert document["title"] and document["detail"] and len(document["trace_id"]) == 32
    assert set(document) == {"type", "title", "status", "detail", "reason", "trace_id"}
    return answer


def test_not_found(gateway):
    problem(gateway.get("/files/none"), 404, "not_found")


def test_not_allowed(gateway):
    posted = problem(gateway.get("/files/one", method="POST", body=b"x"), 405, "method_not_allowed")
    assert posted.headers["allow"] == "GET, HEAD"  # RFC 9110, 15.5.6
    traced = problem(gateway.get("/files/none", method="TRACE"), 405, "method_not_allowed")
    assert "GET" in traced.headers["allow"] and "TRACE" not in traced.headers["allow"]
    assert b"Allow: GET, HEAD, POST," in gateway.raw(b"CONNECT /files/none HTTP/1.1\r\nHost: clinicwave.localhost\r\nConnection: close\r\n\r\n")
    assert "allow" not in gateway.get("/files/none").headers


def test_too_large(gateway):
    problem(gateway.get("/open/x", method="POST", body=b"x" * 2000), 413, "request_too_large")


def test_denied(gateway):
    r = gateway.get("/denied/x")
    problem(r, 403, "forbidden")
    assert "www-authenticate" not in r.headers  # no token would help


def test_too_many_requests_say_when_to_come_back(gateway):
    gateway.get("/limited/x")
    assert problem(gateway.get("/limited/x"), 429, "too_many_requests").headers["retry-after"] == "1"


def test_bad_gateway(nginx, judge):
    g = nginx(f"location / {{ cw_auth off; proxy_pass http://127.0.0.1:{free_port()}; }}")
    problem(g.get("/x"), 502, "upstream_failed")


def test_gateway_timeout(gateway, service):
    import time
    service.reply = lambda seen: (time.sleep(1), (200, {}, b""))[1]
    problem(gateway.get("/open/x"), 504, "upstream_timeout")


@pytest.mark.parametrize("request_, status, reason", [
    (b"GET / HTTP/1.1\r\n\r\n", 400, "request_malformed"),
    (b"GARBAGE\r\n\r\n", 400, "request_malformed"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "request_malformed"),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "request_malformed"),
    (b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "request_malformed"),
    (b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "request_malformed"),
    (b"GET /" + b"x" * 40000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40000 + b"\r\n\r\n", 431, "headers_too_large"),
    (b"POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "unimplemented"),
    (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505, "request_malformed"),
], ids=["no-host", "garbage", "two-hosts", "bad-host", "cl-and-te", "bad-length", "long-uri", "long-header", "unknown-te", "version"])
def test_what_nginx_cannot_read(gateway, request_, status, reason):
    problem(parse(gateway.raw(request_)), status, reason)


def test_head_has_the_headers_and_no_body(gateway):
    r = gateway.get("/ruled/x", method="HEAD")
    assert r.status == 401 and r.headers["content-type"] == "application/problem+json" and int(r.headers["content-length"]) > 100
    assert r.body == b""


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 502, 503, 504])
def test_a_services_own_error_passes_untouched(gateway, service, status):
    service.reply = lambda seen: (status, {"Content-Type": "text/x", "X-Own": "1"}, b"own words")
    r = gateway.get("/ruled/x", "good")
    assert (r.status, r.body, r.headers["content-type"], r.headers["x-own"]) == (status, b"own words", "text/x", "1")
    assert "retry-after" not in r.headers and "www-authenticate" not in r.headers


def test_pages_that_the_operator_wrote_stay(gateway):
    r = gateway.get("/page/none")
    assert (r.status, r.body) == (404, b"own")
    r = gateway.get("/page2/none")
    assert (r.status, r.body) == (410, b"own")


def test_it_can_be_turned_off(gateway):
    assert gateway.get("/plain/none").headers["content-type"] == "text/html"


def test_basic_authentication_of_nginx_keeps_its_challenge(gateway):
    r = gateway.get("/basic/x")
    assert r.status == 401 and r.headers["www-authenticate"] == 'Basic realm="x"'


def test_keepalive_survives_a_refusal(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as s:
        f = s.makefile("rb")
        for _ in range(3):
            s.sendall(b"GET /ruled/x HTTP/1.1\r\nHost: clinicwave.localhost\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += f.readline()
            assert head.startswith(b"HTTP/1.1 401")
            length = int([l for l in head.split(b"\r\n") if l.lower().startswith(b"content-length")][0].split(b":")[1])
            assert json.loads(f.read(length))["reason"] == "token_missing"


def test_nothing_of_the_host_is_told(gateway):
    bodies = b"".join(gateway.get(p).body for p in ("/files/none", "/ruled/x", "/denied/x"))
    assert b"nginx" not in bodies and str(gateway.directory).encode() not in bodies


def test_a_failing_link_is_503_with_its_reason(nginx, directory):
    g = nginx("location / { cw_auth required; cw_timeout 200ms; proxy_pass http://@SERVICE@; }")
    r = problem(g.get("/x", "good"), 503, "validator_unavailable")
    assert r.headers["retry-after"] == "1" and "www-authenticate" not in r.headers
