
/*
 * Reads the directives that are more than one value.
 */


#include "ngx_http_cw_module.h"
#include "common/base/domain.h"

#include <pwd.h>


/* cw_sidecar unix:/path [user=NAME] … */

char *
ngx_http_cw_sidecar(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cw_main_conf_t *mcf = conf;

    uid_t          *uid;
    ngx_str_t      *value, path;
    ngx_url_t       u;
    ngx_uint_t      i;
    struct passwd  *pw;

    if (mcf->sidecar.sockaddr) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "unix:", 5) != 0) {
        return "must be \"unix:\" and a path: nothing else shows who listens";
    }

    path.data = value[1].data + 5;
    path.len = value[1].len - 5;

    if (path.len && path.data[0] != '/') {

        if (ngx_conf_full_name(cf->cycle, &path, 0) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        value[1].len = path.len + 5;
        value[1].data = ngx_pnalloc(cf->pool, value[1].len + 1);
        if (value[1].data == NULL) {
            return NGX_CONF_ERROR;
        }

        (void) ngx_sprintf(value[1].data, "unix:%V%Z", &path);
    }

    ngx_memzero(&u, sizeof(ngx_url_t));
    u.url = value[1];

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"%V\"",
                           u.err ? u.err : "invalid address", &u.url);
        return NGX_CONF_ERROR;
    }

    mcf->sidecar.sockaddr = u.addrs[0].sockaddr;
    mcf->sidecar.socklen = u.addrs[0].socklen;
    mcf->sidecar.name = value[1];

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "user=", 5) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        pw = getpwnam((char *) value[i].data + 5);

        if (pw == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "no user \"%s\"", value[i].data + 5);
            return NGX_CONF_ERROR;
        }

        if (mcf->sidecar.uids == NULL) {
            mcf->sidecar.uids = ngx_array_create(cf->pool, 2, sizeof(uid_t));
            if (mcf->sidecar.uids == NULL) {
                return NGX_CONF_ERROR;
            }
        }

        uid = ngx_array_push(mcf->sidecar.uids);
        if (uid == NULL) {
            return NGX_CONF_ERROR;
        }

        *uid = pw->pw_uid;
    }

    return NGX_CONF_OK;
}


/* it goes between quotes as it is (RFC 9110, 5.6.4) */

char *
ngx_http_cw_realm(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char     *c;
    ngx_str_t  *value;

    value = cf->args->elts;

    for (c = value[1].data; c < value[1].data + value[1].len; c++) {
        if (*c < ' ' || *c == '"' || *c == '\\' || *c == 0x7f) {
            return "has a quote, a backslash or a control character";
        }
    }

    return ngx_conf_set_str_slot(cf, cmd, conf);
}


/* appends the arguments to an array of strings */

char *
ngx_http_cw_strings(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char          *p = conf;

    u_char        *c;
    ngx_str_t     *value, *s;
    ngx_uint_t     i;
    ngx_array_t  **a;

    a = (ngx_array_t **) (void *) (p + cmd->offset);

    if (*a == NGX_CONF_UNSET_PTR) {
        *a = ngx_array_create(cf->pool, cf->args->nelts - 1,
                              sizeof(ngx_str_t));
        if (*a == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            return "has an empty argument";
        }

        for (c = value[i].data; c < value[i].data + value[i].len; c++) {
            if (*c <= ' ' || *c == '"' || *c == '\\' || *c == 0x7f) {
                return "has a character that no scope, role or audience has";
            }
        }

        s = ngx_array_push(*a);
        if (s == NULL) {
            return NGX_CONF_ERROR;
        }

        *s = value[i];
    }

    return NGX_CONF_OK;
}


/* cw_claim_header X-Auth-Email email */

