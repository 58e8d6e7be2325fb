"""A scripted OpenID issuer: discovery and keys over HTTPS (or HTTP), and misbehaviour on demand."""
import http.server
import json
import ssl
import threading
import time

from tests.support import tokens


class Issuer:
    """`issuer.token(...)` mints; `issuer.answer_keys_with(...)` scripts what the key endpoint says; `issuer.fetches` counts."""

    def __init__(self, certificate=None, audience="https://api.clinicwave.com", algorithms=("RS256",), host="127.0.0.1"):
        self.keys = [tokens.Key(a) for a in algorithms]
        self.audience, self.fetches, self.discoveries = audience, 0, 0
        self.script, self.max_age, self.released = None, 600, threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.serve(self)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # clients go away in these tests

        self.server = Server((host, 0), Handler)
        self.port = self.server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if certificate else 'http'}://{host}:{self.port}/"
        self.jwks_uri = self.url + "jwks.json"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def serve(self, request):
        if request.path == "/.well-known/openid-configuration":
            self.discoveries += 1
            return self.send(request, {"issuer": self.url, "jwks_uri": self.jwks_uri})
        if request.path == "/jwks.json":
            self.fetches += 1
            if self.script:
                return self.script(request)
            return self.send(request, self.jwks(), headers={"Cache-Control": f"max-age={self.max_age}"})
        return self.send(request, {"error": "not_found"}, 404)

    def jwks(self):
        return {"keys": [k.jwk() for k in self.keys]}

    @staticmethod
    def send(request, body, status=200, content_type="application/json", headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Type", content_type)
        request.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    def answer_keys_with(self, body=b"", status=200, content_type="application/json", **headers):
        self.script = lambda request: self.send(request, body, status, content_type, headers)

    def hang_on_keys(self):
        """Takes the request and says nothing until `answer_normally`."""
        self.released.clear()
        self.script = lambda request: self.released.wait(60)

    def hold_keys(self):
        """Takes the request and answers it at `answer_normally`."""
        self.released.clear()

        def script(request):
            self.released.wait(60)
            self.send(request, self.jwks())
        self.script = script

    def answer_normally(self):
        self.script = None
        self.released.set()

    def rotate(self, alg="RS256", keep_old=True):
        self.keys = [tokens.Key(alg)] + (self.keys if keep_old else [])
        return self.keys[0]

    def claims(self, **changes):
        return tokens.claims(self.url, self.audience, **changes)

    def token(self, key=None, header=None, **changes):
        """An access token; keyword arguments change claims, None removes one."""
        return tokens.mint(key or self.keys[0], self.claims(**changes), **(header or {}))

    def expired(self, **changes):
        now = int(time.time())
        return self.token(iat=now - 7200, exp=now - 3600, **changes)

    def stop(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
