"""The sidecar as a client of Eureka: what it reads, what it registers, and what it does on a server's bad days. The server is another
sidecar's embedded registry; tests/interop/eureka has the same with the real one."""
import base64
import http.server
import json
import socket
import threading
import time
import urllib.request

import pytest

from tests.support.discovery import DOWN, OUT_OF_SERVICE, STARTING, UP, Registration, Watch, lookup
from tests.support.eureka import Agent, Embedded, Proxy, server_tls, settled
from tests.support.programs import free_port, until


@pytest.fixture(autouse=True)
def nobody_is_kept():
    yield
    Registration.kept.clear()


@pytest.fixture
def server(directory, ending):
    return ending(Embedded(directory / "server").start())


@pytest.fixture
def proxy(server, ending):
    return ending(Proxy(server))


@pytest.fixture
def start(directory, ending):
    """`start(servers…, **registry.eureka)` starts a sidecar that uses them."""
    def begin(*servers, **eureka):
        return ending(Agent(directory / "agent", servers, eureka).start())
    return begin


def at_server(server, app, statuses, seconds=60):
    until(f"the server has {app} as {statuses}", lambda: server.statuses(app) == statuses, seconds)


# ---- reading ----


def test_an_instance_on_ec2_is_in_its_availability_zone(server, start):
    amazon = {"@class": "com.netflix.appinfo.AmazonInfo", "name": "Amazon",
              "metadata": {"instance-id": "i-1", "availability-zone": "us-east-1c", "local-ipv4": "127.0.0.1"}}
    server.register("greeter", "i-1", 9001, dataCenterInfo=amazon)
    server.register("greeter", "i-2", 9002, dataCenterInfo=amazon, metadata={"zone": "its-own-word", "weight": "2"})
    watch = Watch(start(server), "GREETER")
    until("both are told", lambda: len(watch.latest.applications[0].instances) == 2 if watch.latest else False)
    assert {i.port: dict(i.metadata) for i in watch.latest.applications[0].instances} == {
        9001: {"zone": "us-east-1c"}, 9002: {"zone": "its-own-word", "weight": "2"}}


def test_what_eureka_knows_reaches_the_watchers_change_by_change(server, start):
    server.register("greeter", "a", 9001, metadata={"weight": "3"})
    agent = start(server)
    watch = Watch(agent, "GREETER")
    watch.until({"GREETER": {"a": UP}})
    told = watch.latest.applications[0].instances[0]
    assert (told.address, told.port, told.secure, told.source, dict(told.metadata)) == ("127.0.0.1", 9001, False, "eureka", {"weight": "3"})
    server.register("greeter", "b", 9002, status="STARTING")
    watch.until({"GREETER": {"a": UP, "b": STARTING}})
    server.override("greeter", "a", "OUT_OF_SERVICE")
    watch.until({"GREETER": {"a": OUT_OF_SERVICE, "b": STARTING}})
    server.cancel("greeter", "a")
    watch.until({"GREETER": {"b": STARTING}})
    assert agent.metric("fetches_total", document="full", outcome="good") == 1  # all the rest were deltas, and their hashes were right
    assert agent.metric("mismatches_total") == 0 and agent.metric("fetches_total", document="delta", outcome="good") > 1
    assert agent.eureka["server"] == server.url[:-len("/eureka/")] and not agent.eureka["late"]


def test_the_embedded_registry_is_off(server, start):
    agent = start(server)
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{agent.registry_port}/eureka/apps", timeout=2)


def test_only_what_is_within_reach_gets_requests(server, start):
    for id, address, port in (("here", "127.0.0.1", 9001), ("allowed", "192.0.2.7", 80), ("elsewhere", "198.51.100.7", 80),
                              ("metadata", "169.254.169.254", 80), ("management", "192.0.2.8", 9082), ("name", "host.name", 80)):
        server.register("greeter", id, port, ipAddr=address)
    agent = start(server)
    Watch(agent, "GREETER").until({"GREETER": {"here": UP, "allowed": UP}})
    assert {i.instance_id: i.unreachable for i in lookup(agent, "greeter").applications[0].instances} == {
        "here": "", "allowed": "", "elsewhere": "not_allowed", "metadata": "link_local", "management": "reserved_port", "name": "no_address"}


