/* A pause that doubles. */
#include "sidecar/main/restarts.h"

#include "common/base/macros.h"

bool restarts_due(struct restarts *restarts, int64_t now_ms)
{
    if (now_ms < restarts->next_ms) {
        return false;
    }
    restarts->pause_ms = restarts->pause_ms
                             ? CW_MIN(2 * restarts->pause_ms, (int64_t)RESTARTS_MOST_MS)
                             : RESTARTS_FIRST_MS;
    restarts->began_ms = now_ms;
    restarts->next_ms = now_ms + restarts->pause_ms;
    return true;
}

void restarts_applied(struct restarts *restarts)
{
    restarts->pause_ms = 0;
    restarts->next_ms = CW_MIN(restarts->next_ms, restarts->began_ms + RESTARTS_FIRST_MS);
}
