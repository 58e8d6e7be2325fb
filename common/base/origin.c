/* One origin, one spelling: they are compared byte by byte, so that one which no browser ever sends
 * would never match, and nobody would be told why. */
#include "common/base/origin.h"

#include <string.h>

/* 127.0.0.0/8 (RFC 1122 §3.2.1.3) */
static bool is_loopback_v4(struct cw_str host)
{
    struct cw_str part;
    uint64_t number;
    size_t n = 0;

    while (cw_str_word(&host, '.', &part)) {
        ENSURE(cw_str_to_u64(part, 255, &number) == CW_OK, false);
        ENSURE(n > 0 || number == 127, false);
        n++;
    }
    return n == 4;
}

/* HOST in its normal form. */
static bool is_loopback(struct cw_str host)
{
    /* RFC 6761 §6.3 */
    return cw_str_is(host, "localhost") || cw_str_ends(host, CW_STR(".localhost")) ||
           cw_str_is(host, "[::1]") || is_loopback_v4(host);
}

/* PORT: behind the colon. */
static const char *port_problem(struct cw_str port, bool tls)
{
    uint64_t number = 0;

    if (cw_str_to_u64(port, 65535, &number) != CW_OK || number == 0) {
        return "has no port behind its colon";
    }
    if (number == (tls ? 443 : 80)) {
        return "names its scheme's own port, which browsers leave out";
    }
    return NULL;
}

const char *cw_origin_problem(struct cw_str origin)
{
    bool tls = cw_str_starts(origin, CW_STR("https://"));
    char host[CW_DOMAIN_MAX + 1];

    if (!tls && !cw_str_starts(origin, CW_STR("http://"))) {
        return "is no origin: expected https://HOST[:PORT]";
    }
    if (origin.n > CW_ORIGIN_MAX) {
        return "is too long for an origin";
    }
    struct cw_str authority = cw_str_slice(origin, tls ? 8 : 7, origin.n);
    if (memchr(authority.p, '*', authority.n) != NULL) {
        return "has a wildcard: origins are named one by one";
    }
    if (memchr(authority.p, '/', authority.n) != NULL ||
        cw_domain_normalize(authority, host) != CW_OK) {
        return "is no origin: nothing but a host, and a port, behind the scheme";
    }
    size_t n = strlen(host);
    if (authority.n < n || memcmp(authority.p, host, n) != 0 ||
        (authority.n > n && authority.p[n] != ':')) {
        return "is not spelled as browsers send it: lower case, A-labels, no dot at the end";
    }
    if (!tls && !is_loopback(cw_str(host))) {
        return "is http, which is for loopback only";
    }
    return authority.n > n ? port_problem(cw_str_slice(authority, n + 1, authority.n), tls) : NULL;
}
