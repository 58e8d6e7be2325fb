"""Two real Eureka servers that are each other's peers, one of them frozen, killed, restarted empty or slow: no request fails that another
instance could have served, and no instance leaves the balancer because a registry did."""
import pytest

from tests.support.discovery import UP, Registration, Watch
from tests.support.eureka import Agent, Answering, Proxy, Spring
from tests.support.gateway import Gateway, Load
from tests.support.programs import free_port, until

PEERED = {"eureka.client.register-with-eureka": "true", "eureka.client.fetch-registry": "true", "eureka.client.registry-fetch-interval-seconds": "1",
          "eureka.client.initial-instance-info-replication-interval-seconds": "1", "eureka.server.registry-sync-retries": "0",
          "eureka.server.peer-eureka-nodes-update-interval-ms": "1000"}


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    """A and B, started at once: two names of loopback."""
    directory = tmp_path_factory.mktemp("peers")
    ports = free_port(), free_port()
    a = Spring(directory, host="127.0.0.1", port=ports[0], peer=f"http://localhost:{ports[1]}/eureka/", **PEERED).launch()
    b = Spring(directory, host="localhost", port=ports[1], peer=f"http://127.0.0.1:{ports[0]}/eureka/", **PEERED).launch()
    a.ready(), b.ready()
    yield a, b
    for server in (a, b):
        server.stop()


@pytest.fixture
def nobody_is_kept():
    yield
    Registration.kept.clear()


def test_bad_days_of_two_peers(peers, directory, ending, nobody_is_kept):
    a, b = peers
    slow = ending(Proxy(b))
    one, two = ending(Answering("one")), ending(Answering("two"))
    a.register("greeter", "one", one.server_port)
    a.register("greeter", "two", two.server_port)
    until("the peer has them", lambda: b.statuses("greeter") == {"one": "UP", "two": "UP"}, 60)
    agent = ending(Agent(directory / "agent", [{"url": a.url, "zone": "a"}, {"url": slow.url, "zone": "b"}],
                         {"zone": "a", "hold": "30s", "lease-duration": "20s"}).start())
    Registration(agent, application="mine", instance_id="m")
    watch = Watch(agent, "GREETER")
    watch.until({"GREETER": {"one": UP, "two": UP}})
    gateway = ending(Gateway(directory, "location /g/ { cw_auth off; cw_strip_prefix /g; proxy_pass http://g; proxy_next_upstream error timeout; }",
                             "upstream g { cw_application GREETER; keepalive 4; }", sidecar=agent.gateway_socket).start())
    until("it is reached", lambda: gateway.get("/g/").status == 200, 60)
    load = ending(Load(gateway))
    until("both serve", lambda: load.names == {"one", "two"}, 60)

    # A is frozen: B is asked, by reader and heartbeats
    a.process.pause()
    until("B is asked", lambda: agent.eureka["server"] == f"http://127.0.0.1:{slow.port}" and agent.eureka["error"] == "", 60)
    assert agent.events("eureka-failover")
    b.register("greeter", "three", two.server_port)
    watch.until({"GREETER": {"one": UP, "two": UP, "three": UP}}, 60)
    beats = agent.metric("heartbeats_total", outcome="good")
    until("heartbeats go on", lambda: agent.metric("heartbeats_total", outcome="good") > beats + 2, 60)
    # and B lies behind a slow line
    slow.fault, seen = "slow", len(slow.seen)
    until("it is read all the same", lambda: len(slow.seen) > seen + 5 and agent.metric("age_seconds") <= 1, 60)
    slow.fault = None
    a.process.go_on()

    # B is killed: back to A, or what is known
    b.process.kill()
    until("A is asked", lambda: agent.eureka["server"] == a.url[:-len("/eureka/")] and agent.eureka["error"] == "", 60)

    # both are gone, and one comes back empty: the instances are held until they register again
    a.process.kill()
    until("health says so", lambda: agent.eureka["error"] != "" and agent.eureka["late"], 60)
    b.start()
    until("B is read", lambda: agent.eureka["error"] == "", 60)
    assert {"one", "two"} <= watch.state()["GREETER"].keys()
    b.register("greeter", "one", one.server_port)
    b.register("greeter", "two", two.server_port)
    until("the sidecar's own service is back", lambda: b.statuses("mine") == {"m": "UP"}, 60)
    until("one and two are listed again", lambda: agent.eureka["held"] <= 2, 60)
    load.stop()
    assert not load.bad, load.bad[:5]
    for snapshot in watch.snapshots[1:]:
        told = {i.instance_id for application in snapshot.applications for i in application.instances if i.status == UP}
        assert {"one", "two"} <= told or snapshot.provisional, snapshot
