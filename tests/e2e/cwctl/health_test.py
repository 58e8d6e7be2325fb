"""`cwctl health` names where keys, registry and feed come from, how old they are, and what to do."""
import concurrent.futures
import subprocess

import grpc
import pytest

from tests.e2e.authsvc.doors import ANNA, PASSWORD, Rest, document
from tests.e2e.cwctl.online_test import Cwctl
from tests.support import rpc, tokens
from tests.support.fixtures import tenant_of
from tests.support.programs import until
from tests.support.stack import Authsvc, Sidecar


@pytest.fixture
def authsvc(directory, ending):
    return ending(Authsvc(directory, document()).add_user("clinicwave", ANNA, PASSWORD)).start()


@pytest.fixture
def sidecar(directory, authority, issuer, ending):
    """One tenant of its own; those of authsvc, where there is one."""
    own = tenant_of(issuer, authority, name="abott", domains=["abott.com"])
    return ending(Sidecar(directory, [own], sidecar={"authsvc": {"socket": str(directory / "authsvc.sock")}}).start())


def components(directory):
    """{name: its component} of what health says."""
    return {c["name"]: c for c in Cwctl(directory).json("health")["components"]}


def test_all_is_well(directory, authsvc, sidecar, issuer):
    sidecar.validate(tokens.mint(issuer.keys[0], tokens.claims(issuer.url, issuer.audience)), "abott.com")
    keys = f"keys:{issuer.url}"
    until("feed and keys are there", lambda: all(components(directory)[n]["status"] == "UP" for n in ("feed:tenants", "feed:revocations", keys)))
    until("the keys grow older", lambda: components(directory)[keys]["age_seconds"] >= 1)
    found = components(directory)
    for name in ("feed:tenants", "feed:revocations", "registry", keys):
        assert found[name]["status"] == "UP" and 0 <= found[name]["age_seconds"] < 600, found[name]
    text = Cwctl(directory)("health")
    assert text.returncode == 0 and f"{keys}, " in text.stdout and "feed:revocations, " in text.stdout


def test_authsvc_was_never_heard(directory, sidecar):
    found = components(directory)
    assert found["feed:tenants"]["status"] == "DEGRADED" and found["feed:tenants"]["age_seconds"] == -1
    assert "cw-authsvc" in found["feed:tenants"]["remedy"]
    text = Cwctl(directory)("health")
    assert text.returncode == 1 and "feed:tenants" in text.stdout and "is cw-authsvc running?" in text.stdout


def test_the_age_of_the_keys_that_authsvc_signs_with(directory, authsvc, sidecar):
    cwctl = Cwctl(directory)
    until("it grows", lambda: components(directory)["signing-keys"]["age_seconds"] >= 1)
    found = components(directory)["signing-keys"]
    assert found["status"] == "UP" and found["age_seconds"] < 600 and "of 2 tenants" in found["detail"] and "0 wait, 0 retired; 0 overdue" in found["detail"]
    assert cwctl("signing-keys", "rotate", "--tenant", "other").returncode == 0
    assert "1 wait" in components(directory)["signing-keys"]["detail"]
    assert ", the oldest is " in cwctl("health").stdout
    until("all is well", lambda: cwctl("health").returncode == 0)
    authsvc.stop()
    assert "signing-keys" not in components(directory)  # its socket is gone: it is not on this host


def test_keys_that_nobody_signs_with_any_more_do_not_count(directory, authsvc, sidecar):
    """A tenant that logs in at its provider by now: its keys are not replaced, and would be overdue for ever."""
    cwctl, detail = Cwctl(directory), lambda: components(directory)["signing-keys"]["detail"]
    added = cwctl("tenants", "add", "acme", "domains=acme.com", "issuer=https://acme.localhost:8443", "audiences=https://api.acme.com", "clients[0].id=portal")
    assert added.returncode == 0, added.stderr
    until("its keys count", lambda: "of 3 tenants" in detail())
    changed = cwctl("tenants", "set", "acme", "login=idp", "idp.client-id=us", "idp.client-auth=none")
    assert changed.returncode == 0, changed.stderr
    until("they do no more", lambda: "of 2 tenants" in detail())


def test_authsvc_is_not_well_while_nothing_can_be_written(directory, authsvc, sidecar):
    """It serves: what was written can still be read. But nobody can log in."""
    cwctl, door = Cwctl(directory), Rest(authsvc)
    until("all is well", lambda: cwctl("health").returncode == 0)
    assert "authsvc-database" not in components(directory)
    limit = ["prlimit", "--pid", str(authsvc.process.pid)]
    subprocess.run([*limit, "--fsize=1024:unlimited"], check=True)
    assert door.login().reason == "store_unavailable"
    found = components(directory)
    assert found["cw-authsvc"]["status"] == "UP" and found["authsvc-database"]["status"] == "DOWN", found
    text = cwctl("health")
    assert text.returncode == 1 and text.stdout.startswith("DEGRADED\n") and "DOWN      authsvc-database: does not answer, or cannot be written" in text.stdout
    subprocess.run([*limit, "--fsize=unlimited:unlimited"], check=True)
    until("all is well again", lambda: cwctl("health").returncode == 0)
    assert "authsvc-database" not in components(directory)


@pytest.fixture
def answering(directory):
    """answering(socket, {"service": {"Method": answer}}): a server that has these methods alone; an exception's code is its answer."""
    servers = []

    def start(socket, services):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        for service, methods in services.items():
            def handler(answer):
                def call(request, context):
                    return context.abort(answer, "no") if isinstance(answer, grpc.StatusCode) else answer.SerializeToString()
                return grpc.unary_unary_rpc_method_handler(call)
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {m: handler(a) for m, a in methods.items()})])
        server.add_insecure_port(f"unix:{directory / socket}")
        server.start()
        servers.append(server)

    yield start
    for server in servers:
        server.stop(None).wait()


@pytest.mark.parametrize("answer, status, code", [(None, "?", 0), (grpc.StatusCode.UNAVAILABLE, "DEGRADED", 1)], ids=["older", "unavailable"])
def test_an_authsvc_that_does_not_know_the_question_is_not_degraded(directory, issuer, authority, ending, answering, answer, status, code):
    """A cwctl that is newer, as in the middle of an upgrade. Whoever knows the question and fails is another matter."""
    ending(Sidecar(directory, [tenant_of(issuer, authority)]).start())
    serving = rpc.message("grpc.health.v1.HealthCheckResponse")(status=1)
    answering("authsvc.sock", {"grpc.health.v1.Health": {"Check": serving}})
    answering("authsvc-admin.sock", {"clinicwave.identity.v1.AdminService": {"GetKeyHealth": answer} if answer else {}})
    until("the keys are there", lambda: components(directory)[f"keys:{issuer.url}"]["status"] == "UP")
    found = components(directory)["signing-keys"]
    assert found["status"] == status and ("is older" in found["detail"]) == (answer is None), found
    text = Cwctl(directory)("health")
    assert text.returncode == code and text.stdout.startswith("UP\n" if code == 0 else "DEGRADED\n"), text.stdout
