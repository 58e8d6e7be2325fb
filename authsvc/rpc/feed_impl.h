/* What the files of the feed share. */
#ifndef AUTHSVC_RPC_FEED_IMPL_H
#define AUTHSVC_RPC_FEED_IMPL_H

#include "authsvc/keys/keyring.h"
#include "authsvc/tenants/tenants.h"

/* One tenant, packed; immutable, shared by reference count. */
struct feed_blob {
    _Atomic unsigned refs;
    struct tenant *tenant; /* a reference: whose it is */
    uint64_t keys;         /* keyring_stamp when it was packed */
    uint8_t digest[32];    /* SHA-256 of bytes */
    size_t n;
    char *bytes;
};

/* A tenant as a message, packed. A disabled one has neither audiences nor issuers. */
CW_MUST_USE enum cw_err feed_blob_new(struct keyring *keys, struct tenant *tenant,
                                      struct feed_blob **ret_blob);
void feed_blob_unref(struct feed_blob *blob);

/* All tenants, packed one by one, so that a change costs what has changed. */
struct feed_list {
    struct feed_blob **blobs; /* references, by name */
    size_t n;
};

void feed_list_done(struct feed_list *list);
/* Those of a set; blobs of `old` that are still true are shared. */
CW_MUST_USE enum cw_err feed_list_make(struct keyring *keys, const struct tenant_set *set,
                                       const struct feed_list *old, struct feed_list *ret_list);
enum { FEED_FINGERPRINT_SIZE = 65 };
/* Hex SHA-256 over all. */
void feed_list_fingerprint(const struct feed_list *list, char ret_hex[FEED_FINGERPRINT_SIZE]);

struct feed_head {
    uint64_t generation;
    char *epoch;
};

/* Calls `each` with packed WatchResponses that are the snapshot together, in their order, each of
 * up to `piece` bytes and one tenant more; 0: all in one. False from `each` ends it. */
CW_MUST_USE enum cw_err feed_list_snapshot(const struct feed_list *list,
                                           const struct feed_head *head, size_t piece,
                                           bool (*each)(void *ctx, struct cw_str packed),
                                           void *ctx);
/* What leads from `before` to `list`, as one packed WatchResponse. */
CW_MUST_USE enum cw_err feed_list_increment(const struct feed_list *before, uint64_t since,
                                            const struct feed_list *list,
                                            const struct feed_head *head,
                                            struct cw_buf *ret_packed);

#endif
