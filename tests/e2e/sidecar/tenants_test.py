"""Tenants learned from authsvc's feed (TenantService.Watch), here a scripted one."""
import concurrent.futures
import json
import queue
import signal

import grpc
import pytest
import yaml

from tests.support import rpc
from tests.support.fixtures import tenant_of
from tests.support.issuer import Issuer
from tests.support.programs import until
from tests.support.stack import Sidecar

AUDIENCE = "https://api.learned.example"


class Feed:
    """authsvc's side: `say(generation, tenants)` reaches the sidecar that is watching; `asked` has the generations it named."""

    def __init__(self, path):
        self.asked, self.messages = [], queue.SimpleQueue()
        self.request, self.response = (rpc.message(f"clinicwave.identity.v1.Watch{x}") for x in ("Request", "Response"))
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        handler = grpc.unary_stream_rpc_method_handler(self.watch, self.request.FromString, self.response.SerializeToString)
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("clinicwave.identity.v1.TenantService", {"Watch": handler})])
        self.server.add_insecure_port(f"unix:{path}")
        self.server.start()

    def watch(self, request, context):
        self.asked.append(request.generation)
        while context.is_active():
            try:
                message = self.messages.get(timeout=0.1)
            except queue.Empty:
                continue
            if not context.is_active():
                self.messages.put(message)  # for whoever watches now
                return
            yield message

    def say(self, generation, *tenants, epoch="one", heartbeat=False):
        self.messages.put(self.response(generation=generation, epoch=epoch, tenants=tenants, heartbeat=heartbeat))

    def stop(self):
        self.server.stop(0)


def learned(issuer, name="learned", domains=("learned.example",), jwks=None, **fields):
    trusted = dict(issuer=issuer.url, jwks=json.dumps(jwks or issuer.jwks()).encode(), claims=dict(tenant="tenant"), **fields)
    return dict(name=name, domains=domains, audiences=[AUDIENCE], issuers=[trusted])


@pytest.fixture
def mint(ending):
    """Never asked over the network: its keys travel with the tenant."""
    return ending(Issuer(audience=AUDIENCE))


@pytest.fixture
def feed(directory, ending):
    return ending(Feed(directory / "authsvc.sock"))


@pytest.fixture
def watching(directory, feed, authority, issuer, ending):
    """A sidecar with one tenant of its own that watches the feed."""
    def start():
        return ending(Sidecar(directory, [tenant_of(issuer, authority)], sidecar={"authsvc": {"socket": str(directory / "authsvc.sock")}}).start())
    return start


def decided(sidecar, token, domain):
    try:
        answer = sidecar.validate(token, domain=domain)
        return answer.reason or "ALLOW"
    except grpc.RpcError as e:
        return e.code().name


def test_a_tenant_that_is_added_at_run_time_is_served_on_the_next_request(watching, feed, mint):
    sidecar, token = watching(), mint.token(tenant="learned")
    assert decided(sidecar, token, "learned.example") == "NOT_FOUND"
    feed.say(1, learned(mint))
    until("the tenant is served", lambda: decided(sidecar, token, "learned.example") == "ALLOW")
    feed.say(2, learned(mint, domains=["learned.example", "more.example"]))
    until("its new domain is served", lambda: decided(sidecar, token, "more.example") == "ALLOW")
    feed.say(3)
    until("a tenant that is gone is not", lambda: decided(sidecar, token, "learned.example") == "NOT_FOUND")
    assert mint.fetches == 0


def test_a_tenant_that_cannot_be_used_is_told_and_counted_and_costs_only_itself(watching, feed, mint):
    sidecar, token = watching(), mint.token(tenant="learned")
    left_out = lambda: sum(v for k, v in sidecar.metrics().items() if k.startswith("cw_sidecar_tenants_left_out"))
    large = learned(mint, name="large", domains=["large.example"])
    large["issuers"] = [dict(issuer=f"{mint.url}{i}", jwks=b"{}", claims=dict(keep=["k" * 1000] * 64)) for i in range(16)]
    assert left_out() == 0
    feed.say(1, large, learned(mint))
    until("the other is served", lambda: decided(sidecar, token, "learned.example") == "ALLOW")
    assert left_out() == 1 and decided(sidecar, token, "large.example") == "NOT_FOUND"
    until("the log names it", lambda: 'learned tenant \\"large\\": too large' in sidecar.process.log())
    feed.say(2, learned(mint, name="large", domains=["large.example"]), learned(mint))
    until("it is smaller", lambda: left_out() == 0)


