/* URLs of a service: its own port, or that of its management. */
#include "sidecar/registry/pages.h"

#include <stdio.h>
#include <string.h>

static const char *url(char out[REGISTRY_PAGE_SIZE], bool secure, const char *host, unsigned port,
                       const char *path)
{
    bool bracket = strchr(host, ':') != NULL;
    snprintf(out, REGISTRY_PAGE_SIZE, "%s://%s%s%s:%u%s", secure ? "https" : "http",
             bracket ? "[" : "", host, bracket ? "]" : "", port, path);
    return out;
}

/* Where management is, if the service says so: Spring's readers look there. */
static unsigned management_port(const struct cw_eureka_instance *told, unsigned fallback)
{
    const char *text = cw_eureka_pairs_find(told->metadata, "management.port");
    uint64_t port = 0;
    return text != NULL && cw_str_to_u64(cw_str(text), UINT16_MAX, &port) == CW_OK && port > 0
               ? (unsigned)port
               : fallback;
}

void registry_pages_tell(struct cw_eureka_instance *told, const char *health_path,
                         struct registry_pages *pages)
{
    const char *host = told->host_name;
    bool secure = told->secure_port.enabled;
    unsigned port = secure ? told->secure_port.number : told->port.number;
    unsigned management = management_port(told, port);
    bool secure_management = secure && management == port;
    told->home_page_url = url(pages->home, secure, host, port, "/");
    told->status_page_url =
        url(pages->status, secure_management, host, management, "/actuator/info");
    const char *health = health_path != NULL ? url(pages->health, secure, host, port, health_path)
                                             : url(pages->health, secure_management, host,
                                                   management, "/actuator/health");
    told->health_check_url = health;
    told->secure_health_check_url = cw_str_starts(cw_str(health), CW_STR("https")) ? health : NULL;
}
