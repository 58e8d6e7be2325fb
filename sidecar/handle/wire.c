/* The hot path's codec. A batch of 256 entries is read in one pass into an array that borrows from
 * the message; an answer is written in one pass, with lengths computed beforehand. */
#include "sidecar/handle/wire.h"

#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* ---- reading ---- */

static bool take_varint(struct cw_str *rest, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < rest->n && i < 10; i++) {
        unsigned char byte = (unsigned char)rest->p[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            rest->p += i + 1;
            rest->n -= i + 1;
            *ret_value = value;
            return true;
        }
    }
    return false;
}

struct field {
    uint64_t number;
    unsigned type;
    uint64_t integer;    /* VARINT */
    struct cw_str bytes; /* BYTES */
};

/* False at the end and for what is no field; *rest is empty only in the first case. */
static bool take_field(struct cw_str *rest, struct field *ret)
{
    uint64_t tag;
    uint64_t n = 0;

    ENSURE(take_varint(rest, &tag), false);
    ret->number = tag >> 3;
    ret->type = tag & 7;
    /* Field numbers are 1 to 2^29 - 1. */
    ENSURE(ret->number > 0 && ret->number < 1u << 29, false);
    switch (ret->type) {
    case VARINT:
        return take_varint(rest, &ret->integer);
    case FIXED64:
        n = 8;
        break;
    case FIXED32:
        n = 4;
        break;
    case BYTES:
        ENSURE(take_varint(rest, &n), false);
        break;
    default: /* groups */
        return false;
    }
    ENSURE(n <= rest->n, false);
    ret->bytes = (struct cw_str){rest->p, (size_t)n};
    rest->p += n;
    rest->n -= (size_t)n;
    return true;
}

static bool field_bytes(const struct field *field, struct cw_str *ret)
{
    *ret = field->bytes;
    return field->type == BYTES;
}

static bool field_u32(const struct field *field, uint32_t *ret)
{
    *ret = (uint32_t)field->integer;
    return field->type == VARINT;
}

static bool entry_field(const struct field *field, struct wire_entry *entry)
{
    switch (field->number) {
    case 1:
        entry->id = field->integer;
        return field->type == VARINT;
    case 2:
        entry->subject = WIRE_DIGEST;
        return field_bytes(field, &entry->value);
    case 3:
        entry->subject = WIRE_TOKEN;
        return field_bytes(field, &entry->value);
    case 4:
        return field_bytes(field, &entry->domain);
    case 5:
        return field_u32(field, &entry->rule);
    case 6:
        return field_u32(field, &entry->timeout_ms);
    default: /* of a newer caller */
        return true;
    }
}

static enum cw_err decode_entry(struct cw_str message, struct wire_entry *entry)
{
    struct field field;

    memset(entry, 0, sizeof(*entry));
    while (message.n > 0) {
        ENSURE(take_field(&message, &field) && entry_field(&field, entry), CW_REQUEST_MALFORMED);
    }
    return CW_OK;
}

enum cw_err wire_batch_decode(struct cw_str message, struct wire_batch *ret_batch)
{
    struct field field;

    ENSURE(message.n <= WIRE_BATCH_MAX, CW_REQUEST_TOO_LARGE);
    ret_batch->n_rules = 0;
    ret_batch->n_entries = 0;
    while (message.n > 0) {
        ENSURE(take_field(&message, &field), CW_REQUEST_MALFORMED);
        if (field.number == 1) {
            ENSURE(field.type == BYTES, CW_REQUEST_MALFORMED);
            ret_batch->n_rules++;
        } else if (field.number == 2) {
            ENSURE(field.type == BYTES, CW_REQUEST_MALFORMED);
            ENSURE(ret_batch->n_entries < WIRE_ENTRIES_MAX, CW_REQUEST_TOO_LARGE);
            TRY(decode_entry(field.bytes, &ret_batch->entries[ret_batch->n_entries]));
            ret_batch->n_entries++;
        }
    }
    return CW_OK;
}

bool wire_next_rule(struct cw_str *rest, struct cw_str *ret_rule)
{
    struct field field;

    while (rest->n > 0 && take_field(rest, &field)) {
        if (field.number == 1 && field_bytes(&field, ret_rule)) {
            return true;
        }
    }
    return false;
}

enum cw_err wire_request_decode(struct cw_str message, struct wire_request *ret_request)
{
    struct field field;
    struct wire_request request = {0};

    while (message.n > 0) {
        bool good = take_field(&message, &field);
        ENSURE(good, CW_REQUEST_MALFORMED);
        switch (field.number) {
        case 1:
            good = field_bytes(&field, &request.token);
            break;
        case 2:
            good = field_bytes(&field, &request.domain);
            break;
        case 3:
        case 4:
            good = field.type == BYTES;
            request.demands = true;
            break;
        case 5:
            good = field.type == VARINT;
            request.explain = field.integer != 0;
            break;
        default:
            break;
        }
        ENSURE(good, CW_REQUEST_MALFORMED);
    }
    *ret_request = request;
    return CW_OK;
}

/* ---- writing ---- */

static size_t varint_size(uint64_t value)
{
    size_t n = 1;

    for (; value >= 0x80; value >>= 7) {
        n++;
    }
    return n;
}

static char *put_varint(char *p, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        *p++ = (char)(value | 0x80);
    }
    *p++ = (char)value;
    return p;
}

/* Fields below 16: the tag is one byte. */
static size_t bytes_size(size_t n)
{
    return 1 + varint_size(n) + n;
}

static char *put_head(char *p, unsigned field, size_t n)
{
    *p++ = (char)(field << 3 | BYTES);
    return put_varint(p, n);
}

static char *put_str(char *p, struct cw_str s)
{
    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    return p + s.n;
}

