"""cwctl beside a running sidecar: the same verdicts as every other caller gets, and the operator's questions."""
import json
import os
import pathlib
import subprocess
import time

import pytest

from tests.support import tokens
from tests.support.fixtures import tenant_of
from tests.support.programs import program
from tests.support.stack import Sidecar


class Cwctl:
    def __init__(self, directory):
        self.directory = directory

    def __call__(self, *arguments, stdin="", environment=None):
        return subprocess.run([program("cwctl/cwctl"), *arguments], input=stdin, capture_output=True, text=True, timeout=30,
                              env=dict(os.environ, CW_RUN_DIR=str(self.directory), **(environment or {})))

    def json(self, *arguments):
        done = self(*arguments, "--json")
        assert done.stdout, (arguments, done.stderr)
        return json.loads(done.stdout)


@pytest.fixture
def cwctl(directory):
    return Cwctl(directory)


@pytest.fixture
def key(issuer):
    return issuer.keys[0]


@pytest.fixture
def good(issuer, key):
    return tokens.mint(key, tokens.claims(issuer.url, issuer.audience, roles=["doctor"]))


def test_a_token_is_judged_by_the_sidecar(cwctl, sidecar, issuer, key, good):
    done = cwctl("token", "verify", "--tenant", "clinicwave.localhost", good)
    assert done.returncode == 0 and done.stdout.startswith("allowed\n") and "user|anna" in done.stdout, done.stderr
    verdict = cwctl.json("token", "verify", "--tenant", "clinicwave.localhost", good)
    assert verdict["decision"] == "ALLOW" and verdict["cached"] is True
    assert verdict["identity"]["subject"] == "user|anna" and verdict["identity"]["roles"] == ["doctor"]
    assert verdict["identity"]["tenant"] == "clinicwave" and "checks" not in verdict
    expired = tokens.mint(key, tokens.claims(issuer.url, issuer.audience, exp=1700000000, iat=1699999000))
    done = cwctl("token", "verify", "--tenant", "clinicwave.localhost", stdin=expired)
    assert done.returncode == 1 and "token_expired" in done.stdout
    tampered = tokens.tampered(good, sub="admin")
    assert cwctl("token", "verify", "--tenant", "clinicwave.localhost", tampered).returncode == 1
    assert cwctl.json("token", "verify", "--tenant", "clinicwave.localhost", tampered)["reason"] == "signature_invalid"


def test_without_a_tenant_the_one_that_trusts_the_issuer_is_asked(cwctl, sidecar, key, issuer, good):
    assert cwctl("token", "verify", good).returncode == 0
    assert cwctl.json("token", "verify", "a.b.c")["reason"] == "token_malformed"
    stranger = tokens.mint(key, tokens.claims("https://stranger.example/", issuer.audience))
    done = cwctl("token", "verify", stranger)
    assert done.returncode == 2 and "--tenant" in done.stderr
    assert cwctl.json("token", "verify", "--tenant", "clinicwave.com", stranger)["reason"] == "issuer_unknown"


def test_explain_lists_every_check(cwctl, sidecar, issuer, key, good):
    verdict = cwctl.json("token", "verify", "--explain", good)
    assert verdict["decision"] == "ALLOW" and len(verdict["checks"]) > 10 and all(c["passed"] for c in verdict["checks"])
    expired = tokens.mint(key, tokens.claims(issuer.url, issuer.audience, exp=1700000000, iat=1699999000))
    text = cwctl("token", "verify", "--explain", expired)
    assert text.returncode == 1 and "FAIL" in text.stdout and "1700000000" in text.stdout
    assert expired.split(".")[2] not in text.stdout + text.stderr


def test_an_unknown_domain_and_an_absent_sidecar_are_could_not_decide(cwctl, sidecar, good, directory):
    done = cwctl("token", "verify", "--tenant", "nowhere.example", good)
    assert done.returncode == 2 and "tenant_unknown" in done.stdout + done.stderr
    done = cwctl("token", "verify", "--run-dir", directory / "nothing", good)
    assert done.returncode == 2 and "is not there" in done.stderr
    sidecar.stop()
    assert cwctl("token", "verify", "--tenant", "clinicwave.localhost", good).returncode == 2
    for command in (["keys", "list"], ["keys", "refresh"], ["cache", "stats"], ["cache", "flush"], ["instances"], ["tenants"], ["health"]):
        assert cwctl(*command).returncode == 2, command


