"""A Python client made from proto/ alone, by grpcio and protoc: what any service in any language would do."""
import hashlib
import os

import grpc
import pytest
from google.protobuf import descriptor_pb2

from tests.support import rpc
from tests.support.discovery import DOWN, Registration
from tests.support.fixtures import tenant_of
from tests.support.programs import until
from tests.support.stack import Authsvc, Sidecar

DOMAIN = "clinicwave.localhost"
ALLOW = 1


@pytest.fixture
def authsvc(directory, ending):
    service = Authsvc(directory, {"tenants": [{
        "name": "clinicwave", "domains": [DOMAIN], "issuer": f"https://{DOMAIN}:8443", "audiences": ["https://api.clinicwave.com"],
        "clients": [{"id": "portal", "scopes": ["openid", "offline_access", "files:read"]}]}]})
    service.add_user("clinicwave", "anna@clinicwave.com", "a long enough password", "doctor")
    return ending(service.start())


@pytest.fixture
def sidecar(directory, authsvc, ending):
    """It knows no tenant but those of authsvc."""
    return ending(Sidecar(directory, [], sidecar={"authsvc": {"socket": str(authsvc.socket)}}).start())


def login(authsvc, password=b"a long enough password"):
    return authsvc.stub().Login(domain=DOMAIN, username=b"anna@clinicwave.com", password=password).tokens


def validated(sidecar, token):
    """The answer, once the sidecar has learned the tenant from authsvc."""
    def ask():
        try:
            return sidecar.validate(token, domain=DOMAIN)
        except grpc.RpcError as e:
            assert e.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE), e
            return None
    return until("the tenant is known", ask)


def test_login_then_validate(authsvc, sidecar):
    tokens = login(authsvc)
    assert tokens.token_type == "Bearer" and tokens.refresh_token and tokens.id_token
    answer = validated(sidecar, tokens.access_token)
    assert answer.decision == ALLOW, answer
    assert answer.identity.tenant == "clinicwave"
    assert answer.identity.session_id == tokens.session_id
    assert list(answer.identity.roles) == ["doctor"]
    assert "files:read" in answer.identity.scopes


def test_a_wrong_password_is_a_status_with_the_reason(authsvc):
    with pytest.raises(grpc.RpcError) as e:
        login(authsvc, b"wrong")
    assert e.value.code() == grpc.StatusCode.UNAUTHENTICATED
    details = dict(e.value.trailing_metadata())["grpc-status-details-bin"]
    assert b"credentials_invalid" in details


def test_refresh_rotates(authsvc):
    first = login(authsvc)
    second = authsvc.stub().Refresh(domain=DOMAIN, refresh_token=first.refresh_token).tokens
    assert second.access_token and second.refresh_token != first.refresh_token
    assert second.session_id == first.session_id


def test_validate_stream_takes_the_token_once_and_its_digest_from_then_on(authsvc, sidecar):
    token = login(authsvc).access_token
    validated(sidecar, token)
    request = rpc.message("clinicwave.token.v1.ValidateStreamRequest")
    digest = hashlib.sha256(token).digest()
    other = hashlib.sha256(b"never seen").digest()
    first = request(rules=[{"rule": 7, "requirement": {"scopes_all": ["files:read"]}}, {"rule": 8, "requirement": {"roles_any": ["admin"]}}],
                    entries=[{"id": 1, "token": token, "domain": DOMAIN, "rule": 7}, {"id": 2, "digest": other, "domain": DOMAIN}])
    stream = sidecar.stub(socket=sidecar.gateway_socket).ValidateStream(iter([first]), timeout=10)
    results = {r.id: r for answer in stream for r in answer.results}
    assert results[1].verdict.decision == ALLOW, results[1]
    assert results[2].undecided.cause == rpc.enum("clinicwave.token.v1.UndecidedCause")["UNDECIDED_CAUSE_UNKNOWN_DIGEST"]

    second = request(rules=first.rules, entries=[{"id": 3, "digest": digest, "domain": DOMAIN, "rule": 7}, {"id": 4, "digest": digest, "domain": DOMAIN, "rule": 8}])
    stream = sidecar.stub(socket=sidecar.gateway_socket).ValidateStream(iter([second]), timeout=10)
    results = {r.id: r for answer in stream for r in answer.results}
    assert (results[3].verdict.decision, results[3].verdict.cached) == (ALLOW, True)
    assert results[4].verdict.reason == "role_insufficient"


