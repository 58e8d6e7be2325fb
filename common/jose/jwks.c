/* Reads a key set member by member, keeps what can be used, says what was left out, and finds the
 * key of a token. */
#include "common/jose/jwks.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/jwk_impl.h"

enum { NOTE_SIZE = 200 };

/* As small as it can be: there may be ten thousand of them. */
struct cw_jwks {
    atomic_uint refs;
    size_t n;
    size_t notes;
    char (*note)[NOTE_SIZE]; /* NULL for none */
    struct cw_jwk *keys[];
};

/* A set in the making. */
struct draft {
    size_t n;
    size_t notes;
    struct cw_jwk *keys[CW_JWKS_KEYS_MAX];
    char note[CW_JWKS_KEYS_MAX][NOTE_SIZE];
};

static void note(struct draft *draft, size_t member, struct cw_str kid, const char *why)
{
    if (draft->notes == CW_JWKS_KEYS_MAX) {
        return;
    }
    char *text = draft->note[draft->notes++];
    snprintf(text, NOTE_SIZE, "key %zu (kid %.*s): %s", member + 1, (int)CW_MIN(kid.n, 64), kid.p,
             why);
    for (; *text; text++) { /* a kid is the issuer's text, and cut it may be no UTF-8 */
        if (*text < 0x20 || *text >= 0x7f) {
            *text = '?';
        }
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
                                struct draft *draft)
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
            note(draft, i, kid, why[0] ? why : "OpenSSL refuses it");
        }
        if (!err) {
            draft->keys[draft->n++] = key;
        }
    }
    return CW_OK;
}

/* RFC 7517 §4.5 lets kids repeat for equivalent keys only. Two different keys that one token could
 * mean are both left out; a repeated key is kept once. */
static void drop_ambiguous(struct draft *draft)
{
    bool drop[CW_JWKS_KEYS_MAX] = {false};
    for (size_t i = 0; i < draft->n; i++) {
        for (size_t j = i + 1; j < draft->n; j++) {
            const struct cw_jwk *a = draft->keys[i], *b = draft->keys[j];
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
    for (size_t i = 0; i < draft->n; i++) {
        if (drop[i]) {
            note(draft, i, cw_jwk_kid(draft->keys[i]), "kid is not unique");
            cw_jwk_unref(draft->keys[i]);
        } else {
            draft->keys[kept++] = draft->keys[i];
        }
    }
    draft->n = kept;
}

static enum cw_err fill(const json_t *document, const struct cw_jwks_options *options,
                        struct draft *draft, const char **ret_why)
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
    TRY(read_members(members, options, draft));
    drop_ambiguous(draft);
    if (draft->n == 0) {
        *ret_why = draft->notes ? draft->note[0] : "the set is empty";
        return CW_KEYS_UNAVAILABLE;
    }
    return CW_OK;
}

/* Takes the draft's keys over. */
static struct cw_jwks *finish(struct draft *draft)
{
    struct cw_jwks *set = calloc(1, sizeof *set + draft->n * sizeof(struct cw_jwk *));
    if (!set) {
        return NULL;
    }
    atomic_init(&set->refs, 1);
    if (draft->notes) {
        set->note = calloc(draft->notes, NOTE_SIZE);
        if (!set->note) {
            free(set);
            return NULL;
        }
        memcpy(set->note, draft->note, draft->notes * NOTE_SIZE);
        set->notes = draft->notes;
    }
    memcpy(set->keys, draft->keys, draft->n * sizeof(struct cw_jwk *));
    set->n = draft->n;
    draft->n = 0;
    return set;
}

static enum cw_err parse(struct cw_str text, const struct cw_jwks_options *options,
                         struct draft *draft, const char **ret_why)
{
    json_t *document = NULL;
    *ret_why = "larger than 256 KiB";
    ENSURE(text.n <= CW_JWKS_TEXT_MAX, CW_KEYS_UNAVAILABLE);
    *ret_why = "no JSON object in UTF-8 with unique names";
    TRY(cw_json_parse_object(text, CW_KEYS_UNAVAILABLE, &document));
    *ret_why = "";
    enum cw_err err = fill(document, options, draft, ret_why);
    json_decref(document);
    return err;
}

enum cw_err cw_jwks_parse(struct cw_str text, const struct cw_jwks_options *options,
                          struct cw_jwks **ret_set, char ret_why[CW_JWK_WHY_SIZE])
{
    const char *why = "out of memory";
    enum cw_err err = CW_NO_MEMORY;
    struct draft *draft = calloc(1, sizeof *draft);
    if (draft) {
        err = parse(text, options, draft, &why);
    }
    if (!err) {
        *ret_set = finish(draft);
        err = *ret_set ? CW_OK : CW_NO_MEMORY;
    }
    if (ret_why) {
        snprintf(ret_why, CW_JWK_WHY_SIZE, "%s", why);
    }
    for (size_t i = 0; draft && i < draft->n; i++) {
        cw_jwk_unref(draft->keys[i]);
    }
    free(draft);
    return err;
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
    free(set->note);
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
