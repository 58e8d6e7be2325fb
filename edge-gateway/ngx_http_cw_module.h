
/*
 * What the module's files share: configuration, the state of a request, and
 * the functions of the route in the order in which a request meets them.
 */


#ifndef _NGX_HTTP_CW_MODULE_H_INCLUDED_
#define _NGX_HTTP_CW_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/base/err.h"

#include "ngx_http_cw_link.h"
#include "ngx_http_cw_who.h"
#include "ngx_http_cw_batch.h"
#include "ngx_http_cw_memo.h"
#include "ngx_http_cw_metrics.h"
#include "ngx_http_cw_origins_watch.h"


#define NGX_HTTP_CW_AUTH_OFF          0
#define NGX_HTTP_CW_AUTH_OPTIONAL     1
#define NGX_HTTP_CW_AUTH_REQUIRED     2

#define NGX_HTTP_CW_TOKEN_MAX         (16 * 1024)

#define NGX_HTTP_CW_TRACE_RESTART     0
#define NGX_HTTP_CW_TRACE_CONTINUE    1


typedef struct {
    ngx_http_cw_link_conf_t   sidecar;
    ngx_uint_t                digests;       /* remembered a worker */
    ngx_array_t              *trusted;       /* of ngx_cidr_t */
    ngx_str_t                 error_docs;
    ngx_array_t               rules;         /* of ngx_http_cw_rule_t * */
    ngx_array_t               claim_names;   /* of ngx_str_t: headers */
    ngx_array_t               token_names;   /* of ngx_str_t: the headers … */
    ngx_array_t               cookie_names;  /* … and cookies of tokens */

    ngx_shm_zone_t           *metrics;
    ngx_http_cw_origins_conf_t  origins;     /* of tenants */

    /* of this worker */
    ngx_http_cw_link_t       *link;
    ngx_http_cw_batch_t      *batch;
} ngx_http_cw_main_conf_t;


typedef struct {
    ngx_str_t                 header;        /* as sent */
    ngx_str_t                 lowcase;
    ngx_uint_t                hash;
    ngx_str_t                 claim;
} ngx_http_cw_claim_header_t;


typedef struct {
    ngx_uint_t                tenant;        /* those of the domain's tenant */
    ngx_str_t                 domain;        /* normalised, "*": any */
    ngx_array_t               origins;       /* of ngx_str_t */
} ngx_http_cw_cors_t;


typedef struct {
    ngx_uint_t                auth;

    ngx_array_t              *audiences;     /* of ngx_str_t */
    ngx_array_t              *scopes_all;
    ngx_array_t              *scopes_any;
    ngx_array_t              *roles_any;
    ngx_array_t              *roles_all;
    ngx_array_t              *claims;        /* of …_claim_header_t */

    ngx_http_cw_rule_t       *rule;          /* auth is not off */

    ngx_msec_t                timeout;
    ngx_flag_t                pass_authorization;
    ngx_flag_t                anonymous;     /* cw_undecided anonymous */
    ngx_flag_t                ambiguous;     /* cw_ambiguous_path allow */
    ngx_flag_t                problem;
    ngx_uint_t                trace;
    ngx_str_t                 realm;
    ngx_str_t                 prefix;        /* to strip */
    ngx_str_t                 token_header;  /* lower case, or empty */
    ngx_str_t                 token_cookie;
    ngx_array_t              *cors;          /* of ngx_http_cw_cors_t */
} ngx_http_cw_loc_conf_t;


/*
 * The state of a main request.  Internal redirects zero r->ctx, so it hangs
 * on a cleanup of the request's pool, too.
 */

typedef struct {
    ngx_http_request_t       *request;

    ngx_str_t                 domain;        /* normalised, NULL: not yet */
    ngx_str_t                 authorization; /* as the client sent it */
    ngx_str_t                 token;

    /* from the request's headers, which are gone from the list */
    ngx_str_t                 peer;
    ngx_array_t              *tokens;        /* of ngx_keyval_t */
    ngx_str_t                 traceparent;
    ngx_str_t                 tracestate;
    ngx_str_t                 forwarded_for;     /* trusted proxies' only */
    ngx_str_t                 forwarded_proto;
    ngx_str_t                 forwarded_host;

    /* the list before the module put anything in */
    ngx_list_t                headers;
    ngx_uint_t                headers_nelts;

    ngx_http_cw_memo_t       *memo;          /* of the connection, or NULL */
    u_char                   *digest;        /* of token, if the memo has it */

    ngx_http_cw_ask_t         ask;
    ngx_http_cw_rule_t       *allowed;       /* the rule that was met */
    ngx_str_t                 identity;      /* encoded, of the allow */
    ngx_http_cw_who_t         who;

    /* what the answer says */
    enum cw_err               err;
    ngx_uint_t                status;
    ngx_str_t                 reason;        /* beside err: as it was sent */
    ngx_str_t                 scope;
    ngx_uint_t                retry_after;

    ngx_array_t              *cors;          /* whose answer this is: */
    ngx_uint_t                origin_allowed;

    ngx_uint_t                err_status;    /* of the pass before */
    ngx_str_t                 problem;

    u_char                    trace[32];     /* hex */
    u_char                    span[16];
    ngx_str_t                 request_id;
    ngx_str_t                 prefix;        /* stripped */

    unsigned                  cleaned:1;         /* headers */
    unsigned                  trusted:1;
    unsigned                  authorizations:2;  /* 0, 1, 2: more */
    unsigned                  bearer:1;          /* authorization is a
                                                  * scheme and a b64token */
    unsigned                  asked:1;
    unsigned                  anonymous:1;
    unsigned                  path_checked:1;
    unsigned                  traced:1;
    unsigned                  trace_continued:1;
    unsigned                  trace_sampled:1;
    unsigned                  saved:1;           /* headers is set */
    unsigned                  missing:1;         /* asked without token */
    unsigned                  grpc:1;
    unsigned                  problem_sent:1;
    unsigned                  preflight:1;
} ngx_http_cw_ctx_t;


