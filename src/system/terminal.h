/* SPDX-License-Identifier: Apache-2.0 */
/* terminal: a person in front of it. */
#ifndef SYSTEM_TERMINAL_H
#define SYSTEM_TERMINAL_H

#include "base/base.h"

bool terminal_is(int file);
/* Shows the prompt at the terminal and reads a line from it without showing it; ENOTTY when there is none. */
must_check int terminal_read_secret(struct text prompt, struct buffer *b);
/* The first line of a file, without its end; EFBIG when the buffer's limit is too small. Reads octet by octet: nothing behind it is taken. */
must_check int terminal_read_line(int file, struct buffer *b);

#endif
