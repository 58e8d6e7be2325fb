"""Services that register at a sidecar, and gateways that watch it."""
import queue
import threading

import grpc

from tests.support import rpc
from tests.support.programs import until

SERVICE = "clinicwave.discovery.v1.DiscoveryService"
UP, DOWN, STARTING, OUT_OF_SERVICE = 1, 2, 3, 4


class Registration:
    """A Register stream that the test feeds. grpcio cancels a call that nobody holds any more: they are kept."""

    kept = []

    def __init__(self, sidecar, **instance):
        self.kept.append(self)
        self.channel = rpc.channel(sidecar.socket)
        self.outgoing = queue.Queue()
        self.call = rpc.Stub(self.channel, SERVICE).Register(iter(self.outgoing.get, None))
        self.instance = dict({"application": "x", "address": "127.0.0.1", "port": 9000, "status": UP}, **instance)
        self.answer = self.say()

    def say(self, **changes):
        self.instance.update(changes)
        self.outgoing.put(rpc.message("clinicwave.discovery.v1.RegisterRequest")(instance=self.instance))
        return next(self.call)

    def close(self):
        """A half-close: the clean end."""
        self.outgoing.put(None)
        assert self.call.code() == grpc.StatusCode.OK


class Watch:
    """A Watch stream; `state()` is the latest snapshot as `{application: {id: status}}`."""

    def __init__(self, sidecar, *applications):
        self.call = rpc.Stub(rpc.channel(sidecar.gateway_socket), SERVICE).Watch(applications=applications, timeout=300)
        self.snapshots = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for snapshot in self.call:
                self.snapshots.append(snapshot)
        except grpc.RpcError:
            pass

    @property
    def latest(self):
        return self.snapshots[-1] if self.snapshots else None

    def state(self):
        return self.latest and {a.name: {i.instance_id: i.status for i in a.instances} for a in self.latest.applications}

    def until(self, state, seconds=60):
        try:
            until(f"the watcher sees {state}", lambda: self.state() == state, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.state()}") from None


def lookup(sidecar, application="", socket=None):
    return rpc.Stub(rpc.channel(socket or sidecar.admin_socket), SERVICE).Lookup(application=application)
