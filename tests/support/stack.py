"""The parts of ClinicWave Gate, each startable on its own, in a directory of the test's own."""
import json
import re
import signal
import subprocess
import urllib.request

import httpx

from tests.support import rpc
from tests.support.programs import Program, accepting, free_port, listening, nginx_environment, program, sanitizer_reports, write_yaml

AUDIENCE = "https://api.clinicwave.com"


def merged(base, changes):
    """BASE with CHANGES laid over it: dicts are merged, everything else is replaced."""
    result = dict(base)
    for key, value in (changes or {}).items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and isinstance(result.get(key), dict) else value
    return result


def get_json(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


class Sidecar:
    """cw-sidecar with the tenants that the test names."""

    def __init__(self, directory, tenants, **changes):
        self.directory, self.management = directory, free_port()
        self.gateway_socket, self.socket, self.admin_socket = (directory / f"{n}.sock" for n in ("gateway", "sidecar", "admin"))
        self.registry_port = free_port()
        document = {
            "sidecar": {"run-dir": str(directory), "state-dir": str(directory / "state"),
                        "management": {"address": "127.0.0.1", "port": self.management}},
            "tenants": tenants,
            "registry": {"embedded": {"address": "127.0.0.1", "port": self.registry_port, "writers": "loopback"}},
        }
        self.config = write_yaml(directory / "sidecar.yaml", merged(document, changes))
        self.process = Program("cw-sidecar", [program("sidecar/cw-sidecar"), "--config", self.config], directory)

    def start(self):
        self.process.start().until_ready(lambda: accepting(self.socket) and accepting(self.gateway_socket) and self.ready())
        return self

    def ready(self):
        return get_json(f"http://127.0.0.1:{self.management}/actuator/health/readiness")["status"] == "UP"

    def metrics(self):
        """Metrics by name and labels as Prometheus writes them."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.management}/actuator/prometheus", timeout=5).read().decode()
        return {m[1]: float(m[2]) for m in re.finditer(r"^([a-z]\S*(?:\{[^}]*\})?) (\S+)$", text, re.M)}

    def stub(self, service="clinicwave.token.v1.TokenService", socket=None):
        return rpc.Stub(rpc.channel(socket or self.socket), service)

    def validate(self, token, domain="clinicwave.localhost", **fields):
        return self.stub().Validate(token=token.encode() if isinstance(token, str) else token, domain=domain, **fields)

    def stop(self):
        return self.process.stop()


class Authsvc:
    """cw-authsvc with a database of its own, or with the one that STORE, a URL, names."""

    def __init__(self, directory, document, store=None):
        self.directory = directory
        self.socket, self.admin_socket = directory / "authsvc.sock", directory / "authsvc-admin.sock"
        self.rest, self.management = free_port(), free_port()
        self.config = write_yaml(directory / "authsvc.yaml", merged(document, {"authsvc": {
            "run-dir": str(directory), "state-dir": str(directory / "state"), "rest": {"address": "127.0.0.1", "port": self.rest},
            "management": {"port": self.management}, "store": {"url": store or f"sqlite:{directory}/state/authsvc.db"}}}))
        self.process = Program("cw-authsvc", [program("authsvc/cw-authsvc"), "--config", self.config], directory)

    def add_user(self, tenant, username, password, *roles):
        (self.directory / "state").mkdir(exist_ok=True)
        argv = [program("authsvc/cw-authsvc"), "user", "add", "--config", self.config, "--tenant", tenant, "--username", username]
        r = subprocess.run([*map(str, argv), *(["--roles", ",".join(roles)] if roles else [])], input=password + "\n", text=True, capture_output=True)
        assert r.returncode == 0, r.stderr
        return self

    def user(self, verb, tenant, username, *options, password=None):
        """`cw-authsvc user VERB`, while the service is stopped."""
        argv = [program("authsvc/cw-authsvc"), "user", verb, "--config", self.config, "--tenant", tenant, "--username", username, *options]
        return subprocess.run([str(a) for a in argv], input=password, text=True, capture_output=True)

    def start(self):
        self.process.start()
        return self.until_ready()

    def until_ready(self):
        self.process.until_ready(lambda: listening(self.rest) and accepting(self.socket))
        return self

    def stub(self, service="clinicwave.identity.v1.IdentityService"):
        return rpc.Stub(rpc.channel(self.socket), service)

    def stop(self):
        return self.process.stop()


class Answer:
    """What came back through the gateway."""

    def __init__(self, response):
        self.response, self.status, self.headers, self.text = response, response.status_code, response.headers, response.text
        self.http_version = response.http_version

    @property
    def json(self):
        return self.response.json()

    @property
    def reason(self):
        return self.json.get("reason") if "json" in self.headers.get("content-type", "") else None

    def __repr__(self):
        return f"<{self.status} {self.reason or self.text[:200]!r}>"


class Gateway:
    """Stock nginx with the module; CONFIGURATION is the text of nginx.conf."""

    def __init__(self, directory, configuration, http_port, https_port=None, ca=None, host="clinicwave.localhost"):
        self.directory, self.http_port, self.https_port, self.ca, self.host = directory, http_port, https_port, ca, host
        self.config = directory / "nginx.conf"
        self.config.write_text(configuration)
        self.log_directory = directory / "log"
        self.log_directory.mkdir(exist_ok=True)
        self.process = Program("nginx", ["/usr/sbin/nginx", "-p", directory, "-c", self.config, "-e", directory / "nginx-error.log", "-g", "daemon off;"],
                               directory, nginx_environment(directory))

    def start(self):
        self.process.start().until_ready(lambda: listening(self.http_port))
        return self

    def reload(self):
        self.process.signal(signal.SIGHUP)

    @property
    def workers(self):
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(p) for p in open(children).read().split()]

    def request(self, method, path, token=None, host=None, headers=None, https=False, http2=False, timeout=20, **kwargs):
        """One request; PATH goes out as it is written."""
        sent = dict(headers or {})
        sent.setdefault("Host", host or self.host)
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        secure = https or http2
        url = f"{'https' if secure else 'http'}://127.0.0.1:{self.https_port if secure else self.http_port}{path}"
        with httpx.Client(http2=http2, verify=str(self.ca) if self.ca else False, timeout=timeout, trust_env=False) as client:
            return Answer(client.request(method, url, headers=sent, extensions={"sni_hostname": host or self.host} if secure else {}, **kwargs))

    def get(self, path, token=None, **kwargs):
        return self.request("GET", path, token, **kwargs)

    def put(self, path, token=None, **kwargs):
        return self.request("PUT", path, token, **kwargs)

    def post(self, path, token=None, **kwargs):
        return self.request("POST", path, token, **kwargs)

    def stop(self):
        code = self.process.stop()
        reports = sanitizer_reports(self.directory)
        assert not reports, reports[:4000]
        return code


class Service:
    """examples/storage-service with the sidecar that it registers at."""

    def __init__(self, directory, document, port):
        self.port = port
        self.config = write_yaml(directory / "storage-service.yaml", document)
        self.process = Program("storage-service", [program("examples/storage-service/storage-service"), "--config", self.config], directory)

    def start(self):
        self.process.start().until_ready(lambda: listening(self.port))
        return self

    def stop(self):
        return self.process.stop()
