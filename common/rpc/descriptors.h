/* File descriptors for server reflection; tables are made by //bazel:descriptors.bzl. */
#ifndef CW_RPC_DESCRIPTORS_H
#define CW_RPC_DESCRIPTORS_H

#include <stddef.h>

struct cw_rpc_descriptor {
    const char *name;           /* the import path, NULL ends a table */
    const unsigned char *bytes; /* a serialised google.protobuf.FileDescriptorProto */
    size_t n;
};

#endif
