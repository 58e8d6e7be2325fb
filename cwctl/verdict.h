/* A verdict as the commands show it, wherever it was reached. */
#ifndef CW_CWCTL_VERDICT_H
#define CW_CWCTL_VERDICT_H

#include <jansson.h>

#include "common/base/str.h"

/* {"decision":…,"reason":…,"identity":{…},"checks":[…]}: the members that TokenService.Validate
 * has, with its names. The caller fills identity and checks; absent ones are not shown. */
json_t *verdict_new(void);

/* Sets decision and reason from the error; returns the exit code for it. */
int verdict_set(json_t *verdict, enum cw_err reason);

/* Appends to checks. */
void verdict_add_check(json_t *verdict, struct cw_str name, bool passed, struct cw_str detail);

/* One string member or, where `value` is empty, none. */
void verdict_put(json_t *object, const char *name, struct cw_str value);

/* For people, or as one JSON object on one line. Control characters never reach the terminal. */
void verdict_print(const json_t *verdict, bool json);

#endif
