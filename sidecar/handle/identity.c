/* Identities are kept in the form in which they leave: fields of clinicwave.token.v1.Identity in
 * order, divided where the tenant's and the issuer's name go, which all tokens of an issuer share
 * and no entry keeps.
 *
 *   tenant ┐ subject ┐ issuer ┐ client_id … token_id ┐ claims
 *   (1)    │ (2)     │ (3)    │ (4) … (11)           │ (12), those the rule asks for
 *   shared │ blob    │ shared │ blob                 │ blob */
#include "sidecar/handle/identity.h"

static void pack_list(struct cw_buf *buf, unsigned field, const struct cw_str_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        wire_add_bytes(buf, field, list->items[i], true);
    }
}

static void pack_standard(struct cw_buf *buf, const struct cw_claims *claims)
{
    wire_add_bytes(buf, 4, claims->client_id, false);
    wire_add_bytes(buf, 5, claims->session_id, false);
    pack_list(buf, 6, &claims->scopes);
    pack_list(buf, 7, &claims->roles);
    pack_list(buf, 8, &claims->permissions);
    wire_add_varint(buf, 9, (uint64_t)claims->expires_at);
    wire_add_varint(buf, 10, (uint64_t)claims->issued_at);
    wire_add_bytes(buf, 11, claims->token_id, false);
}

static void pack_audiences(struct cw_buf *buf, const struct cw_str_list *audiences)
{
    for (size_t i = 0; i < audiences->n; i++) {
        struct cw_str audience = audiences->items[i];
        if (audience.n <= UINT16_MAX) {
            cw_buf_add_char(buf, (char)(audience.n & 0xff));
            cw_buf_add_char(buf, (char)(audience.n >> 8));
            cw_buf_add_str(buf, audience);
        }
    }
}

enum cw_err identity_pack(const struct cw_claims *claims, uint16_t issuer, struct cw_buf *buf,
                          struct cache_parts *ret_parts)
{
    size_t at[5] = {buf->n};

    wire_add_bytes(buf, 2, claims->subject, false);
    at[1] = buf->n;
    pack_standard(buf, claims);
    at[2] = buf->n;
    for (size_t i = 0; i < claims->kept_count; i++) {
        wire_add_claim(buf, claims->kept[i].name, claims->kept[i].json);
    }
    at[3] = buf->n;
    pack_audiences(buf, &claims->audiences);
    at[4] = buf->n;
    TRY(cw_buf_check(buf));
    ENSURE(at[4] - at[0] <= IDENTITY_MAX, CW_NO_MEMORY);
    *ret_parts = (struct cache_parts){
        .issuer = issuer,
        .subject = (uint16_t)(at[1] - at[0]),
        .standard = (uint16_t)(at[2] - at[1]),
        .claims = (uint16_t)(at[3] - at[2]),
        .audience = (uint16_t)(at[4] - at[3]),
    };
    return CW_OK;
}

struct identity identity_view(const struct cache_parts *parts, const char *blob)
{
    struct identity view = {.issuer = parts->issuer};

    view.subject = (struct cw_str){blob, parts->subject};
    view.standard = (struct cw_str){view.subject.p + view.subject.n, parts->standard};
    view.claims = (struct cw_str){view.standard.p + view.standard.n, parts->claims};
    view.audience = (struct cw_str){view.claims.p + view.claims.n, parts->audience};
    return view;
}

enum cw_err identity_judge(const struct identity *identity, const struct rule *rule,
                           const struct tenant *tenant)
{
    struct policy_identity who = {tenant->generation, identity->standard, identity->audience};
    struct policy_tenant where = {tenant->generation, tenant->audiences};

    return policy_judge(&who, &rule->requirement, &where);
}

bool identity_next_field(struct cw_str *rest, unsigned *ret_field, uint64_t *ret_number,
                         struct cw_str *ret_text)
{
    uint64_t values[2] = {0};

    for (size_t v = 0; v < CW_ARRAY_SIZE(values); v++) { /* tag, then a number or a length */
        unsigned i = 0;
        for (; i < rest->n && i < 10 && (rest->p[i] & 0x80); i++) {
            values[v] |= (uint64_t)(rest->p[i] & 0x7f) << (7 * i);
        }
        ENSURE(i < rest->n && i < 10, false);
        values[v] |= (uint64_t)(unsigned char)rest->p[i] << (7 * i);
        *rest = cw_str_slice(*rest, i + 1, rest->n);
    }
    *ret_field = (unsigned)(values[0] >> 3);
    *ret_number = values[1];
    *ret_text = (struct cw_str){0};
    if ((values[0] & 7) == 2) {
        ENSURE(values[1] <= rest->n, false);
        *ret_text = cw_str_slice(*rest, 0, (size_t)values[1]);
        *rest = cw_str_slice(*rest, (size_t)values[1], rest->n);
    }
    return true;
}

