"""The sidecar with the real Eureka server of Spring Cloud Netflix: what the end-to-end tests say with the embedded registry, said again
with the real one, of the current release train and an older one; and two peers on their bad days."""
import urllib.request

import pytest

from tests.e2e.registry.eureka_client_test import (  # noqa: F401 fixtures and tests that run here too
    at_server, nobody_is_kept, proxy, start, test_a_compressed_document_is_read_and_its_bound_counts_what_it_inflates_to,
    test_a_dirty_timestamp_from_the_future_is_outbid, test_a_drained_service_is_back_after_its_sidecar_died,
    test_a_service_of_this_host_is_a_full_instance, test_an_administrator_takes_a_service_of_this_host_out,
    test_an_administrators_word_outlives_the_sidecar, test_an_entry_that_cannot_be_read_is_told, test_an_instance_on_ec2_is_in_its_availability_zone,
    test_documents_of_other_servers_are_read, test_loopback_is_told_to_nobody_else, test_registering_goes_to_the_next_server_too,
    test_the_next_server_is_asked_when_one_fails,
    test_of_two_with_one_id_the_newer_counts, test_what_an_administrator_makes_unknown_is_up_again, test_requests_are_those_of_a_good_client, test_statuses_follow_the_service,
    test_what_ends_a_service_and_what_does_not, test_what_eureka_knows_reaches_the_watchers_change_by_change)
from tests.e2e.registry import eureka_client_test as same
from tests.support.discovery import UP, Registration, Watch
from tests.support.eureka import Agent, Spring, settled
from tests.support.programs import until


@pytest.fixture(scope="module", params=["current", "older"])
def spring(request, tmp_path_factory):
    server = Spring(tmp_path_factory.mktemp("eureka"), request.param).start()
    yield server
    server.stop()


@pytest.fixture
def server(spring):
    """The real server, empty."""
    def empty():
        for app in spring.call("GET", "apps")[1]["applications"]["application"]:
            for i in app["instance"]:
                spring.call("DELETE", f"apps/{app['name']}/{i['instanceId']}")
    empty()
    yield spring
    empty()


BOTH_TRAINS = ("hang", 503, "half", "html")


@pytest.mark.parametrize("fault, words", [f for f in same.FAULTS if f[0] in BOTH_TRAINS], ids=str)
def test_whatever_a_server_does_what_is_known_stays(server, start, proxy, fault, words):
    same.test_whatever_a_server_does_what_is_known_stays(server, start, proxy, fault, words)


@pytest.mark.parametrize("spring", ["current"], indirect=True, scope="module")
@pytest.mark.parametrize("fault, words", [f for f in same.FAULTS if f[0] not in BOTH_TRAINS], ids=str)
def test_whatever_else_a_server_does_what_is_known_stays(server, start, proxy, fault, words):
    same.test_whatever_a_server_does_what_is_known_stays(server, start, proxy, fault, words)


def test_the_real_server_speaks_xml_unless_asked(server, start, proxy):
    """Why the client asks for JSON by name: the real server's default is what the sidecar refuses."""
    server.register("greeter", "a")
    xml = urllib.request.urlopen(server.url + "apps", timeout=10).read().decode()
    assert xml.startswith("<applications>")
    proxy.rewrite = lambda text: xml
    agent = start(proxy)
    until("it is refused", lambda: "XML, although JSON" in agent.eureka["error"])


def test_five_hundred_services_through_one_sidecar_are_read_by_another(server, start, directory, ending):
    agent = start(server, **{"heartbeat-interval": "10s", "lease-duration": "60s", "timeout": "10s"})
    reader = ending(Agent(directory / "reader", [server], {"timeout": "10s", "register": False}).start())
    watch = Watch(reader, "X")
    services = [Registration(agent, instance_id=f"s{n}", port=10000 + n) for n in range(500)]
    everybody = {f"s{n}": UP for n in range(500)}
    until("all are registered", lambda: agent.eureka["registered"] == 500, 120)
    until("the other host's gateways have them all", lambda: watch.state() == {"X": everybody}, 120)
    assert len(server.statuses("x")) == 500
    good = agent.metric("heartbeats_total", outcome="good")
    until("each has had a heartbeat", lambda: agent.metric("heartbeats_total", outcome="good") >= good + 500, 120)
    assert watch.state() == {"X": everybody} and len(services) == 500
    assert agent.metric("heartbeats_total", outcome="failed") == 0 and not agent.events("eureka-forgotten")
    for sidecar in (agent, reader):
        assert sidecar.eureka["error"] == "" and not sidecar.eureka["late"] and sidecar.eureka["held"] == 0


def test_a_server_that_does_not_offer_deltas_is_read_whole(directory, ending):
    """By the server's own setting, not by a proxy."""
    server = ending(Spring(directory / "plain", **{"eureka.server.disable-delta": "true"}).start())
    agent = ending(Agent(directory / "agent", [server]).start())
    server.register("greeter", "a")
    settled(agent, "greeter", {"a": "UP"})
    server.cancel("greeter", "a")
    until("it is held, since nobody said that it left", lambda: agent.eureka["held"] >= 1)
    assert agent.eureka["error"] == "" and agent.metric("fetches_total", document="delta", outcome="failed") > 0


def test_heartbeats_keep_it_and_a_server_that_forgot_is_told_again(server, start):
    same.test_heartbeats_keep_it_and_a_server_that_forgot_is_told_again(server, start)
