"""npm's oidc-provider with examples/idp's configuration, as ./dev up runs it for the tenant abott."""
import json
import os
import pathlib

import httpx

from tests.support.programs import CHECKOUT, Program, free_port, listening

DEPS = pathlib.Path(os.environ.get("CW_DEPS") or CHECKOUT / ".run/deps")


BOB, PASSWORD, SECRET = "bob@abott.com", "a password of this test", "a secret of this test"


class Provider:
    def __init__(self, directory, authority, profile="auth0"):
        certificate, key = authority.issue("127.0.0.1", "localhost")
        self.profile, self.port, self.ca = profile, free_port(), authority.ca
        self.url = f"https://127.0.0.1:{self.port}/"
        (directory / "etc").mkdir(exist_ok=True)
        config = directory / "etc/idp.json"
        config.write_text(json.dumps({
            "profile": profile, "port": self.port, "host": "127.0.0.1", "issuer": self.url, "cert": str(certificate), "key": str(key), "audience": "https://api.abott.com",
            "client": {"id": "clinicwave", "secret": SECRET},
            "users": [{"username": BOB, "password": PASSWORD, "roles": ["nurse"]},
                      {"username": "eve@abott.com", "password": PASSWORD, "roles": [], "blocked": True}]}))
        self.process = Program("idp", ["node", DEPS / "idp/idp.mjs", config], directory)

    def start(self):
        self.process.start().until_ready(lambda: listening(self.port), 30)
        return self

    def token(self, **form):
        form = dict({"client_id": "clinicwave", "client_secret": SECRET}, **form)
        answer = httpx.post(self.url + "oauth/token", data=form, verify=str(self.ca), trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def stop(self):
        return self.process.stop()
