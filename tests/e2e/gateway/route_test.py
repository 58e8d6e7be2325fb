"""A request through the gateway: admitted or refused by the sidecar's verdict, and in which words."""
import pytest

from tests.support.gateway import Gateway
from tests.support.programs import until


@pytest.fixture
def gateway(directory, judge, service, ending):
    return ending(Gateway(directory, server=f"""
        cw_auth required;
        location /api/storage/ {{ cw_strip_prefix /api/storage; proxy_pass http://127.0.0.1:{service.port}; }}
        location /api/scoped/ {{ cw_scope files:read files:write; cw_scope_any x y; cw_role doctor; cw_role_all p q;
                                 cw_audience https://api.clinicwave.com; proxy_pass http://127.0.0.1:{service.port}; }}
        location /api/pass/ {{ cw_authorization pass; proxy_pass http://127.0.0.1:{service.port}; }}
        location /open/ {{ cw_auth off; proxy_pass http://127.0.0.1:{service.port}; }}
        location /open/pass/ {{ cw_auth off; cw_authorization pass; proxy_pass http://127.0.0.1:{service.port}; }}
        location /maybe/ {{ cw_auth optional; proxy_pass http://127.0.0.1:{service.port}; }}
        location = /healthz {{ cw_auth off; cw_healthz; }}
        location = /metrics {{ cw_auth off; cw_metrics; }}
        location / {{ cw_auth off; cw_route_unknown; }}
        """).start())


def test_an_allowed_request_reaches_the_service_with_its_identity(gateway):
    r = gateway.get("/api/storage/files/x%20y?q=1", "good")
    assert r.status == 200
    assert r.json["path"] == "/files/x%20y?q=1"
    assert r.reached("X-Auth-Tenant") == ["clinicwave"]
    assert r.reached("X-Auth-Subject") == ["anna"]
    assert r.reached("X-Auth-Issuer") == ["https://issuer"]
    assert r.reached("X-Auth-Client") == ["portal"]
    assert r.reached("X-Auth-Session") == ["s1"]
    assert r.reached("X-Auth-Scope") == ["a b"]
    assert r.reached("X-Auth-Roles") == ["doctor,admin"]
    assert r.reached("X-Forwarded-Prefix") == ["/api/storage"]
    assert r.reached("X-Forwarded-Proto") == ["http"]
    assert r.reached("X-Forwarded-For") == ["127.0.0.1"]
    assert r.reached("X-Forwarded-Host") == ["clinicwave.localhost"]
    assert r.reached("Authorization") == []
    assert r.headers["x-request-id"] == r.reached("X-Request-Id")[0]
    assert r.reached("traceparent")[0].split("-")[1] == r.headers["x-request-id"]


@pytest.mark.parametrize("value", ["Bearer\tgood", "Bearer go\x01od", "Basic\x7f"])
def test_an_authorization_that_no_service_can_be_sent_is_the_clients_fault(gateway, value):
    """Also where no token is asked for and the header is only passed on."""
    r = gateway.get("/open/pass/x", headers={"Authorization": value})
    assert (r.status, r.reason) == (400, "authorization_malformed"), value
    assert gateway.get("/open/x", headers={"Authorization": value}).status == 200
    good = gateway.get("/open/pass/x", headers={"Authorization": "Basic eDp5"})
    assert good.status == 200 and good.reached("Authorization") == ["Basic eDp5"]


def test_a_request_without_a_token_is_401_with_a_challenge(gateway):
    r = gateway.get("/api/storage/files")
    assert (r.status, r.reason) == (401, "token_missing")
    assert r.headers["content-type"] == "application/problem+json"
    assert r.headers["www-authenticate"] == 'Bearer realm="clinicwave.localhost"'
    assert r.json["type"].endswith("ERRORS.md#token_missing")
    assert r.json["status"] == 401 and r.json["title"] and r.json["detail"] and len(r.json["trace_id"]) == 32