def test_requests_are_those_of_a_good_client(server, start, ending):
    proxy = ending(Proxy(server, path="/some/path/eureka/v2/"))
    server.register("greeter", "a")
    agent = start({"url": f"http://eve:p:@%25%zz@127.0.0.1:{proxy.port}/some/path/eureka/v2"})
    settled(agent, "greeter", {"a": "UP"})
    method, path, headers = proxy.seen[0]
    assert (method, path) == ("GET", "/some/path/eureka/v2/apps/")
    assert base64.b64decode(headers["Authorization"].split()[1]).decode() == "eve:p:@%%zz"  # decoded once, divided at the first colon
    assert headers["Accept"] == "application/json" and headers["Accept-Encoding"] == "gzip"
    assert "%zz" not in agent.process.log() and "x-netflix-discovery-replication" not in headers
    until("a delta was asked for", lambda: any(p.endswith("/apps/delta") for _, p, _ in proxy.seen))


def test_a_password_comes_from_a_file_and_a_zone_has_its_servers(server, start, ending, directory):
    near, far = ending(Proxy(server)), ending(Proxy(server))
    (directory / "password").write_text("secret\n")
    agent = start({"url": far.url, "zone": "b"}, {"url": near.url, "zone": "a", "username": "u", "password-file": str(directory / "password")}, zone="a")
    until("it has been read", lambda: agent.eureka["ageSeconds"] >= 0)
    assert near.seen and not far.seen and near.seen[0][2]["Authorization"] == "Basic dTpzZWNyZXQ="


def test_tls_with_the_named_ca_and_a_client_certificate(server, start, ending, authority):
    server.register("greeter", "a")
    proxy = ending(Proxy(server, tls=server_tls(authority, client_certificates=True)))
    url = proxy.url.replace("http:", "https:")
    certificate, key = map(str, authority.issue("client"))
    agent = start({"url": url, "ca-file": str(authority.ca), "cert-file": certificate, "key-file": key})
    settled(agent, "greeter", {"a": "UP"})
    agent.stop()
    proxy.seen.clear()
    for trust in ({"url": url, "cert-file": certificate, "key-file": key}, {"url": url, "ca-file": str(authority.ca)}):
        stranger = start(trust)
        until("it fails", lambda: stranger.eureka["error"].startswith("unavailable"))
        assert stranger.eureka["ageSeconds"] == -1
        stranger.stop()
    assert not proxy.seen


def test_documents_of_other_servers_are_read(server, start, proxy):
    """Scalars of any type, single objects for lists, no instanceId."""
    def old_dialect(text):
        document = json.loads(text)
        for app in document["applications"]["application"]:
            for i in app["instance"]:
                i["port"] = {"$": str(i["port"]["$"]), "@enabled": i["port"]["@enabled"] == "true"}
                i["lastUpdatedTimestamp"], i["countryId"] = int(i["lastUpdatedTimestamp"]), str(i["countryId"])
                i["metadata"] = {"weight": 3, "canary": True}
                i.pop("instanceId")
            app["instance"] = app["instance"][0]
        document["applications"]["application"] = document["applications"]["application"][0]
        document["applications"]["versions__delta"] = 1
        return json.dumps(document)
    server.register("greeter", "a", 9001, hostName="some.host")
    proxy.rewrite = old_dialect
    agent = start(proxy, delta=False)
    settled(agent, "greeter", {"some.host": "UP"})
    found = lookup(agent, "greeter").applications[0].instances[0]
    assert found.port == 9001 and dict(found.metadata) == {"weight": "3", "canary": "true"}


def test_of_two_with_one_id_the_newer_counts(server, start, proxy):
    def twice(text):
        document = json.loads(text)
        for app in document["applications"]["application"]:
            app["instance"] += [dict(i, port={"$": 9009, "@enabled": "true"}, lastDirtyTimestamp=str(int(i["lastDirtyTimestamp"]) + 1)) for i in app["instance"]]
        return json.dumps(document)
    server.register("greeter", "a", 9001)
    proxy.rewrite = twice
    agent = start(proxy, delta=False)
    settled(agent, "greeter", {"a": "UP"})
    assert [i.port for i in lookup(agent, "greeter").applications[0].instances] == [9009]
    assert agent.metric("duplicates") == agent.eureka["duplicates"] == 1 and agent.events("eureka-duplicates")