def test_a_key_that_authsvc_withdraws_ends_its_cached_tokens_at_once(watching, feed, mint):
    sidecar = watching()
    feed.say(1, learned(mint))
    token = mint.token(tenant="learned")
    until("the tenant is served", lambda: decided(sidecar, token, "learned.example") == "ALLOW")
    assert sidecar.validate(token, domain="learned.example").cached
    mint.rotate(keep_old=False)
    feed.say(2, learned(mint))
    until("the old key is gone", lambda: decided(sidecar, token, "learned.example") == "key_unknown")
    assert decided(sidecar, mint.token(tenant="learned"), "learned.example") == "ALLOW"


def test_a_rotation_that_keeps_the_old_key_keeps_its_cached_tokens(watching, feed, mint):
    sidecar = watching()
    feed.say(1, learned(mint))
    token = mint.token(tenant="learned")
    until("the tenant is served", lambda: decided(sidecar, token, "learned.example") == "ALLOW")
    mint.rotate()
    feed.say(2, learned(mint))
    until("the new key counts", lambda: decided(sidecar, mint.token(tenant="learned"), "learned.example") == "ALLOW")
    assert sidecar.validate(token, domain="learned.example").cached


def test_a_token_that_names_another_tenant_is_refused(watching, feed, mint):
    sidecar = watching()
    feed.say(1, learned(mint))
    until("the tenant is served", lambda: decided(sidecar, mint.token(tenant="learned"), "learned.example") == "ALLOW")
    assert decided(sidecar, mint.token(tenant="clinicwave"), "learned.example") == "tenant_mismatch"
    assert decided(sidecar, mint.token(), "learned.example") == "tenant_mismatch"


def test_tenants_of_the_configuration_win(watching, feed, mint, issuer):
    sidecar = watching()
    feed.say(1, learned(mint), learned(mint, "clinicwave", ["evil.example"]), learned(mint, "thief", ["clinicwave.com", "thief.example"]))
    until("the feed was taken", lambda: decided(sidecar, mint.token(tenant="learned"), "learned.example") == "ALLOW")
    assert decided(sidecar, issuer.token(), "clinicwave.com") == "ALLOW"
    assert decided(sidecar, mint.token(tenant="thief"), "clinicwave.com") == "issuer_unknown"
    assert decided(sidecar, mint.token(tenant="clinicwave"), "evil.example") == "NOT_FOUND"


def test_one_tenant_that_cannot_be_used_does_not_keep_out_the_others(watching, feed, mint):
    sidecar = watching()
    feed.say(1, learned(mint, "bad", ["not a domain"]), learned(mint))
    until("the good one is served", lambda: decided(sidecar, mint.token(tenant="learned"), "learned.example") == "ALLOW")
    until("the bad one is reported", lambda: "tenant-refused" in sidecar.process.log())


def test_keys_that_are_garbage_leave_the_old_ones(watching, feed, mint):
    sidecar = watching()
    feed.say(1, learned(mint))
    token = mint.token(tenant="learned")
    until("the tenant is served", lambda: decided(sidecar, token, "learned.example") == "ALLOW")
    feed.say(2, learned(mint, jwks={"keys": []}), learned(mint, "second", ["second.example"]))
    until("the second tenant is there", lambda: decided(sidecar, mint.token(tenant="second"), "second.example") == "ALLOW")
    assert decided(sidecar, mint.token(tenant="learned"), "learned.example") == "ALLOW"


def test_a_restart_without_authsvc_serves_what_was_learned_and_asks_from_there(watching, feed, mint):
    first, token = watching(), mint.token(tenant="learned")
    feed.say(7, learned(mint))
    until("the tenant is served", lambda: decided(first, token, "learned.example") == "ALLOW")
    until("the snapshot is on disk", lambda: (first.directory / "state/tenants.pb").exists())
    first.stop()
    second = watching()
    assert decided(second, token, "learned.example") == "ALLOW"
    until("it asks from where it was", lambda: feed.asked[-1] == 7)


