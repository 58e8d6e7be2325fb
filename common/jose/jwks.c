/* Reads a key set member by member, keeps what can be used, says what was left out, and finds the
 * key of a token. */
#include "common/jose/jwks.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/jwk_impl.h"

enum { NOTE_SIZE = 200 };

struct cw_jwks {
    atomic_uint refs;
    size_t n;
    size_t notes;
    struct cw_jwk *keys[CW_JWKS_KEYS_MAX];
    char note[CW_JWKS_KEYS_MAX][NOTE_SIZE];
};

static void note(struct cw_jwks *set, size_t member, struct cw_str kid, const char *why)
{
    if (set->notes < CW_JWKS_KEYS_MAX) {
        snprintf(set->note[set->notes++], NOTE_SIZE, "key %zu (kid %.*s): %s", member + 1,
                 (int)CW_MIN(kid.n, 64), kid.p, why);
    }
}

/* The object that the previous set has for the same key, so that what it signed stays valid. */
static struct cw_jwk *known(const struct cw_jwk *key, const struct cw_jwks *previous)
{
    for (size_t i = 0; previous && i < previous->n; i++) {
        struct cw_jwk *old = previous->keys[i];
        if (cw_jwk_same(old, key) && !cw_jwk_is_withdrawn(old)) {
            return old;
        }
    }
    return NULL;
}

static enum cw_err read_member(const json_t *member, const struct cw_jwks_options *options,
                               struct cw_jwk **ret_key, char why[CW_JWK_WHY_SIZE])
{
    struct cw_jwk_options key_options = {.allow_oct = options->allow_oct};
    struct cw_jwk *key = NULL, *old;
    TRY(cw_jwk_read(member, &key_options, &key, why));
    old = known(key, options->previous);
    enum cw_err err = old ? CW_OK : cw_jwk_check(key, why);
    if (old || err) {
        cw_jwk_unref(key);
        key = old ? cw_jwk_ref(old) : NULL;
    }
    *ret_key = key;
    return err;
}

static enum cw_err read_members(const json_t *members, const struct cw_jwks_options *options,
                                struct cw_jwks *set)
{
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        char why[CW_JWK_WHY_SIZE];
        struct cw_jwk *key = NULL;
        struct cw_str kid = CW_STR("?");
        (void)cw_json_get_str(member, "kid", &kid);
        enum cw_err err = read_member(member, options, &key, why);
        ENSURE(err != CW_NO_MEMORY, err);
        if (why[0] || err) {
            note(set, i, kid, why[0] ? why : "OpenSSL refuses it");
        }
        if (!err) {
            set->keys[set->n++] = key;
        }
    }
    return CW_OK;
}

/* RFC 7517 §4.5 lets kids repeat for equivalent keys only. Two different keys that one token could
 * mean are both left out; a repeated key is kept once. */
