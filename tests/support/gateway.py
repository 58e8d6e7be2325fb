"""The edge gateway in a real nginx, and what can stand before and behind it in a test."""
import concurrent.futures
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import grpc

from tests.support import rpc
from tests.support.programs import Program, free_port, listening, program, until

STREAM = "clinicwave.token.v1.ValidateStream"


class Origins:
    """OriginService as a sidecar has it: `say(([domain, …], [origin, …]), …)` is all tenants that have any, for whoever watches.

    Another epoch is another process of the sidecar."""

    def __init__(self, epoch=1):
        self.epoch, self.generation, self.said, self.news, self.asked = epoch, 0, None, threading.Condition(), 0

    def say(self, *tenants, provisional=False):
        with self.news:
            self.generation += 1
            self.said = rpc.message("clinicwave.token.v1.WatchResponse")(
                epoch=self.epoch, generation=self.generation, provisional=provisional, tenants=[{"domains": d, "origins": o} for d, o in tenants])
            self.news.notify_all()

    def watch(self, request, context):
        self.asked += 1
        told = 0
        while context.is_active():
            with self.news:
                self.news.wait_for(lambda: self.generation > told, 0.1)
                if self.generation == told:
                    continue
                told, message = self.generation, self.said
            yield message

    def handlers(self):
        request = rpc.message("clinicwave.token.v1.WatchRequest")
        watch = grpc.unary_stream_rpc_method_handler(self.watch, request.FromString, lambda m: m.SerializeToString())
        return grpc.method_handlers_generic_handler("clinicwave.token.v1.OriginService", {"Watch": watch})


class Judge:
    """A sidecar that decides by the token's text: `judge.rule(token, …)` says how; everything else is unknown.

    It speaks clinicwave.token.v1 over grpcio, so what it reads and writes is gRPC and protobuf of others."""

    def __init__(self, path):
        self.path, self.server = path, None
        self.answers, self.seen, self.messages, self.rules = {}, [], [], {}
        self.tokens, self.delay, self.mute = {}, 0, False
        self.origins = None  # an Origins; without one this is a sidecar that knows no such service
        self.refuse("", "token_missing")

    def allow(self, token, tenant="clinicwave", subject="anna", **identity):
        self.answers[token] = {"verdict": {"decision": 1, "identity": dict(tenant=tenant, subject=subject, **identity)}}

    def refuse(self, token, reason, decision=2, required_scope="", **identity):
        self.answers[token] = {"verdict": {"decision": decision, "reason": reason, "required_scope": required_scope}}

    def undecided(self, token, cause=2, reason="keys_unavailable", retry_after_seconds=0):
        self.answers[token] = {"undecided": {"cause": cause, "reason": reason, "retry_after_seconds": retry_after_seconds}}

    def answer(self, token, **outcome):
        self.answers[token] = outcome

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.tokens = {}
        request, response = (rpc.message(f"clinicwave.token.v1.ValidateStream{n}") for n in ("Request", "Response"))

        def stream(requests, context):
            for message in requests:
                if self.mute:
                    continue
                if self.delay:
                    time.sleep(self.delay)
                yield self.judge(message)

        handler = grpc.stream_stream_rpc_method_handler(stream, request.FromString, lambda m: m.SerializeToString())
        service = grpc.method_handlers_generic_handler("clinicwave.token.v1.TokenService", {"ValidateStream": handler})
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
        self.server.add_generic_rpc_handlers((service,))
        if self.origins:
            self.server.add_generic_rpc_handlers((self.origins.handlers(),))
        assert self.server.add_insecure_port(f"unix:{self.path}") == 1
        self.server.start()
        return self

    @property
    def judged(self):
        """What was asked about tokens: an entry with an empty one only asks for the domain."""
        return [e for e in self.seen if e.WhichOneof("subject") == "digest" or e.token]

    def judge(self, message):
        self.messages.append(message)
        results = []
        for rule in message.rules:
            self.rules[rule.rule] = rule
        for entry in message.entries:
            self.seen.append(entry)
            if entry.WhichOneof("subject") == "token":
                token = entry.token.decode()
                self.tokens[hashlib.sha256(entry.token).digest()] = token
            else:
                token = self.tokens.get(entry.digest)
            if token is None:
                results.append({"id": entry.id, "undecided": {"cause": 1}})
            else:
                results.append({"id": entry.id, **self.answers.get(token, {"verdict": {"decision": 2, "reason": "signature_invalid"}})})
        return rpc.message("clinicwave.token.v1.ValidateStreamResponse")(results=results)

    def forget(self):
        self.tokens = {}

    def stop(self, grace=0):
        if self.server:
            self.server.stop(grace).wait()
            self.server = None


