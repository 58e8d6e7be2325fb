"""The demo's service, called directly: it believes the sidecar, not the headers; each tenant has its own files."""
import json
import socket

import pytest

from tests.e2e.storage.service import Storage
from tests.support.fixtures import tenant_of
from tests.support.issuer import Issuer
from tests.support.programs import until
from tests.support.stack import Sidecar

FORGED = {"X-Auth-Tenant": "clinicwave", "X-Auth-Subject": "admin", "X-Auth-Issuer": "x", "X-Auth-Roles": "doctor", "X-Auth-Scope": "files:write"}


@pytest.fixture
def storage(directory, sidecar, ending):
    return ending(Storage(directory, sidecar.socket).start())


def by_hand(storage, token, path, length, body):
    """A PUT as it stands here; clients would tidy it up."""
    with socket.create_connection(("127.0.0.1", storage.port), timeout=30) as s:
        s.sendall(f"PUT {path} HTTP/1.1\r\nHost: clinicwave.localhost\r\nAuthorization: Bearer {token}\r\n"
                  f"Content-Length: {length}\r\nConnection: close\r\n\r\n".encode() + body)
        answer = b""
        while part := s.recv(65536):
            answer += part
    return answer


def reason(answer):
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.json()["reason"]


def test_a_file_is_stored_replaced_returned_listed_and_deleted(storage, issuer):
    token = issuer.token()
    put = storage.ask("PUT", "/files/Befund%20M%C3%A4rz.pdf", token, content=b"%PDF-1", headers={"Content-Type": "application/pdf"})
    assert put.status_code == 201
    again = storage.ask("PUT", "/files/Befund%20M%C3%A4rz.pdf", token, content=b"%PDF-2!", headers={"Content-Type": "application/pdf"})
    assert again.status_code == 204
    assert storage.ask("PUT", "/files/a.txt", token, content=b"").status_code == 201
    got = storage.ask("GET", "/files/Befund%20M%C3%A4rz.pdf", token)
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, b"%PDF-2!", "application/pdf")
    assert got.headers["x-content-type-options"] == "nosniff"
    head = storage.ask("HEAD", "/files/Befund%20M%C3%A4rz.pdf", token)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "7")
    files = storage.ask("GET", "/files", token).json()
    assert [(f["name"], f["size"], f["content_type"]) for f in files] == [("Befund März.pdf", 7, "application/pdf"), ("a.txt", 0, "application/octet-stream")]
    assert all(f["modified"].endswith("Z") for f in files)
    assert storage.ask("DELETE", "/files/a.txt", token).status_code == 204
    gone = storage.ask("GET", "/files/a.txt", token)
    assert (gone.status_code, reason(gone)) == (404, "not_found")
    assert storage.ask("DELETE", "/files/a.txt", token).status_code == 404


def test_forged_identity_headers_are_no_identity(storage, issuer):
    storage.ask("PUT", "/files/secret", issuer.token(), content=b"x")
    for method, path in [("GET", "/files/secret"), ("GET", "/files"), ("PUT", "/files/secret"), ("DELETE", "/files/secret")]:
        answer = storage.ask(method, path, headers=FORGED)
        assert (answer.status_code, reason(answer)) == (401, "token_missing"), (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert storage.ask("GET", "/files/secret", issuer.token()).content == b"x"


def test_a_bad_token_is_refused_with_its_reason(storage, issuer):
    expired = storage.ask("GET", "/files", issuer.expired(), headers=FORGED)
    assert (expired.status_code, reason(expired)) == (401, "token_expired")
    # also while a body is on its way
    assert storage.ask("PUT", "/files/x", issuer.expired(), content=bytes(900_000)).status_code == 401
    assert 'error="invalid_token"' in expired.headers["www-authenticate"]
    token = issuer.token()
    last = "A" if token[-2] != "A" else "B"
    broken = storage.ask("GET", "/files", token[:-2] + last + token[-1])
    assert (broken.status_code, reason(broken)) == (401, "signature_invalid")
    assert storage.ask("GET", "/files", token, host="nobody.example").status_code == 421


def test_without_a_sidecar_nobody_decides(directory, sidecar, storage, issuer):
    token = issuer.token()
    assert storage.ask("GET", "/files", token).status_code == 200
    sidecar.process.stop()
    answer = storage.ask("PUT", "/files/x", token, content=b"x")
    assert (answer.status_code, reason(answer)) == (503, "validator_unavailable")
    assert "retry-after" in answer.headers
    until("readiness says so", lambda: storage.health("/readiness")["status"] == "OUT_OF_SERVICE")
    assert storage.health("/liveness")["status"] == "UP"
    sidecar.start()
    until("it answers again", lambda: storage.ask("GET", "/files", token).status_code == 200)


def test_a_sidecar_that_says_nothing_is_no_decision_either(directory, sidecar, ending, issuer):
    storage = ending(Storage(directory, sidecar.socket, sidecar={"socket": str(sidecar.socket), "timeout": "200ms"}).start())
    token = issuer.token()
    assert storage.ask("GET", "/files", token).status_code == 200
    sidecar.process.pause()
    answer = storage.ask("GET", "/files", token)
    sidecar.process.go_on()
    assert answer.status_code == 503


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%2fb", "..%2f..%2fetc%2fpasswd", "a%5cb", "a%00b", "a%0ab", ".hidden", "%20a", "a%20", "%ff",
                                  "x" * 121, "a/b", "%c2%80"])
