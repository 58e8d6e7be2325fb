"""A PostgreSQL of the test's own: Unix socket only, in a folder of its own, as a user that is not root."""
import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

from tests.support.programs import Program, source, until

DURABLE = ("fsync=on", "full_page_writes=on")


class PostgreSQL:
    """One server; each `fresh()` is an empty database as far as authsvc can see (a schema). With TCP_PORT it listens on 127.0.0.1, too."""

    def __init__(self, *settings, tcp_port=None):
        if tcp_port:
            settings = (*settings, "listen_addresses=127.0.0.1", f"port={tcp_port}")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cwpg", dir="/tmp"))
        self.directory.chmod(0o711)
        self.log_directory = pathlib.Path(tempfile.mkdtemp(prefix="cwpglog", dir="/tmp"))
        self.process = Program("postgresql", [source("tests/support/postgresql.sh").resolve(), self.directory, *settings], self.log_directory)
        self.numbers, self.port = itertools.count(), tcp_port or 5432

    def start(self):
        self.process.start().until_ready(self.answers, seconds=60)
        return self

    def prepare(self):
        """Makes the folder of the database without starting it, so that files can be put there."""
        subprocess.run([*self.process.argv[:2], "--prepare"], check=True, timeout=120, stdout=subprocess.DEVNULL)
        with open(self.directory / "data/pg_hba.conf", "a") as rules:
            rules.write("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        return self

    def give(self, name, content):
        """A file in the folder of the database, the server's own."""
        path = self.directory / "data" / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        owner = (self.directory / "data").stat()
        os.chown(path, owner.st_uid, owner.st_gid)

    def answers(self):
        return self.psql("SELECT 1", check=False).returncode == 0

    def psql(self, sql, schema=None, check=True, database="postgres"):
        url = self.url(schema) if schema else f"postgresql://postgres@/{database}?host={self.directory}&port={self.port}"
        r = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", url], input=sql, text=True, capture_output=True, timeout=60,
                           env={**os.environ, "PGCONNECT_TIMEOUT": "5"})
        assert not check or r.returncode == 0, r.stderr
        return r if not check else r.stdout.strip()

    def url(self, schema, user="postgres"):
        options = urllib.parse.quote(f"-csearch_path={schema}")
        return f"postgresql://{user}@/postgres?host={self.directory}&port={self.port}&options={options}"

    def fresh(self):
        """The URL of an empty database."""
        schema = f"t{next(self.numbers)}"
        self.psql(f"CREATE SCHEMA {schema}")
        return self.url(schema)

    def postmaster(self):
        return int((self.directory / "data/postmaster.pid").read_text().split()[0])

    def children(self):
        pid = self.postmaster()
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def signal_all(self, number):
        """To every process of the server; none is born meanwhile, but one may end by itself."""
        postmaster = self.postmaster()
        os.kill(postmaster, signal.SIGSTOP)
        pids = [*self.children(), postmaster]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def pause(self):
        """Nothing answers, nothing is refused."""
        self.signal_all(signal.SIGSTOP)

    def go_on(self):
        self.signal_all(signal.SIGCONT)

    def limit_files(self, n_bytes):
        """No file may grow beyond N_BYTES, as if the disk were full; "unlimited" ends it. Segments of the log have 1 MiB."""
        other = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []

        def limit(pid):
            subprocess.run([*other, "prlimit", "--pid", str(pid), f"--fsize={n_bytes}:unlimited"], check=False)
        limit(self.postmaster())  # first: who is born from now on has it from there
        for pid in self.children():
            limit(pid)

    def kill(self):
        """As a crash: the postmaster and all its children."""
        pids = self.signal_all(signal.SIGKILL)
        self.process.process.wait(20)
        until("the server is gone", lambda: not any(pathlib.Path(f"/proc/{p}").exists() for p in pids), 20)

    def halt(self):
        """Immediate shutdown; start() brings it back with all that was committed."""
        if self.process.running:
            self.go_on()
            self.process.signal(signal.SIGQUIT)
            self.process.process.wait(30)

    def stop(self):
        self.halt()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.log_directory, ignore_errors=True)
