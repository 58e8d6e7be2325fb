/* Judges the claims of one issuer's token and keeps those that the claim map names. */
#include "common/jose/claims.h"

#include <math.h>
#include <string.h>

#include "common/jose/checks.h"

/* 9999-12-31T23:59:59Z: beyond it a NumericDate is an accident or an attack */
static const int64_t date_max = 253402300799;

enum rounding { DOWN, UP };

/* RFC 7519 §2: a number of seconds, fractions allowed. Never saturates. */
static enum cw_err read_date(const struct cw_doc_value *claims, struct cw_str name,
                             enum rounding rounding, int64_t *ret_seconds)
{
    const struct cw_doc_value *value = cw_doc_get(claims, name);
    ENSURE(value, CW_CLAIM_MISSING);
    int64_t seconds = 0;
    if (cw_doc_is(value, CW_DOC_INTEGER)) {
        seconds = cw_doc_integer(value);
    } else if (cw_doc_is(value, CW_DOC_REAL)) {
        double real = cw_doc_real(value);
        ENSURE(real > 0 && real <= (double)date_max, CW_CLAIM_INVALID);
        seconds = (int64_t)(rounding == DOWN ? floor(real) : ceil(real));
    }
    ENSURE(seconds > 0 && seconds <= date_max, CW_CLAIM_INVALID);
    *ret_seconds = seconds;
    return CW_OK;
}

static enum cw_err read_optional_date(const struct cw_doc_value *claims, struct cw_str name,
                                      int64_t *ret_seconds)
{
    enum cw_err err = read_date(claims, name, UP, ret_seconds);
    return err == CW_CLAIM_MISSING ? CW_OK : err;
}

enum cw_err cw_claims_check_times(const struct cw_doc_value *claims,
                                  const struct cw_claims_policy *policy, int64_t now,
                                  const struct cw_checks *checks, struct cw_claims *ret_claims)
{
    int64_t exp = 0, nbf = 0, iat = 0;
    int64_t leeway = CW_MAX(0, CW_MIN(policy->leeway, CW_CLAIMS_LEEWAY_MAX));
    CW_CHECK_TRY(checks, "exp", read_date(claims, CW_STR("exp"), DOWN, &exp),
                 "a number of seconds");
    CW_CHECK_TRY(checks, "nbf", read_optional_date(claims, CW_STR("nbf"), &nbf),
                 "absent or seconds");
    CW_CHECK_TRY(checks, "iat", read_optional_date(claims, CW_STR("iat"), &iat),
                 "absent or seconds");
    /* RFC 7519 §4.1.4: "on or after" exp is too late */
    CW_CHECK(checks, "expiry", now < exp + leeway, CW_TOKEN_EXPIRED,
             "now %lld before exp %lld + leeway %lld", (long long)now, (long long)exp,
             (long long)leeway);
    CW_CHECK(checks, "not-before", nbf <= now + leeway, CW_TOKEN_NOT_YET_VALID,
             "nbf %lld at most now %lld + leeway %lld", (long long)nbf, (long long)now,
             (long long)leeway);
    CW_CHECK(checks, "issued-at", iat <= now + leeway, CW_TOKEN_NOT_YET_VALID,
             "iat %lld at most now %lld + leeway %lld", (long long)iat, (long long)now,
             (long long)leeway);
    CW_CHECK(checks, "order", nbf <= exp && iat <= exp, CW_CLAIM_INVALID,
             "nbf %lld and iat %lld at most exp %lld", (long long)nbf, (long long)iat,
             (long long)exp);
    if (policy->max_lifetime > 0) {
        int64_t life = exp - (iat ? iat : now);
        CW_CHECK(checks, "lifetime", life <= policy->max_lifetime, CW_LIFETIME_EXCESSIVE,
                 "%lld seconds of at most %lld", (long long)life, (long long)policy->max_lifetime);
    }
    ret_claims->expires_at = exp;
    ret_claims->not_before = nbf;
    ret_claims->issued_at = iat;
    return CW_OK;
}

