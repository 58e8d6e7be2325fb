"""Authorization/Check over the sidecar's socket, asked by grpcio as an Envoy would: who may pass, with which headers, and in which words not."""
import concurrent.futures
import time

import grpc
import pytest

from tests.support import rpc
from tests.support.ext_authz import RULES, SERVICE, Checker, Outcome
from tests.support.fixtures import tenant_of
from tests.support.programs import until
from tests.support.stack import Sidecar

REQUIRED = {"cw_auth": "required"}


@pytest.fixture
def door(sidecar):
    return Checker(sidecar.socket)


@pytest.fixture
def token(issuer):
    return issuer.token(sub="anna", scope="files:read", roles=["doctor", "admin"], sid="s1")


def test_a_good_token_passes_with_its_identity(door, issuer, token):
    for _ in range(2):  # verified, then from the cache
        r = door.get("/a/x", token)
        assert r.status == 200
        assert r.identity == {"x-auth-tenant": ["clinicwave"], "x-auth-subject": ["anna"], "x-auth-issuer": [issuer.url], "x-auth-client": ["portal"],
                              "x-auth-session": ["s1"], "x-auth-scope": ["files:read"], "x-auth-roles": ["doctor,admin"]}


def test_headers_are_taken_in_both_forms_that_envoy_has(sidecar, token):
    door = Checker(sidecar.socket, raw=False)
    r = door.get("/a/x", token, [("X-Auth-Subject", "root"), ("x_auth_roles", "admin")])
    assert r.status == 200 and r.seen["x-auth-subject"] == ["anna"] and "x_auth_roles" not in r.seen
    assert door.get("/a/x").reason == "token_missing"
    twice = [("Authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")]
    assert door.get("/a/x", headers=twice).reason == "token_multiple"


def test_the_second_time_the_token_comes_from_the_cache_that_validate_filled(sidecar, token):
    assert not sidecar.validate(token).cached
    hits = lambda: sidecar.metrics()['cw_sidecar_cache_hits_total{application="cw-sidecar"}']
    before = hits()
    assert Checker(sidecar.socket).get("/a/x", token).status == 200
    assert hits() == before + 1


def test_without_a_token_it_is_401_with_a_challenge(door):
    r = door.get("/a/x")
    assert (r.status, r.reason, r.headers["www-authenticate"]) == (401, "token_missing", 'Bearer realm="clinicwave.localhost"')
    assert r.headers["content-type"] == "application/problem+json" and r.headers["cache-control"] == "no-store"
    assert r.problem["type"].endswith("ERRORS.md#token_missing") and len(r.problem["trace_id"]) == 32
    assert door.response.status.code == grpc.StatusCode.UNAUTHENTICATED.value[0]


def test_a_scope_that_lacks_is_403_and_named_on_a_cached_token_too(door, token):
    for _ in range(2):
        r = door.get("/scoped/x", token)
        assert (r.status, r.reason) == (403, "scope_insufficient")
        assert 'error="insufficient_scope"' in r.headers["www-authenticate"] and 'scope="files:read files:write"' in r.headers["www-authenticate"]


def test_what_a_client_forges_is_gone_and_what_it_may_say_stays(door, token):
    forged = [("X-Auth-Subject", "root"), ("x_auth_roles", "admin"), ("X.Auth.Tenant", "abott"), ("x-auth-new", "1"), ("x-forwarded-host", "evil.example")]
    for path, given in (("/a/x", token), ("/maybe/x", None), ("/open/x", None)):
        r = door.get(path, given, [*forged, ("X-Other", "mine"), ("x-forwarded-for", "203.0.113.7")])
        assert r.status == 200
        assert set(r.seen) - set(r.identity) == {"x-other", "x-forwarded-for"}, r
        assert r.identity.get("x-auth-subject") == (["anna"] if given else None)
        assert "x-auth-new" not in r.seen


def test_names_are_taken_away_even_where_envoy_keeps_them_from_us(sidecar):
    removed = Checker(sidecar.socket).check("/open/x").ok_response.headers_to_remove
    assert {f"x-auth-{n}" for n in ("tenant", "subject", "issuer", "client", "session", "scope", "roles")} | {"authorization"} == set(removed)


def test_two_tokens_are_400_on_every_route(door, token):
    twice = [("Authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")]
    for path in ("/a/x", "/maybe/x", "/open/x"):
        r = door.get(path, headers=twice)
        assert (r.status, r.reason) == (400, "token_multiple")


def test_another_scheme_in_front_of_a_token_does_not_make_it_anonymous(door, token):
    r = door.get("/maybe/x", headers=[("Authorization", "Basic eDp5"), ("authorization", f"Bearer {token}")])
    assert (r.status, r.reason) == (400, "token_multiple")


