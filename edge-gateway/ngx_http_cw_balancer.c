
/*
 * Chooses the instance that a request goes to: weighted round robin over those
 * that are up, with failures remembered for all workers.  An instance that
 * failed is passed over for a while; when all did, they are tried all the
 * same, since a refusal would be no better.
 */


#include <ctype.h>

#include "ngx_http_cw_module.h"
#include "ngx_http_cw_balancer.h"
#include "ngx_http_cw_discovery.h"


typedef struct {
    ngx_http_cw_app_conf_t        *app;      /* NULL: not one of ours */
    ngx_uint_t                     max_fails;
    time_t                         fail_timeout;
} ngx_http_cw_upstream_conf_t;


/* of a request */

typedef struct {
    ngx_http_request_t            *request;
    ngx_http_cw_upstream_conf_t   *conf;
    ngx_slab_pool_t               *shpool;

    uint64_t                       number;   /* of the peer in use */
    uint64_t                      *tried;
    ngx_uint_t                     ntried;
    ngx_uint_t                     max;

    ngx_sockaddr_t                 addr;
    ngx_str_t                      name;
    u_char                         text[NGX_SOCKADDR_STRLEN];

    unsigned                       ssl:1;
} ngx_http_cw_peer_data_t;


static void *ngx_http_cw_upstream_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_cw_upstream_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_cw_upstream_create_srv_conf(ngx_conf_t *cf);
static char *ngx_http_cw_application(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cw_application_params(ngx_conf_t *cf,
    ngx_http_cw_upstream_conf_t *ucf);
static ngx_int_t ngx_http_cw_placeholder(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *uscf);
static ngx_int_t ngx_http_cw_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_cw_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_cw_get_peer(ngx_peer_connection_t *pc, void *data);
static ngx_http_cw_peer_t *ngx_http_cw_choose_peer(
    ngx_http_cw_peer_data_t *pd, ngx_uint_t marked);
static ngx_uint_t ngx_http_cw_was_tried(ngx_http_cw_peer_data_t *pd,
    ngx_http_cw_peer_t *peer);
static void ngx_http_cw_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
#if (NGX_HTTP_SSL)
static ngx_int_t ngx_http_cw_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_cw_save_session(ngx_peer_connection_t *pc, void *data);
#endif


static ngx_command_t  ngx_http_cw_upstream_commands[] = {

    { ngx_string("cw_application"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE123,
      ngx_http_cw_application,
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
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_cw_upstream_conf_t));
}


static char *
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

    if (ucf->app == NULL || ngx_http_cw_placeholder(cf, uscf) != NGX_OK) {
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
    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    value = cf->args->elts;

    ucf->max_fails = 1;
    ucf->fail_timeout = 10;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "max_fails=", 10) == 0) {

            n = ngx_atoi(&value[i].data[10], value[i].len - 10);
            if (n == NGX_ERROR) {
                return "has an invalid \"max_fails\"";
            }

            ucf->max_fails = n;
            continue;
        }

        if (ngx_strncmp(value[i].data, "fail_timeout=", 13) == 0) {

            s.data = &value[i].data[13];
            s.len = value[i].len - 13;

            ucf->fail_timeout = ngx_parse_time(&s, 1);
            if (ucf->fail_timeout == (time_t) NGX_ERROR) {
                return "has an invalid \"fail_timeout\"";
            }

            continue;
        }

        return "has an unknown parameter";
    }

    return NGX_CONF_OK;
}


/* nginx wants a server in each upstream, and "zone" copies it */

static ngx_int_t
ngx_http_cw_placeholder(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *uscf)
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


static ngx_int_t
ngx_http_cw_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_cw_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cw_module);

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

    us->peer.init = ngx_http_cw_init_peer;

    return NGX_OK;
}


