/* What authsvc remembers: settings, tenants' names, users, sessions with their refresh tokens,
 * signing keys, throttle counters. Every call is one transaction and safe from any thread.
 * CW_STORE_UNAVAILABLE: the database failed; nothing was changed. CW_STORE_CONTENDED: the same,
 * and trying again may help. CW_STORE_UNCERTAIN: it went away while it committed; the change was
 * made, or was not. Times are Unix milliseconds. */
#ifndef AUTHSVC_STORE_STORE_H
#define AUTHSVC_STORE_STORE_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/clock.h"

struct store;

struct store_options {
    struct cw_str url; /* sqlite:PATH, sqlite::memory: or postgresql://… */
    /* Of a server; see struct db_options. 0 and NULL: as usual. */
    const char *password_file;
    unsigned connections;
    int64_t connect_timeout_ms;
    int64_t statement_timeout_ms;
    const struct cw_clock *clock;
    /* Told of database failures, for the log; may be NULL. */
    void (*on_error)(void *ctx, const char *operation, const char *message);
    void *ctx;
};

/* Opens, locks and migrates. On failure ret_message has a sentence for people. */
CW_MUST_USE enum cw_err store_open(const struct store_options *options, struct cw_buf *ret_message,
                                   struct store **ret_store);
void store_close(struct store *store);
/* What is wrong with a store's URL, as a sentence without the URL itself (it may hold a password).
 */
CW_MUST_USE enum cw_err store_check_url(struct cw_str url, struct cw_buf *ret_message);
/* Whether the database answers and, after something has failed, whether it can be written. */
CW_MUST_USE enum cw_err store_check(struct store *store);
/* The clock that the store was opened with. */
const struct cw_clock *store_clock(const struct store *store);

/* What other cw-authsvc on the same database may have changed. */
enum store_topic {
    STORE_TOPIC_REVOCATIONS = 0,
    STORE_TOPIC_TENANTS, /* and what belongs to them */
    STORE_TOPIC_KEYS,
};

/* Calls `changed` soon after another process (or this one) has committed a change: a hint, which
 * may come late, twice or for nothing, on a thread of the store; it may not call the store. Never
 * where the database has one process only. */
CW_MUST_USE enum cw_err
store_on_change(struct store *store, void (*changed)(void *ctx, enum store_topic topic), void *ctx);
/* No calls from now on; waits for a running one. store may be NULL. */
void store_end_changes(struct store *store);

/* --- settings --------------------------------------------------------------------------- */

enum { STORE_EPOCH_SIZE = 32 };

/* The database's identity, random, made when the schema was: generations of different epochs cannot
 * be compared. 32 hex digits and a NUL. */
CW_MUST_USE enum cw_err store_epoch(struct store *store, char ret_epoch[STORE_EPOCH_SIZE + 1]);
/* The generation of what `fingerprint` describes: one more than before where the fingerprint is
 * another than the one stored last. Begins at 1. */
CW_MUST_USE enum cw_err store_generation(struct store *store, struct cw_str fingerprint,
                                         uint64_t *ret_generation);
/* Makes the tenant known; nothing happens where it is. */
CW_MUST_USE enum cw_err store_tenant_add(struct store *store, struct cw_str tenant);

/* --- tenants that were added at run time ------------------------------------------------- */

struct store_tenant {
    struct cw_str name;
    uint64_t version; /* of its last change; rises over all tenants */
    struct cw_str issuer;
    const struct cw_str *domains; /* normalised; for writing only */
    size_t n_domains;
    struct cw_str document; /* JSON */
    struct cw_str secrets;  /* sealed; empty: none */
    bool disabled;
    int64_t created_at;
    int64_t updated_at;
};

/* The number of the newest change, 0 before the first. */
CW_MUST_USE enum cw_err store_tenant_version(struct store *store, uint64_t *ret_version);
/* CW_CONFLICT: the name, the issuer or a domain is another one's; CW_PRECONDITION_FAILED: with
 * `if_version` above 0 the tenant is replaced, and is of another version by now (or gone). */
