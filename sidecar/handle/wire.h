/* The messages of the hot path in protobuf's wire format, read and written without unpacking: what
 * protobuf-c accepts is accepted, and the bytes written are the ones that it would write. */
#ifndef SIDECAR_HANDLE_WIRE_H
#define SIDECAR_HANDLE_WIRE_H

#include "common/base/buf.h"
#include "common/base/err.h"

enum {
    WIRE_ENTRIES_MAX = 256,      /* of one ValidateStreamRequest, and of one answer */
    WIRE_BATCH_MAX = 128 * 1024, /* bytes of one */
};

/* clinicwave.token.v1.Decision. */
enum wire_decision { WIRE_ALLOW = 1, WIRE_UNAUTHENTICATED = 2, WIRE_FORBIDDEN = 3 };

/* clinicwave.token.v1.UndecidedCause. */
enum wire_cause {
    WIRE_UNKNOWN_DIGEST = 1,
    WIRE_UNAVAILABLE = 2,
    WIRE_RESOURCE_EXHAUSTED = 3,
    WIRE_INVALID_ARGUMENT = 4,
    WIRE_DEADLINE_EXCEEDED = 5,
};

enum wire_subject { WIRE_NOTHING = 0, WIRE_DIGEST, WIRE_TOKEN };

/* ValidateEntry; borrowed from the message. */
struct wire_entry {
    uint64_t id;
    enum wire_subject subject;
    struct cw_str value;
    struct cw_str domain;
    uint32_t rule;
    uint32_t timeout_ms;
};

/* ValidateStreamRequest. */
struct wire_batch {
    size_t n_rules;
    size_t n_entries;
    struct wire_entry entries[WIRE_ENTRIES_MAX];
};

/* CW_REQUEST_MALFORMED for what is no message of this type; CW_REQUEST_TOO_LARGE past the bounds.
 */
CW_MUST_USE enum cw_err wire_batch_decode(struct cw_str message, struct wire_batch *ret_batch);
/* The RuleDefinitions of a message that was decoded, packed, one after the other: start with `rest`
 * as the message. */
bool wire_next_rule(struct cw_str *rest, struct cw_str *ret_rule);

/* ValidateRequest; borrowed from the message. */
struct wire_request {
    struct cw_str token;
    struct cw_str domain;
    bool demands; /* it has a requirement or asks for claims: unpack it */
    bool explain;
};
CW_MUST_USE enum cw_err wire_request_decode(struct cw_str message,
                                            struct wire_request *ret_request);

enum { WIRE_IDENTITY_PARTS = 5 };

/* A verdict; `identity` is the message's packed fields in order, empty parts for none. */
struct wire_verdict {
    enum wire_decision decision;
    struct cw_str reason;
    bool has_identity;
    struct cw_str identity[WIRE_IDENTITY_PARTS];
    bool cached;
    struct cw_str required_scope;
};

struct wire_undecided {
    enum wire_cause cause;
    struct cw_str reason;
    uint32_t retry_after_s;
};

/* Appends one `results` field of a ValidateStreamResponse. */
void wire_add_verdict(struct cw_buf *buf, uint64_t id, const struct wire_verdict *verdict);
void wire_add_undecided(struct cw_buf *buf, uint64_t id, const struct wire_undecided *undecided);
/* Appends a ValidateResponse without checks; `checks` fields may follow. */
void wire_add_response(struct cw_buf *buf, const struct wire_verdict *verdict);
void wire_add_check(struct cw_buf *buf, struct cw_str name, bool passed, struct cw_str detail);

/* One field each, for packing an identity: bytes and strings (left out when empty unless
 * `always`), integers (left out when 0). */
void wire_add_bytes(struct cw_buf *buf, unsigned field, struct cw_str value, bool always);
void wire_add_varint(struct cw_buf *buf, unsigned field, uint64_t value);
/* Packed Claim messages (field 12) with one of these names. */
void wire_add_claim(struct cw_buf *buf, struct cw_str name, struct cw_str json);
void wire_filter_claims(struct cw_buf *buf, struct cw_str claims, const struct cw_str *names,
                        size_t n);

#endif
