
/*
 * The edge gateway as a module of nginx: its directives, where it stands in
 * the phases of a request, and what a worker starts with.
 *
 * The route: POST_READ cleans the headers (headers, trace), PREACCESS guards
 * subrequests, ACCESS extracts the token, asks the sidecar (extract, batch,
 * link) and admits or refuses (access, respond); the log tells.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_balancer.h"
#include "ngx_http_cw_discovery.h"


#define NGX_HTTP_CW_ALL   NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF                \
                          |NGX_HTTP_LOC_CONF
/* a requirement may differ by method */
#define NGX_HTTP_CW_RULE  NGX_HTTP_CW_ALL|NGX_HTTP_LMT_CONF


static char *ngx_http_cw_healthz(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cw_route_unknown(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_cw_add_phases(ngx_conf_t *cf);
static ngx_int_t ngx_http_cw_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_cw_init_process(ngx_cycle_t *cycle);
static void ngx_http_cw_exit_process(ngx_cycle_t *cycle);


static ngx_conf_enum_t  ngx_http_cw_auth_values[] = {
    { ngx_string("off"), NGX_HTTP_CW_AUTH_OFF },
    { ngx_string("optional"), NGX_HTTP_CW_AUTH_OPTIONAL },
    { ngx_string("required"), NGX_HTTP_CW_AUTH_REQUIRED },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_cw_authorization_values[] = {
    { ngx_string("strip"), 0 },
    { ngx_string("pass"), 1 },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_cw_undecided_values[] = {
    { ngx_string("refuse"), 0 },
    { ngx_string("anonymous"), 1 },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_cw_ambiguous_values[] = {
    { ngx_string("refuse"), 0 },
    { ngx_string("allow"), 1 },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_cw_trace_values[] = {
    { ngx_string("restart"), NGX_HTTP_CW_TRACE_RESTART },
    { ngx_string("continue"), NGX_HTTP_CW_TRACE_CONTINUE },
    { ngx_null_string, 0 }
};


/* docs/GATEWAY.md has a section for each */

static ngx_command_t  ngx_http_cw_commands[] = {

    /* the sidecar */

    { ngx_string("cw_sidecar"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_cw_sidecar,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_digests"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_cw_main_conf_t, digests),
      NULL },

    /* the rule */

    { ngx_string("cw_auth"),
      NGX_HTTP_CW_ALL|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, auth),
      &ngx_http_cw_auth_values },

    { ngx_string("cw_audience"),
      NGX_HTTP_CW_RULE|NGX_CONF_1MORE,
      ngx_http_cw_strings,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, audiences),
      NULL },

    { ngx_string("cw_scope"),
      NGX_HTTP_CW_RULE|NGX_CONF_1MORE,
      ngx_http_cw_strings,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, scopes_all),
      NULL },

    { ngx_string("cw_scope_any"),
      NGX_HTTP_CW_RULE|NGX_CONF_1MORE,
      ngx_http_cw_strings,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, scopes_any),
      NULL },

    { ngx_string("cw_role"),
      NGX_HTTP_CW_RULE|NGX_CONF_1MORE,
      ngx_http_cw_strings,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, roles_any),
      NULL },

    { ngx_string("cw_role_all"),
      NGX_HTTP_CW_RULE|NGX_CONF_1MORE,
      ngx_http_cw_strings,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, roles_all),
      NULL },

    { ngx_string("cw_timeout"),
      NGX_HTTP_CW_ALL|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, timeout),
      NULL },

    { ngx_string("cw_undecided"),
      NGX_HTTP_CW_ALL|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, anonymous),
      &ngx_http_cw_undecided_values },

    { ngx_string("cw_realm"),
      NGX_HTTP_CW_ALL|NGX_CONF_TAKE1,
      ngx_http_cw_realm,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, realm),
      NULL },

    /* the request */

    { ngx_string("cw_token_from"),
      NGX_HTTP_CW_ALL|NGX_CONF_TAKE12,
      ngx_http_cw_token_from,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_trusted_proxy"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_cw_trusted_proxy,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_ambiguous_path"),
      NGX_HTTP_CW_ALL|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, ambiguous),
      &ngx_http_cw_ambiguous_values },

    /* what the service gets */

    { ngx_string("cw_claim_header"),
      NGX_HTTP_CW_ALL|NGX_CONF_TAKE2,
      ngx_http_cw_claim_header,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_authorization"),
      NGX_HTTP_CW_ALL|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, pass_authorization),
      &ngx_http_cw_authorization_values },

    { ngx_string("cw_strip_prefix"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, prefix),
      NULL },

    { ngx_string("cw_trace"),
      NGX_HTTP_CW_ALL|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, trace),
      &ngx_http_cw_trace_values },

    /* what the client gets */

    { ngx_string("cw_cors"),
      NGX_HTTP_CW_ALL|NGX_CONF_1MORE,
      ngx_http_cw_cors,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_origins_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_cw_main_conf_t, origins.size),
      NULL },

    { ngx_string("cw_problem"),
      NGX_HTTP_CW_ALL|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cw_loc_conf_t, problem),
      NULL },

    { ngx_string("cw_error_docs"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_cw_main_conf_t, error_docs),
      NULL },

    /* locations of the gateway's own */

    { ngx_string("cw_healthz"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_cw_healthz,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_route_unknown"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_cw_route_unknown,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_cw_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_cw_module_ctx = {
    ngx_http_cw_add_variables,             /* preconfiguration */
    ngx_http_cw_postconfiguration,         /* postconfiguration */

    ngx_http_cw_create_main_conf,          /* create main configuration */
    ngx_http_cw_init_main_conf,            /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_cw_create_loc_conf,           /* create location configuration */
    ngx_http_cw_merge_loc_conf             /* merge location configuration */
};


ngx_module_t  ngx_http_cw_module = {
    NGX_MODULE_V1,
    &ngx_http_cw_module_ctx,               /* module context */
    ngx_http_cw_commands,                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_cw_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_cw_exit_process,              /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static char *
ngx_http_cw_healthz(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_cw_healthz_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_cw_route_unknown(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_cw_route_unknown_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_cw_add_phases(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    static const struct {
        ngx_uint_t              phase;
        ngx_http_handler_pt     handler;
    } phases[] = {
        { NGX_HTTP_POST_READ_PHASE, ngx_http_cw_post_read_handler },
        { NGX_HTTP_SERVER_REWRITE_PHASE, ngx_http_cw_rewrite_handler },
        { NGX_HTTP_REWRITE_PHASE, ngx_http_cw_rewrite_handler },
        { NGX_HTTP_PREACCESS_PHASE, ngx_http_cw_preaccess_handler },
        { NGX_HTTP_ACCESS_PHASE, ngx_http_cw_access_handler },
        { NGX_HTTP_LOG_PHASE, ngx_http_cw_log_handler }
    };

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        h = ngx_array_push(&cmcf->phases[phases[i].phase].handlers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = phases[i].handler;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cw_module);

    if (ngx_http_cw_add_phases(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_cw_metrics_init(cf, &mcf->metrics) != NGX_OK
        || ngx_http_cw_origins_init(cf, &mcf->origins) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cw_respond_init(cf);
}


static ngx_int_t
ngx_http_cw_init_process(ngx_cycle_t *cycle)
{
    ngx_http_cw_main_conf_t       *mcf;
    ngx_http_cw_discovery_conf_t  *dcf;

    /* the cache manager and loader come through here, too */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cw_module);

    if (mcf == NULL) {
        return NGX_OK;
    }

    ngx_http_cw_metrics_start(mcf->metrics);

    if (mcf->sidecar.sockaddr == NULL) {
        return NGX_OK;
    }

    mcf->link = ngx_http_cw_link_create(&mcf->sidecar, cycle->log);
    if (mcf->link == NULL) {
        return NGX_ERROR;
    }

    dcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_cw_upstream_module);

    if (ngx_http_cw_discovery_start(cycle, dcf, mcf->link) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_cw_origins_start(cycle, &mcf->origins, mcf->link);

    mcf->batch = ngx_http_cw_batch_create(mcf->link, mcf->digests,
                                          cycle->log);
    if (mcf->batch == NULL) {
        return NGX_ERROR;
    }

    ngx_http_cw_link_start(mcf->link);

    return NGX_OK;
}


static void
ngx_http_cw_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_cw_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_cw_module);

    if (mcf == NULL || mcf->link == NULL) {
        return;
    }

    ngx_http_cw_discovery_stop();
    ngx_http_cw_origins_stop();

    ngx_http_cw_link_destroy(mcf->link);
    mcf->link = NULL;

    if (mcf->batch) {
        ngx_http_cw_batch_destroy(mcf->batch);
        mcf->batch = NULL;
    }
}