static struct revocation_subject revocable(const struct identity *identity,
                                           const struct tenant *tenant)
{
    struct revocation_subject subject = {
        .issuer = tenant->issuers[identity->issuer].name,
        .values[REVOCATION_ALL] = REVOCATION_ALL_VALUE,
        .learned = tenant->learned,
    };
    struct cw_str runs[] = {identity->subject, identity->standard};
    unsigned field;
    uint64_t number;
    struct cw_str text;

    for (size_t i = 0; i < CW_ARRAY_SIZE(runs); i++) {
        while (identity_next_field(&runs[i], &field, &number, &text)) {
            if (field == 2) {
                subject.values[REVOCATION_SUBJECT] = text;
            } else if (field == 5) {
                subject.values[REVOCATION_SESSION] = text;
            } else if (field == 10) {
                subject.issued_at = (int64_t)number;
            } else if (field == 11) {
                subject.values[REVOCATION_TOKEN] = text;
            }
        }
    }
    return subject;
}

enum cw_err identity_decide(const struct identity *identity, const struct rule *rule,
                            const struct tenant *tenant, struct revocations *revocations,
                            int64_t mono_ms)
{
    if (revocations && !revocations_idle(revocations, mono_ms)) {
        struct revocation_subject subject = revocable(identity, tenant);
        TRY(revocations_check(revocations, &subject, mono_ms));
    }
    return identity_judge(identity, rule, tenant);
}

void identity_verdict(const struct identity *identity, const struct rule *rule,
                      const struct tenant *tenant, enum cw_err reason, bool cached,
                      struct cw_buf *scratch, struct wire_verdict *ret_verdict)
{
    bool policy = cw_err_info(reason)->category == CW_CATEGORY_POLICY;

    *ret_verdict = (struct wire_verdict){
        /* Whatever is neither CW_OK nor of POLICY refuses the token itself. */
        .decision = reason == CW_OK ? WIRE_ALLOW
                    : policy        ? WIRE_FORBIDDEN
                                    : WIRE_UNAUTHENTICATED,
        .reason = reason == CW_OK ? (struct cw_str){0} : cw_str(cw_err_code(reason)),
        .has_identity = identity && (reason == CW_OK || policy),
        .cached = cached,
    };
    if (reason == CW_SCOPE_INSUFFICIENT) {
        ret_verdict->required_scope = rule->required_scope;
    }
    if (!ret_verdict->has_identity) {
        return;
    }
    struct cw_str claims = {0};
    if (rule->all_claims) {
        claims = identity->claims;
    } else if (rule->claims.n > 0 && identity->claims.n > 0) {
        cw_buf_clear(scratch);
        wire_filter_claims(scratch, identity->claims, rule->claims.items, rule->claims.n);
        claims = cw_buf_str(scratch);
    }
    ret_verdict->identity[0] = tenant->wire;
    ret_verdict->identity[1] = identity->subject;
    ret_verdict->identity[2] = tenant->issuer_wires[identity->issuer];
    ret_verdict->identity[3] = identity->standard;
    ret_verdict->identity[4] = claims;
}

void identity_undecided(enum cw_err err, uint32_t retry_after_s,
                        struct wire_undecided *ret_undecided)
{
    const struct cw_err_info *info = cw_err_info(err);
    enum wire_cause cause = WIRE_UNAVAILABLE;

    if (err == CW_DIGEST_UNKNOWN) {
        cause = WIRE_UNKNOWN_DIGEST;
    } else if (info->category == CW_CATEGORY_REQUEST) {
        cause = WIRE_INVALID_ARGUMENT;
    } else if (info->grpc == CW_GRPC_RESOURCE_EXHAUSTED) {
        cause = WIRE_RESOURCE_EXHAUSTED;
    } else if (info->grpc == CW_GRPC_DEADLINE_EXCEEDED) {
        cause = WIRE_DEADLINE_EXCEEDED;
    }
    *ret_undecided = (struct wire_undecided){cause, cw_str(info->code), retry_after_s};
}
