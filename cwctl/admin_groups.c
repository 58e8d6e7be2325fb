/* `cwctl groups …`, and what an administrator does about a user's passwords and second factors
 * without learning them: `cwctl users reset-password`, `expire-password`, `reset-mfa`. */
#include "cwctl/admin.h"
#include "proto/clinicwave/identity/v1/admin.pb-c.h"

static void print_code(const ProtobufCMessage *response)
{
    const Clinicwave__Identity__V1__IssuePasswordResetResponse *r =
        (const Clinicwave__Identity__V1__IssuePasswordResetResponse *)response;
    printf("%.*s\n", (int)r->code.len, (const char *)r->code.data);
}

static void print_groups(const ProtobufCMessage *response)
{
    const Clinicwave__Identity__V1__ListGroupsResponse *r =
        (const Clinicwave__Identity__V1__ListGroupsResponse *)response;
    for (size_t i = 0; i < r->n_groups; i++) {
        const Clinicwave__Identity__V1__ManagedGroup *g = r->groups[i];
        printf("%s", REMOTE_CLEAN(g->name));
        admin_print_words("  roles ", g->roles, g->n_roles);
        admin_print_words("  permissions ", g->permissions, g->n_permissions);
        printf("%s%s\n", g->description[0] ? "  " : "", REMOTE_CLEAN(g->description));
    }
    if (r->next_page_token.len > 0 && r->n_groups > 0) {
        admin_print_more(r->groups[r->n_groups - 1]->name);
    }
}

static void print_members(const ProtobufCMessage *response)
{
    const Clinicwave__Identity__V1__ListGroupMembersResponse *r =
        (const Clinicwave__Identity__V1__ListGroupMembersResponse *)response;
    for (size_t i = 0; i < r->n_usernames; i++) {
        printf("%s\n", REMOTE_CLEAN(r->usernames[i]));
    }
    if (r->next_page_token.len > 0 && r->n_usernames > 0) {
        admin_print_more(r->usernames[r->n_usernames - 1]);
    }
}

/* A row of its own: a change without an answer of interest. */
#define CHANGE(VARIABLE, METHOD, MESSAGE, ...)                                                     \
    static const struct ask VARIABLE = {                                                           \
        .socket = ADMIN_SOCKET,                                                                    \
        .method = ADMIN(METHOD),                                                                   \
        .request = &clinicwave__identity__v1__##MESSAGE##_request__descriptor,                     \
        .response = &clinicwave__identity__v1__##MESSAGE##_response__descriptor,                   \
        .arguments = {__VA_ARGS__},                                                                \
        .change = true,                                                                            \
        .print = admin_print_done,                                                                 \
    }

/* --- users ------------------------------------------------------------------------------ */

static const struct ask reset_password = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("IssuePasswordReset"),
    .request = &clinicwave__identity__v1__issue_password_reset_request__descriptor,
    .response = &clinicwave__identity__v1__issue_password_reset_response__descriptor,
    .arguments = {ADMIN_TENANT,
                  ADMIN_USER,
                  {"life_seconds", "--life", "SECONDS", "how long it is good: 60 to 604800 (86400)",
                   false}},
    .change = true,
    .print = print_code,
};
const struct command command_users_reset_password = {
    .group = "users",
    .name = "reset-password",
    .arguments = "--tenant NAME USER [--life SECONDS]",
    .summary = "Prints a code with which the user sets a new password, once.",
    .run = ask_run,
    .ask = &reset_password,
};

CHANGE(expire_password, "ExpirePassword", expire_password, ADMIN_TENANT, ADMIN_USER);
const struct command command_users_expire_password = {
    .group = "users",
    .name = "expire-password",
    .arguments = "--tenant NAME USER",
    .summary = "Ends the user's sessions; the password is good for changing it only.",
    .run = ask_run,
    .ask = &expire_password,
};

CHANGE(reset_mfa, "ResetMfa", reset_mfa, ADMIN_TENANT, ADMIN_USER);
const struct command command_users_reset_mfa = {
    .group = "users",
    .name = "reset-mfa",
    .arguments = "--tenant NAME USER",
    .summary = "Takes the user's second factors away.",
    .run = ask_run,
    .ask = &reset_mfa,
};

/* --- groups ----------------------------------------------------------------------------- */

static const struct ask list = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("ListGroups"),
    .request = &clinicwave__identity__v1__list_groups_request__descriptor,
    .response = &clinicwave__identity__v1__list_groups_response__descriptor,
    .arguments = {ADMIN_TENANT, ADMIN_PAGE},
    .print = print_groups,
};
const struct command command_groups_list = {
    .group = "groups",
    .name = "list",
    .arguments = "--tenant NAME [--limit N] [--after GROUP]",
    .summary = "Lists a tenant's groups.",
    .run = ask_run,
    .ask = &list,
};

CHANGE(put, "PutGroup", put_group, ADMIN_TENANT, {"group.name", NULL, "GROUP", "its name", true},
       {"group.description", "--description", "TEXT", "for people", false},
       {"group.roles", "--roles", "A,B", "roles of its members", false},
       {"group.permissions", "--permissions", "A,B", "permissions of its members", false});
const struct command command_groups_put = {
    .group = "groups",
    .name = "put",
    .arguments = "--tenant NAME GROUP [--roles A,B] [--permissions A,B] [--description TEXT]",
    .summary = "Adds a group, or changes all of it but its members.",
    .run = ask_run,
    .ask = &put,
};

CHANGE(remove_group, "RemoveGroup", remove_group, ADMIN_TENANT,
       {"name", NULL, "GROUP", "its name", true});
const struct command command_groups_remove = {
    .group = "groups",
    .name = "remove",
    .arguments = "--tenant NAME GROUP",
    .summary = "Removes a group with its memberships.",
    .run = ask_run,
    .ask = &remove_group,
};

static const struct ask members = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("ListGroupMembers"),
    .request = &clinicwave__identity__v1__list_group_members_request__descriptor,
    .response = &clinicwave__identity__v1__list_group_members_response__descriptor,
    .arguments = {ADMIN_TENANT, {"group", NULL, "GROUP", "its name", true}, ADMIN_PAGE},
    .print = print_members,
};
const struct command command_groups_members = {
    .group = "groups",
    .name = "members",
    .arguments = "--tenant NAME GROUP [--limit N] [--after USER]",
    .summary = "Lists a group's members.",
    .run = ask_run,
    .ask = &members,
};

#define OF_GROUP                                                                                   \
    {                                                                                              \
        "group", "--group", "GROUP", "the group", true                                             \
    }

CHANGE(join, "AddGroupMember", add_group_member, ADMIN_TENANT, OF_GROUP, ADMIN_USER);
const struct command command_groups_join = {
    .group = "groups",
    .name = "join",
    .arguments = "--tenant NAME --group GROUP USER",
    .summary = "Puts a user into a group.",
    .run = ask_run,
    .ask = &join,
};

CHANGE(leave, "RemoveGroupMember", remove_group_member, ADMIN_TENANT, OF_GROUP, ADMIN_USER);
const struct command command_groups_leave = {
    .group = "groups",
    .name = "leave",
    .arguments = "--tenant NAME --group GROUP USER",
    .summary = "Takes a user out of a group.",
    .run = ask_run,
    .ask = &leave,
};
