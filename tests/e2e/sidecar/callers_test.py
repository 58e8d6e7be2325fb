"""Who calls: another user of this host, known by SO_PEERCRED. Runs outside of the sandbox, which has one user only."""
import os
import subprocess
import sys

import pytest

from tests.e2e.sidecar.tenants_test import Feed
from tests.support.fixtures import only_root, tenant_of
from tests.support.programs import until
from tests.support.stack import Sidecar

pytestmark = only_root

VALIDATE, CHECK = "clinicwave.token.v1.TokenService/Validate", "envoy.service.auth.v3.Authorization/Check"
ADMIN = "clinicwave.token.v1.TokenAdminService"
CALLER = """
import os, sys
os.setgid(65534); os.setuid(65534)
import grpc
channel = grpc.insecure_channel("unix:" + sys.argv[1], options=[("grpc.default_authority", "localhost")])
try:
    channel.unary_unary("/" + sys.argv[2])(b"", timeout=20)
    print("OK")
except grpc.RpcError as e:
    print(e.code().name)
"""


def asked_by_another(socket, method):
    """What user 65534 is told."""
    r = subprocess.run([sys.executable, "-c", CALLER, socket, method], capture_output=True, text=True)
    return r.stdout.strip() or r.stderr


def test_a_strangers_socket_is_not_taken_for_authsvcs(directory, authority, issuer, ending):
    feed = ending(Feed(directory / "authsvc.sock"))
    os.chown(directory / "authsvc.sock", 65534, -1)
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)], sidecar={"authsvc": {"socket": str(directory / "authsvc.sock")}}).start())
    until("it says so", lambda: "belongs to a user that is not trusted" in sidecar.process.log())
    assert not feed.asked
    sidecar.stop()
    named = {"socket": str(directory / "authsvc.sock"), "uids": ["65534"]}
    ending(Sidecar(directory, [tenant_of(issuer, authority)], sidecar={"authsvc": named}).start())
    until("it asks for tenants", lambda: feed.asked)


@pytest.mark.parametrize("uids,answer", [([1], "PERMISSION_DENIED"), ([65534], "NOT_FOUND"), ([], "NOT_FOUND")])
def test_callers_are_known_by_their_uid(directory, authority, issuer, ending, uids, answer):
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)], sidecar={"socket-group": "65534", "service-uids": uids}).start())
    for method in (VALIDATE, CHECK):
        assert (asked_by_another(sidecar.socket, method) == "PERMISSION_DENIED") == (answer == "PERMISSION_DENIED"), method
    assert asked_by_another(sidecar.socket, VALIDATE) == answer


def test_who_may_ask_and_validate_may_not_administer(directory, authority, issuer, ending):
    """Whoever the configuration names: administration is root's and the sidecar's own user's."""
    named = {"socket-group": "65534", "service-uids": [65534], "gateway-uids": [65534]}
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)], sidecar=named).start())
    for method in (f"{ADMIN}/FlushCache", f"{ADMIN}/GetHealth", VALIDATE, CHECK):
        assert asked_by_another(sidecar.admin_socket, method) == "PERMISSION_DENIED"
    assert asked_by_another(sidecar.socket, VALIDATE) == "NOT_FOUND"
    sidecar.stub(ADMIN, sidecar.admin_socket).FlushCache()