def test_a_heartbeat_of_another_database_makes_it_ask_for_all(watching, feed, mint):
    sidecar, token = watching(), mint.token(tenant="learned")
    feed.say(7, learned(mint))
    until("the tenant is served", lambda: decided(sidecar, token, "learned.example") == "ALLOW")
    feed.say(7, epoch="two", heartbeat=True)
    until("it asks again, for all", lambda: len(feed.asked) > 1 and feed.asked[-1] == 0)
    feed.say(1, learned(mint, domains=["moved.example"]), epoch="two")
    until("the other database counts", lambda: decided(sidecar, token, "moved.example") == "ALLOW")


def told(sidecar):
    """What a gateway is told first: origins by domain."""
    call = sidecar.stub("clinicwave.token.v1.OriginService", sidecar.gateway_socket).Watch()
    message = next(call)
    call.cancel()
    return {d: list(t.origins) for t in message.tenants for d in t.domains}


def test_origins_are_the_tenants_that_serves_the_domain_learned_or_configured(directory, feed, authority, issuer, mint, ending):
    own = {**tenant_of(issuer, authority), "origins": ["https://own.example"]}
    sidecar = ending(Sidecar(directory, [own], sidecar={"authsvc": {"socket": str(directory / "authsvc.sock")}}).start())
    origins = {"origins": ["https://portal.example", "https://*.bad.example"]}
    feed.say(1, {**learned(mint), **origins}, {**learned(mint, "clinicwave", ["evil.example"]), **origins},
             {**learned(mint, "thief", ["clinicwave.com", "thief.example"]), **origins})
    until("the feed was taken", lambda: "learned.example" in told(sidecar))
    assert told(sidecar) == {"clinicwave.com": ["https://own.example"], "clinicwave.localhost": ["https://own.example"],
                             "learned.example": ["https://portal.example"], "thief.example": ["https://portal.example"]}
    until("what is none is reported", lambda: "has a wildcard" in sidecar.process.log())
    assert decided(sidecar, mint.token(tenant="learned"), "learned.example") == "ALLOW"


@pytest.mark.parametrize("key", ["origins", "allowed_origins", "allowed-origins"])
def test_origins_are_configured_under_each_of_their_names(directory, authority, issuer, ending, key):
    sidecar = ending(Sidecar(directory, [{**tenant_of(issuer, authority), key: ["https://own.example"]}]).start())
    assert told(sidecar)["clinicwave.com"] == ["https://own.example"]


def test_a_reload_changes_the_configurations_origins_or_nothing(directory, authority, issuer, ending):
    def document(sidecar, origins):
        sidecar.config.write_text(json.dumps({**yaml.safe_load(sidecar.config.read_text()), "tenants": [{**tenant_of(issuer, authority), "origins": origins}]}))
        sidecar.process.signal(signal.SIGHUP)
    sidecar = ending(Sidecar(directory, [{**tenant_of(issuer, authority), "origins": ["https://one.example"]}]).start())
    assert told(sidecar)["clinicwave.com"] == ["https://one.example"]
    document(sidecar, ["https://two.example"])
    until("the reload is done", lambda: told(sidecar)["clinicwave.com"] == ["https://two.example"])
    document(sidecar, ["https://*.example"])
    until("the reload is refused", lambda: "configuration-refused" in sidecar.process.log() and "has a wildcard" in sidecar.process.log())
    assert told(sidecar)["clinicwave.com"] == ["https://two.example"]


def test_gateways_hear_of_changes_of_origins_and_of_nothing_else(watching, feed, mint):
    sidecar = watching()
    origins = {"origins": ["https://portal.example"]}
    feed.say(1, {**learned(mint), **origins})
    until("the tenant is there", lambda: "learned.example" in told(sidecar))
    call = sidecar.stub("clinicwave.token.v1.OriginService", sidecar.gateway_socket).Watch(timeout=60)
    first = next(call)
    mint.rotate()
    feed.say(2, {**learned(mint), **origins})
    until("the new key counts", lambda: decided(sidecar, mint.token(tenant="learned"), "learned.example") == "ALLOW")
    feed.say(3, {**learned(mint), "origins": []})
    second = next(call)
    assert second.epoch == first.epoch and second.generation == first.generation + 1 and not second.tenants
    call.cancel()
