/* Headers can carry no line ends, and joined lists no separators. */
#include "sidecar/ext_authz/who.h"

const char *const who_names[WHO_N] = {
    [WHO_TENANT] = "x-auth-tenant",   [WHO_SUBJECT] = "x-auth-subject",
    [WHO_ISSUER] = "x-auth-issuer",   [WHO_CLIENT] = "x-auth-client",
    [WHO_SESSION] = "x-auth-session", [WHO_SCOPE] = "x-auth-scope",
    [WHO_ROLES] = "x-auth-roles",
};

/* Fields of clinicwave.token.v1.Identity. */
enum { SUBJECT = 2, CLIENT_ID = 4, SESSION_ID = 5, SCOPES = 6, ROLES = 7 };

static bool is_clean(struct cw_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        ENSURE((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f, false);
    }
    return true;
}

/* The values of `field`, joined; CW_CLAIM_INVALID where one is empty or has the separator. */
static enum cw_err join(struct cw_str run, unsigned field, char separator, struct cw_buf *joined)
{
    unsigned found;
    uint64_t number;
    struct cw_str text;

    for (bool first = true; identity_next_field(&run, &found, &number, &text);) {
        if (found != field) {
            continue;
        }
        ENSURE(text.n > 0 && cw_str_find(text, separator) == text.n, CW_CLAIM_INVALID);
        if (!first) {
            cw_buf_add_char(joined, separator);
        }
        cw_buf_add_str(joined, text);
        first = false;
    }
    return cw_buf_check(joined);
}

static void read_single(struct cw_str run, struct who *who)
{
    unsigned field;
    uint64_t number;
    struct cw_str text;

    while (identity_next_field(&run, &field, &number, &text)) {
        if (field == SUBJECT) {
            who->values[WHO_SUBJECT] = text;
        } else if (field == CLIENT_ID) {
            who->values[WHO_CLIENT] = text;
        } else if (field == SESSION_ID) {
            who->values[WHO_SESSION] = text;
        }
    }
}

enum cw_err who_read(const struct identity *identity, const struct tenant *tenant,
                     struct cw_buf *joined, struct who *ret_who)
{
    struct who who = {
        .values[WHO_TENANT] = tenant->name,
        .values[WHO_ISSUER] = tenant->issuers[identity->issuer].name,
    };
    size_t begin = joined->n;

    read_single(identity->subject, &who);
    read_single(identity->standard, &who);
    TRY(join(identity->standard, SCOPES, ' ', joined));
    size_t middle = joined->n;
    TRY(join(identity->standard, ROLES, ',', joined));
    struct cw_str lists = cw_buf_str(joined);
    who.values[WHO_SCOPE] = cw_str_slice(lists, begin, middle);
    who.values[WHO_ROLES] = cw_str_slice(lists, middle, lists.n);
    for (size_t i = 0; i < WHO_N; i++) {
        ENSURE(is_clean(who.values[i]), CW_CLAIM_INVALID);
    }
    *ret_who = who;
    return CW_OK;
}
