"""What the gateway costs on each request with a warm token, beside the same nginx without it, the echo prototype in the sidecar's
place, and nginx's own auth_request to another nginx that says 204. One worker each, everything on this host, wrk as the client."""
# build: //tests/bench:echo_server //tests/bench:mint_tokens //sidecar:cw-sidecar //edge-gateway:ngx_http_cw_module.so
import os
import re
import socket
import subprocess

from tests.bench.measure import BIN, DOMAIN, QUICK, Directory, alternate, answers, duration, report, runs, say

CONNECTIONS = (1, 8, 32, 128)

# %(main)s before, %(http)s in http, %(server)s in the server, %(location)s in the location that is measured
NGINX = """
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
    large_client_header_buffers 4 32k;
    keepalive_requests 100000000;
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

PROXY = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://service;'


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Bench:
    def __init__(self, directory):
        self.directory, self.service = directory, 1
        self.service = self.nginx("service", location='default_type text/plain; return 200 "stored\\n";')
        self.jwks, tokens = directory.tokens("RS256", 1)
        self.token = tokens.read_text().strip()

    def nginx(self, name, listen=None, **parts):
        """An nginx of its own; the port it listens on."""
        home, port = self.directory.path / name, free_port()
        home.mkdir()
        values = {"user": "user root;" if os.geteuid() == 0 else "", "home": home, "service": self.service, "main": "", "http": "",
                  "server": "", "location": PROXY, "listen": listen or f"127.0.0.1:{port}", **parts}
        (home / "nginx.conf").write_text(NGINX % values)
        process = self.directory.start(name, "/usr/sbin/nginx", "-p", home, "-e", "stderr", "-c", home / "nginx.conf")
        if listen:
            answers(listen.removeprefix("unix:"), process)
        else:
            self.wait(port)
        return port

    def wait(self, port):
        for _ in range(500):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            subprocess.run(["sleep", "0.02"])
        raise SystemExit(f"bench: nobody listens on {port}")

    def module(self, name, sidecar):
        return self.nginx(name, main=f"load_module {BIN}/edge-gateway/ngx_http_cw_module.so;", http=f"cw_sidecar unix:{sidecar};",
                          location="cw_auth required; cw_authorization pass; " + PROXY)

    def auth_request(self):
        path = self.directory.path / "auth.sock"
        self.nginx("auth", listen=f"unix:{path}", location="return 204;")
        return self.nginx("auth_request", http=f"upstream auth {{ server unix:{path}; keepalive 256; keepalive_requests 100000000; }}",
                          server='location = /auth { internal; proxy_http_version 1.1; proxy_set_header Connection ""; '
                                 'proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass http://auth; }',
                          location="auth_request /auth; " + PROXY)

    def wrk(self, port, connections):
        out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{max(1, duration(3000) // 1000)}s", "-H", f"Host: {DOMAIN}",
                              "-H", f"Authorization: Bearer {self.token}", f"http://127.0.0.1:{port}/files"],
                             check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"bench: not all answers were 200:\n{out}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


with Directory() as d:
    bench = Bench(d)
    _, gateway_socket, _ = d.sidecar(bench.jwks, ["RS256"])
    _, echo_socket = d.echo()
    doors = {"ours": bench.module("ours", gateway_socket), "echo prototype": bench.module("echo_gateway", echo_socket),
             "nginx-bare": bench.nginx("bare"), "nginx-auth_request": bench.auth_request()}
    for door in doors.values():
        bench.wrk(door, 1)  # warm: connections, and the token in the sidecar's cache
    say("\n  requests/s with a warm RS256 token of 800 bytes; the ratio is ours to the peer's in the same rounds")
    for connections in (1, 32) if QUICK else CONNECTIONS:
        n = runs(7)
        ours, *theirs = alternate(n, *[lambda door=door: bench.wrk(door, connections) for door in doors.values()])
        for peer, value in zip(list(doors)[1:], theirs):
            report("gateway", f"warm-{connections}", ours, peer, value, "requests/s", n)
