/* The way to the current key goes kind by kind, key by key, row by row in the order of the rows'
 * names. The place where it stands is made of those: kind 1 | what to do 1 | KEK id 8 | tenant NUL
 * id. Nothing is kept between two steps but that, so that it can be stopped anywhere. */
#include "authsvc/keys/sealed.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)KEK_ID_SIZE == (int)STORE_SEALER_SIZE, "the store finds values by the id");

enum {
    NAMES_MAX = 16 * 1024, /* of a row */
    USES_MAX = 64,         /* keys that are told apart */
};

static const struct {
    const char *name;    /* for people */
    const char *context; /* what is sealed begins with it */
    bool id, detail;     /* what else it is bound to */
} kinds[STORE_SEALED_KINDS] = {
    [STORE_SEALED_SIGNING_KEY] = {"signing-key", "signing-key", true, true},
    [STORE_SEALED_TENANT] = {"tenant-secrets", "tenant-secrets", false, false},
    [STORE_SEALED_TOTP] = {"totp", "user_totp", true, false},
    [STORE_SEALED_CHALLENGE] = {"mfa-challenge", "mfa_challenge", true, false},
    [STORE_SEALED_IDP_SESSION] = {"idp-session", "idp_session", true, false},
    [STORE_SEALED_SECRET] = {"secret", "secret", false, false},
};

const char *sealed_kind_name(enum store_sealed_kind kind)
{
    return kinds[kind].name;
}

enum cw_err sealed_context(enum store_sealed_kind kind, struct cw_str tenant, struct cw_str id,
                           struct cw_str detail, struct cw_buf *context)
{
    cw_buf_add_cstr(context, kinds[kind].context);
    cw_buf_add_char(context, '\0');
    cw_buf_add_str(context, tenant);
    if (kinds[kind].id) {
        cw_buf_add_char(context, '\0');
        cw_buf_add_str(context, id);
    }
    if (kinds[kind].detail) {
        cw_buf_add_char(context, '\0');
        cw_buf_add_str(context, detail);
    }
    return cw_buf_check(context);
}

enum cw_err sealed_make(const struct kek *kek, enum store_sealed_kind kind, struct cw_str tenant,
                        struct cw_str id, struct cw_str plain, struct cw_buf *ret_sealed)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf context = CW_BUF_INIT(NAMES_MAX);
    TRY(sealed_context(kind, tenant, id, CW_STR(""), &context));
    return seal(kek, cw_buf_str(&context), plain, ret_sealed);
}

enum cw_err sealed_open(const struct kek *kek, enum store_sealed_kind kind, struct cw_str tenant,
                        struct cw_str id, struct cw_str sealed, struct cw_secret *ret_plain)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf context = CW_BUF_INIT(NAMES_MAX);
    TRY(sealed_context(kind, tenant, id, CW_STR(""), &context));
    return seal_open(kek, cw_buf_str(&context), sealed, ret_plain);
}

/* --- what depends on which -------------------------------------------------------------- */

struct counting {
    enum store_sealed_kind kind;
    struct sealed_use *list;
    size_t n;
};

static enum cw_err count_one(void *ctx, const uint8_t sealer[STORE_SEALER_SIZE], int64_t values)
{
    struct counting *c = ctx;
    size_t i = 0;
    while (i < c->n && memcmp(c->list[i].id, sealer, KEK_ID_SIZE) != 0) {
        i++;
    }
    if (i == c->n) {
        ENSURE(c->n < USES_MAX, CW_OK); /* damaged rows only: these are enough to see it */
        memcpy(c->list[c->n++].id, sealer, KEK_ID_SIZE);
    }
    c->list[i].values[c->kind] = values;
    return CW_OK;
}

enum cw_err sealed_count(struct store *store, const struct kek *kek, struct sealed_use **ret_list,
                         size_t *ret_n)
{
    struct counting c = {.list = calloc(USES_MAX, sizeof(*c.list)), .n = kek_count(kek)};
    ENSURE(c.list != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < c.n; i++) {
        memcpy(c.list[i].id, kek_id(kek, i), KEK_ID_SIZE);
        c.list[i].known = true;
    }
    enum cw_err err = CW_OK;
    for (c.kind = 0; c.kind < STORE_SEALED_KINDS && err == CW_OK; c.kind++) {
        err = store_sealed_count(store, c.kind, count_one, &c);
    }
    if (err != CW_OK) {
        free(c.list);
        return err;
    }
    *ret_list = c.list;
    *ret_n = c.n;
    return CW_OK;
}

