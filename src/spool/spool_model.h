/* SPDX-License-Identifier: Apache-2.0 */
/* spool_model: for the tests: a folder to work in, a spool driven as the role drives it, and a model of what must stand in it.
 * Bodies, envelopes and results are made from the id, so that the model needs to remember little. */
#ifndef SPOOL_MODEL_H
#define SPOOL_MODEL_H

#include "spool/spool.h"

enum { MODEL_MESSAGES = 4096, MODEL_RECIPIENTS = 4 };

enum model_life {
    MODEL_ABSENT,   /* must not be there */
    MODEL_MAYBE,    /* appended, never acknowledged: whole or absent */
    MODEL_PRESENT,  /* acknowledged: must be there */
    MODEL_LEAVING,  /* removed, but the removal is not durable: whole or absent */
};

struct model_message {
    enum model_life life;
    bool is_large;
    uint32_t body_length;
    uint32_t updates;                     /* counts all, makes each result different */
    uint32_t newest[MODEL_RECIPIENTS];    /* number of the newest update of a recipient, 0: none */
    uint32_t durable[MODEL_RECIPIENTS];   /* the newest that must be known */
};

struct model {
    struct model_message messages[MODEL_MESSAGES]; /* id - 1 is the index */
    size_t problems[SPOOL_PROBLEMS];
    size_t found;
    bool is_small; /* the smallest segments there are, which wear out soon */
    bool is_wrong; /* set by the comparison, told on standard error */
};

uint32_t model_random(uint32_t *state);
/* A new, empty folder in the memory file system or TMPDIR; released by removing all in it. */
int model_folder_new(char path[64]);
void model_folder_remove(const char *path);
struct spool_options model_options(struct model *m); /* small segments, problems counted */

struct text model_envelope(uint64_t id, char bytes[512]);
void model_body(uint64_t id, char *bytes, size_t length);
size_t model_result(uint64_t id, uint32_t recipient, uint32_t number, char bytes[256]);

/* Appends message id of this length, or a large one; false when the spool has no room now. */
bool model_append(struct spool *s, struct model *m, uint64_t id, uint32_t body_length);
bool model_update(struct spool *s, struct model *m, uint64_t id, uint32_t recipient);
bool model_remove(struct spool *s, struct model *m, uint64_t id);
/* Seals, writes, finishes. False when the spool broke. */
bool model_commit(struct spool *s);
void model_chores(struct spool *s);
/* Everything that the spool holds now, in memory or not, is as the model says, bodies too. */
void model_compare(struct spool *s, struct model *m);
/* Opens and recovers, comparing what it is told with the model. NULL when that failed. */
struct spool *model_open(int folder, struct model *m, struct spool_trouble *ret_trouble);
/* What was MAYBE or LEAVING is taken as the spool has it now. */
void model_settle(struct spool *s, struct model *m);

#endif
