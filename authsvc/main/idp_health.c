/* How the tenants' identity providers are: a line each for a few, numbers for all. */
#include "authsvc/main/idp_health.h"

struct survey {
    json_t *troubled; /* objects by tenant, at most IDP_HEALTH_SHOWN each */
    json_t *well;
    json_int_t n;
    json_int_t n_troubled;
};

static void add(void *ctx, const struct idp_state *state)
{
    struct survey *survey = ctx;
    json_t *shown = state->usable ? survey->well : survey->troubled;
    survey->n++;
    survey->n_troubled += !state->usable;
    if (json_object_size(shown) >= IDP_HEALTH_SHOWN) {
        return;
    }
    json_t *one = json_pack("{s:b, s:s}", "metadata", state->known, "breaker", state->breaker);
    if (state->keys_age_s >= 0) {
        json_object_set_new(one, "keysAgeSeconds", json_integer(state->keys_age_s));
    }
    if (state->why[0] != '\0') {
        json_object_set_new(one, "why", json_string(state->why));
    }
    json_object_set_new(shown, state->tenant, one);
}

enum cw_health idp_health_check(void *ctx, json_t *details)
{
    struct survey survey = {.troubled = json_object(), .well = json_object()};
    idp_each(ctx, add, &survey);
    const char *tenant;
    json_t *one;
    json_object_foreach(survey.well, tenant, one)
    {
        if (json_object_size(survey.troubled) < IDP_HEALTH_SHOWN) {
            json_object_set(survey.troubled, tenant, one);
        }
    }
    json_object_set_new(details, "providers", json_integer(survey.n));
    json_object_set_new(details, "troubled", json_integer(survey.n_troubled));
    json_object_set_new(details, "tenants", survey.troubled);
    json_decref(survey.well);
    return survey.n_troubled == 0         ? CW_HEALTH_UP
           : survey.n_troubled < survey.n ? CW_HEALTH_UNKNOWN
                                          : CW_HEALTH_DOWN;
}
