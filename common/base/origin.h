/* Web origins (RFC 6454): what a browser says in `Origin`, and what a tenant may name. */
#ifndef CW_BASE_ORIGIN_H
#define CW_BASE_ORIGIN_H

#include "common/base/domain.h"

enum {
    CW_ORIGIN_MAX = 8 + CW_DOMAIN_MAX + 6, /* bytes: "https://", a host, ":65535" */
    CW_ORIGINS_MAX = 64,                   /* of one tenant */
};

/* NULL for an origin in the very spelling that browsers send (RFC 6454 §6.2): https, or http where
 * the host is loopback; a host in its normal form; a port only where it is not the scheme's own.
 * Else what is wrong, as the end of a sentence that begins with the text. Any thread. */
const char *cw_origin_problem(struct cw_str origin);

#endif
