
/*
 * gRPC calls on the link's HTTP/2 session: a stream each, messages cut out of
 * DATA, the status out of the trailers.
 */


#include "ngx_http_cw_call.h"


#define NGX_HTTP_CW_LINK_WINDOW       (16 * 1024 * 1024)
#define NGX_HTTP_CW_LINK_HEADERS      (16 * 1024)


static int ngx_http_cw_call_on_header(nghttp2_session *session,
    const nghttp2_frame *frame, const uint8_t *name, size_t namelen,
    const uint8_t *value, size_t valuelen, uint8_t flags, void *data);
static int ngx_http_cw_call_on_frame(nghttp2_session *session,
    const nghttp2_frame *frame, void *data);
static int ngx_http_cw_call_on_data(nghttp2_session *session, uint8_t flags,
    int32_t stream, const uint8_t *p, size_t len, void *data);
static int ngx_http_cw_call_on_close(nghttp2_session *session, int32_t stream,
    uint32_t error, void *data);
static ssize_t ngx_http_cw_call_read(nghttp2_session *session,
    int32_t stream, uint8_t *p, size_t len, uint32_t *flags,
    nghttp2_data_source *source, void *data);
static ngx_int_t ngx_http_cw_call_message(void *data, u_char *p, size_t len);


ngx_int_t
ngx_http_cw_call_session(ngx_http_cw_link_t *link)
{
    int                         rc;
    nghttp2_option             *option;
    nghttp2_settings_entry      settings[3];
    nghttp2_session_callbacks  *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return NGX_ERROR;
    }

    nghttp2_session_callbacks_set_on_header_callback(callbacks,
                                                  ngx_http_cw_call_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
                                                  ngx_http_cw_call_on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                  ngx_http_cw_call_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                  ngx_http_cw_call_on_close);

    rc = nghttp2_option_new(&option);

    if (rc == 0) {
        nghttp2_option_set_max_settings(option, 32);

        rc = nghttp2_session_client_new2(&link->session, callbacks, link,
                                         option);
        nghttp2_option_del(option);
    }

    nghttp2_session_callbacks_del(callbacks);

    if (rc != 0) {
        link->session = NULL;
        return NGX_ERROR;
    }

    settings[0].settings_id = NGHTTP2_SETTINGS_ENABLE_PUSH;
    settings[0].value = 0;
    settings[1].settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE;
    settings[1].value = NGX_HTTP_CW_LINK_WINDOW;
    settings[2].settings_id = NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE;
    settings[2].value = NGX_HTTP_CW_LINK_HEADERS;

    if (nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, settings, 3)
        != 0)
    {
        return NGX_ERROR;
    }

    rc = nghttp2_session_set_local_window_size(link->session,
                                               NGHTTP2_FLAG_NONE, 0,
                                               NGX_HTTP_CW_LINK_WINDOW);

    return (rc == 0) ? NGX_OK : NGX_ERROR;
}


ngx_http_cw_call_t *
ngx_http_cw_call_open(ngx_http_cw_link_t *link, ngx_http_cw_call_type_t *type,
    void *data)
{
    ngx_uint_t              i;
    ngx_http_cw_call_t     *call;
    nghttp2_data_provider   provider;

    static const struct {
        const char         *name;
        const char         *value;
    } headers[] = {
        { ":method", "POST" },
        { ":scheme", "http" },
        { ":path", NULL },
        { ":authority", "localhost" },
        { "te", "trailers" },
        { "content-type", "application/grpc" },
        { "user-agent", "clinicwave-gateway" }
    };

    nghttp2_nv              nv[sizeof(headers) / sizeof(headers[0])];

    if (!ngx_http_cw_link_is_up(link)) {
        return NULL;
    }

    call = ngx_calloc(sizeof(ngx_http_cw_call_t), link->log);
    if (call == NULL) {
        return NULL;
    }

    call->link = link;
    call->type = type;
    call->data = data;
    call->reader.max = type->max;
    call->status = NGX_HTTP_CW_GRPC_UNKNOWN;

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        nv[i].name = (uint8_t *) headers[i].name;
        nv[i].namelen = ngx_strlen(headers[i].name);
        nv[i].flags = NGHTTP2_NV_FLAG_NONE;

        if (headers[i].value) {
            nv[i].value = (uint8_t *) headers[i].value;
            nv[i].valuelen = ngx_strlen(headers[i].value);

        } else {
            nv[i].value = type->path.data;
            nv[i].valuelen = type->path.len;
        }
    }

    provider.source.ptr = call;
    provider.read_callback = ngx_http_cw_call_read;

    call->stream = nghttp2_submit_request(link->session, NULL, nv, i,
                                          &provider, call);
    if (call->stream < 0) {
        ngx_free(call);
        return NULL;
    }

    ngx_queue_insert_tail(&link->calls, &call->queue);
    ngx_post_event(&link->flush, &ngx_posted_events);

    return call;
}


