"""A tenant's origins from AdminService or the configuration to the browser: through cw-authsvc, sidecar and gateway, without a reload."""
import signal
import time

import grpc
import pytest
import yaml

from tests.e2e.authsvc.administration import Admin, learning_sidecar, refused
from tests.e2e.authsvc.doors import ANNA, HOST, PASSWORD, Rest
from tests.support import rpc
from tests.support.programs import until

ACME = "acme.localhost"
PORTAL, KIOSK = "https://portal.acme.com", "https://kiosk.acme.com"
CONFIGURED = "https://portal.clinicwave.com"
ROUTES = """
    cw_cors tenant;
    location /auth/ { cw_auth off; proxy_set_header Host $http_host; proxy_pass http://127.0.0.1:@REST@; }
    location / { cw_auth required; cw_timeout 5s; proxy_pass http://@SERVICE@; }"""


@pytest.fixture
def authsvc(start):
    return start(origins=[CONFIGURED])


@pytest.fixture
def sidecar(authsvc, directory, ending):
    return learning_sidecar(authsvc, directory, ending)


@pytest.fixture
def gateway(sidecar, nginx, authsvc):
    g = nginx(ROUTES.replace("@REST@", str(authsvc.rest)), sidecar=str(sidecar.gateway_socket))
    until("the configuration's origins have arrived", lambda: allowed(g, CONFIGURED, HOST))
    return g


@pytest.fixture
def admin(authsvc):
    return Admin(authsvc)


