
/*
 * Reads what Discovery.Watch sends, field by field, without allocation.
 */


#include "ngx_http_cw_watch.h"
#include "ngx_http_cw_pick.h"


#define NGX_HTTP_CW_WATCH_VARINT  0
#define NGX_HTTP_CW_WATCH_BYTES   2


typedef struct {
    ngx_str_t    address;
    ngx_str_t    socket;
    uint64_t     port;
} ngx_http_cw_watch_place_t;


static ngx_int_t ngx_http_cw_watch_fields(ngx_str_t body,
    ngx_http_cw_watch_instance_t *instance, ngx_http_cw_watch_place_t *place);
static ngx_int_t ngx_http_cw_watch_metadata(ngx_str_t entry,
    ngx_http_cw_watch_instance_t *instance);
static ngx_int_t ngx_http_cw_watch_weight(ngx_str_t *value);
static ngx_int_t ngx_http_cw_watch_place(
    ngx_http_cw_watch_instance_t *instance, ngx_http_cw_watch_place_t *place);


size_t
ngx_http_cw_watch_request(u_char *p, ngx_str_t *names, ngx_uint_t n)
{
    size_t      size;
    ngx_uint_t  i;

    size = 0;

    for (i = 0; i < n; i++) {
        size += 1 + ngx_http_cw_wire_varint_size(names[i].len) + names[i].len;

        if (p) {
            p = ngx_http_cw_wire_bytes(p, 1, &names[i]);
        }
    }

    return size;
}


