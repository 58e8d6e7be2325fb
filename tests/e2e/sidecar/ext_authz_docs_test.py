"""docs/ENVOY.md: its table has the keys that the program knows, and the rules of its sample are taken."""
import re

import yaml

from tests.support.ext_authz import Checker
from tests.support.programs import source

DOCUMENT = source("docs/ENVOY.md").read_text()


def rules(node):
    """Every context_extensions of the sample."""
    if isinstance(node, dict):
        if "context_extensions" in node:
            yield node["context_extensions"]
        for value in node.values():
            yield from rules(value)
    elif isinstance(node, list):
        for value in node:
            yield from rules(value)


def test_every_key_has_its_line_and_no_other_has_one():
    known = re.findall(r'= \{"(cw_\w+)",', source("sidecar/ext_authz/route.c").read_text())
    assert len(known) == 9 and re.findall(r"^\| `(cw_\w+)` \|", DOCUMENT, re.M) != []
    assert set(re.findall(r"^\| `(cw_\w+)` \|", DOCUMENT, re.M)) == set(known)


def test_every_header_is_named():
    named = set(re.findall(r'"x-auth-(\w+)"', source("sidecar/ext_authz/who.c").read_text()))
    assert len(named) == 7
    for name in named:
        assert f"-{name}`" in DOCUMENT
    table = source("sidecar/ext_authz/edge.c").read_text()
    for name in re.findall(r'\{CW_STR_INIT\("([a-z0-9-]+)"\)', table):
        assert name.rstrip("-") in DOCUMENT.lower(), name


def test_the_rules_of_the_sample_are_taken(sidecar, issuer):
    sample = yaml.safe_load(DOCUMENT.split("```yaml\n")[1].split("```")[0])
    [host, *routes] = rules(sample)
    assert host == {"cw_auth": "required"} and len(routes) == 2
    door, token = Checker(sidecar.socket), issuer.token(scope="files:read files:write", roles=["nurse"])
    for rule in routes:
        r = door.get("/x/y", token, rule={**host, **rule})  # as Envoy merges them
        assert r.status == 200, r
    assert door.get("/x/y", None, rule=host).status == 401


def test_what_the_log_says_is_what_the_program_says():
    assert "envoy-route-refused" in DOCUMENT and '"envoy-route-refused"' in source("sidecar/main/events.c").read_text()
