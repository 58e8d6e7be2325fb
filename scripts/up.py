"""
usage: ./dev up [--with eureka]

Installs what is missing (Debian packages from scripts/packages.txt; as root or with sudo), builds with Bazel, starts everything with
the embedded defaults, waits until each part is ready, makes one real login and one real request through the gateway.
A second `up` restarts only what changed. `./dev down` ends it.

Ports: 8080 and 8443 the gateway, 9086 its metrics, 9081 to 9085 the parts behind it, 8444 abott's identity provider, 8761 the registry;
all on loopback.

  --with eureka   starts the real Eureka server (Spring Cloud Netflix; Java and Maven, about 250 MB the first time) in place of the
                  embedded registry, for as long as `up` is called so

  CW_PORT_BASE=N  adds N to every port, so that two checkouts can be up at once
"""
import json
import os
import secrets
import shutil
import time

import cache
import client
import house
import parts
from house import BIN, ROOT, RUN, Failure, say, step

TARGETS = {
    "cw-sidecar": "sidecar/cw-sidecar", "cw-authsvc": "authsvc/cw-authsvc", "cwctl": "cwctl/cwctl",
    "storage-service": "examples/storage-service/storage-service", "ngx_http_cw_module.so": "edge-gateway/ngx_http_cw_module.so",
}
USERS = [("clinicwave", "anna@clinicwave.com", ["doctor"]), ("clinicwave", "admin@clinicwave.com", ["admin"]),
         ("abott", "bob@abott.com", ["nurse"])]


def openssl(*argv, text=""):
    r = house.run("openssl", *argv, input=text, capture_output=True, text=True)
    if r.returncode:
        raise Failure(f"openssl {argv[0]}: {r.stderr.strip()[-300:]}")


def certificates():
    """A CA of this checkout, and two certificates by it. The CA's key is thrown away once they are signed."""
    tls, ca = RUN / "tls", RUN / "ca.pem"
    wanted = {"gateway": ["clinicwave.localhost", "abott.localhost", "clinicwave.com", "abott.com", "localhost"], "idp": ["localhost"]}
    files = [ca, *(tls / f"{name}.pem" for name in wanted)]
    if all(f.exists() and house.run("openssl", "x509", "-noout", "-checkend", 7 * 86400, "-in", f, capture_output=True).returncode == 0
           for f in files):
        return
    tls.mkdir(parents=True, exist_ok=True)
    tls.chmod(0o700)
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", tls / "ca.key", "-out", ca, "-days", 365, "-subj", "/CN=ClinicWave Gate demo CA",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for name, names in wanted.items():
        (tls / "ext").write_text("subjectAltName=" + ",".join([f"DNS:{n}" for n in names] + ["IP:127.0.0.1", "IP:::1"])
                                 + "\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n")
        openssl("req", "-new", *new_key, "-keyout", tls / f"{name}.key", "-out", tls / "csr", "-subj", f"/CN={names[0]}")
        openssl("x509", "-req", "-in", tls / "csr", "-CA", ca, "-CAkey", tls / "ca.key", "-CAcreateserial", "-days", 365,
                "-extfile", tls / "ext", "-out", tls / f"{name}.pem")
    for leftover in ("ca.key", "ca.srl", "csr", "ext"):
        (tls / leftover).unlink(missing_ok=True)
    (RUN / "ca.srl").unlink(missing_ok=True)
    say("  new CA and certificates")


def demo_users():
    path = RUN / "demo-users.json"
    try:
        users = json.loads(path.read_text())
    except (OSError, ValueError):
        users = []
    known = {(u["tenant"], u["username"]): u for u in users}
    users = [known.get((t, u)) or {"tenant": t, "username": u, "password": secrets.token_urlsafe(12)} for t, u, _ in USERS]
    parts.write(path, json.dumps(users, indent=1) + "\n", 0o600)
    return users


def configuration(numbers, users):
    """Writes .run/etc from the samples in deploy/demo."""
    user, group, uid, remark = parts.gateway_user()
    if remark:
        say(f"  note: {remark}")
    values = {"NAME": "@NAME@", "RUN": RUN, "UID": os.getuid(), "GATEWAY_UID": uid, "GATEWAY_GROUP": group, "GATEWAY_USER": user, "USER_LINE": f"user {user};" if os.getuid() == 0 else "",
              **{f"PORT_{name}": port for name, port in numbers.items()}}
    etc = RUN / "etc"
    for sample in sorted(p for p in (ROOT / "deploy/demo").iterdir() if p.suffix in (".yaml", ".conf")):
        parts.write(etc / sample.name, parts.fill(f"deploy/demo/{sample.name}", values))
    secret_file = etc / "idp.json"
    try:
        secret = json.loads(secret_file.read_text())["client"]["secret"]
    except (OSError, ValueError, KeyError):
        secret = secrets.token_urlsafe(24)
    parts.write(etc / "idp-client-secret", secret, 0o600)
    idp_users = [dict(u, roles=roles) for u, (_, _, roles) in zip(users, USERS) if u["tenant"] == "abott"]
    parts.write(secret_file, json.dumps({
        "port": numbers["IDP"], "host": "127.0.0.1", "issuer": f"https://127.0.0.1:{numbers['IDP']}/", "cert": str(RUN / "tls/idp.pem"),
        "key": str(RUN / "tls/idp.key"), "profile": "auth0", "connection": "Users", "audience": "https://api.abott.com", "client": {"id": "clinicwave", "secret": secret},
        "users": idp_users}, indent=1) + "\n", 0o600)


