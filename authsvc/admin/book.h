/* All tenants: those of the configuration file and those of the database, merged into one set that
 * is swapped when anything changes. Changes go into the database first; another authsvc on the same
 * one follows within BOOK_POLL_MS. Calls block (database, key generation) and belong on a worker.
 */
#ifndef AUTHSVC_ADMIN_BOOK_H
#define AUTHSVC_ADMIN_BOOK_H

#include "authsvc/admin/document.h"
#include "authsvc/keys/keyring.h"

enum {
    BOOK_POLL_MS = 500,    /* between looks for changes of other processes */
    BOOK_SPREAD_MS = 2000, /* that a change waits for the connected sidecars */
    BOOK_NAME_MAX = 64,    /* bytes of a stored tenant's name */
};

struct book;

struct book_deps {
    struct store *store;
    struct keyring *keys;
    /* Another set is in place: tells the sidecars, and returns when those that are connected have
     * it, or after wait_ms. May be NULL. */
    enum cw_err (*publish)(void *ctx, const struct tenant_set *set, unsigned wait_ms);
    /* A stored tenant that cannot be used was left out; for the log. May be NULL. */
    void (*on_problem)(void *ctx, struct cw_str tenant, struct cw_str text);
    void *ctx;
};

/* Copies deps. An empty set is current until book_configure. */
CW_MUST_USE enum cw_err book_new(const struct book_deps *deps, struct book **ret_book);
/* Ends the thread, too. NULL is fine. */
void book_free(struct book *book);
/* What is current; the book's. */
struct tenant_current *book_current(const struct book *book);

/* The configuration's tenants (again), with those of the database. CW_CONFLICT or another error
 * with a sentence in `message`: nothing has changed. Holds a reference to the configuration. */
CW_MUST_USE enum cw_err book_configure(struct book *book, const struct cw_config *config,
                                       struct cw_buf *message);
/* Starts the thread that follows other processes. */
CW_MUST_USE enum cw_err book_follow(struct book *book);
/* Another process may have changed something: the thread looks now. Any thread; does not block. */
void book_poke(struct book *book);
/* The same once, at once. */
CW_MUST_USE enum cw_err book_refresh(struct book *book);
/* Signing keys are others than before: tells the sidecars, and waits for them up to wait_ms. */
CW_MUST_USE enum cw_err book_spread(struct book *book, unsigned wait_ms);
/* What a tenant asks of its signing keys; borrowed from it. */
struct keyring_want book_keys_wanted(const struct tenant *tenant);

struct book_setting {
    struct cw_str name;
    const struct cw_str *values; /* n = 0: take it away */
    size_t n;
};

/* All borrowed. */
struct book_change {
    struct cw_str name;
    struct cw_str text; /* YAML or JSON; empty: none */
    const struct book_setting *settings;
    size_t n_settings;
    const struct book_setting *secrets;
    size_t n_secrets;
    uint64_t if_version; /* book_update: 0: whatever it is */
};

/* All of these append to `detail` what is wrong. CW_TENANT_INVALID, CW_TENANT_CONFLICT (who holds
 * what), CW_TENANT_CONFIGURED, CW_NOT_FOUND, CW_PRECONDITION_FAILED (changed meanwhile),
 * CW_STORE_UNAVAILABLE. */
CW_MUST_USE enum cw_err book_create(struct book *book, const struct book_change *change,
                                    struct cw_buf *detail);
/* Settings of the change win over those that are there; a text replaces all of them. */
CW_MUST_USE enum cw_err book_update(struct book *book, const struct book_change *change,
                                    struct cw_buf *detail);
CW_MUST_USE enum cw_err book_set_disabled(struct book *book, struct cw_str name, bool disabled,
                                          struct cw_buf *detail);
/* With everything of it. CW_TENANT_ENABLED: disable it first. */
CW_MUST_USE enum cw_err book_remove(struct book *book, struct cw_str name, struct cw_buf *detail);

/* Borrowed for the call of `each`. */
struct book_entry {
    struct cw_str name;
    bool configured;
    bool disabled;
    uint64_t version;   /* 0: configured */
    int64_t created_at; /* Unix milliseconds; 0: configured */
    int64_t updated_at;
    struct cw_str problem;       /* why it is left out; empty: it is not */
    const struct tenant *tenant; /* NULL: left out */
};

/* Up to `max` tenants whose names come after `after`, in their order. `each` may not call the book.
 */
CW_MUST_USE enum cw_err book_list(struct book *book, struct cw_str after, size_t max,
                                  enum cw_err (*each)(void *ctx, const struct book_entry *entry),
                                  void *ctx);
/* One, with its settings; the caller frees the document. CW_NOT_FOUND. */
CW_MUST_USE enum cw_err book_get(struct book *book, struct cw_str name,
                                 enum cw_err (*each)(void *ctx, const struct book_entry *entry),
                                 void *ctx, struct document **ret_document);

#endif