def test_a_sidecar_that_hangs_is_could_not_decide_in_time(cwctl, sidecar, good):
    assert cwctl("token", "verify", "--tenant", "clinicwave.localhost", good).returncode == 0
    sidecar.process.pause()
    begun = time.monotonic()
    done = cwctl("token", "verify", "--tenant", "clinicwave.localhost", good)
    assert done.returncode == 2 and time.monotonic() - begun < 20, done.stdout
    assert cwctl("health").returncode == 2
    sidecar.process.go_on()
    assert cwctl("token", "verify", "--tenant", "clinicwave.localhost", good).returncode == 0


def test_keys_are_listed_and_refreshed(cwctl, sidecar, issuer, key, good):
    assert cwctl("token", "verify", good).returncode == 0
    [listed] = cwctl.json("keys", "list")["issuers"]
    assert listed["tenant"] == "clinicwave" and listed["issuer"] == issuer.url
    assert [k["key_id"] for k in listed["keys"]] == [key.kid] and listed["keys"][0]["algorithms"] == [key.alg]
    assert listed["fetched_at"] > 0 and listed["fetches"] >= 1
    text = cwctl("keys", "list")
    assert text.returncode == 0 and key.kid in text.stdout and issuer.url in text.stdout
    answer = cwctl.json("keys", "refresh")
    assert answer["started"] + answer["limited"] == 1
    nobody = cwctl("keys", "refresh", "--issuer", "https://stranger.example/")
    assert (nobody.returncode, nobody.stdout) == (1, "no such issuer\n")
    assert cwctl.json("keys", "list", "--tenant", "nobody").get("issuers", []) == []


def test_the_cache_is_counted_and_flushed(cwctl, sidecar, good):
    assert cwctl("token", "verify", "--tenant", "clinicwave.localhost", good).returncode == 0
    stats = cwctl.json("cache", "stats")
    assert stats["entries"] == 1 and stats["max_entries"] > 1
    assert "entries" in cwctl("cache", "stats").stdout
    nobody = cwctl("cache", "flush", "--tenant", "nobody")
    assert nobody.returncode == 1 and "not_found" in nobody.stderr
    assert cwctl("cache", "flush").stdout == "1 dropped\n"
    assert cwctl.json("cache", "stats")["entries"] == 0
    assert cwctl.json("token", "verify", good)["cached"] is False


@pytest.mark.parametrize("words", [["cache", "stats", "x"], ["cache", "flush", "--bogus"], ["keys", "list", "--tenant"], ["tenants", "x"],
                                   ["instances", "a", "b"], ["instances", "--json=1"], ["health", "x"]])
def test_words_that_a_command_does_not_take_are_usage(cwctl, words):
    done = cwctl(*words)
    assert done.returncode == 64 and not done.stdout and "usage: cwctl " + words[0] in done.stderr


@pytest.mark.parametrize("words", [["cache", "flush", "--tenant", ""], ["cache", "flush", "--tenant="], ["keys", "list", "--tenant", ""],
                                   ["keys", "refresh", "--issuer", ""], ["instances", ""], ["token", "verify", "--tenant", "", "a.b.c"],
                                   ["revoke", "--tenant", ""], ["revoke", "--tenant", "clinicwave", "--subject", ""],
                                   ["users", "list", "--tenant", ""], ["users", "disable", "--tenant", "clinicwave", ""], ["tenants", "remove", ""],
                                   ["signing-keys", "rotate", "--tenant", ""], ["health", "--run-dir="]])
def test_an_empty_selection_does_not_mean_all(cwctl, words):
    """An unset variable of a script. Nothing is asked: there is no sidecar to be asked here."""
    done = cwctl(*words)
    assert done.returncode == 64 and not done.stdout and "is empty" in done.stderr and "usage: cwctl " + words[0] in done.stderr, done.stderr


