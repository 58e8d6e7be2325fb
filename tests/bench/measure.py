"""What the benches share: programs with a directory of their own, alternating runs, medians, tables and JSON lines."""
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from tests.bench import bars

BIN = pathlib.Path(os.environ["CW_BIN"]).resolve()
AS_JSON, QUICK = "--json" in sys.argv, "--quick" in sys.argv
ROWS = os.environ.get("CW_BENCH_ROWS")  # a file that gathers what became of each bar: scripts/bench.py sums it up
AUDIENCE, ISSUER, DOMAIN = "https://api.clinicwave.com", "https://bench.example/", "clinicwave.localhost"

# An nginx of one worker that writes no log of requests; %(main)s before, what follows in http.
NGINX_HEAD = """
%(user)s
worker_processes 1;
daemon off;
pid %(home)s/nginx.pid;
error_log stderr error;
%(main)s
events { worker_connections 2048; }
http {
    access_log off;
    client_body_temp_path %(home)s/body; proxy_temp_path %(home)s/proxy;
    fastcgi_temp_path %(home)s/fastcgi; uwsgi_temp_path %(home)s/uwsgi; scgi_temp_path %(home)s/scgi;
    keepalive_requests 100000000;
"""


def runs(full):
    return 1 if QUICK else full


def duration(full_ms):
    return min(full_ms, 300) if QUICK else full_ms


def say(text=""):
    if not AS_JSON:
        print(text, flush=True)


class Median(float):
    """The median of what each round measured, with the rounds: what disturbs a machine for a while disturbs both sides of the same round."""

    def __new__(cls, rounds):
        self = super().__new__(cls, statistics.median(rounds))
        self.rounds = list(rounds)
        return self

    def over(self, other):
        """The median of the ratios of each round."""
        return statistics.median(a / b for a, b in zip(self.rounds, other.rounds, strict=True))


def report(bench, case, ours, peer, theirs, unit, n, ratio=None, proven=True):
    """One line: OURS and THEIRS are medians of the same rounds; their ratio, above 1 where ours does better, unless the caller gives another. Where bars.py has a bar
    for the row it says whether it is kept; not PROVEN: the numbers are printed, and tell nothing."""
    ratio = ours.over(theirs) if ratio is None else ratio
    bar = bars.find(bench, case, peer)
    state, words = bars.judge(bar, ours, ratio, proven) if bar else (None, "")
    if AS_JSON:
        print(json.dumps({"bench": bench, "case": case, "ours": round(ours, 2), "peer": peer, "theirs": round(theirs, 2),
                          "ratio": round(ratio, 3), "unit": unit, "runs": n, **({"bar": bar.bar, "state": state} if state else {})}), flush=True)
    else:
        print(f"  {case:22} {ours:12,.1f}   {peer:22} {theirs:12,.1f}   {unit:26} ratio {ratio:6.3f}   ({n} runs)" + (f"   {words}" if words else ""), flush=True)
    if state and ROWS:
        with open(ROWS, "a") as rows:
            rows.write(json.dumps([f"{bench} {case}, {peer}: {ours if bar.of == 'ours' else ratio:,.3g} {words}", state]) + "\n")


def alternate(n, *measurements):
    """Runs the measurements one after the other, N rounds, and gives the Median of each."""
    results = [[] for _ in measurements]
    for _ in range(n):
        for result, measure in zip(results, measurements):
            result.append(measure())
    return [Median(r) for r in results]