/* No control bytes in what becomes an HTTP header or a log field (RFC 9110 §5.5). */
static bool is_clean(struct cw_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static enum cw_err read_text(const struct cw_doc_value *value, struct cw_str *ret_text)
{
    *ret_text = (struct cw_str){"", 0};
    if (!value) {
        return CW_OK;
    }
    ENSURE(cw_doc_is(value, CW_DOC_STRING), CW_CLAIM_INVALID);
    *ret_text = cw_doc_str(value);
    return is_clean(*ret_text) ? CW_OK : CW_CLAIM_INVALID;
}

static enum cw_err read_array(const struct cw_doc_value *array, struct cw_arena *arena,
                              struct cw_str_list *ret_list)
{
    size_t n = array->n;
    ENSURE(n <= CW_CLAIM_VALUES_MAX, CW_CLAIM_INVALID);
    struct cw_str *items = cw_arena_alloc(arena, n * sizeof *items);
    ENSURE(items, CW_NO_MEMORY);
    const struct cw_doc_value *at = cw_doc_first(array);
    for (size_t i = 0; i < n; i++, at = cw_doc_next(at)) {
        TRY(read_text(at, &items[i]));
    }
    *ret_list = (struct cw_str_list){items, n};
    return CW_OK;
}

static enum cw_err read_words(struct cw_str text, struct cw_arena *arena,
                              struct cw_str_list *ret_list)
{
    struct cw_str rest = text, word;
    size_t n = 0;
    while (cw_str_word(&rest, ' ', &word)) {
        n++;
    }
    ENSURE(n <= CW_CLAIM_VALUES_MAX, CW_CLAIM_INVALID);
    struct cw_str *items = cw_arena_alloc(arena, n * sizeof *items);
    ENSURE(items, CW_NO_MEMORY);
    rest = text;
    for (size_t i = 0; i < n && cw_str_word(&rest, ' ', &items[i]); i++) {
    }
    *ret_list = (struct cw_str_list){items, n};
    return CW_OK;
}

/* An array of strings, or one string of words; absent and null are the empty list. */
static enum cw_err read_list(const struct cw_doc_value *value, struct cw_arena *arena,
                             struct cw_str_list *ret_list)
{
    *ret_list = (struct cw_str_list){NULL, 0};
    if (!value || cw_doc_is(value, CW_DOC_NULL)) {
        return CW_OK;
    }
    if (cw_doc_is(value, CW_DOC_ARRAY)) {
        return read_array(value, arena, ret_list);
    }
    struct cw_str text;
    TRY(read_text(value, &text));
    return read_words(text, arena, ret_list);
}

/* `aud` is a string as it stands, not words (RFC 7519 §4.1.3). */
static enum cw_err read_audiences(const struct cw_doc_value *claims, struct cw_arena *arena,
                                  struct cw_str_list *ret_list)
{
    const struct cw_doc_value *value = cw_doc_get(claims, CW_STR("aud"));
    *ret_list = (struct cw_str_list){NULL, 0};
    if (!value) {
        return CW_OK;
    }
    if (cw_doc_is(value, CW_DOC_ARRAY)) {
        return read_array(value, arena, ret_list);
    }
    struct cw_str *item = cw_arena_alloc(arena, sizeof *item);
    ENSURE(item, CW_NO_MEMORY);
    TRY(read_text(value, item));
    *ret_list = (struct cw_str_list){item, 1};
    return CW_OK;
}

static bool one_of(struct cw_str value, const struct cw_str *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (cw_str_eq(items[i], value)) {
            return true;
        }
    }
    return false;
}

bool cw_str_list_has(const struct cw_str_list *list, struct cw_str value)
{
    return one_of(value, list->items, list->n);
}

static bool audience_matches(const struct cw_claims_policy *policy, const struct cw_str_list *aud)
{
    for (size_t i = 0; i < policy->audience_count; i++) {
        if (cw_str_list_has(aud, policy->audiences[i])) {
            return true;
        }
    }
    return false;
}

/* The mapped claim, else the first of the usual names that is there. */
static const struct cw_doc_value *mapped(const struct cw_doc_value *claims,
                                         const struct cw_claim_path *path,
                                         const struct cw_str usual[])
{
    if (path->n) {
        return cw_claim_path_find(path, claims);
    }
    const struct cw_doc_value *value = NULL;
    for (size_t i = 0; usual[i].n && !value; i++) {
        value = cw_doc_get(claims, usual[i]);
    }
    return value;
}

#define USUAL(...) ((const struct cw_str[]){__VA_ARGS__, {0}})

