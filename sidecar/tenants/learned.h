/* The tenants of authsvc's feed as specifications. */
#ifndef SIDECAR_TENANTS_LEARNED_H
#define SIDECAR_TENANTS_LEARNED_H

#include "proto/clinicwave/identity/v1/tenant.pb-c.h"
#include "sidecar/tenants/tenant.h"

/* Borrows all strings from `message`; arrays are the arena's. Origins that a tenant may not have
 * are left out and told in `problems`: no login fails for a word about pages. CW_NO_MEMORY. */
CW_MUST_USE enum cw_err learned_spec(const Clinicwave__Identity__V1__Tenant *message,
                                     struct cw_arena *arena, struct cw_buf *problems,
                                     struct tenant_spec *ret_spec);

#endif