class Directory:
    """A short path (sockets have 107 bytes), gone at the end, with the programs that run in it."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="cwb", dir="/tmp")
        self.path, self.processes, self.homes = pathlib.Path(self.temporary.name), [], 0
        os.chmod(self.path, 0o755)
        return self

    def __exit__(self, *exception):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            if process.stdin:
                process.stdin.close()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self.temporary.cleanup()

    def start(self, name, *argv):
        """A program that runs until the end; its standard input is a pipe, its messages are in NAME.log."""
        log = open(self.path / f"{name}.log", "ab")
        process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.path)
        self.processes.append(process)
        return process

    def nginx(self, name, configuration, values):
        """An nginx in a home of its own, with CONFIGURATION (NGINX_HEAD and what the bench adds) filled in from VALUES."""
        home = self.path / name
        home.mkdir()
        (home / "nginx.conf").write_text(configuration % {"user": "user root;" if os.geteuid() == 0 else "", "home": home, "main": "", **values})
        return self.start(name, "/usr/sbin/nginx", "-p", home, "-e", "stderr", "-c", home / "nginx.conf")

    def stop(self, process):
        self.processes.remove(process)
        process.send_signal(signal.SIGTERM)
        process.stdin.close()
        process.wait(10)

    def echo(self):
        """The echo prototype: (process, socket)."""
        path = self.path / "echo.sock"
        process = self.start("echo", "/bin/sh", "-c", f"exec {BIN}/tests/bench/echo_server {path}")
        answers(path, process)
        return process, path

    def sidecar(self, jwks, algorithms, spins=True, static=()):
        """cw-sidecar that trusts the keys in JWKS, a file or a URL: (process, gateway socket, service socket). SPINS=False where its CPU time
        is measured: what its poller spends waiting (docs/decisions/0010) is no part of a verdict's cost. STATIC: instances that its registry has."""
        self.homes += 1
        home = self.path / f"s{self.homes}"
        (home / "state").mkdir(parents=True)
        keys = {"jwks-uri": jwks, "insecure-http-loopback": True} if str(jwks).startswith("http:") else {"jwks-file": str(jwks)}
        document = {
            "sidecar": {"run-dir": str(home), "state-dir": str(home / "state"), "management": {"port": 0}, **({} if spins else {"spin-us": 0})},
            "tenants": [{"name": "clinicwave", "domains": [DOMAIN], "audiences": [AUDIENCE],
                         "issuers": [{"issuer": ISSUER, "algorithms": algorithms, **keys}]}],
            "registry": {"embedded": {"port": 0}, "static": list(static)},
            "log": {"level": "warn"},
        }
        (home / "sidecar.yaml").write_text(json.dumps(document))  # JSON is YAML
        process = self.start("sidecar", BIN / "sidecar/cw-sidecar", "--config", home / "sidecar.yaml")
        answers(home / "gateway.sock", process)
        answers(home / "sidecar.sock", process)
        return process, home / "gateway.sock", home / "sidecar.sock"

    def tokens(self, alg, n, size=800):
        """N tokens of ALG: (key set, file of tokens, one a line)."""
        jwks, tokens = self.path / f"{alg}-{n}.jwks", self.path / f"{alg}-{n}.tokens"
        subprocess.run([BIN / "tests/bench/mint_tokens", "write", alg, str(n), str(size), ISSUER, AUDIENCE, jwks, tokens], check=True)
        return jwks, tokens


def answers(path, process, seconds=20):
    """Waits until somebody accepts on the Unix socket."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(path))
                return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"bench: nobody serves on {path}:\n" + "\n".join(p.read_text(errors="replace")[-2000:] for p in pathlib.Path(path).parent.parent.glob("*.log")))


class Load:
    """What the load client saw."""

    def __init__(self, mode, socket_path, tokens, *arguments, pid):
        out = subprocess.run([str(a) for a in (BIN / "tests/bench/load", mode, socket_path, tokens, DOMAIN, *arguments, pid)],
                             check=True, capture_output=True, text=True).stdout.split()
        self.verdicts, self.allowed, self.seconds, self.server_ns = int(out[0]), int(out[1]), float(out[2]), int(out[3])
        if self.allowed != self.verdicts:
            raise SystemExit(f"bench: {self.verdicts - self.allowed} of {self.verdicts} verdicts were no ALLOW")

    @property
    def per_second(self):
        return self.verdicts / self.seconds

    @property
    def per_core_second(self):
        """Verdicts for each second of CPU time that the server used."""
        return self.verdicts / (self.server_ns / 1e9)

    @property
    def server_us(self):
        return self.server_ns / 1e3 / self.verdicts


def rss_kib(process):
    with open(f"/proc/{process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
