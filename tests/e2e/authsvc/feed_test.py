"""What sidecars get: tenants with public keys, generations, heartbeats."""
import itertools
import json
import signal

import grpc
import pytest
import yaml

from tests.e2e.authsvc.administration import Admin
from tests.e2e.authsvc.doors import ANNA, HOST, ISSUER, PASSWORD, Grpc, Rest
from tests.support import rpc
from tests.support.programs import until
from tests.support.stack import Sidecar

WATCH = "clinicwave.identity.v1.TenantService"


def watching(authsvc, generation=0, increments=False):
    """The stream of answers to one request, after which nothing more is said."""
    request = rpc.message("clinicwave.identity.v1.WatchRequest")(generation=generation, increments=increments)
    return authsvc.stub(WATCH).Watch(iter([request]), timeout=20)


def watch(authsvc, generation=0, n=1):
    """The first N answers."""
    call = watching(authsvc, generation)
    answers = list(itertools.islice(call, n))
    call.cancel()
    return answers


def test_the_first_answer_is_the_whole_snapshot(authsvc):
    snapshot, = watch(authsvc)
    assert snapshot.generation == 1 and len(snapshot.epoch) == 32 and not snapshot.heartbeat
    tenants = {t.name: t for t in snapshot.tenants}
    assert set(tenants) == {"clinicwave", "other"}
    tenant = tenants["clinicwave"]
    assert list(tenant.domains) == ["clinicwave.com", HOST] and list(tenant.audiences) == ["https://api.clinicwave.com"]
    assert not tenant.origins
    issuer, = tenant.issuers
    assert issuer.issuer == ISSUER and list(issuer.types) == ["at+jwt"] and issuer.claims.tenant == "tenant"
    keys = json.loads(issuer.jwks)["keys"]
    assert [k["kty"] for k in keys] == ["RSA"] and not set(keys[0]) & {"d", "p", "q", "dp", "dq", "qi", "k"}


def test_who_has_the_generation_gets_a_heartbeat_and_more_of_them(authsvc):
    first, second = watch(authsvc, generation=1, n=2)
    assert first.heartbeat and not first.tenants and second.heartbeat
    assert first.generation == second.generation == 1


def test_a_restart_without_a_change_is_the_same_generation_and_epoch(authsvc):
    before, = watch(authsvc)
    authsvc.stop()
    authsvc.start()
    after, = watch(authsvc)
    assert (before.generation, before.epoch) == (after.generation, after.epoch)


def test_a_change_reaches_who_watches(authsvc):
    call = watching(authsvc)
    assert next(call).generation == 1
    wanted = yaml.safe_load(authsvc.config.read_text())
    wanted["tenants"][0]["domains"].append("clinicwave.test")
    authsvc.config.write_text(yaml.safe_dump(wanted))
    authsvc.process.signal(signal.SIGHUP)
    update = next(a for a in call if not a.heartbeat)
    assert update.generation == 2 and "clinicwave.test" in update.tenants[0].domains
    call.cancel()


def test_who_takes_increments_gets_what_has_changed_and_no_more(authsvc):
    admin = Admin(authsvc)
    call = watching(authsvc, increments=True)
    whole = watching(authsvc)
    changes = lambda answers: next(a for a in answers if not a.heartbeat)
    first = changes(call)
    assert (first.since, first.more, [t.name for t in first.tenants]) == (0, False, ["clinicwave", "other"])
    changes(whole)
    admin.create()
    added = changes(call)
    assert (added.since, added.generation, [t.name for t in added.tenants], list(added.removed)) == (1, 2, ["acme"], [])
    assert [t.name for t in changes(whole).tenants] == ["acme", "clinicwave", "other"]
    admin.stub.DisableTenant(name="acme")
    tenant, = changes(call).tenants
    assert tenant.disabled and list(tenant.domains) == ["acme.com", "acme.localhost"] and not tenant.issuers and not tenant.audiences
    admin.stub.DeleteTenant(name="acme")
    gone = changes(call)
    assert list(gone.removed) == ["acme"] and not gone.tenants and gone.since == gone.generation - 1
    call.cancel()
    whole.cancel()


def test_health_and_reflection_answer_on_the_socket(authsvc):
    health = authsvc.stub("grpc.health.v1.Health")
    serving = rpc.enum("grpc.health.v1.HealthCheckResponse.ServingStatus")["SERVING"]
    for service in ("", WATCH, "clinicwave.identity.v1.IdentityService"):
        assert health.Check(service=service).status == serving
    request = rpc.message("grpc.reflection.v1.ServerReflectionRequest")
    answer = next(authsvc.stub("grpc.reflection.v1.ServerReflection").ServerReflectionInfo(iter([request(list_services="*")]), timeout=10))
    assert {WATCH, "clinicwave.identity.v1.IdentityService"} <= {s.name for s in answer.list_services_response.service}


def test_streams_end_when_authsvc_does(authsvc):
    call = watching(authsvc)
    next(call)
    assert authsvc.stop() == 0
    with pytest.raises(grpc.RpcError) as e:
        list(call)
    assert e.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_sidecar_accepts_the_tokens_of_a_tenant_at_its_domain_only(start, directory, ending):
    authsvc = start()
    authsvc.stop()
    authsvc.add_user("other", ANNA, PASSWORD, "nurse")
    authsvc.start()
    (directory / "sidecar").mkdir()
    sidecar = ending(Sidecar(directory / "sidecar", [], sidecar={"authsvc": {"socket": str(authsvc.socket)}}).start())
    allow = rpc.enum("clinicwave.token.v1.Decision")["DECISION_ALLOW"]
    for door in (Rest(authsvc), Grpc(authsvc)):
        own, foreign = door.login().tokens, door.login(domain="other.localhost").tokens
        for token, domain in ((own, HOST), (foreign, "other.localhost")):
            answer = until("the sidecar knows the tenant", lambda: validated(sidecar, token["access_token"], domain))
            assert answer.decision == allow and answer.identity.session_id == token["session_id"]
        for token, domain in ((foreign, HOST), (own, "other.localhost")):
            answer = sidecar.validate(token["access_token"], domain)
            assert answer.decision != allow and answer.reason == "issuer_unknown"
        assert sidecar.validate(own["id_token"], HOST).reason == "type_mismatch"


def validated(sidecar, token, domain):
    """The answer once the tenant is known."""
    try:
        return sidecar.validate(token, domain)
    except grpc.RpcError:
        return None
