"""docs/GATEWAY.md names every directive with its contexts, every variable, every metric, and nothing else."""
import re

from tests.support.programs import source

DOCUMENT = source("docs/GATEWAY.md").read_text()
CONTEXTS = {"http": "NGX_HTTP_MAIN_CONF", "server": "NGX_HTTP_SRV_CONF", "location": "NGX_HTTP_LOC_CONF", "limit_except": "NGX_HTTP_LMT_CONF",
            "upstream": "NGX_HTTP_UPS_CONF"}


def directives():
    table = ""
    for name in ("module", "upstream"):
        text = source(f"edge-gateway/ngx_http_cw_{name}.c").read_text()
        table += text[text.index("_commands[] = {"):text.index("ngx_null_command")]
    flags = dict(re.findall(r'ngx_string\("(cw_\w+)"\),\s*([A-Z_|0-9\s]+),', table))
    every = "NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF"
    return {n: re.sub(r"\s", "", f).replace("NGX_HTTP_CW_RULE", every + "|NGX_HTTP_LMT_CONF").replace("NGX_HTTP_CW_ALL", every).split("|")
            for n, f in flags.items()}


def test_every_directive_has_its_section_and_no_other_has_one():
    assert re.findall(r"^### (\S+)$", DOCUMENT, re.M) and set(re.findall(r"^### (\S+)$", DOCUMENT, re.M)) == set(directives())


def test_every_section_names_the_contexts():
    for name, flags in directives().items():
        section = DOCUMENT[DOCUMENT.index(f"### {name}\n"):].split("\n### ")[0]
        named = re.search(r"; *— \*([a-z_, ]+)\*|`.* — \*([a-z_, ]+)\*", section)
        said = set(filter(None, re.split(r",\s*", named[1] or named[2])))
        assert {CONTEXTS[c] for c in said} == {f for f in flags if f in CONTEXTS.values()}, name


def test_every_variable_is_listed():
    text = source("edge-gateway/ngx_http_cw_log.c").read_text()
    assert set(re.findall(r"\$(cw_\w+)", DOCUMENT)) == set(re.findall(r'ngx_string\("(cw_\w+)"\)', text))


def test_every_metric_is_listed():
    text = source("edge-gateway/ngx_http_cw_metrics.c").read_text()
    used = {re.sub(r"_(bucket|sum|count)$", "", m) for m in re.findall(r"\b(cw_gateway_\w+)", text)}
    assert set(re.findall(r"\b(cw_gateway_\w+)", DOCUMENT)) == used
