/* SPDX-License-Identifier: Apache-2.0 */
/* private: what the files of outcome share. */
#ifndef OUTCOME_PRIVATE_H
#define OUTCOME_PRIVATE_H

#include "outcome/outcome.h"

enum { OUTCOME_LINE = 76, OUTCOME_WORD = 900 };

/* quote.c: a stranger's octets. Controls, backslashes and all that is not ASCII become \xHH; blanks and line feeds
 * become places to fold. column is where the line stands; folded lines go on with indent. */
void outcome_quote(struct buffer *b, struct text t, size_t column, struct text indent);
/* The same where UTF-8 may stand: characters that are no controls stay. */
void outcome_quote_utf8(struct buffer *b, struct text t, size_t column, struct text indent);

/* words.c */
struct text outcome_subject(enum outcome_report_kind kind);
struct text outcome_introduction(enum outcome_report_kind kind, enum settings_language language);
struct text outcome_action(enum outcome_report_kind kind);

/* attachment.c: the third part: the message, its header, or its beginning. */
void outcome_append_original(struct buffer *b, const struct outcome_report *report, struct text boundary);
/* The header, for the Message-ID; empty when it can't be read. */
void outcome_read_header(struct buffer *b, const struct outcome_report *report);
size_t outcome_original_limit(const struct outcome_report *report);

bool outcome_is_global(const struct outcome_report *report);

#endif
