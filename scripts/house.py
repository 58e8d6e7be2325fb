"""What the Python parts of ./dev share: where things are, how to speak, how to call Bazel."""
import argparse
import fcntl
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = ROOT / ".run"
BIN = ROOT / ".bazel" / "bin"
CACHE = pathlib.Path(os.environ.get("CW_CACHE") or os.path.expanduser("~/.cache/clinicwave"))

PASSED, FAILED, UNDECIDED, USAGE = 0, 1, 2, 64
NOBODY_READS = 141  # as a program ends that SIGPIPE ends
PORT_BASE_MAX = 56000  # the highest port is some 9000 above it


class Failure(Exception):
    """A step that failed, with what to do about it."""

    def __init__(self, what, remedy=""):
        super().__init__(what)
        self.what, self.remedy = what, remedy


def arguments(doc):
    """A parser whose help is the head of the script and whose usage errors exit with 64."""

    class Parser(argparse.ArgumentParser):
        def error(self, message):
            print(f"{message}\n\n{doc.strip()}", file=sys.stderr)
            sys.exit(USAGE)

    return Parser(add_help=False, usage=doc, allow_abbrev=False)


class NobodyReads(Exception):
    """Standard output was closed, as `| head` does."""


def say(text=""):
    try:
        print(text, flush=True)
    except OSError as e:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would try once more at its end
        if isinstance(e, BrokenPipeError):
            raise NobodyReads from None
        raise Failure(f"this output cannot be written: {e.strerror}") from None


def step(text):
    say(f"\n== {text}")


def main(function):
    """Runs a command: a Failure is told with its remedy, ^C is quiet, and so is a reader that has gone."""
    try:
        sys.exit(function())
    except NobodyReads:
        sys.exit(NOBODY_READS)
    except Failure as e:
        print(f"\nfailed: {e.what}", file=sys.stderr)
        if e.remedy:
            print(f"what to do: {e.remedy}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)


def only_one():
    """What starts and ends parts runs one after the other in a checkout. Holds until the result is closed, or the process ends."""
    try:
        RUN.mkdir(parents=True, exist_ok=True)
        lock = open(RUN / "lock", "w")
    except OSError as e:
        raise Failure(f"{RUN}: {e.strerror}", "start and end the parts as the user whose checkout it is") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another ./dev up or down runs in this checkout: waiting for its end")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def run(*argv, **kwargs):
    return subprocess.run([str(a) for a in argv], cwd=ROOT, **kwargs)


def output_of(*argv):
    r = run(*argv, capture_output=True, text=True)
    if r.returncode:
        raise Failure(f"{' '.join(map(str, argv))}: {r.stderr.strip()[-500:]}")
    return r.stdout


def bazel(*argv, quiet=False):
    """Runs bazel with a line of progress now and then; its exit code."""
    command = ["bazel", argv[0], "--color=no", "--curses=no", "--show_progress_rate_limit=10",
               "--noshow_loading_progress", "--ui_event_filters=-info", *argv[1:]]
    sink = subprocess.DEVNULL if quiet else None
    try:
        return run(*command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink).returncode
    except FileNotFoundError:
        raise Failure("bazel is not installed", "run ./dev up, or apt-get install bazel-bootstrap") from None


def build(targets, *flags):
    if bazel("build", *flags, *targets):
        raise Failure(f"building {' '.join(targets)}", "the compiler's message is above; repair it and run this again")


def port_base():
    text = os.environ.get("CW_PORT_BASE") or "0"
    if not text.isascii() or not text.isdigit() or int(text) > PORT_BASE_MAX:
        raise Failure(f"CW_PORT_BASE is {text!r}, no number from 0 to {PORT_BASE_MAX}", "unset it, or set it to a number such as 1000")
    return int(text)


def seconds(since):
    return f"{time.monotonic() - since:.0f} s"


def tracked(*patterns):
    """Files of the checkout, below the root, by git."""
    return sorted(p for p in output_of("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns).split("\0")
                  if p and (ROOT / p).is_file())