CW_MUST_USE enum cw_err store_tenant_put(struct store *store, const struct store_tenant *tenant,
                                         uint64_t if_version);
/* CW_NOT_FOUND. */
CW_MUST_USE enum cw_err store_tenant_set_disabled(struct store *store, struct cw_str name,
                                                  bool disabled);
/* Deletes a disabled tenant and everything of it: users, sessions, keys, revocations, throttles.
 * CW_NOT_FOUND: there is no such one, or it is enabled. */
CW_MUST_USE enum cw_err store_tenant_remove(struct store *store, struct cw_str name);
/* Strings are put into the arena. CW_NOT_FOUND. */
CW_MUST_USE enum cw_err store_tenant_get(struct store *store, struct cw_str name,
                                         struct cw_arena *arena, struct store_tenant *ret_tenant);
/* Calls `each` per tenant that was changed after `version`, by name; it may not call the store. */
CW_MUST_USE enum cw_err
store_tenant_since(struct store *store, uint64_t version,
                   enum cw_err (*each)(void *ctx, const struct store_tenant *tenant), void *ctx);
/* Calls `each` per name, in their order. */
CW_MUST_USE enum cw_err store_tenant_names(struct store *store,
                                           enum cw_err (*each)(void *ctx, struct cw_str name),
                                           void *ctx);

/* --- users ------------------------------------------------------------------------------ */

/* In place of password_changed_at where no password of the database was shown: an identity
 * provider has let the user in. */
enum { STORE_NO_PASSWORD = -1 };

struct store_user {
    struct cw_str subject;
    struct cw_str username; /* normalised */
    struct cw_str password_hash;
    bool disabled;
    bool password_expired;       /* the user must change it before anything else */
    int64_t password_changed_at; /* rises with each change; not written by store_user_add */
    struct cw_str name;
    struct cw_str email;
    bool email_verified;
    struct cw_str roles;       /* JSON array of strings */
    struct cw_str permissions; /* JSON array of strings */
};

/* CW_CONFLICT: the user name is taken. */
CW_MUST_USE enum cw_err store_user_add(struct store *store, struct cw_str tenant,
                                       const struct store_user *user);
/* Strings are put into the arena. CW_NOT_FOUND where there is none. */
CW_MUST_USE enum cw_err store_user_by_name(struct store *store, struct cw_str tenant,
                                           struct cw_str username, struct cw_arena *arena,
                                           struct store_user *ret_user);
CW_MUST_USE enum cw_err store_user_by_subject(struct store *store, struct cw_str tenant,
                                              struct cw_str subject, struct cw_arena *arena,
                                              struct store_user *ret_user);
/* Calls `each` per user whose name comes after `after`, by name, at most `max`; it may not call the
 * store. */
CW_MUST_USE enum cw_err
store_user_list(struct store *store, struct cw_str tenant, struct cw_str after, int64_t max,
                enum cw_err (*each)(void *ctx, const struct store_user *user), void *ctx);
/* Writes name, email, email_verified, roles and permissions of the user of that name.
 * CW_NOT_FOUND. */
CW_MUST_USE enum cw_err store_user_update(struct store *store, struct cw_str tenant,
                                          const struct store_user *user);
/* Replaces old_hash by new_hash of the same password; does nothing if the hash is another by now.
 */
CW_MUST_USE enum cw_err store_user_rehash(struct store *store, struct cw_str tenant,
                                          struct cw_str subject, struct cw_str old_hash,
                                          struct cw_str new_hash);
/* --- passwords: a change ends sessions, logins that wait for a second factor, and reset codes ---
 */

/* By an administrator. CW_NOT_FOUND where there is no such user. */
CW_MUST_USE enum cw_err store_user_set_password(struct store *store, struct cw_str tenant,
                                                struct cw_str username, struct cw_str hash);
/* By the user, whose session `keep_session` (may be empty) goes on. CW_CONFLICT: the hash is not
 * `old_hash` any more. */
CW_MUST_USE enum cw_err store_user_change_password(struct store *store, struct cw_str tenant,
                                                   struct cw_str subject, struct cw_str old_hash,
                                                   struct cw_str new_hash,
                                                   struct cw_str keep_session);
