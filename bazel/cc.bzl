"""The house's C rules: native ones with our warnings as errors, so that third-party and generated code keeps its own."""

_WARNINGS = [
    "-Werror",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wvla",
    "-Wformat=2",
    "-Wimplicit-fallthrough",
    "-Wno-error=maybe-uninitialized",  # guesses by the optimiser, different at each level: shown, not fatal
    "-Werror=implicit",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
]

# gcc only. -Wcast-qual: clang sees the casts inside protobuf-c's initialisers at the place where they are used.
_GCC_WARNINGS = select({
    "//bazel:clang": [],
    "//conditions:default": [
        "-Wcast-qual",
        "-Wno-format-truncation",  # cutting a message short is what snprintf is for; -O2 sees more of it
    ],
})

GENERATED_COPTS = ["-w"]

def cw_library(name, copts = [], **kwargs):
    native.cc_library(name = name, copts = _WARNINGS + _GCC_WARNINGS + copts, **kwargs)

def cw_binary(name, copts = [], deps = [], **kwargs):
    native.cc_binary(
        name = name,
        copts = _WARNINGS + _GCC_WARNINGS + copts,
        deps = deps + ["//bazel:sanitizer_options"],
        **kwargs
    )

def cw_test(name, copts = [], deps = [], size = "small", **kwargs):
    """A cmocka test program."""
    native.cc_test(
        name = name,
        size = size,
        copts = _WARNINGS + _GCC_WARNINGS + copts,
        deps = deps + ["//bazel/deps:cmocka", "//bazel:sanitizer_options"],
        **kwargs
    )
