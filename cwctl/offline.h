/* The validator in this process: no sidecar, no network, a key set from a file. */
#ifndef CW_CWCTL_OFFLINE_H
#define CW_CWCTL_OFFLINE_H

#include <jansson.h>

#include "common/jose/token.h"
#include "cwctl/options.h"

struct offline {
    const char *jwks;   /* file */
    const char *issuer; /* NULL: the token's own, not compared */
    const char *roles;  /* claim paths; NULL: the usual names */
    const char *permissions;
    const char *scopes;
    int64_t now;          /* Unix seconds */
    int64_t leeway;       /* seconds */
    int64_t max_lifetime; /* seconds; 0: no bound */
    bool type_optional;
    bool explain;
    struct option_values audiences;  /* none: not compared */
    struct option_values algorithms; /* none: every asymmetric one */
    struct option_values types;      /* none: at+jwt and JWT */
    struct option_values required;
    struct option_values parties;
};

/* Fills the verdict and returns the exit code. Where the settings or the key set cannot be used, a
 * message for people is in ret_message and the code is COMMAND_UNDECIDED or COMMAND_USAGE. */
int offline_verify(struct cw_str token, const struct offline *settings, json_t *verdict,
                   char ret_message[256]);

#endif