/* From now on the password is good for changing it, and for nothing else. Ends the user's sessions.
 * CW_NOT_FOUND. */
CW_MUST_USE enum cw_err store_user_expire_password(struct store *store, struct cw_str tenant,
                                                   struct cw_str username);
/* Keeps the hash of a reset code in place of an earlier one. CW_NOT_FOUND: no such user. */
CW_MUST_USE enum cw_err store_reset_add(struct store *store, struct cw_str tenant,
                                        struct cw_str username, const uint8_t *code_hash,
                                        int64_t expires_at);
/* Whose code it is; nothing is used up. CW_NOT_FOUND: nobody's, or expired. */
CW_MUST_USE enum cw_err store_reset_user(struct store *store, struct cw_str tenant,
                                         const uint8_t *code_hash, struct cw_arena *arena,
                                         struct store_user *ret_user);
/* Uses the code up and sets the password. CW_NOT_FOUND as above. */
CW_MUST_USE enum cw_err store_reset_redeem(struct store *store, struct cw_str tenant,
                                           const uint8_t *code_hash, struct cw_str new_hash);
/* Disabling ends the user's sessions. */
CW_MUST_USE enum cw_err store_user_set_disabled(struct store *store, struct cw_str tenant,
                                                struct cw_str username, bool disabled);

/* --- groups ----------------------------------------------------------------------------- */

struct store_group {
    struct cw_str name;
    struct cw_str description;
    struct cw_str roles;       /* JSON array of strings */
    struct cw_str permissions; /* JSON array of strings */
};

/* Borrowed until it returns; it may not call the store. */
typedef enum cw_err store_group_fn(void *ctx, const struct store_group *group);

/* Adds a group, or changes all of it but its members. */
CW_MUST_USE enum cw_err store_group_put(struct store *store, struct cw_str tenant,
                                        const struct store_group *group);
/* With its memberships. CW_NOT_FOUND. */
CW_MUST_USE enum cw_err store_group_remove(struct store *store, struct cw_str tenant,
                                           struct cw_str name);
/* By name, those after `after`, at most `max`. */
CW_MUST_USE enum cw_err store_group_list(struct store *store, struct cw_str tenant,
                                         struct cw_str after, int64_t max, store_group_fn *each,
                                         void *ctx);
/* The groups of a user, by name. */
CW_MUST_USE enum cw_err store_groups_of(struct store *store, struct cw_str tenant,
                                        struct cw_str subject, store_group_fn *each, void *ctx);
/* Nothing happens where it is a member already. CW_NOT_FOUND: no such group or user. */
CW_MUST_USE enum cw_err store_member_add(struct store *store, struct cw_str tenant,
                                         struct cw_str group, struct cw_str username);
/* CW_NOT_FOUND: it is no member. */
CW_MUST_USE enum cw_err store_member_remove(struct store *store, struct cw_str tenant,
                                            struct cw_str group, struct cw_str username);
/* User names, those after `after`, at most `max`. */
CW_MUST_USE enum cw_err store_member_list(struct store *store, struct cw_str tenant,
                                          struct cw_str group, struct cw_str after, int64_t max,
                                          enum cw_err (*each)(void *ctx, struct cw_str username),
                                          void *ctx);
/* --- sessions and refresh tokens -------------------------------------------------------- */

enum { STORE_FAMILY_SIZE = 16, STORE_HASH_SIZE = 32 };

struct store_session {
    struct cw_str id;
    struct cw_str subject;
    struct cw_str client_id;
    struct cw_str scope;   /* space-separated */
    struct cw_str device;  /* as told by the client */
    struct cw_str address; /* the user's */
    int64_t started_at;
    int64_t used_at;
    int64_t expires_at; /* absolute end of session and refresh tokens */
    struct cw_str amr;  /* JSON array: how the user has proved who it is (RFC 8176) */
    /* To start one: of the user as read before its password was checked, or STORE_NO_PASSWORD. */
    int64_t password_changed_at;
};

