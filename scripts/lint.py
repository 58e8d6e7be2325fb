"""
usage: ./dev lint [CHECK…]

Style, layering and generated files; each problem on a line. Without a name: all checks.

  format      clang-format-14 finds nothing to change (edge-gateway/ speaks nginx's dialect)
  includes    #include lines keep to the layers (docs/ARCHITECTURE.md)
  functions   no strcpy, sprintf, atoi, alloca … ; exit only in a main file; names that only some folders may use
  marks       no leftover marks, no conflict marks, no paths of somebody's machine
  scripts     shell and Python parse; a Python module that is imported has its package in packages.txt
  proto       protobuf's style guide as buf's default rules state it; everything is documented
  lanes       every test target runs in a lane of ./dev test; nothing is skipped beside the servers of others
  documents   generated documents are as the code generates them
  clang       clang compiles everything, with layering_check

Files of more than 700 lines are named, which is no failure.
"""
import ast
import re
import sys

import house
from house import BIN, ROOT, Failure, say

C_FILES = ("*.c", "*.h")

# Who may include what: a pattern of the included name, the folders that may, and why.
OWNERS = [
    (r"<grpc(/|\.h)", ["common/rpc/", "tests/bench/", "tests/unit/common/rpc/"], "the C core is behind common/rpc"),
    (r"<nghttp2/", ["edge-gateway/", "tests/"], "HTTP/2 frames are the gateway link's business"),
    (r"<jwt\.h>", ["authsvc/token/", "tests/bench/"], "libjwt mints, in authsvc/token, and never verifies"),
    (r"<curl/", ["common/http/"], "outgoing HTTP goes through common/http"),
    (r"<microhttpd\.h>", ["common/http/"], "HTTP servers are made by common/http"),
    (r"<sodium", ["authsvc/", "tests/"], "password hashing is authsvc's"),
    (r"<sqlite3\.h>", ["authsvc/store/", "tests/"], "the database is behind authsvc/store"),
    (r"<(postgresql/|libpq)", ["authsvc/store/", "tests/"], "the database is behind authsvc/store"),
    (r"<yaml\.h>", ["common/config/"], "configuration is read by common/config"),
    (r"<idn2\.h>", ["common/base/"], "there is one domain normaliser"),
    (r"<cmocka", ["tests/"], "cmocka is for tests"),
    (r"[<\"]ngx_", ["edge-gateway/", "tests/"], "nginx is the gateway's"),
    (r"\"tests/", ["tests/"], "the product does not include its tests"),
    (r"\"sidecar/", ["sidecar/", "tests/"], "applications do not include each other"),
    (r"\"authsvc/", ["authsvc/", "tests/"], "applications do not include each other"),
    (r"\"cwctl/", ["cwctl/", "tests/"], "applications do not include each other"),
    (r"\"edge-gateway/", ["edge-gateway/", "tests/"], "applications do not include each other"),
    (r"\"examples/", ["examples/", "tests/"], "the product does not include its examples"),
]

# What pure folders may not see.
NETWORK = r"<(sys/socket|sys/un|netinet/|arpa/|netdb|poll|sys/epoll|sys/select)"
RPC = r"common/(rpc|http)/|\.pb-c\.h|<protobuf-c"
CLOCK = r"<(time|sys/time)\.h>|common/base/clock\.h"
PURE = [
    ("common/jose/", f"{NETWORK}|{RPC}|{CLOCK}", "the validator touches no network, no RPC type and no clock"),
    ("sidecar/policy/", f"{NETWORK}|{RPC}", "policy touches neither network nor RPC"),
    ("common/base/", f"{NETWORK}|{RPC}|common/(?!base/)", "common/base stands on nothing"),
]

# Names that only some folders may use, and why.
NAMES = [
    ("CW_HTTP_PLAIN_PRIVATE", ["common/http/", "sidecar/registry/", "tests/"], "plain http beyond loopback is for registries, never for keys"),
]

FORBIDDEN = ("strcpy strcat stpcpy sprintf vsprintf gets atoi atol atoll atof alloca strtok mktemp tmpnam tempnam "
             "system popen rand srand longjmp").split()