ngx_int_t
ngx_http_cw_watch_snapshot(ngx_str_t *message,
    ngx_http_cw_watch_snapshot_t *snapshot)
{
    ngx_int_t                     rc;
    ngx_str_t                     rest;
    ngx_http_cw_wire_field_t      field;
    ngx_http_cw_watch_app_t       app;
    ngx_http_cw_watch_instance_t  instance;

    snapshot->generation = 0;
    snapshot->provisional = 0;

    rest = *message;

    while ((rc = ngx_http_cw_wire_field(&rest, &field)) == NGX_OK) {

        if (field.number == 1 && field.type == NGX_HTTP_CW_WATCH_VARINT) {
            snapshot->generation = field.value;

        } else if (field.number == 3
                   && field.type == NGX_HTTP_CW_WATCH_VARINT)
        {
            snapshot->provisional = field.value != 0;
        }
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    rest = *message;

    while ((rc = ngx_http_cw_watch_app(&rest, &app)) == NGX_OK) {

        do {
            rc = ngx_http_cw_watch_instance(&app.instances, &instance);
        } while (rc == NGX_OK || rc == NGX_DECLINED);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_cw_watch_app(ngx_str_t *message, ngx_http_cw_watch_app_t *app)
{
    ngx_int_t                 rc;
    ngx_str_t                 body;
    ngx_http_cw_wire_field_t  field;

    do {
        rc = ngx_http_cw_wire_field(message, &field);
        if (rc != NGX_OK) {
            return rc;
        }
    } while (field.number != 2);

    if (field.type != NGX_HTTP_CW_WATCH_BYTES) {
        return NGX_ERROR;
    }

    ngx_str_null(&app->name);
    app->instances = field.bytes;
    body = field.bytes;

    while ((rc = ngx_http_cw_wire_field(&body, &field)) == NGX_OK) {
        if (field.number == 1) {
            app->name = field.bytes;
        }
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_cw_watch_instance(ngx_str_t *instances,
    ngx_http_cw_watch_instance_t *instance)
{
    ngx_int_t                  rc;
    ngx_http_cw_wire_field_t   field;
    ngx_http_cw_watch_place_t  place;

    do {
        rc = ngx_http_cw_wire_field(instances, &field);
        if (rc != NGX_OK) {
            return rc;
        }
    } while (field.number != 2);

    if (field.type != NGX_HTTP_CW_WATCH_BYTES) {
        return NGX_ERROR;
    }

    if (ngx_http_cw_watch_fields(field.bytes, instance, &place) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_cw_watch_place(instance, &place);
}


static ngx_int_t
ngx_http_cw_watch_fields(ngx_str_t body,
    ngx_http_cw_watch_instance_t *instance, ngx_http_cw_watch_place_t *place)
{
    ngx_int_t                 rc;
    ngx_http_cw_wire_field_t  field;

    ngx_memzero(instance, sizeof(ngx_http_cw_watch_instance_t));
    ngx_memzero(place, sizeof(ngx_http_cw_watch_place_t));

    instance->weight = 1;

    while ((rc = ngx_http_cw_wire_field(&body, &field)) == NGX_OK) {

        switch (field.number) {

        case 1:
            instance->id = field.bytes;
            break;

        case 3:
            place->address = field.bytes;
            break;

        case 4:
            place->port = field.value;
            break;

        case 5:
            instance->secure = field.value != 0;
            break;

        case 6:
            /* unknown ones are not up */
            instance->up = field.value == NGX_HTTP_CW_STATUS_UP;
            break;

        case 7:
            if (ngx_http_cw_watch_metadata(field.bytes, instance) != NGX_OK) {
                return NGX_ERROR;
            }

            break;

        case 10:
            place->socket = field.bytes;
            break;
        }
    }

    return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
}


/* an entry of the map; only weight and zone matter here */

static ngx_int_t
ngx_http_cw_watch_metadata(ngx_str_t entry,
    ngx_http_cw_watch_instance_t *instance)
{
    ngx_int_t                 rc, weight;
    ngx_str_t                 key, value;
    ngx_http_cw_wire_field_t  field;

    ngx_str_null(&key);
    ngx_str_null(&value);

    while ((rc = ngx_http_cw_wire_field(&entry, &field)) == NGX_OK) {

        if (field.number == 1) {
            key = field.bytes;

        } else if (field.number == 2) {
            value = field.bytes;
        }
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (key.len == 6 && ngx_memcmp(key.data, "weight", 6) == 0) {

        weight = ngx_http_cw_watch_weight(&value);

        if (weight > 0) {
            instance->weight = weight;
        }

    } else if (key.len == 4 && ngx_memcmp(key.data, "zone", 4) == 0
               && value.len)
    {
        instance->zone = ngx_http_cw_pick_hash(value.data, value.len);
    }

    return NGX_OK;
}


/* 0: it is none */

static ngx_int_t
ngx_http_cw_watch_weight(ngx_str_t *value)
{
    size_t     i;
    ngx_int_t  weight;

    if (value->len > 4) {
        return 0;
    }

    weight = 0;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < '0' || value->data[i] > '9') {
            return 0;
        }

        weight = weight * 10 + (value->data[i] - '0');
    }

    return (weight <= NGX_HTTP_CW_WEIGHT_MAX) ? weight : 0;
}


static ngx_int_t
ngx_http_cw_watch_place(ngx_http_cw_watch_instance_t *instance,
    ngx_http_cw_watch_place_t *place)
{
    char  text[INET6_ADDRSTRLEN + 1];

    if (place->socket.len) {

        if (place->socket.data[0] != '/'
            || place->socket.len >= sizeof(instance->addr.un.sun_path)
            || memchr(place->socket.data, '\0', place->socket.len))
        {
            return NGX_DECLINED;
        }

        instance->addr.un.sun_family = AF_UNIX;
        ngx_memcpy(instance->addr.un.sun_path, place->socket.data,
                   place->socket.len);
        instance->socklen = sizeof(struct sockaddr_un);

        return NGX_OK;
    }

    if (place->address.len == 0 || place->address.len >= sizeof(text)
        || place->port == 0 || place->port > 65535)
    {
        return NGX_DECLINED;
    }

    ngx_memcpy(text, place->address.data, place->address.len);
    text[place->address.len] = '\0';

    if (inet_pton(AF_INET, text, &instance->addr.in.sin_addr) == 1) {
        instance->addr.in.sin_family = AF_INET;
        instance->addr.in.sin_port = htons((in_port_t) place->port);
        instance->socklen = sizeof(struct sockaddr_in);

        return NGX_OK;
    }

    if (inet_pton(AF_INET6, text, &instance->addr.in6.sin6_addr) == 1) {
        instance->addr.in6.sin6_family = AF_INET6;
        instance->addr.in6.sin6_port = htons((in_port_t) place->port);
        instance->socklen = sizeof(struct sockaddr_in6);

        return NGX_OK;
    }

    return NGX_DECLINED;
}
