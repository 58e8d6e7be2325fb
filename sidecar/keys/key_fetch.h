/* One fetch of an issuer's key set: what is asked in which order, and what of the answers counts.
 * The way to the network is an argument. */
#ifndef SIDECAR_KEYS_KEY_FETCH_H
#define SIDECAR_KEYS_KEY_FETCH_H

#include "common/base/str.h"

enum {
    KEY_FETCH_WHY_SIZE = 160,
    KEY_FETCH_URL_MAX = 2048,
    KEY_FETCH_AGE_MIN = 60,      /* seconds: below, a server's Cache-Control counts as this */
    KEY_FETCH_AGE_MAX = 3600,    /* above, too */
    KEY_FETCH_AGE_DEFAULT = 600, /* without one */
};

/* What the network says of one GET; borrowed for the call. */
struct key_reply {
    enum cw_err err; /* CW_OK: an answer came */
    int status;
    struct cw_str body;
    const char *cache_control; /* "" for none */
    const char *detail;        /* for people, when err is set */
};

typedef void key_replied(void *arg, const struct key_reply *reply);

struct key_fetch_spec;

/* The network. */
struct key_getter {
    /* Calls `replied` exactly once, from any thread, also before it returns. Redirects are not
     * followed; the body is bounded to CW_JWKS_TEXT_MAX. */
    void (*get)(void *ctx, const char *url, const struct key_fetch_spec *spec, key_replied *replied,
                void *arg);
    void *ctx;
};

enum key_kind {
    KEY_INLINE,    /* the set came with the tenant */
    KEY_FILE,      /* a file of this host */
    KEY_URI,       /* a configured address */
    KEY_DISCOVERY, /* OpenID Connect Discovery 1.0 §4 from the issuer */
};

struct key_fetch_spec {
    enum key_kind kind;
    const char *issuer;
    const char *location; /* URL, path; "" for discovery */
    const char *ca_file;  /* PEM; "": the system's authorities */
    bool plain_loopback;  /* http is fine where the host is loopback */
};

/* The end of a fetch. `text` is the set as it came; the caller parses it. Borrowed. */
struct key_fetched {
    enum cw_err err; /* CW_OK or CW_KEYS_UNAVAILABLE */
    struct cw_str text;
    int64_t max_age; /* seconds, clamped */
    const char *why; /* for people, "" when good */
};

typedef void key_fetch_done(void *arg, const struct key_fetched *fetched);

/* Begins; `done` is called exactly once, from any thread, also before this returns. Borrows `spec`
 * and `getter` until then. */
void key_fetch_start(const struct key_fetch_spec *spec, const struct key_getter *getter,
                     key_fetch_done *done, void *arg);

/* `max-age` of RFC 9111 §5.2.2.1, clamped; no-store and no-cache read as the least. */
int64_t key_fetch_max_age(const char *cache_control);

/* An address that keys may come from: https, or http on loopback where that is allowed. */
bool key_fetch_url_ok(struct cw_str url, bool plain_loopback);

#endif
