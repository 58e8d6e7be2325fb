/* The pages that the table makes: --help and a section of docs/CONFIG.md. */
#include <string.h>

#include "common/config/internal.h"

static void add_default(const struct cw_config_key *row, struct cw_buf *out)
{
    if (row->flags & CW_CONFIG_REQUIRED) {
        cw_buf_add_cstr(out, "required");
    } else if (row->fallback && *row->fallback) {
        cw_buf_add_cstr(out, row->fallback);
    }
}

void cw_config_help(const struct cw_config_schema *schema, struct cw_buf *out)
{
    cw_buf_addf(out, "%s: %s\n\n", schema->program, schema->summary);
    cw_buf_addf(out, "usage: %s [--config FILE] [--KEY=VALUE ...]\n\n", schema->program);
    cw_buf_add_cstr(out,
                    "  --config FILE        YAML file\n"
                    "  --check-config       validate the configuration and exit\n"
                    "  --config-reference   print the reference of all keys (Markdown)\n"
                    "  --help, --version\n\n"
                    "Keys; each may stand in the file, in the environment (sidecar.run-dir is\n"
                    "CW_SIDECAR_RUN_DIR) and on the command line, the last winning:\n\n");
    for (size_t i = 0; i < schema->n_keys; i++) {
        const struct cw_config_key *row = &schema->keys[i];
        cw_buf_addf(out, "  %s=%s", row->key, config_type_name(row->type));
        cw_buf_addf(out, "\n      %s", row->help);
        struct cw_buf text = CW_BUF_INIT(1024);
        add_default(row, &text);
        if (text.n > 0) {
            cw_buf_addf(out, " [%.*s]", CW_STR_ARG(cw_buf_str(&text)));
        }
        cw_buf_clear(&text);
        config_bounds(row, &text);
        if (text.n > 0) {
            cw_buf_addf(out, " (%.*s)", CW_STR_ARG(cw_buf_str(&text)));
        }
        cw_buf_add_char(out, '\n');
        cw_buf_done(&text);
    }
    cw_buf_add_cstr(out,
                    "\nexit: 0, 1 a checked configuration is invalid, 2 could not run, 64 usage\n");
}

/* A table cell: `|` would end it. */
static void add_cell(struct cw_buf *out, const char *text, bool code)
{
    cw_buf_add_cstr(out, " ");
    if (*text && code) {
        cw_buf_add_char(out, '`');
    }
    for (; *text; text++) {
        if (*text == '|') {
            cw_buf_add_char(out, '\\');
        }
        cw_buf_add_char(out, *text);
    }
    cw_buf_add_cstr(out, code && out->n > 0 && out->p[out->n - 1] != ' ' ? "` |" : " |");
}

static void add_row(struct cw_buf *out, const struct cw_config_key *row)
{
    cw_buf_add_char(out, '|');
    add_cell(out, row->key, true);
    add_cell(out, config_type_name(row->type), false);
    struct cw_buf text = CW_BUF_INIT(1024);
    add_default(row, &text);
    cw_buf_add_char(&text, '\0');
    add_cell(out, text.p, !(row->flags & CW_CONFIG_REQUIRED));
    cw_buf_clear(&text);
    config_bounds(row, &text);
    cw_buf_add_char(&text, '\0');
    add_cell(out, text.p, false);
    add_cell(out, row->flags & CW_CONFIG_RELOADABLE ? "yes" : "restart", false);
    add_cell(out, row->help, false);
    cw_buf_add_char(out, '\n');
    cw_buf_done(&text);
}

void cw_config_reference(const struct cw_config_schema *schema, struct cw_buf *out)
{
    bool sentence = cw_str_ends(cw_str(schema->summary), CW_STR("."));
    cw_buf_addf(out, "## %s\n\n%s%s\n\n", schema->program, schema->summary, sentence ? "" : ".");
    cw_buf_add_cstr(out, "| key | type | default | bounds | reload | meaning |\n"
                         "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < schema->n_keys; i++) {
        add_row(out, &schema->keys[i]);
    }
}
