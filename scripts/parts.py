"""The parts of the running stack: what each is, how it is started, watched and ended.

Everything lies below .run/: bin/ programs, etc/ configuration, log/ logs, state/ data, parts/ what runs. A part is ours only
if its process id and its start time are the ones that were written down, so that a reused id is never touched.
"""
import hashlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time

import client
import house
from house import ROOT, RUN, Failure

PORTS = {"HTTP": 8080, "HTTPS": 8443, "IDP": 8444, "AUTHSVC_REST": 9081, "SIDECAR": 9082, "AUTHSVC": 9083, "STORAGE": 9084, "STORAGE_MANAGEMENT": 9085,
         "GATEWAY": 9086, "REGISTRY": 8761}  # no two of them differ by a round 1000: bases that do are for two checkouts at once
SOCKETS = ["gateway", "sidecar", "admin", "authsvc", "authsvc-admin"]
SOCKET_PATH_MAX = 107
CANDIDATES_MAX = 5  # of processes that may hold a port, to be named


def ports(base):
    return {name: port + base for name, port in PORTS.items()}


def free_base():
    """A base with which `up` finds all its ports free; 1000 where there is none."""
    for base in range(1000, 23000, 1000):
        if not any(listens(port) for port in ports(base).values()):
            return base
    return 1000


def saved_ports():
    """The ports of the last `up`."""
    try:
        return {**ports(house.port_base()), **json.loads((RUN / "ports.json").read_text())}  # an older `up` knew fewer
    except (OSError, ValueError):
        return ports(house.port_base())


def listens(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def command_of(process):
    """The words of a process's command line; [] where it has none or is gone."""
    try:
        return (process / "cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return []


def listening(port):
    """{the socket as /proc/PID/fd names it: the user who listens} of a port."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = open(table).read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            field = line.split()
            if field[3] == "0A" and int(field[1].rsplit(":", 1)[1], 16) == port:
                found[f"socket:[{field[9]}]"] = int(field[7])
    return found


def names_port(process, words, port):
    """Its command line, or a file of it, has the port as a number."""
    for word in words[1:]:
        if re.search(rf"(?<![0-9]){port}(?![0-9])", word):
            return True
        path = pathlib.Path(word.rpartition("=")[2])
        try:
            path = path if path.is_absolute() else pathlib.Path(os.readlink(process / "cwd")) / path
            if path.is_file() and path.stat().st_size < 1 << 20 and re.search(rf"(?<![0-9]){port}(?![0-9])", path.read_text(errors="replace")):
                return True
        except OSError:
            continue
    return False


def hidden(uids, port):
    """[(pid, command)] of the processes of UIDS whose open files are hidden, as our programs' are; if some name the port, those."""
    all_, meant = [], []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        words = command_of(process)
        try:
            if not words or process.stat().st_uid not in uids | {0} or int(re.search(r"^Uid:\s+(\d+)", (process / "status").read_text(), re.M)[1]) not in uids:
                continue
            for fd in (process / "fd").iterdir():
                os.readlink(fd)
        except PermissionError:
            one = (int(process.name), " ".join(words)[:80])
            all_.append(one)
            meant += [one] if names_port(process, words, port) else []
        except (OSError, TypeError):
            continue
    return meant or all_


def holder(port):
    """(pid, command) of the process that listens on PORT; pid None where it cannot be told for certain, then the command says what can."""
    sockets = listening(port)
    if not sockets:
        return None
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(fd) in sockets for fd in (process / "fd").iterdir()):
                return int(process.name), " ".join(command_of(process))[:80]
        except OSError:
            continue
    candidates = hidden(set(sockets.values()), port)
    if len(candidates) == 1:  # a guess: what names the port need not hold it
        pid, command = candidates[0]
        return None, f"a process that hides its files, probably process {pid} ({command})"
    if 1 < len(candidates) <= CANDIDATES_MAX:
        return None, "a process that hides its files, one of " + "; ".join(f"process {pid} ({command})" for pid, command in candidates)
    return None, "a process that only root may look at"


def started_at(pid):
    """Start time of a process in clock ticks since boot; None when there is none."""
    try:
        stat = open(f"/proc/{pid}/stat").read()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2:].split()
    return None if fields[0] in "ZX" else int(fields[19])


def digest(*things):
    h = hashlib.sha256()
    for thing in things:
        h.update(thing.read_bytes() if isinstance(thing, pathlib.Path) else str(thing).encode())
        h.update(b"\0")
    return h.hexdigest()[:16]


