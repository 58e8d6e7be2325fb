"""docs/EUREKA.md: its samples are taken, its metrics exist, its words are those of the program."""
import re
import subprocess

import yaml

from tests.support.eureka import Agent
from tests.support.gateway import Gateway
from tests.support.programs import source, until, write_yaml
from tests.support.stack import merged

DOCUMENT = source("docs/EUREKA.md").read_text()


def test_its_samples_are_taken(directory):
    (directory / "eureka.password").write_text("secret\n")
    samples = [yaml.safe_load(s) for s in re.findall(r"```yaml\n(.*?)```", DOCUMENT.replace("/etc/clinicwave", str(directory)).replace("uid: cw-authsvc", "uid: daemon"), re.S)]
    samples = [s for s in samples if "registry" in s or "eureka" in s]
    assert len(samples) == 3
    for sample in samples:
        agent = Agent(directory / "agent", [])
        write_yaml(agent.config, merged({"tenants": yaml.safe_load(agent.config.read_text())["tenants"]}, sample))
        r = subprocess.run([*map(str, agent.process.argv), "--check-config", "--registry.eureka.instance.address=192.0.2.1"],
                           capture_output=True, text=True, timeout=20)
        assert r.returncode == 0, r.stdout + r.stderr


def test_its_nginx_block_makes_a_service_public(directory, ending):
    [block] = re.findall(r"```nginx\n(.*?)```", DOCUMENT, re.S)
    upstream, location = block[:block.index("location")], block[block.index("location"):]
    agent = ending(Agent(directory / "agent", [], static=[{"application": "GREETER", "address": "127.0.0.1", "port": 9, "instance-id": "g"}]).start())
    gateway = ending(Gateway(directory, location, upstream, sidecar=agent.gateway_socket).start())
    until("it asks for a token", lambda: gateway.get("/api/greeter/x").reason == "token_missing")
    assert gateway.get("/api/greeter/x").status == 401


def test_remote_regions_are_refused_by_name(directory):
    agent = Agent(directory / "agent", [])
    r = subprocess.run([*map(str, agent.process.argv), "--check-config", "--eureka.client.fetch-remote-regions-registry=us-east-1"],
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and "fetch-remote-regions-registry" in r.stderr and "region of its servers" in r.stderr
    assert "## Remote regions" in DOCUMENT


def test_its_metrics_exist():
    table = source("sidecar/main/metrics.c").read_text()
    named = set(re.findall(r"cw_sidecar_\w+", DOCUMENT))
    assert len(named) >= 4 and all(f'"{name}"' in table for name in named)


def test_its_words_are_those_of_the_program():
    words = source("sidecar/registry/eureka_call.c").read_text()
    for said in ("an HTML page", "not ready yet"):
        assert said in DOCUMENT and said in words
    rules = source("sidecar/registry/rules.c").read_text()
    for reason in ("not_allowed", "no_address", "loopback", "link_local", "reserved_port"):
        assert f"`{reason}`" in DOCUMENT and f'"{reason}"' in rules
