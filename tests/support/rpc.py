"""gRPC clients made from proto/ alone: Debian's protoc writes the descriptors, grpcio calls."""
import functools
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.support.programs import source


@functools.lru_cache(maxsize=None)
def pool():
    root = source("proto/clinicwave/token/v1/token.proto").parents[3]
    files = sorted(str(p.relative_to(root)) for p in root.rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"-I{root}", "--include_imports", f"--descriptor_set_out={out.name}", *files], check=True)
        wanted = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    p = descriptor_pool.DescriptorPool()
    for f in wanted.file:
        p.Add(f)
    return p


@functools.lru_cache(maxsize=None)
def message(name):
    """The class of a message, by its full name."""
    descriptor = pool().FindMessageTypeByName(name)
    return message_factory.MessageFactory(pool()).GetPrototype(descriptor)


def enum(name):
    """Names to numbers."""
    return {v.name: v.number for v in pool().FindEnumTypeByName(name).values}


class Stub:
    """`Stub(channel, "clinicwave.token.v1.TokenService").Validate(token=…, domain=…)`; streams take an iterator."""

    def __init__(self, channel, service):
        for method in pool().FindServiceByName(service).methods:
            request, response = message(method.input_type.full_name), message(method.output_type.full_name)
            proto = descriptor_pb2.MethodDescriptorProto()
            method.CopyToProto(proto)
            kind = f"{'stream' if proto.client_streaming else 'unary'}_{'stream' if proto.server_streaming else 'unary'}"
            call = getattr(channel, kind)(f"/{service}/{method.name}", request_serializer=request.SerializeToString,
                                          response_deserializer=response.FromString)
            setattr(self, method.name, call if proto.client_streaming else self._with_fields(call, request))

    @staticmethod
    def _with_fields(call, request):
        def invoke(timeout=20, metadata=None, **fields):
            return call(request(**fields), timeout=timeout, metadata=metadata)
        return invoke


def channel(socket_path):
    """A channel to a Unix socket. The authority is plain, as gRPC's own clients send it."""
    return grpc.insecure_channel(f"unix:{socket_path}", options=[("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0),
                                                                     ("grpc.use_local_subchannel_pool", 1)])
