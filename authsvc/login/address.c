/* RFC 4291 §2.2 has many spellings of one address; whoever counts by address needs one. */
#include "authsvc/login/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

_Static_assert((int)LOGIN_ADDRESS_SIZE == (int)INET6_ADDRSTRLEN, "as inet_ntop needs it");

bool login_address_canonical(struct cw_str text, char ret_address[LOGIN_ADDRESS_SIZE])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char copy[LOGIN_ADDRESS_SIZE];
    uint8_t bytes[16];
    ret_address[0] = '\0';
    text = cw_str_trim(text);
    if (text.n == 0 || text.n >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (inet_pton(AF_INET, copy, bytes) == 1) {
        return inet_ntop(AF_INET, bytes, ret_address, LOGIN_ADDRESS_SIZE) != NULL;
    }
    if (inet_pton(AF_INET6, copy, bytes) != 1) {
        return false;
    }
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        return inet_ntop(AF_INET, bytes + sizeof(mapped), ret_address, LOGIN_ADDRESS_SIZE) != NULL;
    }
    return inet_ntop(AF_INET6, bytes, ret_address, LOGIN_ADDRESS_SIZE) != NULL;
}
