
/*
 * Reads the sidecar's answers off a ValidateStreamResponse.
 */


#include "ngx_http_cw_result.h"
#include "ngx_http_cw_wire.h"


static ngx_int_t ngx_http_cw_result_verdict(ngx_str_t *s,
    ngx_http_cw_result_t *result);
static ngx_int_t ngx_http_cw_result_undecided(ngx_str_t *s,
    ngx_http_cw_result_t *result);


ngx_int_t
ngx_http_cw_result_next(ngx_str_t *message, ngx_http_cw_result_t *result)
{
    ngx_int_t                 rc;
    ngx_str_t                 body;
    ngx_http_cw_wire_field_t  field;

    for ( ;; ) {
        rc = ngx_http_cw_wire_field(message, &field);

        if (rc != NGX_OK) {
            return rc;
        }

        if (field.number == 1) {
            break;
        }
    }

    if (field.type != NGX_HTTP_CW_WIRE_BYTES) {
        return NGX_ERROR;
    }

    body = field.bytes;
    ngx_memzero(result, sizeof(ngx_http_cw_result_t));

    for ( ;; ) {
        rc = ngx_http_cw_wire_field(&body, &field);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        switch (field.number) {

        case 1:
            if (field.type != NGX_HTTP_CW_WIRE_VARINT) {
                return NGX_ERROR;
            }

            result->id = field.value;
            break;

        case 2:
        case 3:
            if (field.type != NGX_HTTP_CW_WIRE_BYTES
                || result->verdict || result->undecided)
            {
                return NGX_ERROR;
            }

            rc = (field.number == 2)
                 ? ngx_http_cw_result_verdict(&field.bytes, result)
                 : ngx_http_cw_result_undecided(&field.bytes, result);

            if (rc != NGX_OK) {
                return NGX_ERROR;
            }

            break;
        }
    }

    return (result->verdict || result->undecided) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_cw_result_verdict(ngx_str_t *s, ngx_http_cw_result_t *result)
{
    ngx_int_t                 rc;
    ngx_str_t                *str;
    ngx_http_cw_wire_field_t  field;

    result->verdict = 1;

    while ((rc = ngx_http_cw_wire_field(s, &field)) == NGX_OK) {

        str = NULL;

        switch (field.number) {

        case 1:
        case 4:
            if (field.type != NGX_HTTP_CW_WIRE_VARINT) {
                return NGX_ERROR;
            }

            if (field.number == 1) {
                result->decision = (ngx_uint_t) field.value;

            } else {
                result->cached = (field.value != 0);
            }

            break;

        case 2:
            str = &result->reason;
            break;

        case 3:
            if (result->has_identity) {
                return NGX_ERROR;
            }

            result->has_identity = 1;
            str = &result->identity;
            break;

        case 5:
            str = &result->required_scope;
            break;
        }

        if (str) {
            if (field.type != NGX_HTTP_CW_WIRE_BYTES) {
                return NGX_ERROR;
            }

            *str = field.bytes;
        }
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_cw_result_undecided(ngx_str_t *s,
    ngx_http_cw_result_t *result)
{
    ngx_int_t                 rc;
    ngx_http_cw_wire_field_t  field;

    result->undecided = 1;

    while ((rc = ngx_http_cw_wire_field(s, &field)) == NGX_OK) {

        switch (field.number) {

        case 1:
        case 3:
            if (field.type != NGX_HTTP_CW_WIRE_VARINT) {
                return NGX_ERROR;
            }

            if (field.number == 1) {
                result->cause = (ngx_uint_t) field.value;

            } else {
                result->retry_after = (uint32_t) field.value;
            }

            break;

        case 2:
            if (field.type != NGX_HTTP_CW_WIRE_BYTES) {
                return NGX_ERROR;
            }

            result->reason = field.bytes;
            break;
        }
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}
