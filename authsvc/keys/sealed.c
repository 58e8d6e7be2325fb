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
    DAMAGED_MAX = 16,      /* ids that no key has, of which rows are named; per kind */
    DAMAGED_ROWS = 4,      /* per id */
};

static const struct {
    const char *name;    /* for people */
    const char *context; /* what is sealed begins with it */
    bool id, detail;     /* what else it is bound to */
    bool owned;          /* a row is of one user, and nothing else depends on it */
} kinds[STORE_SEALED_KINDS] = {
    [STORE_SEALED_SIGNING_KEY] = {"signing-key", "signing-key", true, true, false},
    [STORE_SEALED_TENANT] = {"tenant-secrets", "tenant-secrets", false, false, false},
    [STORE_SEALED_TOTP] = {"totp", "user_totp", true, false, true},
    [STORE_SEALED_CHALLENGE] = {"mfa-challenge", "mfa_challenge", true, false, true},
    [STORE_SEALED_IDP_SESSION] = {"idp-session", "idp_session", true, false, true},
    [STORE_SEALED_SECRET] = {"secret", "secret", false, false, false},
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
    enum cw_err err = seal_open(kek, cw_buf_str(&context), sealed, ret_plain);
    ENSURE(err != CW_CONFIG_INVALID && err != CW_STORE_UNAVAILABLE, CW_SEALED_UNREADABLE);
    return err;
}

/* --- what depends on which -------------------------------------------------------------- */

/* KEKs by their ids; the configured ones first. */
struct uses {
    struct sealed_use *list;
    size_t n;
    enum store_sealed_kind kind; /* that is counted */
};

/* NULL: it is new, and there is no room. */
static struct sealed_use *use_of(struct uses *u, const uint8_t id[KEK_ID_SIZE])
{
    size_t i = 0;
    while (i < u->n && memcmp(u->list[i].id, id, KEK_ID_SIZE) != 0) {
        i++;
    }
    if (i == u->n && i < USES_MAX) {
        memcpy(u->list[u->n++].id, id, KEK_ID_SIZE);
    }
    return i < u->n ? &u->list[i] : NULL;
}

static enum cw_err add_real(void *ctx, const uint8_t sealer[STORE_SEALER_SIZE])
{
    struct sealed_use *use = use_of(ctx, sealer);
    ENSURE(use != NULL, CW_CONFIG_INVALID); /* nobody replaces a key so often */
    use->real = true;
    return CW_OK;
}

static enum cw_err count_one(void *ctx, const uint8_t sealer[STORE_SEALER_SIZE], int64_t values)
{
    struct uses *u = ctx;
    struct sealed_use *use = use_of(u, sealer);
    if (use != NULL) { /* else damaged rows only: these are enough to see it */
        use->values[u->kind] = values;
    }
    return CW_OK;
}

/* Those that are configured, and those that there were; with memory of the caller's. */
static enum cw_err uses_init(struct store *store, const struct kek *kek,
                             struct sealed_use list[USES_MAX], struct uses *ret_uses)
{
    *ret_uses = (struct uses){.list = list, .n = kek_count(kek)};
    for (size_t i = 0; i < kek_count(kek); i++) {
        memcpy(list[i].id, kek_id(kek, i), KEK_ID_SIZE);
        list[i].known = list[i].real = true;
    }
    return store_sealer_list(store, add_real, ret_uses);
}

static bool is_used(const struct sealed_use *use)
{
    int64_t values = 0;
    for (int kind = 0; kind < STORE_SEALED_KINDS; kind++) {
        values += use->values[kind];
    }
    return values > 0;
}

