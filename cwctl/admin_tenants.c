/* `cwctl tenants list|show|add|set|disable|enable|remove`: tenants of cw-authsvc. */
#include "cwctl/admin.h"
#include "proto/clinicwave/identity/v1/admin.pb-c.h"

typedef Clinicwave__Identity__V1__ManagedTenant tenant_message;

static const char settings_text[] =
    "Settings have the names below `tenants[]` in docs/CONFIG.md; a list is divided by commas:\n"
    "  domains=acme.com,www.acme.com issuer=https://acme.com audiences=https://api.acme.com\n"
    "  clients[0].id=portal algorithm=ES256 access-token-life=10m\n"
    "NAME= takes a setting away. --file reads them from YAML or JSON, as the element of `tenants`\n"
    "would stand in the configuration file, without its name. A secret comes from standard input.";

static const char *state_of(const tenant_message *t)
{
    return t->problem[0]   ? "cannot be used"
           : t->disabled   ? "disabled"
           : t->configured ? "from the configuration file"
                           : "enabled";
}

static void print_tenant(const tenant_message *t)
{
    printf("%s  (%s)\n", REMOTE_CLEAN(t->name), state_of(t));
    for (size_t i = 0; i < t->n_domains; i++) {
        printf("  %-10s %s\n", i ? "" : "domains", REMOTE_CLEAN(t->domains[i]));
    }
    if (t->issuer[0]) {
        printf("  %-10s %s\n", "issuer", REMOTE_CLEAN(t->issuer));
    }
    if (t->problem[0]) {
        printf("  %-10s %s\n", "problem", REMOTE_CLEAN(t->problem));
    }
}

static void print_settings(const tenant_message *t)
{
    print_tenant(t);
    for (size_t i = 0; i < t->n_settings; i++) {
        printf("  %s=", REMOTE_CLEAN(t->settings[i]->name));
        for (size_t k = 0; k < t->settings[i]->n_values; k++) {
            printf("%s%s", k ? "," : "", REMOTE_CLEAN(t->settings[i]->values[k]));
        }
        printf("\n");
    }
}

static void print_list(const ProtobufCMessage *response)
{
    const Clinicwave__Identity__V1__ListTenantsResponse *r =
        (const Clinicwave__Identity__V1__ListTenantsResponse *)response;
    for (size_t i = 0; i < r->n_tenants; i++) {
        print_tenant(r->tenants[i]);
    }
    if (r->next_page_token.len > 0 && r->n_tenants > 0) {
        admin_print_more(r->tenants[r->n_tenants - 1]->name);
    }
}

static void print_shown(const ProtobufCMessage *response)
{
    print_settings(((const Clinicwave__Identity__V1__GetTenantResponse *)response)->tenant);
}

static void print_added(const ProtobufCMessage *response)
{
    const tenant_message *t =
        ((const Clinicwave__Identity__V1__CreateTenantResponse *)response)->tenant;
    printf("tenant %s added\n", REMOTE_CLEAN(t->name));
    print_settings(t);
}

static void print_changed(const ProtobufCMessage *response)
{
    print_settings(((const Clinicwave__Identity__V1__UpdateTenantResponse *)response)->tenant);
}

/* For people, what is missing stands out. */
static void print_findings(const ProtobufCMessage *response)
{
    static const char *const words[] = {"?", "fine", "MISSING", "unknown"};
    const Clinicwave__Identity__V1__CheckTenantResponse *r =
        (const Clinicwave__Identity__V1__CheckTenantResponse *)response;
    for (size_t i = 0; i < r->n_findings; i++) {
        const Clinicwave__Identity__V1__TenantFinding *f = r->findings[i];
        size_t state = (size_t)f->state < CW_ARRAY_SIZE(words) ? (size_t)f->state : 0;
        printf("%-8s %-19s %s\n", words[state], REMOTE_CLEAN(f->setting), REMOTE_CLEAN(f->text));
    }
}

/* A setting that is missing is a refusal. */
static int exit_of_findings(const ProtobufCMessage *response)
{
    const Clinicwave__Identity__V1__CheckTenantResponse *r =
        (const Clinicwave__Identity__V1__CheckTenantResponse *)response;
    for (size_t i = 0; i < r->n_findings; i++) {
        if (r->findings[i]->state ==
            CLINICWAVE__IDENTITY__V1__TENANT_FINDING__STATE__STATE_MISSING) {
            return COMMAND_REFUSED;
        }
    }
    return COMMAND_OK;
}

#define NAME_OPERAND                                                                               \
    {                                                                                              \
        "name", NULL, "NAME", "the tenant", true                                                   \
    }
#define SETTINGS                                                                                   \
    {"document", "--file", "FILE", "settings in YAML or JSON, - for standard input", false},       \
        {"secrets", "--secret", "NAME", "a secret setting, its value from standard input", false}, \
    {                                                                                              \
        "settings", NULL, "NAME=VALUE...", "settings", false                                       \
    }

