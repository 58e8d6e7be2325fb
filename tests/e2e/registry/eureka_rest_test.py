"""The embedded registry over HTTP, held to what the real Eureka server was seen to answer."""
import copy
import json
import time
import xml.etree.ElementTree as ElementTree

import httpx
import pytest

from tests.support.programs import until
from tests.support.stack import Sidecar

INSTANCE = {
    "instanceId": "h:auth-service:8443", "hostName": "h", "app": "AUTH-SERVICE", "ipAddr": "127.0.0.1", "status": "UP", "overriddenStatus": "UNKNOWN",
    "port": {"$": 8080, "@enabled": "true"}, "securePort": {"$": 8443, "@enabled": "false"}, "countryId": 1,
    "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
    "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90}, "metadata": {"management.port": "9090", "zone": "eu-1a"},
    "vipAddress": "auth-service", "secureVipAddress": "auth-service", "isCoordinatingDiscoveryServer": "false",
    "lastUpdatedTimestamp": "1764000000000", "lastDirtyTimestamp": "1764000000000"}
PATH = "/apps/AUTH-SERVICE/h:auth-service:8443"


class Eureka:
    """A client of the embedded registry that accepts JSON, as Java's does."""

    def __init__(self, port, base):
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}{base}", headers={"Accept": "application/json"}, timeout=10, trust_env=False)

    def post(self, changes=None, app="AUTH-SERVICE", drop=(), **kwargs):
        instance = {k: v for k, v in dict(copy.deepcopy(INSTANCE), **(changes or {})).items() if k not in drop}
        return self.http.post(f"/apps/{app}", json={"instance": instance}, **kwargs)

    def instance(self):
        answer = self.http.get(PATH)
        return answer.json()["instance"] if answer.status_code == 200 else None

    def delta(self):
        return self.http.get("/apps/delta").json()["applications"]

    def __getattr__(self, name):
        return getattr(self.http, name)


def settings(**embedded):
    return {"embedded": embedded, "provisional": "0s"}


@pytest.fixture
def tenant(directory):
    (directory / "jwks.json").write_text('{"keys":[]}')
    return {"name": "clinicwave", "domains": ["clinicwave.localhost"], "audiences": ["a"],
            "issuers": [{"issuer": "https://idp.invalid/", "jwks-file": str(directory / "jwks.json")}]}


@pytest.fixture(params=["/eureka", "/eureka/v2"])
def eureka(request, directory, tenant, ending):
    sidecar = ending(Sidecar(directory, [tenant], registry=settings()).start())
    return Eureka(sidecar.registry_port, request.param)


def test_an_empty_registry_is_an_empty_document(eureka):
    for path in ("/apps", "/apps/"):
        answer = eureka.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
        assert answer.json() == {"applications": {"versions__delta": "1", "apps__hashcode": "", "application": []}}
    for path in ("/apps/X", PATH, "/instances/x", "/vips/x", "/svips/x"):
        assert eureka.get(path).status_code == 404


def test_register_read_renew_and_cancel(eureka):
    assert eureka.put(PATH).status_code == 404
    answer = eureka.post()
    assert answer.status_code == 204 and not answer.content
    got = eureka.instance()
    assert got["leaseInfo"].pop("registrationTimestamp") > 1764000000000
    for member, value in INSTANCE.items():
        if member not in ("lastUpdatedTimestamp", "leaseInfo"):
            assert got[member] == value, member
    assert got["actionType"] == "ADDED"
    document = eureka.get("/apps").json()["applications"]
    assert document["apps__hashcode"] == "UP_1_" and [a["name"] for a in document["application"]] == ["AUTH-SERVICE"]
    assert eureka.get("/apps/auth-service").json()["application"]["instance"][0]["instanceId"] == INSTANCE["instanceId"]
    assert eureka.get("/instances/h:auth-service:8443").json()["instance"]["app"] == "AUTH-SERVICE"
    vips = eureka.get("/vips/AUTH-service").json()["applications"]
    assert vips["versions__delta"] == "-1" and len(vips["application"]) == 1
    assert eureka.get("/svips/auth-service").status_code == 200 and eureka.get("/vips/other").status_code == 404
    dirty = int(INSTANCE["lastDirtyTimestamp"])
    for sent, status in ((dirty, 200), (dirty - 1, 200), (dirty + 1, 404), ("", 200), ("x", 400)):
        assert eureka.put(PATH, params={"status": "UP", "lastDirtyTimestamp": sent}).status_code == status, sent
    assert eureka.put(PATH).status_code == 200
    assert eureka.delete(PATH).status_code == 200
    assert eureka.delete(PATH).status_code == 404
    assert eureka.instance() is None
    delta = eureka.delta()
    assert delta["apps__hashcode"] == "" and delta["application"][0]["instance"][0]["actionType"] == "DELETED"