struct store_family {
    uint8_t id[STORE_FAMILY_SIZE];
    uint8_t hash[STORE_HASH_SIZE]; /* SHA-256 of the first refresh token */
    int64_t idle_expires_at;
};

/* Starts a session with its family of refresh tokens; the subject's sessions beyond `cap`, oldest
 * first, end. What may have happened since the user was read: CW_ACCOUNT_BLOCKED, disabled or
 * deleted; CW_PASSWORD_EXPIRED; CW_CREDENTIALS_INVALID, the password is another one. */
CW_MUST_USE enum cw_err store_session_start(struct store *store, struct cw_str tenant,
                                            const struct store_session *session,
                                            const struct store_family *family, int64_t cap);
/* Ends a session and revokes its tokens. CW_NOT_FOUND: there is no such session, or it has ended.
 */
CW_MUST_USE enum cw_err store_session_end(struct store *store, struct cw_str tenant,
                                          struct cw_str id, const char *reason);
/* Whether the session is alive and the subject's. CW_NOT_FOUND otherwise. */
CW_MUST_USE enum cw_err store_session_check(struct store *store, struct cw_str tenant,
                                            struct cw_str id, struct cw_str subject);
/* Calls `each` per living session of the subject, newest first, at most `max`; it may not call the
 * store. */
CW_MUST_USE enum cw_err
store_session_list(struct store *store, struct cw_str tenant, struct cw_str subject, int64_t max,
                   enum cw_err (*each)(void *ctx, const struct store_session *session), void *ctx);

enum store_rotation {
    STORE_ROTATION_DONE = 0, /* this call redeemed the token */
    STORE_ROTATION_REPEATED, /* it was redeemed just now; the successor is the same */
    STORE_ROTATION_UNKNOWN,  /* no such family, or not for this client */
    STORE_ROTATION_ENDED,    /* session or family ended or expired */
    STORE_ROTATION_STALE,    /* the family is alive, but this is not its token: see `state` */
};

struct store_rotate {
    const uint8_t *family;    /* STORE_FAMILY_SIZE */
    int64_t generation;       /* of the token that is presented */
    const uint8_t *hash;      /* SHA-256 of it */
    const uint8_t *next_hash; /* SHA-256 of its successor */
    struct cw_str client_id;
    int64_t idle_ms;       /* life of the successor when unused */
    int64_t grace_ms;      /* how long the predecessor is answered with the same successor */
    store_group_fn *group; /* gets the groups of the user of `user`, by name; may be NULL */
    void *ctx;
};

struct store_rotated {
    enum store_rotation outcome;
    /* The family as it is now (not for UNKNOWN). */
    int64_t generation;
    uint8_t current_hash[STORE_HASH_SIZE];
    int64_t idle_expires_at;
    int64_t expires_at;
    struct store_session session; /* id, subject, client_id, scope, started_at, amr */
    struct store_user user;       /* for DONE and REPEATED */
};

/* Redeems a refresh token, in one transaction with those of other threads that come at the same
 * time. A user who is disabled ends the session: ENDED. Strings are put into the arena.
 * rotate->group is called before the outcome is known, with the user read, and maybe on another
 * thread, while this one waits. After an error of its own, or where a row cannot be read, the token
 * is as good as before, unless the database fails just then. CW_STORE_UNCERTAIN: nobody knows. */
CW_MUST_USE enum cw_err store_refresh_rotate(struct store *store, struct cw_str tenant,
                                             const struct store_rotate *rotate,
                                             struct cw_arena *arena,
                                             struct store_rotated *ret_rotated);

/* After DONE, where no answer could be made: the token is as good as before. Nothing is changed
 * where the family has moved on since. */
CW_MUST_USE enum cw_err store_refresh_put_back(struct store *store, struct cw_str tenant,
                                               const struct store_rotate *rotate);

/* The family as it is, without redeeming anything: generation, hash, session. CW_NOT_FOUND. */
CW_MUST_USE enum cw_err store_family_find(struct store *store, struct cw_str tenant,
                                          const uint8_t *family, struct cw_arena *arena,
                                          struct store_rotated *ret_rotated);

