/* All tenants, by domain: an immutable set that is swapped as a whole. Those of the configuration
 * and those learned from authsvc are merged; the configuration's win. */
#ifndef SIDECAR_TENANTS_TENANTS_H
#define SIDECAR_TENANTS_TENANTS_H

#include "sidecar/tenants/tenant.h"

enum {
    TENANTS_FEED_MAX = 32 * 1024 * 1024, /* bytes of a learned snapshot */
    TENANTS_PROBLEMS_MAX = 16 * 1024,
};

struct tenants;
struct tenants_set;

struct tenants_config {
    struct cw_key_store *keys;
    const struct cw_clock *clock;
    const char *state_dir; /* the learned snapshot; NULL: not kept */
    /* Another set was published: what was verified under the old one may count no more. */
    void (*changed)(void *ctx);
    void *ctx;
};

/* Strings are borrowed. Loads the last learned snapshot. NULL without memory. */
struct tenants *tenants_new(const struct tenants_config *config);
void tenants_free(struct tenants *tenants);

/* The configuration's tenants; checked as a whole, refused (CW_CONFIG_INVALID) with one line per
 * problem; with CW_OK the lines are of learned tenants that it has no more, and that could not be
 * made. Specifications are borrowed for the call. Not on a poller. */
CW_MUST_USE enum cw_err tenants_configure(struct tenants *tenants, const struct tenant_spec *specs,
                                          size_t n, struct cw_buf *problems);
/* The check alone. */
CW_MUST_USE enum cw_err tenants_check(const struct tenant_spec *specs, size_t n,
                                      struct cw_buf *problems);

/* A WatchResponse as it came, packed: a snapshot or a piece of one, an increment or a heartbeat.
 * Single tenants that cannot be used are left out and told in `problems`. CW_REQUEST_MALFORMED:
 * nothing changed; CW_CONFLICT: it follows something that is not held, watch again. Not on a
 * poller. */
CW_MUST_USE enum cw_err tenants_learn(struct tenants *tenants, struct cw_str packed,
                                      struct cw_buf *problems);
/* Writes the file if there is something new and the last writing was not just now, or at once. Not
 * on a poller. */
void tenants_keep(struct tenants *tenants, bool now, struct cw_buf *problems);
/* What a WatchRequest names; 0 for none. */
uint64_t tenants_feed_generation(struct tenants *tenants);
/* Something was learned from it, now or before a restart. Any thread. */
bool tenants_feed_heard(const struct tenants *tenants);
/* Tenants that it names and that cannot be served: told when they were learned. Any thread. */
size_t tenants_left_out(const struct tenants *tenants);
/* Milliseconds since the feed said anything; -1: never since start. Any thread. */
int64_t tenants_feed_age_ms(struct tenants *tenants);

/* One reference to the present set. Any thread. */
struct tenants_set *tenants_get(struct tenants *tenants);
/* Rises with each set: a thread that holds one may ask whether it is still the present one without
 * taking a lock. */
uint64_t tenants_version(const struct tenants *tenants);
uint64_t tenants_set_version(const struct tenants_set *set);
struct tenants_set *tenants_set_ref(struct tenants_set *set);
void tenants_set_unref(struct tenants_set *set);

size_t tenants_set_count(const struct tenants_set *set);
struct tenant *tenants_set_at(const struct tenants_set *set, size_t i); /* borrowed */
/* Asks for the memory that tenants_set_find will read for a domain in its normal form: the place in
 * the table, then what stands there. */
enum tenants_expect { TENANTS_EXPECT_SLOT, TENANTS_EXPECT_TENANT };
void tenants_set_expect(const struct tenants_set *set, struct cw_str domain,
                        enum tenants_expect step);
/* The tenant that serves `domain`, in any spelling; NULL for none. Borrowed from the set. */
const struct tenant *tenants_set_find(const struct tenants_set *set, struct cw_str domain);

#endif
