/* What the files of the REST door share: a request on its way through a worker. */
#ifndef AUTHSVC_REST_REST_IMPL_H
#define AUTHSVC_REST_REST_IMPL_H

#include <stddef.h>

#include "authsvc/rest/rest.h"

enum {
    REST_BODY_MAX = 16 * 1024,
    REST_FIELD_MAX = 4096, /* bytes of client_id, scope, tokens */
    REST_CODE_MAX = 64,    /* bytes of codes that people type */
    REST_DETAIL_SIZE = 160,
};

struct rest {
    struct rest_options options;
};

struct rest_job {
    struct rest *rest;
    struct cw_http_request *request;
    json_t *body; /* NULL where none is needed */
    char address[REST_ADDRESS_SIZE];
    struct cw_str host;
    struct cw_str origin;
    struct cw_str device;
    struct cw_str bearer;          /* access token of the Authorization header */
    char detail[REST_DETAIL_SIZE]; /* where a malformed body is; empty: not known */
};

/* What a request must carry. */
enum rest_needs {
    REST_NEEDS_BODY,
    REST_NEEDS_BEARER,
    REST_NEEDS_EITHER, /* a body, a bearer, or both */
    REST_NEEDS_BOTH,
    REST_MAY_HAVE_BEARER, /* a body, perhaps a bearer */
};

/* On the server's thread: reads what is needed and hands the job to `work`, or answers with what is
 * wrong. `run` gets the job and ends it by one of the finish functions. */
void rest_hand_over(struct cw_http_request *request, struct rest *rest, enum rest_needs needs,
                    struct cw_work *work, void (*run)(void *arg));
/* The host that chooses the tenant: X-Forwarded-Host from a trusted proxy, else Host.
 * CW_TENANT_UNKNOWN where there is none, or more than one. */
CW_MUST_USE enum cw_err rest_host(struct rest *rest, struct cw_http_request *request,
                                  struct cw_str *ret_host);
/* Reads what the row of the request says its body has into `request`, the structure that its
 * members lie in. CW_REQUEST_MALFORMED; the answer names the member. */
CW_MUST_USE enum cw_err rest_read(struct rest_job *job, void *request);
struct login_bearer rest_bearer(const struct rest_job *job);

/* Answers and frees the job. */
void rest_finish_login(struct rest_job *job, enum cw_err err, struct login_answer *a);
/* `body` NULL: none. retry_after_ms 0: the error's own. */
void rest_finish(struct rest_job *job, enum cw_err err, uint32_t retry_after_ms, int status,
                 const json_t *body);
void rest_retry_after(struct cw_http_request *request, uint32_t retry_after_ms);

#define REST_POST_JSON(PATH, HANDLE, BODY)                                                         \
    {                                                                                              \
        .method = "POST", .path = (PATH), .handle = (HANDLE), .max_body = REST_BODY_MAX,           \
        .media_type = "application/json", .extra = (BODY)                                          \
    }

#endif
