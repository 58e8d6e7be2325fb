"""A real Keycloak on a PostgreSQL of its own, prepared by scripts/deps.sh keycloak."""
import http.client
import json
import os
import pathlib
import shutil
import time

import httpx

from tests.support.programs import CHECKOUT, Program, free_port
from tests.support.postgresql import PostgreSQL

DEPS = pathlib.Path(os.environ.get("CW_DEPS") or CHECKOUT / ".run/deps") / "keycloak"

REALM, CLIENT, SECRET = "abott", "clinicwave", "a secret of this test"
BOB, EVE, PASSWORD = "bob@abott.com", "eve@abott.com", "bob's own passphrase"
AUDIENCE = "https://api.abott.com"


def prepared():
    return (DEPS / "bin/kc.sh").exists()


def user(name, *roles, enabled=True):
    """Who may log in; an imported user has no roles but those that are named."""
    return {"username": name, "enabled": enabled, "email": name, "emailVerified": True, "firstName": name.split("@")[0].title(), "lastName": "A",
            "realmRoles": ["offline_access", *roles], "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}]}


def realm(users, **changes):
    """With one client, whose access tokens name the audience."""
    audience = {"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
                "config": {"included.custom.audience": AUDIENCE, "access.token.claim": "true", "id.token.claim": "false"}}
    return {"realm": REALM, "enabled": True, "sslRequired": "none", "accessTokenLifespan": 300, "revokeRefreshToken": True, "refreshTokenMaxReuse": 0,
            "roles": {"realm": [{"name": "nurse"}, {"name": "auditor"}]},
            "clients": [{"clientId": CLIENT, "secret": SECRET, "enabled": True, "publicClient": False, "directAccessGrantsEnabled": True,
                         "standardFlowEnabled": False, "serviceAccountsEnabled": True, "protocolMappers": [audience]}],
            "users": users, **changes}


class Keycloak:
    """One server. Its folder is made of the prepared distribution, whose large part it only reads."""

    def __init__(self, directory, documents, *settings, java=""):
        """DOCUMENTS are realms; SETTINGS are PostgreSQL's; JAVA are further options of the virtual machine."""
        if not prepared():
            raise FileNotFoundError(f"there is no Keycloak in {DEPS}: scripts/deps.sh keycloak brings it")
        self.home, self.port, self.management = directory / "keycloak", free_port(), free_port()
        self.database = PostgreSQL(*settings, tcp_port=free_port())
        self.home.mkdir(parents=True)
        for part in ("bin", "conf"):
            shutil.copytree(DEPS / part, self.home / part)
        (self.home / "lib").symlink_to((DEPS / "lib").resolve())
        for part in ("data/import", "providers", "themes"):
            (self.home / part).mkdir(parents=True)
        for document in documents:
            (self.home / f"data/import/{document['realm']}-realm.json").write_text(json.dumps(document))
        self.base, self.realm = f"http://127.0.0.1:{self.port}", documents[-1]["realm"]
        self.url = f"{self.base}/realms/{self.realm}"
        self.process = Program("keycloak", [
            self.home / "bin/kc.sh", "start", "--optimized", "--import-realm", "--http-enabled=true", "--hostname-strict=false",
            "--http-host=127.0.0.1", f"--http-port={self.port}", "--http-management-host=127.0.0.1", f"--http-management-port={self.management}",
            "--db-username=postgres", "--db-password=none", f"--db-url=jdbc:postgresql://127.0.0.1:{self.database.port}/keycloak", "--cache=local",
        ], directory, {"JAVA_OPTS_APPEND": java, "KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": "an admin of this test"})

    def start(self, seconds=600):
        if not self.database.process.running:
            self.database.start()
            self.database.psql("CREATE DATABASE keycloak")
        return self.start_again(seconds)

    def start_again(self, seconds=600):
        self.process.start().until_ready(self.answers, seconds)
        return self

    def version(self):
        return (DEPS / "version.txt").read_text().strip()

    def answers(self):
        """Whether the last realm is there: the import ends after the line that says `started`. Asked ten times a second; Java needs the cores."""
        time.sleep(0.1)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"/realms/{self.realm}/.well-known/openid-configuration")
            return connection.getresponse().status == 200
        except http.client.HTTPException:
            return False
        finally:
            connection.close()

    @property
    def pid(self):
        """Of Java: the shell that starts it stays."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else self.process.pid

    def post(self, path, realm=None, **form):
        form = {"client_id": CLIENT, "client_secret": SECRET, **form}
        return httpx.post(f"{self.base}/realms/{realm or self.realm}/protocol/openid-connect/{path}", data=form, timeout=60, trust_env=False)

    def token(self, username=BOB, password=PASSWORD, realm=None, **form):
        answer = self.post("token", realm, **{"grant_type": "password", "username": username, "password": password, "scope": "openid profile email", **form})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def admin(self, method, path, **kwargs):
        """Of the realm's REST interface for administrators."""
        form = {"client_id": "admin-cli", "grant_type": "password", "username": "admin", "password": "an admin of this test"}
        answer = httpx.post(f"{self.base}/realms/master/protocol/openid-connect/token", data=form, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        answer = httpx.request(method, f"{self.base}/admin/realms/{self.realm}{path}", timeout=60, trust_env=False,
                               headers={"Authorization": "Bearer " + answer.json()["access_token"]}, **kwargs)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def hash_parameters(self):
        """Of the stored passwords, as Keycloak has written them."""
        return json.loads(self.database.psql("SELECT credential_data FROM credential WHERE type = 'password' LIMIT 1", database="keycloak"))

    def stop(self):
        try:
            return self.process.stop()
        finally:
            self.database.stop()
