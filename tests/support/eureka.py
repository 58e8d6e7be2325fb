"""Eureka servers for tests: the embedded registry, the real one, and a proxy before either that does what servers do on bad days."""
import gzip
import http.client
import http.server
import json
import os
import pathlib
import re
import ssl
import threading
import time
import urllib.error
import urllib.request

from tests.support.programs import CHECKOUT, Program, free_port, until
from tests.support.stack import Sidecar

DEPS = pathlib.Path(os.environ.get("CW_DEPS") or CHECKOUT / ".run/deps") / "eureka"
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto"]


def tenant(directory):
    """A tenant that nobody logs in to."""
    keys = directory / "jwks.json"
    keys.write_text('{"keys":[]}')
    return {"name": "clinicwave", "domains": ["clinicwave.localhost"], "audiences": ["a"],
            "issuers": [{"issuer": "https://idp.invalid/", "jwks-file": str(keys)}]}


def instance(app, id, port=9000, **changes):
    """A registration as a stock client writes it; nobody sends heartbeats for it, so its lease is long."""
    return dict({
        "instanceId": id, "hostName": "localhost", "app": app.upper(), "ipAddr": "127.0.0.1", "status": "UP", "overriddenStatus": "UNKNOWN",
        "port": {"$": port, "@enabled": "true"}, "securePort": {"$": 443, "@enabled": "false"}, "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 3600}, "metadata": {}, "vipAddress": app.lower(),
        "secureVipAddress": app.lower()}, **changes)


class Registry:
    """Any Eureka server as its clients see it."""

    port = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/eureka/"

    def call(self, method, path, body=None):
        """(status, JSON or text)"""
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Accept": "application/json", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def register(self, app, id, port=9000, **changes):
        assert self.call("POST", f"apps/{app.upper()}", {"instance": instance(app, id, port, **changes)})[0] == 204

    def beat(self, app, id):
        return self.call("PUT", f"apps/{app.upper()}/{id}")[0]

    def cancel(self, app, id):
        assert self.call("DELETE", f"apps/{app.upper()}/{id}")[0] == 200

    def override(self, app, id, status):
        assert self.call("PUT", f"apps/{app.upper()}/{id}/status?value={status}")[0] == 200

    def instances(self, app):
        """The application's instances by id."""
        status, document = self.call("GET", "apps")
        assert status == 200
        return {i.get("instanceId"): i for a in document["applications"]["application"] if a["name"] == app.upper() for i in a["instance"]}

    def statuses(self, app):
        return {id: i["status"] for id, i in self.instances(app).items()}


class Embedded(Registry):
    """The registry in a sidecar of its own."""

    def __init__(self, directory, **settings):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.sidecar = Sidecar(directory, [tenant(directory)], registry={"provisional": "0s", "max-per-user": 20000, "max-instances": 20000, **settings})
        self.port = self.sidecar.registry_port

    def start(self):
        self.sidecar.start()
        return self

    @property
    def process(self):
        return self.sidecar.process

    def kill(self):
        """Gone, and so is what it knew."""
        self.process.kill()
        (self.directory / "state/registry.json").unlink(missing_ok=True)

    def stop(self):
        return self.sidecar.stop()


class Spring(Registry):
    """The Eureka server of Spring Cloud Netflix, which scripts/deps.sh brings."""

    def __init__(self, directory, train="current", host="127.0.0.1", port=None, peer=None, **settings):
        directory.mkdir(exist_ok=True)
        self.port = port or free_port()
        self.deltas = settings.get("eureka.server.disable-delta") != "true"
        settings = {
            "server.address": "127.0.0.1", "server.port": self.port, "spring.application.name": "eureka", "spring.main.banner-mode": "off",
            "spring.main.lazy-initialization": "true", "eureka.instance.hostname": host, "eureka.client.register-with-eureka": "false",
            "eureka.client.fetch-registry": "false", "eureka.client.service-url.defaultZone": peer or self.url,
            "eureka.server.use-read-only-response-cache": "false", "eureka.server.response-cache-update-interval-ms": "500",
            # a change that comes while its cache is being filled would stay unseen for 180 s (docs/EUREKA.md)
            "eureka.server.response-cache-auto-expiration-in-seconds": "2",
            "eureka.server.eviction-interval-timer-in-ms": "1000", "eureka.server.enable-self-preservation": "false",
            "eureka.server.peer-node-read-timeout-ms": "1000", "eureka.server.peer-node-connect-timeout-ms": "500", **settings}
        jar = DEPS / f"registry-{train}.jar"
        self.process = Program(f"eureka-{self.port}", [*JAVA, "-jar", jar, *(f"--{k}={v}" for k, v in settings.items())], directory)

    def launch(self):
        """Started, and not waited for."""
        self.process.start()
        return self

    def start(self):
        return self.launch().ready()

    def ready(self):
        self.process.until_ready(lambda: self.call("GET", "apps")[0] == 200, 300)  # a JVM on a busy machine
        until(f"{self.process.name} is warm", self.warm, 120)
        return self

    def warm(self):
        """The first request of each kind takes seconds, longer than the timeouts of the tests. Each server has an instance of its own for it:
        a peer that is warmed at the same time tells this one what was done to its own."""
        id = f"warm-{self.port}"
        for _ in range(2):
            self.register("warm", id)
            answered = [self.beat("warm", id), self.call("GET", f"apps/WARM/{id}")[0], self.call("GET", "apps/delta")[0]]
            self.override("warm", id, "OUT_OF_SERVICE")
            self.cancel("warm", id)
        return answered == [200, 200, 200 if self.deltas else 403]

    def kill(self):
        self.process.kill()

    def stop(self):
        return self.process.stop(30)


