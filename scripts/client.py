"""A small HTTP client for the demo's own doors: it trusts the demo's CA only and finds *.localhost on loopback."""
import http.client
import json
import socket
import ssl


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def reason(self):
        value = self.json
        return value.get("reason", "") if isinstance(value, dict) else ""


class _Https(http.client.HTTPSConnection):
    """The name goes into SNI, Host and the certificate's check; the connection goes to loopback."""

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self._context.wrap_socket(raw, server_hostname=self.host)


def request(method, url, headers=None, body=None, ca=None, timeout=20):
    """One request to https://NAME.localhost:PORT/PATH or http://127.0.0.1:PORT/PATH."""
    scheme, rest = url.split("://", 1)
    authority, _, path = rest.partition("/")
    host, _, port = authority.partition(":")
    if scheme == "https":
        connection = _Https(host, int(port), context=ssl.create_default_context(cafile=str(ca)), timeout=timeout)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=timeout)
    sent = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    if scheme == "http":
        sent.setdefault("Host", authority)
    try:
        connection.request(method, "/" + path, body=body, headers=sent)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()
