/* Names of users to numbers. */
#include "common/base/user.h"

#include <pwd.h>

#include "common/base/str.h"

enum cw_err cw_user_find(const char *name, uid_t *ret_uid)
{
    uint64_t number = 0;
    if (cw_str_to_u64(cw_str(name), UINT32_MAX - 1, &number) == CW_OK) {
        *ret_uid = (uid_t)number;
        return CW_OK;
    }
    const struct passwd *user = getpwnam(name);
    ENSURE(user, CW_NOT_FOUND);
    *ret_uid = user->pw_uid;
    return CW_OK;
}
