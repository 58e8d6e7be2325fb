/* `cwctl tenants`: tenants as the sidecar sees them. */
#include "cwctl/ask.h"
#include "proto/clinicwave/token/v1/admin.pb-c.h"

static void print_list(const char *name, char **items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("  %-10s %s\n", i ? "" : name, REMOTE_CLEAN(items[i]));
    }
}

static void print_all(const ProtobufCMessage *response)
{
    const Clinicwave__Token__V1__ListTenantsResponse *all =
        (const Clinicwave__Token__V1__ListTenantsResponse *)response;
    for (size_t i = 0; i < all->n_tenants; i++) {
        const Clinicwave__Token__V1__TenantSummary *t = all->tenants[i];
        printf("%s  (from %s, generation %llu)\n", REMOTE_CLEAN(t->name), REMOTE_CLEAN(t->source),
               (unsigned long long)t->generation);
        print_list("domains", t->domains, t->n_domains);
        print_list("issuers", t->issuers, t->n_issuers);
        print_list("audiences", t->audiences, t->n_audiences);
        print_list("origins", t->origins, t->n_origins);
    }
}

static const struct ask list = {
    .socket = "admin.sock",
    .method = "/clinicwave.token.v1.TokenAdminService/ListTenants",
    .request = &clinicwave__token__v1__list_tenants_request__descriptor,
    .response = &clinicwave__token__v1__list_tenants_response__descriptor,
    .print = print_all,
};

const struct command command_tenants = {
    .group = "tenants",
    .arguments = "[OPTION...]",
    .summary = "Tenants as the sidecar sees them; with a word, those of cw-authsvc.",
    .run = ask_run,
    .ask = &list,
};
