"""What comes in broken, too large or from the wrong place: a clear error, and no hint about users."""
import json
import socket

import grpc
import httpx
import pytest

from tests.e2e.authsvc.administration import Admin
from tests.e2e.authsvc.doors import ANNA, HOST, PASSWORD, Grpc, Rest, document
from tests.support import openapi
from tests.support.stack import Authsvc

BODY = {"username": ANNA, "password": PASSWORD}


@pytest.fixture(scope="module")
def rest(tmp_path_factory):
    """One authsvc for all: what is refused leaves nothing behind."""
    authsvc = Authsvc(tmp_path_factory.mktemp("bad"), document()).add_user("clinicwave", ANNA, PASSWORD).start()
    yield Rest(authsvc)
    authsvc.stop()


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/jsonx", None])
def test_only_json_is_taken(rest, media_type):
    answer = rest.post("/auth/v1/login", BODY, Content_Type=media_type)
    assert rest.outcome(answer).reason == "media_type_unsupported" and answer.status_code == 415


def test_json_with_a_charset_is_json(rest):
    assert rest.post("/auth/v1/login", BODY, Content_Type="application/json; charset=utf-8").status_code == 200


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b'"x"', b"null", b"{}", b'{"username":"a"}', b'{"password":"a"}',
    b'{"username":"a","password":1}', b'{"username":["a"],"password":"b"}', b'{"username":"a","password":null}',
    b'{"username":"a","password":"b","password":"c"}', b'{"username":"a","username":"a","password":"b"}',
    b'{"username":"a","password":"\xff\xfe"}', b'{"username":"\xed\xa0\x80","password":"b"}', b'{"username":"a","password":"a\\u0000b"}',
    b'{"username":"a\\nb","password":"b"}', b'{"username":"a","password":"b"}x', b'{"username":"a","password":"b","client_id":7}',
    b'\x00{"username":"a","password":"b"}', b"[" * 5000],
    ids=lambda b: repr(b[:40]))
def test_a_malformed_body_is_malformed(rest, body):
    answer = rest.post("/auth/v1/login", body)
    assert rest.outcome(answer).reason == "request_malformed" and answer.status_code == 400


@pytest.mark.parametrize("field, size", [("username", 257), ("password", 1025), ("client_id", 5000)])
def test_an_oversize_field_is_refused(rest, field, size):
    assert rest.outcome(rest.post("/auth/v1/login", {**BODY, field: "x" * size})).reason == "request_malformed"


# Every door that takes a body, with each member of it.
BODIES = [(path, list(about["requestBody"]["content"]["application/json"]["schema"]["properties"]))
          for _, path, _, about in openapi.operations() if "requestBody" in about]


def test_every_body_is_one_readable_object_without_duplicates(rest):
    """The same broken ones at each door: malformed, whoever asks, and nothing about users."""
    token = rest.login().tokens["access_token"]
    for path, members in BODIES:
        right = json.dumps({m: "x" for m in members}).encode()
        broken = [b"{", b"[]", b"null", b'"x"', right + b"x", right[:-1], b"\xef\xbb\xbf" + right, right.replace(b'"x"', b'"\xff"'),
                  right.replace(b'"x"', b'"\xed\xa0\x80"'), right.replace(b'"x"', b'"\\ud800"'), right.replace(b'"x"', b'"\\u0000"'), b"[" * 5000]
        broken += [right[:-1] + b', "%s": "x"}' % m.encode() for m in members]
        broken += [right[:-1] + b', "\\u%04x%s": "x"}' % (ord(m[0]), m[1:].encode()) for m in members]  # the same name, spelled otherwise
        for body in broken:
            answer = rest.post(path, body, Authorization=f"Bearer {token}")
            assert (answer.status_code, rest.outcome(answer).reason) == (400, "request_malformed"), (path, body[:80])