class Proxy(Registry):
    """Passes requests on to a registry, unless `fault` says otherwise."""

    def __init__(self, upstream, tls=None, path="/eureka/"):
        self.upstream, self.path = upstream, path
        self.fault = None       # see answer()
        self.only = ""          # paths with this in them
        self.rewrite = None     # text of a good answer to another text
        self.compress = False   # good answers, by gzip
        self.seen = []          # (method, path, headers)
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                outer.seen.append((self.command, self.path, self.headers))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    outer.answer(self, body)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = handle_one

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *args):
                pass  # clients go away

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reply(self, handler, status, body=b"", kind="application/json", **headers):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if body:
            handler.send_header("Content-Type", kind)
        if status != 204:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def answer(self, handler, body):
        fault = self.fault if self.only in handler.path else None
        if fault == "hang":
            self.released.wait(60)
            handler.close_connection = True
        elif isinstance(fault, int):
            self.reply(handler, fault, b'{"timestamp":1,"status":%d,"error":"x"}' % fault)
        elif fault == "redirect":
            self.reply(handler, 302, Location=self.upstream.url)
        elif fault == "html":
            self.reply(handler, 200, b"<!DOCTYPE html><html><body>It works!</body></html>", "text/html")
        elif fault == "xml":
            self.reply(handler, 200, b"<applications><versions__delta>1</versions__delta></applications>", "application/xml")
        elif fault == "nonsense":
            self.reply(handler, 200, b'{"timestamp":1,"status":200}')
        elif fault == "reset":
            handler.close_connection = True
        else:
            self.forward(handler, body, fault)

    def forward(self, handler, body, fault):
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream.port, timeout=20)
        headers = {k: v for k, v in handler.headers.items() if k.lower() in ("accept", "content-type", "accept-encoding")}
        connection.request(handler.command, "/eureka/" + handler.path.removeprefix(self.path), body or None, headers)
        answer = connection.getresponse()
        text, status, encoding = answer.read(), answer.status, answer.getheader("Content-Encoding")
        connection.close()
        if self.rewrite and self.only in handler.path and handler.command == "GET" and status == 200:
            plain = gzip.decompress(text) if encoding == "gzip" else text
            text, encoding = self.rewrite(plain.decode()).encode(), None
        if self.compress and status == 200 and not encoding:
            assert "gzip" in headers.get("Accept-Encoding", "")
            text, encoding = gzip.compress(text), "gzip"
        extra = {"Content_Encoding": encoding} if encoding else {}
        if fault == "slow":
            time.sleep(0.3)
        if fault == "half":
            text = text[:len(text) // 2]
        if fault == "cut":  # promised more than came
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(text)))
            handler.end_headers()
            handler.wfile.write(text[:len(text) // 2])
            handler.close_connection = True
            return
        self.reply(handler, status, text, answer.getheader("Content-Type") or "application/json", **extra)

    def stop(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class Answering(http.server.ThreadingHTTPServer):
    """A service that says its name."""

    daemon_threads = True

    def __init__(self, name):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *args):
                pass
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class Agent(Sidecar):
    """A sidecar whose registry is a Eureka server."""

    FAST = {"poll-interval": "300ms", "heartbeat-interval": "500ms", "lease-duration": "3s", "timeout": "2s", "connect-timeout": "1s",
            "instance": {"address": "127.0.0.1", "host-name": "localhost"}}

    def __init__(self, directory, servers, eureka=None, **registry):
        directory.mkdir(exist_ok=True)
        servers = [s if isinstance(s, dict) else {"url": s if isinstance(s, str) else s.url} for s in servers]
        super().__init__(directory, [tenant(directory)], registry={
            "eureka": {**self.FAST, "servers": servers, **(eureka or {})}, "allow": ["127.0.0.0/8", "192.0.2.0/24"], "management-ports": "9082",
            "provisional": "1s", "grace-period": "1s", "register": [{"uid": str(os.getuid()), "applications": ["*"]}], **registry})

    @property
    def eureka(self):
        """What health says about it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.management}/actuator/health", timeout=5) as answer:
            return json.load(answer)["components"]["registry"]["details"]["eureka"]

    def metric(self, name, **labels):
        """The sum over the series that have these labels."""
        return sum(v for k, v in self.metrics().items() if re.match(rf"cw_sidecar_eureka_{name}(\{{|$)", k)
                   and all(f'{label}="{value}"' in k for label, value in labels.items()))

    def events(self, action):
        return [e for e in (json.loads(l) for l in self.process.log().splitlines() if l.startswith("{")) if e.get("event.action") == action]


def server_tls(authority, client_certificates=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    if client_certificates:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca)
    return context


def settled(agent, application, statuses, seconds=60):
    """Waits until the agent knows the application so."""
    from tests.support.discovery import lookup
    names = {1: "UP", 2: "DOWN", 3: "STARTING", 4: "OUT_OF_SERVICE"}

    def seen():
        found = lookup(agent, application).applications
        return {i.instance_id: names[i.status] for a in found for i in a.instances} == statuses
    until(f"{application} is {statuses}", seen, seconds)
