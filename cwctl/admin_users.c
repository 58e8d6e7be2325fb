/* `cwctl users …`: users of cw-authsvc's database tenants. */
#include "cwctl/admin.h"
#include "cwctl/when.h"
#include "proto/clinicwave/identity/v1/admin.pb-c.h"

typedef Clinicwave__Identity__V1__ManagedUser user_message;

static void print_user(const user_message *u)
{
    printf("%s  %s%s%s", REMOTE_CLEAN(u->username), REMOTE_CLEAN(u->subject),
           u->name[0] ? "  " : "", REMOTE_CLEAN(u->name));
    admin_print_words("  roles ", u->roles, u->n_roles);
    admin_print_words("  permissions ", u->permissions, u->n_permissions);
    printf("%s\n", u->disabled ? "  disabled" : "");
}

static void print_list(const ProtobufCMessage *response)
{
    const Clinicwave__Identity__V1__ListUsersResponse *r =
        (const Clinicwave__Identity__V1__ListUsersResponse *)response;
    for (size_t i = 0; i < r->n_users; i++) {
        print_user(r->users[i]);
    }
    if (r->next_page_token.len > 0 && r->n_users > 0) {
        admin_print_more(r->users[r->n_users - 1]->username);
    }
}

static void print_shown(const ProtobufCMessage *response)
{
    print_user(((const Clinicwave__Identity__V1__GetUserResponse *)response)->user);
}

static void print_added(const ProtobufCMessage *response)
{
    print_user(((const Clinicwave__Identity__V1__CreateUserResponse *)response)->user);
}

static void print_changed(const ProtobufCMessage *response)
{
    print_user(((const Clinicwave__Identity__V1__UpdateUserResponse *)response)->user);
}

static void print_sessions(const ProtobufCMessage *response)
{
    const Clinicwave__Identity__V1__ListUserSessionsResponse *r =
        (const Clinicwave__Identity__V1__ListUserSessionsResponse *)response;
    for (size_t i = 0; i < r->n_sessions; i++) {
        const Clinicwave__Identity__V1__ManagedSession *s = r->sessions[i];
        printf("%s  client %s  from %s  since %s  used %s  %s\n", REMOTE_CLEAN(s->session_id),
               REMOTE_CLEAN(s->client_id), s->address[0] ? REMOTE_CLEAN(s->address) : "-",
               WHEN_TEXT(s->started_at), WHEN_TEXT(s->used_at), REMOTE_CLEAN(s->device));
    }
}

#define ABOUT                                                                                      \
    {"user.name", "--name", "NAME", "name for people", false},                                     \
        {"user.email", "--email", "ADDRESS", "address", false},                                    \
        {"user.email_verified", "--email-verified", NULL, "the address was verified", false},      \
        {"user.roles", "--roles", "A,B", "roles", false},                                          \
    {                                                                                              \
        "user.permissions", "--permissions", "A,B", "permissions", false                           \
    }

static const struct ask list = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("ListUsers"),
    .request = &clinicwave__identity__v1__list_users_request__descriptor,
    .response = &clinicwave__identity__v1__list_users_response__descriptor,
    .arguments = {ADMIN_TENANT, ADMIN_PAGE},
    .change = true,
    .print = print_list,
};

static const struct ask show = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("GetUser"),
    .request = &clinicwave__identity__v1__get_user_request__descriptor,
    .response = &clinicwave__identity__v1__get_user_response__descriptor,
    .arguments = {ADMIN_TENANT, ADMIN_USER},
    .change = true,
    .print = print_shown,
};

static const struct ask add = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("CreateUser"),
    .request = &clinicwave__identity__v1__create_user_request__descriptor,
    .response = &clinicwave__identity__v1__create_user_response__descriptor,
    .arguments = {ADMIN_TENANT,
                  {"user.username", NULL, "USER", "the user name", true},
                  ABOUT,
                  {"password", NULL, "-", "from standard input", false}},
    .change = true,
    .print = print_added,
};

static const struct ask set = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("UpdateUser"),
    .request = &clinicwave__identity__v1__update_user_request__descriptor,
    .response = &clinicwave__identity__v1__update_user_response__descriptor,
    .arguments = {ADMIN_TENANT, {"user.username", NULL, "USER", "the user name", true}, ABOUT},
    .said = "fields",
    .change = true,
    .print = print_changed,
};

static const struct ask disable = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("DisableUser"),
    .request = &clinicwave__identity__v1__disable_user_request__descriptor,
    .response = &clinicwave__identity__v1__disable_user_response__descriptor,
    .arguments = {ADMIN_TENANT, ADMIN_USER},
    .change = true,
    .print = admin_print_done,
};

static const struct ask enable = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("EnableUser"),
    .request = &clinicwave__identity__v1__enable_user_request__descriptor,
    .response = &clinicwave__identity__v1__enable_user_response__descriptor,
    .arguments = {ADMIN_TENANT, ADMIN_USER},
    .change = true,
    .print = admin_print_done,
};

static const struct ask set_password = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("SetPassword"),
    .request = &clinicwave__identity__v1__set_password_request__descriptor,
    .response = &clinicwave__identity__v1__set_password_response__descriptor,
    .arguments = {ADMIN_TENANT, ADMIN_USER, {"password", NULL, "-", "from standard input", false}},
    .change = true,
    .print = admin_print_done,
};

static const struct ask sessions = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("ListUserSessions"),
    .request = &clinicwave__identity__v1__list_user_sessions_request__descriptor,
    .response = &clinicwave__identity__v1__list_user_sessions_response__descriptor,
    .arguments = {ADMIN_TENANT, ADMIN_USER},
    .change = true,
    .print = print_sessions,
};

static const char password_text[] =
    "The password is read from standard input, without the newline at its end.";

const struct command command_users_list = {
    .group = "users",
    .name = "list",
    .arguments = "--tenant NAME [OPTION...]",
    .summary = "Users of a database tenant, by name.",
    .run = ask_run,
    .ask = &list,
};

const struct command command_users_show = {
    .group = "users",
    .name = "show",
    .arguments = "--tenant NAME USER",
    .summary = "One user.",
    .run = ask_run,
    .ask = &show,
};

const struct command command_users_add = {
    .group = "users",
    .name = "add",
    .arguments = "--tenant NAME USER [OPTION...]",
    .summary = "Adds a user; the password comes from standard input.",
    .text = password_text,
    .run = ask_run,
    .ask = &add,
};

const struct command command_users_set = {
    .group = "users",
    .name = "set",
    .arguments = "--tenant NAME USER [OPTION...]",
    .summary = "Changes what is known about a user; tokens have it from the next refresh on.",
    .run = ask_run,
    .ask = &set,
};

const struct command command_users_disable = {
    .group = "users",
    .name = "disable",
    .arguments = "--tenant NAME USER",
    .summary = "Ends the user's sessions and refuses further logins.",
    .run = ask_run,
    .ask = &disable,
};

const struct command command_users_enable = {
    .group = "users",
    .name = "enable",
    .arguments = "--tenant NAME USER",
    .summary = "Lets the user log in again.",
    .run = ask_run,
    .ask = &enable,
};

const struct command command_users_set_password = {
    .group = "users",
    .name = "set-password",
    .arguments = "--tenant NAME USER",
    .summary = "Sets a password from standard input and ends the user's sessions.",
    .text = password_text,
    .run = ask_run,
    .ask = &set_password,
};

const struct command command_users_sessions = {
    .group = "users",
    .name = "sessions",
    .arguments = "--tenant NAME USER",
    .summary = "The user's living sessions; `revoke --session` ends one.",
    .run = ask_run,
    .ask = &sessions,
};