def test_a_name_that_is_more_than_a_name_is_refused(storage, issuer, name):
    answer = by_hand(storage, issuer.token(), f"/files/{name}", 1, b"x")
    assert answer.split(b" ")[1] in (b"400", b"404", b"405"), answer[:200]
    assert [p for p in storage.files.rglob("*") if p.is_file()] == []


def test_large_bodies_pass_and_too_large_ones_do_not(directory, sidecar, ending, issuer):
    storage = ending(Storage(directory, sidecar.socket, **{"max-file": "10MiB"}).start())
    body = bytes(range(256)) * 4 * 1024 * 10
    assert storage.ask("PUT", "/files/big", issuer.token(), content=body).status_code == 201
    assert storage.ask("GET", "/files/big", issuer.token()).content == body
    # refused by its length: at once where it is long, else when the client has sent what nobody keeps, and reads
    assert b'"reason":"request_too_large"' in by_hand(storage, issuer.token(), "/files/bigger", 2 * len(body), b"")
    answer = storage.ask("PUT", "/files/bigger", issuer.token(), content=body + b"x")
    assert (answer.status_code, reason(answer)) == (413, "request_too_large")

    def chunks():
        yield body
        yield b"x"
    answer = storage.ask("PUT", "/files/bigger", issuer.token(), content=chunks())
    assert (answer.status_code, reason(answer)) == (413, "request_too_large")
    assert [f["name"] for f in storage.ask("GET", "/files", issuer.token()).json()] == ["big"]
    assert [p.name for p in storage.files.rglob("t*") if p.is_file()] == []


def test_a_tenant_sees_its_own_files_only(directory, authority, ending):
    issuers = {name: ending(Issuer(authority.issue("127.0.0.1"), audience=f"https://api.{name}.com")) for name in ("clinicwave", "abott")}
    sidecar = ending(Sidecar(directory, [tenant_of(i, authority, name, (f"{name}.localhost",)) for name, i in issuers.items()]).start())
    storage = ending(Storage(directory, sidecar.socket).start())
    for name, issuer in issuers.items():
        assert storage.ask("PUT", "/files/report", issuer.token(), host=f"{name}.localhost", content=name.encode()).status_code == 201
        assert storage.ask("PUT", f"/files/only-{name}", issuer.token(), host=f"{name}.localhost", content=b"1").status_code == 201
    for name, issuer in issuers.items():
        assert storage.ask("GET", "/files/report", issuer.token(), host=f"{name}.localhost").text == name
        names = [f["name"] for f in storage.ask("GET", "/files", issuer.token(), host=f"{name}.localhost").json()]
        assert names == [f"only-{name}", "report"]
    # a header that a direct caller writes chooses whose issuers are asked, never whose files are given
    crossed = storage.ask("GET", "/files/report", issuers["abott"].token(), host="clinicwave.localhost",
                          headers={"X-Forwarded-Host": "clinicwave.localhost", **FORGED})
    assert (crossed.status_code, reason(crossed)) == (401, "issuer_unknown")
    own = storage.ask("GET", "/files/only-abott", issuers["abott"].token(), host="clinicwave.localhost",
                      headers={"X-Forwarded-Host": "abott.localhost"})
    assert own.status_code == 200


def test_an_upload_that_breaks_off_leaves_the_old_file(storage, issuer):
    token = issuer.token()
    storage.ask("PUT", "/files/a", token, content=b"old")
    with socket.create_connection(("127.0.0.1", storage.port), timeout=10) as s:
        s.sendall(f"PUT /files/a HTTP/1.1\r\nHost: clinicwave.localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 100\r\n\r\nhalf".encode())
        until("the upload has begun", lambda: [p for p in storage.files.rglob("t*") if p.is_file()])
    until("it is gone", lambda: not [p for p in storage.files.rglob("t*") if p.is_file()])
    assert storage.ask("GET", "/files/a", token).content == b"old"


def test_it_stops_gracefully_and_never_logs_a_token(storage, issuer):
    token = issuer.token()
    storage.ask("GET", "/files", token)
    assert storage.process.stop() == 0
    lines = [json.loads(line) for line in storage.process.log().splitlines()]
    assert {"started", "http-request", "stopping"} <= {line["event.action"] for line in lines}
    assert token.split(".")[2] not in storage.process.log()