class Part:
    """One process of the stack."""

    def __init__(self, name, about, argv, port_names, inputs, ready, end_signal=signal.SIGTERM, patience=30):
        self.name, self.about, self.argv, self.inputs = name, about, [str(a) for a in argv], inputs
        self.ready, self.end_signal, self.patience = ready, end_signal, patience
        self.port_names, self.note = port_names, RUN / "parts" / f"{name}.json"
        self.log = RUN / "log" / f"{name}.log"

    def written(self):
        try:
            return json.loads(self.note.read_text())
        except (OSError, ValueError):
            return {}

    @property
    def pid(self):
        """The process id while it runs, else None."""
        known = self.written()
        pid = known.get("pid")
        return pid if pid and started_at(pid) == known.get("started") else None

    def fingerprint(self):
        return digest(*self.argv, *self.inputs)

    def current(self):
        """Runs, and from what is there now."""
        return self.pid is not None and self.written().get("fingerprint") == self.fingerprint()

    def is_ready(self):
        try:
            return self.pid is not None and bool(self.ready())
        except (OSError, ValueError, KeyError):
            return False

    def check_ports(self, numbers):
        for name in self.port_names:
            found = holder(numbers[name])
            if found:
                pid, command = found
                raise Failure(f"port {numbers[name]} ({name.lower().replace('_', ' ')} of {self.name}) is held by {command}"
                              + (f", process {pid}" if pid else ""),
                              f"end {'that process' if pid else 'the one that holds it'}, or choose other ports: CW_PORT_BASE={free_base()} ./dev up")
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.0.1", numbers[name]))
                except OSError as e:
                    raise Failure(f"port {numbers[name]} ({name.lower().replace('_', ' ')} of {self.name}): {e.strerror}; "
                                  "an outgoing connection has it for the moment",
                                  f"run this again, or choose ports below 32768: CW_PORT_BASE={free_base()} ./dev up") from None

    def start(self):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.note.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > 16 << 20:
            self.log.replace(self.log.with_suffix(".log.1"))
        # CW_ variables are configuration keys to the programs; ./dev's own are none of them.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CW_")}
        with open(self.log, "ab") as log:
            process = subprocess.Popen(self.argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                       start_new_session=True)
        self.note.write_text(json.dumps({"pid": process.pid, "started": started_at(process.pid), "fingerprint": self.fingerprint()}))
        return process

    def until_ready(self, process=None):
        seconds = self.patience
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if process and process.poll() is not None:
                raise Failure(f"{self.name} ended with {process.returncode}; its last lines:\n{self.tail(8)}", f"./dev logs {self.name}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} is not ready after {seconds} s; its last lines:\n{self.tail(8)}", f"./dev logs {self.name}")
            time.sleep(0.05)

    def tail(self, lines):
        if not self.log.exists():
            return "  (no log)"
        return "\n".join("  " + line[:400] for line in self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, seconds=20):
        """Ends it, gracefully first; False when it did not run."""
        pid = self.pid
        if pid is None:
            self.note.unlink(missing_ok=True)
            return False
        for number, patience in ((self.end_signal, seconds), (signal.SIGKILL, 5)):
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, number)
            deadline = time.monotonic() + patience
            while self.pid is not None and time.monotonic() < deadline:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
                time.sleep(0.03)
            if self.pid is None:
                break
            house.say(f"  {self.name} did not end within {patience} s; it is killed")
        self.note.unlink(missing_ok=True)
        return True


def fill(template, values):
    """The text of TEMPLATE with each @NAME@ filled in."""
    text = (ROOT / template).read_text()

    def value(match):
        if match.group(1) not in values:
            raise Failure(f"{template}: nothing is known for @{match.group(1)}@")
        return str(values[match.group(1)])
    return re.sub(r"@([A-Z_]+)@", value, text)


def write(path, text, mode=0o644):
    """Writes only what differs, so that times and fingerprints stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        new = path.with_name(path.name + ".new")
        new.touch(mode)
        new.write_text(text)
        new.replace(path)
    path.chmod(mode)
    return path


def may_enter(uid, path):
    """Whether a user may pass through all folders above PATH."""
    for folder in [path, *path.parents]:
        s = folder.stat()
        if not (s.st_mode & 0o001 or (s.st_uid == uid and s.st_mode & 0o100)):
            return False
    return True


def gateway_user():
    """(name, group, uid, remark) that nginx's workers run as: www-data under root, where it can reach the sockets."""
    if os.getuid() != 0:
        return str(os.getuid()), os.getgid(), os.getuid(), ""  # a container's user may have no name
    user = pwd.getpwnam("www-data")
    if may_enter(user.pw_uid, RUN):
        return user.pw_name, user.pw_gid, user.pw_uid, ""
    return "root", 0, 0, f"the gateway's workers run as root, since www-data cannot enter {ROOT}; a checkout in /srv or /opt avoids that"


