"""The caches below ~/.cache/clinicwave (CW_CACHE) have a bound: what was not used for longest goes first.

  bazel/         Bazel's disk cache, shared by all checkouts: CW_CACHE_MOST bytes (K, M, G; 10G)
  NAME-HASH/     what scripts/deps.sh brought: a set that nobody used for 30 days
"""
import os
import re
import shutil
import time

import house

MOST = "10G"
ROOM = 0.8       # of the bound, after pruning: so that not each run prunes
YOUNG = 3600     # seconds; a build that runs may be about to read it
SET_LIFE = 30 * 86400


def size_of(text):
    m = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not m:
        raise house.Failure(f"CW_CACHE_MOST is {text!r}", "set it to bytes, or to a number with K, M or G")
    return int(m[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[m[2]]


def files_below(folder):
    """(last use, bytes, path) of each file. Bazel reads entries without changing them, so the time of access counts, too."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            try:
                s = os.stat(path, follow_symlinks=False)
            except FileNotFoundError:
                continue  # another checkout prunes, too
            yield max(s.st_atime, s.st_mtime), s.st_size, path


def remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def prune_files(folder, most, now):
    """Bytes that were removed so that FOLDER keeps to MOST."""
    files = sorted(files_below(folder))
    total = sum(size for _, size, _ in files)
    if total <= most:
        return 0
    removed = 0
    for used, size, path in files:
        if total - removed <= most * ROOM or now - used < YOUNG:
            break
        remove(path)
        removed += size
    return removed


def prune_sets(folder, now):
    """Names of the sets that were removed."""
    old = [p.parent for p in folder.glob("*/complete") if now - p.stat().st_mtime > SET_LIFE]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return [p.name for p in old]


def prune(folder=house.CACHE, now=None):
    now = now or time.time()
    removed = prune_files(folder / "bazel", size_of(os.environ.get("CW_CACHE_MOST") or MOST), now)
    if removed:
        house.say(f"  {folder}/bazel: {removed >> 20} MiB that were not used for longest are removed")
    for name in prune_sets(folder, now):
        house.say(f"  {folder}/{name}: not used for a month, removed")
