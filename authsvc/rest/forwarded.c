/* Who asks: a forwarded address or host counts only when the peer is a trusted proxy. */
#include "authsvc/rest/rest.h"

#include <string.h>

#include "authsvc/login/address.h"

bool rest_trusted(const struct rest_options *options, const char *address)
{
    char asked[REST_ADDRESS_SIZE];
    char known[REST_ADDRESS_SIZE];
    if (!login_address_canonical(cw_str(address), asked)) {
        return false;
    }
    for (size_t i = 0; i < options->n_trusted_proxies; i++) {
        if (login_address_canonical(cw_str(options->trusted_proxies[i]), known) &&
            strcmp(asked, known) == 0) {
            return true;
        }
    }
    return false;
}

void rest_client_address(const struct rest_options *options, const char *peer,
                         struct cw_str forwarded_for, char ret_address[REST_ADDRESS_SIZE])
{
    if (!login_address_canonical(cw_str(peer), ret_address)) {
        return;
    }
    /* From the right: each proxy appends whom it saw; what is left of the first stranger is
     * hearsay.
     */
    while (forwarded_for.n > 0 && rest_trusted(options, ret_address)) {
        size_t comma = forwarded_for.n;
        while (comma > 0 && forwarded_for.p[comma - 1] != ',') {
            comma--;
        }
        char next[REST_ADDRESS_SIZE];
        if (!login_address_canonical(cw_str_slice(forwarded_for, comma, forwarded_for.n), next)) {
            return;
        }
        memcpy(ret_address, next, sizeof(next));
        forwarded_for = cw_str_slice(forwarded_for, 0, comma > 0 ? comma - 1 : 0);
    }
}