def test_realm_and_the_place_of_the_errors_documents_are_configuration(nginx, judge):
    g = nginx("location / { cw_auth required; cw_realm files; proxy_pass http://@SERVICE@; }", http="cw_error_docs 'https://docs.example/errors#';")
    r = g.get("/x")
    assert r.headers["www-authenticate"] == 'Bearer realm="files"'
    assert r.json["type"] == "https://docs.example/errors#token_missing"


@pytest.mark.parametrize("reason, decision, status, error", [
    ("token_expired", 2, 401, "invalid_token"), ("signature_invalid", 2, 401, "invalid_token"),
    ("token_revoked", 2, 401, "invalid_token"), ("scope_insufficient", 3, 403, "insufficient_scope")])
def test_a_refusal_carries_the_sidecars_reason(gateway, judge, reason, decision, status, error):
    judge.refuse("bad", reason, decision, required_scope="files:write" if status == 403 else "")
    r = gateway.get("/api/storage/files", "bad")
    assert (r.status, r.reason) == (status, reason)
    assert f'error="{error}"' in r.headers["www-authenticate"]
    assert ('scope="files:write"' in r.headers["www-authenticate"]) == (status == 403)


def test_a_decision_that_is_not_known_is_a_refusal(gateway, judge):
    judge.refuse("new", "from_the_future", decision=77)
    r = gateway.get("/api/storage/files", "new")
    assert (r.status, r.reason) == (403, "from_the_future")


@pytest.mark.parametrize("cause, reason", [(2, "keys_unavailable"), (3, "validator_overloaded"), (5, "deadline_exceeded"), (4, ""), (0, ""), (99, "x")])
def test_undecided_is_503_with_retry_after_and_never_401(gateway, judge, cause, reason):
    judge.undecided("odd", cause, reason, retry_after_seconds=7)
    r = gateway.get("/api/storage/files", "odd")
    assert r.status == 503
    assert r.headers["retry-after"] == "7"
    assert r.reason == (reason if len(reason) > 1 else "validator_unavailable")
    assert "www-authenticate" not in r.headers


def test_a_domain_without_a_tenant_is_421(gateway, judge):
    judge.undecided("odd", 4, "tenant_unknown")
    r = gateway.get("/api/storage/files", "odd", host="nobody.example")
    assert (r.status, r.reason) == (421, "tenant_unknown")


@pytest.mark.parametrize("path", ["/api/storage/x", "/maybe/x"])
def test_so_it_is_without_a_token(gateway, judge, service, path):
    judge.undecided("", 4, "tenant_unknown")
    r = gateway.get(path, host="nobody.example")
    assert (r.status, r.reason) == (421, "tenant_unknown")
    assert not service.requests


def test_a_missing_token_stays_401_when_nobody_can_say_more(gateway, judge):
    judge.undecided("")
    assert gateway.get("/api/storage/x").status == 401
    judge.stop()
    until("the link is down", lambda: gateway.get("/healthz").status == 503)
    assert gateway.get("/api/storage/x").status == 401


def test_the_rule_travels_to_the_sidecar(gateway, judge):
    judge.allow("good")
    assert gateway.get("/api/scoped/x", "good").status == 200
    rule = judge.rules[judge.seen[-1].rule].requirement
    assert list(rule.scopes_all) == ["files:read", "files:write"]
    assert list(rule.scopes_any) == ["x", "y"]
    assert list(rule.roles_any) == ["doctor"]
    assert list(rule.roles_all) == ["p", "q"]
    assert list(rule.audiences) == ["https://api.clinicwave.com"]
    assert judge.seen[-1].domain == "clinicwave.localhost"


def test_the_domain_is_normalised(gateway, judge):
    assert gateway.get("/api/storage/x", "good", host="ClinicWave.LOCALHOST.:8443").status == 200
    assert judge.seen[-1].domain == "clinicwave.localhost"


def test_the_token_travels_once_and_then_its_digest(gateway, judge):
    for _ in range(3):
        assert gateway.get("/api/storage/x", "good").status == 200
    assert [e.WhichOneof("subject") for e in judge.seen] == ["token", "digest", "digest"]