u_char *
ngx_http_cw_call_reserve(ngx_http_cw_call_t *call, size_t size)
{
    size_t   need, room;
    u_char  *buf;

    need = call->last + NGX_HTTP_CW_GRPC_PREFIX + size;

    if (need > call->size) {
        room = ngx_max(need, 2 * call->size);

        buf = ngx_alloc(room, call->link->log);
        if (buf == NULL) {
            return NULL;
        }

        call->last -= call->pos;

        if (call->last) {
            ngx_memcpy(buf, call->buf + call->pos, call->last);
        }

        call->pos = 0;

        ngx_free(call->buf);

        call->buf = buf;
        call->size = room;
    }

    return call->buf + call->last + NGX_HTTP_CW_GRPC_PREFIX;
}


void
ngx_http_cw_call_commit(ngx_http_cw_call_t *call, size_t len, ngx_uint_t last)
{
    (void) ngx_http_cw_grpc_prefix(call->buf + call->last, len);

    call->last += NGX_HTTP_CW_GRPC_PREFIX + len;
    call->half_closed = last;

    if (call->deferred) {
        call->deferred = 0;
        (void) nghttp2_session_resume_data(call->link->session, call->stream);
    }

    ngx_post_event(&call->link->flush, &ngx_posted_events);
}


size_t
ngx_http_cw_call_unsent(ngx_http_cw_call_t *call)
{
    return call->last - call->pos;
}


void
ngx_http_cw_call_cancel(ngx_http_cw_call_t *call)
{
    ngx_http_cw_link_t  *link;

    link = call->link;

    if (!call->ended && link->session) {
        (void) nghttp2_session_set_stream_user_data(link->session,
                                                    call->stream, NULL);
        (void) nghttp2_submit_rst_stream(link->session, NGHTTP2_FLAG_NONE,
                                         call->stream, NGHTTP2_CANCEL);
        ngx_post_event(&link->flush, &ngx_posted_events);
    }

    ngx_queue_remove(&call->queue);
    ngx_http_cw_call_free(call);
}


void
ngx_http_cw_call_free(ngx_http_cw_call_t *call)
{
    ngx_http_cw_grpc_reader_done(&call->reader);

    if (call->buf) {
        ngx_free(call->buf);
    }

    ngx_free(call);
}


static ssize_t
ngx_http_cw_call_read(nghttp2_session *session, int32_t stream,
    uint8_t *p, size_t len, uint32_t *flags, nghttp2_data_source *source,
    void *data)
{
    size_t               n;
    ngx_http_cw_call_t  *call;

    /* a cancelled call's stream asks no more, but its frame may be queued */

    call = nghttp2_session_get_stream_user_data(session, stream);

    if (call == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }

    n = ngx_min(len, call->last - call->pos);

    if (n == 0 && !call->half_closed) {
        call->deferred = 1;
        return NGHTTP2_ERR_DEFERRED;
    }

    ngx_memcpy(p, call->buf + call->pos, n);
    call->pos += n;

    if (call->pos == call->last) {
        call->pos = 0;
        call->last = 0;
        call->drained = 1;

        if (call->half_closed) {
            *flags |= NGHTTP2_DATA_FLAG_EOF;
        }
    }

    return n;
}


