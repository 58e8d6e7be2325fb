/* Step 3: the identity is good; is it good enough for what was asked? The answer is never kept: a
 * cached identity is judged again for each request, so that one route's decision is never
 * another's. */
#include "sidecar/policy/policy.h"

/* Base-128 varint (protobuf wire format); false when it does not end within `rest`. */
static bool take_varint(struct cw_str *rest, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < rest->n && i < 10; i++) {
        unsigned char byte = (unsigned char)rest->p[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *rest = cw_str_slice(*rest, i + 1, rest->n);
            *ret_value = value;
            return true;
        }
    }
    return false;
}

bool policy_next(struct cw_str *rest, enum policy_field field, struct cw_str *ret_value)
{
    uint64_t tag;
    uint64_t n;

    /* The cache packs varints and length-delimited fields only. */
    while (take_varint(rest, &tag) && take_varint(rest, &n)) {
        if ((tag & 7) == 0) {
            continue;
        }
        ENSURE((tag & 7) == 2 && n <= rest->n, false);
        *ret_value = cw_str_slice(*rest, 0, (size_t)n);
        *rest = cw_str_slice(*rest, (size_t)n, rest->n);
        if (tag >> 3 == (uint64_t)field) {
            return true;
        }
    }
    return false;
}

bool policy_next_audience(struct cw_str *rest, struct cw_str *ret_value)
{
    ENSURE(rest->n >= 2, false);
    size_t n = (unsigned char)rest->p[0] | (size_t)(unsigned char)rest->p[1] << 8;
    ENSURE(n <= rest->n - 2, false);
    *ret_value = cw_str_slice(*rest, 2, 2 + n);
    *rest = cw_str_slice(*rest, 2 + n, rest->n);
    return true;
}

static bool has(struct cw_str packed, enum policy_field field, struct cw_str value)
{
    struct cw_str found;

    while (policy_next(&packed, field, &found)) {
        if (cw_str_eq(found, value)) {
            return true;
        }
    }
    return false;
}

static bool has_all(struct cw_str packed, enum policy_field field, const struct cw_str_list *values)
{
    for (size_t i = 0; i < values->n; i++) {
        ENSURE(has(packed, field, values->items[i]), false);
    }
    return true;
}

static bool has_any(struct cw_str packed, enum policy_field field, const struct cw_str_list *values)
{
    for (size_t i = 0; i < values->n; i++) {
        if (has(packed, field, values->items[i])) {
            return true;
        }
    }
    return values->n == 0;
}

/* RFC 9068 §4: `aud` must name the resource server; byte for byte. */
static bool audience_ok(struct cw_str audience, const struct cw_str_list *accepted)
{
    struct cw_str found;

    while (policy_next_audience(&audience, &found)) {
        if (cw_str_list_has(accepted, found)) {
            return true;
        }
    }
    return false;
}

enum cw_err policy_judge(const struct policy_identity *identity,
                         const struct policy_requirement *requirement,
                         const struct policy_tenant *tenant)
{
    ENSURE(identity->generation == tenant->generation, CW_TENANT_MISMATCH);
    ENSURE(audience_ok(identity->audience,
                       requirement->audiences.n ? &requirement->audiences : &tenant->audiences),
           CW_AUDIENCE_MISMATCH);
    ENSURE(has_all(identity->standard, POLICY_SCOPES, &requirement->scopes_all) &&
               has_any(identity->standard, POLICY_SCOPES, &requirement->scopes_any),
           CW_SCOPE_INSUFFICIENT);
    ENSURE(has_all(identity->standard, POLICY_ROLES, &requirement->roles_all) &&
               has_any(identity->standard, POLICY_ROLES, &requirement->roles_any),
           CW_ROLE_INSUFFICIENT);
    return CW_OK;
}