/* --- sessions whose tokens are an identity provider's ----------------------------------- */

/* A set of tokens as the provider gave it. */
struct store_idp_tokens {
    struct cw_str sealed;     /* all of it, with the provider's refresh token */
    struct cw_str token_name; /* of the access token, for its revocation */
    int64_t token_expires_at;
};

/* store_session_start for a user of the provider's, who gets a row like any other (without a
 * password) or whose row learns the present name and e-mail. */
CW_MUST_USE enum cw_err store_idp_session_start(struct store *store, struct cw_str tenant,
                                                const struct store_user *user,
                                                const struct store_session *session,
                                                const struct store_family *family,
                                                const struct store_idp_tokens *tokens, int64_t cap);

struct store_idp_claimed {
    /* DONE: the caller alone may refresh at the provider now, and ends by commit or release.
     * REPEATED: `sealed` is what the other one got. Others as for store_refresh_rotate. */
    enum store_rotation outcome;
    bool busy; /* DONE, but another one is at it: ask again */
    struct store_rotated family;
    struct cw_str sealed; /* in the arena */
};

/* Before a refresh at the provider. Nothing is redeemed yet. The claim lapses after lease_ms: who
 * claimed it has died. */
CW_MUST_USE enum cw_err store_idp_claim(struct store *store, struct cw_str tenant,
                                        const struct store_rotate *rotate, int64_t lease_ms,
                                        struct cw_arena *arena, struct store_idp_claimed *ret);
/* The provider gave nothing: the token is as good as before. */
CW_MUST_USE enum cw_err store_idp_release(struct store *store, struct cw_str tenant,
                                          struct cw_str session_id, int64_t generation);
/* The provider gave new tokens: redeems ours and keeps them, in one transaction. Outcomes DONE, or
 * ENDED where the session has ended meanwhile, STALE where the claim had lapsed. */
CW_MUST_USE enum cw_err store_idp_commit(struct store *store, struct cw_str tenant,
                                         const struct store_rotate *rotate,
                                         const struct store_idp_tokens *tokens,
                                         struct cw_arena *arena, struct store_rotated *ret_rotated);
/* The living session that an access token was given to (the newest, where several got the very same
 * token): id, subject, client_id, scope. CW_NOT_FOUND. */
CW_MUST_USE enum cw_err store_idp_session_of(struct store *store, struct cw_str tenant,
                                             struct cw_str token_name, struct cw_arena *arena,
                                             struct store_session *ret_session);
/* What is sealed in a session's row, living or not; CW_NOT_FOUND where it has none. */
CW_MUST_USE enum cw_err store_idp_sealed(struct store *store, struct cw_str tenant,
                                         struct cw_str session_id, struct cw_arena *arena,
                                         struct cw_str *ret_sealed);

/* --- revocations ------------------------------------------------------------------------ */

enum store_revocation_kind {
    STORE_REVOKED_SESSION = 0,
    STORE_REVOKED_TOKEN,
    STORE_REVOKED_SUBJECT,
    STORE_REVOKED_TENANT, /* all of it */
};

struct store_revocation {
    uint64_t number; /* rises in the order of commits */
    struct cw_str tenant;
    enum store_revocation_kind kind;
    struct cw_str value;  /* session id, token id, subject; empty for a tenant */
    int64_t issued_until; /* Unix seconds: only what was issued up to then; 0: all */
    int64_t expires_at;   /* no token that it is about lives longer */
};

/* Revokes in one transaction, and ends the sessions that are about a subject or tenant; `keep_ms`
 * is how long it stays in effect. A session is ended by store_session_end instead. The value of the
 * tenant's revocation is not read. */
CW_MUST_USE enum cw_err store_revoke(struct store *store, struct cw_str tenant,
                                     enum store_revocation_kind kind, struct cw_str value,
                                     int64_t keep_ms, int64_t *ret_sessions_ended);
