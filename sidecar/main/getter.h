/* The network for key fetches: common/http's client behind keys/key_fetch.h's seam. */
#ifndef SIDECAR_MAIN_GETTER_H
#define SIDECAR_MAIN_GETTER_H

#include "common/http/client.h"
#include "sidecar/keys/key_fetch.h"

struct key_getter getter_of(struct cw_http_client *client);

#endif
