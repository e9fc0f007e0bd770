/* SPDX-License-Identifier: Apache-2.0 */
/* table: the parsers of rows, one for each kind of table. Each gets a row whose struct settings_row is set and the rest
 * zero, fills it from job->rest, or appends to complaint and gives false. Not shown outside settings. */
#ifndef SETTINGS_TABLE_H
#define SETTINGS_TABLE_H

#include "settings/value.h"

struct settings_row_job {
    struct arena *arena;
    const struct settings_spec *spec;
    struct text rest;   /* the row's text, in the arena; taken from the front */
    struct text secret; /* of the row, in the arena too */
    struct buffer *complaint;
};

must_check bool settings_row_listen(struct settings_row_job *job, void *row);
must_check bool settings_row_client(struct settings_row_job *job, void *row);
must_check bool settings_row_resolver(struct settings_row_job *job, void *row);
must_check bool settings_row_relay_host(struct settings_row_job *job, void *row);
must_check bool settings_row_route(struct settings_row_job *job, void *row);
must_check bool settings_row_redirect(struct settings_row_job *job, void *row);
must_check bool settings_row_domain_number(struct settings_row_job *job, void *row);
must_check bool settings_row_tls_rule(struct settings_row_job *job, void *row);
must_check bool settings_row_certificate(struct settings_row_job *job, void *row);
must_check bool settings_row_zone(struct settings_row_job *job, void *row);
must_check bool settings_row_bypass(struct settings_row_job *job, void *row);
must_check bool settings_row_helo_filter(struct settings_row_job *job, void *row);
must_check bool settings_row_account_limit(struct settings_row_job *job, void *row);

/* Appends message, always false: `return settings_row_refuse(job, "...");` */
bool settings_row_refuse(struct settings_row_job *job, const char *message);
bool settings_row_refuse_word(struct settings_row_job *job, struct text word, const char *message);

/* Takes the next word as an option "name=value". DONE at the end of the row; BAD when it is none (complained of). */
enum settings_option_result { SETTINGS_OPTION_TAKEN, SETTINGS_OPTION_END, SETTINGS_OPTION_BAD };
enum settings_option_result settings_row_take_option(struct settings_row_job *job, struct text *ret_name,
                                                     struct text *ret_value);

#endif