/* The number of the newest one, 0 before the first. */
CW_MUST_USE enum cw_err store_revocation_number(struct store *store, uint64_t *ret_number);
/* Calls `each` per revocation after `after` that is still in effect; it may not call the store. */
CW_MUST_USE enum cw_err
store_revocation_list(struct store *store, uint64_t after,
                      enum cw_err (*each)(void *ctx, const struct store_revocation *revocation),
                      void *ctx);

/* --- signing keys ----------------------------------------------------------------------- */

enum { STORE_KEYS_MAX = 16 }; /* of a tenant: rotation keeps two or three */

struct store_key {
    struct cw_str kid;
    struct cw_str algorithm;  /* RS256, ES256 */
    struct cw_str state;      /* of the row, as told last: pending, active, retired */
    struct cw_str public_jwk; /* JSON */
    struct cw_str sealed;
    int64_t created_at;
    int64_t active_at; /* signs from then on, until a later one does */
    int64_t life_ms;   /* the longest that a token which it signed may live */
    uint64_t version;  /* of the newest change of the tenant's keys; as read */
};

/* The first key of a tenant, active at once. CW_CONFLICT: another process was faster, and its key
 * is there now. `state` and times but life_ms are set here, as in the next two. */
CW_MUST_USE enum cw_err store_key_add_first(struct store *store, struct cw_str tenant,
                                            const struct store_key *key);
/* The key after `after`, active in ahead_ms; with `instead` it takes the place of one that is not
 * active yet. CW_CONFLICT: `after` is not the newest key any more, or waits for its turn itself and
 * shall not be replaced. CW_PRECONDITION_FAILED: there are STORE_KEYS_MAX keys. */
CW_MUST_USE enum cw_err store_key_add_next(struct store *store, struct cw_str tenant,
                                           const struct store_key *key, struct cw_str after,
                                           int64_t ahead_ms, bool instead);
/* The only key from now on, active at once: all others are deleted. */
CW_MUST_USE enum cw_err store_key_add_only(struct store *store, struct cw_str tenant,
                                           const struct store_key *key, int64_t *ret_removed);
/* Takes back a key that is not active yet. CW_NOT_FOUND. */
CW_MUST_USE enum cw_err store_key_drop_pending(struct store *store, struct cw_str tenant);
/* What has become active or retired by now is noted as such; where `remove`, retired keys go whose
 * tokens have been over for margin_ms. */
CW_MUST_USE enum cw_err store_key_advance(struct store *store, struct cw_str tenant, bool remove,
                                          int64_t margin_ms, int64_t *ret_changes);
/* From now on tokens of the tenant live up to life_ms: noted at its keys, never less than before.
 */
CW_MUST_USE enum cw_err store_key_set_life(struct store *store, struct cw_str tenant,
                                           int64_t life_ms);
/* Calls `each` per key in the order of active_at; its error ends the listing. `each` may not call
 * the store. */
CW_MUST_USE enum cw_err store_key_list(struct store *store, struct cw_str tenant,
                                       enum cw_err (*each)(void *ctx, const struct store_key *key),
                                       void *ctx);
/* The number of the newest change of any keys, 0 before the first. */
CW_MUST_USE enum cw_err store_key_version(struct store *store, uint64_t *ret_version);
/* Calls `each` per tenant whose keys were changed after `version`; it may not call the store. */
CW_MUST_USE enum cw_err
store_key_since(struct store *store, uint64_t version,
                enum cw_err (*each)(void *ctx, struct cw_str tenant, uint64_t version), void *ctx);

/* --- what is sealed --------------------------------------------------------------------- */

/* Every column with sealed values. Its rows are named by tenant and id. */
enum store_sealed_kind {
    STORE_SEALED_SIGNING_KEY = 0, /* id: kid, detail: algorithm */
    STORE_SEALED_TENANT,          /* a tenant's secrets; no id */
    STORE_SEALED_TOTP,            /* id: subject */
    STORE_SEALED_CHALLENGE,       /* id: 32 bytes */
    STORE_SEALED_IDP_SESSION,     /* id: of the session */
    STORE_SEALED_SECRET,          /* of cw-authsvc itself; its name stands for the tenant; no id */
    STORE_SEALED_KINDS
};

