"""What 10 000 tenants cost: a request of cw-authsvc and a verdict of cw-sidecar against the same with one tenant, the time to start, memory.
Each tenant has its own ES256 key, which is opened when it is first used."""
# build: //authsvc:cw-authsvc //sidecar:cw-sidecar
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

os.environ.setdefault("CW_BIN", "bazel-bin")
from tests.e2e.authsvc.doors import ANNA, PASSWORD, Grpc, Rest, document  # noqa: E402
from tests.support import many_tenants  # noqa: E402
from tests.support.programs import until  # noqa: E402
from tests.support.stack import Authsvc, Sidecar  # noqa: E402

AS_JSON, QUICK = "--json" in sys.argv, "--quick" in sys.argv
N = 1000 if QUICK else 10000
RUNS, CALLS, HOT = (1, 30, 10) if QUICK else (7, 300, 100)


def rss(process):
    return int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def timed(condition, action):
    begin = time.monotonic()
    action()
    until("it is there", condition, seconds=120)
    return time.monotonic() - begin


def report(case, ours, peer, theirs, unit, runs, ratio):
    if AS_JSON:
        print(json.dumps({"bench": "tenants", "case": case, "ours": round(ours, 2), "peer": peer, "theirs": round(theirs, 2), "ratio": round(ratio, 3),
                          "unit": unit, "runs": runs}), flush=True)
    else:
        print(f"  {case:24} {ours:10.2f}   {peer:14} {theirs:10.2f}   {unit:16} ratio {ratio:6.3f}   ({runs} runs)", flush=True)


def bar(case, value, most):
    if not AS_JSON:
        print(f"  {case:24} {value:10.2f}   at most {most}: {'kept' if value <= most else 'MISSED'}", flush=True)


def tenants_of(sidecar):
    return sum(v for k, v in sidecar.metrics().items() if k.startswith("cw_sidecar_tenants{"))


class Side:
    """A cw-authsvc with N tenants and a sidecar that learns them."""

    def __init__(self, directory, n):
        self.n = n
        (directory / "sidecar").mkdir(parents=True)
        self.authsvc = Authsvc(directory, document()).add_user("clinicwave", ANNA, PASSWORD)
        self.authsvc.start().stop()
        many_tenants.fill(directory / "state", n, like=("clinicwave", ANNA))
        self.start_s = timed(lambda: True, self.authsvc.start)
        self.sidecar = Sidecar(directory / "sidecar", [], sidecar={"authsvc": {"socket": str(self.authsvc.socket)}})
        self.learn_s = timed(lambda: tenants_of(self.sidecar) == n + 2, self.sidecar.start)
        self.door, self.rest = Grpc(self.authsvc), Rest(self.authsvc)
        self.hosts = [many_tenants.domain(i) for i in random.Random(1).sample(range(n), min(HOT, n))]
        self.tokens = {h: self.door.login(domain=h).tokens for h in self.hosts}
        self.stub = self.sidecar.stub()
        self.figures = rss(self.authsvc.process), rss(self.sidecar.process)

    def per_call(self, call):
        """Milliseconds of a call, the median of so many over the hot tenants."""
        times = []
        for k in range(CALLS):
            host = self.hosts[k % len(self.hosts)]
            begin = time.perf_counter()
            call(host)
            times.append(time.perf_counter() - begin)
        return statistics.median(times) * 1000

    def login(self, host):
        assert self.door.login(domain=host).reason is None

    def refresh(self, host):
        self.tokens[host] = self.door.refresh(self.tokens[host]["refresh_token"], domain=host).tokens

    def jwks(self, host):
        assert self.rest.client.get("/.well-known/jwks.json", headers={"Host": host}).status_code == 200

    def verdict(self, host):
        assert self.stub.Validate(token=self.tokens[host]["access_token"].encode(), domain=host).decision == 1

    def stop(self):
        self.sidecar.stop()
        self.authsvc.stop()


with tempfile.TemporaryDirectory(prefix="cwt", dir="/tmp") as temporary:
    one, many = (Side(pathlib.Path(temporary) / name, n) for name, n in (("one", 1), ("many", N)))
    try:
        for case in ("refresh", "jwks", "verdict", "login"):
            results = [[], []]
            for _ in range(RUNS):
                for result, side in zip(results, (many, one)):
                    result.append(side.per_call(getattr(side, case)))
            ours, theirs = (statistics.median(r) for r in results)
            report(f"{case}, {N} tenants", ours, "one tenant", theirs, "ms a call", RUNS, theirs / ours)
            bar(case, ours / theirs, 1.1)
        report(f"start, {N} tenants", many.start_s, "bound", 3.0, "s", 1, 3.0 / many.start_s)
        bar("start", many.start_s, 3.0)
        report("sidecar learns them", many.learn_s, "one tenant", one.learn_s, "s", 1, one.learn_s / many.learn_s)
        report("authsvc memory", many.figures[0], "one tenant", one.figures[0], "MiB", 1, one.figures[0] / many.figures[0])
        report("sidecar memory", many.figures[1], "one tenant", one.figures[1], "MiB", 1, one.figures[1] / many.figures[1])
    finally:
        for side in (one, many):
            side.stop()