enum cw_err sealed_count(struct store *store, const struct kek *kek, struct sealed_use **ret_list,
                         size_t *ret_n)
{
    struct uses u;
    struct sealed_use *list = calloc(USES_MAX, sizeof(*list));
    ENSURE(list != NULL, CW_NO_MEMORY);
    enum cw_err err = uses_init(store, kek, list, &u);
    for (u.kind = 0; u.kind < STORE_SEALED_KINDS && err == CW_OK; u.kind++) {
        err = store_sealed_count(store, u.kind, count_one, &u);
    }
    if (err != CW_OK) {
        free(list);
        return err;
    }
    size_t n = kek_count(kek);
    for (size_t i = n; i < u.n; i++) {
        if (is_used(&list[i])) {
            list[n++] = list[i];
        }
    }
    *ret_list = list;
    *ret_n = n;
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

enum cw_err sealed_any(struct store *store, bool *ret_any)
{
    uint8_t id[KEK_ID_SIZE];
    *ret_any = false;
    for (int kind = 0; kind < STORE_SEALED_KINDS && !*ret_any; kind++) {
        TRY(store_sealed_next(store, (enum store_sealed_kind)kind, NULL, id, ret_any));
    }
    return CW_OK;
}

/* Whether values of the kind name the KEK. */
static enum cw_err is_named(struct store *store, enum store_sealed_kind kind,
                            const uint8_t id[KEK_ID_SIZE], bool *ret_named)
{
    uint8_t at[KEK_ID_SIZE];
    memcpy(at, id, KEK_ID_SIZE);
    for (size_t i = KEK_ID_SIZE; i-- > 0 && at[i]-- == 0;) { /* the one before it */
    }
    TRY(store_sealed_next(store, kind, at, at, ret_named));
    *ret_named = *ret_named && memcmp(at, id, KEK_ID_SIZE) == 0;
    return CW_OK;
}

struct naming {
    const char *kind;
    struct cw_buf *names;
    size_t n;
};

static enum cw_err name_row(void *ctx, const struct store_sealed *value, struct cw_buf *ret_sealed)
{
    struct naming *naming = ctx;
    (void)ret_sealed;
    cw_buf_addf(naming->names, "%s%s ", naming->names->n > 0 ? ", " : "", naming->kind);
    cw_buf_add_str(naming->names, value->tenant);
    cw_buf_add_char(naming->names, '/');
    cw_buf_add_str(naming->names, value->id);
    naming->n++;
    return CW_NOT_FOUND; /* it stays as it is */
}

static enum cw_err name_damaged(struct store *store, enum store_sealed_kind kind,
                                const uint8_t id[KEK_ID_SIZE], struct cw_buf *names)
{
    struct naming naming = {.kind = kinds[kind].name, .names = names};
    struct store_resealed none = {.last = CW_BUF_INIT(NAMES_MAX)};
    enum cw_err err = store_reseal(store, kind, id, CW_STR(""), CW_STR(""), DAMAGED_ROWS, name_row,
                                   &naming, &none);
    cw_buf_done(&none.last);
    if (err == CW_OK && (naming.n == 0 || none.more)) { /* one that is cut off has no id */
        cw_buf_addf(names, "%s%s …", names->n > 0 ? ", " : "", naming.kind);
    }
    return err;
}

/* Where others depend on the values, every KEK that they name must be here. */
static enum cw_err look_through(struct store *store, const struct kek *kek,
                                enum store_sealed_kind kind, struct cw_buf *message,
                                struct cw_buf *damaged)
{
    uint8_t id[KEK_ID_SIZE];
    bool found = false;
    size_t n_damaged = 0;
    TRY(store_sealed_next(store, kind, NULL, id, &found));
    while (found && n_damaged < DAMAGED_MAX) {
        if (!kek_knows(kek, id) && !kinds[kind].owned) {
            return tell_missing(store, kek, id, message);
        }
        if (!kek_knows(kek, id)) { /* keys that there were have been looked for before */
            TRY(name_damaged(store, kind, id, damaged));
            n_damaged++;
        }
        TRY(store_sealed_next(store, kind, id, id, &found));
    }
    return CW_OK;
}

enum cw_err sealed_check(struct store *store, const struct kek *kek, struct cw_buf *ret_message,
                         struct cw_buf *ret_damaged)
{
    struct sealed_use list[USES_MAX] = {0};
    struct uses u;
    TRY(uses_init(store, kek, list, &u));
    for (int kind = 0; kind < STORE_SEALED_KINDS; kind++) {
        if (kind == STORE_SEALED_CHALLENGE) {
            continue; /* over within minutes, and nobody who is asked to start could mend it */
        }
        for (size_t i = kek_count(kek); i < u.n; i++) {
            bool named = false;
            TRY(is_named(store, (enum store_sealed_kind)kind, list[i].id, &named));
            if (named) {
                return tell_missing(store, kek, list[i].id, ret_message);
            }
        }
        TRY(look_through(store, kek, (enum store_sealed_kind)kind, ret_message, ret_damaged));
    }
    for (size_t i = 0; i < kek_count(kek); i++) {
        TRY(store_sealer_add(store, kek_id(kek, i)));
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
