/* All of a running authsvc, put together and taken apart in one place. */
#ifndef AUTHSVC_MAIN_APP_H
#define AUTHSVC_MAIN_APP_H

#include "authsvc/main/config.h"

struct app;

/* Starts everything; on failure ret_message has a sentence for people and nothing runs. */
CW_MUST_USE enum cw_err app_start(const struct cw_config *config, struct cw_buf *ret_message,
                                  struct app **ret_app);
/* Tenants of a new configuration; the old ones stay on failure. */
CW_MUST_USE enum cw_err app_reload(struct app *app, const struct cw_config *config,
                                   struct cw_buf *ret_message);
/* Gives back what nobody has used for a while; every few seconds. */
void app_trim(struct app *app);
/* Sessions and counters that are long over are deleted. */
void app_clean(struct app *app);
/* No new work, what runs is finished, everything is closed. */
void app_stop(struct app *app);

/* Makes a directory, with that mode, and those above it, which others may pass. */
CW_MUST_USE enum cw_err app_make_dir(const char *path, unsigned mode, struct cw_buf *ret_message);

#endif
