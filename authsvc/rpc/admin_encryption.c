/* AdminService: key-encryption keys. */
#include <stdlib.h>
#include <string.h>

#include "authsvc/rpc/admin_impl.h"

enum { PLACE_MAX = 16 * 1024 };

typedef ADMIN_PB(EncryptionKey) key_message;
typedef ADMIN_PB(SealedValues) values_message;

static enum cw_err add_kind(struct admin_job *job, key_message *key, const char *name,
                            int64_t values)
{
    values_message *m = cw_arena_alloc(&job->arena, sizeof(*m));
    void **place = admin_append(job, (void ***)&key->kinds, &key->n_kinds);
    ENSURE(m != NULL && place != NULL, CW_NO_MEMORY);
    *place = m;
    clinicwave__identity__v1__sealed_values__init(m);
    m->kind = admin_text(job, cw_str(name));
    ENSURE(m->kind != NULL, CW_NO_MEMORY);
    m->values = values;
    key->values += values;
    return CW_OK;
}

static enum cw_err fill(struct admin_job *job, const struct sealed_use *use, bool current,
                        key_message *key)
{
    char fingerprint[KEK_FINGERPRINT_SIZE];
    clinicwave__identity__v1__encryption_key__init(key);
    kek_fingerprint(use->id, fingerprint);
    key->fingerprint = admin_text(job, cw_str(fingerprint));
    key->state = admin_text(job, current      ? CW_STR("current")
                                 : use->known ? CW_STR("other")
                                 : use->real  ? CW_STR("missing")
                                              : CW_STR("damaged"));
    ENSURE(key->fingerprint != NULL && key->state != NULL, CW_NO_MEMORY);
    for (int kind = 0; kind < STORE_SEALED_KINDS; kind++) {
        if (use->values[kind] > 0) {
            TRY(add_kind(job, key, sealed_kind_name((enum store_sealed_kind)kind),
                         use->values[kind]));
        }
    }
    return CW_OK;
}

void rpc_admin_list_encryption_keys(struct admin_job *job)
{
    ADMIN_PB(ListEncryptionKeysResponse)
    response = CLINICWAVE__IDENTITY__V1__LIST_ENCRYPTION_KEYS_RESPONSE__INIT;
    struct sealed_use *list = NULL;
    size_t n = 0;
    enum cw_err err = admin_encryption_keys(job->door->admin, &job->caller, &list, &n);
    for (size_t i = 0; i < n && err == CW_OK; i++) {
        key_message *key = cw_arena_alloc(&job->arena, sizeof(*key));
        void **place = admin_append(job, (void ***)&response.keys, &response.n_keys);
        err = key == NULL || place == NULL ? CW_NO_MEMORY : fill(job, &list[i], i == 0, key);
        if (err == CW_OK) {
            *place = key;
        }
    }
    free(list);
    admin_finish(job, err, &response.base);
}

void rpc_admin_reseal_values(struct admin_job *job)
{
    const ADMIN_PB(ResealValuesRequest) *m = (const ADMIN_PB(ResealValuesRequest) *)job->request;
    ADMIN_PB(ResealValuesResponse)
    response = CLINICWAVE__IDENTITY__V1__RESEAL_VALUES_RESPONSE__INIT;
    struct cw_buf place = CW_BUF_INIT(PLACE_MAX);
    struct resealed resealed = {0};
    cw_buf_add_str(&place, admin_bytes(m->page_token));
    enum cw_err err = cw_buf_check(&place) == CW_OK ? CW_OK : CW_REQUEST_MALFORMED;
    if (err == CW_OK) {
        err = admin_reseal(job->door->admin, &job->caller, admin_page(m->page_size), &place,
                           &resealed);
    }
    response.resealed = resealed.values;
    response.failed = resealed.failed;
    response.next_page_token = (ProtobufCBinaryData){place.n, (uint8_t *)place.p};
    admin_finish(job, err, &response.base); /* packs it before it returns */
    cw_buf_done(&place);
}
