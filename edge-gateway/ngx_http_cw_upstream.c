
/*
 * upstream { cw_application NAME; }: reads the directives of the balancer, and
 * puts it in the place of nginx's own.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_balancer.h"
#include "ngx_http_cw_discovery.h"


#define NGX_HTTP_CW_BUDGET_MIN_MAX  1000000


/* as long as nothing is said */

static ngx_http_cw_budget_conf_t  ngx_http_cw_budget_default = { 0, 20, 10 };


static void *ngx_http_cw_upstream_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_cw_upstream_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_cw_upstream_create_srv_conf(ngx_conf_t *cf);
static char *ngx_http_cw_balance(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cw_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cw_retry_budget(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_cw_upstream_commands[] = {

    { ngx_string("cw_application"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_cw_application,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_balance"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE12,
      ngx_http_cw_balance,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_zone"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_cw_zone,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cw_upstream_conf_t, zone),
      NULL },

    { ngx_string("cw_retry_budget"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_UPS_CONF|NGX_CONF_TAKE12,
      ngx_http_cw_retry_budget,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("cw_discovery_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_cw_discovery_conf_t, size),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_cw_upstream_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_cw_upstream_create_main_conf, /* create main configuration */
    ngx_http_cw_upstream_init_main_conf,   /* init main configuration */

    ngx_http_cw_upstream_create_srv_conf,  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_cw_upstream_module = {
    NGX_MODULE_V1,
    &ngx_http_cw_upstream_module_ctx,      /* module context */
    ngx_http_cw_upstream_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_cw_upstream_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_cw_discovery_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cw_discovery_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->size = NGX_CONF_UNSET_SIZE;

    if (ngx_array_init(&conf->apps, cf->pool, 4,
                       sizeof(ngx_http_cw_app_conf_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return conf;
}


static char *
ngx_http_cw_upstream_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_cw_discovery_conf_t *dcf = conf;

    ngx_conf_init_size_value(dcf->size, 4 * 1024 * 1024);

    if (dcf->size < (size_t) (8 * ngx_pagesize)) {
        return "\"cw_discovery_zone\" is too small";
    }

    if (ngx_http_cw_discovery_init(cf, dcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_cw_upstream_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_cw_upstream_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cw_upstream_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->policy = NGX_CONF_UNSET_UINT;

    return conf;
}


static char *
ngx_http_cw_balance(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cw_upstream_conf_t *ucf = conf;

    ngx_str_t                         *value;
    ngx_http_compile_complex_value_t   ccv;

    value = cf->args->elts;

    if (ucf->app == NULL) {
        return "must stand after the upstream's \"cw_application\"";
    }

    if (ucf->policy != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    if (ngx_strcmp(value[1].data, "hash") == 0) {

        if (cf->args->nelts != 3) {
            return "hash needs a key";
        }

        if (ucf->slow_start) {
            return "hash does not go with \"slow_start\": keys would move "
                   "with the weight";
        }

        ucf->policy = NGX_HTTP_CW_PICK_HASH;
        ucf->key = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (ucf->key == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[2];
        ccv.complex_value = ucf->key;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (ucf->key->lengths == NULL) {
            return "hash has a key without a variable: all requests would go "
                   "to one instance";
        }

        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 2
        && ngx_strcmp(value[1].data, "round_robin") == 0)
    {
        ucf->policy = NGX_HTTP_CW_PICK_ROUND_ROBIN;
        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 2
        && ngx_strcmp(value[1].data, "least_conn") == 0)
    {
        ucf->policy = NGX_HTTP_CW_PICK_LEAST_CONN;
        ucf->app->counted = 1;
        return NGX_CONF_OK;
    }

    return "must be \"round_robin\", \"least_conn\" or \"hash KEY\"";
}


static char *
ngx_http_cw_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cw_upstream_conf_t *ucf = conf;

    if ((cf->cmd_type & NGX_HTTP_UPS_CONF) && ucf->app == NULL) {
        return "must stand after the upstream's \"cw_application\"";
    }

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}


/* cw_retry_budget PERCENT% [min=N] | off */

static char *
ngx_http_cw_retry_budget(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cw_upstream_conf_t *ucf = conf;

    ngx_int_t                   n;
    ngx_str_t                  *value;
    ngx_http_cw_budget_conf_t  *budget;

    value = cf->args->elts;

    if ((cf->cmd_type & NGX_HTTP_UPS_CONF) && ucf->app == NULL) {
        return "must stand after the upstream's \"cw_application\"";
    }

    if (ucf->budget) {
        return "is duplicate";
    }

    budget = ngx_palloc(cf->pool, sizeof(ngx_http_cw_budget_conf_t));
    if (budget == NULL) {
        return NGX_CONF_ERROR;
    }

    *budget = ngx_http_cw_budget_default;
    ucf->budget = budget;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        budget->unlimited = 1;
        return NGX_CONF_OK;
    }

    n = (value[1].len && value[1].data[value[1].len - 1] == '%')
        ? ngx_atoi(value[1].data, value[1].len - 1) : NGX_ERROR;

    if (n == NGX_ERROR || n > 100) {
        return "must be \"off\" or a share from 0% to 100%";
    }

    budget->percent = n;

    if (cf->args->nelts == 3) {

        n = (ngx_strncmp(value[2].data, "min=", 4) == 0)
            ? ngx_atoi(value[2].data + 4, value[2].len - 4) : NGX_ERROR;

        if (n == NGX_ERROR || n > NGX_HTTP_CW_BUDGET_MIN_MAX) {
            return "has an invalid \"min\"";
        }

        budget->min = n;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_cw_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_cw_main_conf_t      *mcf;
    ngx_http_cw_upstream_conf_t  *ucf, *above;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cw_module);
    ucf = ngx_http_conf_upstream_srv_conf(us, ngx_http_cw_upstream_module);
    above = ngx_http_conf_get_module_srv_conf(cf, ngx_http_cw_upstream_module);

    if (ucf->zone == NULL) {
        ucf->zone = above->zone;
    }

    if (ucf->budget == NULL) {
        ucf->budget = above->budget ? above->budget
                                    : &ngx_http_cw_budget_default;
    }

    ngx_conf_init_uint_value(ucf->policy, NGX_HTTP_CW_PICK_ROUND_ROBIN);

    if (mcf->sidecar.sockaddr == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"cw_application\" in upstream \"%V\" in %s:%ui needs "
                      "\"cw_sidecar\"", &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

    if (us->servers->nelts != 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "upstream \"%V\" in %s:%ui has \"cw_application\" and "
                      "servers of its own", &us->host, us->file_name,
                      us->line);
        return NGX_ERROR;
    }

    if (ngx_http_upstream_init_round_robin(cf, us) != NGX_OK) {
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_cw_balancer_init_peer;

    return NGX_OK;
}
