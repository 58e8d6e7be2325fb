"""The service with a client for it."""
import json
import urllib.error
import urllib.request

import httpx

from tests.support.programs import free_port
from tests.support.stack import Service


class Storage(Service):
    def __init__(self, directory, sidecar_socket, **changes):
        self.management = free_port()
        port = free_port()
        super().__init__(directory, {"storage": {
            "port": port, "management": {"port": self.management}, "data-dir": str(directory / "files"), "shutdown-delay": "10ms",
            "sidecar": {"socket": str(sidecar_socket)}, **changes}}, port)
        self.files = directory / "files"

    def ask(self, method, path, token=None, host="clinicwave.localhost", headers=None, **kwargs):
        sent = {"Host": host, **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", headers=sent, trust_env=False, timeout=30, **kwargs)

    def health(self, part=""):
        request = urllib.request.Request(f"http://127.0.0.1:{self.management}/actuator/health{part}")
        try:
            return json.load(urllib.request.urlopen(request, timeout=5))
        except urllib.error.HTTPError as e:
            return json.load(e)
