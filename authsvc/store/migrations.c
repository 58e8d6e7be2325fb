/* The schema, as a list of steps that are never changed once released; each runs in a transaction
 * of its own and is noted in schema_migration. One text for SQLite and PostgreSQL. */
#include "authsvc/store/db.h"

struct migration {
    int64_t version;
    const char *name;
    const char *sql;
};

static const char create_migration_table[] =
    "CREATE TABLE IF NOT EXISTS schema_migration ("
    " version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/* Times are Unix milliseconds; every key begins with the tenant. */
static const struct migration migrations[] = {
    {1, "tenants, users, sessions, refresh families, signing keys, throttle",
     "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);"

     "CREATE TABLE tenant (name TEXT PRIMARY KEY, created_at BIGINT NOT NULL);"

     "CREATE TABLE app_user ("
     " tenant TEXT NOT NULL REFERENCES tenant (name),"
     " subject TEXT NOT NULL,"
     " username TEXT NOT NULL," /* normalised */
     " password_hash TEXT NOT NULL,"
     " password_changed_at BIGINT NOT NULL,"
     " disabled_at BIGINT," /* NULL: enabled */
     " name TEXT NOT NULL,"
     " email TEXT NOT NULL,"
     " email_verified BIGINT NOT NULL,"
     " roles TEXT NOT NULL,"       /* JSON array of strings */
     " permissions TEXT NOT NULL," /* JSON array of strings */
     " created_at BIGINT NOT NULL,"
     " updated_at BIGINT NOT NULL,"
     " PRIMARY KEY (tenant, subject),"
     " UNIQUE (tenant, username));"

     "CREATE TABLE session ("
     " tenant TEXT NOT NULL,"
     " id TEXT NOT NULL,"
     " subject TEXT NOT NULL,"
     " client_id TEXT NOT NULL,"
     " scope TEXT NOT NULL,"
     " device TEXT NOT NULL,"
     " address TEXT NOT NULL,"
     " started_at BIGINT NOT NULL," /* auth_time */
     " used_at BIGINT NOT NULL,"
     " expires_at BIGINT NOT NULL,"
     " ended_at BIGINT,"
     " end_reason TEXT,"
     " PRIMARY KEY (tenant, id),"
     " FOREIGN KEY (tenant, subject) REFERENCES app_user (tenant, subject) ON DELETE CASCADE);"
     "CREATE INDEX session_subject ON session (tenant, subject, started_at);"
     "CREATE INDEX session_expiry ON session (expires_at);"

     "CREATE TABLE refresh_family ("
     " tenant TEXT NOT NULL,"
     " id BYTEA NOT NULL,"
     " session_id TEXT NOT NULL,"
     " generation BIGINT NOT NULL,"
     " current_hash BYTEA NOT NULL," /* SHA-256 of the token that is good now */
     " previous_hash BYTEA,"         /* of the one before, for the grace window */
     " rotated_at BIGINT NOT NULL,"
     " idle_expires_at BIGINT NOT NULL,"
     " expires_at BIGINT NOT NULL,"
     " PRIMARY KEY (tenant, id),"
     " FOREIGN KEY (tenant, session_id) REFERENCES session (tenant, id) ON DELETE CASCADE);"
     "CREATE INDEX refresh_family_session ON refresh_family (tenant, session_id);"

     "CREATE TABLE signing_key ("
     " tenant TEXT NOT NULL REFERENCES tenant (name),"
     " kid TEXT NOT NULL,"
     " algorithm TEXT NOT NULL,"
     " state TEXT NOT NULL," /* pending, active, retired */
     " public_jwk TEXT NOT NULL,"
     " sealed BYTEA NOT NULL,"
     " created_at BIGINT NOT NULL,"
     " changed_at BIGINT NOT NULL,"
     " PRIMARY KEY (tenant, kid));"

     "CREATE TABLE throttle ("
     " tenant TEXT NOT NULL,"
     " dimension TEXT NOT NULL,"
     " key BYTEA NOT NULL,"
     " level BIGINT NOT NULL," /* thousandths of an attempt, leaking over time */
     " updated_at BIGINT NOT NULL,"
     " PRIMARY KEY (tenant, dimension, key));"
     "CREATE INDEX throttle_age ON throttle (updated_at);"},
    {2, "revocations",
     /* One row counts: numbers rise in the order of commits. */
     "CREATE TABLE counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL);"
     "INSERT INTO counter (name, value) VALUES ('revocation', 0);"

     "CREATE TABLE revocation ("
     " number BIGINT PRIMARY KEY,"
     " tenant TEXT NOT NULL REFERENCES tenant (name),"
     " kind TEXT NOT NULL," /* session */
     " value TEXT NOT NULL,"
     " issued_until BIGINT NOT NULL,"
     " expires_at BIGINT NOT NULL);"
     "CREATE INDEX revocation_expiry ON revocation (expires_at);"},
    {3, "tenants that are added at run time",
     "INSERT INTO counter (name, value) VALUES ('tenant', 0);"

     "CREATE TABLE tenant_config ("
     " tenant TEXT PRIMARY KEY REFERENCES tenant (name),"
     " version BIGINT NOT NULL," /* of the counter at the last change */
     " issuer TEXT NOT NULL UNIQUE,"
     " document TEXT NOT NULL," /* JSON: its settings */
     " secrets BYTEA,"          /* sealed JSON, NULL: none */
     " disabled_at BIGINT,"
     " created_at BIGINT NOT NULL,"
     " updated_at BIGINT NOT NULL);"

     "CREATE TABLE tenant_domain ("
     " domain TEXT PRIMARY KEY," /* normalised */
     " tenant TEXT NOT NULL REFERENCES tenant_config (tenant));"
     "CREATE INDEX tenant_domain_tenant ON tenant_domain (tenant);"},
    {4, "second factors",
     /* How the user has proved who it is (RFC 8176), as a JSON array. */
     "ALTER TABLE session ADD COLUMN amr TEXT NOT NULL DEFAULT '[\"pwd\"]';"

     "CREATE TABLE mfa_challenge ("
     " tenant TEXT NOT NULL REFERENCES tenant (name),"
     " id BYTEA NOT NULL," /* SHA-256 of the mfa_token */
     " kind TEXT NOT NULL,"
     " subject TEXT NOT NULL,"
     " username TEXT NOT NULL,"
     " client_id TEXT NOT NULL,"
     " scope TEXT NOT NULL,"
     " methods TEXT NOT NULL,"
     " sealed BYTEA NOT NULL," /* what the kind of login keeps */
     " attempts BIGINT NOT NULL,"
     " challenges BIGINT NOT NULL,"
     " expires_at BIGINT NOT NULL,"
     " PRIMARY KEY (tenant, id));"
     "CREATE INDEX mfa_challenge_expiry ON mfa_challenge (expires_at);"

     "CREATE TABLE user_totp ("
     " tenant TEXT NOT NULL,"
     " subject TEXT NOT NULL,"
     " sealed BYTEA NOT NULL,"
     " created_at BIGINT NOT NULL,"
     " confirmed_at BIGINT,"       /* NULL: not yet in use */
     " last_step BIGINT NOT NULL," /* the newest time step that was used */
     " PRIMARY KEY (tenant, subject),"
     " FOREIGN KEY (tenant, subject) REFERENCES app_user (tenant, subject) ON DELETE CASCADE);"

     "CREATE TABLE user_recovery_code ("
     " tenant TEXT NOT NULL,"
     " subject TEXT NOT NULL,"
     " hash BYTEA NOT NULL,"
     " PRIMARY KEY (tenant, subject, hash),"
     " FOREIGN KEY (tenant, subject) REFERENCES app_user (tenant, subject) ON DELETE CASCADE);"},
    {5, "sessions of identity providers",
     "CREATE TABLE idp_session ("
     " tenant TEXT NOT NULL,"
     " session_id TEXT NOT NULL,"
     " generation BIGINT NOT NULL,"    /* as of the session's refresh family */
     " claimed_until BIGINT NOT NULL," /* somebody refreshes at the provider; 0: nobody */
     " sealed BYTEA NOT NULL,"         /* the provider's tokens */
     " PRIMARY KEY (tenant, session_id),"
     " FOREIGN KEY (tenant, session_id) REFERENCES session (tenant, id) ON DELETE CASCADE);"

     "CREATE TABLE idp_token ("
     " tenant TEXT NOT NULL,"
     " name TEXT NOT NULL," /* jti, or a digest */
     " session_id TEXT NOT NULL,"
     " expires_at BIGINT NOT NULL,"
     /* Two logins in one second may get the very same token, byte for byte. */
     " PRIMARY KEY (tenant, name, session_id),"
     " FOREIGN KEY (tenant, session_id) REFERENCES session (tenant, id) ON DELETE CASCADE);"
     "CREATE INDEX idp_token_session ON idp_token (tenant, session_id);"
     "CREATE INDEX idp_token_expiry ON idp_token (expires_at);"},
    {6, "passwords that expire, one-time codes to reset them",
     "ALTER TABLE app_user ADD COLUMN password_expired_at BIGINT;" /* NULL: not expired */

     "CREATE TABLE password_reset ("
     " tenant TEXT NOT NULL,"
     " subject TEXT NOT NULL,"
     " hash BYTEA NOT NULL," /* SHA-256 of the code */
     " created_at BIGINT NOT NULL,"
     " expires_at BIGINT NOT NULL,"
     " PRIMARY KEY (tenant, subject)," /* a new code replaces the one before */
     " UNIQUE (tenant, hash),"
     " FOREIGN KEY (tenant, subject) REFERENCES app_user (tenant, subject) ON DELETE CASCADE);"
     "CREATE INDEX password_reset_expiry ON password_reset (expires_at);"},
    {7, "groups",
     "CREATE TABLE app_group ("
     " tenant TEXT NOT NULL REFERENCES tenant (name),"
     " name TEXT NOT NULL,"
     " description TEXT NOT NULL,"
     " roles TEXT NOT NULL,"       /* JSON array of strings */
     " permissions TEXT NOT NULL," /* JSON array of strings */
     " created_at BIGINT NOT NULL,"
     " updated_at BIGINT NOT NULL,"
     " PRIMARY KEY (tenant, name));"

     "CREATE TABLE app_group_member ("
     " tenant TEXT NOT NULL,"
     " group_name TEXT NOT NULL,"
     " subject TEXT NOT NULL,"
     " PRIMARY KEY (tenant, group_name, subject),"
     " FOREIGN KEY (tenant, group_name) REFERENCES app_group (tenant, name) ON DELETE CASCADE,"
     " FOREIGN KEY (tenant, subject) REFERENCES app_user (tenant, subject) ON DELETE CASCADE);"
     "CREATE INDEX app_group_member_subject ON app_group_member (tenant, subject);"},
    {8, "signing keys that are replaced",
     /* States follow from active_at; the column is kept for older versions of the program. */
     "ALTER TABLE signing_key ADD COLUMN active_at BIGINT NOT NULL DEFAULT 0;"
     "UPDATE signing_key SET active_at = created_at;"
     /* The longest that a token of it may live: the bound of the configuration, where not known. */
     "ALTER TABLE signing_key ADD COLUMN life_ms BIGINT NOT NULL DEFAULT 86400000;"

     "ALTER TABLE tenant ADD COLUMN keys_version BIGINT NOT NULL DEFAULT 0;" /* of the counter */
     "INSERT INTO counter (name, value) VALUES ('key', 0);"},
    {9, "one-time codes that were wrong in a row",
     "ALTER TABLE user_totp ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;"},
    {10, "sealed values by their key-encryption key",
     "CREATE TABLE app_secret ("
     " name TEXT PRIMARY KEY, sealed BYTEA NOT NULL, created_at BIGINT NOT NULL);"
     "CREATE INDEX signing_key_sealer ON signing_key ((substr(sealed, 2, 8)), tenant, kid);"
     "CREATE INDEX user_totp_sealer ON user_totp ((substr(sealed, 2, 8)), tenant, subject);"
     "CREATE INDEX idp_session_sealer ON idp_session ((substr(sealed, 2, 8)), tenant, "
     "session_id);"},
    {11, "the key-encryption keys that there were",
     "CREATE TABLE sealer (id BYTEA PRIMARY KEY);"
     /* Those that have sealed something by now; one user's value alone may be a damaged row. */
     "INSERT INTO sealer (id) SELECT substr(sealed, 2, 8) FROM signing_key"
     " UNION SELECT substr(secrets, 2, 8) FROM tenant_config WHERE secrets IS NOT NULL"
     " UNION SELECT substr(sealed, 2, 8) FROM app_secret"
     " UNION SELECT v.id FROM (SELECT substr(sealed, 2, 8) AS id FROM user_totp"
     " UNION ALL SELECT substr(sealed, 2, 8) FROM idp_session) v GROUP BY v.id HAVING COUNT(*) > "
     "1;"},
    {12, "what is found by its user",
     /* By the user first: where nothing tells one from the other, PostgreSQL takes any index that
      * begins with the tenant for as good as any other, and looks through all that the tenant has.
      */
     "CREATE INDEX app_user_subject ON app_user (subject, tenant);"
     "CREATE INDEX mfa_challenge_subject ON mfa_challenge (subject, tenant);"
     "CREATE INDEX app_group_member_user ON app_group_member (subject, tenant, group_name);"
     /* Sessions that have not ended stand together, in the order in which they started. */
     "CREATE INDEX session_live ON session (subject, tenant, ended_at, started_at, id);"
     /* Last, since this holds the tables against those who read them, and in the order in which a
      * refresh of a process that still runs the older version takes them. */
     "DROP INDEX session_subject;"
     "DROP INDEX app_group_member_subject;"},
};

