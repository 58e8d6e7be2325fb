"""A path that gateway and service could read differently is refused; every other one arrives as it was meant."""
import pytest

ROUTES = """
    location /a/ { cw_auth required; proxy_pass http://@SERVICE@; }
    location /api/s/ { cw_auth required; cw_strip_prefix /api/s; proxy_pass http://@SERVICE@; }
    location /open/ { cw_auth off; proxy_pass http://@SERVICE@; }
    location /lax/ { cw_auth required; cw_ambiguous_path allow; proxy_pass http://@SERVICE@; }
    location / { cw_auth off; cw_route_unknown; }
"""


@pytest.fixture
def gateway(nginx, judge):
    return nginx(ROUTES)


@pytest.mark.parametrize("path", [
    "/open/..%2fa/x", "/open/%2e%2e/a/x", "/open/..;/a/x", "/open/../a/x", "/open/./x", "/open/x/..", "/open/x/.", "/open//x", "//a/x",
    "/open/..%5ca/x", "/open/..\\a/x", "/open/x;v=1", "/open/%3bx", "/open/%252e%252e/a", "/open/%252fa", "/open/%255ca", "/open/%25253b",
    "/open/x#y", "/open/%c0%ae%c0%ae/a", "/open/%e0%80%af", "/open/\xff", "/open/%ff", "/open/%0d%0aX:y", "/open/%7f", "/open/%2E%2e",
    "/a/..?x", "/a/%2f"])
def test_an_ambiguous_path_is_refused_on_every_route(gateway, service, path):
    raw = gateway.raw(f"GET {path} HTTP/1.1\r\nHost: clinicwave.localhost\r\nAuthorization: Bearer good\r\nConnection: close\r\n\r\n".encode("latin-1"))
    assert raw.startswith(b"HTTP/1.1 400 "), raw
    assert not service.requests
    if "%2525" not in path:
        assert b'"reason":"path_ambiguous"' in raw


def test_a_zero_byte_is_refused(gateway, service):
    assert gateway.raw(b"GET /open/%00 HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert not service.requests


@pytest.mark.parametrize("path", ["/a/x", "/a/x%20y", "/a/%C3%A4", "/a/\u00e4", "/a/.hidden", "/a/..hidden", "/a/x..", "/a/...", "/a/x?p=..%2f../;//#", "/a/100%25",
                                  "/a/%3Fq", "/a/%23x", "/a/a+b", "/a/a:b@c", "/a/%41"])
def test_a_plain_path_arrives_as_it_was_sent(gateway, service, path):
    raw = gateway.raw(f"GET {path} HTTP/1.1\r\nHost: clinicwave.localhost\r\nAuthorization: Bearer good\r\nConnection: close\r\n\r\n".encode())
    assert raw.startswith(b"HTTP/1.1 200 "), raw
    assert service.requests[-1]["path"].encode("latin-1").decode() == path


@pytest.mark.parametrize("path, seen", [
    ("/api/s/", "/"), ("/api/s/x", "/x"), ("/api/s/x%20y?q=%20", "/x%20y?q=%20"), ("/api/s/%C3%A4", "/%C3%A4"), ("/api/s/100%25", "/100%25"),
    ("/api/s/%3Fq", "/%3Fq"), ("/api/s/%23x", "/%23x"), ("/api/s/api/s/x", "/api/s/x"), ("/api/s/a:b@c", "/a:b@c")])
def test_a_prefix_is_stripped_and_the_rest_escaped_again(gateway, service, path, seen):
    r = gateway.get(path, "good")
    assert r.status == 200 and r.json["path"] == seen
    assert r.reached("X-Forwarded-Prefix") == ["/api/s"]


def test_a_location_may_allow_what_its_service_understands(gateway):
    assert gateway.get("/lax/x;v=1", "good").json["path"] == "/lax/x;v=1"


def test_absolute_form_is_the_same_request(gateway, judge):
    raw = gateway.raw(b"GET http://clinicwave.localhost/a/x HTTP/1.1\r\nHost: other.example\r\nAuthorization: Bearer good\r\nConnection: close\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200 ")
    assert judge.seen[-1].domain == "clinicwave.localhost"


@pytest.mark.parametrize("version, target, host, told", [
    ("1.1", "http://clinicwave.localhost", "other.example", "clinicwave.localhost"),
    ("1.1", "http://clinicwave.localhost:81", "other.example:82", "clinicwave.localhost:81"),
    ("1.1", "https://ClinicWave.localhost.", "clinicwave.localhost", "ClinicWave.localhost."),
    ("1.0", "http://clinicwave.localhost:81", None, "clinicwave.localhost:81"),
    ("1.1", "", "clinicwave.localhost:82", "clinicwave.localhost:82")])
def test_a_service_is_told_the_host_that_was_judged(gateway, judge, service, version, target, host, told):
    """RFC 9112 §3.2.2: else who says one host in the target and another in Host is judged as one tenant and served as the other."""
    named = b"" if host is None else b"Host: " + host.encode() + b"\r\n"
    raw = gateway.raw(b"GET " + target.encode() + b"/a/x?q=http://other.example:9/ HTTP/" + version.encode() + b"\r\n" + named
                      + b"Authorization: Bearer good\r\nConnection: close\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200 "), raw
    assert judge.seen[-1].domain == "clinicwave.localhost"
    assert [v for k, v in service.requests[-1]["headers"] if k == "X-Forwarded-Host"] == [told]


@pytest.mark.parametrize("again", [False, True])
def test_a_long_absolute_target_is_told_as_it_is(nginx, judge, service, again):
    """nginx moves a request line that does not fit its first buffer, on a kept connection, too."""
    g = nginx(ROUTES)
    line = b"GET http://clinicwave.localhost:81/a/" + b"x" * 3000 + b" HTTP/1.1\r\nHost: other.example\r\nAuthorization: Bearer good\r\n"
    first = b"GET /a/x HTTP/1.1\r\nHost: clinicwave.localhost\r\nAuthorization: Bearer good\r\n\r\n" if again else b""
    raw = g.raw(first + line + b"Connection: close\r\n\r\n")
    assert raw.count(b"HTTP/1.1 200 ") == 1 + again, raw[:300]
    assert [v for k, v in service.requests[-1]["headers"] if k == "X-Forwarded-Host"] == ["clinicwave.localhost:81"]


@pytest.mark.parametrize("host", ["clinicwave.localhost:,abott.localhost", "clinicwave.localhost:@abott.localhost", "clinicwave.localhost:x", "clinicwave.localhost:1:2"])
def test_what_is_judged_is_what_is_told(gateway, service, host):
    """nginx takes what stands before the colon for the host, whatever follows."""
    raw = gateway.raw(f"GET /a/x HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer good\r\nConnection: close\r\n\r\n".encode())
    assert b" 200 " not in raw.splitlines()[0], raw[:300]
    assert not service.requests


@pytest.mark.parametrize("header", ["X-Original-URL", "X-Forwarded-Uri", "X-HTTP-Method-Override", "X-Rewrite-Url"])
def test_no_header_chooses_the_rule(gateway, service, header):
    assert gateway.get("/a/x", headers={header: "/open/x"}).status == 401
    assert not service.requests
