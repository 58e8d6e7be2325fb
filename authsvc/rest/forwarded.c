/* Who asks: a forwarded address or host counts only when the peer is a trusted proxy. */
#include "authsvc/rest/rest.h"

#include <arpa/inet.h>
#include <string.h>

/* One spelling per address; an IPv4-mapped IPv6 address is the IPv4 one. */
static bool canonical(struct cw_str text, char ret_address[REST_ADDRESS_SIZE])
{
    char copy[REST_ADDRESS_SIZE];
    uint8_t bytes[16];
    text = cw_str_trim(text);
    if (text.n == 0 || text.n >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (inet_pton(AF_INET, copy, bytes) == 1) {
        return inet_ntop(AF_INET, bytes, ret_address, REST_ADDRESS_SIZE) != NULL;
    }
    if (inet_pton(AF_INET6, copy, bytes) != 1) {
        return false;
    }
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        return inet_ntop(AF_INET, bytes + 12, ret_address, REST_ADDRESS_SIZE) != NULL;
    }
    return inet_ntop(AF_INET6, bytes, ret_address, REST_ADDRESS_SIZE) != NULL;
}

bool rest_trusted(const struct rest_options *options, const char *address)
{
    char asked[REST_ADDRESS_SIZE];
    char known[REST_ADDRESS_SIZE];
    if (!canonical(cw_str(address), asked)) {
        return false;
    }
    for (size_t i = 0; i < options->n_trusted_proxies; i++) {
        if (canonical(cw_str(options->trusted_proxies[i]), known) && strcmp(asked, known) == 0) {
            return true;
        }
    }
    return false;
}

void rest_client_address(const struct rest_options *options, const char *peer,
                         struct cw_str forwarded_for, char ret_address[REST_ADDRESS_SIZE])
{
    ret_address[0] = '\0';
    if (!canonical(cw_str(peer), ret_address)) {
        ret_address[0] = '\0';
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
        if (!canonical(cw_str_slice(forwarded_for, comma, forwarded_for.n), next)) {
            return;
        }
        memcpy(ret_address, next, sizeof(next));
        forwarded_for = cw_str_slice(forwarded_for, 0, comma > 0 ? comma - 1 : 0);
    }
}