def test_a_status_can_be_overridden(eureka):
    assert eureka.put(PATH + "/status", params={"value": "DOWN"}).status_code == 404
    eureka.post()
    assert eureka.put(PATH + "/status", params={"value": "OUT_OF_SERVICE"}).status_code == 200
    got = eureka.instance()
    assert (got["status"], got["overriddenStatus"], got["actionType"]) == ("OUT_OF_SERVICE", "OUT_OF_SERVICE", "MODIFIED")
    assert eureka.delta()["apps__hashcode"] == "OUT_OF_SERVICE_1_"
    eureka.post({"lastDirtyTimestamp": "1764000000001"})
    assert eureka.instance()["status"] == "OUT_OF_SERVICE"
    assert eureka.delete(PATH + "/status", params={"value": "UP"}).status_code == 200
    assert (eureka.instance()["status"], eureka.instance()["overriddenStatus"]) == ("UP", "UNKNOWN")
    for value in ("BOGUS", ""):
        assert eureka.put(PATH + "/status", params={"value": value}).status_code == 400
    eureka.put(PATH + "/status", params={"value": "OUT_OF_SERVICE"})
    assert eureka.delete(PATH + "/status").status_code == 200
    assert eureka.instance()["status"] == "UNKNOWN" and eureka.put(PATH).status_code == 404
    eureka.post({"lastDirtyTimestamp": "1764000000002"})
    assert eureka.instance()["status"] == "UP" and eureka.put(PATH).status_code == 200


def test_re_registration_as_the_real_server_has_it(eureka):
    eureka.post()
    eureka.post({"status": "OUT_OF_SERVICE", "lastDirtyTimestamp": "1764000000005"})
    assert eureka.instance()["status"] == "UP" and eureka.instance()["lastDirtyTimestamp"] == "1764000000005"
    assert eureka.post({"status": "DOWN", "ipAddr": "127.0.0.9", "lastDirtyTimestamp": "1764000000004"}).status_code == 204
    assert eureka.instance()["status"] == "UP" and eureka.instance()["ipAddr"] == "127.0.0.1"
    eureka.post({"status": "DOWN", "lastDirtyTimestamp": "1764000000006"})
    assert eureka.instance()["status"] == "DOWN"


def test_metadata_is_added(eureka):
    assert eureka.put(PATH + "/metadata", params={"zone": "b"}).status_code == 404
    eureka.post()
    before = eureka.instance()["leaseInfo"]["registrationTimestamp"]
    time.sleep(0.01)
    assert eureka.put(PATH + "/metadata", params={"zone": "b", "new": "1 2"}).status_code == 200
    got = eureka.instance()
    assert got["metadata"] == {"management.port": "9090", "zone": "b", "new": "1 2"} and got["actionType"] == "ADDED"
    assert got["leaseInfo"]["registrationTimestamp"] > before


def test_refusals_have_the_words_of_the_real_server(eureka):
    cannot = '{"error": "cannot parse request body"}'
    for changes, drop, text in (({}, ("hostName",), "Missing hostname"), ({}, ("ipAddr",), "Missing ip address"), ({}, ("app",), cannot),
                                ({"app": "OTHER"}, (), "Mismatched appName, expecting AUTH-SERVICE but was OTHER"),
                                ({}, ("dataCenterInfo",), "Missing dataCenterInfo"), ({"port": 8080}, (), cannot),
                                ({"dataCenterInfo": {"@class": "com.netflix.appinfo.MyDataCenterInfo"}}, (), "Missing dataCenterInfo Name"),
                                ({"dataCenterInfo": {"name": "MyOwn"}}, (), cannot), ({"metadata": {"a": {}}}, (), cannot)):
        answer = eureka.post(changes, drop=drop)
        assert (answer.status_code, answer.text) == (400, text)
    for content, kind, status in ((b"{}", "application/json", 400), (b"garbage", "application/json", 400), (b"<instance/>", "application/xml", 415),
                                  (json.dumps({"instance": INSTANCE}).encode(), "application/json; charset=iso-8859-15", 415),
                                  (b"x" * 70000, "application/json", 413)):
        assert eureka.http.post("/apps/AUTH-SERVICE", content=content, headers={"Content-Type": kind}).status_code == status, content[:20]
    assert eureka.http.post("/apps/AUTH-SERVICE", content=json.dumps({"instance": INSTANCE}).encode(),
                            headers={"Content-Type": "application/json;charset=UTF-8"}).status_code == 204
    assert eureka.post(drop=("instanceId",)).status_code == 204
    assert "instanceId" not in eureka.get("/apps/AUTH-SERVICE/h").json()["instance"]


