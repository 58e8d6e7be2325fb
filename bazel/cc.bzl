"""The house's C rules: native ones with our warnings as errors, so that third-party and generated code keeps its own."""

_WARNINGS = [
    "-Werror",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wvla",
    "-Wformat=2",
    "-Wcast-qual",
    "-Wimplicit-fallthrough",
    "-Werror=implicit",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
]

GENERATED_COPTS = ["-w"]

def cw_library(name, copts = [], **kwargs):
    native.cc_library(name = name, copts = _WARNINGS + copts, **kwargs)

def cw_binary(name, copts = [], deps = [], **kwargs):
    native.cc_binary(
        name = name,
        copts = _WARNINGS + copts,
        deps = deps + ["//bazel:sanitizer_options"],
        **kwargs
    )

def cw_test(name, copts = [], deps = [], size = "small", **kwargs):
    """A cmocka test program."""
    native.cc_test(
        name = name,
        size = size,
        copts = _WARNINGS + copts,
        deps = deps + ["//bazel/deps:cmocka", "//bazel:sanitizer_options"],
        **kwargs
    )
