"""What choosing an instance costs: one nginx with one worker proxies the same requests to the same four services, once through
`cw_application` and once through its own `upstream`; no token in either, keepalive in both, wrk as the client. The ratio of CPU time
counts what the worker used for a request, theirs to ours. Everything runs on one core: on two, whether and where a process sleeps and
wakes decides at one connection by a factor of two, and differs from run to run. What nginx's own leaves out: it has no list that changes
without a reload, and without `zone` each of its workers chooses and remembers failures alone; `nginx-zone` shares that among workers, as
ours always does.
"""
# build: //tests/bench:mint_tokens //sidecar:cw-sidecar //edge-gateway:ngx_http_cw_module.so
import os
import re
import subprocess
import time

from tests.bench.measure import BIN, DOMAIN, NGINX_HEAD, QUICK, Directory, Median, alternate, report, runs, say
from tests.support.programs import free_port

CONNECTIONS = (1, 32, 128)
SERVICES = 4
KEEPALIVE = "keepalive 256; keepalive_requests 100000000;"

# the policy of ours, and what nginx has for it
POLICIES = {"round_robin": ("", ""), "least_conn": ("cw_balance least_conn;", "least_conn;"),
            "hash": ("cw_balance hash $arg_key;", "hash $arg_key consistent;")}

NGINX = NGINX_HEAD + """
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    %(http)s
}
"""


def get(port, path):
    return subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True).stdout


class Door:
    """The nginx that is measured: a location for each upstream."""

    def __init__(self, directory, sidecar, services):
        self.port, servers = free_port(), "".join(f"server 127.0.0.1:{port}; " for port in services)
        upstreams, locations = "", ""
        for name, (ours, theirs) in POLICIES.items():
            upstreams += f"upstream ours_{name} {{ cw_application service; {ours} {KEEPALIVE} }}\n"
            upstreams += f"upstream nginx_{name} {{ {theirs} {servers} {KEEPALIVE} }}\n"
        upstreams += f"upstream nginx_zone {{ zone nginx_zone 256k; {servers} {KEEPALIVE} }}\n"
        for name in [f"{whose}_{name}" for whose in ("ours", "nginx") for name in POLICIES] + ["nginx_zone"]:
            locations += f"location /{name}/ {{ cw_auth off; proxy_pass http://{name}; }}\n"
        self.process = directory.nginx("door", NGINX, {"http": f"cw_sidecar unix:{sidecar};\n{upstreams}\nserver {{ listen 127.0.0.1:{self.port}; {locations} }}",
                                                       "main": f"load_module {BIN}/edge-gateway/ngx_http_cw_module.so;"})
        end = time.monotonic() + 20
        while get(self.port, "/ours_round_robin/") != "200":
            if time.monotonic() > end:
                raise SystemExit("bench: no instance serves:\n" + (directory.path / "door.log").read_text()[-2000:])
            time.sleep(0.05)
        self.worker = int(subprocess.run(["pgrep", "-P", str(self.process.pid)], check=True, capture_output=True, text=True).stdout.split()[0])

    def cpu_us(self):
        with open(f"/proc/{self.worker}/schedstat") as f:
            return int(f.read().split()[0]) / 1e3

    def load(self, upstream, connections):
        """(requests a second, microseconds of the worker's CPU time for each)."""
        before = self.cpu_us()
        out = subprocess.run(["wrk", "-t1", f"-c{connections}", "-d1s", "-H", f"Host: {DOMAIN}",
                              f"http://127.0.0.1:{self.port}/{upstream}/?key=1"], check=True, capture_output=True, text=True).stdout
        used = self.cpu_us() - before
        if "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"bench: not all answers were 200:\n{out}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), used / int(re.search(r"(\d+) requests in", out)[1])


def compare(door, case, connections, ours, theirs, peer):
    seen = {name: [] for name in (ours, theirs)}

    def measure(name):
        per_second, cpu = door.load(name, connections)
        seen[name].append(cpu)
        return per_second
    n = runs(21)
    us, them = alternate(n, lambda: measure(ours), lambda: measure(theirs))
    report("balancer", f"{case}-{connections}", us, peer, them, "requests/s", n)
    ours_us, theirs_us = (Median(seen[name]) for name in (ours, theirs))
    report("balancer", f"{case}-{connections}-cpu", ours_us, peer, theirs_us, "us of CPU a request", n, theirs_us.over(ours_us))


os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # and what is started from here
with Directory() as d:
    services = [free_port() for _ in range(SERVICES)]
    d.nginx("service", NGINX, {"http": "server { " + "".join(f"listen 127.0.0.1:{port}; " for port in services) +
                                       'location / { default_type text/plain; return 200 "stored\\n"; } }'})
    jwks, _ = d.tokens("RS256", 1)
    _, gateway_socket, _ = d.sidecar(jwks, ["RS256"], spins=False,
                                     static=[{"application": "service", "address": "127.0.0.1", "port": port} for port in services])
    door = Door(d, gateway_socket, services)
    for name in POLICIES:
        door.load(f"ours_{name}", 1)  # warm: connections
        door.load(f"nginx_{name}", 1)
    say(f"\n  requests through one worker to {SERVICES} services; the ratio is ours to nginx's, of CPU time theirs to ours, the median of the rounds'")
    for connections in (1, 32) if QUICK else CONNECTIONS:
        compare(door, "round_robin", connections, "ours_round_robin", "nginx_round_robin", "nginx-upstream")
    if not QUICK:
        compare(door, "round_robin", 32, "ours_round_robin", "nginx_zone", "nginx-upstream-zone")
        for name in ("least_conn", "hash"):
            compare(door, name, 32, f"ours_{name}", f"nginx_{name}", "nginx-upstream")
