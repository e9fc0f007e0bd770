/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/place.h"

#include "system/system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_LIMIT = 1024, FOLDER_MODE = 0700 };

enum mailbox_outcome mailbox_outcome_of_error(int error)
{
    switch (error) {
    case ENOSPC:
        return MAILBOX_DISK_FULL;
    case EDQUOT:
        return MAILBOX_DISK_QUOTA;
    case ELOOP:
    case ENOTDIR:
        return MAILBOX_NOT_SAFE;
    default:
        return MAILBOX_DISK_FAILED;
    }
}

static bool needs_escape(char c, size_t at)
{
    unsigned char octet = (unsigned char)c;
    return octet < 32 || octet == 127 || c == '/' || c == ':' || c == '\\' || (c == '.' && at == 0);
}

void mailbox_append_name(struct buffer *b, struct text part)
{
    for (size_t i = 0; i < part.length; i++) {
        unsigned char octet = (unsigned char)part.bytes[i];
        char escaped[4] = {'\\', (char)('0' + (octet >> 6)), (char)('0' + (octet >> 3 & 7)), (char)('0' + (octet & 7))};
        if (needs_escape(part.bytes[i], i))
            ignored(buffer_append(b, text_of(escaped, sizeof escaped))); /* is_full tells the caller */
        else
            ignored(buffer_append_octet(b, part.bytes[i])); /* as above */
    }
}

/* The names of the two folders: the domain's and the user's, from the address's key (lower case, A-labels). */
static bool names_of(struct text account, struct buffer *domain, struct buffer *user)
{
    struct address address;
    struct buffer key released_by(buffer_done) = buffer_new(KEY_LIMIT);
    if (address_parse(account, true, &address) != ADDRESS_OK || address_is_null(&address))
        return false;
    address_append_key(&key, &address);
    struct text whole = buffer_text(&key);
    size_t at = whole.length; /* a quoted local part may hold an "@", a domain can't */
    while (at > 0 && whole.bytes[at - 1] != '@')
        at--;
    if (key.is_full || at < 2)
        return false;
    mailbox_append_name(domain, text_after(whole, at));
    mailbox_append_name(user, text_first(whole, at - 1));
    return domain->length && user->length && !domain->is_full && !user->is_full;
}

enum mailbox_outcome mailbox_step_open(int parent, struct text name, int *ret_folder, int *ret_error)
{
    struct file_facts facts;
    int folder released_by(file_close) = -1;
    int error = folder_open(parent, name, &folder);
    if (!error)
        error = file_facts(folder, &facts);
    if (error) {
        *ret_error = error;
        return mailbox_outcome_of_error(error);
    }
    if (!facts.is_folder || facts.owner != process_own_user())
        return MAILBOX_NOT_SAFE;
    *ret_folder = folder;
    folder = -1;
    return MAILBOX_UNDECIDED;
}

static enum mailbox_outcome step(int parent, struct text name, bool *was_made, int *ret_folder, int *ret_error)
{
    int error = 0;
    enum mailbox_outcome outcome = mailbox_step_open(parent, name, ret_folder, &error);
    if (outcome != MAILBOX_UNDECIDED && error == ENOENT) {
        error = folder_make(parent, name, FOLDER_MODE);
        *was_made = true;
        outcome = error ? mailbox_outcome_of_error(error) : mailbox_step_open(parent, name, ret_folder, &error);
    }
    if (outcome != MAILBOX_UNDECIDED)
        *ret_error = error;
    return outcome;
}

static enum mailbox_outcome open_folders(struct mailbox_place *place, int root, struct text domain, struct text user,
                                         int *ret_error)
{
    const struct {
        const int *parent;
        struct text name;
        int *folder;
    } steps[] = {
        {.parent = &root, .name = domain, .folder = &place->domain},
        {.parent = &place->domain, .name = user, .folder = &place->home},
        {.parent = &place->home, .name = TEXT("tmp"), .folder = &place->tmp},
        {.parent = &place->home, .name = TEXT("new"), .folder = &place->new},
    };
    for (size_t i = 0; i < length_of(steps); i++) {
        enum mailbox_outcome outcome =
            step(*steps[i].parent, steps[i].name, &place->was_made, steps[i].folder, ret_error);
        if (outcome != MAILBOX_UNDECIDED)
            return outcome;
    }
    if (!place->was_made) {
        file_close(&place->domain); /* only folders that were made need their parents once more, to be synced */
        return MAILBOX_UNDECIDED;
    }
    int error = folder_make(place->home, TEXT("cur"), FOLDER_MODE);
    if (error) {
        *ret_error = error;
        return mailbox_outcome_of_error(error);
    }
    return MAILBOX_UNDECIDED;
}

enum mailbox_outcome mailbox_place_open(int root, struct text account, struct mailbox_place **ret_place, int *ret_error)
{
    struct buffer domain released_by(buffer_done) = buffer_new(KEY_LIMIT);
    struct buffer user released_by(buffer_done) = buffer_new(KEY_LIMIT);
    if (!names_of(account, &domain, &user))
        return MAILBOX_BAD_NAME;
    struct mailbox_place *place = calloc(1, sizeof *place);
    char *copy = malloc(account.length);
    must(place != NULL && copy != NULL);
    memcpy(copy, account.bytes, account.length);
    *place = (struct mailbox_place){
        .account = text_of(copy, account.length), .domain = -1, .home = -1, .tmp = -1, .new = -1};
    enum mailbox_outcome outcome = open_folders(place, root, buffer_text(&domain), buffer_text(&user), ret_error);
    if (outcome != MAILBOX_UNDECIDED)
        mailbox_place_free(&place);
    else
        *ret_place = place;
    return outcome;
}

void mailbox_place_free(struct mailbox_place **place)
{
    struct mailbox_place *gone = *place;
    *place = NULL;
    if (!gone)
        return;
    file_close(&gone->new);
    file_close(&gone->tmp);
    file_close(&gone->home);
    file_close(&gone->domain);
    mailbox_duplicates_done(&gone->duplicates);
    free((void *)(uintptr_t)gone->account.bytes);
    free(gone);
}
