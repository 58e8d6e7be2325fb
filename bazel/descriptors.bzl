"""A C table of file descriptors for gRPC server reflection."""

load("//bazel:cc.bzl", "GENERATED_COPTS")
load("//bazel:protoc_c.bzl", "descriptor_set")

def descriptor_library(name, symbol, protos, visibility = None):
    """A cc_library that defines `const struct cw_rpc_descriptor SYMBOL[]` with PROTOS and all that they import."""
    descriptor_set(
        name = name + "_set",
        deps = [p + "_proto" for p in protos],
    )
    native.genrule(
        name = name + "_table",
        srcs = [":" + name + "_set"],
        outs = [name + ".c"],
        cmd = "$(location //bazel:descriptor_table) $< " + symbol + " > $@",
        tools = ["//bazel:descriptor_table"],
    )
    native.cc_library(
        name = name,
        srcs = [name + ".c"],
        copts = GENERATED_COPTS,
        deps = ["//common/rpc:descriptors"],
        visibility = visibility,
    )
