"""End-to-end tests: pytest in Bazel's sandbox, with the programs under test as data."""

# The whole route; a test that needs less may name less.
ROUTE = [
    "//authsvc:cw-authsvc",
    "//cwctl:cwctl",
    "//edge-gateway:ngx_http_cw_module.so",
    "//examples/storage-service:storage-service",
    "//sidecar:cw-sidecar",
]

def cw_pytest(name, srcs, data = [], tags = ["e2e"], size = "medium", **kwargs):
    """A Bazel test that runs the pytest files SRCS with the fixtures of //tests/support.

    DATA are the programs that it starts; the fixtures find them by their path. The tag `sanitize` makes it part of
    the sanitizer lane, too."""
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tests/support:pytest.sh"],
        args = ["$(location %s)" % s for s in srcs],
        data = srcs + data + ["//tests/support", "//proto:sources"],
        tags = tags,
        **kwargs
    )
