"""deploy/demo/nginx.conf as it stands: accepted by nginx, and its log is one ECS object a line."""
import http.client
import json
import os
import re
import shutil
import socket
import ssl

import pytest

from tests.support.gateway import Answer
from tests.support.http2 import PREFACE, frame, literal
from tests.support.programs import Program, free_port, listening, program, source, until


@pytest.fixture
def demo(directory, authority, judge, ending):
    """The demo's gateway, its ports and paths filled in as ./dev does."""
    for name in ("bin", "tls", "log", "cache"):
        (directory / name).mkdir()
    shutil.copy(program("edge-gateway/ngx_http_cw_module.so"), directory / "bin")
    certificate, key = authority.issue("clinicwave.localhost")
    shutil.copy(certificate, directory / "tls/gateway.pem")
    shutil.copy(key, directory / "tls/gateway.key")
    ports = {}

    def value(match):
        name = match[1]
        if name == "RUN":
            return str(directory)
        if name == "USER_LINE":
            return "user root;" if os.geteuid() == 0 else ""
        return str(ports.setdefault(name, free_port())) if name.startswith("PORT_") else name
    text = re.sub(r"@([A-Z_]+)@", value, source("deploy/demo/nginx.conf").read_text())
    config = directory / "nginx.conf"
    config.write_text(text.replace("worker_processes auto", "worker_processes 1"))
    environment = {"LD_PRELOAD": os.environ["CW_PRELOAD"], "ASAN_OPTIONS": "detect_leaks=0"} if os.environ.get("CW_PRELOAD") else {}
    process = Program("nginx", ["/usr/sbin/nginx", "-p", directory, "-c", config, "-e", "stderr", "-g", "daemon off;"], directory, environment)
    process.port, process.https, process.management = ports["PORT_HTTP"], ports["PORT_HTTPS"], ports["PORT_GATEWAY"]
    return ending(process.start().until_ready(lambda: listening(process.port)))


def get(demo, path, token=None, port=None):
    c = http.client.HTTPConnection("127.0.0.1", port or demo.port, timeout=10)
    c.request("GET", path, headers={"Host": "clinicwave.localhost:8080", **({"Authorization": f"Bearer {token}"} if token else {})})
    r = c.getresponse()
    return Answer(r.status, r.getheaders(), r.read())


def logged(directory, n):
    lines = until(f"{n} lines", lambda: len((directory / "log/access.log").read_text().splitlines()) >= n
                  and (directory / "log/access.log").read_text().splitlines())
    return [json.loads(l) for l in lines]


def test_the_log_is_ecs_and_holds_no_token_and_no_query(demo, directory, judge):
    judge.refuse("a-secret", "token_expired")
    assert get(demo, "/api/storage/files?access_token=in-the-query", "a-secret").status == 401
    assert get(demo, "/none%20\"such").status == 404
    first, second = logged(directory, 2)
    assert "a-secret" not in json.dumps(first) and "in-the-query" not in json.dumps(first)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", first["@timestamp"])
    assert first["ecs.version"] and first["service.name"] == "edge-gateway"
    assert first["http.response.status_code"] == 401 and first["http.request.method"] == "GET"
    assert first["url.path"] == "/api/storage/files" and first["url.domain"] == "clinicwave.localhost"
    assert (first["clinicwave.decision"], first["clinicwave.reason"]) == ("unauthenticated", "token_expired")
    assert first["event.duration"] % 1000000 == 0 and first["clinicwave.validation.us"] > 0 and first["clinicwave.validation.cached"] is False
    assert len(first["trace.id"]) == 32 and len(first["span.id"]) == 16 and first["http.request.id"]
    assert second["clinicwave.reason"] == "route_unknown" and second["url.domain"] == "clinicwave.localhost"
    assert second["trace.id"] != first["trace.id"]