def test_every_body_is_json_by_its_type_and_not_large(rest):
    token = rest.login().tokens["access_token"]
    for path, members in BODIES:
        body = json.dumps({m: "x" for m in members}).encode()
        for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/json-seq", "text/json", "", None):
            answer = rest.post(path, body, Content_Type=media_type, Authorization=f"Bearer {token}")
            assert (answer.status_code, rest.outcome(answer).reason) == (415, "media_type_unsupported"), (path, media_type)
        answer = rest.post(path, body[:-1] + b" " * (16 << 10) + b"}", Authorization=f"Bearer {token}")
        assert (answer.status_code, rest.outcome(answer).reason) == (413, "request_too_large"), path
        answer = rest.post(path, b" " * (10 << 20), Authorization=f"Bearer {token}")
        assert (answer.status_code, rest.outcome(answer).reason) == (413, "request_too_large"), path
    assert rest.login().reason is None


def test_a_header_that_comes_twice_is_chosen_from_by_nobody(rest):
    token = rest.login().tokens["access_token"]

    def ask(method, path, *headers, content=None):
        return rest.client.request(method, path, headers=[("Host", HOST), *headers], content=content)
    bearer, body = ("Authorization", f"Bearer {token}"), json.dumps(BODY).encode()
    as_json = ("Content-Type", "application/json")
    for answer, status, reason in (
            (ask("GET", "/auth/v1/userinfo", bearer, bearer), 400, "token_multiple"),
            (ask("GET", "/auth/v1/userinfo", bearer, ("Authorization", "Basic eDp5")), 400, "token_multiple"),
            (ask("GET", "/auth/v1/userinfo", bearer, ("Origin", "https://portal.clinicwave.com"), ("Origin", "https://evil.example")), 403, "origin_forbidden"),
            (ask("POST", "/auth/v1/login", as_json, ("Origin", "https://portal.clinicwave.com"), ("Origin", "https://portal.clinicwave.com"), content=body), 403, "origin_forbidden"),
            (ask("POST", "/auth/v1/login", as_json, ("X-Forwarded-Host", HOST), ("X-Forwarded-Host", "other.localhost"), content=body), 421, "tenant_unknown"),
            (ask("POST", "/auth/v1/login", as_json, as_json, content=body), 415, "media_type_unsupported"),
            (ask("POST", "/auth/v1/login", as_json, ("Content-Type", "text/plain"), content=body), 415, "media_type_unsupported"),
            (ask("GET", "/auth/v1/userinfo?a=1&a=2", bearer), 400, "request_malformed"),
            (ask("GET", "/auth/v1/userinfo?a=%ff", bearer), 400, "request_malformed")):
        assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text


def test_two_lengths_of_a_body_are_none(rest):
    body = json.dumps(BODY).encode()
    request = (f"POST /auth/v1/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nConnection: close\r\n"
               f"Content-Length: {len(body)}\r\nContent-Length: {len(body) + 1}\r\n\r\n").encode() + body
    with socket.create_connection(("127.0.0.1", rest.authsvc.rest), timeout=60) as s:
        s.sendall(request)
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ") and b'"reason":"request_malformed"' in answer


def test_a_malformed_body_is_told_where(rest):
    """docs/ERRORS.md: `detail` names the place where it is known."""
    token = rest.login().tokens["access_token"]
    for path, body, said in (("/auth/v1/login", {"username": ANNA}, "`password` is missing"),
                             ("/auth/v1/login", {**BODY, "otp": 123456}, "`otp` must be a string of at most 64 bytes"),
                             ("/auth/v1/login", {**BODY, "otp": None}, "`otp` must be a string"),
                             ("/auth/v1/login", {**BODY, "username": "u" * 257}, "`username` must be a string of at most 256 bytes"),
                             ("/auth/v1/login", {**BODY, "username": "a\nb"}, "`username` has a control character"),
                             ("/auth/v1/login", b"{", "one JSON object in UTF-8"),
                             ("/auth/v1/login", b'{"username": "a", "username": "b", "password": "c"}', "names no member twice"),
                             ("/auth/v1/mfa/verify", {"mfa_token": "x"}, "One of `otp`, `recovery_code` and `oob_code`"),
                             ("/auth/v1/mfa/recovery-codes", {"otp": ""}, "`otp` is empty"),
                             ("/auth/v1/password/change", {"old_password": PASSWORD}, "`new_password` is missing")):
        answer = rest.post(path, body, Authorization=f"Bearer {token}")
        assert answer.status_code == 400 and answer.json()["reason"] == "request_malformed", (path, body, answer.text)
        assert said in answer.json()["detail"], (said, answer.json()["detail"])


