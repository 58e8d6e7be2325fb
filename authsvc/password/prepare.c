/* Unicode preparation of passwords and user names, by GNU libunistring. */
#include "authsvc/password/password.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>

static bool readable(struct cw_str s, size_t max)
{
    return s.n <= max && (s.n == 0 || memchr(s.p, '\0', s.n) == NULL) && cw_str_is_utf8(s);
}

enum cw_err password_prepare(struct cw_str password, struct cw_secret *ret_prepared)
{
    ENSURE(readable(password, PASSWORD_BYTES_MAX), CW_REQUEST_MALFORMED);
    if (password.n == 0) {
        return cw_secret_init(ret_prepared, password);
    }
    size_t n = 0;
    uint8_t *prepared =
        u8_normalize(UNINORM_NFKC, (const uint8_t *)password.p, password.n, NULL, &n);
    ENSURE(prepared != NULL, CW_NO_MEMORY);
    enum cw_err err = cw_secret_init(ret_prepared, (struct cw_str){(const char *)prepared, n});
    cw_secret_wipe(prepared, n);
    free(prepared);
    return err;
}

static bool has_control(struct cw_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f) {
            return true;
        }
    }
    return false;
}

enum cw_err password_prepare_name(struct cw_str name, char **ret_prepared)
{
    ENSURE(readable(name, PASSWORD_NAME_MAX) && !has_control(name), CW_REQUEST_MALFORMED);
    name = cw_str_trim(name);
    if (name.n == 0) {
        *ret_prepared = cw_str_dup(name);
        return *ret_prepared != NULL ? CW_OK : CW_NO_MEMORY;
    }
    size_t n = 0;
    /* Locale "": lower case does not depend on where the server runs. */
    uint8_t *lower = u8_tolower((const uint8_t *)name.p, name.n, "", UNINORM_NFKC, NULL, &n);
    ENSURE(lower != NULL, CW_NO_MEMORY);
    /* NFKC makes plain blanks of other ones */
    *ret_prepared = cw_str_dup(cw_str_trim((struct cw_str){(const char *)lower, n}));
    free(lower);
    return *ret_prepared != NULL ? CW_OK : CW_NO_MEMORY;
}
