"""How questions travel: what comes while the worker is busy shares a message, and nobody waits for more than a bound."""
import contextlib
import fcntl
import os
import pathlib
import signal
import socket
import struct
import termios

import pytest

from tests.support.gateway import Gateway
from tests.support.programs import until

TURNS, ENOUGH = 8, 32  # edge-gateway/ngx_http_cw_batch.c


class Client:
    """A connection that stays open; what it asks is sent at once and read later."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.answers = self.socket.makefile("rb")

    def ask(self, token="good"):
        self.socket.sendall(f"GET /a/x HTTP/1.1\r\nHost: clinicwave.localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())

    def arrived(self):
        """Whether all that was sent stands in the other side's socket: acknowledged, so that nothing of it is on its way."""
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0] == 0

    def answer(self):
        status = int(self.answers.readline().split()[1])
        lines = iter(self.answers.readline, b"\r\n")
        length = next(int(v) for k, _, v in (l.partition(b":") for l in list(lines)) if k.lower() == b"content-length")
        self.answers.read(length)
        return status

    def close(self):
        self.answers.close()
        self.socket.close()


def stopped(worker):
    return pathlib.Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


@contextlib.contextmanager
def asleep(worker):
    """Nothing is read meanwhile: what comes waits in the kernel."""
    os.kill(worker, signal.SIGSTOP)
    try:
        until("the worker stands", lambda: stopped(worker))
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


@pytest.fixture
def door(directory, judge, service, ending):
    """door(n, events) is a gateway that takes EVENTS in a turn of its loop, and N clients, known to it and with a token that it knows."""
    def make(n, events="worker_connections 1024;"):
        g = Gateway(directory, server=f"cw_auth required; cw_timeout 30s; location /a/ {{ proxy_pass http://127.0.0.1:{service.port}; }}")
        g.config.write_text(g.text.replace("worker_connections 1024;", events))
        gateway = ending(g.start())
        clients = [Client(gateway.port) for _ in range(n)]
        for c in clients:
            c.ask()
            assert c.answer() == 200
        judge.messages.clear()
        return gateway, clients
    return make


def all_at_once(gateway, clients):
    [worker] = gateway.workers()
    with asleep(worker):
        for c in clients:
            c.ask()
        until("all questions are there", lambda: all(c.arrived() for c in clients))
    statuses = [c.answer() for c in clients]
    for c in clients:
        c.close()
    return statuses


def test_questions_of_one_turn_share_a_message(door, judge):
    gateway, clients = door(ENOUGH + 8)
    assert all_at_once(gateway, clients) == [200] * len(clients)
    assert sum(len(m.entries) for m in judge.messages) == len(clients)
    assert len(judge.messages) <= 3


def test_questions_of_successive_turns_share_a_message(door, judge):
    gateway, clients = door(TURNS, "worker_connections 1024; epoll_events 1;")
    assert all_at_once(gateway, clients) == [200] * len(clients)
    assert sum(len(m.entries) for m in judge.messages) == len(clients)
    assert len(judge.messages) <= 3  # one each, if none had waited for the next


def test_no_question_waits_for_more_than_so_many_turns(door, judge):
    gateway, clients = door(4 * TURNS, "worker_connections 1024; epoll_events 1;")
    assert all_at_once(gateway, clients) == [200] * len(clients)
    assert max(len(m.entries) for m in judge.messages) <= TURNS + 1


def test_a_question_that_comes_alone_is_not_kept(door, judge):
    _, clients = door(1)
    for _ in range(3):
        clients[0].ask()
        assert clients[0].answer() == 200
    assert [len(m.entries) for m in judge.messages] == [1, 1, 1]
    clients[0].close()


def test_an_unknown_digest_is_asked_again_among_others(door, judge):
    gateway, clients = door(TURNS)
    judge.forget()
    assert all_at_once(gateway, clients) == [200] * len(clients)