/* RFC 8725 §3.12: ID, logout and security event tokens of the same issuer are no access tokens,
 * even where `typ` does not tell. NULL, or the claim that gives it away. */
static const char *other_kind(const struct cw_doc_value *claims, const struct cw_claims *kept)
{
    static const struct cw_str telling[] = {CW_STR_INIT("at_hash"), CW_STR_INIT("c_hash"),
                                            CW_STR_INIT("s_hash"), CW_STR_INIT("events"),
                                            CW_STR_INIT("toe")};
    for (size_t i = 0; i < CW_ARRAY_SIZE(telling); i++) {
        if (cw_doc_get(claims, telling[i])) {
            return telling[i].p;
        }
    }
    if (cw_doc_get(claims, CW_STR("nonce")) && !kept->scopes.n && !kept->client_id.n) {
        return "nonce";
    }
    struct cw_str kind;
    if (cw_doc_get_str(claims, CW_STR("typ"), &kind) &&
        (cw_str_is(kind, "ID") || cw_str_is(kind, "Refresh") || cw_str_is(kind, "Offline") ||
         cw_str_is(kind, "Logout"))) {
        return "typ"; /* Keycloak */
    }
    if (cw_doc_get_str(claims, CW_STR("token_use"), &kind) && !cw_str_is(kind, "access")) {
        return "token_use"; /* Cognito */
    }
    return NULL;
}

static enum cw_err check_required(const struct cw_doc_value *claims,
                                  const struct cw_claims_policy *policy,
                                  const struct cw_checks *checks)
{
    for (size_t i = 0; i < policy->required_count; i++) {
        struct cw_str name = policy->required[i];
        const struct cw_doc_value *value = cw_doc_get(claims, name);
        CW_CHECK(checks, "required", value && !cw_doc_is(value, CW_DOC_NULL), CW_CLAIM_MISSING,
                 "claim %s is there", CW_QUOTE(name));
    }
    return CW_OK;
}

static bool is_scope_token(struct cw_str s)
{
    return s.n > 0 && cw_str_find(s, ' ') == s.n; /* RFC 6749 §3.3 */
}

static enum cw_err read_lists(const struct cw_doc_value *claims, const struct cw_claim_map *map,
                              struct cw_arena *arena, struct cw_claims *kept)
{
    TRY(read_list(mapped(claims, &map->scopes, USUAL(CW_STR("scope"), CW_STR("scp"))), arena,
                  &kept->scopes));
    for (size_t i = 0; i < kept->scopes.n; i++) {
        ENSURE(is_scope_token(kept->scopes.items[i]), CW_CLAIM_INVALID);
    }
    TRY(read_list(mapped(claims, &map->roles, USUAL(CW_STR("roles"))), arena, &kept->roles));
    return read_list(mapped(claims, &map->permissions, USUAL(CW_STR("permissions"))), arena,
                     &kept->permissions);
}

static enum cw_err read_texts(const struct cw_doc_value *claims, const struct cw_claim_map *map,
                              struct cw_claims *kept)
{
    TRY(read_text(cw_doc_get(claims, CW_STR("iss")), &kept->issuer));
    TRY(read_text(cw_doc_get(claims, CW_STR("sub")), &kept->subject));
    TRY(read_text(cw_doc_get(claims, CW_STR("jti")), &kept->token_id));
    TRY(read_text(
        mapped(claims, &map->client, USUAL(CW_STR("client_id"), CW_STR("azp"), CW_STR("cid"))),
        &kept->client_id));
    TRY(read_text(mapped(claims, &map->session, USUAL(CW_STR("sid"))), &kept->session_id));
    return read_text(mapped(claims, &map->tenant, USUAL(CW_STR("tenant"))), &kept->tenant);
}

static enum cw_err write_json(const struct cw_doc_value *value, struct cw_arena *arena,
                              struct cw_str *ret_json)
{
    struct cw_buf text CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(CW_DOC_TEXT_MAX);
    cw_doc_write(value, &text);
    TRY(cw_buf_check(&text));
    char *copy = cw_arena_dup(arena, cw_buf_str(&text));
    ENSURE(copy, CW_NO_MEMORY);
    *ret_json = (struct cw_str){copy, text.n};
    return CW_OK;
}