static const struct ask list = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("ListTenants"),
    .request = &clinicwave__identity__v1__list_tenants_request__descriptor,
    .response = &clinicwave__identity__v1__list_tenants_response__descriptor,
    .arguments = {ADMIN_PAGE},
    .change = true,
    .print = print_list,
};

static const struct ask show = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("GetTenant"),
    .request = &clinicwave__identity__v1__get_tenant_request__descriptor,
    .response = &clinicwave__identity__v1__get_tenant_response__descriptor,
    .arguments = {NAME_OPERAND},
    .change = true,
    .print = print_shown,
};

static const struct ask add = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("CreateTenant"),
    .request = &clinicwave__identity__v1__create_tenant_request__descriptor,
    .response = &clinicwave__identity__v1__create_tenant_response__descriptor,
    .arguments = {NAME_OPERAND, SETTINGS},
    .change = true,
    .print = print_added,
};

static const struct ask set = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("UpdateTenant"),
    .request = &clinicwave__identity__v1__update_tenant_request__descriptor,
    .response = &clinicwave__identity__v1__update_tenant_response__descriptor,
    .arguments = {NAME_OPERAND,
                  SETTINGS,
                  {"if_version", "--if-version", "N", "only if it is of this version still",
                   false}},
    .change = true,
    .print = print_changed,
};

static const struct ask disable = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("DisableTenant"),
    .request = &clinicwave__identity__v1__disable_tenant_request__descriptor,
    .response = &clinicwave__identity__v1__disable_tenant_response__descriptor,
    .arguments = {NAME_OPERAND},
    .change = true,
    .print = admin_print_done,
};

static const struct ask enable = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("EnableTenant"),
    .request = &clinicwave__identity__v1__enable_tenant_request__descriptor,
    .response = &clinicwave__identity__v1__enable_tenant_response__descriptor,
    .arguments = {NAME_OPERAND},
    .change = true,
    .print = admin_print_done,
};

static const struct ask removal = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("DeleteTenant"),
    .request = &clinicwave__identity__v1__delete_tenant_request__descriptor,
    .response = &clinicwave__identity__v1__delete_tenant_response__descriptor,
    .arguments = {NAME_OPERAND},
    .change = true,
    .print = admin_print_done,
};

static const struct ask check = {
    .socket = ADMIN_SOCKET,
    .method = ADMIN("CheckTenant"),
    .request = &clinicwave__identity__v1__check_tenant_request__descriptor,
    .response = &clinicwave__identity__v1__check_tenant_response__descriptor,
    .arguments = {{"domain", NULL, "DOMAIN", "one of its domains, or its name", true},
                  {"username", "--username", "NAME", "also log this user in, for real", false},
                  {"password", "--password-file", "FILE",
                   "the user's password, - for standard input", false}},
    .change = true,
    .print = print_findings,
    .exit_code = exit_of_findings,
};

const struct command command_tenants_check = {
    .group = "tenants",
    .name = "check",
    .arguments = "DOMAIN [OPTION...]",
    .summary = "Asks the tenant's identity provider which setting is missing (docs/AUTH0.md).",
    .run = ask_run,
    .ask = &check,
};

const struct command command_tenants_list = {
    .group = "tenants",
    .name = "list",
    .arguments = "[OPTION...]",
    .summary = "Tenants of cw-authsvc, by name.",
    .run = ask_run,
    .ask = &list,
};

const struct command command_tenants_show = {
    .group = "tenants",
    .name = "show",
    .arguments = "NAME",
    .summary = "One tenant with its settings, without its secrets.",
    .run = ask_run,
    .ask = &show,
};

const struct command command_tenants_add = {
    .group = "tenants",
    .name = "add",
    .arguments = "NAME [OPTION...] [SETTING=VALUE...]",
    .summary = "Adds a tenant; its domains are served when the command ends.",
    .text = settings_text,
    .run = ask_run,
    .ask = &add,
};

const struct command command_tenants_set = {
    .group = "tenants",
    .name = "set",
    .arguments = "NAME [OPTION...] [SETTING=VALUE...]",
    .summary = "Changes settings of a tenant; the others stay.",
    .text = settings_text,
    .run = ask_run,
    .ask = &set,
};

const struct command command_tenants_disable = {
    .group = "tenants",
    .name = "disable",
    .arguments = "NAME",
    .summary = "Refuses its logins, refreshes and tokens from now on.",
    .run = ask_run,
    .ask = &disable,
};

const struct command command_tenants_enable = {
    .group = "tenants",
    .name = "enable",
    .arguments = "NAME",
    .summary = "Takes that back; sessions and tokens count again.",
    .run = ask_run,
    .ask = &enable,
};

const struct command command_tenants_remove = {
    .group = "tenants",
    .name = "remove",
    .arguments = "NAME",
    .summary = "Deletes a disabled tenant with its users, sessions and keys.",
    .run = ask_run,
    .ask = &removal,
};