@pytest.mark.parametrize("joined", ["Bearer {}, Negotiate", "Bearer {},Negotiate", "Bearer {},", "Bearer {}, Negotiate, NTLM"])
def test_a_token_with_another_scheme_behind_it_is_not_believed(door, token, joined):
    headers = [("Authorization", joined.format(token))]
    for path in ("/a/x", "/maybe/x", "/pass/x"):
        r = door.get(path, headers=headers)
        assert (r.status, r.reason) == (400, "authorization_malformed")
    r = door.get("/open/x", headers=headers)  # nobody looks for a token here
    assert r.status == 200 and not r.identity and "authorization" not in r.seen
    assert door.get("/open/x", headers=headers, rule={"cw_auth": "off", "cw_authorization": "pass"}).seen["authorization"] == [joined.format(token)]
    assert door.get("/a/x", token).status == 200  # and whoever asks next is judged as ever


def test_the_token_passes_only_where_the_route_says_so(door, token):
    assert door.get("/pass/x", token).seen["authorization"] == [f"Bearer {token}"]
    assert "authorization" not in door.get("/a/x", token).seen
    assert "authorization" not in door.get("/open/x", token).seen


def test_a_route_that_names_no_rule_is_closed(sidecar, door, token):
    r = door.get("/a/x", token, rule={})
    assert (r.status, r.reason) == (403, "forbidden")
    assert door.get("/a/x", token, rule={"cw_scope": "files:read"}).reason == "forbidden"
    until("the operator is told", lambda: "envoy-route-refused" in sidecar.process.log())


def test_a_rule_that_cannot_be_followed_closes_the_route_and_says_why_to_the_operator_only(sidecar, door, token):
    for rule in ({"cw_auth": "require"}, {"cw_auth": "required", "cw_scopes": "files:write"}, {"cw_auth": "off", "scope": "x"},
                 {"cw_auth": "required", "cw_role": "doctor,"}, {"cw_auth": "required", "cw_realm": 'a"b'}):
        r = door.get("/a/x", token, rule=rule)
        assert (r.status, r.reason) == (500, "config_invalid")
        key = list(rule)[-1]
        assert key in door.response.status.message and key not in door.response.denied_response.body
    until("the log names the first", lambda: r'cw_auth: \"require\"' in sidecar.process.log())


def test_a_domain_of_nobody_is_421_with_a_token_and_without(door, token):
    for given in (token, None):
        r = door.get("/a/x", given, host="nobody.example")
        assert (r.status, r.reason) == (421, "tenant_unknown")
        assert "www-authenticate" not in r.headers


def test_what_is_no_domain_is_421(door, token):
    for host in ("", "a b", "x" * 300, "clinicwave.localhost/evil", "clinicwave.localhost:8443:1"):
        r = door.get("/a/x", token, host=host)
        assert (r.status, r.reason) == (421, "tenant_unknown")


def test_a_token_of_one_tenant_is_none_of_another(directory, authority, issuer, ending, token):
    other = tenant_of(issuer, authority, "abott", ("abott.localhost",))
    other["issuers"][0] = dict(other["issuers"][0], issuer="https://another.example/")
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority), other]).start())
    door = Checker(sidecar.socket)
    assert door.get("/a/x", token).status == 200
    r = door.get("/a/x", token, host="abott.localhost")
    assert (r.status, r.reason) == (401, "issuer_unknown")
    r = door.get("/a/x", token, [("x-forwarded-host", "clinicwave.localhost")], host="abott.localhost")
    assert (r.status, r.reason) == (401, "issuer_unknown")


def test_keys_that_cannot_be_had_are_503_and_never_an_allow(directory, authority, issuer, ending, token):
    issuer.answer_keys_with(b"broken", 500)
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)]).start())
    door = Checker(sidecar.socket)
    for path in ("/a/x", "/maybe/x"):
        r = door.get(path, token)
        assert (r.status, r.reason) == (503, "keys_unavailable")
        assert int(r.headers["retry-after"]) >= 1 and "www-authenticate" not in r.headers
        assert door.response.status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert door.get("/maybe/x").status == 200  # nothing to decide
    issuer.answer_normally()
    until("it decides again", lambda: door.get("/a/x", token).status == 200)


