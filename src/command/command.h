/* SPDX-License-Identifier: Apache-2.0 */
/* command: what an administrator can ask, and how the command line asks it. commands.def has one row for each command; the parser of the
 * command line, the help, the manual page, the rights and the console's buttons come from it. This header is pure and needs only the table:
 * the control role and the handlers use it too. What talks to the server, edits the file or starts a keeper stands in headers of its own. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include "peers/peers.h"

/* What a caller may do; each holds those before it. */
enum command_right {
    COMMAND_RIGHT_NONE,
    COMMAND_RIGHT_ANYONE_LOCAL,
    COMMAND_RIGHT_READ,
    COMMAND_RIGHT_OPERATE,
    COMMAND_RIGHT_ADMINISTER,
    COMMAND_RIGHTS,
};

/* Exit statuses of the program; command_end carries them too. */
enum command_exit {
    COMMAND_EXIT_DONE = 0,
    COMMAND_EXIT_FAILED = 1,
    COMMAND_EXIT_USAGE = 2,
    COMMAND_EXIT_NOT_RUNNING = 3,
    COMMAND_EXIT_NOT_PERMITTED = 4,
    COMMAND_EXIT_FINDINGS = 5,
    COMMAND_PAGE_MORE = 100, /* never an exit status: the rows go on, the message is the place */
};

enum command_id {
    COMMAND_NONE,
#define COMMAND(name, ...) COMMAND_##name,
#include "command/commands.def"
    COMMANDS,
};

enum command_argument_kind {
    COMMAND_REQUIRED, /* by its place */
    COMMAND_OPTIONAL, /* by its place, may be absent */
    COMMAND_REST,     /* all that is left */
    COMMAND_OPTION,   /* --name VALUE */
    COMMAND_FLAG,     /* --name */
    COMMAND_SECRET,   /* --name-stdin, or asked for at the terminal; never on the command line */
};

/* What a value must look like; it travels in the unit named. */
enum command_value {
    COMMAND_VALUE_WORDS,
    COMMAND_VALUE_DURATION, /* milliseconds */
    COMMAND_VALUE_SIZE,     /* octets; none = 0 */
    COMMAND_VALUE_NUMBER,
};

/* What happens while the server does not run. */
enum command_offline {
    COMMAND_OFFLINE_NOT,          /* it says so: exit status 3 */
    COMMAND_OFFLINE_WORKS_HERE,   /* needs no server */
    COMMAND_OFFLINE_WORKS_ON_FILE,    /* portiere.conf is edited */
    COMMAND_OFFLINE_WORKS_WITH_PROGRAM, /* the handler is started for this one command, in its sandbox */
};

struct command_argument {
    struct text name;
    enum command_argument_kind kind;
    enum command_value value;
    bool is_needed; /* REST: at least one; SECRET: asked for when it was not given */
    struct text help_en, help_it;
};

struct command_row {
    struct text words; /* "settings set"; its name is "settings-set" */
    struct text short_words; /* "set", or empty */
    enum peers_role handler; /* PEERS_NOBODY: the command line itself */
    enum command_right right;
    enum command_offline offline;
    bool lists;  /* several rows: --json gives an array */
    bool shows_pairs; /* for a reader each row is names and values: its texts are long */
    bool pages;  /* asked for in pieces */
    bool is_raw; /* octets, not rows */
    bool is_hidden;
    bool needs_choice; /* at least one argument: nobody means "all" by saying nothing */
    struct text help_en, help_it;
    const struct command_argument *arguments;
    size_t argument_count;
};

const struct command_row *command_row(enum command_id id);
const struct command_row *command_find(struct text name); /* by its name, "settings-set"; NULL when there is none */
bool command_name_append(struct buffer *b, const struct command_row *row);
enum command_id command_id_of(const struct command_row *row);
struct text command_right_word(enum command_right right); /* "read" */
must_check bool command_right_of_word(struct text word, enum command_right *ret_right);

#endif