@pytest.mark.parametrize("delta", [False, True])
def test_an_entry_that_cannot_be_read_is_told(server, start, proxy, delta):
    def broken(text):
        document = json.loads(text)
        for app in document["applications"]["application"]:
            for i in app["instance"]:
                if i["instanceId"] == "b":
                    i["ipAddr"] = ""
        return json.dumps(document)
    server.register("greeter", "a")
    server.register("greeter", "b")
    proxy.rewrite = broken
    agent = start(proxy, delta=delta)
    settled(agent, "greeter", {"a": "UP"})
    assert agent.metric("left_out") == agent.eureka["leftOut"] == 1
    assert {e["clinicwave.instances"] for e in agent.events("eureka-unreadable")} == {1} and not agent.events("eureka-left-out")
    proxy.rewrite = None
    server.register("greeter", "b")
    settled(agent, "greeter", {"a": "UP", "b": "UP"})
    until("nothing is left out", lambda: agent.metric("left_out") == agent.eureka["leftOut"] == 0)


def test_a_registry_that_is_too_large_is_taken_in_part_and_told(server, start):
    for n in range(7):
        server.register("greeter", f"i{n}")
    agent = start(server, **{"max-instances": 5})
    until("it is read", lambda: agent.metric("instances") == 5)
    assert agent.metric("left_out") == 2 and agent.events("eureka-left-out")


def test_a_document_past_its_bound_is_refused(server, start, proxy):
    server.register("greeter", "a")
    proxy.rewrite = lambda text: text + " " * 70000
    agent = start(proxy, **{"max-document": "64KiB"})
    until("it is refused", lambda: agent.eureka["error"].startswith("request_too_large"))


def test_a_compressed_document_is_read_and_its_bound_counts_what_it_inflates_to(server, start, proxy):
    server.register("greeter", "a")
    proxy.compress = True
    agent = start(proxy, **{"max-document": "64KiB"})
    settled(agent, "greeter", {"a": "UP"})
    until("deltas are read", lambda: agent.metric("fetches_total", document="delta", outcome="good") >= 2)
    proxy.rewrite = lambda text: text + " " * 70000  # some hundred bytes on the line
    until("it is refused", lambda: agent.eureka["error"].startswith("request_too_large"))
    proxy.rewrite, proxy.fault = None, "half"
    until("half of it is refused", lambda: agent.eureka["error"] and not agent.eureka["error"].startswith("request_too_large"))
    proxy.fault = None
    server.register("greeter", "b")
    settled(agent, "greeter", {"a": "UP", "b": "UP"})


def test_a_wrong_hash_asks_for_all_but_not_for_ever(server, start, proxy):
    server.register("greeter", "a")
    agent = start(proxy)
    settled(agent, "greeter", {"a": "UP"})
    proxy.only, proxy.rewrite = "delta", lambda text: text.replace('apps__hashcode":"UP_1_', 'apps__hashcode":"UP_2_')
    until("a few polls", lambda: agent.metric("mismatches_total") >= 8)
    full = agent.metric("fetches_total", document="full", outcome="good")
    assert 2 <= full <= 6, full  # the first, and then after 1, 2, 4, 8 polls
    settled(agent, "greeter", {"a": "UP"})


