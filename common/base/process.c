#include "common/base/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void cw_process_conceal(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
