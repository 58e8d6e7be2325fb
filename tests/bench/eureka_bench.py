"""A Eureka registry of 10 000 instances at one sidecar: memory, what a poll costs (nothing new, one change, a hundred, the whole registry; and the
pollers that serve verdicts), how long a change takes from the server's answer to a gateway's stream, and 500 services of one host."""
# build: //sidecar:cw-sidecar
import gzip
import http.server
import json
import os
import pathlib
import shutil
import statistics
import tempfile
import threading
import time

from tests.bench.measure import QUICK, duration, report, runs, say
from tests.support.discovery import Registration, Watch
from tests.support.eureka import Agent, instance
from tests.support.programs import until

INSTANCES = 1_000 if QUICK else 10_000
PER_APPLICATION = 20
SERVICES = 50 if QUICK else 500
# What is accepted on one core of the build machine.
ONE_CHANGE_MS, HUNDRED_CHANGES_MS, POLLERS_MS, BALANCER_MS = 5, 15, 0.5, 100


class Server:
    """Answers with documents that are ready made, as a server's response cache does; `changes` is the delta of the moment."""

    def __init__(self):
        self.registry, self.changes, self.counts, self.polls, self.answered = {}, [], 0, 0, 0.0
        self.documents = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.end_headers()

            def do_GET(self):
                if self.path.count("/") > 3:  # one instance
                    self.send_error(404)
                    return
                body = outer.document("delta" in self.path)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                outer.polls, outer.answered = outer.polls + 1, time.monotonic()

            def log_message(self, *args):
                pass
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/eureka/"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def fill(self, n):
        for i in range(n):
            self.put(i, 1)
        self.changes = []
        self.render()

    def put(self, i, version):
        """The i-th instance as it is after that many changes."""
        app = f"SERVICE-{i // PER_APPLICATION}"
        entry = instance(app, f"host-{i:05}.example.internal:{app.lower()}:8080", 8080, hostName=f"host-{i:05}.example.internal",
                         ipAddr=f"192.0.2.{i % 250 + 1}", metadata={"zone": f"eu-1{'abc'[i % 3]}", "weight": str(version % 9 + 1), "management.port": "9090"},
                         homePageUrl=f"http://host-{i:05}.example.internal:8080/", statusPageUrl=f"http://host-{i:05}.example.internal:9090/actuator/info",
                         healthCheckUrl=f"http://host-{i:05}.example.internal:9090/actuator/health", lastUpdatedTimestamp=str(1_764_000_000_000 + version),
                         lastDirtyTimestamp=str(1_764_000_000_000 + version), actionType="ADDED")
        self.registry.setdefault(app, {})[i] = entry
        self.changes.append((app, entry))

    def render(self):
        total = sum(len(a) for a in self.registry.values())
        delta = {}
        for app, entry in self.changes:
            delta.setdefault(app, []).append(entry)
        for name, apps in (("delta", delta), ("full", {a: list(i.values()) for a, i in self.registry.items()})):
            if name == "full" and self.changes and "full" in self.documents:
                continue  # nobody asks for it between changes
            text = json.dumps({"applications": {"versions__delta": "1", "apps__hashcode": f"UP_{total}_" if total else "",
                                                "application": [{"name": a, "instance": i} for a, i in apps.items()]}}).encode()
            self.documents[name] = gzip.compress(text, 1)
            if name == "full":
                self.size = len(text)

    def document(self, delta):
        return self.documents["delta" if delta else "full"]

    def pass_polls(self, n):
        goal = self.polls + n
        until(f"{n} polls", lambda: self.polls >= goal, 120)


def memory(agent):
    fields = dict(line.split(":", 1) for line in open(f"/proc/{agent.process.pid}/status") if line.startswith("Vm"))
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024


def cpu_ms(agent):
    """CPU milliseconds by thread: those that read the registry, and all others."""
    spent = {True: 0.0, False: 0.0}
    for task in pathlib.Path(f"/proc/{agent.process.pid}/task").iterdir():
        reads = (task / "comm").read_text().strip() in ("registry", "http-client")
        spent[reads] += int((task / "schedstat").read_text().split()[0]) / 1e6
    return spent


def cost(agent, server, polls, change=lambda: None):
    """CPU milliseconds of the sidecar for each poll: of the threads that read, and of the others."""
    server.pass_polls(1)
    before = cpu_ms(agent)
    for _ in range(polls):
        change()
        server.pass_polls(1)
    time.sleep(0.2)  # the last one is told
    after = cpu_ms(agent)
    return [(after[reads] - before[reads]) / polls for reads in (True, False)]