class Metadata(http.server.BaseHTTPRequestHandler):
    """EC2's metadata service in its second version, which answers nobody without a token."""

    def do_PUT(self):
        good = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "60"
        self.say(200 if good else 400, "t0ken==")

    def do_GET(self):
        good = self.path == "/latest/meta-data/placement/availability-zone" and self.headers["X-aws-ec2-metadata-token"] == "t0ken=="
        self.say(200 if good else 401, "eu-central-1a")

    def say(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


def ec2_zone(port):
    return {"zone": True, "endpoint": f"http://127.0.0.1:{port}"}


def test_the_zone_comes_from_ec2_when_asked(server, start, ending):
    near, far = ending(Proxy(server)), ending(Proxy(server))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as ec2:
        threading.Thread(target=ec2.serve_forever, daemon=True).start()
        agent = start({"url": far.url, "zone": "b"}, {"url": near.url, "zone": "eu-central-1a"}, zone="b", ec2=ec2_zone(ec2.server_port))
        Registration(agent, instance_id="a")
        at_server(server, "x", {"a": "UP"})
        ec2.shutdown()
    assert server.instances("x")["a"]["metadata"] == {"zone": "eu-central-1a"} and not far.seen


def test_without_ec2_the_configured_zone_counts(server, start):
    agent = start(server, zone="b", ec2=ec2_zone(free_port()))
    Registration(agent, instance_id="b")
    at_server(server, "x", {"b": "UP"})
    assert server.instances("x")["b"]["metadata"] == {"zone": "b"} and agent.events("eureka-no-zone")


# ---- bad days ----

HEALTH_UP, HEALTH_DEGRADED = 1, 2
FAULTS = [("hang", "timeout"), (403, "HTTP 403: not ready yet"), (307, "HTTP 307: redirects are not followed"), ("redirect", "HTTP 302"), (503, "HTTP 503"),
          (401, "HTTP 401: wrong user or password"), (404, "HTTP 404"), ("html", "an HTML page"), ("xml", "XML, although JSON"),
          ("half", "or a part of one"), ("cut", "unavailable"), ("nonsense", "no registry document"), ("reset", "unavailable")]


def told_to_operators(agent):
    """The registry as `cwctl health` has it: (status, age in seconds, what to do)."""
    health = agent.stub("clinicwave.token.v1.TokenAdminService", agent.admin_socket).GetHealth()
    [c] = [c for c in health.components if c.name == "registry:eureka"]
    return c.status, c.age_seconds, c.remedy


@pytest.mark.parametrize("fault, words", FAULTS, ids=[str(f[0]) for f in FAULTS])
def test_whatever_a_server_does_what_is_known_stays(server, start, proxy, fault, words):
    server.register("greeter", "a")
    agent = start(proxy)
    watch = Watch(agent, "GREETER")
    watch.until({"GREETER": {"a": UP}})
    until("the start is over", lambda: not watch.latest.provisional)
    told = len(watch.snapshots)
    proxy.fault = fault
    until("health says why", lambda: words in agent.eureka["error"], 60)
    until("health says it is late", lambda: agent.eureka["late"], 60)
    assert agent.metric("age_seconds") >= 1
    status, age, remedy = told_to_operators(agent)
    assert status == HEALTH_DEGRADED and age >= 1 and "registry.eureka.servers" in remedy
    assert watch.state() == {"GREETER": {"a": UP}} and len(watch.snapshots) == told
    unread = agent.events("eureka-unread")
    assert len(unread) == 1 and words in unread[0]["error.message"], unread  # once a minute, not once a poll
    assert agent.ready()  # a registry that is old is no reason to refuse requests
    proxy.fault = None
    server.register("greeter", "b")
    watch.until({"GREETER": {"a": UP, "b": UP}})
    until("health is well", lambda: agent.eureka["error"] == "" and not agent.eureka["late"])
    until("operators are told so", lambda: told_to_operators(agent)[0] == HEALTH_UP)
    assert len(agent.events("eureka-reading")) == 2
    proxy.released.set()


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_without_deltas_is_read_whole(server, start, proxy, status):
    proxy.only, proxy.fault = "delta", status
    agent = start(proxy)
    server.register("greeter", "a")
    settled(agent, "greeter", {"a": "UP"})
    server.cancel("greeter", "a")
    until("it is held, since nobody said that it left", lambda: agent.eureka["held"] == 1)
    assert agent.eureka["error"] == ""


def test_the_next_server_is_asked_when_one_fails(server, start, ending):
    first, second = ending(Proxy(server)), ending(Proxy(server))
    server.register("greeter", "a")
    agent = start({"url": first.url, "zone": "a"}, {"url": second.url, "zone": "b"}, zone="a")
    settled(agent, "greeter", {"a": "UP"})
    assert not second.seen
    first.fault = "hang"
    server.register("greeter", "b")
    settled(agent, "greeter", {"a": "UP", "b": "UP"})
    assert agent.eureka["server"].endswith(f":{second.port}") and agent.eureka["error"] == "" and agent.metric("failovers_total") >= 1
    assert str(first.port) in agent.events("eureka-failover")[0]["clinicwave.eureka_server"]
    asked = len(first.seen)
    time.sleep(1)  # several polls: the one that answers is kept
    assert len(first.seen) == asked
    first.released.set()


def test_a_registry_that_forgot_everything_takes_nothing_away(server, start):
    server.register("greeter", "a")
    server.register("greeter", "b")
    agent = start(server, hold="3s")
    watch = Watch(agent, "GREETER")
    watch.until({"GREETER": {"a": UP, "b": UP}})
    server.kill()
    server.start()
    until("both are held", lambda: agent.eureka["held"] == 2, 60)
    assert watch.state() == {"GREETER": {"a": UP, "b": UP}} and agent.events("eureka-holding")
    server.register("greeter", "a")
    watch.until({"GREETER": {"a": UP}})  # b never came back
    assert agent.eureka["held"] == 0


def test_a_start_without_any_server_begins_with_what_was_known(server, start, directory):
    server.register("greeter", "a")
    agent = start(server, hold="2s")
    settled(agent, "greeter", {"a": "UP"})
    until("it is saved", lambda: '"a"' in (directory / "agent/state/eureka.json").read_text())
    agent.process.kill()
    server.kill()
    agent.start()
    watch = Watch(agent, "GREETER")
    watch.until({"GREETER": {"a": UP}})
    time.sleep(1.5)  # longer than registry.provisional
    assert watch.latest.provisional and watch.state() == {"GREETER": {"a": UP}} and agent.eureka["ageSeconds"] == -1
    server.start()  # it comes back, empty
    until("it is read", lambda: agent.eureka["ageSeconds"] >= 0, 60)
    assert watch.state() == {"GREETER": {"a": UP}}
    watch.until({"GREETER": {}})


def test_what_was_learnt_last_is_saved_at_the_end(server, start, directory):
    server.register("greeter", "a")
    agent = start(server)
    settled(agent, "greeter", {"a": "UP"})
    saved = directory / "agent/state/eureka.json"
    until("it is saved", lambda: '"a"' in saved.read_text())
    server.register("greeter", "b")  # the file is written every 30 s at most
    settled(agent, "greeter", {"a": "UP", "b": "UP"})
    assert agent.stop() == 0 and '"b"' in saved.read_text() and '"b"' not in (directory / "agent/state/registry.json").read_text()


def test_a_server_that_takes_no_connection_is_given_up_in_its_time(start):
    with socket.socket() as deaf:  # its queue is full: the kernel answers nobody any more
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(8)]
        for s in waiting:
            s.setblocking(False)
            s.connect_ex(deaf.getsockname())
        agent = start(f"http://127.0.0.1:{deaf.getsockname()[1]}/eureka/", **{"timeout": "2m", "connect-timeout": "1s"})
        until("it is given up", lambda: agent.eureka["error"].startswith("timeout"), 90)
        for s in waiting:
            s.close()


