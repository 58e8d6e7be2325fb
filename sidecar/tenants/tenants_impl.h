/* What the files of the tenants share. */
#ifndef SIDECAR_TENANTS_TENANTS_IMPL_H
#define SIDECAR_TENANTS_TENANTS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/keys/key_disk.h"
#include "sidecar/tenants/tenants.h"

/* A learned tenant, and the message that it was learned from: the file is made of those. */
struct tenants_entry {
    struct tenant *tenant; /* a reference; NULL: it cannot be used, or the configuration has one */
    bool refused;          /* it cannot be used */
    char *name;
    char *packed;
    size_t n;
};

struct tenants_learned {
    struct tenants_entry *entries; /* by name */
    size_t n;
    size_t cap;
};

struct tenants {
    struct tenants_config config;
    char path[CW_KEY_DISK_PATH_MAX]; /* of the learned snapshot, "" for none */

    pthread_mutex_t build; /* one builder at a time; held without `lock` */
    struct tenant **local; /* of the configuration */
    size_t n_local;
    struct tenants_learned learned;
    struct tenants_learned pieces; /* of a snapshot that has not come as a whole yet */
    uint64_t pieces_generation;
    char *epoch;
    bool unrevised;       /* learned or pieces, of another configuration than `local` */
    int64_t said_ms;      /* when the feed last said all that is learned; wall clock */
    int64_t kept_ms;      /* when the file was written; monotonic, 0: never */
    bool unkept;          /* there is something newer */
    bool whole;           /* a snapshot was learned to its end */
    uint64_t generations; /* the last one that was given out */

    _Atomic uint64_t feed_generation;
    _Atomic int64_t feed_ms; /* monotonic; 0: never */
    _Atomic bool heard;      /* what the set has of the feed is whole */
    _Atomic size_t left_out; /* of those learned, that cannot be served */

    pthread_mutex_t lock; /* the pointer only */
    struct tenants_set *set;
    _Atomic uint64_t version;
};

/* The tenant of this specification: `old` if it is still the same, or a new one. Under `build`. */
CW_MUST_USE enum cw_err tenants_obtain(struct tenants *tenants, struct tenant *old,
                                       const struct tenant_spec *spec, struct tenant **ret);
/* Makes the set of what is there now, and tells. Under `build`. */
CW_MUST_USE enum cw_err tenants_publish(struct tenants *tenants);
/* The configuration has a tenant of this name, which wins. Under `build`. */
bool tenants_is_local(const struct tenants *tenants, struct cw_str name);
/* After another configuration: learned tenants that it has, too, are let go, with their sources of
 * keys, and those that it has no more are made of their messages. One that there is no memory for
 * stays out, is told of in `problems`, and made with the next news. Under `build`. */
void tenants_learned_revise(struct tenants *tenants, struct cw_buf *problems);
/* The file as the first thing that is learned. */
void tenants_load(struct tenants *tenants);
void tenants_learned_done(struct tenants_learned *learned);

/* An item of `keep`: `name` or `name=path`; a name that is a URL has no `=` before its path. */
void tenant_keep_split(struct cw_str item, struct cw_str *ret_name, struct cw_str *ret_path);

#endif