/* For a sentence about a KEK that is missing. */
static enum cw_err tell_missing(struct store *store, const struct kek *kek,
                                const uint8_t id[KEK_ID_SIZE], struct cw_buf *message)
{
    struct sealed_use *list = NULL;
    size_t n = 0;
    int64_t values = 0;
    TRY(sealed_count(store, kek, &list, &n));
    for (size_t i = 0; i < n; i++) {
        for (int kind = 0; memcmp(list[i].id, id, KEK_ID_SIZE) == 0 && kind < STORE_SEALED_KINDS;
             kind++) {
            values += list[i].values[kind];
        }
    }
    free(list);
    char missing[KEK_FINGERPRINT_SIZE];
    char current[KEK_FINGERPRINT_SIZE];
    kek_fingerprint(id, missing);
    kek_fingerprint(kek_id(kek, 0), current);
    cw_buf_addf(message,
                "%lld value(s) in the database are sealed under another key-encryption key, "
                "fingerprint %s, which is not configured (the current one is %s): name its file in "
                "authsvc.keys.other-kek-files, or bring it back from the backup",
                (long long)values, missing, current);
    return CW_CONFIG_INVALID;
}

enum cw_err sealed_check(struct store *store, const struct kek *kek, struct cw_buf *ret_message,
                         bool *ret_any)
{
    *ret_any = false;
    for (int kind = 0; kind < STORE_SEALED_KINDS; kind++) {
        uint8_t id[KEK_ID_SIZE];
        bool found = false;
        if (kek != NULL && kind == STORE_SEALED_CHALLENGE) {
            continue; /* over within minutes, and nobody who is asked to start could mend it */
        }
        TRY(store_sealed_next(store, (enum store_sealed_kind)kind, NULL, id, &found));
        while (found) {
            *ret_any = true;
            if (kek == NULL) {
                return CW_OK;
            }
            if (!kek_knows(kek, id)) {
                return tell_missing(store, kek, id, ret_message);
            }
            TRY(store_sealed_next(store, (enum store_sealed_kind)kind, id, id, &found));
        }
    }
    return CW_OK;
}

enum cw_err sealed_first(struct store *store, uint8_t ret_id[KEK_ID_SIZE])
{
    bool found = false;
    for (int kind = 0; kind < STORE_SEALED_SECRET && !found; kind++) {
        TRY(store_sealed_next(store, (enum store_sealed_kind)kind, NULL, ret_id, &found));
    }
    return found ? CW_OK : CW_NOT_FOUND;
}

/* --- to the current key ----------------------------------------------------------------- */

enum doing { FIND_KEY = 0, FIND_KEY_AFTER, ROWS };

struct place {
    int kind;
    enum doing doing;
    uint8_t id[KEK_ID_SIZE]; /* not with FIND_KEY */
    struct cw_str tenant, row;
};

enum { PLACE_HEAD = 2 + KEK_ID_SIZE };

static enum cw_err place_parse(struct cw_str text, struct place *ret_place)
{
    struct place p = {.tenant = CW_STR(""), .row = CW_STR("")};
    if (text.n > 0) {
        struct cw_str names = cw_str_slice(text, CW_MIN(text.n, PLACE_HEAD), text.n);
        size_t nul = cw_str_find(names, '\0');
        ENSURE(text.n > PLACE_HEAD && nul < names.n, CW_REQUEST_MALFORMED);
        p.kind = (uint8_t)text.p[0];
        ENSURE(p.kind < STORE_SEALED_KINDS && (uint8_t)text.p[1] <= ROWS, CW_REQUEST_MALFORMED);
        p.doing = (enum doing)text.p[1];
        memcpy(p.id, text.p + 2, KEK_ID_SIZE);
        p.tenant = cw_str_slice(names, 0, nul);
        p.row = cw_str_slice(names, nul + 1, names.n);
    }
    *ret_place = p;
    return CW_OK;
}

