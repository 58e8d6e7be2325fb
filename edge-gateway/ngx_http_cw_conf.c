
/*
 * Merges what the directives said and refuses, at nginx -t, configurations in
 * which a request could pass a ruled location without a verdict.
 */


#include "ngx_http_cw_module.h"
#include "ngx_http_cw_question.h"


#define NGX_HTTP_CW_RULES      65535
#define NGX_HTTP_CW_RULE_SIZE  (32 * 1024)
#define NGX_HTTP_CW_ERROR_DOCS "https://clinicwave.com/docs/ERRORS.md#"


static char *ngx_http_cw_check_location(ngx_conf_t *cf,
    ngx_http_cw_loc_conf_t *conf);
static char *ngx_http_cw_make_rule(ngx_conf_t *cf,
    ngx_http_cw_loc_conf_t *conf);
static ngx_uint_t ngx_http_cw_returns(ngx_http_core_loc_conf_t *clcf);
static ngx_array_t *ngx_http_cw_claim_list(ngx_conf_t *cf,
    ngx_http_cw_loc_conf_t *conf);


/* from the rewrite module, where the name is not in a header */
extern ngx_module_t  ngx_http_rewrite_module;


void *
ngx_http_cw_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cw_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     mcf->sidecar = { NULL, 0, { 0, NULL }, NULL };
     *     mcf->trusted = NULL;
     *     mcf->error_docs = { 0, NULL };
     *     mcf->link = NULL;
     *     mcf->batch = NULL;
     *     mcf->origins.wanted = 0;
     */

    mcf->digests = NGX_CONF_UNSET_UINT;
    mcf->origins.size = NGX_CONF_UNSET_SIZE;

    if (ngx_array_init(&mcf->rules, cf->pool, 16,
                       sizeof(ngx_http_cw_rule_t *))
        != NGX_OK
        || ngx_array_init(&mcf->claim_names, cf->pool, 4, sizeof(ngx_str_t))
           != NGX_OK
        || ngx_array_init(&mcf->token_names, cf->pool, 1, sizeof(ngx_str_t))
           != NGX_OK
        || ngx_array_init(&mcf->cookie_names, cf->pool, 1, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


char *
ngx_http_cw_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_cw_main_conf_t *mcf = conf;

    ngx_conf_init_uint_value(mcf->digests, 65536);

    if (mcf->digests < 4 || mcf->digests > 4 * 1024 * 1024) {
        return "\"cw_digests\" must be between 4 and 4194304";
    }

    ngx_conf_init_size_value(mcf->origins.size, 8 * 1024 * 1024);

    if (mcf->origins.size < (size_t) (8 * ngx_pagesize)) {
        return "\"cw_origins_zone\" is too small";
    }

    if (mcf->origins.wanted && mcf->sidecar.sockaddr == NULL) {
        return "\"cw_cors tenant\" needs \"cw_sidecar\"";
    }

    if (mcf->error_docs.len == 0) {
        ngx_str_set(&mcf->error_docs, NGX_HTTP_CW_ERROR_DOCS);
    }

    return NGX_CONF_OK;
}


void *
ngx_http_cw_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_cw_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cw_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->rule = NULL;
     *     conf->realm = { 0, NULL };
     *     conf->prefix = { 0, NULL };
     *     conf->token_header = { 0, NULL };
     *     conf->token_cookie = { 0, NULL };
     */

    conf->auth = NGX_CONF_UNSET_UINT;
    conf->audiences = NGX_CONF_UNSET_PTR;
    conf->scopes_all = NGX_CONF_UNSET_PTR;
    conf->scopes_any = NGX_CONF_UNSET_PTR;
    conf->roles_any = NGX_CONF_UNSET_PTR;
    conf->roles_all = NGX_CONF_UNSET_PTR;
    conf->claims = NGX_CONF_UNSET_PTR;
    conf->timeout = NGX_CONF_UNSET_MSEC;
    conf->pass_authorization = NGX_CONF_UNSET;
    conf->anonymous = NGX_CONF_UNSET;
    conf->ambiguous = NGX_CONF_UNSET;
    conf->problem = NGX_CONF_UNSET;
    conf->trace = NGX_CONF_UNSET_UINT;
    conf->cors = NGX_CONF_UNSET_PTR;

    return conf;
}