static int
ngx_http_cw_call_on_header(nghttp2_session *session,
    const nghttp2_frame *frame, const uint8_t *name, size_t namelen,
    const uint8_t *value, size_t valuelen, uint8_t flags, void *data)
{
    ngx_int_t            n;
    ngx_http_cw_call_t  *call;

    call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    if (call == NULL) {
        return 0;
    }

    call->headers += namelen + valuelen + 32;

    if (call->headers > NGX_HTTP_CW_LINK_HEADERS) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }

    if (namelen == 7 && ngx_memcmp(name, ":status", 7) == 0) {
        n = ngx_atoi((u_char *) value, valuelen);
        call->http_status = (n == NGX_ERROR) ? 0 : (ngx_uint_t) n;

    } else if (namelen == 11 && ngx_memcmp(name, "grpc-status", 11) == 0) {
        n = ngx_atoi((u_char *) value, valuelen);
        call->status = (n == NGX_ERROR) ? NGX_HTTP_CW_GRPC_UNKNOWN
                                        : (ngx_uint_t) n;

    } else if (namelen == 12 && ngx_memcmp(name, "content-type", 12) == 0) {
        call->grpc = (valuelen >= 16
                      && ngx_memcmp(value, "application/grpc", 16) == 0);
    }

    return 0;
}


static int
ngx_http_cw_call_on_frame(nghttp2_session *session, const nghttp2_frame *frame,
    void *data)
{
    ngx_http_cw_call_t  *call;
    ngx_http_cw_link_t  *link = data;

    switch (frame->hd.type) {

    case NGHTTP2_HEADERS:

        call = nghttp2_session_get_stream_user_data(session,
                                                    frame->hd.stream_id);
        if (call == NULL) {
            return 0;
        }

        call->headers = 0;

        if (call->http_status >= 200
            && (call->http_status != 200 || !call->grpc))
        {
            ngx_http_cw_link_break(link, "the peer does not speak gRPC");
        }

        return 0;

    case NGHTTP2_GOAWAY:
        ngx_http_cw_link_break(link, "GOAWAY");
        return 0;
    }

    return 0;
}


static int
ngx_http_cw_call_on_data(nghttp2_session *session, uint8_t flags,
    int32_t stream, const uint8_t *p, size_t len, void *data)
{
    ngx_int_t            rc;
    ngx_http_cw_call_t  *call;
    ngx_http_cw_link_t  *link = data;

    call = nghttp2_session_get_stream_user_data(session, stream);

    if (call == NULL || link->broken) {
        return 0;
    }

    rc = ngx_http_cw_grpc_read(&call->reader, (u_char *) p, len,
                               ngx_http_cw_call_message, call);

    if (rc != NGX_OK) {
        ngx_http_cw_link_break(link, "malformed gRPC message");
    }

    return 0;
}


static ngx_int_t
ngx_http_cw_call_message(void *data, u_char *p, size_t len)
{
    ngx_http_cw_call_t  *call = data;
    ngx_http_cw_link_t  *link = call->link;

    call->got = 1;

    if (call->type->message(call, call->data, p, len) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a peer that answers is not to be waited for the next time */

    link->backoff = NGX_HTTP_CW_LINK_BACKOFF;

    if (link->complained) {
        link->complained = 0;
        ngx_log_error(NGX_LOG_NOTICE, link->log, 0, "sidecar %V answers again",
                      &link->conf.name);
    }

    return NGX_OK;
}


static int
ngx_http_cw_call_on_close(nghttp2_session *session, int32_t stream,
    uint32_t error, void *data)
{
    ngx_http_cw_call_t  *call;

    call = nghttp2_session_get_stream_user_data(session, stream);

    if (call == NULL) {
        return 0;
    }

    call->ended = 1;

    /* RFC 9113 §8.1: an error code other than NO_ERROR is no orderly end */

    if (error != NGHTTP2_NO_ERROR && call->status == NGX_HTTP_CW_GRPC_OK) {
        call->status = NGX_HTTP_CW_GRPC_UNKNOWN;
    }

    return 0;
}
