"""nginx's headers, configured as Debian configured the nginx that will load the module."""

def _nginx_sources_impl(rctx):
    for d in ["src", "auto", "configure", "conf_flags"]:
        rctx.symlink("/usr/share/nginx/src/" + d, d)
    r = rctx.execute(["bash", "-c", ". ./conf_flags && ./configure \"${NGX_CONF_FLAGS[@]}\" > configure.log 2>&1"])
    if r.return_code:
        fail("nginx configure failed (nginx-dev installed?): " + rctx.read("configure.log"))
    rctx.file("BUILD.bazel", """
cc_library(
    name = "headers",
    hdrs = glob(["src/**/*.h", "objs/*.h"]),
    includes = [
        "src/core",
        "src/event",
        "src/event/modules",
        "src/os/unix",
        "src/http",
        "src/http/modules",
        "src/http/v2",
        "objs",
    ],
    visibility = ["@//edge-gateway:__subpackages__", "@//tests:__subpackages__"],
)
""")

nginx_sources = repository_rule(
    implementation = _nginx_sources_impl,
    configure = True,
    environ = ["CW_SYSTEM"],
)
