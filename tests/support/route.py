"""The whole route as ./dev up starts it: the same configuration from deploy/demo, in a directory of the test's own."""
import os
import pwd
import re
import secrets
import subprocess

from tests.support import rpc
from tests.support.programs import Program, accepting, free_port, listening, program, source, until
from tests.support.stack import Gateway, get_json

PORTS = ["HTTP", "HTTPS", "GATEWAY", "IDP", "AUTHSVC_REST", "AUTHSVC", "SIDECAR", "REGISTRY", "STORAGE", "STORAGE_MANAGEMENT"]


class Route:
    """`route.login("anna@clinicwave.com")`, `route.gateway.get("/api/storage/files", token)`; each part can be stopped and started."""

    def __init__(self, directory, authority, idp_port=None, idp_secret="nobody asks for it"):
        self.directory, self.authority = directory, authority
        self.ports = {name: free_port() for name in PORTS}
        if idp_port:
            self.ports["IDP"] = idp_port
        for name in ("bin", "log", "cache", "state/sidecar", "state/authsvc", "state/storage", "tls", "etc"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        certificate, key = authority.issue("clinicwave.localhost", "abott.localhost", "127.0.0.1")
        (directory / "tls/gateway.pem").write_bytes(certificate.read_bytes())
        (directory / "tls/gateway.key").write_bytes(key.read_bytes())
        (directory / "bin/ngx_http_cw_module.so").symlink_to(program("edge-gateway/ngx_http_cw_module.so").resolve())
        (directory / "ca.pem").write_bytes(authority.ca.read_bytes())
        (directory / "etc/idp-client-secret").write_text(idp_secret)
        self.password = secrets.token_urlsafe(12)
        root = os.getuid() == 0
        user = pwd.getpwnam("www-data") if root else pwd.getpwuid(os.getuid())
        values = {"NAME": "@NAME@", "RUN": directory, "UID": os.getuid(), "GATEWAY_UID": user.pw_uid, "GATEWAY_GROUP": user.pw_gid,
                  "USER_LINE": "user www-data;" if root else "", **{f"PORT_{n}": p for n, p in self.ports.items()}}
        self.config = {}
        for name in ("sidecar.yaml", "authsvc.yaml", "storage-service.yaml", "nginx.conf"):
            text = source(f"deploy/demo/{name}").read_text()
            self.config[name] = directory / "etc" / name
            self.config[name].write_text(re.sub(r"@([A-Z_]+)@", lambda m: str(values[m.group(1)]), text))
        self.sidecar = self._program("cw-sidecar", "sidecar/cw-sidecar", "sidecar.yaml")
        self.authsvc = self._program("cw-authsvc", "authsvc/cw-authsvc", "authsvc.yaml")
        self.storage = self._program("storage-service", "examples/storage-service/storage-service", "storage-service.yaml")
        self.gateway = Gateway(directory, self.config["nginx.conf"].read_text(), self.ports["HTTP"], self.ports["HTTPS"], authority.ca)

    def _program(self, name, path, config):
        return Program(name, [program(path), "--config", self.config[config]], self.directory / "log")

    def ready(self, port_name):
        return get_json(f"http://127.0.0.1:{self.ports[port_name]}/actuator/health/readiness")["status"] == "UP"

    def add_user(self, username, *roles, tenant="clinicwave"):
        argv = [program("authsvc/cw-authsvc"), "user", "add", "--config", self.config["authsvc.yaml"], "--tenant", tenant, "--username", username]
        r = subprocess.run([*map(str, argv), *(["--roles", ",".join(roles)] if roles else [])], input=self.password + "\n", text=True,
                           capture_output=True)
        assert r.returncode == 0, r.stderr

    def start(self):
        self.add_user("anna@clinicwave.com", "doctor")
        self.sidecar.start().until_ready(lambda: accepting(self.directory / "sidecar.sock") and self.ready("SIDECAR"))
        self.authsvc.start().until_ready(lambda: listening(self.ports["AUTHSVC_REST"]) and self.ready("AUTHSVC"))
        self.storage.start().until_ready(lambda: listening(self.ports["STORAGE"]))
        self.gateway.start()
        until("the gateway can decide", lambda: self.gateway.get("/healthz").status == 200)
        until("the sidecar knows authsvc's tenant", lambda: self.gateway.get("/api/storage/files", "no.token.yet").status == 401)
        return self

    def login(self, username="anna@clinicwave.com", password=None, **kwargs):
        return self.gateway.request("POST", "/auth/v1/login", https=True, json={"username": username, "password": password or self.password}, **kwargs)

    def token(self, username="anna@clinicwave.com"):
        """An access token that the sidecar knows the key of."""
        answer = self.login(username)
        assert answer.status == 200, answer
        token = answer.json["access_token"]
        until("the service is found", lambda: self.gateway.get("/api/storage/files", token, https=True).status == 200)
        return token

    def stub(self, service, socket):
        return rpc.Stub(rpc.channel(self.directory / socket), service)

    def stop(self):
        errors = []
        for part in (self.gateway, self.storage, self.authsvc, self.sidecar):
            try:
                part.stop()
            except AssertionError as e:
                errors.append(str(e))
        assert not errors, "\n".join(errors)