char *
ngx_http_cw_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_cw_loc_conf_t *prev = parent;
    ngx_http_cw_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    /* unset stays unset: "off" must be said, it is no default */

    if (conf->auth == NGX_CONF_UNSET_UINT) {
        conf->auth = prev->auth;
    }

    ngx_conf_merge_ptr_value(conf->audiences, prev->audiences, NULL);
    ngx_conf_merge_ptr_value(conf->scopes_all, prev->scopes_all, NULL);
    ngx_conf_merge_ptr_value(conf->scopes_any, prev->scopes_any, NULL);
    ngx_conf_merge_ptr_value(conf->roles_any, prev->roles_any, NULL);
    ngx_conf_merge_ptr_value(conf->roles_all, prev->roles_all, NULL);
    ngx_conf_merge_ptr_value(conf->claims, prev->claims, NULL);
    ngx_conf_merge_msec_value(conf->timeout, prev->timeout, 2000);
    ngx_conf_merge_value(conf->pass_authorization, prev->pass_authorization,
                         0);
    ngx_conf_merge_value(conf->anonymous, prev->anonymous, 0);
    ngx_conf_merge_value(conf->ambiguous, prev->ambiguous, 0);
    ngx_conf_merge_value(conf->problem, prev->problem, 1);
    ngx_conf_merge_uint_value(conf->trace, prev->trace,
                              NGX_HTTP_CW_TRACE_RESTART);
    ngx_conf_merge_str_value(conf->realm, prev->realm, "");
    ngx_conf_merge_ptr_value(conf->cors, prev->cors, NULL);

    if (conf->token_header.len == 0 && conf->token_cookie.len == 0) {
        conf->token_header = prev->token_header;
        conf->token_cookie = prev->token_cookie;
    }

    /* a prefix belongs to its location and to the blocks within */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname || clcf->lmt_excpt) {
        ngx_conf_merge_str_value(conf->prefix, prev->prefix, "");
    }

    return ngx_http_cw_check_location(cf, conf);
}


static char *
ngx_http_cw_check_location(ngx_conf_t *cf, ngx_http_cw_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_cw_main_conf_t   *mcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cw_module);

    if (conf->auth == NGX_CONF_UNSET_UINT) {

        if (clcf->handler && mcf->sidecar.sockaddr) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "location \"%V\" has a content handler but no "
                               "rule: say \"cw_auth required\", \"optional\" "
                               "or \"off\"", &clcf->name);
            return NGX_CONF_ERROR;
        }

        if (conf->audiences || conf->scopes_all || conf->scopes_any
            || conf->roles_any || conf->roles_all)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "location \"%V\" names scopes, roles or "
                               "audiences but has no \"cw_auth\"",
                               &clcf->name);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    if (conf->prefix.len
        && (conf->prefix.data[0] != '/'
            || conf->prefix.data[conf->prefix.len - 1] == '/'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cw_strip_prefix %V\" must begin with a slash "
                           "and not end with one", &conf->prefix);
        return NGX_CONF_ERROR;
    }

    if (conf->auth == NGX_HTTP_CW_AUTH_OFF) {
        return NGX_CONF_OK;
    }

    if (mcf->sidecar.sockaddr == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cw_auth\" in location \"%V\" needs "
                           "\"cw_sidecar\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (conf->timeout == 0 || conf->timeout > 60000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cw_timeout\" must be between 1ms and 60s");
        return NGX_CONF_ERROR;
    }

    if (conf->anonymous && conf->auth == NGX_HTTP_CW_AUTH_REQUIRED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cw_undecided anonymous\" in location \"%V\" "
                           "needs \"cw_auth optional\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (clcf->satisfy == NGX_HTTP_SATISFY_ANY) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"satisfy any\" would override the rule of "
                           "location \"%V\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_cw_returns(clcf)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"return\" in location \"%V\" would answer "
                           "before its rule is looked at", &clcf->name);
        return NGX_CONF_ERROR;
    }

    return ngx_http_cw_make_rule(cf, conf);
}