static enum cw_err keep_more(const struct cw_doc_value *claims, const struct cw_claim_map *map,
                             struct cw_arena *arena, struct cw_claims *kept)
{
    kept->kept = NULL;
    kept->kept_count = 0;
    if (!map->kept_count) {
        return CW_OK;
    }
    kept->kept = cw_arena_alloc(arena, map->kept_count * sizeof *kept->kept);
    ENSURE(kept->kept, CW_NO_MEMORY);
    for (size_t i = 0; i < map->kept_count; i++) {
        const struct cw_doc_value *value = cw_claim_path_find(&map->kept[i].path, claims);
        if (value) {
            struct cw_claim *claim = &kept->kept[kept->kept_count++];
            claim->name = map->kept[i].name;
            TRY(write_json(value, arena, &claim->json));
        }
    }
    return CW_OK;
}

/* RFC 9068 §5: a client's own token must not be taken for a user's. */
static bool is_own_subject(const struct cw_doc_value *claims, const struct cw_claims *kept)
{
    static const struct cw_str suffix = CW_STR_INIT("@clients");
    struct cw_str grant, subject = kept->subject;
    if (cw_doc_get_str(claims, CW_STR("gty"), &grant) && cw_str_is(grant, "client-credentials")) {
        return true; /* Auth0 */
    }
    if (cw_str_ends(subject, suffix)) {
        subject = cw_str_slice(subject, 0, subject.n - suffix.n);
    }
    return kept->client_id.n && cw_str_eq(subject, kept->client_id);
}

static enum cw_err check_audience(const struct cw_claims_policy *policy,
                                  const struct cw_str_list *aud, const struct cw_checks *checks)
{
    if (!policy->audience_count) {
        return CW_OK; /* the caller compares, or nobody asked for it */
    }
    CW_CHECK(checks, "audience", audience_matches(policy, aud), CW_AUDIENCE_MISMATCH,
             "one of %zu in aud (first %s) is one of %zu accepted (first %s)", aud->n,
             aud->n ? CW_QUOTE(aud->items[0]) : "none", policy->audience_count,
             CW_QUOTE(policy->audiences[0])); /* RFC 9068 §4 */
    return CW_OK;
}

enum cw_err cw_claims_check(const struct cw_doc_value *claims,
                            const struct cw_claims_policy *policy, const struct cw_checks *checks,
                            struct cw_arena *arena, struct cw_claims *ret_claims)
{
    struct cw_claims *kept = ret_claims;
    CW_CHECK(checks, "sub", cw_doc_get(claims, CW_STR("sub")), CW_CLAIM_MISSING, "is there");
    CW_CHECK_TRY(checks, "types", read_texts(claims, &policy->map, kept),
                 "sub, jti, client, session and tenant are strings without control characters");
    CW_CHECK(checks, "subject", kept->subject.n, CW_CLAIM_INVALID, "sub %s is not empty",
             CW_QUOTE(kept->subject)); /* RFC 9068 §2.2 */
    CW_CHECK_TRY(checks, "aud", read_audiences(claims, arena, &kept->audiences),
                 "a string or an array of strings");
    TRY(check_audience(policy, &kept->audiences, checks));
    CW_CHECK_TRY(checks, "lists", read_lists(claims, &policy->map, arena, kept),
                 "scopes, roles and permissions are lists of strings");
    const char *telling = other_kind(claims, kept);
    CW_CHECK(checks, "kind", !telling, CW_TYPE_MISMATCH, "an access token%s%s",
             telling ? ", but it has " : "", telling ? telling : "");
    CW_CHECK(checks, "party",
             !policy->party_count || one_of(kept->client_id, policy->parties, policy->party_count),
             CW_AUTHORIZED_PARTY_MISMATCH, "client %s is accepted", CW_QUOTE(kept->client_id));
    /* RFC 7800, RFC 9449, RFC 8705: a bound token without its proof is a stolen one */
    CW_CHECK(checks, "cnf", !cw_doc_get(claims, CW_STR("cnf")), CW_CONFIRMATION_UNSUPPORTED,
             "not bound to a key");
    TRY(check_required(claims, policy, checks));
    kept->subject_is_client = is_own_subject(claims, kept);
    return keep_more(claims, &policy->map, arena, kept);
}