def test_a_lease_without_heartbeats_ends(eureka):
    started = time.monotonic()
    eureka.post({"leaseInfo": {"renewalIntervalInSecs": 1, "durationInSecs": 1}})
    until("the lease is over", lambda: eureka.instance() is None)
    assert 0.9 < time.monotonic() - started < 15
    assert eureka.put(PATH).status_code == 404


def test_who_does_not_ask_for_json_gets_xml(eureka):
    eureka.post()
    for headers in ({"Accept": "*/*"}, {"Accept": "application/xml"}):
        answer = eureka.get("/apps", headers=headers)
        assert answer.headers["content-type"] == "application/xml"
        root = ElementTree.fromstring(answer.text)
        assert root.findtext("apps__hashcode") == "UP_1_" and root.findtext("application/instance/port") == "8080"
        assert root.findtext("application/instance/metadata/zone") == "eu-1a"


def test_a_registration_is_seen_by_every_reader_at_once_and_bounded(eureka):
    for i in range(200):
        assert eureka.post({"instanceId": f"h:{i}", "app": "BULK"}, app="BULK").status_code == 204
    assert eureka.get("/apps").json()["applications"]["apps__hashcode"] == "UP_200_"
    assert len(eureka.delta()["application"][0]["instance"]) == 200
    for i in range(2):
        assert eureka.get(f"/apps/BULK/h:{i}").status_code == 200


def test_without_writers_it_is_for_readers(directory, tenant, ending):
    sidecar = ending(Sidecar(directory, [tenant], registry={**settings(writers="none"), "static": [
        {"application": "fixed", "address": "127.0.0.1", "port": 9000}, {"application": "pipe", "socket": "/run/p.sock"}]}).start())
    eureka = Eureka(sidecar.registry_port, "/eureka")
    answer = eureka.post()
    assert answer.status_code == 403 and answer.json()["reason"] == "forbidden"
    path = "/apps/FIXED/127.0.0.1:fixed:9000"
    for call in (eureka.put, eureka.delete):
        assert call(path).status_code == 403
    # a Unix socket cannot be said in Eureka's words
    assert [a["name"] for a in eureka.get("/apps").json()["applications"]["application"]] == ["FIXED"]
    assert eureka.get(path).json()["instance"]["port"] == {"$": 9000, "@enabled": "true"}


def test_what_did_not_come_by_rest_is_not_changed_by_rest(directory, tenant, ending):
    sidecar = ending(Sidecar(directory, [tenant], registry={**settings(), "static": [{"application": "fixed", "address": "127.0.0.1", "port": 9000, "instance-id": "f"}]}).start())
    eureka = Eureka(sidecar.registry_port, "/eureka")
    assert eureka.post({"app": "FIXED", "instanceId": "f"}, app="FIXED").status_code == 403
    assert eureka.delete("/apps/FIXED/f").status_code == 403
    assert eureka.put("/apps/FIXED/f/status", params={"value": "DOWN"}).status_code == 403
    assert eureka.get("/apps/FIXED/f").json()["instance"]["status"] == "UP"


def test_no_port_no_registry(directory, tenant, ending):
    sidecar = ending(Sidecar(directory, [tenant], registry={"embedded": {"port": 0}}).start())
    with pytest.raises(httpx.ConnectError):
        Eureka(sidecar.registry_port, "/eureka").get("/apps")


def test_a_taken_port_is_named(directory, tenant, ending):
    first = ending(Sidecar(directory, [tenant]).start())
    other = directory / "other"
    other.mkdir()
    second = Sidecar(other, [tenant], registry={"embedded": {"port": first.registry_port}})
    second.process.start()
    ending(second)
    until("it gives up", lambda: not second.process.running)
    assert second.process.process.returncode == 2 and str(first.registry_port) in second.process.log()
