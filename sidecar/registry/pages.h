/* Where a service's pages are, as Spring's readers and Eureka's stock clients expect it to be told.
 */
#ifndef SIDECAR_REGISTRY_PAGES_H
#define SIDECAR_REGISTRY_PAGES_H

#include "sidecar/registry/instance.h"

enum { REGISTRY_PAGE_SIZE = 1024 };

struct registry_pages {
    char home[REGISTRY_PAGE_SIZE];
    char status[REGISTRY_PAGE_SIZE];
    char health[REGISTRY_PAGE_SIZE];
};

/* Sets homePageUrl, statusPageUrl, healthCheckUrl and its secure twin of `told` by its hostName,
 * its ports and its metadata `management.port`; health_path NULL: /actuator/health there. `told`
 * borrows from `pages`. Any thread. */
void registry_pages_tell(struct cw_eureka_instance *told, const char *health_path,
                         struct registry_pages *pages);

#endif
