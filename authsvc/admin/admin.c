/* Who may administer, and tenants. */
#include "authsvc/admin/admin.h"

#include <stdlib.h>

#include "authsvc/admin/admin_impl.h"

enum { ARENA_MAX = 64 * 1024 };

struct admin *admin_new(const struct admin_deps *deps)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    if (admin != NULL) {
        admin->deps = *deps;
    }
    return admin;
}

void admin_free(struct admin *admin)
{
    free(admin);
}

/* --- who -------------------------------------------------------------------------------- */

struct admin_act admin_act_of(struct admin *admin, const struct admin_caller *caller,
                              struct cw_str tenant)
{
    return (struct admin_act){
        .admin = admin, .caller = caller, .tenant = tenant, .arena = CW_ARENA_INIT(ARENA_MAX)};
}

void admin_act_done(struct admin_act *act)
{
    tenant_set_unref(act->set);
    cw_arena_done(&act->arena);
}

enum cw_err admin_act_operator(struct admin_act *act)
{
    ENSURE(!act->caller->local, CW_OK);
    /* Whoever has a good token is told that it does not suffice; nobody else is told anything. */
    const struct login_bearer bearer = {.access_token = act->caller->access_token,
                                        .address = act->caller->address};
    ENSURE(act->tenant.n > 0, CW_SUBJECT_FORBIDDEN);
    TRY(login_administrator(act->admin->deps.login, act->tenant, &bearer, &act->arena,
                            &act->subject));
    return CW_SUBJECT_FORBIDDEN;
}

enum cw_err admin_act_open(struct admin_act *act)
{
    const struct login_bearer bearer = {.access_token = act->caller->access_token,
                                        .address = act->caller->address};
    if (!act->caller->local) {
        TRY(login_administrator(act->admin->deps.login, act->tenant, &bearer, &act->arena,
                                &act->subject));
    }
    act->set = tenant_current_get(book_current(act->admin->deps.book));
    act->found = tenant_set_by_name(act->set, act->tenant);
    return act->found != NULL ? CW_OK : CW_NOT_FOUND;
}

enum cw_err admin_act_tell(const struct admin_act *act, const char *action, struct cw_str target,
                           const struct cw_buf *detail, enum cw_err err)
{
    const struct admin_event event = {
        .action = action,
        .outcome = err,
        .tenant = act->tenant,
        .target = target,
        .subject = act->subject,
        .uid = act->caller->uid,
        .detail = detail != NULL ? cw_buf_str(detail) : CW_STR(""),
    };
    if (act->admin->deps.on_event != NULL) {
        act->admin->deps.on_event(act->admin->deps.ctx, &event);
    }
    return err;
}

void admin_act_revoked(const struct admin_act *act)
{
    if (act->admin->deps.on_revoked != NULL) {
        act->admin->deps.on_revoked(act->admin->deps.on_revoked_ctx);
    }
}

/* --- tenants ---------------------------------------------------------------------------- */

static enum cw_err change(struct admin *admin, const struct admin_caller *caller,
                          const struct book_change *wanted, struct cw_buf *detail,
                          const char *action,
                          enum cw_err (*run)(struct book *book, const struct book_change *change,
                                             struct cw_buf *detail))
{
    struct admin_act act = admin_act_of(admin, caller, wanted->name);
    enum cw_err err = admin_act_operator(&act);
    if (err == CW_OK) {
        err = run(admin->deps.book, wanted, detail);
    }
    err = admin_act_tell(&act, action, CW_STR(""), detail, err);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_tenant_create(struct admin *admin, const struct admin_caller *caller,
                                const struct book_change *wanted, struct cw_buf *detail)
{
    return change(admin, caller, wanted, detail, "tenant-created", book_create);
}

enum cw_err admin_tenant_update(struct admin *admin, const struct admin_caller *caller,
                                const struct book_change *wanted, struct cw_buf *detail)
{
    return change(admin, caller, wanted, detail, "tenant-changed", book_update);
}

enum cw_err admin_tenant_set_disabled(struct admin *admin, const struct admin_caller *caller,
                                      struct cw_str name, bool disabled, struct cw_buf *detail)
{
    struct admin_act act = admin_act_of(admin, caller, name);
    enum cw_err err = admin_act_operator(&act);
    if (err == CW_OK) {
        err = book_set_disabled(admin->deps.book, name, disabled, detail);
    }
    const char *action = disabled ? "tenant-disabled" : "tenant-enabled";
    err = admin_act_tell(&act, action, CW_STR(""), detail, err);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_tenant_remove(struct admin *admin, const struct admin_caller *caller,
                                struct cw_str name, struct cw_buf *detail)
{
    struct admin_act act = admin_act_of(admin, caller, name);
    enum cw_err err = admin_act_operator(&act);
    if (err == CW_OK) {
        err = book_remove(admin->deps.book, name, detail);
    }
    err = admin_act_tell(&act, "tenant-removed", CW_STR(""), detail, err);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_tenant_get(struct admin *admin, const struct admin_caller *caller,
                             struct cw_str name,
                             enum cw_err (*each)(void *ctx, const struct book_entry *entry),
                             void *ctx, struct document **ret_document)
{
    struct admin_act act = admin_act_of(admin, caller, name);
    enum cw_err err = caller->local ? CW_OK : admin_act_open(&act);
    if (err == CW_OK) {
        err = book_get(admin->deps.book, name, each, ctx, ret_document);
    }
    admin_act_done(&act);
    return err;
}

enum cw_err admin_tenant_list(struct admin *admin, const struct admin_caller *caller,
                              struct cw_str after, size_t max,
                              enum cw_err (*each)(void *ctx, const struct book_entry *entry),
                              void *ctx)
{
    ENSURE(caller->local, CW_SUBJECT_FORBIDDEN);
    return book_list(admin->deps.book, after, max, each, ctx);
}
