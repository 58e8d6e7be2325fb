"""
usage: ./dev logs [NAME…] [-f] [-n LINES] [--json]

The logs of the parts (idp sidecar authsvc storage-service gateway), for people: time (UTC), level, part, message and what
belongs to it. Without a name: all parts.

  -f        goes on with what is written from now on
  -n LINES  of each part, from the end; default 20
  --json    the lines as they are, in Elastic Common Schema
"""
import argparse
import datetime
import json
import sys
import time

import house
import parts
from house import RUN, say

LOGS = {"gateway": ["gateway.log", "nginx-error.log", "access.log"]}
HIDDEN = {"@timestamp", "log.level", "message", "ecs.version", "service.name", "service.version", "process.pid", "event.dataset"}


def flat(value, prefix=""):
    for key, v in value.items():
        if isinstance(v, dict):
            yield from flat(v, f"{prefix}{key}.")
        else:
            yield prefix + key, v


def clock(timestamp):
    """The time of day, in UTC: nginx writes the host's zone, and no fraction."""
    try:
        at = datetime.datetime.fromisoformat(str(timestamp).replace("Z", "+00:00"))
    except ValueError:
        return str(timestamp)[11:23]
    return at.astimezone(datetime.timezone.utc).strftime("%H:%M:%S.%f")[:12]


def count(text):
    """Of lines: a number from 0."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines")
    return int(text)


def pretty(part, line):
    try:
        fields = dict(flat(json.loads(line)))
    except (ValueError, AttributeError):
        return f"{'':12} {'':5} {part:16} {line}"
    rest = " ".join(f"{k}={v}" for k, v in fields.items() if k not in HIDDEN)
    return f"{clock(fields.get('@timestamp', '')):12} {str(fields.get('log.level', '')):5} {part:16} {fields.get('message', '')}  {rest}".rstrip()


def main():
    parser = house.arguments(__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("-f", action="store_true", dest="follow")
    parser.add_argument("-n", type=count, default=20, dest="lines")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    known = [p.name for p in parts.stack(parts.saved_ports())]
    for name in options.names:
        if name not in known:
            parser.error(f'no part "{name}"; there are {", ".join(known)}')
    files = [(name, RUN / "log" / f) for name in options.names or known for f in LOGS.get(name, [f"{name}.log"])]

    def show(part, text):
        for line in text.splitlines():
            say(line if options.json else pretty(part, line))

    ends = {}
    for part, path in files:
        if path.exists():
            text = path.read_text(errors="replace")
            ends[path] = path.stat().st_size
            lines = text.splitlines()
            show(part, "\n".join(lines[max(0, len(lines) - options.lines):]))
    if not ends and not options.follow:
        print("no logs yet: ./dev up writes them", file=sys.stderr)
        return house.FAILED
    while options.follow:
        for part, path in files:
            size = path.stat().st_size if path.exists() else 0
            if size < ends.get(path, 0):
                ends[path] = 0
            if size > ends.get(path, 0):
                with open(path, "rb") as f:
                    f.seek(ends.get(path, 0))
                    data = f.read()
                whole = data[:data.rfind(b"\n") + 1]
                show(part, whole.decode("utf-8", "replace"))
                ends[path] = ends.get(path, 0) + len(whole)
        time.sleep(0.3)
    return house.PASSED


if __name__ == "__main__":
    house.main(main)