# ---- registering ----


def test_a_service_of_this_host_is_a_full_instance(server, start):
    agent = start(server, zone="eu-1a", instance={"address": "127.0.0.1", "host-name": "localhost", "metadata": {"team": "blue", "weight": "1"}})
    Registration(agent, application="Storage-Service", instance_id="s", port=9000, health_path="/health",
                 metadata={"management.port": "9001", "gRPC_port": "9002", "prometheus.scrape": "true", "weight": "5", "no name": "x"})
    at_server(server, "storage-service", {"s": "UP"})
    told = server.instances("storage-service")["s"]
    assert told["app"] == "STORAGE-SERVICE" and told["vipAddress"] == told["secureVipAddress"] == "storage-service"
    assert (told["hostName"], told["ipAddr"]) == ("localhost", "127.0.0.1")
    assert told["port"] == {"$": 9000, "@enabled": "true"} and told["securePort"] == {"$": 443, "@enabled": "false"}
    assert told["homePageUrl"] == "http://localhost:9000/" and told["statusPageUrl"] == "http://localhost:9001/actuator/info"
    assert told["healthCheckUrl"] == "http://localhost:9000/health"
    assert told["metadata"] == {"zone": "eu-1a", "team": "blue", "weight": "5", "management.port": "9001", "gRPC_port": "9002", "prometheus.scrape": "true"}
    assert told["dataCenterInfo"]["name"] == "MyOwn" and told["overriddenStatus"] == "UNKNOWN"
    assert told["leaseInfo"]["renewalIntervalInSecs"] == 1 and told["leaseInfo"]["durationInSecs"] == 3
    Registration(agent, application="tls", instance_id="t", port=9443, secure=True)
    at_server(server, "tls", {"t": "UP"})
    told = server.instances("tls")["t"]
    assert told["securePort"] == {"$": 9443, "@enabled": "true"} and told["port"]["@enabled"] == "false"
    assert told["secureHealthCheckUrl"] == told["healthCheckUrl"] == "https://localhost:9443/actuator/health"


