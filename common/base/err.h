/* The one list of errors and of reasons for a refusal (err.def) as an enum and its properties. */
#ifndef CW_BASE_ERR_H
#define CW_BASE_ERR_H

#include "common/base/macros.h"

enum cw_err {
#define X(name, code, category, grpc, http, bearer, title, meaning, remedy) CW_##name,
#include "common/base/err.def"
#undef X
};

enum cw_err_category {
    CW_CATEGORY_INTERNAL = 0,
    CW_CATEGORY_TOKEN,
    CW_CATEGORY_POLICY,
    CW_CATEGORY_UNDECIDED,
    CW_CATEGORY_REQUEST,
    CW_CATEGORY_LOGIN,
    CW_CATEGORY_UPSTREAM,
};

/* gRPC status codes (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */
enum cw_grpc_status {
    CW_GRPC_OK = 0,
    CW_GRPC_CANCELLED = 1,
    CW_GRPC_UNKNOWN = 2,
    CW_GRPC_INVALID_ARGUMENT = 3,
    CW_GRPC_DEADLINE_EXCEEDED = 4,
    CW_GRPC_NOT_FOUND = 5,
    CW_GRPC_ALREADY_EXISTS = 6,
    CW_GRPC_PERMISSION_DENIED = 7,
    CW_GRPC_RESOURCE_EXHAUSTED = 8,
    CW_GRPC_FAILED_PRECONDITION = 9,
    CW_GRPC_ABORTED = 10,
    CW_GRPC_OUT_OF_RANGE = 11,
    CW_GRPC_UNIMPLEMENTED = 12,
    CW_GRPC_INTERNAL = 13,
    CW_GRPC_UNAVAILABLE = 14,
    CW_GRPC_DATA_LOSS = 15,
    CW_GRPC_UNAUTHENTICATED = 16,
};

struct cw_err_info {
    const char *code; /* stable, public: the `reason` of problem+json and of google.rpc.ErrorInfo */
    enum cw_err_category category;
    enum cw_grpc_status grpc;
    int http;
    const char *bearer; /* RFC 6750 §3.1 error, "" for none */
    const char *title;
    const char *meaning;
    const char *remedy;
};

/* Never NULL: an unknown value reads as CW_INTERNAL. Any thread. */
const struct cw_err_info *cw_err_info(enum cw_err err);

/* The stable code. Never NULL. */
const char *cw_err_code(enum cw_err err);

/* The error with this code; CW_INTERNAL where there is none (an older reader meets a newer writer).
 */
enum cw_err cw_err_from_code(const char *code, size_t n);

/* The error that best says an HTTP status which nginx or a library made. */
enum cw_err cw_err_from_http(int status);

/* How many there are: 0 .. count-1 are valid. */
size_t cw_err_count(void);

#endif