enum cw_err
ngx_http_cw_balancer_check(ngx_http_request_t *r)
{
    ngx_uint_t                     i;
    ngx_http_upstream_conf_t      *conf;
    ngx_http_cw_upstream_conf_t   *ucf;
    ngx_http_upstream_srv_conf_t  *uscf;

    /* both begin with their ngx_http_upstream_conf_t, which names an upstream
     * where proxy_pass or grpc_pass stands and has no variables */

    extern ngx_module_t  ngx_http_proxy_module;
    extern ngx_module_t  ngx_http_grpc_module;

    ngx_module_t  *modules[] = { &ngx_http_proxy_module,
                                 &ngx_http_grpc_module };

    for (i = 0; i < 2; i++) {

        conf = r->loc_conf[modules[i]->ctx_index];
        uscf = conf ? conf->upstream : NULL;

        if (uscf == NULL || uscf->srv_conf == NULL) {
            continue;
        }

        ucf = ngx_http_conf_upstream_srv_conf(uscf,
                                              ngx_http_cw_upstream_module);

        if (ucf && ucf->app && ucf->app->app && ucf->app->app->up == 0) {
            return CW_NO_INSTANCE;
        }
    }

    return CW_OK;
}


static ngx_int_t
ngx_http_cw_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                     up;
    ngx_http_upstream_t           *u;
    ngx_http_cw_peer_data_t       *pd;
    ngx_http_cw_discovery_conf_t  *dcf;

    u = r->upstream;
    dcf = ngx_http_get_module_main_conf(r, ngx_http_cw_upstream_module);

    pd = ngx_pcalloc(r->pool, sizeof(ngx_http_cw_peer_data_t));
    if (pd == NULL) {
        return NGX_ERROR;
    }

    pd->request = r;
    pd->conf = ngx_http_conf_upstream_srv_conf(us,
                                               ngx_http_cw_upstream_module);
    pd->shpool = dcf->shpool;
    pd->name = us->host;
#if (NGX_HTTP_SSL)
    pd->ssl = u->ssl;
#endif

    up = pd->conf->app->app->up;

    pd->max = ngx_min(up, NGX_HTTP_CW_APP_PEERS_MAX) + 1;
    pd->tried = ngx_palloc(r->pool, pd->max * sizeof(uint64_t));
    if (pd->tried == NULL) {
        return NGX_ERROR;
    }

    u->peer.data = pd;
    u->peer.get = ngx_http_cw_get_peer;
    u->peer.free = ngx_http_cw_free_peer;
    u->peer.name = &pd->name;
    u->peer.tries = up ? up : 1;
#if (NGX_HTTP_SSL)
    u->peer.set_session = ngx_http_cw_set_session;
    u->peer.save_session = ngx_http_cw_save_session;
#endif

    return NGX_OK;
}


static ngx_int_t
ngx_http_cw_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_cw_peer_data_t *pd = data;

    time_t               now;
    ngx_http_cw_peer_t  *peer;

    pc->cached = 0;
    pc->connection = NULL;

    now = ngx_time();

    ngx_shmtx_lock(&pd->shpool->mutex);

    peer = ngx_http_cw_choose_peer(pd, 0);

    if (peer == NULL) {
        peer = ngx_http_cw_choose_peer(pd, 1);
    }

    if (peer == NULL) {
        ngx_shmtx_unlock(&pd->shpool->mutex);

        pc->name = &pd->name;

        if (pd->ntried == 0) {
            (void) ngx_http_cw_refuse(pd->request, CW_NO_INSTANCE);
        }

        return NGX_BUSY;
    }

    if (now - peer->checked > pd->conf->fail_timeout) {
        peer->checked = now;
    }

    pd->number = peer->number;
    pd->addr = peer->addr;
    pc->socklen = peer->socklen;

    ngx_shmtx_unlock(&pd->shpool->mutex);

    if (pd->ntried < pd->max) {
        pd->tried[pd->ntried++] = pd->number;
    }

    pd->name.data = pd->text;
    pd->name.len = ngx_sock_ntop(&pd->addr.sockaddr, pc->socklen, pd->text,
                                 NGX_SOCKADDR_STRLEN, 1);

    pc->sockaddr = &pd->addr.sockaddr;
    pc->name = &pd->name;

    return NGX_OK;
}