/* the main request's state, made when there is none; NULL without memory */
ngx_http_cw_ctx_t *ngx_http_cw_get_ctx(ngx_http_request_t *r);
/* … NULL when there is none */
ngx_http_cw_ctx_t *ngx_http_cw_find_ctx(ngx_http_request_t *r);

/* conf: merge-time checks and rules */
void *ngx_http_cw_create_main_conf(ngx_conf_t *cf);
char *ngx_http_cw_init_main_conf(ngx_conf_t *cf, void *conf);
void *ngx_http_cw_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_cw_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
char *ngx_http_cw_sidecar(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_cw_realm(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_cw_strings(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_cw_claim_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cw_trusted_proxy(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cw_token_from(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_cw_cors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* headers: what the client sent under our names goes */
ngx_int_t ngx_http_cw_headers_clean(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);

/* names: whether a header speaks for the gateway, in whatever spelling */
ngx_uint_t ngx_http_cw_names_ours(ngx_http_request_t *r, ngx_table_elt_t *h);
/* the name is "name", of len bytes in lower case, or begins so */
ngx_uint_t ngx_http_cw_names_is(ngx_table_elt_t *h, const char *name,
    size_t len, ngx_uint_t prefix);

#define ngx_http_cw_names_equal(h, name)                                      \
    ngx_http_cw_names_is(h, name, sizeof(name) - 1, 0)
#define ngx_http_cw_names_begin(h, name)                                      \
    ngx_http_cw_names_is(h, name, sizeof(name) - 1, 1)

/* identity: what we know comes */
ngx_uint_t ngx_http_cw_identity_has(ngx_str_t *name);
ngx_int_t ngx_http_cw_identity_add(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
ngx_int_t ngx_http_cw_identity_subrequest(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
/* one header more: an empty value is none, one that would end its line is
 * NGX_ERROR */
ngx_int_t ngx_http_cw_identity_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *lowcase, ngx_uint_t hash, ngx_str_t *value);

/* claims: those of cw_claim_header */
ngx_int_t ngx_http_cw_claims_add(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);

/* trace: request id and traceparent */
ngx_int_t ngx_http_cw_trace(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx);

/* extract: domain, path, token; CW_OK or the error that the request earns */
ngx_str_t *ngx_http_cw_extract_named(ngx_http_request_t *r);
enum cw_err ngx_http_cw_extract_domain(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx);
enum cw_err ngx_http_cw_extract_path(ngx_http_request_t *r);
enum cw_err ngx_http_cw_extract_token(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);

/* phases: around the decision */
ngx_int_t ngx_http_cw_post_read_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_cw_rewrite_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_cw_preaccess_handler(ngx_http_request_t *r);

/* access: the decision */
ngx_int_t ngx_http_cw_access_handler(ngx_http_request_t *r);

/* respond: notes why the request is refused and returns the HTTP status, for
 * any phase handler to return */
ngx_int_t ngx_http_cw_refuse(ngx_http_request_t *r, enum cw_err err);
ngx_int_t ngx_http_cw_respond_init(ngx_conf_t *cf);
ngx_int_t ngx_http_cw_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);
ngx_uint_t ngx_http_cw_has_header(ngx_http_request_t *r, const char *name);
ngx_uint_t ngx_http_cw_quotable(ngx_str_t *s);

/* problem: makes the answer that nginx began one about ctx->err, or about what
 * nginx's status says */
ngx_int_t ngx_http_cw_problem(ngx_http_request_t *r, ngx_http_cw_ctx_t *ctx);

/* cors */
ngx_int_t ngx_http_cw_cors_preflight(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
ngx_int_t ngx_http_cw_cors_headers(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);
/* for tokens that browsers send by themselves */
enum cw_err ngx_http_cw_cors_same_site(ngx_http_request_t *r,
    ngx_http_cw_ctx_t *ctx, ngx_http_cw_loc_conf_t *lcf);

/* log: variables */
ngx_int_t ngx_http_cw_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_cw_log_handler(ngx_http_request_t *r);

/* handlers of their own locations */
ngx_int_t ngx_http_cw_healthz_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_cw_route_unknown_handler(ngx_http_request_t *r);


extern ngx_module_t  ngx_http_cw_module;


#endif /* _NGX_HTTP_CW_MODULE_H_INCLUDED_ */
