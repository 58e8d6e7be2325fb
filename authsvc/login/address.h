/* IP addresses as text, in one spelling. */
#ifndef AUTHSVC_LOGIN_ADDRESS_H
#define AUTHSVC_LOGIN_ADDRESS_H

#include <stdbool.h>

#include "common/base/str.h"

enum { LOGIN_ADDRESS_SIZE = 46 }; /* INET6_ADDRSTRLEN */

/* The address in `text` (blanks around it are fine) as inet_ntop(3) writes it; an IPv4-mapped IPv6
 * address (RFC 4291 section 2.5.5.2) is the IPv4 one. False, with ret_address empty: it is none.
 * Any thread. */
bool login_address_canonical(struct cw_str text, char ret_address[LOGIN_ADDRESS_SIZE]);

#endif