def test_loopback_is_told_to_nobody_else(server, start):
    agent = start(server, instance={"address": "192.0.2.1", "prefer-ip": True})
    Registration(agent, instance_id="a", address="127.0.0.1")
    Registration(agent, instance_id="b", address="::1")
    Registration(agent, instance_id="c", address="0.0.0.0")  # where it listens, not where it is
    Registration(agent, instance_id="d", address="::")
    at_server(server, "x", {id: "UP" for id in "abcd"})
    assert {(i["hostName"], i["ipAddr"]) for i in server.instances("x").values()} == {("192.0.2.1", "192.0.2.1")}
    assert {i["homePageUrl"] for i in server.instances("x").values()} == {"http://192.0.2.1:9000/"}
    # this host itself keeps the way over loopback
    assert not any(i.unreachable for i in lookup(agent, "x").applications[0].instances)
    assert {i.address for i in lookup(agent, "x").applications[0].instances} == {"127.0.0.1", "::1"}


def test_heartbeats_keep_it_and_a_server_that_forgot_is_told_again(server, start):
    agent = start(server, **{"lease-duration": "6s"})
    Registration(agent, instance_id="a")
    at_server(server, "x", {"a": "UP"})
    time.sleep(7)  # longer than the lease
    assert server.statuses("x") == {"a": "UP"}
    before = int(server.instances("x")["a"]["lastDirtyTimestamp"])
    server.kill()
    server.start()
    at_server(server, "x", {"a": "UP"}, 60)
    assert int(server.instances("x")["a"]["lastDirtyTimestamp"]) > before
    assert agent.events("eureka-forgotten") and agent.metric("heartbeats_total", outcome="good") > 3


def test_statuses_follow_the_service(server, start):
    agent = start(server, **{"lease-duration": "300s"})
    service = Registration(agent, instance_id="a", status=STARTING)
    at_server(server, "x", {"a": "STARTING"})
    for said, seen in ((UP, "UP"), (OUT_OF_SERVICE, "OUT_OF_SERVICE"), (UP, "UP"), (DOWN, "DOWN"), (UP, "UP"), (0, "DOWN"), (UP, "UP"), (9, "DOWN"), (UP, "UP"), (OUT_OF_SERVICE, "OUT_OF_SERVICE"),
                       (DOWN, "DOWN"), (UP, "UP"), (OUT_OF_SERVICE, "OUT_OF_SERVICE")):
        service.say(status=said)
        at_server(server, "x", {"a": seen})
    time.sleep(1)  # some heartbeats later still drained
    assert server.statuses("x") == {"a": "OUT_OF_SERVICE"}
    service.close()
    at_server(server, "x", {})
    Registration(agent, instance_id="a")  # it comes back without the old override
    at_server(server, "x", {"a": "UP"})