def test_an_empty_selection_forgets_nothing(cwctl, sidecar, good):
    assert cwctl("token", "verify", "--tenant", "clinicwave.localhost", good).returncode == 0
    assert cwctl("cache", "flush", "--tenant", "").returncode == 64
    assert cwctl.json("cache", "stats")["entries"] == 1
    assert cwctl("cache", "flush", "--tenant", "clinicwave").stdout == "1 dropped\n"


def test_the_options_of_a_question_are_in_its_help(cwctl):
    assert "--tenant NAME" in cwctl("cache", "flush", "--help").stdout
    for words in (["cache", "stats"], ["keys", "list"], ["keys", "refresh"], ["tenants"], ["instances"]):
        text = cwctl(*words, "--help").stdout
        assert "--json" in text and "--run-dir DIR" in text and text.startswith("usage: cwctl " + " ".join(words))


def test_tenants_are_listed(cwctl, sidecar, issuer):
    [tenant] = cwctl.json("tenants")["tenants"]
    assert tenant["name"] == "clinicwave" and "clinicwave.localhost" in tenant["domains"] and tenant["issuers"] == [issuer.url]
    assert "clinicwave.localhost" in cwctl("tenants").stdout


def test_health_names_what_fails_and_the_next_command(cwctl, sidecar, issuer, good, directory):
    assert cwctl("token", "verify", good).returncode == 0
    health = cwctl.json("health")
    assert health["status"] == "UP" and health["components"][0]["name"] == "cw-sidecar", health
    assert cwctl("health").returncode == 0
    sidecar.stop()
    done = cwctl("health")
    assert done.returncode == 2 and done.stdout.startswith("DOWN\n") and "cw-sidecar" in done.stdout and "→" in done.stdout
    assert cwctl.json("health")["status"] == "DOWN"


def test_health_names_the_issuer_whose_keys_cannot_be_had(directory, authority, issuer, ending, cwctl, good):
    issuer.script = lambda request: issuer.send(request, {"error": "broken"}, 500)
    side = ending(Sidecar(directory, [tenant_of(issuer, authority)]).start())
    assert cwctl("token", "verify", "--tenant", "clinicwave.localhost", good).returncode == 2
    verdict = cwctl.json("token", "verify", "--tenant", "clinicwave.localhost", good)
    assert verdict["decision"] == "UNDECIDED" and verdict["reason"] == "keys_unavailable"
    health = cwctl.json("health")
    assert health["status"] in ("DEGRADED", "DOWN")
    failing = [c for c in health["components"] if c["name"].startswith("keys:")]
    assert failing and issuer.url in failing[0]["name"] and failing[0]["status"] != "UP" and failing[0]["age_seconds"] == -1
    assert "cwctl" in failing[0]["remedy"]
    text = cwctl("health")
    assert text.returncode in (1, 2) and issuer.url in text.stdout and "→" in text.stdout
    [listed] = cwctl.json("keys", "list")["issuers"]
    assert listed["error"] and listed["failures"] >= 1
    assert side.process.running


def test_instances_are_listed_with_where_they_come_from(directory, authority, issuer, ending, cwctl):
    ending(Sidecar(directory, [tenant_of(issuer, authority)],
                   registry={"static": [{"application": "STORAGE-SERVICE", "address": "127.0.0.1", "port": 9000}]}).start())
    [application] = cwctl.json("instances")["applications"]
    assert application["name"] == "STORAGE-SERVICE"
    [instance] = application["instances"]
    assert (instance["address"], instance["port"], instance["source"]) == ("127.0.0.1", 9000, "static")
    assert cwctl.json("instances", "storage-service")["applications"][0]["instances"][0]["port"] == 9000
    text = cwctl("instances")
    assert text.returncode == 0 and "STORAGE-SERVICE\n" in text.stdout and "UP" in text.stdout and "127.0.0.1:9000" in text.stdout
    absent = cwctl("instances", "nothing")
    assert absent.returncode == 0 and absent.stdout.startswith("NOTHING\n  no instance\n")


