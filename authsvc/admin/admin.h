/* Administration: who may, what happens, what the audit log says. No transport types here. Calls
 * block and belong on a worker. */
#ifndef AUTHSVC_ADMIN_ADMIN_H
#define AUTHSVC_ADMIN_ADMIN_H

#include <sys/types.h>

#include "authsvc/admin/book.h"
#include "authsvc/keys/sealed.h"
#include "authsvc/login/account.h"
#include "authsvc/login/login.h"

struct admin;

/* One change, or its refusal, for the audit log. Borrowed. */
struct admin_event {
    const char *action; /* "tenant-created" */
    enum cw_err outcome;
    struct cw_str tenant;
    struct cw_str target;  /* user name, session, subject …; may be empty */
    struct cw_str subject; /* of the administrator's token; empty: a local user */
    uid_t uid;             /* of the local user */
    struct cw_str detail;  /* why it was refused; may be empty */
};

struct admin_deps {
    struct book *book;
    struct store *store;
    struct keyring *keys;
    struct login *login; /* verifies administrators' tokens */
    struct idp *idp;     /* NULL: no tenant has an identity provider */
    struct password_hasher *hasher;
    const struct password_blocklist *blocklist; /* may be NULL */
    const struct cw_clock *clock;
    void (*on_event)(void *ctx, const struct admin_event *event); /* may be NULL */
    void *ctx;
    /* Something was revoked: returns once the connected sidecars know it, or after a moment. */
    void (*on_revoked)(void *ctx); /* may be NULL */
    void *on_revoked_ctx;
};

/* Copies deps; what they point to is borrowed. NULL without memory. */
struct admin *admin_new(const struct admin_deps *deps);
void admin_free(struct admin *admin);

/* Who calls. */
struct admin_caller {
    bool local; /* root or the own user, on the administrators' socket */
    uid_t uid;
    struct cw_str access_token; /* otherwise */
    struct cw_str address;
};

/* Of all that follow: CW_SUBJECT_FORBIDDEN and what is wrong with a token (category TOKEN); the
 * store's errors. `detail` gets a sentence for people where there is one. */

/* --- tenants: local callers only; a tenant's administrator may read the own one ---------- */

enum cw_err admin_tenant_create(struct admin *admin, const struct admin_caller *caller,
                                const struct book_change *change, struct cw_buf *detail);
enum cw_err admin_tenant_update(struct admin *admin, const struct admin_caller *caller,
                                const struct book_change *change, struct cw_buf *detail);
enum cw_err admin_tenant_set_disabled(struct admin *admin, const struct admin_caller *caller,
                                      struct cw_str name, bool disabled, struct cw_buf *detail);
enum cw_err admin_tenant_remove(struct admin *admin, const struct admin_caller *caller,
                                struct cw_str name, struct cw_buf *detail);
enum cw_err admin_tenant_get(struct admin *admin, const struct admin_caller *caller,
                             struct cw_str name,
                             enum cw_err (*each)(void *ctx, const struct book_entry *entry),
                             void *ctx, struct document **ret_document);
enum cw_err admin_tenant_list(struct admin *admin, const struct admin_caller *caller,
                              struct cw_str after, size_t max,
                              enum cw_err (*each)(void *ctx, const struct book_entry *entry),
                              void *ctx);

/* Asks the tenant's identity provider (idp_check). By domain or by name; CW_TENANT_UNKNOWN,
 * CW_TENANT_INVALID with a sentence: its users are the database's. */
enum cw_err admin_tenant_check(struct admin *admin, const struct admin_caller *caller,
                               struct cw_str domain, struct cw_str username, struct cw_str password,
                               void (*each)(void *ctx, const struct idp_finding *finding),
                               void *ctx, struct cw_buf *detail);

/* --- users of database tenants ---------------------------------------------------------- */

/* CW_NOT_FOUND: no such tenant or user; CW_CONFLICT: the user name is taken; CW_REQUEST_MALFORMED:
 * name, password or a role cannot be one; CW_IDP_MANAGED: the tenant's users are its identity
 * provider's. */

/* What goes in. All borrowed. */
struct admin_user {
    struct cw_str username; /* as typed */
    struct cw_str name;
    struct cw_str email;
    bool email_verified;
    const struct cw_str *roles;
    size_t n_roles;
    const struct cw_str *permissions;
    size_t n_permissions;
    unsigned fields; /* of an update: bits of enum admin_field */
};

enum admin_field {
    ADMIN_FIELD_NAME = 1,
    ADMIN_FIELD_EMAIL = 2,
    ADMIN_FIELD_EMAIL_VERIFIED = 4,
    ADMIN_FIELD_ROLES = 8,
    ADMIN_FIELD_PERMISSIONS = 16,
};

/* The users that come back hold strings of the arena. */
enum cw_err admin_user_create(struct admin *admin, const struct admin_caller *caller,
                              struct cw_str tenant, const struct admin_user *user,
                              struct cw_str password, struct cw_arena *arena,
                              struct store_user *ret_user, struct cw_buf *detail);
enum cw_err admin_user_get(struct admin *admin, const struct admin_caller *caller,
                           struct cw_str tenant, struct cw_str username, struct cw_arena *arena,
                           struct store_user *ret_user);
