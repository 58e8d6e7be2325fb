"""The pytest plugin of the end-to-end tests: fixtures that read like prose."""
import contextlib
import os
import pathlib
import shutil
import tempfile

import pytest

from tests.support.certificates import Authority
from tests.support.gateway import Gateway, Judge, Service
from tests.support.issuer import Issuer
from tests.support.postgresql import PostgreSQL
from tests.support.route import Route
from tests.support.stack import Sidecar


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def directory():
    """A directory with a path short enough for sockets; gone afterwards."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="cw", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def ending():
    """`ending(part)` stops PART when the test is over, the last one first, also when the test failed."""
    with contextlib.ExitStack() as stack:
        def register(part):
            stack.callback(part.stop)
            return part
        yield register


@pytest.fixture(scope="session")
def postgresql():
    """One server for all tests of a run; `fresh()` is a database of it."""
    server = PostgreSQL()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def authority(directory):
    return Authority(directory)


@pytest.fixture
def issuer(authority, ending):
    """An issuer over HTTPS with one RSA key, ready to mint."""
    return ending(Issuer(authority.issue("127.0.0.1")))


def tenant_of(issuer, authority=None, name="clinicwave", domains=("clinicwave.com", "clinicwave.localhost"), **settings):
    """A tenant of the sidecar's configuration that trusts ISSUER."""
    trusted = {"issuer": issuer.url, "algorithms": [k.alg for k in issuer.keys], "types": ["at+jwt"]}
    if authority:
        trusted["ca-file"] = str(authority.ca)
    trusted.update(settings)
    return {"name": name, "domains": list(domains), "audiences": [issuer.audience], "issuers": [trusted]}


@pytest.fixture
def sidecar(directory, authority, issuer, ending):
    """A sidecar whose tenant clinicwave trusts the issuer."""
    return ending(Sidecar(directory, [tenant_of(issuer, authority)]).start())


@pytest.fixture
def judge(directory, ending):
    """Stands in for the sidecar and allows the token `good`."""
    j = Judge(directory / "gateway.sock")
    j.allow("good", issuer="https://issuer", client_id="portal", session_id="s1", scopes=["a", "b"], roles=["doctor", "admin"])
    return ending(j.start())


@pytest.fixture
def service(ending):
    """A microservice that tells what reached it."""
    return ending(Service().start())


@pytest.fixture
def nginx(directory, service, ending):
    """`nginx(server, http=…)` starts a gateway; @SERVICE@ in its configuration is the microservice's address."""
    def start(server="", **settings):
        fill = lambda text: text.replace("@SERVICE@", f"127.0.0.1:{service.port}").replace("@DIR@", str(directory))
        return ending(Gateway(directory, server=fill(server), **{k: fill(v) if isinstance(v, str) else v for k, v in settings.items()}).start())
    return start


@pytest.fixture
def nginx_check(directory):
    """`nginx_check(server, …)`: (accepted, text) of nginx -t."""
    def check(server="", **settings):
        return Gateway(directory, server=server.replace("@SERVICE@", "127.0.0.1:9"), **settings).check()
    return check


@pytest.fixture
def route(directory, authority, ending):
    """Everything that ./dev up starts, but abott's identity provider."""
    return ending(Route(directory, authority).start())