char *
ngx_http_cw_claim_header(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cw_loc_conf_t *lcf = conf;

    ngx_str_t                   *value, *name;
    ngx_uint_t                   i;
    ngx_http_cw_main_conf_t     *mcf;
    ngx_http_cw_claim_header_t  *claim;

    value = cf->args->elts;

    for (i = 0; i < value[1].len; i++) {
        if (!((value[1].data[i] >= 'a' && value[1].data[i] <= 'z')
              || (value[1].data[i] >= 'A' && value[1].data[i] <= 'Z')
              || (value[1].data[i] >= '0' && value[1].data[i] <= '9')
              || value[1].data[i] == '-'))
        {
            return "has a header name that is not letters, digits, hyphens";
        }
    }

    if (value[1].len == 0 || value[2].len == 0) {
        return "has an empty argument";
    }

    if (ngx_http_cw_identity_has(&value[1])) {
        return "has a header that the gateway itself sends or reads";
    }

    if (lcf->claims == NGX_CONF_UNSET_PTR) {
        lcf->claims = ngx_array_create(cf->pool, 2,
                                       sizeof(ngx_http_cw_claim_header_t));
        if (lcf->claims == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    claim = ngx_array_push(lcf->claims);
    if (claim == NULL) {
        return NGX_CONF_ERROR;
    }

    claim->header = value[1];
    claim->claim = value[2];
    claim->lowcase.len = value[1].len;
    claim->lowcase.data = ngx_pnalloc(cf->pool, value[1].len);
    if (claim->lowcase.data == NULL) {
        return NGX_CONF_ERROR;
    }

    claim->hash = ngx_hash_strlow(claim->lowcase.data, value[1].data,
                                  value[1].len);

    /* no client may send it anywhere: a location's identity is forged at
     * another location otherwise */

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cw_module);

    name = ngx_array_push(&mcf->claim_names);
    if (name == NULL) {
        return NGX_CONF_ERROR;
    }

    *name = claim->lowcase;

    return NGX_CONF_OK;
}


char *
ngx_http_cw_trusted_proxy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cw_main_conf_t *mcf = conf;

    ngx_int_t    rc;
    ngx_str_t   *value;
    ngx_uint_t   i;
    ngx_cidr_t  *cidr;

    if (mcf->trusted == NULL) {
        mcf->trusted = ngx_array_create(cf->pool, 2, sizeof(ngx_cidr_t));
        if (mcf->trusted == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        cidr = ngx_array_push(mcf->trusted);
        if (cidr == NULL) {
            return NGX_CONF_ERROR;
        }

        rc = ngx_ptocidr(&value[i], cidr);

        if (rc == NGX_ERROR || rc == NGX_DONE) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is no address and no network",
                               &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* cw_token_from authorization | header NAME | cookie NAME */

char *
ngx_http_cw_token_from(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cw_loc_conf_t *lcf = conf;

    ngx_str_t                *value, *name;
    ngx_http_cw_main_conf_t  *mcf;

    if (lcf->token_header.len || lcf->token_cookie.len) {
        return "is duplicate";
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cw_module);
    value = cf->args->elts;

    if (cf->args->nelts == 2) {

        if (ngx_strcmp(value[1].data, "authorization") == 0) {
            ngx_str_set(&lcf->token_header, "authorization");
            return NGX_CONF_OK;
        }

    } else if (value[2].len && ngx_strcmp(value[1].data, "header") == 0) {
        ngx_strlow(value[2].data, value[2].data, value[2].len);
        lcf->token_header = value[2];

        if (ngx_strcmp(value[2].data, "authorization") == 0) {
            return NGX_CONF_OK;
        }

        name = ngx_array_push(&mcf->token_names);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        *name = value[2];

        return NGX_CONF_OK;

    } else if (ngx_strcmp(value[1].data, "cookie") == 0) {

        /* RFC 6265bis §4.1.3: only this prefix keeps siblings from setting
         * it */

        if (value[2].len <= 7
            || ngx_strncmp(value[2].data, "__Host-", 7) != 0)
        {
            return "names a cookie that does not begin with \"__Host-\"";
        }

        lcf->token_cookie = value[2];

        name = ngx_array_push(&mcf->cookie_names);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        *name = value[2];

        return NGX_CONF_OK;
    }

    return "must be \"authorization\", \"header NAME\" or \"cookie NAME\"";
}


/*
 * cw_cors DOMAIN ORIGIN …, DOMAIN "*" is every domain; cw_cors tenant: those
 * that the domain's tenant names
 */

char *
ngx_http_cw_cors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cw_loc_conf_t *lcf = conf;

    char                      domain[CW_DOMAIN_MAX + 1];
    ngx_str_t                *value, *origin;
    ngx_uint_t                i, tenant;
    struct cw_str             host;
    ngx_http_cw_cors_t       *cors;
    ngx_http_cw_main_conf_t  *mcf;

    value = cf->args->elts;

    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0
        && cf->args->nelts == 2)
    {
        lcf->cors = NULL;
        return NGX_CONF_OK;
    }

    tenant = value[1].len == 6
             && ngx_strncmp(value[1].data, "tenant", 6) == 0;

    if (tenant && cf->args->nelts > 2) {
        return "takes no origins beside \"tenant\": another one does";
    }

    if (cf->args->nelts < 3 && !tenant) {
        return "needs a domain and its origins, or \"tenant\"";
    }

    if (lcf->cors == NGX_CONF_UNSET_PTR || lcf->cors == NULL) {
        lcf->cors = ngx_array_create(cf->pool, 2, sizeof(ngx_http_cw_cors_t));
        if (lcf->cors == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    cors = ngx_array_push(lcf->cors);
    if (cors == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(cors, sizeof(ngx_http_cw_cors_t));

    if (tenant) {
        mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cw_module);
        mcf->origins.wanted = 1;
        cors->tenant = 1;

        return NGX_CONF_OK;
    }

    cors->domain = value[1];

    if (value[1].len != 1 || value[1].data[0] != '*') {
        host.p = (char *) value[1].data;
        host.n = value[1].len;

        if (cw_domain_normalize(host, domain) != CW_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is no domain", &value[1]);
            return NGX_CONF_ERROR;
        }

        cors->domain.len = ngx_strlen(domain);
        cors->domain.data = ngx_pnalloc(cf->pool, cors->domain.len);
        if (cors->domain.data == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memcpy(cors->domain.data, domain, cors->domain.len);
    }

    if (ngx_array_init(&cors->origins, cf->pool, cf->args->nelts - 2,
                       sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (value[i].len == 1 && value[i].data[0] == '*') {
            return "must name its origins; \"*\" with a token is none";
        }

        origin = ngx_array_push(&cors->origins);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }

        *origin = value[i];
    }

    return NGX_CONF_OK;
}
