"""AdminService as tests call it."""
import time

import grpc
import pytest

from tests.e2e.authsvc.doors import ANNA, PASSWORD
from tests.support import rpc
from tests.support.programs import until
from tests.support.stack import Sidecar

ADMIN = "clinicwave.identity.v1.AdminService"
SETTINGS = {"domains": ["acme.com", "acme.localhost"], "issuer": ["https://acme.localhost:8443"], "audiences": ["https://api.acme.com"],
            "algorithm": ["ES256"], "clients[0].id": ["portal"]}


class Admin:
    """AdminService as root on authsvc-admin.sock."""

    def __init__(self, authsvc):
        self.stub = rpc.Stub(rpc.channel(authsvc.admin_socket), ADMIN)

    def create(self, name="acme", **changes):
        return self.stub.CreateTenant(name=name, settings=settings({**SETTINGS, **changes})).tenant

    def update(self, name="acme", if_version=0, **changes):
        return self.stub.UpdateTenant(name=name, settings=settings(changes), if_version=if_version).tenant

    def user(self, tenant="acme", username=ANNA, password=PASSWORD, **fields):
        return self.stub.CreateUser(tenant=tenant, user=rpc.message("clinicwave.identity.v1.ManagedUser")(username=username, **fields),
                                    password=password.encode()).user


def learning_sidecar(authsvc, directory, ending):
    """A sidecar that has learned AUTHSVC's tenants and revocations."""
    (directory / "sidecar").mkdir()
    s = ending(Sidecar(directory / "sidecar", [], sidecar={"authsvc": {"socket": str(authsvc.socket), "max-stale": "15s"}}).start())
    until("the sidecar knows the tenants and the revocations", lambda: s.ready() and (directory / "sidecar/state/revocations").exists())
    return s


def acknowledged(change, *arguments, **fields):
    """Makes a change of a tenant. True when its answer came before the two seconds (BOOK_SPREAD_MS) were over that it waits for the connected
    sidecars: then each of them has it. A machine may be so busy that they are over, and then the change comes a moment later."""
    began = time.monotonic()
    change(*arguments, **fields)
    return time.monotonic() - began < 1.9


def expect(at_once, ask, want):
    """ASK gives WANT: at the very next request where AT_ONCE, which acknowledged() says; else soon."""
    if at_once:
        got = ask()
        assert got == want, got
    else:
        until(f"it is {want}", lambda: ask() == want)


def settings(values):
    message = rpc.message("clinicwave.identity.v1.Setting")
    return [message(name=k.replace("__", "-"), values=v if isinstance(v, list) else [v]) for k, v in values.items() if v is not None]


def refused(call):
    """(reason, message) of a failure."""
    with pytest.raises(grpc.RpcError) as e:
        call()
    details = rpc.message("google.rpc.Status").FromString(dict(e.value.trailing_metadata())["grpc-status-details-bin"]).details
    for d in details:
        if d.type_url.endswith("/google.rpc.ErrorInfo"):
            return rpc.message("google.rpc.ErrorInfo").FromString(d.value).reason, e.value.details()
    raise AssertionError(e.value)
