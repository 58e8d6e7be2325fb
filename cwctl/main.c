/* cwctl: the operator's command line. Finds the subcommand in the table below and runs it. */
#include <stdlib.h>
#include <string.h>

#include "common/base/process.h"
#include "common/base/version.h"
#include "cwctl/command.h"

static const struct command *const commands[] = {
    &command_token_verify,
    &command_token_decode,
    &command_jws_verify,
    &command_keys_list,
    &command_keys_refresh,
    &command_cache_stats,
    &command_cache_flush,
    &command_instances,
    &command_tenants_list,
    &command_tenants_show,
    &command_tenants_add,
    &command_tenants_set,
    &command_tenants_disable,
    &command_tenants_enable,
    &command_tenants_remove,
    &command_tenants_check,
    &command_tenants,
    &command_users_list,
    &command_users_show,
    &command_users_add,
    &command_users_set,
    &command_users_disable,
    &command_users_enable,
    &command_users_set_password,
    &command_users_sessions,
    &command_revoke,
    &command_signing_keys_list,
    &command_signing_keys_rotate,
    &command_encryption_key_status,
    &command_encryption_key_reseal,
    &command_health,
    &command_config_check,
    &command_users_reset_password,
    &command_users_expire_password,
    &command_users_reset_mfa,
    &command_groups_list,
    &command_groups_put,
    &command_groups_remove,
    &command_groups_members,
    &command_groups_join,
    &command_groups_leave,
};

static void print_commands(FILE *to)
{
    fprintf(to, "usage: cwctl COMMAND [OPTION...]\n\n");
    for (size_t i = 0; i < CW_ARRAY_SIZE(commands); i++) {
        char left[48];
        snprintf(left, sizeof left, "%s %s", commands[i]->group,
                 commands[i]->name ? commands[i]->name : "");
        fprintf(to, "  %-21s %s\n", left, commands[i]->summary);
    }
    fprintf(to,
            "\nEvery command has --help. Exit codes: 0 yes, 1 no, 2 could not decide, 64 usage.\n");
}

static bool is_group(const char *word)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i]->group, word) == 0) {
            return true;
        }
    }
    return false;
}

static const struct command *find(int argc, char **argv, int *ret_used)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(commands); i++) {
        const struct command *c = commands[i];
        if (strcmp(c->group, argv[1]) != 0) {
            continue;
        }
        if (!c->name) {
            *ret_used = 2;
            return c;
        }
        if (argc > 2 && strcmp(c->name, argv[2]) == 0) {
            *ret_used = 3;
            return c;
        }
    }
    return NULL;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return COMMAND_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("cwctl %s\n", CW_VERSION);
        return COMMAND_OK;
    }
    int used;
    const struct command *command = find(argc, argv, &used);
    if (command) {
        return command->run(command, argc - used, argv + used);
    }
    const char *last = argv[argc - 1];
    bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                strcmp(argv[1], "help") == 0 || (is_group(argv[1]) && !strcmp(last, "--help"));
    if (!help) {
        /* the words are not repeated: one of them may be a token */
        fprintf(stderr, "cwctl: no such command\n");
    }
    print_commands(help ? stdout : stderr);
    return help ? COMMAND_OK : COMMAND_USAGE;
}

int main(int argc, char **argv)
{
    cw_process_conceal();                /* tokens and passwords pass through */
    setenv("GRPC_VERBOSITY", "NONE", 0); /* what failed is said by the command itself */
    int code = run(argc, argv);
    bool lost = ferror(stdout) != 0;
    if (fflush(stdout) != 0 || lost) {
        /* an answer that could not be written is none: a script must not take it for one */
        fprintf(stderr, "cwctl: the answer cannot be written\n");
        return COMMAND_UNDECIDED;
    }
    return code;
}
