"""
usage: ./dev status

What runs where, and whether it is ready. Exit code 0 when everything is ready, 1 when something is not.
"""
import os

import house
import parts
from house import say


def age(pid):
    ticks = os.sysconf("SC_CLK_TCK")
    uptime = float(open("/proc/uptime").read().split()[0])
    seconds = int(uptime - parts.started_at(pid) / ticks)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def main():
    house.arguments(__doc__).parse_args()
    numbers, down = parts.saved_ports(), 0
    for part in parts.stack(numbers):
        pid, where = part.pid, ", ".join(str(numbers[n]) for n in part.port_names)
        ready = part.is_ready()
        down += not ready
        state = "ready" if ready else "runs, not ready" if pid else "does not run"
        say(f"  {part.name:16} {state:16} {where:12} " + (f"process {pid}, up {age(pid)}" if pid else "./dev up starts it"))
        if pid and not part.current():
            say(f"  {'':16} changed since it was started: ./dev up restarts it")
    if down:
        say("\n  what to do: ./dev logs NAME shows why; .run/bin/cwctl health names a failing dependency")
    return house.FAILED if down else house.PASSED


if __name__ == "__main__":
    house.main(main)