enum cw_err admin_user_list(struct admin *admin, const struct admin_caller *caller,
                            struct cw_str tenant, struct cw_str after, int64_t max,
                            enum cw_err (*each)(void *ctx, const struct store_user *user),
                            void *ctx);
enum cw_err admin_user_update(struct admin *admin, const struct admin_caller *caller,
                              struct cw_str tenant, const struct admin_user *user,
                              struct cw_arena *arena, struct store_user *ret_user,
                              struct cw_buf *detail);
enum cw_err admin_user_set_disabled(struct admin *admin, const struct admin_caller *caller,
                                    struct cw_str tenant, struct cw_str username, bool disabled);
enum cw_err admin_user_set_password(struct admin *admin, const struct admin_caller *caller,
                                    struct cw_str tenant, struct cw_str username,
                                    struct cw_str password, struct cw_buf *detail);

/* A one-time code for the user, in place of an earlier one (login/account.h). life_ms 0: a day.
 * CW_REQUEST_MALFORMED: a life out of bounds. */
enum cw_err admin_user_reset_password(struct admin *admin, const struct admin_caller *caller,
                                      struct cw_str tenant, struct cw_str username, int64_t life_ms,
                                      char ret_code[CODE_TEXT_SIZE]);
/* The password is good for changing it only; sessions end. */
enum cw_err admin_user_expire_password(struct admin *admin, const struct admin_caller *caller,
                                       struct cw_str tenant, struct cw_str username);
/* Takes second factors away. CW_NOT_FOUND: there are none. */
enum cw_err admin_user_reset_mfa(struct admin *admin, const struct admin_caller *caller,
                                 struct cw_str tenant, struct cw_str username);

/* --- groups of database tenants --------------------------------------------------------- */

struct admin_group {
    struct cw_str name; /* at most 256 bytes; no comma, no control character */
    struct cw_str description;
    const struct cw_str *roles;
    size_t n_roles;
    const struct cw_str *permissions;
    size_t n_permissions;
};

/* Adds a group, or changes all of it but its members. What members may do changes with their next
 * refresh. CW_REQUEST_MALFORMED: a name cannot be one. */
enum cw_err admin_group_put(struct admin *admin, const struct admin_caller *caller,
                            struct cw_str tenant, const struct admin_group *group);
enum cw_err admin_group_remove(struct admin *admin, const struct admin_caller *caller,
                               struct cw_str tenant, struct cw_str name);
enum cw_err admin_group_list(struct admin *admin, const struct admin_caller *caller,
                             struct cw_str tenant, struct cw_str after, int64_t max,
                             store_group_fn *each, void *ctx);
/* `member` false: takes the user out. CW_NOT_FOUND: no such group, user or member. */
enum cw_err admin_group_set_member(struct admin *admin, const struct admin_caller *caller,
                                   struct cw_str tenant, struct cw_str group,
                                   struct cw_str username, bool member);
enum cw_err admin_group_members(struct admin *admin, const struct admin_caller *caller,
                                struct cw_str tenant, struct cw_str group, struct cw_str after,
                                int64_t max, enum cw_err (*each)(void *ctx, struct cw_str username),
                                void *ctx);

/* --- sessions, revocation, keys --------------------------------------------------------- */

enum { ADMIN_SESSIONS_MAX = 1000 };

enum cw_err admin_session_list(struct admin *admin, const struct admin_caller *caller,
                               struct cw_str tenant, struct cw_str username,
                               enum cw_err (*each)(void *ctx, const struct store_session *session),
                               void *ctx);
/* Of a session: CW_NOT_FOUND where there is none or it is over. Of a subject or a tenant: what was
 * issued up to now; returns when this second is over, so that whatever comes after it counts. */
enum cw_err admin_revoke(struct admin *admin, const struct admin_caller *caller,
                         struct cw_str tenant, enum store_revocation_kind kind, struct cw_str value,
                         int64_t *ret_sessions_ended);
/* None where the tenant's identity provider signs. */
enum cw_err admin_key_list(struct admin *admin, const struct admin_caller *caller,
                           struct cw_str tenant,
                           enum cw_err (*each)(void *ctx, const struct keyring_entry *entry),
                           void *ctx);
/* Local callers only. The next key is made and published, and signs when its time has come; with
 * `emergency` all keys are withdrawn and a new one signs at once. Returns when the connected
 * sidecars know it, or after a moment. CW_CONFLICT: too many keys are still published. */
enum cw_err admin_key_rotate(struct admin *admin, const struct admin_caller *caller,
                             struct cw_str tenant, bool emergency, int64_t *ret_withdrawn,
                             struct cw_buf *detail);

/* Local callers only. See keyring_look_over, and store_check, which may wait for the database. */
enum cw_err admin_key_health(struct admin *admin, const struct admin_caller *caller,
                             struct keyring_survey *ret_survey, bool *ret_store_works);

/* --- key-encryption keys; local callers only -------------------------------------------- */

/* The list is freed by the caller. */
enum cw_err admin_encryption_keys(struct admin *admin, const struct admin_caller *caller,
                                  struct sealed_use **ret_list, size_t *ret_n);
/* See sealed_reseal. */
enum cw_err admin_reseal(struct admin *admin, const struct admin_caller *caller, size_t max,
                         struct cw_buf *place, struct resealed *ret_resealed);

#endif