static enum cw_err place_write(const struct place *p, struct cw_buf *place)
{
    cw_buf_add_char(place, (char)p->kind);
    cw_buf_add_char(place, (char)p->doing);
    cw_buf_add(place, p->id, KEK_ID_SIZE);
    cw_buf_add_str(place, p->tenant);
    cw_buf_add_char(place, '\0');
    cw_buf_add_str(place, p->row);
    return cw_buf_check(place);
}

/* The next kind and key of which there are values to be moved; false: there are none. */
static enum cw_err find_key(struct store *store, const struct kek *kek, struct place *p,
                            bool *ret_found)
{
    *ret_found = p->doing == ROWS;
    while (!*ret_found && p->kind < STORE_SEALED_KINDS) {
        bool some = false;
        TRY(store_sealed_next(store, (enum store_sealed_kind)p->kind,
                              p->doing == FIND_KEY_AFTER ? p->id : NULL, p->id, &some));
        if (!some) {
            p->kind++;
            p->doing = FIND_KEY;
            continue;
        }
        bool current = memcmp(p->id, kek_id(kek, 0), KEK_ID_SIZE) == 0;
        *ret_found = !current && kek_knows(kek, p->id);
        p->doing = *ret_found ? ROWS : FIND_KEY_AFTER;
        p->tenant = p->row = CW_STR("");
    }
    return CW_OK;
}

struct resealing {
    const struct kek *kek;
    enum store_sealed_kind kind;
};

static enum cw_err reseal_one(void *ctx, const struct store_sealed *value,
                              struct cw_buf *ret_sealed)
{
    const struct resealing *r = ctx;
    CW_CLEANUP(cw_buf_done) struct cw_buf context = CW_BUF_INIT(NAMES_MAX);
    struct cw_secret plain = {0};
    TRY(sealed_context(r->kind, value->tenant, value->id, value->detail, &context));
    enum cw_err err = seal_open(r->kek, cw_buf_str(&context), value->sealed, &plain);
    ENSURE(err != CW_CONFIG_INVALID && err != CW_STORE_UNAVAILABLE, CW_NOT_FOUND); /* damaged */
    TRY(err);
    err = seal(r->kek, cw_buf_str(&context), cw_secret_str(&plain), ret_sealed);
    cw_secret_done(&plain);
    return err;
}

enum cw_err sealed_reseal(struct store *store, const struct kek *kek, size_t max,
                          struct cw_buf *place, struct resealed *ret_resealed)
{
    struct place p;
    bool found = false;
    struct store_resealed moved = {.last = CW_BUF_INIT(NAMES_MAX)};
    TRY(place_parse(cw_buf_str(place), &p));
    TRY(find_key(store, kek, &p, &found));
    *ret_resealed = (struct resealed){.done = !found};
    if (!found) {
        cw_buf_clear(place);
        return CW_OK;
    }
    struct resealing r = {.kek = kek, .kind = (enum store_sealed_kind)p.kind};
    enum cw_err err =
        store_reseal(store, r.kind, p.id, p.tenant, p.row, max, reseal_one, &r, &moved);
    struct cw_str last = cw_buf_str(&moved.last);
    size_t nul = cw_str_find(last, '\0');
    if (err == CW_OK && moved.more) {
        p.tenant = cw_str_slice(last, 0, nul);
        p.row = cw_str_slice(last, nul + 1, last.n);
    } else {
        p.doing = FIND_KEY_AFTER;
        p.tenant = p.row = CW_STR("");
    }
    if (err == CW_OK) {
        ret_resealed->values = moved.changed;
        ret_resealed->failed = moved.failed;
        struct cw_buf next = CW_BUF_INIT(NAMES_MAX); /* `place` may hold what p borrows */
        err = place_write(&p, &next);
        cw_buf_clear(place);
        cw_buf_add_str(place, cw_buf_str(&next));
        err = err == CW_OK ? cw_buf_check(place) : err;
        cw_buf_done(&next);
    }
    cw_buf_done(&moved.last);
    return err;
}