def test_an_administrator_takes_a_service_of_this_host_out(server, start):
    agent = start(server)
    service = Registration(agent, instance_id="a")
    watch = Watch(agent, "X")
    at_server(server, "x", {"a": "UP"})
    watch.until({"X": {"a": UP}})
    server.override("x", "a", "OUT_OF_SERVICE")
    watch.until({"X": {"a": OUT_OF_SERVICE}})
    service.say(metadata={"weight": "2"})  # what the service says does not bring it back
    until("the new metadata is told", lambda: watch.latest.applications[0].instances[0].metadata["weight"] == "2")
    time.sleep(1)  # some heartbeats and polls later
    assert watch.state() == {"X": {"a": OUT_OF_SERVICE}} and server.statuses("x") == {"a": "OUT_OF_SERVICE"}
    assert server.call("DELETE", "apps/X/a/status?value=UP")[0] == 200
    watch.until({"X": {"a": UP}})
    # the service's own word, and its end, are no administrator's
    service.say(status=OUT_OF_SERVICE)
    at_server(server, "x", {"a": "OUT_OF_SERVICE"})
    service.say(status=UP)
    at_server(server, "x", {"a": "UP"})
    watch.until({"X": {"a": UP}})


def saved(agent, word):
    until(f"{word} is saved", lambda: word in (agent.directory / "state/registry.json").read_text())


def test_an_administrators_word_outlives_the_sidecar(server, start, proxy):
    agent = start(proxy, **{"lease-duration": "60s"})
    Registration(agent, instance_id="a")
    at_server(server, "x", {"a": "UP"})
    saved(agent, '"a"')
    server.override("x", "a", "OUT_OF_SERVICE")
    saved(agent, "OUT_OF_SERVICE")
    agent.process.kill()
    proxy.fault = 503  # nobody to ask
    agent.start()
    watch = Watch(agent, "X")
    watch.until({"X": {"a": OUT_OF_SERVICE}})
    Registration(agent, instance_id="a")
    until("the start is over", lambda: lookup(agent, "x").applications[0].instances[0].source == "local" and agent.eureka["error"])
    assert all(i.status == OUT_OF_SERVICE for s in watch.snapshots for x in s.applications for i in x.instances)
    proxy.fault = None
    assert server.call("DELETE", "apps/X/a/status?value=UP")[0] == 200
    watch.until({"X": {"a": UP}})


def test_a_drained_service_is_back_after_its_sidecar_died(server, start, proxy):
    """The servers hold the last run's override, which nobody but the next one ends."""
    agent = start(proxy, **{"lease-duration": "60s"})
    service = Registration(agent, instance_id="a")
    at_server(server, "x", {"a": "UP"})
    service.say(status=OUT_OF_SERVICE)
    at_server(server, "x", {"a": "OUT_OF_SERVICE"})
    saved(agent, "OUT_OF_SERVICE")
    agent.process.kill()
    proxy.fault = 503  # it is UP again before the new sidecar has spoken to a server
    agent.start()
    watch = Watch(agent, "X")
    Registration(agent, instance_id="a")
    watch.until({"X": {"a": UP}})
    proxy.fault = None
    at_server(server, "x", {"a": "UP"})
    until("it is registered", lambda: agent.eureka["registered"] == 1)
    read = agent.metric("fetches_total", outcome="good")
    until("it is read", lambda: agent.metric("fetches_total", outcome="good") > read + 2)
    assert watch.state() == {"X": {"a": UP}}  # our own override is no administrator's


def test_what_an_administrator_makes_unknown_is_up_again(server, start):
    """The end of an override that has no value: the server holds UNKNOWN, of which it takes no heartbeat."""
    agent = start(server)
    Registration(agent, instance_id="a")
    at_server(server, "x", {"a": "UP"})
    server.override("x", "a", "OUT_OF_SERVICE")
    forgotten = len(agent.events("eureka-forgotten"))
    assert server.call("DELETE", "apps/X/a/status")[0] == 200
    until("its heartbeat was answered 404", lambda: len(agent.events("eureka-forgotten")) > forgotten)
    at_server(server, "x", {"a": "UP"})


def test_what_ends_a_service_and_what_does_not(server, start, directory):
    agent = start(server, **{"lease-duration": "300s"})  # nothing leaves by itself
    one, other = Registration(agent, instance_id="one"), Registration(agent, instance_id="other", port=9001)
    at_server(server, "x", {"one": "UP", "other": "UP"})
    one.close()
    at_server(server, "x", {"other": "UP"})
    assert lookup(agent, "x").applications[0].instances[0].instance_id == "other"
    assert agent.stop() == 0  # takes nobody out
    assert server.statuses("x") == {"other": "UP"}
    del other
    agent.start()
    until("it is looked after again", lambda: agent.eureka["registered"] == 1)
    at_server(server, "x", {}, 30)  # but its service did not come back to the new sidecar


