/* AdminService: tenants. */
#include "authsvc/rpc/admin_impl.h"

typedef ADMIN_PB(ManagedTenant) tenant_message;
typedef ADMIN_PB(Setting) setting_message;

/* --- what goes out ---------------------------------------------------------------------- */

struct filling {
    struct admin_job *job;
    tenant_message *tenant;
};

static enum cw_err fill_domains(struct admin_job *job, const struct tenant *tenant,
                                tenant_message *m)
{
    m->domains = cw_arena_zalloc(&job->arena, (tenant->n_domains + 1) * sizeof(char *));
    ENSURE(m->domains != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < tenant->n_domains; i++) {
        m->domains[i] = admin_text(job, tenant->domains[i]);
        ENSURE(m->domains[i] != NULL, CW_NO_MEMORY);
    }
    m->n_domains = tenant->n_domains;
    m->issuer = admin_text(job, tenant->issuer);
    return m->issuer != NULL ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err fill_tenant(void *ctx, const struct book_entry *entry)
{
    const struct filling *f = ctx;
    tenant_message *m = f->tenant;
    m->name = admin_text(f->job, entry->name);
    m->problem = admin_text(f->job, entry->problem);
    ENSURE(m->name != NULL && m->problem != NULL, CW_NO_MEMORY);
    m->configured = entry->configured;
    m->disabled = entry->disabled;
    m->version = entry->version;
    m->created_at = entry->created_at / 1000;
    m->updated_at = entry->updated_at / 1000;
    return entry->tenant != NULL ? fill_domains(f->job, entry->tenant, m) : CW_OK;
}

static enum cw_err add_setting(void *ctx, const char *name, const char *const *values, size_t n)
{
    const struct filling *f = ctx;
    setting_message *m = cw_arena_alloc(&f->job->arena, sizeof(*m));
    void **place = admin_append(f->job, (void ***)&f->tenant->settings, &f->tenant->n_settings);
    ENSURE(m != NULL && place != NULL, CW_NO_MEMORY);
    *place = m;
    clinicwave__identity__v1__setting__init(m);
    m->name = admin_text(f->job, cw_str(name));
    m->values = cw_arena_zalloc(&f->job->arena, (n + 1) * sizeof(char *));
    ENSURE(m->name != NULL && m->values != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        m->values[i] = admin_text(f->job, cw_str(values[i]));
        ENSURE(m->values[i] != NULL, CW_NO_MEMORY);
        m->n_values++;
    }
    return CW_OK;
}

/* The tenant with its settings, as it is now. */
static enum cw_err read_tenant(struct admin_job *job, const char *name, tenant_message *ret_tenant)
{
    struct filling filling = {.job = job, .tenant = ret_tenant};
    struct document *document = NULL;
    clinicwave__identity__v1__managed_tenant__init(ret_tenant);
    enum cw_err err = admin_tenant_get(job->door->admin, &job->caller, cw_str(name), fill_tenant,
                                       &filling, &document);
    if (err == CW_OK) {
        err = document_each(document, add_setting, &filling);
    }
    document_free(document);
    return err;
}

/* --- what comes in ---------------------------------------------------------------------- */

static enum cw_err settings_of(struct admin_job *job, setting_message *const *list, size_t n,
                               const struct book_setting **ret_settings)
{
    struct book_setting *settings = cw_arena_zalloc(&job->arena, (n + 1) * sizeof(*settings));
    ENSURE(settings != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        settings[i].name = cw_str(list[i]->name);
        settings[i].n = list[i]->n_values;
        TRY(admin_strings(job, list[i]->values, list[i]->n_values, &settings[i].values));
    }
    *ret_settings = settings;
    return CW_OK;
}

static enum cw_err secrets_of(struct admin_job *job, ADMIN_PB(SecretSetting) *const *list, size_t n,
                              const struct book_setting **ret_secrets)
{
    struct book_setting *secrets = cw_arena_zalloc(&job->arena, (n + 1) * sizeof(*secrets));
    struct cw_str *values = cw_arena_zalloc(&job->arena, (n + 1) * sizeof(*values));
    ENSURE(secrets != NULL && values != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        values[i] = (struct cw_str){(const char *)list[i]->value.data, list[i]->value.len};
        secrets[i] = (struct book_setting){cw_str(list[i]->name), &values[i], values[i].n > 0};
    }
    *ret_secrets = secrets;
    return CW_OK;
}

static enum cw_err read_change(struct admin_job *job, setting_message *const *settings,
                               size_t n_settings, ADMIN_PB(SecretSetting) *const *secrets,
                               size_t n_secrets, struct book_change *change)
{
    change->n_settings = n_settings;
    change->n_secrets = n_secrets;
    TRY(settings_of(job, settings, n_settings, &change->settings));
    return secrets_of(job, secrets, n_secrets, &change->secrets);
}

/* --- handlers --------------------------------------------------------------------------- */

void rpc_admin_create_tenant(struct admin_job *job)
{
    const ADMIN_PB(CreateTenantRequest) *m = (const ADMIN_PB(CreateTenantRequest) *)job->request;
    ADMIN_PB(CreateTenantResponse)
    response = CLINICWAVE__IDENTITY__V1__CREATE_TENANT_RESPONSE__INIT;
    tenant_message tenant;
    struct book_change change = {
        .name = cw_str(m->name),
        .text = {(const char *)m->document.data, m->document.len},
    };
    enum cw_err err =
        read_change(job, m->settings, m->n_settings, m->secrets, m->n_secrets, &change);
    if (err == CW_OK) {
        err = admin_tenant_create(job->door->admin, &job->caller, &change, &job->detail);
    }
    if (err == CW_OK) {
        err = read_tenant(job, m->name, &tenant);
    }
    response.tenant = &tenant;
    admin_finish(job, err, &response.base);
}

void rpc_admin_update_tenant(struct admin_job *job)
{
    const ADMIN_PB(UpdateTenantRequest) *m = (const ADMIN_PB(UpdateTenantRequest) *)job->request;
    ADMIN_PB(UpdateTenantResponse)
    response = CLINICWAVE__IDENTITY__V1__UPDATE_TENANT_RESPONSE__INIT;
    tenant_message tenant;
    struct book_change change = {
        .name = cw_str(m->name),
        .text = {(const char *)m->document.data, m->document.len},
        .if_version = m->if_version,
    };
    enum cw_err err =
        read_change(job, m->settings, m->n_settings, m->secrets, m->n_secrets, &change);
    if (err == CW_OK) {
        err = admin_tenant_update(job->door->admin, &job->caller, &change, &job->detail);
    }
    if (err == CW_OK) {
        err = read_tenant(job, m->name, &tenant);
    }
    response.tenant = &tenant;
    admin_finish(job, err, &response.base);
}

void rpc_admin_get_tenant(struct admin_job *job)
{
    const ADMIN_PB(GetTenantRequest) *m = (const ADMIN_PB(GetTenantRequest) *)job->request;
    ADMIN_PB(GetTenantResponse) response = CLINICWAVE__IDENTITY__V1__GET_TENANT_RESPONSE__INIT;
    tenant_message tenant;
    enum cw_err err = read_tenant(job, m->name, &tenant);
    response.tenant = &tenant;
    admin_finish(job, err, &response.base);
}

struct listing {
    struct admin_job *job;
    ADMIN_PB(ListTenantsResponse) response;
};

static enum cw_err list_one(void *ctx, const struct book_entry *entry)
{
    struct listing *l = ctx;
    tenant_message *m = cw_arena_alloc(&l->job->arena, sizeof(*m));
    void **place = admin_append(l->job, (void ***)&l->response.tenants, &l->response.n_tenants);
    ENSURE(m != NULL && place != NULL, CW_NO_MEMORY);
    *place = m;
    clinicwave__identity__v1__managed_tenant__init(m);
    struct filling filling = {.job = l->job, .tenant = m};
    return fill_tenant(&filling, entry);
}

void rpc_admin_list_tenants(struct admin_job *job)
{
    const ADMIN_PB(ListTenantsRequest) *m = (const ADMIN_PB(ListTenantsRequest) *)job->request;
    struct listing l = {.job = job,
                        .response = CLINICWAVE__IDENTITY__V1__LIST_TENANTS_RESPONSE__INIT};
    size_t page = admin_page(m->page_size);
    enum cw_err err = admin_tenant_list(job->door->admin, &job->caller, admin_bytes(m->page_token),
                                        page, list_one, &l);
    if (err == CW_OK && l.response.n_tenants == page) {
        l.response.next_page_token = admin_last(l.response.tenants[page - 1]->name);
    }
    admin_finish(job, err, &l.response.base);
}

void rpc_admin_disable_tenant(struct admin_job *job)
{
    const ADMIN_PB(DisableTenantRequest) *m = (const ADMIN_PB(DisableTenantRequest) *)job->request;
    const ADMIN_PB(DisableTenantResponse) response =
        CLINICWAVE__IDENTITY__V1__DISABLE_TENANT_RESPONSE__INIT;
    enum cw_err err = admin_tenant_set_disabled(job->door->admin, &job->caller, cw_str(m->name),
                                                true, &job->detail);
    admin_finish(job, err, &response.base);
}

void rpc_admin_enable_tenant(struct admin_job *job)
{
    const ADMIN_PB(EnableTenantRequest) *m = (const ADMIN_PB(EnableTenantRequest) *)job->request;
    const ADMIN_PB(EnableTenantResponse) response =
        CLINICWAVE__IDENTITY__V1__ENABLE_TENANT_RESPONSE__INIT;
    enum cw_err err = admin_tenant_set_disabled(job->door->admin, &job->caller, cw_str(m->name),
                                                false, &job->detail);
    admin_finish(job, err, &response.base);
}

void rpc_admin_delete_tenant(struct admin_job *job)
{
    const ADMIN_PB(DeleteTenantRequest) *m = (const ADMIN_PB(DeleteTenantRequest) *)job->request;
    const ADMIN_PB(DeleteTenantResponse) response =
        CLINICWAVE__IDENTITY__V1__DELETE_TENANT_RESPONSE__INIT;
    enum cw_err err =
        admin_tenant_remove(job->door->admin, &job->caller, cw_str(m->name), &job->detail);
    admin_finish(job, err, &response.base);
}

struct checking {
    struct admin_job *job;
    ADMIN_PB(CheckTenantResponse) response;
    enum cw_err err;
};

static void add_finding(void *ctx, const struct idp_finding *finding)
{
    static const ADMIN_PB(TenantFinding__State) states[] = {
        [IDP_SETTING_FINE] = CLINICWAVE__IDENTITY__V1__TENANT_FINDING__STATE__STATE_FINE,
        [IDP_SETTING_MISSING] = CLINICWAVE__IDENTITY__V1__TENANT_FINDING__STATE__STATE_MISSING,
        [IDP_SETTING_UNKNOWN] = CLINICWAVE__IDENTITY__V1__TENANT_FINDING__STATE__STATE_UNKNOWN,
    };
    struct checking *c = ctx;
    ADMIN_PB(TenantFinding) *m = cw_arena_alloc(&c->job->arena, sizeof(*m));
    void **place = admin_append(c->job, (void ***)&c->response.findings, &c->response.n_findings);
    if (m == NULL || place == NULL) {
        c->err = CW_NO_MEMORY;
        return;
    }
    *place = m;
    clinicwave__identity__v1__tenant_finding__init(m);
    m->state = states[finding->state];
    m->setting = admin_text(c->job, cw_str(finding->setting));
    m->text = admin_text(c->job, cw_str(finding->text));
    c->err = m->setting != NULL && m->text != NULL ? c->err : CW_NO_MEMORY;
}

void rpc_admin_check_tenant(struct admin_job *job)
{
    const ADMIN_PB(CheckTenantRequest) *m = (const ADMIN_PB(CheckTenantRequest) *)job->request;
    struct checking c = {.job = job,
                         .response = CLINICWAVE__IDENTITY__V1__CHECK_TENANT_RESPONSE__INIT};
    enum cw_err err = admin_tenant_check(job->door->admin, &job->caller, cw_str(m->domain),
                                         admin_bytes(m->username), admin_bytes(m->password),
                                         add_finding, &c, &job->detail);
    admin_finish(job, err == CW_OK ? c.err : err, &c.response.base);
}
