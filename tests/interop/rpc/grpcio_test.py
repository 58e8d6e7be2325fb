"""Google's own Python client against common/rpc: health, reflection, error details, and the end of the server."""
import subprocess
import time

import grpc
import pytest
from google.protobuf import descriptor_pb2

from tests.support.programs import program
from tests.support.rpc import Stub, channel, enum, message

TOKENS = "clinicwave.token.v1.TokenService"


@pytest.fixture
def server(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("s") / "s.sock")
    process = subprocess.Popen([program("tests/interop/rpc/server"), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.path = path
    yield process
    process.stdin.close()
    assert process.wait(timeout=10) == 0


@pytest.fixture
def here(server):
    with channel(server.path) as c:
        yield c


def tell(server, line):
    server.stdin.write(line + "\n")
    server.stdin.flush()


def status_name(answer):
    return next(n for n, v in enum("grpc.health.v1.HealthCheckResponse.ServingStatus").items() if v == answer.status)


def test_health_knows_the_server_and_its_services(here):
    health = Stub(here, "grpc.health.v1.Health")
    for service in ["", TOKENS, "grpc.health.v1.Health"]:
        assert status_name(health.Check(service=service)) == "SERVING"
    with pytest.raises(grpc.RpcError) as e:
        health.Check(service="no.such.Service")
    assert e.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as e:
        health.Check(service="x" * 201)
    assert e.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_watcher_sees_each_change_and_the_end(server, here):
    health = Stub(here, "grpc.health.v1.Health")
    watched, unknown = health.Watch(service=TOKENS), health.Watch(service="no.such.Service")
    assert status_name(next(watched)) == "SERVING"
    assert status_name(next(unknown)) == "SERVICE_UNKNOWN"
    tell(server, "down")
    assert status_name(next(watched)) == "NOT_SERVING"
    tell(server, "up")
    assert status_name(next(watched)) == "SERVING"
    start = time.monotonic()
    server.stdin.close()
    assert status_name(next(watched)) == "NOT_SERVING"
    for stream in [watched, unknown]:
        with pytest.raises(grpc.RpcError) as e:
            next(stream)
        assert e.value.code() == grpc.StatusCode.CANCELLED
    assert server.wait(timeout=10) == 0 and time.monotonic() - start < 4


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_names_services_and_gives_files_with_their_imports(here, version):
    prefix = f"grpc.reflection.{version}."
    request, response = message(prefix + "ServerReflectionRequest"), message(prefix + "ServerReflectionResponse")
    call = here.stream_stream(f"/{prefix}ServerReflection/ServerReflectionInfo",
                              request_serializer=request.SerializeToString, response_deserializer=response.FromString)
    asked = [request(list_services="*", host="h"), request(file_containing_symbol=TOKENS),
             request(file_containing_symbol=TOKENS + ".Validate"), request(file_containing_symbol="clinicwave.token.v1.Verdict"),
             request(file_by_filename="clinicwave/discovery/v1/discovery_service.proto"),
             request(file_containing_symbol="no.such.Symbol"), request(file_by_filename="no/such.proto"),
             request(all_extension_numbers_of_type="x")]
    answers = list(call(iter(asked), timeout=10))
    assert [a.original_request for a in answers] == asked and answers[0].valid_host == "h"
    assert {s.name for s in answers[0].list_services_response.service} == {
        TOKENS, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
    names = [[descriptor_pb2.FileDescriptorProto.FromString(f).name for f in a.file_descriptor_response.file_descriptor_proto]
             for a in answers]
    assert names[1] == names[2] == names[3] == ["clinicwave/token/v1/token.proto"]
    assert names[4] == ["clinicwave/discovery/v1/discovery_service.proto", "clinicwave/discovery/v1/discovery.proto"]
    assert [a.error_response.error_code for a in answers[5:]] == [5, 5, 12]


def details(error):
    trailers = {t.key: t.value for t in error.trailing_metadata()}
    status = message("google.rpc.Status").FromString(trailers["grpc-status-details-bin"])
    found = {d.type_url.rsplit(".", 1)[-1]: d.value for d in status.details}
    info = message("google.rpc.ErrorInfo").FromString(found["ErrorInfo"])
    retry = message("google.rpc.RetryInfo").FromString(found["RetryInfo"]) if "RetryInfo" in found else None
    return status, info, retry


@pytest.mark.parametrize("reason,code,retries", [("keys_unavailable", "UNAVAILABLE", True), ("validator_overloaded", "RESOURCE_EXHAUSTED", True),
                                                 ("request_malformed", "INVALID_ARGUMENT", False),
                                                 ("credentials_invalid", "UNAUTHENTICATED", False)])
def test_an_error_says_its_reason_in_the_details(here, reason, code, retries):
    with pytest.raises(grpc.RpcError) as e:
        Stub(here, TOKENS).Validate(domain=reason)
    assert e.value.code() == getattr(grpc.StatusCode, code)
    status, info, retry = details(e.value)
    assert (status.code, status.message) == (e.value.code().value[0], e.value.details())
    assert (info.reason, info.domain) == (reason, "clinicwave.com")
    assert (retry is not None) == retries
    assert not retries or retry.retry_delay.seconds == 1


def test_calls_streams_and_unknown_methods(here):
    stub = Stub(here, TOKENS)
    assert stub.Validate().decision == 0
    request = message("clinicwave.token.v1.ValidateStreamRequest")
    answers = list(stub.ValidateStream(iter([request()] * 50), timeout=10))
    assert sum(len(a.results) for a in answers) == 50
    assert {r.id for a in answers for r in a.results} == {7}
    start = time.monotonic()
    with pytest.raises(grpc.RpcError) as e:
        here.unary_unary("/clinicwave.token.v1.TokenService/Invent")(b"", timeout=20)
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED and time.monotonic() - start < 15


def test_a_client_that_keeps_an_ended_call_does_not_hold_up_the_end(server, here):
    with pytest.raises(grpc.RpcError) as kept:
        Stub(here, TOKENS).Validate(domain="keys_unavailable")
    start = time.monotonic()
    server.stdin.close()
    assert server.wait(timeout=10) == 0 and time.monotonic() - start < 4
    assert kept.value.code() == grpc.StatusCode.UNAVAILABLE