def health(port, path="/actuator/health/readiness"):
    return client.request("GET", f"http://127.0.0.1:{port}{path}", timeout=2).status == 200


EXTRAS = {"eureka"}  # what `up --with` can start beside the parts


def saved_extras():
    """Those of the last `up`."""
    try:
        return set((RUN / "with").read_text().split()) & EXTRAS
    except OSError:
        return set()


def eureka(numbers):
    """The real Eureka server in place of the embedded registry, and what the sidecar is told of it."""
    jar, port = RUN / "deps/eureka/registry-current.jar", numbers["REGISTRY"]
    url = f"http://127.0.0.1:{port}/eureka/"
    settings = {"server.address": "127.0.0.1", "server.port": port, "spring.application.name": "eureka", "eureka.instance.hostname": "127.0.0.1",
                "eureka.client.register-with-eureka": "false", "eureka.client.fetch-registry": "false", "eureka.client.service-url.defaultZone": url,
                "eureka.server.response-cache-update-interval-ms": 1000, "eureka.server.response-cache-auto-expiration-in-seconds": 10}
    part = Part("eureka", "the Eureka server of Spring Cloud Netflix",
                ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", jar, *(f"--{k}={v}" for k, v in settings.items())],
                ["REGISTRY"], [jar], lambda: client.request("GET", url + "apps", headers={"Accept": "application/json"}).status == 200, patience=120)
    return part, [f"--registry.eureka.servers[0].url={url}", "--registry.eureka.poll-interval=2s", "--registry.eureka.instance.address=127.0.0.1",
                  "--registry.eureka.instance.host-name=localhost", "--registry.allow=127.0.0.0/8"]


def stack(numbers, extras=None):
    """The parts, in the order of their start."""
    extras = saved_extras() if extras is None else extras
    server, sidecar_options = eureka(numbers) if "eureka" in extras else (None, [])
    sidecar_ports = ["SIDECAR"] if server else ["SIDECAR", "REGISTRY"]
    etc, programs = RUN / "etc", RUN / "bin"
    gate = f"https://clinicwave.localhost:{numbers['HTTPS']}"
    ca = RUN / "ca.pem"

    def program(name, about, port_names, ready, *options):
        config = etc / f"{name.removeprefix('cw-')}.yaml"
        return Part(name.removeprefix("cw-"), about, [programs / name, "--config", config, *options], port_names,
                    [programs / name, config], ready)

    return ([server] if server else []) + [
        Part("idp", "identity provider of the tenant abott (npm oidc-provider)",
             ["node", RUN / "deps/idp/idp.mjs", etc / "idp.json"], ["IDP"],
             [RUN / "deps/idp/idp.mjs", etc / "idp.json", RUN / "tls/idp.pem"],
             lambda: client.request("GET", f"https://localhost:{numbers['IDP']}/.well-known/openid-configuration", ca=ca).status == 200),
        program("cw-sidecar", "token validator, host registry", sidecar_ports, lambda: health(numbers["SIDECAR"]), *sidecar_options),
        program("cw-authsvc", "login, OpenID provider", ["AUTHSVC_REST", "AUTHSVC"], lambda: health(numbers["AUTHSVC"])),
        program("storage-service", "the demo's microservice", ["STORAGE", "STORAGE_MANAGEMENT"],
                lambda: health(numbers["STORAGE_MANAGEMENT"])),
        Part("gateway", "nginx with the ClinicWave module",
             ["/usr/sbin/nginx", "-p", RUN, "-c", etc / "nginx.conf", "-e", RUN / "log/nginx-error.log", "-g", "daemon off;"],
             ["HTTP", "HTTPS", "GATEWAY"], [programs / "ngx_http_cw_module.so", etc / "nginx.conf", RUN / "tls/gateway.pem"],
             lambda: client.request("GET", f"{gate}/healthz", ca=ca).status == 200, signal.SIGQUIT),
    ]


def copy_program(source, target):
    """A copy that replaces a running program's file; left alone when equal."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.read_bytes() == source.read_bytes():
        return
    new = target.with_name(target.name + ".new")
    shutil.copyfile(source, new)
    new.chmod(0o755)
    new.replace(target)
