/* The switch is Abseil's public absl::SetMutexDeadlockDetectionMode. It is C++ and its namespace
 * names the release, so it is looked up by the name that Debian 12's library has. */
#include "common/rpc/tune.h"

#include <dlfcn.h>

#define SWITCH "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE"

enum { ABSL_DEADLOCK_IGNORE = 0 }; /* absl::OnDeadlockCycle::kIgnore */

bool cw_rpc_tune(void)
{
    union {
        void *object;
        void (*set)(int mode);
    } found = {.object = dlsym(RTLD_DEFAULT, SWITCH)};
    if (found.object) {
        found.set(ABSL_DEADLOCK_IGNORE);
    }
    return found.object;
}
