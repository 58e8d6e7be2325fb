/* The configuration table. */
#ifndef STORAGE_CONFIG_H
#define STORAGE_CONFIG_H

#include "common/config/config.h"

extern const struct cw_config_schema storage_schema;

#endif
