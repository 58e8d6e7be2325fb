"""The program: start, reload, second instance, callers of other users, end."""
import json
import signal
import socket
import subprocess
import time

import grpc
import pytest
import yaml

from tests.e2e.sidecar.streams import Batches
from tests.support import rpc
from tests.support.fixtures import tenant_of
from tests.support.http2 import PREFACE, frame, literal
from tests.support.programs import program, until
from tests.support.stack import Sidecar


def rewritten(sidecar, change):
    document = yaml.safe_load(sidecar.config.read_text())
    change(document)
    sidecar.config.write_text(yaml.safe_dump(document))
    sidecar.process.signal(signal.SIGHUP)


def test_a_domain_that_is_added_by_reload_is_served_and_cached_tokens_of_others_stay(sidecar, issuer, authority):
    token = issuer.token()
    assert not sidecar.validate(token).cached
    with pytest.raises(grpc.RpcError) as unknown:
        sidecar.validate(token, domain="new.example")
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
    rewritten(sidecar, lambda d: d["tenants"].append(tenant_of(issuer, authority, "new", ["new.example"])))
    until("the reload is logged", lambda: "configuration-reloaded" in sidecar.process.log())
    assert sidecar.validate(token).cached
    # A key, a cached identity of one tenant never counts for another.
    assert not sidecar.validate(token, domain="NEW.example.:443").cached


def test_a_bad_file_on_reload_changes_nothing(sidecar, issuer):
    token = issuer.token()
    assert sidecar.validate(token).decision == 1
    rewritten(sidecar, lambda d: d["tenants"][0].update(audience="oops"))
    until("the refusal is logged", lambda: "configuration-refused" in sidecar.process.log())
    assert "tenants[0].audience" in sidecar.process.log()
    assert sidecar.validate(token).cached


def test_a_reload_whose_last_part_is_refused_changes_no_part(directory, authority, issuer, ending):
    static = [{"application": "x", "address": "127.0.0.1", "port": port} for port in (9001, 9002, 9003)]
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)], registry={"static": static[:1], "max-instances": 2}).start())

    def ports():
        lookup = rpc.Stub(rpc.channel(sidecar.admin_socket), "clinicwave.discovery.v1.DiscoveryService").Lookup(application="x")
        return [i.port for a in lookup.applications for i in a.instances]

    def domain(name):
        try:
            return sidecar.validate(issuer.token(), domain=name).decision
        except grpc.RpcError as e:
            return e.code()

    def change(document):
        document["tenants"].append(tenant_of(issuer, authority, "new", ["new.example"]))
        document["registry"]["static"] = static
    rewritten(sidecar, change)
    until("the refusal is logged", lambda: "configuration-refused" in sidecar.process.log())
    assert "registry.static" in sidecar.process.log()
    assert ports() == [9001] and domain("new.example") == grpc.StatusCode.NOT_FOUND
    # this one fails in the middle: what has just left still takes its place
    rewritten(sidecar, lambda d: d["registry"].update(static=static[1:]))
    until("the refusal is logged", lambda: sidecar.process.log().count("configuration-refused") == 2)
    assert ports() == [9001] and domain("new.example") == grpc.StatusCode.NOT_FOUND
    rewritten(sidecar, lambda d: d["registry"].update(static=static[1:2]))
    until("the reload is logged", lambda: "configuration-reloaded" in sidecar.process.log())
    assert ports() == [9002] and domain("new.example") == 1


def test_a_changed_audience_counts_for_tokens_that_are_cached(sidecar, issuer):
    token = issuer.token()
    assert sidecar.validate(token).decision == 1
    rewritten(sidecar, lambda d: d["tenants"][0].update(audiences=["https://other.example"]))
    until("the reload is logged", lambda: "configuration-reloaded" in sidecar.process.log())
    assert sidecar.validate(token).reason == "audience_mismatch"


def test_a_second_sidecar_on_the_same_sockets_does_not_start_and_the_first_goes_on(sidecar, issuer, directory):
    second = Sidecar(directory, yaml.safe_load(sidecar.config.read_text())["tenants"])
    second.process.start()
    assert second.process.process.wait(10) == 2
    assert sidecar.validate(issuer.token()).decision == 1


GOOD = dict(name="good", domains=["good.example"], audiences=["a"], issuers=[dict(issuer="https://good/")])


def beside_a_good_one(*issuers, **changes):
    return dict(tenants=[GOOD, dict(dict(name="x", domains=["x.example"], audiences=["a"], issuers=list(issuers) or [dict(issuer="https://x/")]), **changes)])


