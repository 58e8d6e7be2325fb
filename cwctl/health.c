/* `cwctl health`: what works, what does not, since when, and the command that helps. */
#include <string.h>
#include <unistd.h>

#include "cwctl/admin.h"
#include "cwctl/remote.h"
#include "proto/clinicwave/identity/v1/admin.pb-c.h"
#include "proto/clinicwave/token/v1/admin.pb-c.h"
#include "proto/grpc/health/v1/health.pb-c.h"

#define OTHER_USER "ask as root, or as the program's own user"
#define READ_LOG "read its log (./dev logs authsvc)"

enum state { UNKNOWN, UP, DEGRADED, DOWN }; /* values of HealthStatus */

static const char *const names[] = {"?", "UP", "DEGRADED", "DOWN"};

static enum state state_of(Clinicwave__Token__V1__HealthStatus status)
{
    /* a value that this version does not know is no good news */
    return (unsigned)status <= DOWN && status != 0 ? (enum state)status : DOWN;
}

static void add(json_t *components, const char *name, enum state state, const char *detail,
                int64_t age, const char *remedy)
{
    json_t *component = json_object();
    json_object_set_new(component, "name", json_string(name));
    json_object_set_new(component, "status", json_string(names[state]));
    if (*detail) {
        json_object_set_new(component, "detail", json_string(detail));
    }
    json_object_set_new(component, "age_seconds", json_integer(age));
    if (*remedy) {
        json_object_set_new(component, "remedy", json_string(remedy));
    }
    json_array_append_new(components, component);
}

/* The sidecar's own account; without an answer it is down, whatever else works. */
static enum state ask_sidecar(const char *run_dir, json_t *components)
{
    Clinicwave__Token__V1__GetHealthRequest request;
    clinicwave__token__v1__get_health_request__init(&request);
    struct cw_rpc_answer answer;
    enum state state = DOWN;
    if (remote_call(run_dir, "admin.sock", "/clinicwave.token.v1.TokenAdminService/GetHealth",
                    &request.base, &clinicwave__token__v1__get_health_response__descriptor,
                    &answer) != CW_OK) {
        char path[REMOTE_PATH_MAX], detail[REMOTE_PATH_MAX + 64];
        remote_socket(run_dir, "admin.sock", path);
        bool there = access(path, F_OK) == 0;
        bool closed = there && (access(path, W_OK) != 0 || answer.err == CW_PERMISSION_DENIED);
        snprintf(detail, sizeof detail, "%s: %s", path,
                 closed  ? "this user may not ask"
                 : there ? cw_err_code(answer.err)
                         : "is not there");
        add(components, "cw-sidecar", DOWN, detail, -1,
            closed ? OTHER_USER : "start cw-sidecar (./dev up), read its log (./dev logs sidecar)");
    } else {
        const Clinicwave__Token__V1__GetHealthResponse *health =
            (const Clinicwave__Token__V1__GetHealthResponse *)answer.response;
        state = state_of(health->status);
        add(components, "cw-sidecar", state, health->version, health->uptime_seconds, "");
        for (size_t i = 0; i < health->n_components; i++) {
            const Clinicwave__Token__V1__HealthComponent *c = health->components[i];
            add(components, c->name, state_of(c->status), c->detail, c->age_seconds, c->remedy);
        }
    }
    cw_rpc_answer_done(&answer);
    return state;
}

/* Why nothing was told of the keys. Who may not ask learns no more than that, and takes it well; so
 * does who asks a cw-authsvc that cannot answer yet, as during an upgrade. */
static enum state add_untold(const char *run_dir, json_t *components, const char *name,
                             enum cw_err err)
{
    char path[REMOTE_PATH_MAX];
    bool there = remote_socket(run_dir, ADMIN_SOCKET, path) && access(path, F_OK) == 0;
    bool closed = (there && access(path, W_OK) != 0) || err == CW_PERMISSION_DENIED ||
                  err == CW_SUBJECT_FORBIDDEN;
    bool older = !closed && err == CW_UNIMPLEMENTED;
    add(components, name, closed || older ? UNKNOWN : DEGRADED,
        older ? "this cw-authsvc is older than cwctl and does not tell" : cw_err_code(err), -1,
        closed  ? "ask as root or as the user of cw-authsvc"
        : older ? "use the cwctl that came with it"
                : READ_LOG);
    return closed || older ? UP : DEGRADED;
}