def test_what_refuses_a_token_or_a_login_names_the_realm(rest):
    """CONTRACT: 401 and 403 carry WWW-Authenticate, with realm and error where they apply."""
    plain = f'Bearer realm="{HOST}"'
    assert rest.post("/auth/v1/login", {**BODY, "password": "wrong"}).headers["www-authenticate"] == plain
    assert rest.post("/auth/v1/login", BODY, host=f"{HOST.upper()}.:99", Authorization=None).status_code == 200
    assert rest.post("/auth/v1/refresh", {"refresh_token": "x"}, host=f"{HOST.upper()}.:99").headers["www-authenticate"] == plain
    ask = lambda **headers: rest.client.get("/auth/v1/userinfo", headers={"Host": HOST, **headers}).headers["www-authenticate"]
    assert ask() == plain
    assert ask(Authorization="Bearer x") == f'{plain}, error="invalid_token", error_description="Access token malformed"'
    assert ask(Authorization="Bearer") == f'{plain}, error="invalid_request", error_description="Authorization header malformed"'
    narrow = rest.login(client="mobile", scopes=["email"]).tokens["access_token"]
    assert ask(Authorization=f"Bearer {narrow}") == f'{plain}, error="insufficient_scope", error_description="Scope insufficient", scope="openid"'
    admin = Admin(rest.authsvc)
    admin.user("clinicwave", "blocked@clinicwave.com")
    admin.stub.DisableUser(tenant="clinicwave", username="blocked@clinicwave.com")
    blocked = rest.post("/auth/v1/login", {**BODY, "username": "blocked@clinicwave.com"})
    assert (blocked.status_code, blocked.headers["www-authenticate"]) == (403, plain)
    assert "www-authenticate" not in rest.post("/auth/v1/login", BODY, Origin="https://evil.example").headers


def test_slow_bodies_hold_up_nobody_and_are_ended(rest):
    """Many that stop in the middle of their body: everybody else is served all the while, and after ten idle seconds they are gone."""
    begun = b"POST /auth/v1/login HTTP/1.1\r\nHost: clinicwave.localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    slow = [socket.create_connection(("127.0.0.1", rest.authsvc.rest), timeout=60) for _ in range(100)]
    try:
        for s in slow:
            s.sendall(begun)
        assert rest.login().reason is None
        for s in slow:
            assert s.recv(100) == b"", "closed without an answer: there was no whole request"
        assert rest.login().reason is None
    finally:
        for s in slow:
            s.close()


def test_a_password_of_the_greatest_length_is_a_password(rest):
    assert rest.login(password="x" * 1024).reason == "credentials_invalid"


def test_ten_mebibytes_are_too_large_and_the_next_request_is_served(rest):
    big = json.dumps({"username": ANNA, "password": "x" * (10 << 20)}).encode()
    answer = rest.post("/auth/v1/login", big)
    assert answer.status_code == 413 and rest.outcome(answer).reason == "request_too_large"
    assert rest.login().reason is None


def test_chunked_bodies_have_the_same_bound(rest):
    def endless():
        for _ in range(1000):
            yield b" " * 1024
    try:
        answer = rest.client.post("/auth/v1/login", content=endless(), headers={"Host": HOST, "Content-Type": "application/json"})
        assert answer.status_code == 413
    except (httpx.WriteError, httpx.ReadError):
        pass
    assert rest.login().reason is None


@pytest.mark.parametrize("method, path, status, reason", [
    ("GET", "/auth/v1/login", 405, "method_not_allowed"), ("PUT", "/auth/v1/refresh", 405, "method_not_allowed"),
    ("POST", "/.well-known/openid-configuration", 405, "method_not_allowed"), ("GET", "/auth/v1/nothing", 404, "not_found")])
def test_what_is_not_there_is_told(rest, method, path, status, reason):
    answer = rest.client.request(method, path, headers={"Host": HOST})
    assert answer.status_code == status and answer.json()["reason"] == reason


