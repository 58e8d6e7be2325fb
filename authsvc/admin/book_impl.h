/* What the files of the book share. */
#ifndef AUTHSVC_ADMIN_BOOK_IMPL_H
#define AUTHSVC_ADMIN_BOOK_IMPL_H

#include <pthread.h>

#include "authsvc/admin/book.h"

/* A tenant of the database. */
struct book_row {
    char *name;
    struct tenant *tenant; /* NULL: cannot be used */
    char *problem;         /* then: why */
    uint64_t version;
    int64_t created_at;
    int64_t updated_at;
    bool disabled;
    bool has_keys; /* loaded */
};

struct book {
    struct book_deps deps;
    struct cw_config_schema schema;
    struct tenant_current *current;
    pthread_mutex_t lock; /* all below; held over changes as a whole, never on a request's way */
    struct cw_config *config;
    struct tenant_set *configured;
    struct book_row *rows; /* by name */
    size_t n;
    size_t cap;
    uint64_t seen; /* version of the newest change that is in rows */
    bool dirty;    /* rows have changed since the last swap */
    pthread_cond_t wake;
    _Atomic bool poked; /* another process says that it has changed something */
    pthread_t thread;
    bool following;
    bool stopping;
};

/* With the lock held, all of them. */

/* The row of this name, or NULL. */
struct book_row *book_row_find(struct book *book, struct cw_str name);
/* Reads what others have changed. */
CW_MUST_USE enum cw_err book_read(struct book *book);
/* The configured tenants with those of the database in which `instead` (NULL: none) replaces the
 * row of its name, or is added. Where `strict`, CW_CONFLICT with what and whose; otherwise the
 * database's loser is left out and told. */
CW_MUST_USE enum cw_err book_merge(struct book *book, const struct tenant_set *configured,
                                   struct tenant *instead, bool strict, struct cw_buf *detail,
                                   struct tenant_set **ret_set);
/* Reads, and where anything has changed since the last time: a new set is current, and the sidecars
 * are told; waits for them up to wait_ms. */
CW_MUST_USE enum cw_err book_settle(struct book *book, unsigned wait_ms);

/* The tenant's signing keys are in memory; the first one is made. */
CW_MUST_USE enum cw_err book_load_keys(struct book *book, const struct tenant *tenant,
                                       struct cw_buf *message);

/* The sealed part of a stored tenant. */
CW_MUST_USE enum cw_err book_open_secrets(struct book *book, struct cw_str name,
                                          struct cw_str sealed, struct document **ret_secrets);
CW_MUST_USE enum cw_err book_seal_secrets(struct book *book, struct cw_str name,
                                          const struct document *secrets,
                                          struct cw_buf *ret_sealed);

#endif