@pytest.mark.parametrize("change, key, at, words", [  # where it is: its key, and what stands in its line
    (beside_a_good_one(dict(issuer="https://y/"), dict(issuer="http://x.example/")), "tenants[1].issuers[1].issuer", "issuer: http://x.example/", "https"),
    (beside_a_good_one({"issuer": "https://x/", "jwks-uri": "ftp://x/keys"}), "tenants[1].issuers[0].jwks-uri", "jwks-uri: ftp://x/keys", "https"),
    (beside_a_good_one({"issuer": "https://x/", "jwks-uri": "http://x/keys"}), "tenants[1].issuers[0].jwks-uri", "jwks-uri: http://x/keys", "https"),
    (beside_a_good_one(dict(issuer="https://x/", algorithms=["HS256"])), "tenants[1].issuers[0].algorithms", "- HS256", "HS256"),
    (beside_a_good_one(dict(issuer="https://x/", claims=dict(roles="a..b"))), "tenants[1].issuers[0].claims.roles", "roles: a..b", "no claim path"),
    (beside_a_good_one(dict(issuer="https://x/"), dict(issuer="https://x/")), "tenants[1].issuers[1].issuer", "issuer: https://x/", "twice"),
    (beside_a_good_one(domains=["x..example"]), "tenants[1].domains", "- x..example", "x..example"),
    (beside_a_good_one(domains=["GOOD.example"]), "tenants[1].domains", "- GOOD.example", "another tenant"),
    (beside_a_good_one(name="good"), "tenants[1].name", "name: good", "tenants[0]"),
    (beside_a_good_one(audiences=[]), "tenants[1].audiences", "- audiences:", "audiences"),
    (dict(sidecar=dict(cache=dict(ttl="five"))), "sidecar.cache.ttl", "ttl: five", "five"),
    (dict(sidecar={"gateway-uids": ["no-such-user-here"]}), "sidecar.gateway-uids", "- no-such-user-here", "user"),
])
def test_a_bad_configuration_is_refused_with_its_place(directory, change, key, at, words):
    path = directory / "bad.yaml"
    path.write_text(yaml.safe_dump(change))
    r = subprocess.run([program("sidecar/cw-sidecar"), "--config", path, "--check-config"], capture_output=True, text=True)
    line = max(n for n, text in enumerate(path.read_text().splitlines(), 1) if at in text)
    assert r.returncode == 1 and f"{path}:{line}: {key}: " in r.stderr and words in r.stderr, r.stderr + path.read_text()


def test_methods_are_offered_on_their_sockets_only(sidecar, issuer):
    with pytest.raises(grpc.RpcError) as refused:
        sidecar.stub(socket=sidecar.gateway_socket).Validate(token=b"x", domain="clinicwave.com")
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    for socket in (sidecar.socket, sidecar.gateway_socket):
        with pytest.raises(grpc.RpcError) as refused:
            sidecar.stub("clinicwave.token.v1.TokenAdminService", socket).FlushCache()
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.RpcError) as refused:
        Batches(sidecar.socket).ask_token("x")
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_sigterm_ends_it_gracefully_with_streams_open(sidecar, issuer, ending):
    stream = ending(Batches(sidecar.gateway_socket))
    assert stream.ask_token(issuer.token()) == "ALLOW"
    begin = time.monotonic()
    sidecar.process.signal(signal.SIGTERM)
    assert sidecar.process.process.wait(30) == 0
    assert time.monotonic() - begin < 20 and "stopped" in sidecar.process.log()
    for name in ("gateway", "sidecar", "admin"):
        assert not (sidecar.directory / f"{name}.sock").exists()


def test_explain_lists_what_was_compared_and_never_the_token(sidecar, issuer):
    token = issuer.token()
    answer = sidecar.validate(token, explain=True, requirement=rpc.message("clinicwave.token.v1.Requirement")(scopes_all=["files:delete"]))
    assert answer.reason == "scope_insufficient"
    names = [c.name for c in answer.checks]
    assert names[0] == "tenant" and "signature" in names and names[-1] == "scope"
    assert [c.passed for c in answer.checks] == [True] * (len(names) - 1) + [False]
    assert "files:delete" in answer.checks[-1].detail and token.split(".")[2] not in str(answer)


def test_kept_claims_are_answered_to_those_who_ask(directory, authority, issuer, ending):
    keep = {"claims": {"keep": ["email", "city=address.city"], "roles": '"https://clinicwave.com/roles"'}}
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority, **keep)]).start())
    token = issuer.token(email="anna@clinicwave.com", address={"city": "Bern"}, secret="x", **{"https://clinicwave.com/roles": ["doctor"]})
    for cached in (False, True):
        answer = sidecar.validate(token, claims=["city"])
        assert answer.cached is cached and list(answer.identity.roles) == ["doctor"]
        assert {c.name: c.json for c in answer.identity.claims} == {"city": b'"Bern"'}
    assert {c.name for c in sidecar.validate(token, claims=["*"]).identity.claims} == {"email", "city"}
    assert not sidecar.validate(token).identity.claims


def test_health_reflection_and_figures(sidecar, issuer):
    assert sidecar.validate(issuer.token()).decision == 1
    health = rpc.Stub(rpc.channel(sidecar.socket), "grpc.health.v1.Health").Check(service="clinicwave.token.v1.TokenService")
    assert health.status == 1
    admin = sidecar.stub("clinicwave.token.v1.TokenAdminService", sidecar.admin_socket)
    assert admin.GetHealth().status == 1 and admin.GetCacheStats().entries == 1
    assert sidecar.metrics()['cw_sidecar_answers_total{application="cw-sidecar",decision="allow",reason="ok"}'] == 1


def test_what_a_peer_sends_writes_no_line_of_the_cores_own(sidecar, issuer):
    """The log is one JSON object a line, whatever comes: gRPC's core repeats what it cannot read."""
    fields = {":method": "POST", ":scheme": "http", ":authority": "localhost", ":path": "/clinicwave.token.v1.TokenService/Validate",
              "content-type": "application/grpc", "te": "trailers", "grpc-timeout": "what-a-peer-sent"}
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(str(sidecar.socket))
        s.sendall(PREFACE + frame(1, 4, 1, b"".join(literal(n.encode(), v.encode()) for n, v in fields.items())) + frame(0, 1, 1, b"\0" * 5))
        heard = b""
        while b"grpc-status" not in heard and (piece := s.recv(65536)):  # an answer, or the end: it has been read
            heard += piece
    assert sidecar.validate(issuer.token()).decision == 1
    lines = sidecar.process.log().splitlines()
    assert lines and all(json.loads(line)["ecs.version"] for line in lines)