def portal_pages():
    """The portal's pages to where the gateway serves them; whole pages, old or new."""
    served, new, old = (RUN / name for name in ("portal", "portal.new", "portal.old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(RUN / "deps/portal/dist", new)
    if served.exists():
        served.rename(old)
    new.rename(served)
    shutil.rmtree(old, ignore_errors=True)


def prepare_folders():
    longest = len(str(RUN / "authsvc-admin.sock"))
    if longest > parts.SOCKET_PATH_MAX:
        raise Failure(f"the paths of the Unix sockets below {RUN} have {longest} bytes, the kernel allows {parts.SOCKET_PATH_MAX}",
                      "move the checkout to a shorter path")
    for name in ("bin", "etc", "log", "parts", "state/sidecar", "state/authsvc", "state/storage", "cache"):
        (RUN / name).mkdir(parents=True, exist_ok=True)
    (RUN / "state").chmod(0o700)
    RUN.chmod(0o755)


def add_users(users):
    for user, (_, _, roles) in zip(users, USERS):
        if user["tenant"] == "abott":
            continue  # abott's users are its provider's
        r = house.run(RUN / "bin/cw-authsvc", "user", "add", "--if-absent", "--config", RUN / "etc/authsvc.yaml", "--tenant", user["tenant"],
                      "--username", user["username"], "--roles", ",".join(roles), input=user["password"] + "\n", text=True, capture_output=True)
        if r.returncode:
            raise Failure(f"adding the user {user['username']}: {(r.stderr or r.stdout).strip()[-400:]}", "./dev logs authsvc")


def start_all(numbers, users, extras):
    stack = parts.stack(numbers, extras)
    for part in parts.stack(numbers, parts.EXTRAS):
        if part.name not in {p.name for p in stack} and part.stop():
            say(f"  {part.name}: no longer wanted, ended")
    changed = [p for p in stack if not p.current()]
    for part in reversed(changed):
        if part.stop():
            say(f"  {part.name}: changed, ended")
    for part in changed:
        part.check_ports(numbers)
    for part in stack:
        if part not in changed:
            say(f"  {part.name}: unchanged, runs as process {part.pid}")
            continue
        begun = time.monotonic()
        if part.name == "authsvc":
            add_users(users)
        process = part.start()
        part.until_ready(process)
        say(f"  {part.name}: ready after {time.monotonic() - begun:.1f} s, process {process.pid}")
    for part in stack:
        part.until_ready()  # one that was left alone may still be finding a restarted neighbour
    return stack


def first_request(numbers, users):
    gate, ca = f"https://clinicwave.localhost:{numbers['HTTPS']}", RUN / "ca.pem"
    user = users[0]
    login = client.request("POST", f"{gate}/auth/v1/login", body={"username": user["username"], "password": user["password"]}, ca=ca)
    if login.status != 200:
        raise Failure(f"the login of {user['username']} answered {login.status}: {login.text[:300]}", "./dev logs authsvc; ./dev logs gateway")
    say(f"  POST /auth/v1/login as {user['username']}: 200")
    bearer = {"Authorization": "Bearer " + login.json["access_token"]}
    deadline = time.monotonic() + 20  # tenant and service may still be on their way to the sidecar and the gateway
    while True:
        answer = client.request("GET", f"{gate}/api/storage/files", headers=bearer, ca=ca)
        if answer.status == 200:
            break
        if answer.status not in (421, 502, 503) or time.monotonic() > deadline:
            raise Failure(f"GET /api/storage/files answered {answer.status}: {answer.text[:300]}", "./dev status; ./dev logs")
        time.sleep(0.2)
    say("  GET /api/storage/files with the token: 200")


def main():
    parser = house.arguments(__doc__)
    parser.add_argument("--with", dest="extras", action="append", choices=sorted(parts.EXTRAS), default=[])
    extras = set(parser.parse_args().extras)
    numbers = parts.ports(house.port_base())
    with house.only_one():
        return up(numbers, extras)


def up(numbers, extras):
    begun = time.monotonic()
    prepare_folders()
    cache.prune()

    step("build (the first time a few minutes)")
    house.build([f"//{path.rpartition('/')[0]}:{name}" for name, path in TARGETS.items()], "--config=release")
    for name, path in TARGETS.items():
        parts.copy_program(BIN / path, RUN / "bin" / name)
    if house.run(ROOT / "scripts/deps.sh", *sorted(extras)).returncode:
        raise Failure("the programs of others that the demo runs could not be had", "see above, then run this again")
    portal_pages()

    step("configuration")
    certificates()
    users = demo_users()
    configuration(numbers, users)
    (RUN / "ports.json").write_text(json.dumps(numbers))
    parts.write(RUN / "env", f"CW_GATEWAY=https://clinicwave.localhost:{numbers['HTTPS']}\n")
    say("  .run/etc is as deploy/demo says")

    step("start")
    parts.write(RUN / "with", " ".join(sorted(extras)) + "\n")
    stack = start_all(numbers, users, extras)

    step("a login and a request through the gateway")
    first_request(numbers, users)

    step(f"up after {time.monotonic() - begun:.0f} s")
    for part in stack:
        say(f"  {part.name:16} {', '.join(str(numbers[n]) for n in part.port_names):12} {part.about}")
    say(f"\n  in a browser: https://clinicwave.localhost:{numbers['HTTPS']}/ (its certificate is signed by .run/ca.pem)")
    say("\n  users (kept in .run/demo-users.json):")
    for user in users:
        say(f"    {user['tenant']:11} {user['username']:22} {user['password']}")
    say(f"""
  try:
    ./dev demo
    curl --cacert .run/ca.pem -H 'Content-Type: application/json' \\
      -d '{json.dumps({k: users[0][k] for k in ('username', 'password')})}' https://clinicwave.localhost:{numbers['HTTPS']}/auth/v1/login
    .run/bin/cwctl health""")
    return house.PASSED


if __name__ == "__main__":
    house.main(main)
