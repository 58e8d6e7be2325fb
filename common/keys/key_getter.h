/* The network for key fetches: common/http's client behind key_fetch.h's seam. */
#ifndef CW_KEYS_KEY_GETTER_H
#define CW_KEYS_KEY_GETTER_H

#include "common/http/client.h"
#include "common/keys/key_fetch.h"

struct cw_key_getter cw_key_getter_of(struct cw_http_client *client);

#endif