/* The keys that authsvc signs with, and its database; only who may administer it is told. */
static enum state ask_signing_keys(const char *run_dir, json_t *components)
{
    static const char name[] = "signing-keys";
    Clinicwave__Identity__V1__GetKeyHealthRequest request;
    clinicwave__identity__v1__get_key_health_request__init(&request);
    struct cw_rpc_answer answer;
    enum state state = UP;
    if (remote_call(run_dir, ADMIN_SOCKET, ADMIN("GetKeyHealth"), &request.base,
                    &clinicwave__identity__v1__get_key_health_response__descriptor,
                    &answer) != CW_OK) {
        state = add_untold(run_dir, components, name, answer.err);
    } else {
        const Clinicwave__Identity__V1__GetKeyHealthResponse *h =
            (const Clinicwave__Identity__V1__GetKeyHealthResponse *)answer.response;
        char detail[512], remedy[512];
        state = h->overdue > 0 ? DEGRADED : UP;
        snprintf(detail, sizeof detail,
                 "of %lld tenants%s%s; %lld wait, %lld retired; %lld overdue",
                 (long long)h->tenants, h->age_seconds >= 0 ? ", the oldest is " : "",
                 h->age_seconds >= 0 ? REMOTE_CLEAN(h->oldest_tenant) : "", (long long)h->pending,
                 (long long)h->retired, (long long)h->overdue);
        snprintf(remedy, sizeof remedy,
                 "cwctl signing-keys rotate --tenant %s; read why in the "
                 "log of cw-authsvc",
                 REMOTE_CLEAN(*h->overdue_tenant ? h->overdue_tenant : h->oldest_tenant));
        add(components, name, state, detail, h->age_seconds, state == UP ? "" : remedy);
        if (h->database_down) {
            add(components, "authsvc-database", DOWN, "does not answer, or cannot be written", -1,
                READ_LOG);
            state = DEGRADED; /* the sidecar judges on */
        }
    }
    cw_rpc_answer_done(&answer);
    return state;
}

/* authsvc counts where it is installed on this host: where its socket is. */
static enum state ask_authsvc(const char *run_dir, json_t *components)
{
    char path[REMOTE_PATH_MAX];
    if (!remote_socket(run_dir, "authsvc.sock", path) || access(path, F_OK) != 0) {
        return UP;
    }
    Grpc__Health__V1__HealthCheckRequest request;
    grpc__health__v1__health_check_request__init(&request);
    struct cw_rpc_answer answer;
    enum state state = DOWN;
    if (remote_call(run_dir, "authsvc.sock", "/grpc.health.v1.Health/Check", &request.base,
                    &grpc__health__v1__health_check_response__descriptor, &answer) == CW_OK) {
        const Grpc__Health__V1__HealthCheckResponse *health =
            (const Grpc__Health__V1__HealthCheckResponse *)answer.response;
        state = health->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                    ? UP
                    : DOWN;
    }
    bool closed = state != UP && access(path, W_OK) != 0;
    add(components, "cw-authsvc", state,
        state == UP  ? ""
        : closed     ? "this user may not ask"
        : answer.err ? cw_err_code(answer.err)
                     : "does not serve",
        -1,
        state == UP ? ""
        : closed    ? OTHER_USER
                    : READ_LOG);
    cw_rpc_answer_done(&answer);
    /* the sidecar judges on without it */
    return state == UP ? ask_signing_keys(run_dir, components) : DEGRADED;
}

static void print_component(const json_t *c)
{
    const char *detail = json_string_value(json_object_get(c, "detail"));
    const char *remedy = json_string_value(json_object_get(c, "remedy"));
    const char *status = json_string_value(json_object_get(c, "status"));
    int64_t age = json_integer_value(json_object_get(c, "age_seconds"));
    printf("  %-9s %s", status, REMOTE_CLEAN(json_string_value(json_object_get(c, "name"))));
    if (age >= 0) {
        printf(", %s", REMOTE_AGE(age));
    }
    if (detail) {
        printf(": %s", REMOTE_CLEAN(detail));
    }
    printf("\n");
    if (remedy && strcmp(status, names[UP]) != 0) {
        printf("            → %s\n", REMOTE_CLEAN(remedy));
    }
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *run_dir = NULL;
    bool json = false;
    const struct option_row rows[] = {
        {"--json", OPTION_FLAG, NULL, "one JSON object as answer", &json},
        REMOTE_RUN_DIR_OPTION(&run_dir),
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (operands.n) {
        return command_usage(command, "takes no argument");
    }
    json_t *health = json_object(), *components = json_array();
    enum state sidecar = ask_sidecar(run_dir, components);
    enum state authsvc = ask_authsvc(run_dir, components);
    enum state worst = CW_MAX(sidecar, authsvc);
    json_object_set_new(health, "status", json_string(names[worst]));
    json_object_set_new(health, "components", components);
    if (json) {
        json_dumpf(health, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        printf("\n");
    } else {
        printf("%s\n", names[worst]);
        size_t i;
        json_t *component;
        json_array_foreach(components, i, component)
        {
            print_component(component);
        }
    }
    json_decref(health);
    return worst == UP ? COMMAND_OK : worst == DEGRADED ? COMMAND_REFUSED : COMMAND_UNDECIDED;
}

const struct command command_health = {
    .group = "health",
    .arguments = "[OPTION...]",
    .summary = "What works and what does not. Exit 0 up, 1 degraded, 2 down.",
    .run = run,
};
