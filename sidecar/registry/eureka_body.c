/* What other hosts are told about a service of this one. */
#include <stdio.h>
#include <string.h>

#include "sidecar/registry/eureka_internal.h"
#include "sidecar/registry/pages.h"

enum { HTTPS_PORT = 443, HTTP_PORT = 80 };

/* One path segment (RFC 3986 §3.3); `:` stays as it is, as Eureka's clients write it. */
static void add_segment(struct cw_buf *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-._~:", *c) != NULL;
        if (plain) {
            cw_buf_add_char(out, *c);
        } else {
            cw_buf_addf(out, "%%%02X", (unsigned char)*c);
        }
    }
}

void eureka_path(const struct eureka_published *published, const char *suffix, struct cw_buf *out)
{
    cw_buf_addf(out, "apps/%s/", published->app);
    add_segment(out, published->id);
    cw_buf_add_cstr(out, suffix);
}

/* Eureka's XML readers get each key as an element's name: one that is none would break the document
 * of the whole registry for them. */
static bool key_is_xml(const char *key)
{
    for (const char *c = key; *c != '\0'; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        bool more = (*c >= '0' && *c <= '9') || *c == '-' || *c == '.';
        if (!letter && (c == key || !more)) {
            return false;
        }
    }
    return true;
}

struct pairs {
    struct cw_eureka_pair p[2 * CW_EUREKA_PAIRS_MAX];
    size_t n;
};

static void set_pair(struct pairs *pairs, const char *key, const char *value)
{
    size_t at = 0;
    while (at < pairs->n && strcmp(pairs->p[at].key, key) != 0) {
        at++;
    }
    if (key_is_xml(key) && at < CW_EUREKA_PAIRS_MAX) {
        pairs->p[at] = (struct cw_eureka_pair){key, value};
        pairs->n += at == pairs->n;
    }
}

/* The service's own word counts most. */
static void collect_metadata(const struct eureka *eureka, const struct cw_eureka_pairs *own,
                             struct pairs *ret_pairs)
{
    const struct cw_eureka_pairs *lists[] = {&eureka->config->metadata, own};
    ret_pairs->n = 0;
    if (eureka->zone[0] != '\0') {
        set_pair(ret_pairs, "zone", eureka->zone);
    }
    for (size_t l = 0; l < CW_ARRAY_SIZE(lists); l++) {
        for (size_t i = 0; i < lists[l]->n; i++) {
            set_pair(ret_pairs, lists[l]->p[i].key, lists[l]->p[i].value);
        }
    }
}

static uint32_t seconds(int64_t ms)
{
    return (uint32_t)CW_MAX((ms + 999) / 1000, 1);
}

void eureka_body(const struct eureka *eureka, const struct eureka_published *published,
                 struct cw_buf *out)
{
    const struct eureka_config *config = eureka->config;
    const struct registry_instance *wanted = published->wanted;
    struct cw_eureka_instance told = wanted->eureka;
    struct registry_pages pages;
    struct pairs metadata;
    bool secure = false;
    unsigned port = registry_instance_port(wanted, &secure);
    told.instance_id = published->id;
    told.host_name = config->host_name;
    /* another host's loopback is another service, and "anywhere" is nowhere */
    if (registry_address_is_loopback(cw_str(told.ip_addr)) ||
        registry_address_is_unspecified(cw_str(told.ip_addr))) {
        told.ip_addr = config->address;
    } else if (strcmp(config->host_name, config->address) == 0) {
        told.host_name = told.ip_addr;
    }
    told.overridden = CW_EUREKA_UNKNOWN;
    told.port = (struct cw_eureka_port){secure ? HTTP_PORT : (uint16_t)port, !secure};
    told.secure_port = (struct cw_eureka_port){secure ? (uint16_t)port : HTTPS_PORT, secure};
    told.country_id = 1;
    told.lease = (struct cw_eureka_lease){.renewal_s = seconds(config->heartbeat_ms),
                                          .duration_s = seconds(config->lease_ms)};
    collect_metadata(eureka, &wanted->eureka.metadata, &metadata);
    told.metadata = (struct cw_eureka_pairs){metadata.p, metadata.n};
    registry_pages_tell(&told, wanted->health_path, &pages);
    told.last_dirty_ms = published->dirty_ms;
    told.last_updated_ms = published->dirty_ms;
    struct cw_eureka_entry entry = {&told, 0, CW_EUREKA_ADDED};
    cw_eureka_encode_instance(CW_EUREKA_JSON, &entry, out);
}
