"""A Python service that registers itself with py-eureka-client, as its users write it.

usage: greeter.py DEPS PORT REGISTRY_PORT"""
import http.server
import signal
import sys
import threading

deps, port, registry_port = sys.argv[1:]
sys.path.insert(0, deps)
from py_eureka_client import eureka_client  # noqa: E402

client = None


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        application, pages = self.path.partition("application=")[2], self.path.partition("pages=")[2]
        body = "hello from Python"
        if application:
            found = client.applications.get_application(application)
            body = ",".join(sorted(f"{i.hostName}:{i.port.port}" for i in found.up_instances))
        if pages:
            found = client.applications.get_application(pages)
            body = ",".join(sorted(f"{i.homePageUrl} {i.statusPageUrl} {i.healthCheckUrl}" for i in found.up_instances))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
client = eureka_client.init(eureka_server=f"http://127.0.0.1:{registry_port}/eureka", app_name="greeter-py", instance_id=f"python:{port}",
                            instance_host="localhost", instance_ip="127.0.0.1", instance_port=int(port), renewal_interval_in_secs=1, duration_in_secs=3)
server.serve_forever()
eureka_client.stop()
