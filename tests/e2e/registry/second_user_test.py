"""Who may register is told apart by the kernel: a process of another user, on the same socket."""
import os
import subprocess
import sys

import pytest

from tests.support import rpc
from tests.support.discovery import lookup
from tests.support.fixtures import only_root
from tests.support.programs import until
from tests.support.stack import Sidecar

NOBODY = 65534
CHILD = """
import os, sys, time, grpc
sys.path.insert(0, os.getcwd())
from tests.support import rpc
from tests.support.discovery import lookup
rpc.message("clinicwave.discovery.v1.RegisterRequest")  # reads proto/, which the other user may not
os.setgroups([])
os.setuid(int(sys.argv[2]))
def say():
    yield rpc.message("clinicwave.discovery.v1.RegisterRequest")(instance=dict(application=sys.argv[3], address="127.0.0.1", port=9001, status=1))
    time.sleep(60)
call = rpc.Stub(rpc.channel(sys.argv[1]), "clinicwave.discovery.v1.DiscoveryService").Register(say())
try:
    print(next(call).instance_id.split(":")[1], flush=True)
except grpc.RpcError as e:
    print(e.code().name, flush=True)
"""

pytestmark = only_root


@pytest.fixture
def sidecar(directory, ending):
    (directory / "jwks.json").write_text('{"keys":[]}')
    tenant = {"name": "clinicwave", "domains": ["clinicwave.localhost"], "audiences": ["a"],
              "issuers": [{"issuer": "https://idp.invalid/", "jwks-file": str(directory / "jwks.json")}]}
    return ending(Sidecar(directory, [tenant], registry={"provisional": "0s", "register": [{"uid": str(NOBODY), "applications": ["mine"]}]}).start())


def register(sidecar, uid, application):
    # a group of the socket is enough to open it (0660): what then counts is the user
    r = subprocess.run([sys.executable, "-c", CHILD, str(sidecar.socket), str(uid), application], capture_output=True, text=True, timeout=30)
    return r.stdout.strip() or r.stderr[-500:]


def test_each_user_registers_its_own_applications_only(sidecar):
    assert register(sidecar, NOBODY, "mine") == "mine"
    assert register(sidecar, NOBODY, "other") == "PERMISSION_DENIED"
    # root may open every socket, and was granted nothing
    assert register(sidecar, 0, "mine") == "PERMISSION_DENIED"


def test_a_user_does_not_watch_what_is_the_gateways(sidecar):
    child = CHILD.replace(".Register(say())", ".Watch(applications=['X'])").replace("instance_id.split(\":\")[1]", "generation")
    r = subprocess.run([sys.executable, "-c", child, str(sidecar.gateway_socket), str(NOBODY), "x"], capture_output=True, text=True, timeout=30)
    assert r.stdout.strip() == "PERMISSION_DENIED", r
    until("root may", lambda: next(rpc.Stub(rpc.channel(sidecar.gateway_socket), "clinicwave.discovery.v1.DiscoveryService").Watch(applications=["X"])).generation)


FLOOD = """
import os, sys, threading, grpc
sys.path.insert(0, os.getcwd())
from tests.support import rpc
from tests.support.discovery import lookup
request, answer = (rpc.message(f"clinicwave.discovery.v1.Lookup{x}") for x in ("Request", "Response"))
os.setgroups([])
os.setuid(int(sys.argv[2]))
lookup = rpc.channel(sys.argv[1]).unary_unary("/clinicwave.discovery.v1.DiscoveryService/Lookup", request.SerializeToString, lambda b: b)
said = threading.Event()
def again(call):
    if call.code() == grpc.StatusCode.UNAVAILABLE and not said.is_set():
        said.set()
        print("full", flush=True)
    lookup.future(request(), timeout=300).add_done_callback(again)
for _ in range(100):
    lookup.future(request(), timeout=300).add_done_callback(again)
sys.stdin.read()
os._exit(0)
"""


def test_a_user_that_looks_up_without_end_keeps_nobody_out(directory, ending):
    (directory / "jwks.json").write_text('{"keys":[]}')
    tenant = {"name": "clinicwave", "domains": ["clinicwave.localhost"], "audiences": ["a"],
              "issuers": [{"issuer": "https://idp.invalid/", "jwks-file": str(directory / "jwks.json")}]}
    many = [{"application": "x", "address": "127.0.0.1", "port": 10000 + i} for i in range(500)]
    sidecar = ending(Sidecar(directory, [tenant], registry={"static": many}).start())
    assert len(lookup(sidecar, "x").applications[0].instances) == len(many)
    flood = subprocess.Popen([sys.executable, "-c", FLOOD, str(sidecar.socket), str(NOBODY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert flood.stdout.readline() == "full\n"
        for _ in range(30):
            assert len(lookup(sidecar, "x").applications[0].instances) == len(many)
    finally:
        flood.stdin.close()
        flood.wait(60)
