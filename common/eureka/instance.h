/* A service instance as Eureka describes one, and the reconcile hash over many. */
#ifndef CW_EUREKA_INSTANCE_H
#define CW_EUREKA_INSTANCE_H

#include "common/base/arena.h"
#include "common/base/buf.h"

enum cw_eureka_status {
    CW_EUREKA_UNKNOWN = 0,
    CW_EUREKA_UP,
    CW_EUREKA_DOWN,
    CW_EUREKA_STARTING,
    CW_EUREKA_OUT_OF_SERVICE,
    CW_EUREKA_STATUS_COUNT,
};

/* What last happened to an instance; ADDED and MODIFIED are both an upsert to a reader. */
enum cw_eureka_action {
    CW_EUREKA_ADDED = 0,
    CW_EUREKA_MODIFIED,
    CW_EUREKA_DELETED,
};

enum cw_eureka_data_center {
    CW_EUREKA_NO_DATA_CENTER = 0,
    CW_EUREKA_MY_OWN,
    CW_EUREKA_AMAZON,
    CW_EUREKA_NETFLIX,
};

enum {
    CW_EUREKA_NAME_MAX = 128,       /* bytes of an application's name */
    CW_EUREKA_ID_MAX = 256,         /* bytes of an instance id */
    CW_EUREKA_TEXT_MAX = 2048,      /* bytes of any other text */
    CW_EUREKA_PAIRS_MAX = 64,       /* metadata entries */
    CW_EUREKA_PAIR_KEY_MAX = 128,   /* bytes of a metadata key */
    CW_EUREKA_INSTANCE_MAX = 32768, /* bytes of all texts of one instance */
    CW_EUREKA_HASH_MAX = 256,       /* bytes of a reconcile hash with its NUL */
};

struct cw_eureka_port {
    uint16_t number;
    bool enabled;
};

struct cw_eureka_lease {
    uint32_t renewal_s;
    uint32_t duration_s;
    int64_t registration_ms; /* Unix milliseconds, as the other times here */
    int64_t renewal_ms;
    int64_t eviction_ms;
    int64_t service_up_ms;
};

struct cw_eureka_pair {
    const char *key;
    const char *value;
};

struct cw_eureka_pairs {
    const struct cw_eureka_pair *p;
    size_t n;
};

/* Every text is NUL-terminated, without control characters, and lives in the arena that the
 * instance was parsed or copied into; NULL where the document has none. */
struct cw_eureka_instance {
    const char *instance_id; /* see cw_eureka_instance_id */
    const char *app;         /* upper case */
    const char *app_group;
    const char *asg_name;
    const char *host_name;
    const char *ip_addr;
    const char *vip_address;
    const char *secure_vip_address;
    const char *home_page_url;
    const char *status_page_url;
    const char *health_check_url;
    const char *secure_health_check_url;
    enum cw_eureka_status status;
    enum cw_eureka_status overridden; /* UNKNOWN: no administrator has overridden the status */
    struct cw_eureka_port port;
    struct cw_eureka_port secure_port;
    uint32_t country_id;
    enum cw_eureka_data_center data_center;
    struct cw_eureka_pairs data_center_metadata; /* of AMAZON */
    struct cw_eureka_pairs metadata;
    struct cw_eureka_lease lease;
    bool coordinating;
    int64_t last_updated_ms;
    int64_t last_dirty_ms; /* 0: not sent */
    enum cw_eureka_action action;
};

/* What Eureka assumes where a document is silent. */
void cw_eureka_instance_init(struct cw_eureka_instance *ret_instance);
/* The key of its lease: the instance id; else Amazon's `instance-id`; else the host name; else
 * NULL. */
const char *cw_eureka_instance_id(const struct cw_eureka_instance *instance);
/* Deep copy into the arena. CW_NO_MEMORY past its bound. */
CW_MUST_USE enum cw_err cw_eureka_instance_copy(struct cw_arena *arena,
                                                const struct cw_eureka_instance *from,
                                                struct cw_eureka_instance *ret_copy);
/* The value of a metadata key, NULL where absent. */
const char *cw_eureka_pairs_find(struct cw_eureka_pairs pairs, const char *key);
/* The pairs of `base` with those of `change` set, in the arena. CW_NO_MEMORY past the arena's
 * bound, CW_REQUEST_MALFORMED past CW_EUREKA_PAIRS_MAX. */
CW_MUST_USE enum cw_err cw_eureka_pairs_merge(struct cw_arena *arena, struct cw_eureka_pairs base,
                                              struct cw_eureka_pairs change,
                                              struct cw_eureka_pairs *ret_pairs);

/* `UP`, `DOWN`, … Never NULL. */
const char *cw_eureka_status_name(enum cw_eureka_status status);
/* Any other text is UNKNOWN, as the real server reads it. */
enum cw_eureka_status cw_eureka_status_parse(struct cw_str s);
const char *cw_eureka_action_name(enum cw_eureka_action action);

/* 1 to CW_EUREKA_NAME_MAX letters, digits and `._:-`. */
bool cw_eureka_app_is_valid(struct cw_str app);
/* 1 to CW_EUREKA_ID_MAX bytes of UTF-8 without control characters. */
bool cw_eureka_id_is_valid(struct cw_str id);
/* ASCII letters to upper case, NUL-terminated in the arena; NULL without memory. */
char *cw_eureka_app_upper(struct cw_arena *arena, struct cw_str app);
/* To lower case: the vipAddress that clients look a service up by. */
char *cw_eureka_app_lower(struct cw_arena *arena, struct cw_str app);

/* Counts instances by status; a zeroed one is empty. */
struct cw_eureka_hash {
    size_t count[CW_EUREKA_STATUS_COUNT];
};

void cw_eureka_hash_add(struct cw_eureka_hash *hash, enum cw_eureka_status status);
/* Takes back what was added. */
void cw_eureka_hash_remove(struct cw_eureka_hash *hash, enum cw_eureka_status status);
/* `DOWN_1_UP_12_`: status names ascending, all instances, nothing for an empty registry. */
void cw_eureka_hash_encode(const struct cw_eureka_hash *hash, struct cw_buf *out);

#endif
