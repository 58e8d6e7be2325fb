"""What CORS costs a request at the gateway (docs/decisions/0015): instructions of an nginx worker under callgrind, which count the same on a
busy machine. 10 000 tenants have origins; the peer is the same location without cw_cors."""
# build: //edge-gateway:ngx_http_cw_module.so
# packages: bench
import http.client
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from tests.support.gateway import Gateway, Judge, Origins
from tests.support.programs import listening, until

AS_JSON, QUICK = "--json" in sys.argv, "--quick" in sys.argv
FEW, MANY = (100, 300) if QUICK else (500, 2500)
TENANTS = 100 if QUICK else 10000
HOST, PORTAL = "clinicwave.localhost", "https://portal.clinicwave.com"
SERVER = f"""
    location /off/ {{ cw_auth off; empty_gif; }}
    location /listed/ {{ cw_auth off; cw_cors {HOST} {PORTAL}; empty_gif; }}
    location /tenant/ {{ cw_auth off; cw_cors tenant; empty_gif; }}"""
CASES = [("/listed/", None), ("/tenant/", None), ("/listed/", PORTAL), ("/tenant/", PORTAL), ("/tenant/", "https://evil.example")]


def ask(connection, path, origin):
    connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
    for name, value in (("Host", HOST), ("User-Agent", "a browser with a name of some length"), ("Accept", "*/*"), ("Accept-Language", "en"), ("Origin", origin)):
        if value:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    return answer


def instructions(path, origin, n):
    """Of a whole life of nginx in which it answers N requests, and a few before."""
    with tempfile.TemporaryDirectory(prefix="cw", dir="/tmp") as name:
        directory = pathlib.Path(name)
        judge = Judge(directory / "gateway.sock")
        judge.origins = Origins()
        judge.origins.say(*[([f"t{i}.example"], [f"https://portal.t{i}.example"]) for i in range(TENANTS)], ([HOST], [PORTAL]))
        judge.start()
        gateway = Gateway(directory, server=SERVER, main="master_process off;")
        gateway.config.write_text(gateway.text.replace("user root;", ""))
        counts = directory / "callgrind"
        nginx = subprocess.Popen(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={counts}", "/usr/sbin/nginx", "-p", directory, "-e", "stderr",
                                  "-c", gateway.config], stderr=subprocess.DEVNULL)
        try:
            until("nginx listens", lambda: listening(gateway.port))
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
            until("the origins are known", lambda: ask(connection, "/tenant/", PORTAL).getheader("access-control-allow-origin"))
            for _ in range(n):
                ask(connection, path, origin)
            connection.close()
        finally:
            nginx.terminate()
            nginx.wait(60)
            judge.stop()
        return int(re.search(r"^(?:summary|totals): (\d+)", counts.read_text(), re.M)[1])


def a_request(path, origin):
    return (instructions(path, origin, MANY) - instructions(path, origin, FEW)) / (MANY - FEW)


for origin in (None, PORTAL):
    peer = a_request("/off/", origin)
    for path, sent in [c for c in CASES if (c[1] is None) == (origin is None)]:
        ours = a_request(path, sent)
        case = f"{path.strip('/')}-{'without-origin' if sent is None else 'allowed' if sent == PORTAL else 'refused'}"
        if AS_JSON:
            print(json.dumps({"bench": "cors", "case": case, "ours": round(ours), "peer": "no cw_cors", "theirs": round(peer), "ratio": round(ours / peer, 3),
                              "unit": "instructions/request", "runs": 1}), flush=True)
        else:
            print(f"  {case:24} {ours:8.0f}   no cw_cors {peer:8.0f}   instructions/request   ratio {ours / peer:.3f}", flush=True)