enum { STORE_SEALER_SIZE = 8 }; /* bytes of a sealed value that name the key which sealed it */

struct store_sealed {
    struct cw_str tenant, id, detail, sealed;
};

/* The next sealer after `after` (NULL: the first) that values of the kind name, in the order of
 * bytes. `after` and ret_sealer may be the same. */
CW_MUST_USE enum cw_err store_sealed_next(struct store *store, enum store_sealed_kind kind,
                                          const uint8_t *after,
                                          uint8_t ret_sealer[STORE_SEALER_SIZE], bool *ret_found);
/* Calls `each` per sealer with the number of its values. Reads all rows, or an index of them. */
CW_MUST_USE enum cw_err store_sealed_count(
    struct store *store, enum store_sealed_kind kind,
    enum cw_err (*each)(void *ctx, const uint8_t sealer[STORE_SEALER_SIZE], int64_t values),
    void *ctx);

/* The keys that have ever been used to seal: ids that a value names and that are not among them are
 * damage. `each` may not call the store. */
CW_MUST_USE enum cw_err
store_sealer_list(struct store *store,
                  enum cw_err (*each)(void *ctx, const uint8_t sealer[STORE_SEALER_SIZE]),
                  void *ctx);
/* Adds one, unless it is there. */
CW_MUST_USE enum cw_err store_sealer_add(struct store *store,
                                         const uint8_t sealer[STORE_SEALER_SIZE]);

struct store_resealed {
    bool more;          /* there may be some behind these */
    int64_t changed;    /* how many */
    int64_t failed;     /* how many could not be opened */
    struct cw_buf last; /* tenant NUL id of the last one; the caller's */
};

/* Has up to `max` values of the kind and the sealer, those behind tenant and id, sealed anew by
 * `reseal` (CW_NOT_FOUND: it cannot be opened), in one transaction. One that another transaction
 * has in hand is passed over. `reseal` may not call the store, and may be called for a row again.
 */
CW_MUST_USE enum cw_err store_reseal(
    struct store *store, enum store_sealed_kind kind, const uint8_t sealer[STORE_SEALER_SIZE],
    struct cw_str tenant, struct cw_str id, size_t max,
    enum cw_err (*reseal)(void *ctx, const struct store_sealed *value, struct cw_buf *ret_sealed),
    void *ctx, struct store_resealed *ret_resealed);

/* A secret of cw-authsvc itself, appended. CW_NOT_FOUND. */
CW_MUST_USE enum cw_err store_secret_get(struct store *store, struct cw_str name,
                                         struct cw_buf *ret_sealed);
/* Adds one, unless it is there: then that one stays. */
CW_MUST_USE enum cw_err store_secret_add(struct store *store, struct cw_str name,
                                         struct cw_str sealed);

/* --- second factors --------------------------------------------------------------------- */

/* A login whose password was right and whose second factor is awaited. */
struct store_challenge {
    uint8_t id[STORE_HASH_SIZE]; /* SHA-256 of the mfa_token */
    struct cw_str kind;          /* of login */
    struct cw_str subject;       /* may be empty: the identity provider has not told it yet */
    struct cw_str username;
    struct cw_str client_id;
    struct cw_str scope; /* granted, space-separated */
    struct cw_str methods;
    struct cw_str sealed; /* what the kind of login keeps */
    int64_t expires_at;
    int64_t password_changed_at; /* to add one; as in struct store_session */
};

enum store_challenge_use {
    STORE_CHALLENGE_ATTEMPT = 0,
    STORE_CHALLENGE_SEND,
    STORE_CHALLENGE_LOOK
};

/* Errors as store_session_start. */
CW_MUST_USE enum cw_err store_challenge_add(struct store *store, struct cw_str tenant,
                                            const struct store_challenge *challenge);
/* Counts one use (none for LOOK) and reads the row; strings are put into the arena. CW_NOT_FOUND:
 * there is none, it has expired, or it was used so `max` times already. */