def test_the_answer_comes_before_the_proxy_gives_up(directory, authority, issuer, ending, token):
    """At the proxy's own deadline it would be too late: then nobody would be answered, however quick the machine."""
    issuer.hang_on_keys()
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)], sidecar={"key-wait": "30s"}).start())
    door = Checker(sidecar.socket)

    def ask(timeout):
        """Its status; None where this machine slept through the eighth of the time that is left for the way."""
        try:
            return Checker.apply(door.stub.Check(timeout=timeout, **Checker.fields("/a/x", [("authorization", f"Bearer {token}")])), []).status
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            return None

    with concurrent.futures.ThreadPoolExecutor(16) as pool:  # a fetch of keys is given up after 5 s
        until("an answer comes in time", lambda: set(pool.map(ask, [2.4 + i / 8 for i in range(16)])) - {None} == {503})


def test_a_grpc_request_is_refused_in_trailers(sidecar):
    door = Checker(sidecar.socket)
    denied = door.check("/a/x", [("content-type", "application/grpc")]).denied_response
    headers = {o.header.key: o.header.value for o in denied.headers}
    assert (headers["grpc-status"], headers["cw-reason"]) == ("16", "token_missing")
    assert denied.body == "Authentication required" and "content-type" not in headers


def test_the_trace_is_the_requests_own(door):
    trace = "0af7651916cd43dd8448eb211c80319c"
    r = door.get("/a/x", headers=[("traceparent", f"00-{trace}-b7ad6b7169203331-01")])
    assert r.problem["trace_id"] == trace
    for bad in ("00-x", f"00-{trace.upper()}-b7ad6b7169203331-01", '","reason":"ok'):
        assert door.get("/a/x", headers=[("traceparent", bad)]).problem["trace_id"] != trace


def test_a_question_about_no_http_request_is_refused(door):
    for fields in ({}, {"attributes": {}}, {"attributes": {"request": {}}}, {"attributes": {"request": {"http": {}}, "context_extensions": REQUIRED}}):
        response = door.stub.Check(**fields)
        assert response.status.code != 0
        assert response.denied_response.status.code == 400


def test_bytes_that_are_no_question_are_no_allow(sidecar):
    call = rpc.channel(sidecar.socket).unary_unary(f"/{SERVICE}/Check")
    for bad in (b"\x0a\x05abc", b"\xff", b"\x0a\x06\x22\x04\x12\x02\x22\xff"):
        with pytest.raises(grpc.RpcError) as e:
            call(bad, timeout=20)
        assert e.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_it_is_served_where_validate_is_and_at_the_gateways_socket(sidecar, token):
    assert Checker(sidecar.gateway_socket).get("/a/x", token).status == 200
    with pytest.raises(grpc.RpcError) as e:
        Checker(sidecar.admin_socket).get("/a/x", token)
    assert e.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_whoever_asks_is_told_no_more_than_validate_tells(sidecar, issuer, token):
    """Check, at the socket that every service may open, is Validate in other words."""
    identity = sidecar.validate(token, claims=["*"]).identity
    told = {identity.tenant, identity.subject, identity.issuer, identity.client_id, identity.session_id, " ".join(identity.scopes), ",".join(identity.roles)}
    door = Checker(sidecar.socket)
    for path in RULES:
        r = door.get(f"/{path}/x", token)
        assert {v for n, values in (r.identity or {}).items() if n != "authorization" for v in values} <= told
    for bad in (issuer.expired(sub="secret-subject"), issuer.token(sub="secret-subject", aud="https://other.example"), "no.jwt", ""):
        assert sidecar.validate(bad).decision == 2
        door.get("/a/x", bad)
        assert "secret-subject" not in str(door.response)


def test_many_at_once_are_answered_each_for_itself(sidecar, issuer):
    door = Checker(sidecar.socket)
    mine = [(f"user-{i}", issuer.token(sub=f"user-{i}") if i % 3 else issuer.expired(sub=f"user-{i}")) for i in range(60)]

    def ask(who):
        return Checker.apply(door.stub.Check(timeout=60, **Checker.fields("/a/x", [("authorization", f"Bearer {who[1]}")])), [])

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for (subject, _), r in zip(mine * 2, pool.map(ask, mine * 2)):
            if int(subject[5:]) % 3:
                assert isinstance(r, Outcome) and r.seen["x-auth-subject"] == [subject]
            else:
                assert (r.status, r.reason) == (401, "token_expired")


def test_no_token_is_in_the_log(sidecar, token):
    door = Checker(sidecar.socket)
    door.get("/a/x", token)
    door.get("/a/x", token, rule={"cw_auth": "nonsense"})
    until("the rule is told", lambda: "nonsense" in sidecar.process.log())
    assert token.split(".")[2] not in sidecar.process.log()


def test_asking_goes_on_while_tokens_expire(sidecar, issuer):
    door = Checker(sidecar.socket)
    token = issuer.token(exp=int(time.time()) + 2)
    until("it is expired", lambda: door.get("/a/x", token).reason == "token_expired")