class Service:
    """A microservice that tells what reached it: its answer is the request, as JSON."""

    def __init__(self):
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else b""
                if self.headers.get("Transfer-Encoding"):
                    while True:
                        n = int(self.rfile.readline(), 16)
                        body += self.rfile.read(n)
                        self.rfile.readline()
                        if not n:
                            break
                seen = {"method": self.command, "path": self.path, "headers": [[k, v] for k, v in self.headers.items()],
                        "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
                service.requests.append(seen)
                status, headers, content = service.reply(seen)
                content = json.dumps(seen).encode() if content is None else content
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.requests = []
        self.reply = lambda seen: (200, {"Content-Type": "application/json"}, None)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def start(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Answer:
    """What came back: status, headers by lower-case name (repeated ones joined by a comma), body."""

    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = {}
        for name, value in headers:
            key = name.lower()
            self.headers[key] = f"{self.headers[key]}, {value}" if key in self.headers else value

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        return self.json["reason"]

    def reached(self, name):
        """Values of the header NAME that the service saw."""
        return [v for k, v in self.json["headers"] if k.lower() == name.lower()]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


class Gateway:
    """nginx with the module, its configuration given by the test: HTTP, SERVER and MAIN are inserted as they are."""

    def __init__(self, directory, server="", http="", main="", sidecar=None, listen="", workers=1, certificate=None):
        self.directory, self.port, self.tls_port = directory, free_port(), free_port()
        self.module = program("edge-gateway/ngx_http_cw_module.so")
        self.sidecar = sidecar or directory / "gateway.sock"
        tls = ""
        if certificate:
            tls = f"listen 127.0.0.1:{self.tls_port} ssl http2; ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]};"
        self.text = f"""
{"user root;" if os.geteuid() == 0 else ""}
worker_processes {workers};
daemon off;
pid {directory}/nginx.pid;
error_log stderr info;
load_module {self.module};
{main}
events {{ worker_connections 1024; }}
http {{
    log_format access escape=json '{{"status":$status,"reason":"$cw_reason","decision":"$cw_decision","tenant":"$cw_tenant",'
        '"subject":"$cw_subject","cached":"$cw_cached","us":"$cw_validation_us","uri":"$request_uri","trace":"$cw_trace_id"}}';
    access_log {directory}/access.log access;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    large_client_header_buffers 4 32k;
    cw_sidecar unix:{self.sidecar};
    {http}
    server {{
        listen 127.0.0.1:{self.port};
        {tls}
        server_name _;
        {listen}
        {server}
    }}
}}
"""
        self.config = directory / "nginx.conf"
        self.config.write_text(self.text)
        # Stock nginx is not instrumented: the sanitizer comes first by preload, and tells by file, since nginx replaces a dead worker.
        self.environment = {}
        if os.environ.get("CW_PRELOAD"):
            suppressions = directory / "suppressions"
            suppressions.write_text("leak:ngx_alloc\nleak:ngx_memalign\n")
            options = f"log_path={directory}/sanitizer:detect_leaks=1:halt_on_error=1"
            self.environment = {"LD_PRELOAD": os.environ["CW_PRELOAD"], "ASAN_OPTIONS": options, "TSAN_OPTIONS": options,
                                "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0"}
        self.process = Program("nginx", ["/usr/sbin/nginx", "-p", directory, "-e", "stderr", "-c", self.config], directory, self.environment)

    def start(self):
        self.process.start().until_ready(lambda: listening(self.port) and self.workers())
        return self

    def check(self):
        """What nginx -t says: (accepted, text)."""
        r = subprocess.run(["/usr/sbin/nginx", "-p", self.directory, "-e", "stderr", "-t", "-c", self.config], capture_output=True, text=True,
                           env=dict(os.environ, **self.environment))
        return r.returncode == 0, r.stderr

    def stop(self):
        code = self.process.stop()
        log = self.process.log()
        bad = [l for l in log.splitlines() if re.search(r"\[(alert|emerg|crit)\]|exited on signal|AddressSanitizer|runtime error", l)]
        bad = [l for l in bad if not any(re.search(a, l) for a in self.expected)]
        bad += [p.read_text() for p in self.directory.glob("sanitizer.*")]
        assert not bad, "\n".join(bad)
        return code

    expected = ()

    def workers(self):
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        return [int(p) for p in children]

    def reload(self):
        before = set(self.workers())
        self.process.signal(1)
        until("new workers", lambda: set(self.workers()) - before)

    def access_log(self):
        path = self.directory / "access.log"
        return [json.loads(l) for l in path.read_text().splitlines()] if path.exists() else []

    def logged(self, n):
        """The access log's last N lines, when they are there."""
        return until(f"{n} lines in the access log", lambda: len(self.access_log()) >= n and self.access_log()[-n:])

    def get(self, path, token=None, method="GET", headers=None, body=None, host="clinicwave.localhost", timeout=10):
        sent = {"Host": host}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        sent.update(headers or {})
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                for v in value if isinstance(value, list) else [value]:
                    c.putheader(name, v)
            if body is not None:
                c.putheader("Content-Length", str(len(body)))
            c.endheaders(body)
            r = c.getresponse()
            return Answer(r.status, r.getheaders(), r.read())
        finally:
            c.close()

    def raw(self, request, timeout=10, close=False):
        """Sends bytes, returns all bytes of the answer; the server must close."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as s:
            s.sendall(request)
            if close:
                return b""
            out = b""
            with contextlib.suppress(ConnectionResetError):
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    out += piece
            return out

    def metrics(self, path="/metrics"):
        text = self.get(path).body.decode()
        return {m[1]: float(m[2]) for m in re.finditer(r"^([a-z]\S*(?:\{[^}]*\})?) (\S+)$", text, re.M)}


def parse(raw):
    """One HTTP/1 response out of bytes."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    return Answer(int(lines[0].split()[1]), [l.split(": ", 1) for l in lines[1:]], body)


class Load:
    """Requests without a pause; every answer must be good. NAMES are the texts that came back."""

    def __init__(self, gateway, path="/g/"):
        self.gateway, self.path, self.bad, self.names, self.good, self.going = gateway, path, [], set(), 0, True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.going:
            try:
                answer = self.gateway.get(self.path)
                if answer.status == 200:
                    self.names.add(answer.body.decode())
                    self.good += 1
                else:
                    self.bad.append((time.time(), answer.status, answer.body[:200]))
            except OSError as e:
                self.bad.append((time.time(), repr(e)))
            time.sleep(0.01)

    def until_served_by(self, *names, seconds=30):
        """From now on, by them."""
        self.names = set()
        until(f"{names} serve", lambda: self.names >= set(names), seconds)

    def of_the_next(self, n, seconds=30):
        """Who serves them."""
        self.names, goal = set(), self.good + n
        until(f"{n} requests", lambda: self.good >= goal, seconds)
        return set(self.names)

    def stop(self):
        self.going = False
        self.thread.join(30)
