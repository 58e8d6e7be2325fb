
/*
 * Whom a token speaks for: the Identity of an allow
 * (proto/clinicwave/token/v1/token.proto), read by hand: strings borrowed
 * from it, no allocation.  Needs nginx's types only.
 */


#ifndef _NGX_HTTP_CW_WHO_H_INCLUDED_
#define _NGX_HTTP_CW_WHO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_str_t     tenant;
    ngx_str_t     subject;
    ngx_str_t     issuer;
    ngx_str_t     client;
    ngx_str_t     session;
    ngx_str_t     token_id;
    ngx_str_t     scopes;            /* joined by a space */
    ngx_str_t     roles;             /* joined by a comma */
    int64_t       expires;           /* Unix seconds */

    /* an element holds its separator: the joined value would lie */
    unsigned      ambiguous:1;
} ngx_http_cw_who_t;


/* reads an Identity; joined holds at least identity->len bytes and lives as
 * long as the result.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_cw_who_read(ngx_str_t *identity, u_char *joined,
    ngx_http_cw_who_t *result);

/* the JSON value of a kept claim: NGX_OK, NGX_DECLINED, NGX_ERROR */
ngx_int_t ngx_http_cw_who_claim(ngx_str_t *identity, ngx_str_t *name,
    ngx_str_t *json);


#endif /* _NGX_HTTP_CW_WHO_H_INCLUDED_ */