def test_a_dead_authsvc_beside_the_sidecar_is_degraded(cwctl, sidecar, good, directory):
    import socket
    assert cwctl("token", "verify", good).returncode == 0
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "authsvc.sock"))
        done = cwctl("health")
    assert done.returncode == 1 and done.stdout.startswith("DEGRADED\n") and "cw-authsvc" in done.stdout


def test_a_configuration_is_checked_by_its_program(cwctl, sidecar, directory):
    side = program("sidecar/cw-sidecar")
    assert cwctl("config", "check", "--program", side, sidecar.config).returncode == 0
    bad = directory / "bad.yaml"
    bad.write_text(sidecar.config.read_text() + "nonsense: 1\n" + "sidecar.cache.max-entrees: 1\n")
    done = cwctl("config", "check", "--program", side, bad)
    assert done.returncode not in (0, 64) and "max-entrees" in done.stdout + done.stderr and "bad.yaml" in done.stdout + done.stderr
    (directory / "other.yaml").write_text("server:\n  port: 1\n")
    assert cwctl("config", "check", directory / "other.yaml").returncode == 2
    assert cwctl("config", "check", directory / "absent.yaml").returncode == 2
    assert cwctl("config", "check").returncode == 64


def test_a_configuration_of_many_tenants_is_checked_as_its_program_does(cwctl, sidecar, directory):
    """Up to 8 MiB, which is what the programs take."""
    side, large = program("sidecar/cw-sidecar"), directory / "large.yaml"
    for size, code, word in [(2 << 20, 0, "valid"), (8 << 20, 2, "large.yaml: larger than 8 MiB")]:
        large.write_text("# many tenants\n" * (size // 15) + sidecar.config.read_text())
        done = cwctl("config", "check", "--program", side, large)
        assert (done.returncode, word in done.stdout + done.stderr) == (code, True), done


def test_the_program_for_a_file_is_found_by_its_keys(directory):
    """As installed: the three programs in one folder."""
    folder = directory / "bin"
    folder.mkdir()
    (folder / "cwctl").write_bytes(pathlib.Path(program("cwctl/cwctl")).read_bytes())
    for name in ("cw-sidecar", "cw-authsvc", "storage-service"):
        (folder / name).write_text(f"#!/bin/sh\necho {name} \"$@\"\n")
    for path in folder.iterdir():
        path.chmod(0o755)
    for text, name in [("sidecar:\n  x: 1\ntenants: []\n", "cw-sidecar"), ("tenants: []\nauthsvc:\n  x: 1\n", "cw-authsvc"),
                       ("storage:\n  port: 1\n", "storage-service"), ("sidecar.cache.ttl: 5s\n", "cw-sidecar"), ('"authsvc":\n  x: 1\n', "cw-authsvc"),
                       ("\ufeffsidecar: {}\n", "cw-sidecar"), ("registry.allow: []\r\n", "cw-sidecar"),
                       ("# many tenants\n" * 150_000 + "authsvc.x: 1\n", "cw-authsvc")]:
        (directory / "x.yaml").write_text(text)
        done = subprocess.run([folder / "cwctl", "config", "check", directory / "x.yaml"], capture_output=True, text=True)
        assert done.stdout == f"{name} --config {directory}/x.yaml --check-config\n", done.stderr


@pytest.mark.parametrize("name", ["/dev/stdin", "-"])
def test_a_configuration_that_can_be_read_once_only_is_checked_as_a_whole(directory, name):
    """A pipe: who looks for the program must leave it what it is to check."""
    folder = directory / "bin"
    folder.mkdir()
    for path in ("cwctl/cwctl", "sidecar/cw-sidecar"):
        copy = folder / path.rpartition("/")[2]
        copy.write_bytes(pathlib.Path(program(path)).read_bytes())
        copy.chmod(0o755)
    for text, code, word in [("sidecar:\n  cahce: {ttl: 5s}\n", 1, ":2: sidecar.cahce.ttl"), ("sidecar:\n  cache: {ttl: 5s}\n", 0, "valid")]:
        done = subprocess.run([folder / "cwctl", "config", "check", name], input=text, capture_output=True, text=True)
        assert done.returncode == code and word in done.stdout + done.stderr
