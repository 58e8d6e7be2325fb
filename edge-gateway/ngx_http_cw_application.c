
/*
 * cw_application, which makes an application's instances the servers of an
 * upstream, with its parameters.
 */


#include <ctype.h>

#include "ngx_http_cw_module.h"
#include "ngx_http_cw_balancer.h"
#include "ngx_http_cw_discovery.h"


#define NGX_HTTP_CW_FAIL_TIMEOUT      (10 * 1000)
#define NGX_HTTP_CW_MAX_FAIL_TIMEOUT  (120 * 1000)
#define NGX_HTTP_CW_TIME_PARAM_MAX    (24 * 60 * 60)     /* seconds */


static char *ngx_http_cw_application_params(ngx_conf_t *cf,
    ngx_http_cw_upstream_conf_t *ucf);
static ngx_uint_t ngx_http_cw_application_time(ngx_str_t *value,
    const char *name, ngx_msec_t *time);
static ngx_int_t ngx_http_cw_application_server(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *uscf);


char *
ngx_http_cw_application(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cw_upstream_conf_t *ucf = conf;

    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_cw_discovery_conf_t  *dcf;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);
    dcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cw_upstream_module);
    value = cf->args->elts;

    if (ucf->app) {
        return "is duplicate";
    }

    if (uscf->servers->nelts) {
        return "stands in an upstream that has servers of its own";
    }

    if (uscf->peer.init_upstream) {
        return "must come before any other balancer or \"keepalive\"";
    }

    if (value[1].len == 0 || value[1].len > NGX_HTTP_CW_APP_NAME_MAX) {
        return "has a name that is empty or too long";
    }

    for (i = 0; i < value[1].len; i++) {
        if (!isalnum(value[1].data[i])
            && ngx_strchr("._:-", value[1].data[i]) == NULL)
        {
            return "has a name with other characters than letters, digits and "
                   "._:-";
        }
    }

    ucf->app = ngx_http_cw_discovery_add(cf, dcf, &value[1]);

    if (ucf->app == NULL
        || ngx_http_cw_application_server(cf, uscf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE;
    uscf->peer.init_upstream = ngx_http_cw_init_upstream;

    return ngx_http_cw_application_params(cf, ucf);
}


static char *
ngx_http_cw_application_params(ngx_conf_t *cf,
    ngx_http_cw_upstream_conf_t *ucf)
{
    ngx_int_t             n;
    ngx_str_t            *value;
    ngx_uint_t            i, k;
    ngx_http_cw_fails_t  *fails;

    struct {
        const char    *name;
        ngx_msec_t    *time;
    } times[] = {
        { "fail_timeout=", &ucf->fails.fail_timeout },
        { "max_fail_timeout=", &ucf->fails.max_fail_timeout },
        { "slow_start=", &ucf->slow_start }
    };

    value = cf->args->elts;
    fails = &ucf->fails;

    fails->max_fails = 1;
    fails->fail_timeout = NGX_HTTP_CW_FAIL_TIMEOUT;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "max_fails=", 10) == 0) {

            n = ngx_atoi(&value[i].data[10], value[i].len - 10);
            if (n == NGX_ERROR) {
                return "has an invalid \"max_fails\"";
            }

            fails->max_fails = n;
            continue;
        }

        for (k = 0; k < 3; k++) {
            if (ngx_http_cw_application_time(&value[i], times[k].name,
                                             times[k].time))
            {
                break;
            }
        }

        if (k == 3) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"cw_application\" has an unknown parameter "
                               "\"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (*times[k].time == (ngx_msec_t) NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"cw_application\" has an invalid \"%V\"",
                               &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    if (fails->max_fail_timeout == 0) {
        fails->max_fail_timeout = ngx_max(NGX_HTTP_CW_MAX_FAIL_TIMEOUT,
                                          fails->fail_timeout);
    }

    if (fails->max_fail_timeout < fails->fail_timeout) {
        return "has a \"max_fail_timeout\" shorter than its "
               "\"fail_timeout\"";
    }

    return NGX_CONF_OK;
}


/* as in nginx's server: a number without a unit is seconds */

static ngx_uint_t
ngx_http_cw_application_time(ngx_str_t *value, const char *name,
    ngx_msec_t *time)
{
    size_t     len;
    ngx_int_t  n;
    ngx_str_t  s;

    len = ngx_strlen(name);

    if (value->len < len || ngx_strncmp(value->data, name, len) != 0) {
        return 0;
    }

    s.data = value->data + len;
    s.len = value->len - len;

    n = ngx_parse_time(&s, 1);

    *time = (n == NGX_ERROR || n > NGX_HTTP_CW_TIME_PARAM_MAX)
            ? (ngx_msec_t) NGX_ERROR : (ngx_msec_t) n * 1000;

    return 1;
}


/* nginx wants a server in each upstream, and "zone" copies it */

static ngx_int_t
ngx_http_cw_application_server(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *uscf)
{
    struct sockaddr_in          *sin;
    ngx_http_upstream_server_t  *us;

    us = ngx_array_push(uscf->servers);
    if (us == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(us, sizeof(ngx_http_upstream_server_t));

    us->addrs = ngx_pcalloc(cf->pool, sizeof(ngx_addr_t));
    sin = ngx_pcalloc(cf->pool, sizeof(struct sockaddr_in));

    if (us->addrs == NULL || sin == NULL) {
        return NGX_ERROR;
    }

    sin->sin_family = AF_INET;

    us->addrs->sockaddr = (struct sockaddr *) sin;
    us->addrs->socklen = sizeof(struct sockaddr_in);
    ngx_str_set(&us->addrs->name, "none");
    ngx_str_set(&us->name, "none");
    us->naddrs = 1;
    us->weight = 1;
    us->down = 1;

    return NGX_OK;
}