def test_sidecar_and_registry_restarted_at_once(server, start):
    server.register("greeter", "g")
    agent = start(server, hold="4s")
    Registration(agent, instance_id="a")
    settled(agent, "greeter", {"g": "UP"})
    at_server(server, "x", {"a": "UP"})
    until("both are saved", lambda: '"g"' in (agent.directory / "state/eureka.json").read_text()
          and '"a"' in (agent.directory / "state/registry.json").read_text())
    agent.process.kill()
    server.kill()
    agent.start()
    watch = Watch(agent, "GREETER", "X")
    watch.until({"GREETER": {"g": UP}, "X": {"a": UP}})
    server.start()
    Registration(agent, instance_id="a")
    at_server(server, "x", {"a": "UP"})
    server.register("greeter", "g")
    until("it is listed", lambda: agent.eureka["held"] == 0 and agent.eureka["instances"] >= 2)
    assert all({i.instance_id for a in s.applications for i in a.instances if i.status == UP} == {"a", "g"} for s in watch.snapshots)


def test_a_dirty_timestamp_from_the_future_is_outbid(server, start):
    future = str(int(time.time() * 1000) + 86400000)
    server.register("x", "a", 9999, lastDirtyTimestamp=future)
    agent = start(server)
    Registration(agent, instance_id="a", port=9000)
    until("the new record counts", lambda: server.instances("x")["a"]["port"]["$"] == 9000)
    assert int(server.instances("x")["a"]["lastDirtyTimestamp"]) == int(future) + 1
    assert agent.metric("outbid_total") == 1 and [e["clinicwave.instance_id"] for e in agent.events("eureka-outbid")] == ["a"]
    Registration(agent, instance_id="b")  # nobody's
    at_server(server, "x", {"a": "UP", "b": "UP"})
    assert agent.metric("outbid_total") == 1


def test_registering_goes_to_the_next_server_too(server, start, ending):
    first, second = ending(Proxy(server)), ending(Proxy(server))
    first.fault = 503
    agent = start({"url": first.url, "zone": "a"}, second, zone="a")
    service = Registration(agent, instance_id="a")
    at_server(server, "x", {"a": "UP"})
    second.fault = 503
    until("nobody takes heartbeats", lambda: agent.events("eureka-unrenewed"), 60)
    until("it has left there", lambda: server.statuses("x") == {}, 60)
    first.fault = None
    at_server(server, "x", {"a": "UP"}, 60)
    first.fault = 503
    service.close()
    time.sleep(0.5)
    second.fault = None
    at_server(server, "x", {})


def test_a_refused_registration_is_told(server, start, proxy):
    proxy.only, proxy.fault = "apps/X", 400
    agent = start(proxy)
    Registration(agent, instance_id="a")
    until("health says so", lambda: "400" in agent.eureka["refusal"])
    assert agent.eureka["wanted"] == 1 and agent.eureka["registered"] == 0 and agent.events("eureka-refused")
    proxy.fault = None
    at_server(server, "x", {"a": "UP"})
    until("health is well", lambda: agent.eureka["refusal"] == "" and agent.eureka["registered"] == 1)


def test_five_hundred_services_through_one_sidecar(server, start):
    agent = start(server, **{"heartbeat-interval": "3s", "lease-duration": "10s"})
    services = [Registration(agent, instance_id=f"s{n}", port=10000 + n) for n in range(500)]
    until("all are registered", lambda: agent.eureka["registered"] == 500, 60)
    assert len(server.statuses("x")) == 500
    good = agent.metric("heartbeats_total", outcome="good")
    until("each has had a heartbeat", lambda: agent.metric("heartbeats_total", outcome="good") >= good + 500, 60)
    assert len(server.statuses("x")) == 500 and len(services) == 500


def test_a_socket_is_no_business_of_eureka(server, start, directory):
    agent = start(server)
    Registration(agent, instance_id="s", port=0, address="", socket_path=str(directory / "s.sock"))
    Registration(agent, instance_id="a")
    at_server(server, "x", {"a": "UP"})
    assert agent.eureka["wanted"] == 1
