/* One subcommand of cwctl: a row of the table in main.c. */
#ifndef CW_CWCTL_COMMAND_H
#define CW_CWCTL_COMMAND_H

#include "cwctl/options.h"

/* Exit codes, the same for every subcommand. */
enum command_exit {
    COMMAND_OK = 0,        /* allowed, healthy, done */
    COMMAND_REFUSED = 1,   /* refused, degraded, failed */
    COMMAND_UNDECIDED = 2, /* could not run or decide, down */
    COMMAND_USAGE = 64,
};

struct ask;

struct command {
    const char *group; /* "token" */
    const char *name;  /* "verify"; NULL where the group is the command */
    const char *arguments;
    const char *summary; /* one line */
    const char *text;    /* more for --help, may be NULL */
    /* argv begins behind the command's name. */
    int (*run)(const struct command *command, int argc, char **argv);
    const struct ask *ask; /* where run is ask_run (ask.h) */
};

extern const struct command command_token_verify;
extern const struct command command_token_decode;
extern const struct command command_jws_verify;
extern const struct command command_keys_list;
extern const struct command command_keys_refresh;
extern const struct command command_cache_stats;
extern const struct command command_cache_flush;
extern const struct command command_instances;
extern const struct command command_tenants;
extern const struct command command_tenants_list;
extern const struct command command_tenants_show;
extern const struct command command_tenants_add;
extern const struct command command_tenants_set;
extern const struct command command_tenants_disable;
extern const struct command command_tenants_enable;
extern const struct command command_tenants_remove;
extern const struct command command_tenants_check;
extern const struct command command_users_list;
extern const struct command command_users_show;
extern const struct command command_users_add;
extern const struct command command_users_set;
extern const struct command command_users_disable;
extern const struct command command_users_enable;
extern const struct command command_users_set_password;
extern const struct command command_users_sessions;
extern const struct command command_users_reset_password;
extern const struct command command_users_expire_password;
extern const struct command command_users_reset_mfa;
extern const struct command command_groups_list;
extern const struct command command_groups_put;
extern const struct command command_groups_remove;
extern const struct command command_groups_members;
extern const struct command command_groups_join;
extern const struct command command_groups_leave;
extern const struct command command_revoke;
extern const struct command command_signing_keys_list;
extern const struct command command_signing_keys_rotate;
extern const struct command command_encryption_key_status;
extern const struct command command_encryption_key_reseal;
extern const struct command command_health;
extern const struct command command_config_check;

/* Reads options; on --help prints the page. ret_exit is set where the caller must return at once.
 */
bool command_options(const struct command *command, const struct option_row *rows, int argc,
                     char **argv, struct operands *ret_operands, int *ret_exit);

/* "cwctl jws verify: TEXT" on standard error and the exit code for it. */
int command_usage(const struct command *command, const char *format, ...) CW_PRINTF(2, 3);
int command_failed(const struct command *command, int code, const char *format, ...)
    CW_PRINTF(3, 4);

#endif