static enum cw_err read_version(void *ctx, const struct db_value *columns, size_t n)
{
    if (n == 1 && columns[0].type == DB_INT) {
        *(int64_t *)ctx = columns[0].i;
    }
    return CW_OK;
}

/* In the transaction that holds the schema's lock: another process may have been faster. */
static enum cw_err version_in(struct db_tx *tx, int64_t *ret_version)
{
    TRY(db_lock(tx, DB_LOCK_SCHEMA));
    TRY(db_script(tx, create_migration_table));
    return db_run(tx, DB_MIGRATION_VERSION, NULL, 0, read_version, ret_version, NULL);
}

/* The first step that is missing, if there is one. */
static enum cw_err advance_in(struct db_tx *tx, int64_t now, int64_t *ret_version)
{
    TRY(version_in(tx, ret_version));
    for (size_t i = 0; i < CW_ARRAY_SIZE(migrations); i++) {
        const struct migration *m = &migrations[i];
        if (m->version > *ret_version) {
            const struct db_value args[] = {db_int(m->version), db_text(cw_str(m->name)),
                                            db_int(now)};
            TRY(db_script(tx, m->sql));
            TRY(db_run(tx, DB_MIGRATION_ADD, args, CW_ARRAY_SIZE(args), NULL, NULL, NULL));
            *ret_version = m->version;
            return CW_OK;
        }
    }
    return CW_OK;
}

enum cw_err db_migrate(struct db *db, int64_t now, struct cw_buf *ret_message)
{
    int64_t version = 0;
    int64_t newest = migrations[CW_ARRAY_SIZE(migrations) - 1].version;
    enum cw_err err = CW_OK;
    while (err == CW_OK && version < newest) {
        struct db_tx *tx = NULL;
        err = db_begin(db, DB_DURABLE, &tx);
        if (err == CW_OK) {
            err = db_end(tx, advance_in(tx, now, &version));
        }
    }
    if (err == CW_OK && version > newest) {
        cw_buf_addf(ret_message,
                    "the database has schema version %lld, this program knows up to %lld: it was "
                    "written by a newer cw-authsvc",
                    (long long)version, (long long)newest);
        return CW_CONFIG_INVALID;
    }
    if (err != CW_OK) {
        cw_buf_addf(ret_message, "the database's schema could not be brought to version %lld",
                    (long long)newest);
    }
    return err;
}
