"""Programs under test: found beside the test or in the checkout, started, watched, ended."""
import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

import yaml

# In Bazel's sandbox the working directory is the root of the runfiles; in a checkout .bazel/bin is beside the sources.
HERE = pathlib.Path.cwd()
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def program(path):
    """The built program //DIR:NAME, given as "DIR/NAME"."""
    for base in (HERE, CHECKOUT / ".bazel/bin", CHECKOUT / "bazel-out/k8-fastbuild/bin"):
        if (base / path).exists():
            return base / path
    raise FileNotFoundError(f"{path} is not built: bazel build //{os.path.dirname(path)}:{os.path.basename(path)}")


def source(path):
    """A file of the repository that the test has as data."""
    for base in (HERE, CHECKOUT):
        if (base / path).exists():
            return base / path
    raise FileNotFoundError(path)


def free_port(given=set()):
    """A port that nobody listens on, given once, and none that the system gives to connections (ip_local_port_range):
    it must still be free when the program that it is for starts."""
    while True:
        port = random.randrange(24000, 32000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            if port not in given:
                given.add(port)
                return port


def until(what, condition, seconds=30):
    """Waits for CONDITION, patiently but not forever; what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = condition()
        except OSError:
            value = None
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.02)


def listening(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def accepting(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(1)
        return s.connect_ex(str(path)) == 0


class Program:
    """One process, its log in a file."""

    def __init__(self, name, argv, directory, environment=None):
        self.name, self.argv, self.log_path = name, [str(a) for a in argv], directory / f"{name}.log"
        self.environment = dict(os.environ, **(environment or {}))
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def until_ready(self, condition, seconds=60):
        def ready():
            if not self.running:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            return condition()
        try:
            until(f"{self.name} is ready", ready, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()[-3000:]}") from None
        return self

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def signal(self, number):
        self.process.send_signal(number)

    def pause(self):
        """Stopped, all its threads: the signal alone takes a moment on a busy machine."""
        self.signal(signal.SIGSTOP)
        threads = pathlib.Path(f"/proc/{self.pid}/task")
        until(f"{self.name} stands still", lambda: all((t / "stat").read_text().rpartition(")")[2].split()[0] == "T" for t in threads.iterdir()))

    def go_on(self):
        self.signal(signal.SIGCONT)

    def check_reports(self):
        """A sanitizer tells on stderr and by an exit code that most tests do not look at."""
        report = re.search(r"(Address|Thread|Leak|UndefinedBehavior)Sanitizer|runtime error: ", self.log())
        assert not report, f"{self.name}:\n{self.log()[max(0, report.start() - 200):][:6000]}"

    def kill(self):
        """As a crash would."""
        self.signal(signal.SIGKILL)
        code = self.process.wait(10)
        self.check_reports()
        return code

    def stop(self, seconds=40):
        """Gracefully; its exit code."""
        if self.process is None:
            return None
        if self.running:
            self.go_on()
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise AssertionError(f"{self.name} did not stop within {seconds} s:\n{self.log()[-3000:]}") from None
        self.check_reports()
        return code


def nginx_environment(directory):
    """Stock nginx loads a module built with a sanitizer only when the runtime comes first; the report goes into a file."""
    if not os.environ.get("CW_PRELOAD"):
        return {}
    return {"LD_PRELOAD": os.environ["CW_PRELOAD"], "UBSAN_OPTIONS": f"log_path={directory}/sanitizer:print_stacktrace=1:halt_on_error=1",
            "ASAN_OPTIONS": f"log_path={directory}/sanitizer:detect_leaks=0:detect_stack_use_after_return=1"}


def sanitizer_reports(directory):
    """nginx restarts a worker that a sanitizer ended, so its report must be looked for."""
    return "\n".join(p.read_text(errors="replace") for p in sorted(directory.glob("sanitizer*")))


def write_yaml(path, document):
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