/* under the mutex.  marked: those that failed lately, too */

static ngx_http_cw_peer_t *
ngx_http_cw_choose_peer(ngx_http_cw_peer_data_t *pd, ngx_uint_t marked)
{
    time_t                now;
    ngx_int_t             total;
    ngx_uint_t            i;
    ngx_http_cw_peer_t   *peer, *best;
    ngx_http_cw_peers_t  *peers;

    now = ngx_time();
    best = NULL;
    total = 0;

    peers = pd->conf->app->app->peers;

    for (i = 0; peers && i < peers->n; i++) {

        peer = &peers->peers[i];

        if (!peer->up || peer->secure != pd->ssl
            || ngx_http_cw_was_tried(pd, peer))
        {
            continue;
        }

        if (!marked
            && pd->conf->max_fails
            && peer->fails >= pd->conf->max_fails
            && now - peer->checked <= pd->conf->fail_timeout)
        {
            continue;
        }

        peer->current_weight += peer->effective_weight;
        total += peer->effective_weight;

        if (peer->effective_weight < peer->weight) {
            peer->effective_weight++;
        }

        if (best == NULL || peer->current_weight > best->current_weight) {
            best = peer;
        }
    }

    if (best) {
        best->current_weight -= total;
    }

    return best;
}


static ngx_uint_t
ngx_http_cw_was_tried(ngx_http_cw_peer_data_t *pd, ngx_http_cw_peer_t *peer)
{
    ngx_uint_t  i;

    for (i = 0; i < pd->ntried; i++) {
        if (pd->tried[i] == peer->number) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_cw_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    ngx_http_cw_peer_data_t *pd = data;

    time_t                now;
    ngx_uint_t            i, stale;
    ngx_connection_t     *c;
    ngx_http_cw_peer_t   *peer;
    ngx_http_cw_peers_t  *peers;

    now = ngx_time();
    c = pc->connection;

    /* a kept connection that was closed meanwhile says nothing about its
     * instance: a new one is tried.  A silence does */

    stale = (state & NGX_PEER_FAILED) && pc->cached
            && !(c && (c->read->timedout || c->write->timedout));

    if (stale && pd->ntried) {
        pd->ntried--;
    }

    ngx_shmtx_lock(&pd->shpool->mutex);

    peers = pd->conf->app->app->peers;

    for (i = 0; peers && !stale && i < peers->n; i++) {

        peer = &peers->peers[i];

        if (peer->number != pd->number) {
            continue;
        }

        if (state & NGX_PEER_FAILED) {

            peer->fails++;
            peer->accessed = now;
            peer->checked = now;

            if (pd->conf->max_fails) {
                peer->effective_weight -= peer->weight / pd->conf->max_fails;

                if (peer->fails == pd->conf->max_fails) {
                    ngx_log_error(NGX_LOG_WARN, pc->log, 0,
                                  "instance %V of \"%V\" is passed over",
                                  &pd->name, &pd->conf->app->name);
                }
            }

            if (peer->effective_weight < 0) {
                peer->effective_weight = 0;
            }

        } else if (peer->accessed < peer->checked) {
            peer->fails = 0;
        }

        break;
    }

    ngx_shmtx_unlock(&pd->shpool->mutex);

    if (pc->tries) {
        pc->tries--;
    }
}


#if (NGX_HTTP_SSL)

/* sessions are not kept: an instance may be another one tomorrow */

static ngx_int_t
ngx_http_cw_set_session(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}


static void
ngx_http_cw_save_session(ngx_peer_connection_t *pc, void *data)
{
    /* void */
}

#endif
