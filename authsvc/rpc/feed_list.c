/* Lists of packed tenants, and the messages made of them: protobuf's repeated fields are
 * concatenated, so that no tenant is packed twice. */
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/rpc/feed_impl.h"
#include "clinicwave/identity/v1/tenant.pb-c.h"

typedef Clinicwave__Identity__V1__WatchResponse watch_response;

enum {
    MESSAGE_MAX = 256 * 1024 * 1024,
    FIELD_TENANTS = 4 << 3 | 2, /* WatchResponse.tenants, length-delimited */
};

void feed_list_done(struct feed_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        feed_blob_unref(list->blobs[i]);
    }
    free((void *)list->blobs);
    *list = (struct feed_list){0};
}

static int compare(const struct tenant *a, const struct tenant *b)
{
    return cw_str_order(a->name, b->name);
}

/* Both lists are in the order of names: `at` walks along. */
static struct feed_blob *find(const struct feed_list *list, size_t *at, const struct tenant *tenant)
{
    while (*at < list->n && compare(list->blobs[*at]->tenant, tenant) < 0) {
        (*at)++;
    }
    bool found = *at < list->n && compare(list->blobs[*at]->tenant, tenant) == 0;
    return found ? list->blobs[*at] : NULL;
}

enum cw_err feed_list_make(struct keyring *keys, const struct tenant_set *set,
                           const struct feed_list *old, struct feed_list *ret_list)
{
    struct feed_list list = {.blobs = calloc(set->n + 1, sizeof(struct feed_blob *))};
    size_t at = 0;
    ENSURE(list.blobs != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < set->n; i++) {
        struct tenant *tenant = set->tenants[i];
        struct feed_blob *blob = find(old, &at, tenant);
        if (blob != NULL && blob->tenant == tenant &&
            blob->keys == keyring_stamp(keys, tenant->name)) {
            atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
        } else {
            enum cw_err err = feed_blob_new(keys, tenant, &blob);
            if (err != CW_OK) {
                feed_list_done(&list);
                return err;
            }
        }
        list.blobs[list.n++] = blob;
    }
    *ret_list = list;
    return CW_OK;
}

void feed_list_fingerprint(const struct feed_list *list, char ret_hex[FEED_FINGERPRINT_SIZE])
{
    crypto_hash_sha256_state state;
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < list->n; i++) {
        crypto_hash_sha256_update(&state, list->blobs[i]->digest, sizeof(list->blobs[i]->digest));
    }
    crypto_hash_sha256_final(&state, digest);
    sodium_bin2hex(ret_hex, FEED_FINGERPRINT_SIZE, digest, sizeof(digest));
}

/* --- messages --------------------------------------------------------------------------- */

static enum cw_err add_message(struct cw_buf *out, const watch_response *message)
{
    size_t n = clinicwave__identity__v1__watch_response__get_packed_size(message);
    char *p = cw_buf_extend(out, n);
    ENSURE(p != NULL, CW_NO_MEMORY);
    clinicwave__identity__v1__watch_response__pack(message, (uint8_t *)p);
    return CW_OK;
}

static void add_blob(struct cw_buf *out, const struct feed_blob *blob)
{
    cw_buf_add_char(out, FIELD_TENANTS);
    size_t n = blob->n;
    for (; n >= 0x80; n >>= 7) {
        cw_buf_add_char(out, (char)(n | 0x80));
    }
    cw_buf_add_char(out, (char)n);
    cw_buf_add(out, blob->bytes, blob->n);
}

static watch_response message_of(const struct feed_head *head)
{
    watch_response message = CLINICWAVE__IDENTITY__V1__WATCH_RESPONSE__INIT;
    message.generation = head->generation;
    message.epoch = head->epoch;
    return message;
}

enum cw_err feed_list_snapshot(const struct feed_list *list, const struct feed_head *head,
                               size_t piece, bool (*each)(void *ctx, struct cw_str packed),
                               void *ctx)
{
    watch_response message = message_of(head);
    size_t i = 0;
    do {
        CW_CLEANUP(cw_buf_done) struct cw_buf out = CW_BUF_INIT(MESSAGE_MAX);
        for (bool first = true; i < list->n && (first || piece == 0 || out.n < piece); i++) {
            add_blob(&out, list->blobs[i]);
            first = false;
        }
        message.more = i < list->n;
        TRY(add_message(&out, &message));
        TRY(cw_buf_check(&out));
        if (!each(ctx, cw_buf_str(&out))) {
            return CW_OK;
        }
    } while (i < list->n);
    return CW_OK;
}

enum cw_err feed_list_increment(const struct feed_list *before, uint64_t since,
                                const struct feed_list *list, const struct feed_head *head,
                                struct cw_buf *ret_packed)
{
    watch_response message = message_of(head);
    char **removed = calloc(before->n + 1, sizeof(char *));
    size_t at = 0;
    ENSURE(removed != NULL, CW_NO_MEMORY);
    message.since = since;
    message.removed = removed;
    for (size_t i = 0; i < before->n; i++) {
        if (find(list, &at, before->blobs[i]->tenant) == NULL) {
            union {
                const char *in;
                char *out;
            } name = {.in = before->blobs[i]->tenant->name.p}; /* NUL-terminated by its arena */
            removed[message.n_removed++] = name.out;
        }
    }
    enum cw_err err = add_message(ret_packed, &message);
    free((void *)removed);
    TRY(err);
    at = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct feed_blob *old = find(before, &at, list->blobs[i]->tenant);
        if (old == NULL || memcmp(old->digest, list->blobs[i]->digest, sizeof(old->digest)) != 0) {
            add_blob(ret_packed, list->blobs[i]);
        }
    }
    return cw_buf_check(ret_packed);
}