static void drop_ambiguous(struct cw_jwks *set)
{
    bool drop[CW_JWKS_KEYS_MAX] = {false};
    for (size_t i = 0; i < set->n; i++) {
        for (size_t j = i + 1; j < set->n; j++) {
            const struct cw_jwk *a = set->keys[i], *b = set->keys[j];
            struct cw_str kid = cw_jwk_kid(a);
            if (cw_jwk_same(a, b)) {
                drop[j] = true;
            } else if (kid.n && cw_str_eq(kid, cw_jwk_kid(b)) &&
                       (cw_jwk_algorithms(a) & cw_jwk_algorithms(b))) {
                drop[i] = drop[j] = true;
            }
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (drop[i]) {
            note(set, i, cw_jwk_kid(set->keys[i]), "kid is not unique");
            cw_jwk_unref(set->keys[i]);
        } else {
            set->keys[kept++] = set->keys[i];
        }
    }
    set->n = kept;
}

static enum cw_err fill(const json_t *document, const struct cw_jwks_options *options,
                        struct cw_jwks *set, const char **ret_why)
{
    const json_t *members = json_object_get(document, "keys");
    if (!json_is_array(members)) {
        *ret_why = "no array `keys`"; /* RFC 7517 §5.1 */
        return CW_KEYS_UNAVAILABLE;
    }
    if (json_array_size(members) > CW_JWKS_KEYS_MAX) {
        *ret_why = "more than 64 keys";
        return CW_KEYS_UNAVAILABLE;
    }
    TRY(read_members(members, options, set));
    drop_ambiguous(set);
    if (set->n == 0) {
        *ret_why = set->notes ? set->note[0] : "the set is empty";
        return CW_KEYS_UNAVAILABLE;
    }
    return CW_OK;
}

enum cw_err cw_jwks_parse(struct cw_str text, const struct cw_jwks_options *options,
                          struct cw_jwks **ret_set, char ret_why[CW_JWK_WHY_SIZE])
{
    const char *why = "";
    if (ret_why) {
        ret_why[0] = '\0';
    }
    json_t *document = NULL;
    enum cw_err err = CW_KEYS_UNAVAILABLE;
    struct cw_jwks *set = calloc(1, sizeof *set);
    ENSURE(set, CW_NO_MEMORY);
    atomic_init(&set->refs, 1);
    if (text.n > CW_JWKS_TEXT_MAX) {
        why = "larger than 256 KiB";
    } else {
        why = "no JSON object in UTF-8 with unique names";
        err = cw_json_parse_object(text, CW_KEYS_UNAVAILABLE, &document);
    }
    if (!err) {
        why = "";
        err = fill(document, options, set, &why);
    }
    json_decref(document);
    if (ret_why) {
        snprintf(ret_why, CW_JWK_WHY_SIZE, "%s", why);
    }
    if (err) {
        cw_jwks_unref(set);
        return err;
    }
    *ret_set = set;
    return CW_OK;
}

struct cw_jwks *cw_jwks_ref(struct cw_jwks *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void cw_jwks_unref(struct cw_jwks *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        cw_jwk_unref(set->keys[i]);
    }
    free(set);
}

size_t cw_jwks_count(const struct cw_jwks *set)
{
    return set->n;
}

struct cw_jwk *cw_jwks_at(const struct cw_jwks *set, size_t i)
{
    return i < set->n ? set->keys[i] : NULL;
}

size_t cw_jwks_notes(const struct cw_jwks *set)
{
    return set->notes;
}

const char *cw_jwks_note(const struct cw_jwks *set, size_t i)
{
    return i < set->notes ? set->note[i] : NULL;
}

enum cw_err cw_jwks_find(const struct cw_jwks *set, const struct cw_str *kid,
                         const struct cw_alg *alg, struct cw_jwk *ret_keys[CW_JWKS_CANDIDATES],
                         size_t *ret_n)
{
    size_t n = 0;
    bool known = false;
    for (size_t i = 0; i < set->n && n < CW_JWKS_CANDIDATES; i++) {
        struct cw_jwk *key = set->keys[i];
        if (kid && !cw_str_eq(cw_jwk_kid(key), *kid)) {
            continue;
        }
        known = true;
        if (cw_jwk_algorithms(key) & cw_alg_bit(alg)) {
            ret_keys[n++] = key;
        }
    }
    ENSURE(known, CW_KEY_UNKNOWN);
    ENSURE(n, CW_ALGORITHM_MISMATCH);
    *ret_n = n;
    return CW_OK;
}

size_t cw_jwks_withdraw_missing(const struct cw_jwks *old, const struct cw_jwks *now)
{
    size_t withdrawn = 0;
    for (size_t i = 0; i < old->n; i++) {
        bool kept = false;
        for (size_t j = 0; j < now->n; j++) {
            kept |= now->keys[j] == old->keys[i];
        }
        if (!kept) {
            cw_jwk_withdraw(old->keys[i]);
            withdrawn++;
        }
    }
    return withdrawn;
}
