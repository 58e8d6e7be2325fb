/* Identity providers on the health page. */
#ifndef AUTHSVC_MAIN_IDP_HEALTH_H
#define AUTHSVC_MAIN_IDP_HEALTH_H

#include "authsvc/idp/idp.h"
#include "common/http/actuator.h"

enum { IDP_HEALTH_SHOWN = 20 }; /* providers that are named: those in trouble before others */

/* A check of cw_actuator; ctx is the struct idp. Details: how many there are and are not usable,
 * and of some their breaker, the age of their keys in seconds, why their metadata was not read. */
enum cw_health idp_health_check(void *ctx, json_t *details);

#endif
