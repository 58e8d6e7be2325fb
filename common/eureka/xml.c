/* Writes Eureka's XML documents, for the readers that know no other (Prometheus, py-eureka-client).
 * Element names made of metadata keys are escaped as XStream does: `_` is `__`, `$` is `_-`. */
#include "common/eureka/encode.h"

#include <inttypes.h>

static void escaped(struct cw_buf *out, const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        switch (*c) {
        case '&':
            cw_buf_add_cstr(out, "&amp;");
            break;
        case '<':
            cw_buf_add_cstr(out, "&lt;");
            break;
        case '>':
            cw_buf_add_cstr(out, "&gt;");
            break;
        case '"':
            cw_buf_add_cstr(out, "&quot;");
            break;
        default:
            cw_buf_add_char(out, *c);
        }
    }
}

static void text(struct cw_buf *out, const char *name, const char *value)
{
    if (value != NULL) {
        cw_buf_addf(out, "<%s>", name);
        escaped(out, value);
        cw_buf_addf(out, "</%s>", name);
    }
}

static void millis(struct cw_buf *out, const char *name, int64_t ms)
{
    cw_buf_addf(out, "<%s>%" PRId64 "</%s>", name, ms, name);
}

/* Keys that are no XML name (XML 1.0 §2.3) cannot be written: such an entry is left out. */
static bool key_is_name(const char *key)
{
    for (const char *c = key; *c != '\0'; c++) {
        bool letter =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_' || *c == '$';
        bool later = (*c >= '0' && *c <= '9') || *c == '-' || *c == '.';
        if (!letter && (c == key || !later)) {
            return false;
        }
    }
    return key[0] != '\0';
}

static void key_name(struct cw_buf *out, const char *key)
{
    for (const char *c = key; *c != '\0'; c++) {
        if (*c == '_') {
            cw_buf_add_cstr(out, "__");
        } else if (*c == '$') {
            cw_buf_add_cstr(out, "_-");
        } else {
            cw_buf_add_char(out, *c);
        }
    }
}

static void pairs(struct cw_buf *out, const struct cw_eureka_pairs *pairs)
{
    if (pairs->n == 0) {
        cw_buf_add_cstr(out, "<metadata class=\"java.util.Collections$EmptyMap\"/>");
        return;
    }
    cw_buf_add_cstr(out, "<metadata>");
    for (size_t i = 0; i < pairs->n; i++) {
        const struct cw_eureka_pair *pair = &pairs->p[i];
        if (!key_is_name(pair->key)) {
            continue;
        }
        cw_buf_add_char(out, '<');
        key_name(out, pair->key);
        cw_buf_add_char(out, '>');
        escaped(out, pair->value);
        cw_buf_add_cstr(out, "</");
        key_name(out, pair->key);
        cw_buf_add_char(out, '>');
    }
    cw_buf_add_cstr(out, "</metadata>");
}

static void port(struct cw_buf *out, const char *name, const struct cw_eureka_port *port)
{
    cw_buf_addf(out, "<%s enabled=\"%s\">%u</%s>", name, port->enabled ? "true" : "false",
                port->number, name);
}

static void data_center(struct cw_buf *out, const struct cw_eureka_instance *i)
{
    if (i->data_center == CW_EUREKA_AMAZON) {
        cw_buf_add_cstr(out, "<dataCenterInfo class=\"com.netflix.appinfo.AmazonInfo\">"
                             "<name>Amazon</name>");
        pairs(out, &i->data_center_metadata);
    } else {
        cw_buf_addf(out,
                    "<dataCenterInfo class=\"com.netflix.appinfo.InstanceInfo$"
                    "DefaultDataCenterInfo\"><name>%s</name>",
                    i->data_center == CW_EUREKA_NETFLIX ? "Netflix" : "MyOwn");
    }
    cw_buf_add_cstr(out, "</dataCenterInfo>");
}

void cw_eureka_xml_instance(const struct cw_eureka_entry *entry, struct cw_buf *out)
{
    const struct cw_eureka_instance *i = entry->instance;
    cw_buf_add_cstr(out, "<instance>");
    text(out, "instanceId", i->instance_id);
    text(out, "hostName", i->host_name);
    text(out, "app", i->app);
    text(out, "appGroupName", i->app_group);
    text(out, "ipAddr", i->ip_addr);
    text(out, "status", cw_eureka_status_name(i->status));
    text(out, "overriddenstatus", cw_eureka_status_name(i->overridden));
    port(out, "port", &i->port);
    port(out, "securePort", &i->secure_port);
    cw_buf_addf(out, "<countryId>%" PRIu32 "</countryId>", i->country_id);
    data_center(out, i);
    cw_buf_addf(out,
                "<leaseInfo><renewalIntervalInSecs>%" PRIu32 "</renewalIntervalInSecs>"
                "<durationInSecs>%" PRIu32 "</durationInSecs>",
                i->lease.renewal_s, i->lease.duration_s);
    millis(out, "registrationTimestamp", i->lease.registration_ms);
    millis(out, "lastRenewalTimestamp", entry->renewal_ms);
    millis(out, "evictionTimestamp", i->lease.eviction_ms);
    millis(out, "serviceUpTimestamp", i->lease.service_up_ms);
    cw_buf_add_cstr(out, "</leaseInfo>");
    pairs(out, &i->metadata);
    text(out, "homePageUrl", i->home_page_url);
    text(out, "statusPageUrl", i->status_page_url);
    text(out, "healthCheckUrl", i->health_check_url);
    text(out, "secureHealthCheckUrl", i->secure_health_check_url);
    text(out, "vipAddress", i->vip_address);
    text(out, "secureVipAddress", i->secure_vip_address);
    text(out, "isCoordinatingDiscoveryServer", i->coordinating ? "true" : "false");
    millis(out, "lastUpdatedTimestamp", i->last_updated_ms);
    millis(out, "lastDirtyTimestamp", i->last_dirty_ms);
    text(out, "actionType", cw_eureka_action_name(entry->action));
    text(out, "asgName", i->asg_name);
    cw_buf_add_cstr(out, "</instance>");
}

void cw_eureka_xml_app(const struct cw_eureka_app *app, struct cw_buf *out)
{
    cw_buf_add_cstr(out, "<application>");
    text(out, "name", app->name);
    for (size_t i = 0; i < app->n; i++) {
        cw_eureka_xml_instance(&app->entries[i], out);
    }
    cw_buf_add_cstr(out, "</application>");
}

void cw_eureka_xml_document(int64_t version, const struct cw_eureka_hash *hash,
                            const struct cw_eureka_app *apps, size_t n, struct cw_buf *out)
{
    cw_buf_add_cstr(out, "<applications>");
    millis(out, "versions__delta", version);
    cw_buf_add_cstr(out, "<apps__hashcode>");
    cw_eureka_hash_encode(hash, out);
    cw_buf_add_cstr(out, "</apps__hashcode>");
    for (size_t i = 0; i < n; i++) {
        cw_eureka_xml_app(&apps[i], out);
    }
    cw_buf_add_cstr(out, "</applications>");
}
