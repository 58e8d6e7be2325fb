"""./dev up --with eureka: the real Eureka server stands in the embedded registry's place. tests/interop/up_test.py runs it."""
import sys

import pytest

from tests.support.programs import source

sys.path.insert(0, str(source("scripts/parts.py").parent))

import parts  # noqa: E402


@pytest.fixture
def numbers(directory, monkeypatch):
    monkeypatch.setattr(parts, "RUN", directory)
    return parts.ports(10000)


def by_name(numbers, *arguments):
    return {p.name: p for p in parts.stack(numbers, *arguments)}


def test_the_server_takes_the_registrys_port_and_the_sidecar_is_told(numbers):
    plain, with_eureka = by_name(numbers, set()), by_name(numbers, {"eureka"})
    assert list(with_eureka) == ["eureka", *plain]
    assert "REGISTRY" in plain["sidecar"].port_names and with_eureka["eureka"].port_names == ["REGISTRY"]
    assert "REGISTRY" not in with_eureka["sidecar"].port_names
    assert "--registry.eureka.servers[0].url=http://127.0.0.1:18761/eureka/" in with_eureka["sidecar"].argv
    assert not any("eureka" in a for a in plain["sidecar"].argv)
    assert plain["gateway"].argv == with_eureka["gateway"].argv


def test_the_last_up_is_remembered(numbers, directory):
    assert "eureka" not in by_name(numbers)
    (directory / "with").write_text("eureka nonsense\n")
    assert "eureka" in by_name(numbers) and parts.saved_extras() == {"eureka"}
