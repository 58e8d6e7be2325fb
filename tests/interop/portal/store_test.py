"""The portal's own tests, run by Vitest and checked by the TypeScript compiler, with the node that Debian has."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from tests.support.programs import CHECKOUT, source

DEPS = pathlib.Path(os.environ.get("CW_DEPS") or CHECKOUT / ".run/deps") / "portal"


@pytest.fixture
def portal(directory):
    """The sources as `npm ci` would leave them."""
    for name in ("src", "tests"):
        shutil.copytree(source(f"examples/portal/{name}"), directory / name)
    for name in ("package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"):
        shutil.copy(source(f"examples/portal/{name}"), directory)
    (directory / "node_modules").mkdir()  # Vite writes into it
    for package in (DEPS / "node_modules").resolve().glob("[!.]*"):
        (directory / "node_modules" / package.name).symlink_to(package)
    return directory


def node(portal, *argv):
    r = subprocess.run(["node", *argv], cwd=portal, capture_output=True, text=True, env=dict(os.environ, HOME=str(portal), NO_COLOR="1"))
    return r.returncode, r.stdout + r.stderr


def test_the_types_are_right(portal):
    code, text = node(portal, "node_modules/typescript/bin/tsc", "--noEmit")
    assert code == 0, text


def test_store_and_client_do_as_they_say(portal):
    code, text = node(portal, "node_modules/vitest/vitest.mjs", "run", "--reporter=json", "--outputFile=report.json", "--cache=false")
    report = json.loads((portal / "report.json").read_text()) if (portal / "report.json").exists() else {}
    failed = [f"{t['fullName']}: {' '.join(t['failureMessages'])[:600]}" for f in report.get("testResults", []) for t in f["assertionResults"] if t["status"] != "passed"]
    assert code == 0 and not failed, "\n".join(failed) or text[-3000:]
    assert report["numPassedTests"] >= 30


def test_versions_are_exact_and_run_on_debian_12(portal):
    package = json.loads((portal / "package.json").read_text())
    pinned = {**package["dependencies"], **package["devDependencies"]}
    assert all(version[0].isdigit() for version in pinned.values()), pinned
    lock = json.loads((portal / "package-lock.json").read_text())["packages"]
    assert {name: lock[f"node_modules/{name}"]["version"] for name in pinned} == pinned
    assert not [n for n, p in lock.items() if "resolved" in p], "a lock file without addresses works with every registry"
    newer = [n for n, p in lock.items() if p.get("engines", {}).get("node", "").lstrip("^>= ").startswith(("20", "22"))]
    assert not newer, "Debian 12 has nodejs 18"
