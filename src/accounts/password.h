/* SPDX-License-Identifier: Apache-2.0 */
/* password: the rules for a new one (settings [security] password_*). The list of common passwords is zxcvbn's, which
 * also sees what is only made of such words, of rows of keys, of dates; a password is common when it would be found
 * within 10^10 guesses. Pure but for the memory zxcvbn takes. The password is never kept, nor part of any text made
 * here. */
#ifndef ACCOUNTS_PASSWORD_H
#define ACCOUNTS_PASSWORD_H

#include "mail/mail.h"
#include "settings/settings.h"

enum password_fault { /* bits */
                      PASSWORD_SHORT = 1 << 0,
                      PASSWORD_HAS_NAME = 1 << 1,
                      PASSWORD_COMMON = 1 << 2,
                      PASSWORD_NO_TEXT = 1 << 3, /* not UTF-8, or with control characters */
                      PASSWORD_LONG = 1 << 4,
};

unsigned password_faults(const struct settings *settings, const struct address *account, struct text password);
/* One sentence for each fault, with the setting that asks for it. */
void password_faults_append(struct buffer *b, unsigned faults, const struct settings *settings);

#endif
