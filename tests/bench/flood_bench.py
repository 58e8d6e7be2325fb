"""What a flood of bad tokens costs those who send good ones: the delay of good tokens, known and new, alone and while another client sends
unknown key names or bad signatures as fast as it can; and how often the issuer's keys are fetched meanwhile.

A delay begins when the question was due and ends when its verdict is there, as a caller sees it. Callers are usually on other cores than the
flood's sender; here they share two with it and with the sidecar. So the one that is measured has real-time priority, and the sidecar goes before
the sender and whatever else runs, as far as this user may say so: what is left in the delay is the sidecar's. Rounds with and without the flood alternate and are short, so that what else the machine
does meets both; how far the calm ones lie apart is printed, and where that is more than STEADY, the run says so: it proves nothing."""
# build: //tests/bench:load //tests/bench:mint_tokens //sidecar:cw-sidecar
import base64
import contextlib
import http.server
import json
import os
import random
import statistics
import subprocess
import threading
import time

from tests.bench.measure import BIN, DOMAIN, Directory, duration, report, runs, say

PER_SECOND, OUTSTANDING, BAD_TOKENS, BAR, STEADY, NICER = 500, 64, 5000, 3, 2, 10
HEAD_START = 0.5  # seconds that the flood runs before anybody measures


class Keys(http.server.BaseHTTPRequestHandler):
    """The issuer's key set, which counts how often it is asked."""

    document, fetches = b"", 0

    def do_GET(self):
        Keys.fetches += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.document)))
        self.end_headers()
        self.wfile.write(self.document)

    def log_message(self, *_):
        pass


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def bad_tokens(kind, good):
    """Tokens that no key verifies: of KIND "unknown-kid" or "bad-signature", with the claims of a good one."""
    chance = random.Random(4)
    header, payload, _ = good.split(".")
    for _ in range(BAD_TOKENS):
        if kind == "unknown-kid":
            header = b64(json.dumps({"alg": "RS256", "typ": "at+jwt", "kid": f"{chance.getrandbits(64):x}"}).encode())
        yield f"{header}.{payload}.{b64(chance.randbytes(256))}\n"


def go_first():
    """In the child: no other program of this bench keeps it from a core."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def go_before_others(process):
    """Each thread by as much, so that the sidecar's own order stays: its verifiers are nicer than its poller."""
    with contextlib.suppress(PermissionError):
        for thread in map(int, os.listdir(f"/proc/{process.pid}/task")):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) - NICER)


def paced(socket, tokens, pid, milliseconds):
    """(50th, 99th percentile) of the delay of good tokens, in microseconds, and the cores that the sidecar kept busy meanwhile."""
    out = subprocess.run([str(a) for a in (BIN / "tests/bench/load", "paced", socket, tokens, DOMAIN, PER_SECOND, milliseconds, pid)],
                         check=True, capture_output=True, text=True, preexec_fn=go_first).stdout.split()
    if out[0] != out[1]:
        raise SystemExit(f"bench: {int(out[0]) - int(out[1])} of {out[0]} good tokens were no ALLOW")
    return float(out[4]), float(out[5]), int(out[3]) / 1e9 / float(out[2])


class Flood:
    def __init__(self, socket, tokens, pid):
        self.argv = [str(a) for a in (BIN / "tests/bench/load", "flood", socket, tokens, DOMAIN, OUTSTANDING, 600_000, pid)]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL)
        time.sleep(HEAD_START)

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()


with Directory() as d:
    milliseconds, n = duration(1000), runs(9)
    rounds = {"known": n, "new": max(1, n // 2)}
    need = PER_SECOND * milliseconds // 1000 + 1  # tokens of one measurement
    jwks, tokens = d.tokens("RS256", 1 + need * rounds["new"] * 2 * 2)  # calm and stormy, of two kinds
    Keys.document = jwks.read_bytes()
    issuer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=issuer.serve_forever, daemon=True).start()
    process, gateway_socket, service_socket = d.sidecar(f"http://127.0.0.1:{issuer.server_port}/", ["RS256"])
    good = tokens.read_text().splitlines(keepends=True)
    known = d.path / "known.tokens"
    known.write_text(good[0])

    def new():
        """A file of good tokens that the sidecar has not seen."""
        path = d.path / "new.tokens"
        path.write_text("".join(good[-need:]))
        del good[-need:]
        return path

    go_before_others(process)
    paced(gateway_socket, known, process.pid, 300)  # warm
    say(f"\n  delay of good tokens, {PER_SECOND} a second, in the flood and without it; the bar for the 99th percentile is {BAR}")
    for kind in ("unknown-kid", "bad-signature"):
        bad = d.path / f"{kind}.tokens"
        bad.write_text("".join(bad_tokens(kind, good[0].strip())))
        flood = Flood(service_socket, bad, process.pid)
        for who, source in (("known", lambda: known), ("new", new)):
            calm, stormy = [], []
            Keys.fetches, began = 0, time.monotonic()
            for _ in range(rounds[who]):
                calm.append(paced(gateway_socket, source(), process.pid, milliseconds))
                with flood:
                    stormy.append(paced(gateway_socket, source(), process.pid, milliseconds))
            for column, name in enumerate(("p50", "p99", "cores")):
                a, b = (statistics.median(r[column] for r in what) for what in (stormy, calm))
                report("flood", f"{kind}-{who}-{name}", a, "without flood", b, "cores of the sidecar" if name == "cores" else "us", len(calm), ratio=a / b)
            p99s = [r[1] for r in calm]
            apart = max(p99s) / min(p99s)
            say(f"    calm rounds' p99: {min(p99s):,.0f} to {max(p99s):,.0f} us" + ("" if apart <= STEADY else f": {apart:.1f} times apart, this proves nothing"))
            allowed = 1 + (time.monotonic() - began) / 30
            report("flood", f"{kind}-{who}-fetches", Keys.fetches, "bound", allowed, "fetches of the key set", len(calm), ratio=Keys.fetches / allowed)
    issuer.shutdown()