def test_a_digest_that_is_not_known_is_followed_by_the_token(gateway, judge):
    assert gateway.get("/api/storage/x", "good").status == 200
    judge.forget()
    assert gateway.get("/api/storage/x", "good").status == 200
    assert [e.WhichOneof("subject") for e in judge.seen] == ["token", "digest", "token"]


def test_a_refused_token_is_not_remembered(gateway, judge):
    for _ in range(2):
        assert gateway.get("/api/storage/x", "bad").status == 401
    assert [e.WhichOneof("subject") for e in judge.seen] == ["token", "token"]


def test_authorization_passes_only_where_the_rule_says_so(gateway):
    assert gateway.get("/api/pass/x", "good").reached("Authorization") == ["Bearer good"]
    assert gateway.get("/api/storage/x", "good").reached("Authorization") == []
    assert gateway.get("/open/x", "good").reached("Authorization") == []


def test_an_optional_route_takes_no_token_and_refuses_a_bad_one(gateway):
    r = gateway.get("/maybe/x")
    assert r.status == 200 and r.reached("X-Auth-Subject") == []
    assert gateway.get("/maybe/x", "good").reached("X-Auth-Subject") == ["anna"]
    assert gateway.get("/maybe/x", "bad").status == 401


def test_healthz_tells_whether_it_can_decide(gateway, judge):
    assert gateway.get("/healthz").json == {"status": "UP"}
    judge.stop()
    until("healthz notices", lambda: gateway.get("/healthz").status == 503)
    assert gateway.get("/healthz").reason == "validator_unavailable"
    judge.start()
    until("healthz recovers", lambda: gateway.get("/healthz").status == 200)


def test_the_log_has_reason_tenant_time_and_no_token(gateway, judge):
    gateway.get("/api/storage/x", "good")
    gateway.get("/api/storage/x", "a-secret-token")
    first, second = gateway.logged(2)
    assert (first["decision"], first["tenant"], first["subject"]) == ("allow", "clinicwave", "anna")
    assert int(first["us"]) > 0
    assert (second["decision"], second["reason"], second["status"]) == ("unauthenticated", "signature_invalid", 401)
    assert "a-secret-token" not in (gateway.directory / "access.log").read_text() + gateway.process.log()


def test_metrics_count_verdicts_and_refusals(gateway):
    gateway.get("/api/storage/x", "good")
    gateway.get("/api/storage/x", "bad")
    gateway.get("/api/storage/x")
    m = gateway.metrics()
    assert m['cw_gateway_verdicts_total{decision="allow"}'] == 1
    assert m['cw_gateway_verdicts_total{decision="unauthenticated"}'] == 2
    assert m['cw_gateway_refusals_total{reason="signature_invalid"}'] == 1
    assert m['cw_gateway_refusals_total{reason="token_missing"}'] == 1
    assert m["cw_gateway_validation_seconds_count"] == 2
    assert m["cw_gateway_link_connections_total"] == 1


def test_metrics_tell_how_tokens_travel(gateway, judge):
    for _ in range(3):
        gateway.get("/api/storage/x", "good")
    judge.forget()
    gateway.get("/api/storage/x", "good")
    m = gateway.metrics()
    assert m['cw_gateway_questions_total{by="token"}'] == 2
    assert m['cw_gateway_questions_total{by="digest"}'] == 3
    assert m["cw_gateway_digests_unknown_total"] == 1
    assert m["cw_gateway_batches_total"] == 5
    judge.stop()
    judge.start()
    until("it is connected again", lambda: gateway.metrics()["cw_gateway_link_connections_total"] == 2)
    assert gateway.metrics()["cw_gateway_link_ends_total"] == 1


def test_a_service_without_a_location_is_an_unknown_route(gateway):
    r = gateway.get("/api/unheard-of/x", "good")
    assert (r.status, r.reason) == (404, "route_unknown")
