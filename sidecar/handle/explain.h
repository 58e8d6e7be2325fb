/* The checks of the requirement, for people. */
#ifndef SIDECAR_HANDLE_EXPLAIN_H
#define SIDECAR_HANDLE_EXPLAIN_H

#include "sidecar/handle/identity.h"

/* Tells what audience, scopes and roles were compared with what, up to the one that refuses. */
void explain_policy(const struct identity *identity, const struct rule *rule,
                    const struct tenant *tenant, const struct cw_checks *checks);

#endif
