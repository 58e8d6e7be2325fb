/* Errors become gRPC statuses with google.rpc details here, and come back. */
#include "common/rpc/status.h"

#include <string.h>

#include "common/base/arena.h"
#include "common/rpc/message.h"
#include "common/rpc/server.h"
#include "google/rpc/status.pb-c.h"

#define DETAILS_KEY "grpc-status-details-bin"
#define ERROR_INFO_TYPE "type.googleapis.com/google.rpc.ErrorInfo"
#define RETRY_INFO_TYPE "type.googleapis.com/google.rpc.RetryInfo"

enum { RETRY_DEFAULT_MS = 1000, DETAILS_MEMORY = 64 << 10, FACTS_MAX = 4, ERROR_INFO_MAX = 4096 };

/* The wire has const char nowhere; protobuf-c reads only. */
static char *text(const char *s)
{
    union {
        const char *in;
        char *out;
    } u = {.in = s};
    return u.out;
}

static uint32_t retry_default(enum cw_grpc_status status)
{
    return status == CW_GRPC_UNAVAILABLE || status == CW_GRPC_RESOURCE_EXHAUSTED ? RETRY_DEFAULT_MS
                                                                                 : 0;
}

static grpc_slice details_pack(const struct cw_err_info *info, const char *message,
                               uint32_t retry_after_ms, const struct cw_rpc_fact *facts, size_t n)
{
    Google__Rpc__ErrorInfo error = GOOGLE__RPC__ERROR_INFO__INIT;
    error.reason = text(info->code);
    error.domain = text(CW_RPC_ERROR_DOMAIN);
    Google__Rpc__ErrorInfo__MetadataEntry entries[FACTS_MAX];
    Google__Rpc__ErrorInfo__MetadataEntry *metadata[FACTS_MAX];
    for (size_t i = 0; i < n && i < FACTS_MAX; i++) {
        google__rpc__error_info__metadata_entry__init(&entries[i]);
        entries[i].key = text(facts[i].key);
        entries[i].value = text(facts[i].value);
        metadata[error.n_metadata++] = &entries[i];
    }
    error.metadata = metadata;
    if (google__rpc__error_info__get_packed_size(&error) > ERROR_INFO_MAX) {
        error.n_metadata = 0;
    }
    Google__Rpc__RetryDelay delay = GOOGLE__RPC__RETRY_DELAY__INIT;
    delay.seconds = retry_after_ms / 1000;
    delay.nanos = (int32_t)(retry_after_ms % 1000) * 1000000;
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    retry.retry_delay = &delay;
    uint8_t error_bytes[ERROR_INFO_MAX], retry_bytes[64];

    Google__Rpc__AnyDetail any[2] = {GOOGLE__RPC__ANY_DETAIL__INIT, GOOGLE__RPC__ANY_DETAIL__INIT};
    any[0].type_url = text(ERROR_INFO_TYPE);
    any[0].value.data = error_bytes;
    any[0].value.len = google__rpc__error_info__pack(&error, error_bytes);
    any[1].type_url = text(RETRY_INFO_TYPE);
    any[1].value.data = retry_bytes;
    any[1].value.len = google__rpc__retry_info__pack(&retry, retry_bytes);
    Google__Rpc__AnyDetail *details[] = {&any[0], &any[1]};
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    status.code = (int32_t)info->grpc;
    status.message = text(message);
    status.n_details = retry_after_ms ? 2 : 1;
    status.details = details;
    return cw_rpc_message_pack(&status.base);
}

void cw_rpc_status_init(struct cw_rpc_status *status, enum cw_err err, const char *detail,
                        uint32_t retry_after_ms)
{
    cw_rpc_status_init_with(status, err, detail, retry_after_ms, NULL, 0);
}

void cw_rpc_status_init_with(struct cw_rpc_status *status, enum cw_err err, const char *detail,
                             uint32_t retry_after_ms, const struct cw_rpc_fact *facts, size_t n)
{
    const struct cw_err_info *info = cw_err_info(err);
    const char *message = detail ? detail : info->meaning;
    if (retry_after_ms == CW_RPC_RETRY_DEFAULT) {
        retry_after_ms = retry_default(info->grpc);
    }
    *status = (struct cw_rpc_status){
        .details.key = grpc_slice_from_static_string(DETAILS_KEY),
        .details.value = details_pack(info, message, retry_after_ms, facts, n),
        .message = grpc_slice_from_copied_string(message),
    };
}

void cw_rpc_status_done(struct cw_rpc_status *status)
{
    grpc_slice_unref(status->details.value);
    grpc_slice_unref(status->message);
}

