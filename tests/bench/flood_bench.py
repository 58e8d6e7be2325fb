"""What a flood of bad tokens costs those who send good ones: the delay of good tokens, known and new, alone and while another client sends
unknown key names or bad signatures as fast as it can, by calls at the service socket (`*`) and as a gateway's worker does (`*-stream`); and how often the issuer's keys are fetched meanwhile.

A delay begins when the question was due and ends when its verdict is there, as a caller sees it. Callers are usually on other cores than the
flood's sender; here they share two with it and with the sidecar. So the one that is measured has real-time priority, and the sidecar goes before
the sender and whatever else runs, as far as this user may say so: what is left in the delay is the sidecar's. The sender stops and goes on every SLICE_MS, for the one that is
measured and that asks all the time. tests/bench/slices.py says what is made of the slices, what is thrown away, and when the whole proves nothing."""
# build: //tests/bench:load //tests/bench:mint_tokens //sidecar:cw-sidecar
import base64
import contextlib
import http.server
import json
import os
import pathlib
import random
import subprocess
import threading
import time

from tests.bench.measure import BIN, DOMAIN, QUICK, Directory, report, say
from tests.bench.slices import Judgement, Slice

PER_SECOND, OUTSTANDING, BAD_TOKENS, NICER = 500, 64, 5000, 10
SLICE_MS, SETTLE_MS, PAIRS = 150, 20, 4 if QUICK else 80


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


@contextlib.contextmanager
def session_first():
    """Nice values weigh within a session; sessions weigh alike (autogroup, sched(7)), whatever another one runs."""
    try:
        with open("/proc/self/autogroup") as group:
            before = group.read().split()[-1]
        pathlib.Path("/proc/self/autogroup").write_text("-20")
    except OSError:
        yield
        return
    try:
        yield
    finally:
        pathlib.Path("/proc/self/autogroup").write_text(before)


def go_before_others(process):
    """Each thread by as much, so that the sidecar's own order stays: its verifiers are nicer than its poller."""
    with contextlib.suppress(PermissionError):
        for thread in map(int, os.listdir(f"/proc/{process.pid}/task")):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) - NICER)


def measure(socket, tokens, flood, sidecar):
    """The slices of one measurement."""
    argv = (BIN / "tests/bench/load", "paced", socket, tokens, DOMAIN, PER_SECOND, SLICE_MS, SETTLE_MS, PAIRS, flood.pid, sidecar.pid)
    out = subprocess.run([str(a) for a in argv], capture_output=True, text=True, preexec_fn=go_first)
    if out.returncode:
        raise SystemExit(f"bench: {out.stderr.strip()} (allowed == verdicts: a good token was refused)")
    return Judgement([Slice.read(line) for line in out.stdout.splitlines()])


@contextlib.contextmanager
def sending(mode, socket, tokens, sidecar):
    """The flood's sender: `flood` sends calls, `storm` a stream."""
    argv = (BIN / "tests/bench/load", mode, socket, tokens, DOMAIN, OUTSTANDING, 3_600_000, sidecar.pid)
    process = subprocess.Popen([str(a) for a in argv], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def show(case, judged, fetches, seconds):
    """The rows of one measurement."""
    for name, of in (("p50", lambda side: side.percentile(50)), ("p99", lambda side: side.percentile(99)), ("cores", lambda side: side.cores)):
        stormy, calm = of(judged.storm), of(judged.calm)
        report("flood", f"{case}-{name}", stormy, "without flood", calm, "cores of the sidecar" if name == "cores" else "us", judged.pairs - judged.lost,
               ratio=stormy / calm if calm else float("inf"), proven=not judged.why)
    say(f"    {judged}")
    allowed = 1 + seconds / 30
    report("flood", f"{case}-fetches", fetches, "bound", allowed, "fetches of the key set", 1, ratio=fetches / allowed)


with session_first(), Directory() as d:
    need = 2 * PAIRS * (2 + PER_SECOND * (SLICE_MS + SETTLE_MS) // 1000)  # tokens of one measurement
    floods = [(kind, mode) for kind in ("unknown-kid", "bad-signature") for mode in ("flood", "storm")]
    jwks, tokens = d.tokens("RS256", 1 + need * len(floods))
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
    say(f"\n  delay of good tokens, {PER_SECOND} a second, in the flood and without it")
    for kind, mode in floods:
        bad = d.path / f"{kind}.tokens"
        bad.write_text("".join(bad_tokens(kind, good[0].strip())))
        name, socket = (kind, service_socket) if mode == "flood" else (f"{kind}-stream", gateway_socket)
        for who, source in (("known", lambda: known), ("new", new)):
            Keys.fetches, began = 0, time.monotonic()
            with sending(mode, socket, bad, process) as flood:
                judged = measure(gateway_socket, source(), flood, process)
            show(f"{name}-{who}", judged, Keys.fetches, time.monotonic() - began)
    issuer.shutdown()
