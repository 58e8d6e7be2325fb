/* Users of this host. */
#ifndef CW_BASE_USER_H
#define CW_BASE_USER_H

#include <sys/types.h>

#include "common/base/err.h"

/* The user id of a name or a number. CW_NOT_FOUND: this host has none of the name. Main thread. */
CW_MUST_USE enum cw_err cw_user_find(const char *name, uid_t *ret_uid);

#endif
