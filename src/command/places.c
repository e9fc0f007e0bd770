/* SPDX-License-Identifier: Apache-2.0 */
#include "command/places.h"
#include "system/system.h"

static bool below(struct arena *arena, struct text folder, struct text name, struct text *ret_path)
{
    struct buffer path released_by(buffer_done) = buffer_new(4096);
    bool has_slash = text_ends_with(folder, TEXT("/"));
    return buffer_append(&path, folder) && (has_slash || name.length == 0 || buffer_append_octet(&path, '/')) && buffer_append(&path, name) &&
           arena_copy(arena, buffer_text(&path), ret_path);
}

bool command_places_of(struct arena *arena, struct text directory, struct command_places *ret_places)
{
    struct command_places places = {.home = TEXT("/etc/portiere"), .state = TEXT("/var/lib/portiere"), .run = TEXT("/run/portiere")};
    bool fits = true;
    if (directory.length)
        fits = below(arena, directory, TEXT_NONE, &places.home) && below(arena, directory, TEXT_NONE, &places.state) &&
               below(arena, directory, TEXT("run"), &places.run);
    fits = fits && below(arena, places.home, TEXT("portiere.conf"), &places.settings) && below(arena, places.run, TEXT("control"), &places.control);
    if (fits)
        *ret_places = places;
    return fits;
}

static const struct {
    enum peers_role role;
    struct text folder;
} keepers[] = {
    {.role = PEERS_QUEUE, .folder = TEXT_INIT("spool")},
    {.role = PEERS_MAILBOX, .folder = TEXT_INIT("mail")},
    {.role = PEERS_VAULT, .folder = TEXT_INIT("vault")},
    {.role = PEERS_LEDGER, .folder = TEXT_INIT("log")},
};

struct text command_folder_of(enum peers_role role)
{
    for (size_t i = 0; i < length_of(keepers); i++)
        if (keepers[i].role == role)
            return keepers[i].folder;
    return TEXT_NONE;
}

bool command_program_append(struct buffer *b, enum peers_role role)
{
    return buffer_append(b, TEXT("portiere-")) && buffer_append(b, peers_role_word(role));
}

enum { UNNAMED_USER = 64200 }; /* outside of what adduser gives */

void command_role_user(enum peers_role role, unsigned *ret_user, unsigned *ret_group)
{
    struct buffer name released_by(buffer_done) = buffer_new(64);
    unsigned user = 0, group = 0, bit = 0;
    if (process_own_user() == 0) {
        must(command_program_append(&name, role) && buffer_append_octet(&name, '\0'));
        while (role >> (bit + 1))
            bit++;
        if (!process_user(name.bytes, &user, &group))
            user = group = UNNAMED_USER + bit;
    }
    *ret_user = user;
    *ret_group = group;
}