def test_a_client_that_is_cut_off_before_an_answer_is_a_line_of_json_too(demo, directory):
    """nginx's status is 000 then, which is no number of JSON: who can write such lines hides them from what reads the log."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    fields = literal(b":method", b"GET") + literal(b":scheme", b"https") + literal(b":authority", b"clinicwave.localhost") + literal(b":path", b"/none")
    with socket.create_connection(("127.0.0.1", demo.https), 10) as raw, context.wrap_socket(raw, server_hostname="clinicwave.localhost") as s:
        s.sendall(PREFACE + frame(1, 5, 1, fields + literal(b"Upper", b"case")))
        [line] = logged(directory, 1)
    assert (line["http.response.status_code"], line["http.version"]) == (0, "2.0")
    assert get(demo, "/none").status == 404
    assert [(l["http.response.status_code"], l["http.version"]) for l in logged(directory, 2)][1] == (404, "1.1")


def test_bytes_that_are_no_utf8_are_a_line_of_json_too(demo, directory):
    """logged() reads strictly. Broken off, overlong (RFC 3629 §3), a surrogate, past the last character; and those that are well."""
    bad, good = [b"\xff", b"a\xc3", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x80\x80\x80b"], ["ü", "€", "\ud7ff", "😀b", "\U0010ffff"]
    for text in (*bad, *(g.encode() for g in good)):
        with socket.create_connection(("127.0.0.1", demo.port), 10) as s:
            s.sendall(b"GET /" + text + b" HTTP/1.1\r\nHost: clinicwave.localhost\r\nUser-Agent: x" + text + b"\r\nConnection: close\r\n\r\n")
            assert s.recv(9) == b"HTTP/1.1 ", text
    lines = logged(directory, len(bad) + len(good))
    assert [(l["url.path"], l["user_agent.original"]) for l in lines] == [("(not UTF-8)", "(not UTF-8)")] * len(bad) + [(f"/{g}", f"x{g}") for g in good]
    with socket.create_connection(("127.0.0.1", demo.port), 10) as s:
        s.sendall(b"GET /none HTTP/1.1\r\nHost: \xff.localhost\r\nConnection: close\r\n\r\n")
        assert s.recv(9) == b"HTTP/1.1 "
    assert len(logged(directory, len(lines) + 1)) == len(lines) + 1


def test_an_allow_says_who(demo, directory, judge):
    get(demo, "/api/storage/files", "good")
    [line] = logged(directory, 1)
    assert (line["clinicwave.decision"], line["organization.name"], line["user.id"], line["clinicwave.client"]) == ("allow", "clinicwave", "anna", "portal")


def test_a_login_in_the_clear_is_sent_to_https(demo):
    r = get(demo, "/auth/v1/login?x=1")
    assert r.status == 308
    assert re.fullmatch(r"https://clinicwave\.localhost:\d+/auth/v1/login\?x=1", r.headers["location"])


def test_health_and_metrics_are_there_and_not_in_the_log(demo, directory):
    assert get(demo, "/healthz").status == 200
    assert b"cw_gateway_verdicts_total" in get(demo, "/metrics", port=demo.management).body
    assert get(demo, "/api/storage/files", port=demo.management).status == 404
    assert not (directory / "log/access.log").read_text()


def test_metrics_have_no_door(demo):
    """Also not from loopback, where a reverse proxy on the same host would come from."""
    assert (get(demo, "/metrics").status, get(demo, "/metrics").reason) == (404, "route_unknown")


SERVICES_KEEP_S = 10  # common/http/server.h: idle_ms; what authsvc and storage-service take


def test_idle_connections_are_given_up_before_the_services_give_them_up():
    text = source("deploy/demo/nginx.conf").read_text()
    upstreams = re.findall(r"^    upstream (\w+) \{(.*?)^    \}", text, re.S | re.M)
    assert {name for name, _ in upstreams} == {"authsvc", "storage"}
    for name, body in upstreams:
        assert "keepalive 16;" in body
        assert int(re.search(r"keepalive_timeout (\d+)s;", body)[1]) * 2 <= SERVICES_KEEP_S, name
