/* Writes Eureka's JSON documents. */
#include "common/eureka/encode.h"

#include <inttypes.h>

static void text(struct cw_buf *out, const char *name, const char *value)
{
    if (value != NULL) {
        cw_buf_addf(out, ",\"%s\":", name);
        cw_buf_add_json(out, cw_str(value));
    }
}

static void port(struct cw_buf *out, const char *name, const struct cw_eureka_port *port)
{
    cw_buf_addf(out, ",\"%s\":{\"$\":%u,\"@enabled\":\"%s\"}", name, port->number,
                port->enabled ? "true" : "false");
}

static void pairs(struct cw_buf *out, const struct cw_eureka_pairs *pairs)
{
    if (pairs->n == 0) {
        /* the real server's empty map, which every reader knows */
        cw_buf_add_cstr(out, "{\"@class\":\"java.util.Collections$EmptyMap\"}");
        return;
    }
    for (size_t i = 0; i < pairs->n; i++) {
        cw_buf_add_char(out, i == 0 ? '{' : ',');
        cw_buf_add_json(out, cw_str(pairs->p[i].key));
        cw_buf_add_char(out, ':');
        cw_buf_add_json(out, cw_str(pairs->p[i].value));
    }
    cw_buf_add_char(out, '}');
}

static void data_center(struct cw_buf *out, const struct cw_eureka_instance *instance)
{
    if (instance->data_center == CW_EUREKA_AMAZON) {
        cw_buf_add_cstr(out, ",\"dataCenterInfo\":{\"@class\":\"com.netflix.appinfo.AmazonInfo\","
                             "\"name\":\"Amazon\",\"metadata\":");
        pairs(out, &instance->data_center_metadata);
        cw_buf_add_char(out, '}');
        return;
    }
    cw_buf_addf(out,
                ",\"dataCenterInfo\":{\"@class\":\"com.netflix.appinfo.InstanceInfo$"
                "DefaultDataCenterInfo\",\"name\":\"%s\"}",
                instance->data_center == CW_EUREKA_NETFLIX ? "Netflix" : "MyOwn");
}

static void instance_object(const struct cw_eureka_entry *entry, struct cw_buf *out)
{
    const struct cw_eureka_instance *i = entry->instance;
    cw_buf_add_char(out, '{');
    if (i->instance_id != NULL) {
        cw_buf_add_cstr(out, "\"instanceId\":");
        cw_buf_add_json(out, cw_str(i->instance_id));
        cw_buf_add_char(out, ',');
    }
    cw_buf_add_cstr(out, "\"hostName\":");
    cw_buf_add_json(out, cw_str(i->host_name));
    text(out, "app", i->app);
    text(out, "appGroupName", i->app_group);
    text(out, "ipAddr", i->ip_addr);
    text(out, "status", cw_eureka_status_name(i->status));
    text(out, "overriddenStatus", cw_eureka_status_name(i->overridden));
    port(out, "port", &i->port);
    port(out, "securePort", &i->secure_port);
    cw_buf_addf(out, ",\"countryId\":%" PRIu32, i->country_id);
    data_center(out, i);
    cw_buf_addf(out,
                ",\"leaseInfo\":{\"renewalIntervalInSecs\":%" PRIu32 ",\"durationInSecs\":%" PRIu32
                ",\"registrationTimestamp\":%" PRId64 ",\"lastRenewalTimestamp\":%" PRId64
                ",\"evictionTimestamp\":%" PRId64 ",\"serviceUpTimestamp\":%" PRId64
                "},\"metadata\":",
                i->lease.renewal_s, i->lease.duration_s, i->lease.registration_ms,
                entry->renewal_ms, i->lease.eviction_ms, i->lease.service_up_ms);
    pairs(out, &i->metadata);
    text(out, "homePageUrl", i->home_page_url);
    text(out, "statusPageUrl", i->status_page_url);
    text(out, "healthCheckUrl", i->health_check_url);
    text(out, "secureHealthCheckUrl", i->secure_health_check_url);
    text(out, "vipAddress", i->vip_address);
    text(out, "secureVipAddress", i->secure_vip_address);
    text(out, "isCoordinatingDiscoveryServer", i->coordinating ? "true" : "false");
    cw_buf_addf(out,
                ",\"lastUpdatedTimestamp\":\"%" PRId64 "\",\"lastDirtyTimestamp\":\"%" PRId64 "\"",
                i->last_updated_ms, i->last_dirty_ms);
    text(out, "actionType", cw_eureka_action_name(entry->action));
    text(out, "asgName", i->asg_name);
    cw_buf_add_char(out, '}');
}

static void app_object(const struct cw_eureka_app *app, struct cw_buf *out)
{
    cw_buf_add_cstr(out, "{\"name\":");
    cw_buf_add_json(out, cw_str(app->name));
    cw_buf_add_cstr(out, ",\"instance\":[");
    for (size_t i = 0; i < app->n; i++) {
        if (i > 0) {
            cw_buf_add_char(out, ',');
        }
        instance_object(&app->entries[i], out);
    }
    cw_buf_add_cstr(out, "]}");
}

void cw_eureka_encode_instance(enum cw_eureka_format format, const struct cw_eureka_entry *entry,
                               struct cw_buf *out)
{
    if (format == CW_EUREKA_XML) {
        cw_eureka_xml_instance(entry, out);
        return;
    }
    cw_buf_add_cstr(out, "{\"instance\":");
    instance_object(entry, out);
    cw_buf_add_char(out, '}');
}

void cw_eureka_encode_app(enum cw_eureka_format format, const struct cw_eureka_app *app,
                          struct cw_buf *out)
{
    if (format == CW_EUREKA_XML) {
        cw_eureka_xml_app(app, out);
        return;
    }
    cw_buf_add_cstr(out, "{\"application\":");
    app_object(app, out);
    cw_buf_add_char(out, '}');
}

void cw_eureka_encode_document(enum cw_eureka_format format, int64_t version,
                               const struct cw_eureka_hash *hash, const struct cw_eureka_app *apps,
                               size_t n, struct cw_buf *out)
{
    if (format == CW_EUREKA_XML) {
        cw_eureka_xml_document(version, hash, apps, n, out);
        return;
    }
    cw_buf_addf(out, "{\"applications\":{\"versions__delta\":\"%" PRId64 "\",\"apps__hashcode\":\"",
                version);
    cw_eureka_hash_encode(hash, out);
    cw_buf_add_cstr(out, "\",\"application\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            cw_buf_add_char(out, ',');
        }
        app_object(&apps[i], out);
    }
    cw_buf_add_cstr(out, "]}}");
}
