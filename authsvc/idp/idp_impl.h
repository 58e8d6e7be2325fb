/* What the files of this folder share. */
#ifndef AUTHSVC_IDP_IDP_IMPL_H
#define AUTHSVC_IDP_IDP_IMPL_H

#include <pthread.h>

#include "authsvc/idp/errors.h"
#include "authsvc/idp/gate.h"
#include "authsvc/idp/idp.h"
#include "authsvc/idp/metadata.h"
#include "common/http/client.h"
#include "common/keys/key_store.h"

enum {
    IDP_ANSWER_MAX = 256 * 1024, /* bytes of one answer */
    IDP_FORM_MAX = 64 * 1024,
    IDP_TOKEN_MAX = 32 * 1024, /* bytes of one token */
    IDP_CODE_SIZE = 48,        /* of a provider's error code in the log */
};

/* One provider of one tenant. What a call needs beyond it comes with the tenant. */
struct upstream {
    struct idp *idp;
    unsigned refs; /* idp's lock */
    char *tenant;
    char *issuer;
    char *discovery_uri; /* complete */
    char *ca_file;       /* "": the system's */
    bool plain_loopback;
    struct cw_key_source *keys;
    struct gate gate;

    pthread_mutex_t lock; /* all below; after idp's */
    int64_t connect_ms;
    int64_t total_ms;
    int64_t refresh_ms;
    pthread_cond_t changed;    /* a look at the metadata has ended */
    struct metadata *metadata; /* NULL: never read */
    bool fetching;
    int64_t due_ms; /* monotonic */
    unsigned failures;
    char why[METADATA_WHY_SIZE];
};

struct idp {
    struct idp_options options;
    struct cw_http_client *http;
    struct cw_key_store *keys;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t wake;
    struct upstream **upstreams; /* one a tenant, sorted by its name */
    size_t n_upstreams;
    size_t room;
    unsigned fetching; /* metadata */
    pthread_t thread;
    bool started;
    bool stopping;
};

/* The provider of this tenant, made where it is new. One reference to the caller; NULL without
 * memory. */
struct upstream *upstream_get(struct idp *idp, const struct tenant *tenant);
void upstream_unref(struct upstream *upstream);
/* With idp's lock held: where the tenant's is, or belongs. */
size_t upstream_place(const struct idp *idp, struct cw_str tenant, bool *ret_found);
/* Its metadata; waits for the first look, at most as long as a call may take. One reference;
 * CW_IDP_UNAVAILABLE, CW_IDP_MISCONFIGURED. */
CW_MUST_USE enum cw_err upstream_metadata(struct upstream *upstream, struct metadata **ret);
/* Starts what is due; milliseconds until it wants to be called again. */
int64_t upstream_tick(struct idp *idp);

/* `set` (NULL: there is none) has no key `kid` (empty: any): waits a few seconds for a newer one.
 * CW_OK: look again. Else CW_KEY_UNKNOWN, CW_KEYS_UNAVAILABLE. */
CW_MUST_USE enum cw_err idp_wait_for_key(struct idp *idp, struct cw_key_source *keys,
                                         const struct cw_jwks *set, struct cw_str kid);

void idp_tell(struct idp *idp, const struct idp_event *event);
static inline int64_t idp_now_ms(const struct idp *idp)
{
    return cw_clock_monotonic_ms(idp->options.clock);
}

/* --- bodies and our proof --------------------------------------------------------------- */

/* What is sent: application/x-www-form-urlencoded, or one JSON object. */
struct idp_body {
    struct cw_buf text;
    bool json;
};

#define IDP_BODY_INIT                                                                              \
    {                                                                                              \
        .text = CW_BUF_INIT(IDP_FORM_MAX)                                                          \
    }

void idp_body_add(struct idp_body *body, const char *name, struct cw_str value);
/* Wipes and frees. */
void idp_body_done(struct idp_body *body);
void idp_form_done(struct cw_buf *text);
/* Adds our client's proof to the body, or (client_secret_basic) an Authorization header to
 * `ret_header`, else left empty. CW_IDP_MISCONFIGURED: the private key cannot sign. */
CW_MUST_USE enum cw_err idp_client_auth(const struct idp *idp, const struct tenant *tenant,
                                        struct idp_body *body, struct cw_buf *ret_header);

/* --- one call --------------------------------------------------------------------------- */

struct idp_call {
    struct idp *idp;
    const struct tenant *tenant;
    const char *operation;
    enum idp_step step;
    struct upstream *upstream;
    struct metadata *metadata;
    struct cw_buf body; /* of the answer */
    int status;
    struct idp_refusal *refusal;
};

/* Finds the provider and its metadata. idp_call_done after any outcome. */
CW_MUST_USE enum cw_err idp_call_open(struct idp_call *call);
void idp_call_done(struct idp_call *call);
/* Sends a body with our client's proof to `url` and waits. CW_OK: an answer of status 200 is in
 * `body`. Else what the provider's refusal means, or that it gave none; both are told. */
CW_MUST_USE enum cw_err idp_call_body(struct idp_call *call, const char *url, struct idp_body *body,
                                      struct cw_str address);
/* Error code and description of the last answer that was a refusal; borrowed from *ret_body, which
 * the caller frees (json_decref). Empty where the body has none. */
struct idp_refused idp_call_refused(const struct idp_call *call, json_t **ret_body);
/* GET with a bearer. */
CW_MUST_USE enum cw_err idp_call_bearer(struct idp_call *call, const char *url,
                                        struct cw_str token);
/* The answer is none after all: counts against the provider and is told. Returns
 * CW_IDP_UNAVAILABLE. */
enum cw_err idp_call_bad_answer(struct idp_call *call, const char *why);

/* --- tokens ----------------------------------------------------------------------------- */

/* Reads a token answer (RFC 6749 §5.1), verifies the ID token and compares the subject where one is
 * given. An ID token is demanded unless `subject` is (a refresh may bring none). */
CW_MUST_USE enum cw_err idp_read_tokens(struct idp_call *call, struct cw_str subject,
                                        struct idp_tokens *ret_tokens);

#endif
