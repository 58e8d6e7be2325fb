"""Thousands of tenants: each is itself and no other, in cw-authsvc, in the feed and in the sidecar."""
import pytest

from tests.e2e.authsvc.administration import Admin, acknowledged, expect
from tests.e2e.authsvc.doors import ANNA, DOORS
from tests.support import rpc
from tests.support.many_tenants import domain, fill
from tests.support.programs import until
from tests.support.stack import Sidecar

N = 3000  # several pieces of a snapshot


@pytest.fixture
def authsvc(start, directory):
    authsvc = start()
    authsvc.stop()
    fill(directory / "state", N, like=("clinicwave", ANNA))
    return authsvc.start()


def test_each_logs_in_is_believed_and_changes_for_itself(authsvc, directory, ending):
    (directory / "sidecar").mkdir()
    sidecar = ending(Sidecar(directory / "sidecar", [], sidecar={"authsvc": {"socket": str(authsvc.socket)}}).start())
    known = lambda: sum(v for k, v in sidecar.metrics().items() if k.startswith("cw_sidecar_tenants{")) == N + 2
    until("the sidecar knows all tenants", known, seconds=60)
    allow = rpc.enum("clinicwave.token.v1.Decision")["DECISION_ALLOW"]
    some = [0, 1, N // 2, N - 1]
    for kind in DOORS.values():
        door = kind(authsvc)
        tokens = {i: door.login(domain=domain(i)).tokens["access_token"] for i in some}
        for i in some:
            for k in some:
                answer = sidecar.validate(tokens[i], domain(k))
                assert (answer.decision == allow) == (i == k), (i, k, answer)
                assert (door.userinfo(tokens[i], domain=domain(k)).reason is None) == (i == k)
    admin = Admin(authsvc)
    at_once = acknowledged(admin.stub.DisableTenant, name=f"t{N // 2:05}")
    expect(at_once, lambda: sidecar.validate(tokens[N // 2], domain(N // 2)).reason, "tenant_disabled")
    admin.create()
    assert sidecar.validate(tokens[N // 2], domain(N // 2)).reason == "tenant_disabled"
    assert sidecar.validate(tokens[N - 1], domain(N - 1)).decision == allow
    assert sidecar.stop() == 0
    authsvc.process.kill()
    sidecar.start()  # what it knows now comes from its file
    assert sidecar.validate(tokens[N - 1], domain(N - 1)).decision == allow
    assert sidecar.validate(tokens[N // 2], domain(N // 2)).reason == "tenant_disabled"