static size_t identity_size(const struct wire_verdict *verdict)
{
    size_t n = 0;

    for (size_t i = 0; i < WIRE_IDENTITY_PARTS; i++) {
        n += verdict->identity[i].n;
    }
    return n;
}

static size_t verdict_size(const struct wire_verdict *verdict, size_t identity)
{
    return 2 + (verdict->reason.n ? bytes_size(verdict->reason.n) : 0) +
           (verdict->has_identity ? bytes_size(identity) : 0) + (verdict->cached ? 2 : 0) +
           (verdict->required_scope.n ? bytes_size(verdict->required_scope.n) : 0);
}

/* Verdict; ValidateResponse has the same first five fields. */
static char *put_verdict(char *p, const struct wire_verdict *verdict, size_t identity)
{
    *p++ = 1 << 3;
    *p++ = (char)verdict->decision;
    if (verdict->reason.n) {
        p = put_str(put_head(p, 2, verdict->reason.n), verdict->reason);
    }
    if (verdict->has_identity) {
        p = put_head(p, 3, identity);
        for (size_t i = 0; i < WIRE_IDENTITY_PARTS; i++) {
            p = put_str(p, verdict->identity[i]);
        }
    }
    if (verdict->cached) {
        *p++ = 4 << 3;
        *p++ = 1;
    }
    if (verdict->required_scope.n) {
        p = put_str(put_head(p, 5, verdict->required_scope.n), verdict->required_scope);
    }
    return p;
}

void wire_add_response(struct cw_buf *buf, const struct wire_verdict *verdict)
{
    size_t identity = identity_size(verdict);
    char *p = cw_buf_extend(buf, verdict_size(verdict, identity));

    if (p) {
        put_verdict(p, verdict, identity);
    }
}

/* ValidateResult's `id` (left out when 0) and the head of its outcome. */
static char *put_result(char *p, uint64_t id, size_t result, unsigned outcome, size_t n)
{
    p = put_head(p, 1, result);
    if (id) {
        *p++ = 1 << 3;
        p = put_varint(p, id);
    }
    return put_head(p, outcome, n);
}

void wire_add_verdict(struct cw_buf *buf, uint64_t id, const struct wire_verdict *verdict)
{
    size_t identity = identity_size(verdict);
    size_t n = verdict_size(verdict, identity);
    size_t result = (id ? 1 + varint_size(id) : 0) + bytes_size(n);
    char *p = cw_buf_extend(buf, bytes_size(result));

    if (p) {
        put_verdict(put_result(p, id, result, 2, n), verdict, identity);
    }
}

void wire_add_undecided(struct cw_buf *buf, uint64_t id, const struct wire_undecided *undecided)
{
    size_t n = 2 + (undecided->reason.n ? bytes_size(undecided->reason.n) : 0) +
               (undecided->retry_after_s ? 1 + varint_size(undecided->retry_after_s) : 0);
    size_t result = (id ? 1 + varint_size(id) : 0) + bytes_size(n);
    char *p = cw_buf_extend(buf, bytes_size(result));

    if (!p) {
        return;
    }
    p = put_result(p, id, result, 3, n);
    *p++ = 1 << 3;
    *p++ = (char)undecided->cause;
    if (undecided->reason.n) {
        p = put_str(put_head(p, 2, undecided->reason.n), undecided->reason);
    }
    if (undecided->retry_after_s) {
        *p++ = 3 << 3;
        put_varint(p, undecided->retry_after_s);
    }
}

void wire_add_bytes(struct cw_buf *buf, unsigned field, struct cw_str value, bool always)
{
    if (value.n == 0 && !always) {
        return;
    }
    char *p = cw_buf_extend(buf, bytes_size(value.n));
    if (p) {
        put_str(put_head(p, field, value.n), value);
    }
}

void wire_add_varint(struct cw_buf *buf, unsigned field, uint64_t value)
{
    char *p = value ? cw_buf_extend(buf, 1 + varint_size(value)) : NULL;

    if (p) {
        *p++ = (char)(field << 3 | VARINT);
        put_varint(p, value);
    }
}

void wire_add_check(struct cw_buf *buf, struct cw_str name, bool passed, struct cw_str detail)
{
    size_t n = (name.n ? bytes_size(name.n) : 0) + (passed ? 2 : 0) +
               (detail.n ? bytes_size(detail.n) : 0);
    char *p = cw_buf_extend(buf, 1 + varint_size(n));

    if (p) {
        put_head(p, 6, n);
    }
    wire_add_bytes(buf, 1, name, false);
    wire_add_varint(buf, 2, passed);
    wire_add_bytes(buf, 3, detail, false);
}

void wire_add_claim(struct cw_buf *buf, struct cw_str name, struct cw_str json)
{
    size_t n = (name.n ? bytes_size(name.n) : 0) + (json.n ? bytes_size(json.n) : 0);
    char *p = cw_buf_extend(buf, 1 + varint_size(n));

    if (p) {
        put_head(p, 12, n);
    }
    wire_add_bytes(buf, 1, name, false);
    wire_add_bytes(buf, 2, json, false);
}

void wire_filter_claims(struct cw_buf *buf, struct cw_str claims, const struct cw_str *names,
                        size_t n)
{
    struct field claim;

    while (claims.n > 0) {
        const char *begin = claims.p;
        if (!take_field(&claims, &claim)) {
            return;
        }
        struct cw_str inner = claim.bytes;
        struct field name;
        if (!take_field(&inner, &name) || name.number != 1) {
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            if (cw_str_eq(names[i], name.bytes)) {
                cw_buf_add(buf, begin, (size_t)(claims.p - begin));
                break;
            }
        }
    }
}
