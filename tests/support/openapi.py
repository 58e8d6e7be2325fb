"""authsvc's OpenAPI document, and whether an answer is one that it describes."""
import functools
import json
import re

from tests.support.programs import source

METHODS = ("get", "post", "put", "delete", "patch")


@functools.cache
def text():
    return source("authsvc/rest/openapi.json").read_bytes()


@functools.cache
def document():
    return json.loads(text())


def resolved(value):
    """What a $ref stands for."""
    while "$ref" in value:
        place = document()
        for step in value["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        value = place
    return value


def reasons(schema):
    """Every `reason` that a schema lets through."""
    schema = resolved(schema)
    reason = schema.get("properties", {}).get("reason", {})
    found = set(reason.get("enum", [reason["const"]] if "const" in reason else []))
    for part in schema.get("allOf", []) + schema.get("oneOf", []):
        found |= reasons(part)
    return found


def required(schema):
    schema = resolved(schema)
    return set(schema.get("required", [])).union(*(required(part) for part in schema.get("allOf", [])))


@functools.cache
def operations():
    """(method, path, pattern of the path, what the document says)."""
    return [(method.upper(), path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace(".", r"\.")) + r"\Z"), about)
            for path, item in document()["paths"].items() for method, about in item.items() if method in METHODS]


def check(answer):
    """An httpx response of one of the documented doors has a documented status, media type and reason, and the members that must be there.
    What is not a door's own answer (another method, an unknown path) is let through. For httpx's event hooks."""
    request = answer.request
    about = next((o[3] for o in operations() if o[0] == request.method and o[2].match(request.url.path)), None)
    if about is None or answer.status_code == 431:
        return  # the library's own word, before there is a request
    answer.read()
    what = f"{request.method} {request.url.path} answered {answer.status_code} {answer.text[:300]!r}, which openapi.json does not say"
    assert str(answer.status_code) in about["responses"], what
    told = resolved(about["responses"][str(answer.status_code)])
    for name, header in told.get("headers", {}).items():
        header = resolved(header)
        assert name in answer.headers or not header.get("required"), f"{what}: {name} is missing"
        assert answer.headers.get(name) == header["schema"].get("const", answer.headers.get(name)), f"{what}: {name}"
    media_type = answer.headers.get("content-type")
    assert (media_type in told["content"]) if "content" in told else not answer.content, what
    if not answer.content:
        return
    schema, body = told["content"][media_type]["schema"], answer.json()
    if media_type == "application/problem+json":
        assert body["reason"] in reasons(schema), what
    assert not isinstance(body, dict) or required(schema) <= body.keys(), what
