/* Step 4b: an issuer's keys are fetched, from the address that the configuration names or that the
 * issuer's own discovery document names. Never on the way of a request. */
#include "common/keys/key_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/jose/jwks.h"

struct cw_key_fetch {
    const struct cw_key_fetch_spec *spec;
    const struct cw_key_getter *getter;
    cw_key_fetch_done *done;
    void *arg;
};

static void finish(struct cw_key_fetch *fetch, const struct cw_key_fetched *fetched)
{
    fetch->done(fetch->arg, fetched);
    free(fetch);
}

static void fail(struct cw_key_fetch *fetch, const char *what, const char *detail)
{
    char why[CW_KEY_FETCH_WHY_SIZE];

    snprintf(why, sizeof(why), "%s%s%s", what, detail[0] ? ": " : "", detail);
    finish(fetch, &(struct cw_key_fetched){.err = CW_KEYS_UNAVAILABLE, .why = why});
}

/* The host part of an http URL is loopback; names other than localhost are not looked up. */
static bool is_loopback(struct cw_str rest)
{
    static const struct cw_str hosts[] = {CW_STR_INIT("127.0.0.1"), CW_STR_INIT("[::1]"),
                                          CW_STR_INIT("localhost")};

    for (size_t i = 0; i < CW_ARRAY_SIZE(hosts); i++) {
        if (!cw_str_starts(rest, hosts[i])) {
            continue;
        }
        if (rest.n == hosts[i].n || strchr(":/?", rest.p[hosts[i].n])) {
            return true;
        }
    }
    return false;
}

bool cw_key_fetch_url_ok(struct cw_str url, bool plain_loopback)
{
    struct cw_str https = CW_STR("https://");
    struct cw_str http = CW_STR("http://");

    ENSURE(url.n < CW_KEY_FETCH_URL_MAX, false);
    for (size_t i = 0; i < url.n; i++) {
        ENSURE((unsigned char)url.p[i] > 0x20 && (unsigned char)url.p[i] < 0x7f, false);
    }
    if (cw_str_starts(url, https)) {
        struct cw_str rest = cw_str_slice(url, https.n, url.n);
        size_t path = cw_str_find(rest, '/');
        return path > 0 && cw_str_find(cw_str_slice(rest, 0, path), '@') == path;
    }
    return plain_loopback && cw_str_starts(url, http) &&
           is_loopback(cw_str_slice(url, http.n, url.n));
}

int64_t cw_key_fetch_max_age(const char *cache_control)
{
    struct cw_str all = cw_str(cache_control);
    struct cw_str part;
    int64_t age = CW_KEY_FETCH_AGE_DEFAULT;

    while (cw_str_word(&all, ',', &part)) {
        struct cw_str name = cw_str_trim(part);
        uint64_t seconds = 0;
        if (cw_str_eq_nocase(name, CW_STR("no-store")) ||
            cw_str_eq_nocase(name, CW_STR("no-cache"))) {
            return CW_KEY_FETCH_AGE_MIN;
        }
        if (name.n > 8 && strncasecmp(name.p, "max-age=", 8) == 0 &&
            cw_str_to_u64(cw_str_slice(name, 8, name.n), INT32_MAX, &seconds) == CW_OK) {
            age = (int64_t)seconds;
        }
    }
    return CW_MIN(CW_MAX(age, CW_KEY_FETCH_AGE_MIN), CW_KEY_FETCH_AGE_MAX);
}

/* An answer without a body that can be read is a failure, whatever its kind. */
static bool reply_ok(struct cw_key_fetch *fetch, const struct cw_key_reply *reply)
{
    char status[32];

    if (reply->err != CW_OK) {
        fail(fetch, cw_err_code(reply->err), reply->detail ? reply->detail : "");
        return false;
    }
    if (reply->status != 200) {
        snprintf(status, sizeof(status), "HTTP status %d", reply->status);
        fail(fetch, status, "");
        return false;
    }
    if (reply->body.n == 0) {
        fail(fetch, "empty answer", "");
        return false;
    }
    return true;
}