def read(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def code_only(text):
    """C without comments and literals, lines kept."""
    def blank(match):
        s = match.group(0)
        return "\n" * s.count("\n") if s.startswith("/") else '""'
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_format():
    files = house.tracked(*C_FILES)
    r = house.run("clang-format-14", "--dry-run", *files, capture_output=True, text=True)
    return [line for line in r.stderr.splitlines() if ": warning:" in line or ": error:" in line]


def check_includes():
    problems = []
    for path in house.tracked(*C_FILES):
        for number, line in enumerate(read(path).splitlines(), 1):
            m = re.match(r"\s*#\s*include\s+([<\"][^>\"]+[>\"])", line)
            if not m:
                continue
            name = m.group(1)
            for pattern, owners, why in OWNERS:
                if re.match(pattern, name) and not path.startswith(tuple(owners)):
                    problems.append(f"{path}:{number}: {name}: {why}")
            for folder, pattern, why in PURE:
                if path.startswith(folder) and re.search(pattern, name):
                    problems.append(f"{path}:{number}: {name}: {why}")
            if name.startswith('"') and "../" in name:
                problems.append(f"{path}:{number}: {name}: includes are from the root of the repository")
    return problems


def check_functions():
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(FORBIDDEN) + r")\s*\(")
    leaving = re.compile(r"(?<![\w.>])(exit|_exit|quick_exit)\s*\(")
    problems = []
    for path in house.tracked(*C_FILES):
        for number, line in enumerate(code_only(read(path)).splitlines(), 1):
            for m in pattern.finditer(line):
                if m.group(1) in ("system", "popen") and path.startswith("tests/"):
                    continue
                problems.append(f"{path}:{number}: {m.group(1)} is not used here")
            for name, folders, why in NAMES:
                if name in line and not path.startswith(tuple(folders)):
                    problems.append(f"{path}:{number}: {name}: {why}")
            if not path.startswith("tests/") and not path.endswith("main.c"):
                for m in leaving.finditer(line):
                    problems.append(f"{path}:{number}: {m.group(1)} outside of main")
    return problems


def check_marks():
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|^(<{7}|>{7}|={7})( |$)")
    machine = re.compile(r"(?<![\w.$}~])/(home|root|work|Users)/\w")
    problems = []
    for path in house.tracked("*"):
        data = (ROOT / path).read_bytes()
        if b"\0" in data[:4096] or path == "LICENSE" or "/corpus/" in path or "/vectors/" in path:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if marks.search(line):
                problems.append(f"{path}:{number}: leftover mark: {line.strip()[:80]}")
            if machine.search(line):
                problems.append(f"{path}:{number}: a path of somebody's machine: {line.strip()[:80]}")
    return problems


# Modules whose Debian package is not called python3-MODULE; None: scripts/deps.sh brings it.
PYTHON_PACKAGES = {"google": "python3-protobuf", "grpc": "python3-grpcio", "PIL": "python3-pil", "playwright": None, "py_eureka_client": None, "requests": None,
                   "schemathesis": None}


