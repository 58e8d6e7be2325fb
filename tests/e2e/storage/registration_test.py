"""The service's registration: found while it serves, gone before it ends, back after its sidecar was gone."""
import os

import grpc
import pytest

from tests.e2e.storage.service import Storage
from tests.support.fixtures import tenant_of
from tests.support.programs import until
from tests.support.stack import Sidecar

UP = 1


@pytest.fixture
def agent(directory, authority, issuer, ending):
    return ending(Sidecar(directory, [tenant_of(issuer, authority)], registry={
        "register": [{"uid": str(os.getuid()), "applications": ["STORAGE-SERVICE"]}], "grace-period": "1s"}).start())


def instances(sidecar):
    """(address, port, status) of each instance that the sidecar knows."""
    try:
        answer = sidecar.stub("clinicwave.discovery.v1.DiscoveryService").Lookup(application="STORAGE-SERVICE")
    except grpc.RpcError:
        return None
    return [(i.address, i.port, i.status) for a in answer.applications for i in a.instances]


def test_it_is_found_while_it_serves_and_gone_after_a_graceful_stop(directory, agent, ending):
    storage = ending(Storage(directory, agent.socket).start())
    until("it is registered", lambda: instances(agent) == [("127.0.0.1", storage.port, UP)])
    until("it says so", lambda: storage.health("/readiness")["components"]["sidecar"]["details"]["registered"])
    assert storage.process.stop() == 0
    assert instances(agent) == [], "a clean end needs no grace period"


def test_it_is_gone_after_the_grace_period_when_it_was_killed(directory, agent, ending):
    storage = ending(Storage(directory, agent.socket).start())
    until("it is registered", lambda: instances(agent))
    storage.process.kill()
    until("it is gone", lambda: instances(agent) == [])


def test_it_comes_back_by_itself_when_the_sidecar_comes_back(directory, agent, ending):
    storage = ending(Storage(directory, agent.socket).start())
    until("it is registered", lambda: storage.health("/readiness")["status"] == "UP")
    agent.process.kill()
    until("it noticed", lambda: storage.health("/readiness")["status"] == "OUT_OF_SERVICE")
    agent.start()
    until("it is registered again", lambda: storage.health("/readiness")["status"] == "UP" and instances(agent))
    assert instances(agent) == [("127.0.0.1", storage.port, UP)]


def test_it_keeps_serving_where_its_registration_is_refused(directory, agent, issuer, ending):
    storage = ending(Storage(directory, agent.socket, application="no name of an application").start())
    until("it was told", lambda: "registration-lost" in storage.process.log())
    assert instances(agent) == []
    assert storage.ask("GET", "/files", issuer.token()).status_code == 200
    assert storage.health("/readiness")["status"] == "OUT_OF_SERVICE"