CW_MUST_USE enum cw_err store_challenge_take(struct store *store, struct cw_str tenant,
                                             const uint8_t *id, enum store_challenge_use use,
                                             int64_t max, struct cw_arena *arena,
                                             struct store_challenge *ret_challenge);
/* Uses it up. CW_NOT_FOUND: somebody else has. */
CW_MUST_USE enum cw_err store_challenge_claim(struct store *store, struct cw_str tenant,
                                              const uint8_t *id);

struct store_totp {
    struct cw_str sealed; /* the secret */
    int64_t created_at;
    bool confirmed;
    int64_t last_step; /* the newest time step that was used */
};

/* Keeps a new secret, not yet in use, in place of another such one. CW_CONFLICT: one is in use. */
CW_MUST_USE enum cw_err store_totp_start(struct store *store, struct cw_str tenant,
                                         struct cw_str subject, struct cw_str sealed);
/* The string is put into the arena. CW_NOT_FOUND: the user has none. */
CW_MUST_USE enum cw_err store_totp_get(struct store *store, struct cw_str tenant,
                                       struct cw_str subject, struct cw_arena *arena,
                                       struct store_totp *ret_totp);
/* Counts an attempt at a code, before it is looked at. CW_CONFLICT: `max` of them were wrong in a
 * row; store_totp_use, store_recovery_use and a new secret begin anew. */
CW_MUST_USE enum cw_err store_totp_attempt(struct store *store, struct cw_str tenant,
                                           struct cw_str subject, int64_t max);
/* Takes the time step of a secret in use. CW_CONFLICT: it or a later one was used, or the secret is
 * another by now. */
CW_MUST_USE enum cw_err store_totp_use(struct store *store, struct cw_str tenant,
                                       struct cw_str subject, struct cw_str sealed, int64_t step);
/* The secret comes into use, with recovery codes in place of earlier ones. CW_CONFLICT as above. */
CW_MUST_USE enum cw_err store_totp_confirm(struct store *store, struct cw_str tenant,
                                           struct cw_str subject, struct cw_str sealed,
                                           int64_t step,
                                           const uint8_t (*code_hashes)[STORE_HASH_SIZE], size_t n);
/* Secret and recovery codes go. CW_NOT_FOUND: there was no secret. */
CW_MUST_USE enum cw_err store_mfa_remove(struct store *store, struct cw_str tenant,
                                         struct cw_str subject);
CW_MUST_USE enum cw_err store_recovery_replace(struct store *store, struct cw_str tenant,
                                               struct cw_str subject,
                                               const uint8_t (*code_hashes)[STORE_HASH_SIZE],
                                               size_t n);
/* Uses up a code. CW_NOT_FOUND: there is no such one. */
CW_MUST_USE enum cw_err store_recovery_use(struct store *store, struct cw_str tenant,
                                           struct cw_str subject, const uint8_t *code_hash);
CW_MUST_USE enum cw_err store_recovery_count(struct store *store, struct cw_str tenant,
                                             struct cw_str subject, int64_t *ret_count);

/* --- throttle --------------------------------------------------------------------------- */

/* One leaking bucket. */
struct store_bucket {
    const char *dimension;
    uint8_t key[STORE_HASH_SIZE];
    int64_t burst;           /* attempts that fit */
    int64_t leak_per_minute; /* attempts that leak out in a minute */
};

/* Adds one attempt to every bucket, or to none: CW_THROTTLED when one is full, with the time in
 * milliseconds until it has room. */
CW_MUST_USE enum cw_err store_throttle_take(struct store *store, struct cw_str tenant,
                                            const struct store_bucket *buckets, size_t n,
                                            int64_t *ret_wait_ms);
/* Takes the attempt out of the buckets again; after a good one the first is emptied. */
CW_MUST_USE enum cw_err store_throttle_give(struct store *store, struct cw_str tenant,
                                            const struct store_bucket *buckets, size_t n,
                                            bool good);

/* --- housekeeping ----------------------------------------------------------------------- */

/* Deletes sessions that ended by time before `before`, and throttle counters not touched since. */
CW_MUST_USE enum cw_err store_purge(struct store *store, int64_t before);

#endif