def foreign_modules(text):
    """What a Python file imports that is neither Python's own nor of this repository."""
    for node in ast.walk(ast.parse(text)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
            [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        for name in (n.split(".")[0] for n in names):
            if name not in sys.stdlib_module_names and name != "tests" and not (ROOT / "scripts" / f"{name}.py").exists():
                yield name


def without_package(path, text, listed):
    for name in sorted(set(foreign_modules(text))):
        package = PYTHON_PACKAGES.get(name, f"python3-{name}")
        if package and package not in listed:
            yield f"{path}: imports {name}, and {package} is not in scripts/packages.txt"


def check_scripts():
    problems = []
    listed = {line.split()[1] for line in read("scripts/packages.txt").splitlines() if line.strip() and line[0] != "#"}
    for path in house.tracked("*"):
        head = (ROOT / path).open("rb").read(64).split(b"\n")[0]
        if path.endswith(".sh") or (head.startswith(b"#!") and head.endswith(b"sh")):
            r = house.run("bash", "-n", path, capture_output=True, text=True)
            problems += [line for line in r.stderr.splitlines() if line]
        elif path.endswith(".py") or (head.startswith(b"#!") and b"python" in head):
            try:
                compile(read(path), path, "exec")
                problems += without_package(path, read(path), listed)
            except SyntaxError as e:
                problems.append(f"{path}:{e.lineno}: {e.msg}")
    return problems


def camel_to_snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def recursive(files):
    """Full names of the messages, nested ones included, that can hold one of their own kind: at once or through others."""
    fields_of = {}

    def walk(scope, messages):
        for m in messages:
            fields_of[f"{scope}.{m.name}"] = [field.type_name for field in m.field if field.type_name]
            walk(f"{scope}.{m.name}", m.nested_type)
    for f in files:
        walk(f".{f.package}", f.message_type)
    for name, types in fields_of.items():
        seen, ahead = set(), list(types)
        while ahead:
            type_name = ahead.pop()
            if type_name not in seen:
                seen.add(type_name)
                ahead += fields_of.get(type_name, [])
        if name in seen:
            yield name[1:]


def check_proto():
    """Descriptors with source information say more than the text does."""
    try:
        from google.protobuf import descriptor_pb2
    except ImportError:
        raise Failure("python3-protobuf is not installed", "scripts/install.sh lint") from None
    files = [p[len("proto/"):] for p in house.tracked("proto/*.proto")]
    r = house.run("protoc", "-Iproto", "--include_source_info", "-o/dev/stdout", *files, capture_output=True)
    if r.returncode:
        return r.stderr.decode().splitlines()
    files = descriptor_pb2.FileDescriptorSet.FromString(r.stdout).file
    problems = [f"proto/: {name} is recursive" for name in recursive(files) if name.startswith("clinicwave.")]
    for f in files:
        if not f.name.startswith("clinicwave/"):
            continue  # protocols of others keep their authors' style

        def bad(what, name=f.name):
            problems.append(f"proto/{name}: {what}")

        comments = {tuple(l.path) for l in f.source_code_info.location if l.leading_comments.strip() or l.trailing_comments.strip()}

        def documented(path, what):
            if tuple(path) not in comments:
                bad(f"{what} has no comment")

        if f.syntax != "proto3":
            bad("is not proto3")
        if f.package.replace(".", "/") != f.name.rsplit("/", 1)[0]:
            bad(f"package {f.package} does not fit the folder")
        if not re.search(r"\.v\d+$", f.package):
            bad(f"package {f.package} has no version")
        if not re.fullmatch(r"[a-z0-9_]+\.proto", f.name.rsplit("/", 1)[1]):
            bad("the file's name is not lower_snake_case")
        for i, e in enumerate(f.enum_type):
            documented([5, i], e.name)
            prefix = camel_to_snake(e.name).upper() + "_"
            for j, v in enumerate(e.value):
                documented([5, i, 2, j], v.name)
                if not v.name.startswith(prefix):
                    bad(f"{v.name} does not begin with {prefix}")
            if e.value[0].number or e.value[0].name != prefix + "UNSPECIFIED":
                bad(f"the zero of {e.name} is not {prefix}UNSPECIFIED")
        for i, m in enumerate(f.message_type):
            documented([4, i], m.name)
            if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", m.name):
                bad(f"{m.name} is not PascalCase")
            for j, field in enumerate(m.field):
                documented([4, i, 2, j], f"{m.name}.{field.name}")
                if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", field.name):
                    bad(f"{m.name}.{field.name} is not lower_snake_case")
                if re.search(r"token$|password|secret|jwks$", field.name) and field.type == field.TYPE_STRING:
                    bad(f"{m.name}.{field.name} holds a secret or key and is not bytes")
        for i, s in enumerate(f.service):
            documented([6, i], s.name)
            if not s.name.endswith("Service"):
                bad(f"service {s.name} does not end with Service")
            for j, method in enumerate(s.method):
                documented([6, i, 2, j], f"{s.name}.{method.name}")
                for kind, type_name in (("Request", method.input_type), ("Response", method.output_type)):
                    short = type_name.rsplit(".", 1)[-1]
                    if short not in (method.name + kind, s.name + method.name + kind, s.name.removesuffix("Service") + method.name + kind):
                        bad(f"{s.name}.{method.name}: {short} is not {method.name}{kind}")
    return problems


def check_lanes():
    r = house.run("bazel", "query", "--noshow_progress", "--output=build", "tests(//...)", capture_output=True, text=True)
    if r.returncode:
        return r.stderr.strip().splitlines()[-3:]
    problems = []
    for label, tags in labels_with_tags(r.stdout):
        lane = re.match(r"//tests/(unit|attack|fuzz|e2e|interop)[/:]", label)
        if not lane:
            problems.append(f"{label}: no lane of ./dev test runs what is not below tests/{{unit,attack,fuzz,e2e,interop}}")
        elif lane.group(1) in ("fuzz", "e2e", "interop") and lane.group(1) not in tags:
            problems.append(f"{label}: lacks the tag {lane.group(1)}")
        elif "manual" in tags:
            problems.append(f"{label}: the tag manual keeps it out of every lane")
    return problems + skips("tests/interop/*.py")


def skips(*patterns):
    """Tests beside the servers of others fail where there are none."""
    return [f"{path}:{number}: what cannot be had is a failure here, not a skip" for path in house.tracked(*patterns)
            for number, line in enumerate(read(path).splitlines(), 1) if re.search(r"\bpytest\.(mark\.)?(skip|skipif|importorskip|xfail)\b", line)]


def labels_with_tags(text):
    """(label, tags) of each rule in `bazel query --output=build`."""
    for block in re.split(r"\n(?=# )", text):
        where = re.match(r"# (?:.*?/)?(\S+?):\d+:\d+", block)
        name = re.search(r'^  name = "([^"]+)"', block, re.M)
        if not where or not name:
            continue
        path = re.match(r"# (\S+?)/BUILD", block).group(1)
        package = path[len(str(ROOT)) + 1:] if path.startswith(str(ROOT)) else path
        tags = re.search(r"^  tags = \[([^\]]*)\]", block, re.M)
        yield f"//{package}:{name.group(1)}", re.findall(r'"([^"]+)"', tags.group(1)) if tags else []


# Generated documents: the file in docs/ and the target whose output it must equal.
def check_documents():
    targets = house.run("bazel", "query", "--noshow_progress", "kind(genrule, //docs:*)", capture_output=True, text=True).stdout.split()
    if not targets:
        return []
    if house.bazel("build", *targets):
        return ["the documents' generators do not build"]
    problems = []
    for file in sorted((BIN / "docs").glob("*.generated.md")):
        committed = ROOT / "docs" / file.name.replace(".generated", "")
        if not committed.exists() or committed.read_bytes() != file.read_bytes():
            problems.append(f"docs/{committed.name}: not as generated; ./dev fmt writes it")
    return problems + unknown_settings()


def unknown_settings():
    """Settings that a reason's text sends an operator to must be spelled as docs/CONFIG.md has them."""
    keys = re.findall(r"^\| `([^`]+)`", (ROOT / "docs/CONFIG.md").read_text(), re.M)
    last = {re.split(r"[.\]]+", key)[-1] for key in keys}
    named = re.findall(r"(?:issuer's|tenant's)(?: token life or)? `([^`]+)`", (ROOT / "common/base/err.def").read_text())
    return [f"common/base/err.def: `{name}` is no setting of docs/CONFIG.md" for name in named if name not in last]


def check_clang():
    return ["the messages are above"] if house.bazel("build", "--config=clang", "-k", "//...") else []


CHECKS = {
    "format": check_format, "includes": check_includes, "functions": check_functions, "marks": check_marks, "scripts": check_scripts,
    "proto": check_proto, "lanes": check_lanes, "documents": check_documents, "clang": check_clang,
}


def check_all(names=None):
    """(check, problems) of each."""
    for path in house.tracked(*C_FILES, "*.py"):
        lines = read(path).count("\n")
        if lines > 700:
            say(f"  note: {path} has {lines} lines")
    for name in names or CHECKS:
        problems = CHECKS[name]()
        say(f"  {name}: {'fine' if not problems else f'{len(problems)} problems'}")
        for problem in problems[:40]:
            say(f"    {problem}")
        yield name, problems


def main():
    parser = house.arguments(__doc__)
    parser.add_argument("checks", nargs="*")
    names = parser.parse_args().checks
    for name in names:
        if name not in CHECKS:
            parser.error(f'no check "{name}"')
    return 1 if sum(len(problems) for _, problems in check_all(names)) else 0


if __name__ == "__main__":
    house.main(main)
