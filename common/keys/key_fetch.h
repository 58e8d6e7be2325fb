/* One fetch of an issuer's key set: what is asked in which order, and what of the answers counts.
 * The way to the network is an argument. */
#ifndef CW_KEYS_KEY_FETCH_H
#define CW_KEYS_KEY_FETCH_H

#include "common/base/str.h"

enum {
    CW_KEY_FETCH_WHY_SIZE = 160,
    CW_KEY_FETCH_URL_MAX = 2048,
    CW_KEY_FETCH_AGE_MIN = 60,      /* seconds: below, a server's Cache-Control counts as this */
    CW_KEY_FETCH_AGE_MAX = 3600,    /* above, too */
    CW_KEY_FETCH_AGE_DEFAULT = 600, /* without one */
};

/* What the network says of one GET; borrowed for the call. */
struct cw_key_reply {
    enum cw_err err; /* CW_OK: an answer came */
    int status;
    struct cw_str body;
    const char *cache_control; /* "" for none */
    const char *detail;        /* for people, when err is set */
};

typedef void cw_key_replied(void *arg, const struct cw_key_reply *reply);

struct cw_key_fetch_spec;

/* The network. */
struct cw_key_getter {
    /* Calls `replied` exactly once, from any thread, also before it returns. Redirects are not
     * followed; the body is bounded to CW_JWKS_TEXT_MAX. */
    void (*get)(void *ctx, const char *url, const struct cw_key_fetch_spec *spec,
                cw_key_replied *replied, void *arg);
    void *ctx;
};

enum cw_key_kind {
    CW_KEY_INLINE,    /* the set came with the tenant */
    CW_KEY_FILE,      /* a file of this host */
    CW_KEY_URI,       /* a configured address */
    CW_KEY_DISCOVERY, /* OpenID Connect Discovery 1.0 §4 from the issuer */
};

struct cw_key_fetch_spec {
    enum cw_key_kind kind;
    const char *issuer;
    const char *location; /* URL, path; "" for discovery */
    const char *ca_file;  /* PEM; "": the system's authorities */
    bool plain_loopback;  /* http is fine where the host is loopback */
};

/* The end of a fetch. `text` is the set as it came; the caller parses it. Borrowed. */
struct cw_key_fetched {
    enum cw_err err; /* CW_OK or CW_KEYS_UNAVAILABLE */
    struct cw_str text;
    int64_t max_age; /* seconds, clamped */
    const char *why; /* for people, "" when good */
};

typedef void cw_key_fetch_done(void *arg, const struct cw_key_fetched *fetched);

/* Begins; `done` is called exactly once, from any thread, also before this returns. Borrows `spec`
 * and `getter` until then. */
void cw_key_fetch_start(const struct cw_key_fetch_spec *spec, const struct cw_key_getter *getter,
                        cw_key_fetch_done *done, void *arg);

/* `max-age` of RFC 9111 §5.2.2.1, clamped; no-store and no-cache read as the least. */
int64_t cw_key_fetch_max_age(const char *cache_control);

/* An address that keys may come from: https, or http on loopback where that is allowed. */
bool cw_key_fetch_url_ok(struct cw_str url, bool plain_loopback);

#endif
