"""Static instances whose health is asked for, and the gateway as one of them: at Eureka they are services of this host."""
import http.server
import json
import signal
import threading

import pytest
import yaml

from tests.support.discovery import DOWN, OUT_OF_SERVICE, STARTING, UP, Watch
from tests.support.eureka import Agent, Embedded, Proxy
from tests.support.gateway import Gateway
from tests.support.programs import free_port, until, write_yaml


class Health(http.server.ThreadingHTTPServer):
    """Answers `status`; None: not at all."""

    daemon_threads = True
    status = 200
    hanging = 0  # so many answers never come
    answered = 0

    def __init__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if outer.hanging > 0 or outer.status is None:
                    outer.hanging -= 1
                    outer.released.wait(60)
                    return
                outer.answered += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()


@pytest.fixture
def server(directory, ending):
    return ending(Embedded(directory / "server").start())


def static(check, **changes):
    return {"application": "gateway", "address": "127.0.0.1", "port": 8443, "secure": True, "instance-id": "g", "check": check, "register": True, **changes}


@pytest.fixture
def start(directory, server, ending):
    def begin(*instances, interval="300ms"):
        return ending(Agent(directory / "agent", [server], {"lease-duration": "300s"}, static=list(instances), **{"check-interval": interval}).start())
    return begin


def at_server(server, statuses):
    until(f"the server has {statuses}", lambda: server.statuses("gateway") == statuses, 30)


def test_its_health_is_its_status_here_and_at_eureka(server, start, ending):
    health = ending(Health())
    agent = start(static(f"http://127.0.0.1:{health.server_port}/healthz"))
    watch = Watch(agent, "GATEWAY")
    for status, here, there in ((200, UP, "UP"), (503, OUT_OF_SERVICE, "OUT_OF_SERVICE"), (204, UP, "UP"), (500, DOWN, "DOWN"), (200, UP, "UP"), (None, DOWN, "DOWN")):
        health.status = status
        watch.until({"GATEWAY": {"g": here}}, 30)
        at_server(server, {"g": there})
    told = server.instances("gateway")["g"]
    assert told["securePort"] == {"$": 8443, "@enabled": "true"} and told["vipAddress"] == "gateway" and told["homePageUrl"] == "https://localhost:8443/"
    assert len(agent.events("registry-checked")) >= 6 and agent.eureka["registered"] == 1


def test_one_answer_that_is_late_says_nothing(start, ending):
    health = ending(Health())
    agent = start(static(f"http://127.0.0.1:{health.server_port}/healthz"), interval="2s")
    watch = Watch(agent, "GATEWAY")
    watch.until({"GATEWAY": {"g": UP}}, 30)
    told, health.hanging = len(watch.snapshots), 1
    until("one hangs", lambda: health.hanging == 0)
    answered = health.answered
    until("the next is asked", lambda: health.answered > answered)
    assert all(i.status == UP for s in watch.snapshots[told:] for a in s.applications for i in a.instances)
    assert not [e for e in agent.events("registry-checked") if "DOWN" in json.dumps(e)]


def test_nobody_answers_for_it_and_nobody_else_is_told(server, start):
    """One at a public address, which plain http does not go to; one where nothing listens."""
    agent = start(static("http://192.0.2.1:9/healthz", register=False), static(f"http://127.0.0.1:{free_port()}/", **{"instance-id": "h", "register": False}))
    Watch(agent, "GATEWAY").until({"GATEWAY": {"g": DOWN, "h": DOWN}}, 30)
    assert agent.eureka["wanted"] == 0 and server.statuses("gateway") == {}


def test_before_the_first_answer_it_takes_no_requests(server, start, ending):
    health = ending(Health())
    health.status = None
    agent = start(static(f"http://127.0.0.1:{health.server_port}/healthz"), interval="60s")
    Watch(agent, "GATEWAY").until({"GATEWAY": {"g": STARTING}}, 30)
    at_server(server, {"g": "STARTING"})


def test_one_that_listens_everywhere_is_told_by_the_hosts_address(server, start, ending):
    health = ending(Health())
    agent = start(static(f"http://127.0.0.1:{health.server_port}/healthz", address="0.0.0.0"),
                  static(f"http://127.0.0.1:{health.server_port}/healthz", address="::", **{"instance-id": "h"}))
    at_server(server, {"g": "UP", "h": "UP"})
    assert {i["ipAddr"] for i in server.instances("gateway").values()} == {agent.FAST["instance"]["address"]}


def test_an_administrator_takes_it_out(server, start, ending):
    health = ending(Health())
    agent = start(static(f"http://127.0.0.1:{health.server_port}/healthz"))
    watch = Watch(agent, "GATEWAY")
    at_server(server, {"g": "UP"})
    server.override("gateway", "g", "OUT_OF_SERVICE")
    watch.until({"GATEWAY": {"g": OUT_OF_SERVICE}}, 30)


def test_what_was_drained_when_the_sidecar_died_comes_back(server, directory, ending):
    health = ending(Health())
    proxy = ending(Proxy(server))
    agent = ending(Agent(directory / "agent", [proxy], {"lease-duration": "60s"}, static=[static(f"http://127.0.0.1:{health.server_port}/healthz")],
                         **{"check-interval": "300ms"}).start())
    at_server(server, {"g": "UP"})
    health.status = 503
    at_server(server, {"g": "OUT_OF_SERVICE"})
    until("it is saved", lambda: "OUT_OF_SERVICE" in (agent.directory / "state/registry.json").read_text())
    agent.process.kill()
    health.status, proxy.fault = 200, 503  # it is UP again before the new sidecar has spoken to a server
    agent.start()
    watch = Watch(agent, "GATEWAY")
    watch.until({"GATEWAY": {"g": UP}}, 30)
    proxy.fault = None
    at_server(server, {"g": "UP"})  # the last run's override is ended


def test_a_reload_keeps_its_status_and_takes_it_out_of_eureka(server, start, ending):
    health = ending(Health())
    agent = start(static(f"http://127.0.0.1:{health.server_port}/healthz"))
    watch = Watch(agent, "GATEWAY")
    at_server(server, {"g": "UP"})
    watch.until({"GATEWAY": {"g": UP}})
    told = len(watch.snapshots)
    document = yaml.safe_load(agent.config.read_text())
    document["registry"]["static"][0]["register"] = False
    write_yaml(agent.config, document)
    agent.process.signal(signal.SIGHUP)
    at_server(server, {})
    assert all(i.status == UP for s in watch.snapshots[told:] for a in s.applications for i in a.instances)


def test_the_gateway_is_found_at_eureka_for_as_long_as_it_decides(server, start, directory, ending):
    """nginx does not register by itself; its sidecar does it for it."""
    gateway = ending(Gateway(directory, "location = /healthz { cw_auth off; cw_healthz; }", sidecar=directory / "agent/gateway.sock"))
    agent = start(static(f"http://127.0.0.1:{gateway.port}/healthz", port=gateway.port, secure=False))
    at_server(server, {"g": "DOWN"})
    gateway.start()
    at_server(server, {"g": "UP"})
    assert server.instances("gateway")["g"]["port"] == {"$": gateway.port, "@enabled": "true"}
    assert gateway.stop() == 0
    at_server(server, {"g": "DOWN"})
    gateway.start()
    at_server(server, {"g": "UP"})
    assert agent.eureka["registered"] == 1
