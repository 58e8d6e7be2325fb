/* The one normaliser of domain names: a tenant is found by what it returns, in gateway, sidecar and
 * authsvc alike. */
#ifndef CW_BASE_DOMAIN_H
#define CW_BASE_DOMAIN_H

#include "common/base/str.h"

enum { CW_DOMAIN_MAX = 253 }; /* bytes of a name without its trailing dot (RFC 1035 §2.3.4) */

/* `host` as it stands in a Host header, an :authority or a configuration file: the port and one
 * trailing dot are cut off, letters made lower case, U-labels turned into A-labels (RFC 5891, IDNA
 * 2008). Labels are checked to be 1 to 63 letters, digits, hyphens or underscores. IPv4 addresses
 * and bracketed IPv6 addresses pass as they are. Writes at most CW_DOMAIN_MAX bytes and a NUL;
 * CW_TENANT_UNKNOWN for anything that is no name. Any thread. */
CW_MUST_USE enum cw_err cw_domain_normalize(struct cw_str host, char ret_name[CW_DOMAIN_MAX + 1]);

#endif
