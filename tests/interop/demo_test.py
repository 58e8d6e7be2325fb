"""`./dev demo` itself, on a stack of the test's own: every answer is as it should be, and a wrong one is told."""
import json
import sys

import pytest

from tests.support.programs import program, source, until
from tests.support.provider import SECRET, Provider
from tests.support.route import Route

sys.path.insert(0, str(source("scripts/demo.py").parent))

import demo  # noqa: E402
import house  # noqa: E402
import parts  # noqa: E402


@pytest.fixture
def provider(directory, authority, ending):
    return ending(Provider(directory, authority).start())


@pytest.fixture
def stack(directory, authority, provider, ending, monkeypatch):
    """A route that ./dev finds as if `up` had started it: ports, users and process ids are written down where it looks."""
    route = ending(Route(directory, authority, idp_port=provider.port, idp_secret=SECRET).start())
    for module in (house, parts, demo):
        monkeypatch.setattr(module, "RUN", directory)
    (directory / "ports.json").write_text(json.dumps(route.ports))
    (directory / "demo-users.json").write_text(json.dumps([{"tenant": "clinicwave", "username": "anna@clinicwave.com", "password": route.password},
                                                           {"tenant": "abott", "username": "bob@abott.com", "password": "a password of this test"}]))
    (directory / "ca.pem").write_bytes(authority.ca.read_bytes())
    for name in ("sidecar/cw-sidecar", "authsvc/cw-authsvc", "examples/storage-service/storage-service"):
        (directory / "bin" / name.rpartition("/")[2]).symlink_to(program(name).resolve())
    (directory / "parts").mkdir()
    for name, process in {"idp": provider.process, "sidecar": route.sidecar, "authsvc": route.authsvc, "storage-service": route.storage,
                          "gateway": route.gateway.process}.items():
        (directory / "parts" / f"{name}.json").write_text(json.dumps({"pid": process.pid, "started": parts.started_at(process.pid)}))
    numbers = parts.saved_ports()
    until("every part is ready", lambda: all(p.is_ready() for p in parts.stack(numbers)))
    bob = provider.token(grant_type="password", username="bob@abott.com", password="a password of this test")
    until("abott's keys are there", lambda: route.gateway.get("/api/storage/files", bob, host="abott.localhost").status == 200)
    yield route
    for part in parts.stack(numbers):
        if part.name == "sidecar":  # the demo has started another one
            part.stop()


def run(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["demo"])
    return demo.main()


def test_the_demo_shows_its_flows_and_every_answer_is_right(stack, monkeypatch, capsys):
    stack.token()
    assert run(monkeypatch) == house.PASSED, capsys.readouterr().out
    out = capsys.readouterr().out
    assert "✗" not in out and "every answer was as it should be" in out
    for step in ("1  the first request", "2  the same token again", "3  another organisation", "4  an expired token", "5  a tampered token", "8  the sidecar dies"):
        assert f"── {step}" in out
    assert stack.password not in out


def test_a_wrong_answer_is_told(stack, monkeypatch, capsys):
    stack.token()
    monkeypatch.setattr(demo.Demo, "dead_sidecar", lambda self: self.expect(self.send("GET", f"{self.gate}/none"), 200))
    with pytest.raises(house.Failure) as e:
        run(monkeypatch)
    assert e.value.what.startswith("1 answers") and "✗ expected 200" in capsys.readouterr().out


def test_without_a_running_stack_it_says_so(directory, monkeypatch):
    for module in (house, parts, demo):
        monkeypatch.setattr(module, "RUN", directory)
    with pytest.raises(house.Failure) as e:
        run(monkeypatch)
    assert "not ready" in e.value.what and e.value.remedy == "./dev up"
