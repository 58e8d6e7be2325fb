/* The same question put to the sidecar of this host. */
#ifndef CW_CWCTL_ONLINE_H
#define CW_CWCTL_ONLINE_H

#include "cwctl/remote.h"

struct online {
    const char *run_dir;
    const char *domain; /* NULL: a domain of the tenant that trusts the token's issuer */
    bool explain;
};

/* Fills the verdict and returns the exit code; false in ret_judged where nothing was judged and a
 * message has been printed. */
int online_verify(const struct command *command, struct cw_str token, const struct online *settings,
                  json_t *verdict, bool *ret_judged);

#endif
