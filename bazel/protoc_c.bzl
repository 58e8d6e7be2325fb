"""protobuf-c messages and descriptor sets from .proto files, with Debian's protoc."""

load("//bazel:cc.bzl", "GENERATED_COPTS")

ProtoC = provider(fields = ["sources"])

_ROOT = "proto"

def _import_path(f):
    if not f.short_path.startswith(_ROOT + "/"):
        fail(f.short_path + " is not below " + _ROOT + "/")
    return f.short_path[len(_ROOT) + 1:]

def _sources(ctx):
    return depset(ctx.files.srcs + ctx.files.services, transitive = [d[ProtoC].sources for d in ctx.attr.deps])

def _protoc_c_impl(ctx):
    sources = _sources(ctx)
    outs = []
    for src in ctx.files.srcs:
        stem = src.basename[:-len(".proto")]
        h = ctx.actions.declare_file(stem + ".pb-c.h", sibling = src)
        c = ctx.actions.declare_file(stem + ".pb-c.c", sibling = src)
        outs += [h, c]
        ctx.actions.run(
            executable = "/usr/bin/protoc",
            inputs = sources,
            outputs = [h, c],
            mnemonic = "ProtocC",
            arguments = [
                "--plugin=protoc-gen-c=/usr/bin/protoc-gen-c",
                "-I" + _ROOT,
                "--c_out=" + h.path[:-len(stem + ".pb-c.h") - len(_import_path(src)) + len(src.basename) - 1],
                _import_path(src),
            ],
        )
    return [DefaultInfo(files = depset(outs)), ProtoC(sources = sources)]

protoc_c = rule(
    implementation = _protoc_c_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"]),
        "services": attr.label_list(allow_files = [".proto"]),
        "deps": attr.label_list(providers = [ProtoC]),
    },
)

def _descriptor_set_impl(ctx):
    sources = depset(transitive = [d[ProtoC].sources for d in ctx.attr.deps])
    out = ctx.actions.declare_file(ctx.label.name + ".fds")
    ctx.actions.run(
        executable = "/usr/bin/protoc",
        inputs = sources,
        outputs = [out],
        mnemonic = "DescriptorSet",
        arguments = ["-I" + _ROOT, "--include_imports", "--descriptor_set_out=" + out.path] +
                    [_import_path(f) for f in sources.to_list()],
    )
    return [DefaultInfo(files = depset([out]))]

descriptor_set = rule(
    implementation = _descriptor_set_impl,
    attrs = {"deps": attr.label_list(providers = [ProtoC])},
)

def c_proto_library(name, srcs, services = [], deps = [], visibility = None):
    """NAME is a cc_library of the messages, NAME_proto the rule for descriptor sets.

    SERVICES are files that only the descriptor sets show; no C is made of them."""
    protoc_c(
        name = name + "_proto",
        srcs = srcs,
        services = services,
        deps = [d + "_proto" for d in deps],
        visibility = visibility,
    )
    native.cc_library(
        name = name,
        srcs = [":" + name + "_proto"],
        hdrs = [":" + name + "_proto"],
        includes = ["."],
        copts = GENERATED_COPTS,
        deps = deps + ["//bazel/deps:protobuf_c"],
        visibility = visibility,
    )
