/* Step 1 of the route: cw-authsvc, where users log in and get their tokens. This file reads the
 * configuration, starts the parts and waits for signals. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/main/app.h"
#include "authsvc/main/events.h"
#include "authsvc/main/user_command.h"
#include "common/base/process.h"
#include "common/base/version.h"

enum { LOOK_EVERY_S = 10, CLEAN_EVERY_S = 300, MESSAGE_MAX = 16 * 1024 };

static void apply_log_level(const struct cw_config *config)
{
    struct cw_config_at root = cw_config_root(config);
    enum cw_log_level level = CW_LOG_INFO;
    if (cw_log_level_parse(cw_config_string(&root, "authsvc.log-level"), &level)) {
        cw_log_set_level(level);
    }
}

/* Signals belong to main: blocked before any thread is made, taken by sigtimedwait. */
static sigset_t block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a full file is an error of its write, no reason to die */
    return signals;
}

static void reload(struct app *app, struct cw_config **config)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf problems = CW_BUF_INIT(MESSAGE_MAX);
    struct cw_config *next = NULL;
    enum cw_err err = cw_config_reload(*config, &problems, &next);
    if (err == CW_OK) {
        err = app_reload(app, next, &problems);
    }
    if (err != CW_OK) {
        CW_LOG(&events[EVENT_RELOAD_REFUSED], cw_log_err(err),
               cw_log_str("error.message", cw_buf_str(&problems)));
        cw_config_unref(next);
        return;
    }
    apply_log_level(next);
    cw_config_unref(*config);
    *config = next;
    CW_LOG0(&events[EVENT_RELOADED]);
}

static void wait_for_end(struct app *app, struct cw_config **config, const sigset_t *signals)
{
    int64_t cleaned = cw_clock_monotonic_ms(&cw_clock_system);
    for (;;) {
        const struct timespec pause = {.tv_sec = LOOK_EVERY_S};
        int signal_number = sigtimedwait(signals, NULL, &pause);
        if (signal_number == SIGTERM || signal_number == SIGINT) {
            return;
        }
        if (signal_number == SIGHUP) {
            reload(app, config);
            continue;
        }
        app_trim(app);
        int64_t now = cw_clock_monotonic_ms(&cw_clock_system);
        if (now - cleaned >= CLEAN_EVERY_S * 1000) {
            app_clean(app);
            cleaned = now;
        }
    }
}

static int run(struct cw_config **config)
{
    const struct cw_log_options log = {
        .service = "cw-authsvc", .version = CW_VERSION, .level = CW_LOG_INFO, .fd = 2};
    cw_log_init(&log);
    apply_log_level(*config);
    sigset_t signals = block_signals();
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(MESSAGE_MAX);
    struct app *app = NULL;
    enum cw_err err = app_start(*config, &message, &app);
    if (err != CW_OK) {
        CW_LOG(&events[EVENT_START_FAILED], cw_log_err(err),
               cw_log_str("error.message", cw_buf_str(&message)));
        fprintf(
            stderr, "cw-authsvc: %.*s\n",
            CW_STR_ARG(message.n > 0 ? cw_buf_str(&message) : cw_str(cw_err_info(err)->meaning)));
        return 2;
    }
    CW_LOG0(&events[EVENT_STARTED]);
    wait_for_end(app, config, &signals);
    CW_LOG0(&events[EVENT_STOPPING]);
    app_stop(app);
    CW_LOG0(&events[EVENT_STOPPED]);
    return 0;
}

int main(int argc, char **argv)
{
    cw_process_conceal(); /* keys and passwords */
    if (argc > 1 && strcmp(argv[1], "user") == 0) {
        return user_command(argc - 1, argv + 1);
    }
    struct cw_config *config = NULL;
    int code = cw_config_start(&authsvc_schema, argc, argv, &config);
    if (code >= 0) {
        return code;
    }
    code = run(&config);
    cw_config_unref(config);
    return code;
}