def allowed(gateway, origin, host=ACME):
    r = gateway.get("/x", method="OPTIONS", host=host, headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
    assert r.status in (204, 401, 421, 503), r
    return r.status == 204 and r.headers["access-control-allow-origin"] == origin


def within(what, condition):
    """Milliseconds until CONDITION holds."""
    began = time.monotonic()
    until(what, condition)
    return (time.monotonic() - began) * 1000


def test_a_tenants_origins_are_set_changed_and_withdrawn_while_all_runs(gateway, admin):
    assert not allowed(gateway, PORTAL)
    admin.create(origins=[PORTAL, "http://localhost:5173"])
    times = [within("its origins count", lambda: allowed(gateway, PORTAL))]
    assert allowed(gateway, "http://localhost:5173", "acme.com")
    assert not allowed(gateway, PORTAL, HOST) and not allowed(gateway, CONFIGURED)
    admin.update(origins=KIOSK)
    times += [within("the new one counts", lambda: allowed(gateway, KIOSK))]
    assert not allowed(gateway, PORTAL)
    admin.update(domains="acme.test")
    times += [within("it follows the domains", lambda: allowed(gateway, KIOSK, "acme.test"))]
    assert not allowed(gateway, KIOSK)
    admin.stub.UpdateTenant(name="acme", settings=[rpc.message("clinicwave.identity.v1.Setting")(name="origins")])
    times += [within("none is left", lambda: not allowed(gateway, KIOSK, "acme.test"))]
    assert allowed(gateway, CONFIGURED, HOST)
    print("milliseconds until a change counted:", [round(t) for t in times])


def test_its_pages_log_in_call_and_read_what_went_wrong(gateway, admin):
    admin.create(origins=PORTAL)
    admin.user()
    until("its origins count", lambda: allowed(gateway, PORTAL))
    body = b'{"username":"%s","password":"%s"}' % (ANNA.encode(), PASSWORD.encode())
    ask = lambda origin: gateway.get("/auth/v1/login", method="POST", body=body, host=ACME, headers={"Origin": origin, "Content-Type": "application/json"})
    login = ask(PORTAL)
    assert login.status == 200 and login.headers["access-control-allow-origin"] == PORTAL
    other = ask(CONFIGURED)
    assert (other.status, other.reason) == (403, "origin_forbidden") and "access-control-allow-origin" not in other.headers
    token = login.json["access_token"]
    good = gateway.get("/x", token, host=ACME, headers={"Origin": PORTAL})
    assert good.status == 200 and good.headers["access-control-allow-origin"] == PORTAL
    crossed = gateway.get("/x", token, host=HOST, headers={"Origin": PORTAL})
    assert crossed.status == 401 and "access-control-allow-origin" not in crossed.headers
    missing = gateway.get("/x", host=ACME, headers={"Origin": PORTAL})
    assert (missing.status, missing.reason, missing.headers["access-control-allow-origin"]) == (401, "token_missing", PORTAL)
    admin.stub.DisableTenant(name="acme")
    until("the sidecar knows", lambda: gateway.get("/x", token, host=ACME).status == 403)
    refused_ = gateway.get("/x", token, host=ACME, headers={"Origin": PORTAL})
    assert (refused_.status, refused_.reason, refused_.headers["access-control-allow-origin"]) == (403, "tenant_disabled", PORTAL)


def test_other_origins_cost_no_cached_token(gateway, admin, authsvc, sidecar):
    admin.create(origins=PORTAL)
    admin.user()
    token = Rest(authsvc).login(ANNA, domain=ACME).tokens["access_token"]
    until("the token is cached", lambda: sidecar.validate(token, domain=ACME).cached)
    admin.update(origins=KIOSK)
    until("the new one counts", lambda: allowed(gateway, KIOSK))
    assert sidecar.validate(token, domain=ACME).cached
    admin.update(audiences=["https://api.acme.com", "https://more.acme.com"])  # another tenant to a verdict
    until("that does", lambda: not sidecar.validate(token, domain=ACME).cached)


@pytest.mark.parametrize("origins, words", [
    (["https://*.acme.com"], "wildcard"), (["null"], "is no origin"), (["*"], "is no origin"), (["http://portal.acme.com"], "loopback"),
    (["https://portal.acme.com/"], "nothing but a host"), (["https://Portal.acme.com"], "spelled"), (["https://portal.acme.com:443"], "own port"),
    (["https://" + "a" * 300], "too long"), ([f"https://p{i}.acme.com" for i in range(65)], "origins")])
def test_what_is_no_origin_is_refused_with_a_reason(authsvc, admin, origins, words):
    reason, text = refused(lambda: admin.create(origins=origins))
    assert reason == "tenant_invalid" and "origins" in text and words in text
    assert not admin.stub.ListTenants().tenants or "acme" not in [t.name for t in admin.stub.ListTenants().tenants]


def test_sixty_four_are_taken_and_come_back(authsvc, admin):
    origins = [f"https://p{i}.acme.com" for i in range(64)]
    admin.create(origins=origins)
    tenant = admin.stub.GetTenant(name="acme").tenant
    assert {s.name: list(s.values) for s in tenant.settings}["origins"] == origins


def test_a_reload_of_the_configuration_changes_them(gateway, authsvc):
    wanted = yaml.safe_load(authsvc.config.read_text())
    del wanted["tenants"][0]["origins"]
    wanted["tenants"][0]["allowed_origins"] = [KIOSK]  # the other name of the same key
    authsvc.config.write_text(yaml.safe_dump(wanted))
    authsvc.process.signal(signal.SIGHUP)
    until("the new one counts", lambda: allowed(gateway, KIOSK, HOST))
    assert not allowed(gateway, CONFIGURED, HOST)


def test_a_sidecar_that_starts_without_authsvc_tells_what_it_learned(gateway, admin, authsvc, sidecar, nginx, ending):
    admin.create(origins=PORTAL)
    until("its origins count", lambda: allowed(gateway, PORTAL))
    assert sidecar.stop() == 0  # writes what it has learned
    authsvc.process.kill()
    assert gateway.stop() == 0
    sidecar.start()
    gateway.start()
    until("a gateway that knew nothing has learned them", lambda: allowed(gateway, PORTAL) and allowed(gateway, CONFIGURED, HOST))
    assert not allowed(gateway, KIOSK)


def test_a_sidecar_that_lost_its_state_leaves_the_gateway_what_it_knows(gateway, admin, authsvc, sidecar, directory):
    admin.create(origins=PORTAL)
    until("its origins count", lambda: allowed(gateway, PORTAL))
    authsvc.process.kill()
    sidecar.process.kill()
    (directory / "sidecar/state/tenants.pb").unlink(missing_ok=True)
    sidecar.process.start()  # not ready: it knows no tenant
    until("it says that it knows nothing", lambda: (m := watched(sidecar)) and m.provisional)
    assert allowed(gateway, PORTAL)
    authsvc.start()
    until("it has learned again", lambda: (m := watched(sidecar)) and not m.provisional)
    admin.update(origins=KIOSK)
    until("what changes then counts", lambda: allowed(gateway, KIOSK))
    assert not allowed(gateway, PORTAL)


def watched(sidecar):
    """What a gateway is told first; None while nobody tells."""
    call = sidecar.stub("clinicwave.token.v1.OriginService", sidecar.gateway_socket).Watch()
    try:
        return next(call)
    except grpc.RpcError:
        return None
    finally:
        call.cancel()


def test_only_gateways_are_told(sidecar):
    told = until("it tells", lambda: watched(sidecar))
    assert not told.provisional and [list(t.origins) for t in told.tenants] == [[CONFIGURED]]
    for socket in (sidecar.socket, sidecar.admin_socket):
        with pytest.raises(grpc.RpcError) as e:
            next(sidecar.stub("clinicwave.token.v1.OriginService", socket).Watch())
        assert e.value.code() == grpc.StatusCode.PERMISSION_DENIED