void cw_rpc_status_op(grpc_op *op, enum cw_err err, struct cw_rpc_status *status)
{
    *op = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    op->data.send_status_from_server.status = (grpc_status_code)cw_err_info(err)->grpc;
    if (err != CW_OK) {
        op->data.send_status_from_server.status_details = &status->message;
        op->data.send_status_from_server.trailing_metadata = &status->details;
        op->data.send_status_from_server.trailing_metadata_count = 1;
    }
}

static enum cw_err from_code(grpc_status_code code)
{
    static const enum cw_err map[] = {
        [GRPC_STATUS_OK] = CW_OK,
        [GRPC_STATUS_CANCELLED] = CW_CANCELLED,
        [GRPC_STATUS_UNKNOWN] = CW_INTERNAL,
        [GRPC_STATUS_INVALID_ARGUMENT] = CW_REQUEST_MALFORMED,
        [GRPC_STATUS_DEADLINE_EXCEEDED] = CW_DEADLINE_EXCEEDED,
        [GRPC_STATUS_NOT_FOUND] = CW_NOT_FOUND,
        [GRPC_STATUS_ALREADY_EXISTS] = CW_CONFLICT,
        [GRPC_STATUS_PERMISSION_DENIED] = CW_PERMISSION_DENIED,
        [GRPC_STATUS_RESOURCE_EXHAUSTED] = CW_TOO_MANY_REQUESTS,
        [GRPC_STATUS_FAILED_PRECONDITION] = CW_PRECONDITION_FAILED,
        [GRPC_STATUS_ABORTED] = CW_CONFLICT,
        [GRPC_STATUS_OUT_OF_RANGE] = CW_RANGE_NOT_SATISFIABLE,
        [GRPC_STATUS_UNIMPLEMENTED] = CW_UNIMPLEMENTED,
        [GRPC_STATUS_INTERNAL] = CW_INTERNAL,
        [GRPC_STATUS_UNAVAILABLE] = CW_UNAVAILABLE,
        [GRPC_STATUS_DATA_LOSS] = CW_INTERNAL,
        [GRPC_STATUS_UNAUTHENTICATED] = CW_TOKEN_MISSING,
    };
    return (unsigned)code < CW_ARRAY_SIZE(map) ? map[code] : CW_INTERNAL;
}

static enum cw_err details_read(struct cw_str bytes, enum cw_err err, uint32_t *retry_after_ms)
{
    struct cw_arena arena = CW_ARENA_INIT(DETAILS_MEMORY);
    Google__Rpc__Status *status = (Google__Rpc__Status *)cw_rpc_message_unpack(
        &google__rpc__status__descriptor, bytes, &arena);
    for (size_t i = 0; status && i < status->n_details; i++) {
        const Google__Rpc__AnyDetail *any = status->details[i];
        struct cw_str value = {(const char *)any->value.data, any->value.len};
        if (strcmp(any->type_url, ERROR_INFO_TYPE) == 0) {
            Google__Rpc__ErrorInfo *info = (Google__Rpc__ErrorInfo *)cw_rpc_message_unpack(
                &google__rpc__error_info__descriptor, value, &arena);
            if (info) {
                enum cw_err named = cw_err_from_code(info->reason, strlen(info->reason));
                /* a newer server's reason reads as what its status says */
                err = named == CW_INTERNAL || named == CW_OK ? err : named;
            }
        } else if (strcmp(any->type_url, RETRY_INFO_TYPE) == 0) {
            Google__Rpc__RetryInfo *info = (Google__Rpc__RetryInfo *)cw_rpc_message_unpack(
                &google__rpc__retry_info__descriptor, value, &arena);
            const Google__Rpc__RetryDelay *delay = info ? info->retry_delay : NULL;
            if (delay && delay->seconds >= 0 && delay->seconds <= 86400 && delay->nanos >= 0) {
                *retry_after_ms = (uint32_t)(delay->seconds * 1000 + delay->nanos / 1000000);
            }
        }
    }
    cw_arena_done(&arena);
    return err;
}

enum cw_err cw_rpc_status_read(grpc_status_code code, const grpc_metadata_array *trailing,
                               uint32_t *ret_retry_after_ms)
{
    enum cw_err err = from_code(code);
    *ret_retry_after_ms = 0;
    for (size_t i = 0; err != CW_OK && i < trailing->count; i++) {
        const grpc_metadata *entry = &trailing->metadata[i];
        if (grpc_slice_str_cmp(entry->key, DETAILS_KEY) == 0) {
            struct cw_str bytes = {(const char *)GRPC_SLICE_START_PTR(entry->value),
                                   GRPC_SLICE_LENGTH(entry->value)};
            err = details_read(bytes, err, ret_retry_after_ms);
        }
    }
    return err;
}
