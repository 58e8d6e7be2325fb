/* Status details: google.rpc.Status in the trailer `grpc-status-details-bin`, with ErrorInfo and
 * RetryInfo. */
#ifndef CW_RPC_STATUS_H
#define CW_RPC_STATUS_H

#include <grpc/grpc.h>

#include "common/base/str.h"

/* The `domain` of our ErrorInfo. */
#define CW_RPC_ERROR_DOMAIN "clinicwave.com"

struct cw_rpc_fact; /* server.h */

/* What SEND_STATUS_FROM_SERVER needs; lives until the batch has been started. */
struct cw_rpc_status {
    grpc_metadata details;
    grpc_slice message;
};

enum { CW_RPC_RETRY_DEFAULT = UINT32_MAX };

/* `detail` NULL: the error's public text. retry_after_ms 0: none, CW_RPC_RETRY_DEFAULT: one second
 * where the status says that trying again makes sense. */
void cw_rpc_status_init(struct cw_rpc_status *status, enum cw_err err, const char *detail,
                        uint32_t retry_after_ms);
/* The same with `metadata` of ErrorInfo: at most 4 facts of 4 KiB in all. */
void cw_rpc_status_init_with(struct cw_rpc_status *status, enum cw_err err, const char *detail,
                             uint32_t retry_after_ms, const struct cw_rpc_fact *facts, size_t n);
void cw_rpc_status_done(struct cw_rpc_status *status);
/* Fills a SEND_STATUS_FROM_SERVER operation. For CW_OK `status` may be NULL. */
void cw_rpc_status_op(grpc_op *op, enum cw_err err, struct cw_rpc_status *status);

/* The error that a received status says; trailing metadata may hold the details. */
enum cw_err cw_rpc_status_read(grpc_status_code code, const grpc_metadata_array *trailing,
                               uint32_t *ret_retry_after_ms);

#endif
