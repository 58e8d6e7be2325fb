"""abott, whose login is by an identity provider, beside clinicwave in one authsvc."""
import json
import os
import pathlib

import pytest

from tests.e2e.authsvc.doors import ANNA, DOORS, PASSWORD, document
from tests.support import tokens
from tests.support.idp import BOB, BOBS_PASSWORD, Idp
from tests.support.stack import Authsvc

ABOTT = "abott.localhost"
PROFILES = ["auth0", "rfc9068"]


def abott(idp, directory, secret=None, **changes):
    """The tenant; keyword arguments with a `_` for a `-` change its idp section."""
    path = pathlib.Path(directory) / "idp-secret"
    path.write_text(secret if secret is not None else idp.secret)
    os.chmod(path, 0o600)
    section = {"client-id": idp.client, "client-secret-file": str(path), "connection": "Users", "insecure-http-loopback": True,
               "timeout": "3s", "claims": {"roles": '"https://abott.com/roles"'}}
    section.update({k.replace("_", "-"): v for k, v in changes.items()})
    return {"name": "abott", "domains": ["abott.com", ABOTT], "login": "idp", "issuer": idp.url, "audiences": ["https://api.abott.com"],
            "clients": [{"id": "portal", "scopes": ["openid", "profile", "email", "offline_access", "files:read"]}, {"id": "mobile"}],
            "idp": {k: v for k, v in section.items() if v is not None}}


class World:
    def __init__(self, idp, authsvc, door):
        self.idp, self.authsvc, self.door = idp, authsvc, door

    def login(self, username=BOB, password=BOBS_PASSWORD, **kwargs):
        return self.door.login(username, password, domain=ABOTT, **kwargs)

    def refresh(self, token, **kwargs):
        return self.door.refresh(token, domain=ABOTT, **kwargs)

    def anna(self):
        return self.door.login(ANNA, PASSWORD)


def claims(token):
    return json.loads(tokens.unb64(token.split(".")[1]))


@pytest.fixture(params=PROFILES)
def idp(request, ending):
    return ending(Idp(request.param))


@pytest.fixture(params=PROFILES)
def one_idp(request, ending):
    """For tests that start their own world."""
    return ending(Idp(request.param))


def start(directory, ending, idp, door="rest", authsvc=None, tenant=None, anna=False, **changes):
    config = document(authsvc={**(authsvc or {}), "throttle": {"account": {"burst": 100}, **(authsvc or {}).get("throttle", {})}},
                      algorithm="ES256")  # its keys are made faster
    config["tenants"].append({**abott(idp, directory, **changes), **(tenant or {})})
    service = Authsvc(directory, config, ending.store)
    if anna:
        service.add_user("clinicwave", ANNA, PASSWORD, "doctor")
    ending(service).start()
    return World(idp, service, DOORS[door](service))


@pytest.fixture
def anna():
    """A test that wants clinicwave's anna says so by a parameter of this name."""
    return False


@pytest.fixture(params=sorted(DOORS))
def world(request, directory, ending, idp, anna):
    return start(directory, ending, idp, request.param, anna=anna)