@pytest.mark.parametrize("origin, allowed", [
    ("https://portal.clinicwave.com", True), ("https://clinicwave.localhost:8443", True), ("https://evil.example", False), ("null", False),
    ("https://clinicwave.localhost", False), ("https://portal.clinicwave.com.evil.example", False), ("http://portal.clinicwave.com", False)])
def test_a_page_may_log_in_only_from_an_origin_of_the_client(rest, origin, allowed):
    answer = rest.post("/auth/v1/login", BODY, Origin=origin)
    if allowed:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 403 and rest.outcome(answer).reason == "origin_forbidden"
    token = rest.login().tokens["refresh_token"]
    answer = rest.post("/auth/v1/refresh", {"refresh_token": token}, Origin=origin)
    assert answer.status_code == (200 if allowed else 403)


def test_a_forwarded_host_counts_behind_the_gateway(rest):
    assert rest.post("/auth/v1/login", BODY, host="127.0.0.1", X_Forwarded_Host=HOST).status_code == 200
    assert rest.post("/auth/v1/login", BODY, host=HOST, X_Forwarded_Host="unknown.localhost").status_code == 421


def test_without_a_trusted_proxy_forwarded_headers_are_ignored(start):
    rest = Rest(start(authsvc={"rest": {"trusted-proxies": ["192.0.2.1"]}, "throttle": {"account": {"burst": 2}}}))
    assert rest.post("/auth/v1/login", BODY, host="127.0.0.1", X_Forwarded_Host=HOST).status_code == 421
    for i in range(2):
        assert rest.login(password="wrong", address=f"198.51.100.{i}").reason == "credentials_invalid"
    assert rest.login(password="wrong", address="198.51.100.7").reason == "throttled"


def test_two_hosts_are_no_host(rest):
    with socket.create_connection(("127.0.0.1", rest.authsvc.rest), timeout=5) as s:
        body = json.dumps(BODY).encode()
        s.sendall(b"POST /auth/v1/login HTTP/1.1\r\nHost: clinicwave.localhost\r\nHost: other.localhost\r\n"
                  b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        assert s.recv(4096).split(b" ")[1] in (b"400", b"421")


def test_what_a_gateway_may_send_on_is_no_flood(rest):
    # nginx takes up to 4 buffers of 8k (large_client_header_buffers), with 4 lines or many
    for lines, n in ((4, 8000), (60, 530), (100, 310)):
        answer = rest.client.post("/auth/v1/login", json=BODY, headers={"Host": HOST, **{f"X-{i}": "x" * n for i in range(lines)}})
        assert answer.status_code == 200


def test_a_header_flood_is_refused(rest):
    try:
        answer = rest.client.post("/auth/v1/login", json=BODY, headers={"Host": HOST, **{f"X-{i}": "x" * 1000 for i in range(100)}})
        assert answer.status_code in (400, 413, 431)
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        pass  # the connection was closed while the headers were still on their way
    assert rest.login().reason is None


@pytest.mark.parametrize("fields", [
    {"username": b"a\0b"}, {"username": b"\xff"}, {"username": b"x" * 257}, {"password": b"a\0b"}, {"password": b"\xff\xfe"}, {"password": b"x" * 1025},
    {"client_id": "x" * 5000}, {"scopes": ["x" * 5000]}], ids=lambda f: repr(f)[:40])
def test_grpc_refuses_the_same(rest, fields):
    door = Grpc(rest.authsvc)
    request = {"domain": HOST, "username": ANNA.encode(), "password": PASSWORD.encode(), **fields}
    outcome = door.outcome(lambda: door.stub.Login(**request))
    assert outcome.reason == "request_malformed" and outcome.status == grpc.StatusCode.INVALID_ARGUMENT


def test_a_grpc_message_of_a_mebibyte_is_refused(rest):
    door = Grpc(rest.authsvc)
    with pytest.raises(grpc.RpcError) as e:
        door.stub.Login(domain=HOST, username=ANNA.encode(), password=b"x" * (1 << 20))
    assert e.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert door.login().reason is None