/*
 * Whether the location's rewrite code answers by itself.  The code is a row of
 * structures, each of which begins with a function and is aligned as one; the
 * array is the first member of the rewrite module's configuration.
 */

static ngx_uint_t
ngx_http_cw_returns(ngx_http_core_loc_conf_t *clcf)
{
    void         **conf, **code;
    ngx_uint_t     i, n;
    ngx_array_t   *codes;

    if (clcf->loc_conf == NULL) {
        return 0;
    }

    conf = clcf->loc_conf[ngx_http_rewrite_module.ctx_index];
    codes = conf ? conf[0] : NULL;

    if (codes == NULL || codes == NGX_CONF_UNSET_PTR) {
        return 0;
    }

    code = codes->elts;
    n = codes->nelts * codes->size / sizeof(void *);

    for (i = 0; i < n; i++) {
        if (code[i] == (void *) ngx_http_script_return_code) {
            return 1;
        }
    }

    return 0;
}


static char *
ngx_http_cw_make_rule(ngx_conf_t *cf, ngx_http_cw_loc_conf_t *conf)
{
    size_t                        len;
    u_char                       *p;
    ngx_uint_t                    i, n;
    ngx_http_cw_rule_t           *rule, **rules;
    ngx_http_cw_question_rule_t   wire;
    ngx_http_cw_main_conf_t      *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cw_module);
    p = NULL;
    len = 0;
    n = 0;

    wire.audiences = conf->audiences;
    wire.scopes_all = conf->scopes_all;
    wire.scopes_any = conf->scopes_any;
    wire.roles_any = conf->roles_any;
    wire.roles_all = conf->roles_all;
    wire.claims = ngx_http_cw_claim_list(cf, conf);

    if (wire.claims == NGX_CONF_UNSET_PTR) {
        return NGX_CONF_ERROR;
    }

    /* equal rules share a number */

    rules = mcf->rules.elts;

    for (i = 0; i <= mcf->rules.nelts; i++) {
        n = i + 1;
        len = ngx_http_cw_question_rule(NULL, n, &wire);

        if (i < mcf->rules.nelts && len != rules[i]->bytes.len) {
            continue;
        }

        if (len > NGX_HTTP_CW_RULE_SIZE || n > NGX_HTTP_CW_RULES) {
            return "has too many or too large rules";
        }

        p = ngx_pnalloc(cf->pool, len);
        if (p == NULL) {
            return NGX_CONF_ERROR;
        }

        (void) ngx_http_cw_question_rule(p, n, &wire);

        if (i == mcf->rules.nelts) {
            break;
        }

        if (ngx_memcmp(p, rules[i]->bytes.data, len) == 0) {
            conf->rule = rules[i];
            return NGX_CONF_OK;
        }
    }

    rule = ngx_palloc(cf->pool, sizeof(ngx_http_cw_rule_t));
    if (rule == NULL) {
        return NGX_CONF_ERROR;
    }

    rule->number = n;
    rule->bytes.data = p;
    rule->bytes.len = len;

    rules = ngx_array_push(&mcf->rules);
    if (rules == NULL) {
        return NGX_CONF_ERROR;
    }

    *rules = rule;
    conf->rule = rule;

    return NGX_CONF_OK;
}


/* the claims' names; NGX_CONF_UNSET_PTR without memory */

static ngx_array_t *
ngx_http_cw_claim_list(ngx_conf_t *cf, ngx_http_cw_loc_conf_t *conf)
{
    ngx_str_t                   *name;
    ngx_uint_t                   i;
    ngx_array_t                 *names;
    ngx_http_cw_claim_header_t  *claim;

    if (conf->claims == NULL) {
        return NULL;
    }

    names = ngx_array_create(cf->pool, conf->claims->nelts,
                             sizeof(ngx_str_t));
    if (names == NULL) {
        return NGX_CONF_UNSET_PTR;
    }

    claim = conf->claims->elts;

    for (i = 0; i < conf->claims->nelts; i++) {
        name = ngx_array_push(names);
        if (name == NULL) {
            return NGX_CONF_UNSET_PTR;
        }

        *name = claim[i].claim;
    }

    return names;
}