def many(directory, server):
    """Services of one host: memory of each, CPU of each heartbeat."""
    agent = Agent(directory / "many", [server.url], {"fetch": False, "heartbeat-interval": "2s", "lease-duration": "60s", "timeout": "10s"}).start()
    before, _ = memory(agent)
    for n in range(SERVICES):
        Registration(agent, instance_id=f"s{n}", port=10000 + n)
    until("all are registered", lambda: agent.eureka["registered"] == SERVICES, 120)
    after, _ = memory(agent)
    beats = agent.metric("heartbeats_total", outcome="good")
    spent = sum(cpu_ms(agent).values())
    until("each has beaten some times", lambda: agent.metric("heartbeats_total", outcome="good") >= beats + 3 * SERVICES, 120)
    beats, spent = agent.metric("heartbeats_total", outcome="good") - beats, sum(cpu_ms(agent).values()) - spent
    Registration.kept.clear()
    agent.stop()
    report("eureka", f"{SERVICES}-services-memory", after - before, "", 0, "MiB", 1, ratio=0)
    report("eureka", f"{SERVICES}-services-beat", 1000 * spent / beats, "", 0, "CPU us a heartbeat", int(beats), ratio=0)


def main(directory):
    server = Server()
    server.render()
    settings = {"poll-interval": "500ms", "timeout": "10s", "max-instances": 20000}
    agent = Agent(directory / "agent", [server.url], settings).start()
    until("an empty registry is read", lambda: agent.eureka["ageSeconds"] >= 0)
    empty, _ = memory(agent)
    server.fill(INSTANCES)
    begun = time.monotonic()
    until("all are there", lambda: agent.eureka["instances"] == INSTANCES, 60)
    say(f"  {INSTANCES} instances of {INSTANCES // PER_APPLICATION} applications, {server.size / 2**20:.1f} MiB of JSON; known after {time.monotonic() - begun:.1f} s")
    time.sleep(2)
    full, peak = memory(agent)
    text = server.size / 2**20
    report("eureka", "memory", full - empty, "its JSON text", text, "MiB", 1, ratio=(full - empty) / text)
    report("eureka", "memory-peak", peak - empty, "its JSON text", text, "MiB", 1, ratio=(peak - empty) / text)

    def gateway():
        """A stream as a gateway's worker has one."""
        watch = Watch(agent, "SERVICE-0")
        until("the gateway has them", lambda: watch.latest and len(watch.latest.applications[0].instances) == PER_APPLICATION)
        return watch
    version = [1]

    def change(n):
        def apply():
            version[0] += 1
            server.changes = []
            for i in range(n):
                server.put(i * INSTANCES // n, version[0])
            server.render()
        return apply
    polls = runs(30)
    server.changes = []
    server.render()
    watch = gateway()
    nothing, _ = cost(agent, server, polls)
    one, pollers = cost(agent, server, polls, change(1))
    hundred, _ = cost(agent, server, polls, change(100))
    watch, times = gateway(), []
    for _ in range(runs(20)):
        told = len(watch.snapshots)
        change(1)()
        until("the gateway is told", lambda: len(watch.snapshots) > told, 30)
        times.append((time.monotonic() - server.answered) * 1000)
    agent.stop()
    many(directory, server)

    whole = Agent(directory / "whole", [server.url], dict(settings, delta=False)).start()
    until("all are there", lambda: whole.eureka["instances"] == INSTANCES, 60)
    everything, _ = cost(whole, server, max(polls // 3, 1))
    whole.stop()
    report("eureka", "poll-nothing-new", nothing, "whole registry", everything, "CPU ms a poll", polls, ratio=nothing / everything)
    report("eureka", "poll-one-change", one, "whole registry", everything, "CPU ms a poll", polls, ratio=one / everything)
    report("eureka", "poll-100-changes", hundred, "whole registry", everything, "CPU ms a poll", polls, ratio=hundred / everything)
    for case, ours, accepted in (("one-change", one, ONE_CHANGE_MS), ("100-changes", hundred, HUNDRED_CHANGES_MS), ("one-change-pollers", pollers, POLLERS_MS)):
        report("eureka", case, ours, "acceptance", accepted, "CPU ms a poll", polls, ratio=ours / accepted)
    balancer = statistics.median(times)
    report("eureka", "to-the-balancer", balancer, "acceptance", BALANCER_MS, "ms after the answer", len(times), ratio=balancer / BALANCER_MS)
    server.http.shutdown()


path = pathlib.Path(tempfile.mkdtemp(prefix="cwb", dir="/tmp"))
try:
    main(path)
finally:
    shutil.rmtree(path, ignore_errors=True)