static void set_replied(void *arg, const struct cw_key_reply *reply)
{
    struct cw_key_fetch *fetch = arg;

    if (reply_ok(fetch, reply)) {
        finish(fetch,
               &(struct cw_key_fetched){.err = CW_OK,
                                        .text = reply->body,
                                        .max_age = cw_key_fetch_max_age(reply->cache_control),
                                        .why = ""});
    }
}

/* OpenID Connect Discovery 1.0 §4.3: the document's issuer is the one that was asked, exactly. */
static void discovery_replied(void *arg, const struct cw_key_reply *reply)
{
    struct cw_key_fetch *fetch = arg;
    json_t *document = NULL;
    struct cw_str issuer;
    struct cw_str uri;
    char url[CW_KEY_FETCH_URL_MAX];

    if (!reply_ok(fetch, reply)) {
        return;
    }
    if (cw_json_parse_object(reply->body, CW_KEYS_UNAVAILABLE, &document) != CW_OK) {
        fail(fetch, "discovery document is no JSON object", "");
        return;
    }
    if (!cw_json_get_str(document, "issuer", &issuer) || !cw_str_is(issuer, fetch->spec->issuer)) {
        fail(fetch, "discovery document names another issuer", "");
    } else if (!cw_json_get_str(document, "jwks_uri", &uri) ||
               !cw_key_fetch_url_ok(uri, fetch->spec->plain_loopback)) {
        fail(fetch, "discovery document has no jwks_uri that is https", "");
    } else {
        snprintf(url, sizeof(url), "%.*s", CW_STR_ARG(uri));
        fetch->getter->get(fetch->getter->ctx, url, fetch->spec, set_replied, fetch);
    }
    json_decref(document);
}

/* A link is followed: mounted secrets are links. O_NONBLOCK: nobody waits for a pipe's other end.
 */
static void read_file(struct cw_key_fetch *fetch)
{
    int fd = open(fetch->spec->location, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat seen;
    size_t n = 0;
    ssize_t got = 0;
    char *text = malloc(CW_JWKS_TEXT_MAX + 1);

    if (fd < 0 || !text) {
        fail(fetch, "cannot read file", strerror(errno));
    } else if (fstat(fd, &seen) != 0 || !S_ISREG(seen.st_mode)) {
        fail(fetch, "is no file", "");
    } else {
        while (n <= CW_JWKS_TEXT_MAX && (got = read(fd, text + n, CW_JWKS_TEXT_MAX + 1 - n)) > 0) {
            n += (size_t)got;
        }
        if (got < 0 || n > CW_JWKS_TEXT_MAX) {
            fail(fetch, got < 0 ? "cannot read file" : "file is too large", "");
        } else {
            finish(fetch, &(struct cw_key_fetched){
                              .text = {text, n}, .max_age = CW_KEY_FETCH_AGE_MIN, .why = ""});
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    free(text);
}

void cw_key_fetch_start(const struct cw_key_fetch_spec *spec, const struct cw_key_getter *getter,
                        cw_key_fetch_done *done, void *arg)
{
    struct cw_key_fetch *fetch = malloc(sizeof(*fetch));
    struct cw_str issuer = cw_str(spec->issuer);
    char url[CW_KEY_FETCH_URL_MAX];

    if (!fetch) {
        done(arg, &(struct cw_key_fetched){.err = CW_KEYS_UNAVAILABLE, .why = "out of memory"});
        return;
    }
    *fetch = (struct cw_key_fetch){spec, getter, done, arg};
    switch (spec->kind) {
    case CW_KEY_FILE:
        read_file(fetch);
        return;
    case CW_KEY_URI:
        snprintf(url, sizeof(url), "%s", spec->location);
        break;
    case CW_KEY_DISCOVERY:
        if (issuer.n > 0 && issuer.p[issuer.n - 1] == '/') {
            issuer.n--;
        }
        snprintf(url, sizeof(url), "%.*s/.well-known/openid-configuration", CW_STR_ARG(issuer));
        break;
    case CW_KEY_INLINE:
    default:
        fail(fetch, "nothing to fetch", "");
        return;
    }
    if (!cw_key_fetch_url_ok(cw_str(url), spec->plain_loopback)) {
        fail(fetch, "address is not https", "");
        return;
    }
    getter->get(getter->ctx, url, spec, spec->kind == CW_KEY_URI ? set_replied : discovery_replied,
                fetch);
}
