"""Fuzz targets: libFuzzer with --config=fuzz, a replay of the committed corpus (a plain regression test) in every other one."""

load("//bazel:cc.bzl", "cw_test")

def cw_fuzz_test(name, srcs, deps = [], corpus = [], tags = []):
    native.cc_test(
        name = name,
        size = "small",
        srcs = srcs + select({
            "//bazel:libfuzzer": [],
            "//conditions:default": ["//bazel:fuzz_replay.c"],
        }),
        args = ["$(locations %s)" % f for f in corpus],
        data = corpus,
        linkopts = select({
            "//bazel:libfuzzer": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        tags = ["fuzz"] + tags,
        deps = deps,
    )