@pytest.mark.parametrize("which", ["sidecar", "authsvc"])
def test_health_and_the_unknown_service(which, sidecar, authsvc):
    socket = {"sidecar": sidecar.socket, "authsvc": authsvc.socket}[which]
    health = rpc.Stub(rpc.channel(socket), "grpc.health.v1.Health")
    serving = rpc.enum("grpc.health.v1.HealthCheckResponse.ServingStatus")["SERVING"]
    assert health.Check(service="").status == serving
    with pytest.raises(grpc.RpcError) as e:
        health.Check(service="nobody.knows.Me")
    assert e.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_shows_the_services_and_their_files(version, sidecar):
    request = rpc.message(f"grpc.reflection.{version}.ServerReflectionRequest")
    stub = rpc.Stub(rpc.channel(sidecar.socket), f"grpc.reflection.{version}.ServerReflection")
    listing, file = stub.ServerReflectionInfo(iter([request(list_services="*"), request(file_containing_symbol="clinicwave.token.v1.TokenService")]), timeout=10)
    names = {s.name for s in listing.list_services_response.service}
    assert {"clinicwave.token.v1.TokenService", "grpc.health.v1.Health"} <= names
    described = [descriptor_pb2.FileDescriptorProto.FromString(f) for f in file.file_descriptor_response.file_descriptor_proto]
    assert any(m.name == "ValidateStream" for d in described for s in d.service for m in s.method)


def test_a_method_that_does_not_exist_is_unimplemented(sidecar):
    call = rpc.channel(sidecar.socket).unary_unary("/clinicwave.token.v1.TokenService/Guess")
    with pytest.raises(grpc.RpcError) as e:
        call(b"", timeout=10)
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_login_through_the_gateways_https_port(route):
    """What a mobile app does: gRPC over HTTP/2 and TLS to 8443, the demo's CA trusted."""
    credentials = grpc.ssl_channel_credentials(route.authority.ca.read_bytes())
    target = f"ipv4:127.0.0.1:{route.ports['HTTPS']}"
    options = [("grpc.ssl_target_name_override", DOMAIN), ("grpc.default_authority", DOMAIN), ("grpc.enable_http_proxy", 0)]
    stub = rpc.Stub(grpc.secure_channel(target, credentials, options=options), "clinicwave.identity.v1.IdentityService")
    tokens = stub.Login(domain=DOMAIN, username=b"anna@clinicwave.com", password=route.password.encode()).tokens
    assert route.gateway.get("/api/storage/files", tokens.access_token.decode()).status == 200
    with pytest.raises(grpc.RpcError) as e:
        stub.Login(domain=DOMAIN, username=b"anna@clinicwave.com", password=b"wrong")
    assert e.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("settings", [{}, {"streams": 8}], ids=["default", "8"])
def test_more_calls_at_once_than_a_connection_may_have_wait_in_the_client(directory, authority, issuer, ending, settings):
    """None is turned away, also of those that are sent before the server has named its bound; a stream of long life lives beside them."""
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)], sidecar=settings, registry={"register": [{"uid": str(os.getuid()), "applications": ["x"]}]}).start())
    request, answer = (rpc.message(f"clinicwave.token.v1.Validate{x}") for x in ("Request", "Response"))
    method = lambda channel: channel.unary_unary("/clinicwave.token.v1.TokenService/Validate", request.SerializeToString, answer.FromString)
    asked = request(token=issuer.token().encode(), domain="clinicwave.com")
    until("its keys are there", lambda: sidecar.validate(asked.token, domain=asked.domain).decision == ALLOW)
    for _ in range(3):
        registered = Registration(sidecar, instance_id="one")
        with rpc.channel(sidecar.socket) as fresh:
            calls = [method(channel).future(asked, timeout=100) for channel in (registered.channel, fresh) for _ in range(400)]
            assert all(call.result().decision == ALLOW for call in calls)
        assert registered.say(status=DOWN).instance_id == "one"
        registered.close()
