/* Any bytes as a batch and as a request: what protobuf-c reads is read the same way, and nothing
 * is read past the end. Targets: wire_batch_decode, wire_next_rule, wire_request_decode. */
#include <stdlib.h>
#include <string.h>

#include "proto/clinicwave/token/v1/token.pb-c.h"
#include "sidecar/handle/wire.h"

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* protobuf-c's strings end at a NUL; the codec's do not. */
static bool same_text(struct cw_str ours, const char *theirs)
{
    return strlen(theirs) == strnlen(ours.n ? ours.p : "", ours.n) &&
           memcmp(ours.n ? ours.p : "", theirs, strlen(theirs)) == 0;
}

static bool same_bytes(struct cw_str ours, ProtobufCBinaryData theirs)
{
    return ours.n == theirs.len && (ours.n == 0 || memcmp(ours.p, theirs.data, ours.n) == 0);
}

static void compare_batch(const struct wire_batch *ours,
                          const Clinicwave__Token__V1__ValidateStreamRequest *theirs)
{
    require(ours->n_entries == theirs->n_entries && ours->n_rules == theirs->n_rules);
    for (size_t i = 0; i < ours->n_entries; i++) {
        const struct wire_entry *a = &ours->entries[i];
        const Clinicwave__Token__V1__ValidateEntry *b = theirs->entries[i];
        require(a->id == b->id && a->rule == b->rule && a->timeout_ms == b->timeout_ms);
        require(same_text(a->domain, b->domain));
        switch (b->subject_case) {
        case CLINICWAVE__TOKEN__V1__VALIDATE_ENTRY__SUBJECT_DIGEST:
            require(a->subject == WIRE_DIGEST && same_bytes(a->value, b->digest));
            break;
        case CLINICWAVE__TOKEN__V1__VALIDATE_ENTRY__SUBJECT_TOKEN:
            require(a->subject == WIRE_TOKEN && same_bytes(a->value, b->token));
            break;
        case CLINICWAVE__TOKEN__V1__VALIDATE_ENTRY__SUBJECT__NOT_SET:
        case _CLINICWAVE__TOKEN__V1__VALIDATE_ENTRY__SUBJECT__CASE_IS_INT_SIZE:
        default:
            require(a->subject == WIRE_NOTHING);
            break;
        }
    }
}

static void try_batch(const uint8_t *data, size_t size)
{
    static struct wire_batch batch;
    struct cw_str rest = {(const char *)data, size};
    struct cw_str rule;
    size_t rules = 0;
    enum cw_err err = wire_batch_decode(rest, &batch);

    if (err == CW_OK) {
        while (wire_next_rule(&rest, &rule)) {
            rules++;
        }
        require(rules == batch.n_rules);
    }
    Clinicwave__Token__V1__ValidateStreamRequest *message =
        clinicwave__token__v1__validate_stream_request__unpack(NULL, size, data);
    if (message && err == CW_OK) {
        compare_batch(&batch, message);
    }
    if (message) {
        clinicwave__token__v1__validate_stream_request__free_unpacked(message, NULL);
    }
}

static void try_request(const uint8_t *data, size_t size)
{
    struct wire_request request;
    enum cw_err err = wire_request_decode((struct cw_str){(const char *)data, size}, &request);
    Clinicwave__Token__V1__ValidateRequest *message =
        clinicwave__token__v1__validate_request__unpack(NULL, size, data);

    if (message && err == CW_OK) {
        require(same_bytes(request.token, message->token));
        require(same_text(request.domain, message->domain));
        require(request.explain == (message->explain != 0));
        require(request.demands == (message->requirement || message->n_claims > 0));
    }
    if (message) {
        clinicwave__token__v1__validate_request__free_unpacked(message, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 4096) {
        try_batch(data, size);
        try_request(data, size);
    }
    return 0;
}
