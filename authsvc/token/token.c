/* Writes the claims as JSON and has them signed. */
#include "authsvc/token/token.h"

#include <sodium.h>

#include "common/crypto/sha256.h"

enum {
    CLAIMS_MAX = 14 * 1024, /* the sidecar takes tokens of up to 16 KiB */
    CLAIMS_USUAL = 1024,    /* bytes; more is no error */
};

bool token_scope_has(struct cw_str scope, const char *word)
{
    struct cw_str found;
    while (cw_str_word(&scope, ' ', &found)) {
        if (cw_str_is(found, word)) {
            return true;
        }
    }
    return false;
}

/* `name` is one of ours: nothing in it needs an escape. */
static void name_of(struct cw_buf *json, const char *name)
{
    cw_buf_add_cstr(json, json->n > 1 ? ",\"" : "\"");
    cw_buf_add_cstr(json, name);
    cw_buf_add_cstr(json, "\":");
}

static void member(struct cw_buf *json, const char *name, struct cw_str value)
{
    name_of(json, name);
    cw_buf_add_json(json, value);
}

static void number(struct cw_buf *json, const char *name, int64_t value)
{
    name_of(json, name);
    cw_buf_add_int(json, value);
}

static void raw(struct cw_buf *json, const char *name, struct cw_str value)
{
    name_of(json, name);
    cw_buf_add_str(json, value);
}

static void list(struct cw_buf *json, struct cw_str name, const char *usual, struct cw_str value)
{
    cw_buf_add_char(json, ',');
    cw_buf_add_json(json, name.n > 0 ? name : cw_str(usual));
    cw_buf_add_char(json, ':');
    cw_buf_add_str(json, value);
}

static void grants(struct cw_buf *json, const struct token_facts *facts)
{
    list(json, facts->names.roles, "roles", facts->roles);
    list(json, facts->names.permissions, "permissions", facts->permissions);
    if (facts->names.groups.n > 0) {
        list(json, facts->names.groups, "", facts->groups);
    }
}

/* One audience stands as a string, several as an array (RFC 7519 §4.1.3). */
static void audience(struct cw_buf *json, const struct token_facts *facts)
{
    if (facts->n_audiences == 1) {
        member(json, "aud", facts->audiences[0]);
        return;
    }
    cw_buf_add_cstr(json, ",\"aud\":[");
    for (size_t i = 0; i < facts->n_audiences; i++) {
        cw_buf_add_cstr(json, i > 0 ? "," : "");
        cw_buf_add_json(json, facts->audiences[i]);
    }
    cw_buf_add_char(json, ']');
}

static enum cw_err signed_claims(struct cw_buf *json, const struct mint_key *key, const char *typ,
                                 char **ret_token)
{
    cw_buf_add_char(json, '}');
    TRY(cw_buf_check(json));
    return mint_sign(key, typ, cw_buf_str(json), ret_token);
}

enum cw_err token_access(const struct mint_key *key, const struct token_facts *facts,
                         char **ret_token)
{
    uint8_t random[16]; /* 128 bits: never the same jti twice */
    char jti[32];
    randombytes_buf(random, sizeof(random));
    sodium_bin2base64(jti, sizeof(jti), random, sizeof(random),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);

    CW_CLEANUP(cw_buf_done) struct cw_buf json = CW_BUF_INIT(CLAIMS_MAX);
    cw_buf_reserve(&json, CLAIMS_USUAL);
    cw_buf_add_char(&json, '{');
    member(&json, "iss", facts->issuer);
    member(&json, "sub", facts->subject);
    audience(&json, facts);
    number(&json, "iat", facts->now);
    number(&json, "exp", facts->now + facts->access_life);
    member(&json, "jti", cw_str(jti));
    member(&json, "client_id", facts->client_id);
    member(&json, "scope", facts->scope);
    member(&json, "tenant", facts->tenant);
    member(&json, "sid", facts->session_id);
    grants(&json, facts);
    return signed_claims(&json, key, "at+jwt", ret_token);
}

/* OpenID Connect Core §3.1.3.6: the left half of the hash that the signature uses, base64url. */
static enum cw_err at_hash(const char *access_token, char ret_hash[32])
{
    uint8_t digest[CW_SHA256_SIZE];
    TRY(cw_sha256(cw_str(access_token), digest));
    sodium_bin2base64(ret_hash, 32, digest, sizeof(digest) / 2,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return CW_OK;
}

void token_user_claims(struct cw_buf *json, const struct token_facts *facts)
{
    member(json, "tenant", facts->tenant);
    grants(json, facts);
    if (token_scope_has(facts->scope, "profile")) {
        member(json, "preferred_username", facts->username);
        if (facts->name.n > 0) {
            member(json, "name", facts->name);
        }
    }
    if (token_scope_has(facts->scope, "email") && facts->email.n > 0) {
        member(json, "email", facts->email);
        raw(json, "email_verified", facts->email_verified ? CW_STR("true") : CW_STR("false"));
    }
}

enum cw_err token_id(const struct mint_key *key, const struct token_facts *facts,
                     const char *access_token, char **ret_token)
{
    char hash[32];
    TRY(at_hash(access_token, hash));
    CW_CLEANUP(cw_buf_done) struct cw_buf json = CW_BUF_INIT(CLAIMS_MAX);
    cw_buf_reserve(&json, CLAIMS_USUAL);
    cw_buf_add_char(&json, '{');
    member(&json, "iss", facts->issuer);
    member(&json, "sub", facts->subject);
    member(&json, "aud", facts->client_id);
    number(&json, "iat", facts->now);
    number(&json, "exp", facts->now + facts->id_life);
    number(&json, "auth_time", facts->auth_time);
    member(&json, "at_hash", cw_str(hash));
    member(&json, "sid", facts->session_id);
    raw(&json, "amr", facts->amr.n > 0 ? facts->amr : CW_STR("[\"pwd\"]"));
    token_user_claims(&json, facts);
    return signed_claims(&json, key, "JWT", ret_token);
}
