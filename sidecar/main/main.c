/* cw-sidecar: one per host; tells the gateway and the services of this host whether an access token
 * is good. The way of a question: rpc (common/rpc) → handle → tenants → cache → policy → answer,
 * and on a miss from the cache over keys and common/jose to a verifier's answer. */
#include <signal.h>
#include <stdio.h>

#include "common/base/process.h"
#include "common/base/version.h"
#include "sidecar/main/config.h"
#include "sidecar/main/events.h"
#include "sidecar/main/sidecar.h"

enum { EXIT_CANNOT_RUN = 2, WHY_MAX = 16 * 1024 };

static void start_log(const struct cw_config *config)
{
    struct cw_config_at at = cw_config_root(config);
    struct cw_log_options options = {
        .service = "cw-sidecar",
        .version = CW_VERSION,
        .level = (enum cw_log_level)cw_config_enum(&at, "log.level"),
        .fd = 2,
    };

    cw_log_init(&options);
}

/* Returns on SIGTERM or SIGINT. */
static void wait_for_end(struct sidecar *sidecar, const sigset_t *signals)
{
    int number = 0;

    for (;;) {
        if (sigwait(signals, &number) != 0) {
            continue;
        }
        if (number == SIGHUP) {
            sidecar_reload(sidecar);
        } else {
            return;
        }
    }
}

int main(int argc, char **argv)
{
    struct cw_buf why = CW_BUF_INIT(WHY_MAX);
    struct cw_config *config = NULL;
    struct sidecar sidecar;
    sigset_t signals;

    cw_process_conceal(); /* tokens, and secrets of issuers */
    int code = cw_config_start(config_schema(), argc, argv, &config);

    if (code >= 0) {
        return code;
    }
    start_log(config);
    signal(SIGPIPE, SIG_IGN);
    /* Before any thread is started: they inherit the mask, and only this thread takes signals. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    enum cw_err err = sidecar_start(&sidecar, config, &why);
    if (err == CW_OK) {
        CW_LOG0(&events[EVENT_STARTED]);
        wait_for_end(&sidecar, &signals);
        CW_LOG0(&events[EVENT_STOPPING]);
    } else {
        CW_LOG(&events[EVENT_CANNOT_RUN], cw_log_err(err),
               cw_log_str("error.message", cw_buf_str(&why)));
    }
    sidecar_stop(&sidecar);
    if (err == CW_OK) {
        CW_LOG0(&events[EVENT_STOPPED]);
    }
    cw_buf_done(&why);
    return err == CW_OK ? 0 : EXIT_CANNOT_RUN;
}
