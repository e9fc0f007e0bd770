/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger's file (it has none of our settings in mind) is parsed; what is taken goes through pack and unpack and
 * comes out equal, and a value set in the file by its own text is parsed again. The same octets are tried as a packed
 * snapshot. */
#include "settings/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct settings_machine machine = {.fqdn = TEXT_INIT("mail.example.org"),
                                                .first_domain = TEXT_INIT("example.org")};

static void try_pack(const struct settings *s)
{
    struct arena arena = arena_new(16 << 20);
    struct buffer packed = buffer_new(16 << 20);
    const struct settings *again;
    must(settings_pack(&packed, s, SETTINGS_READER_SUPERVISOR));
    must(settings_unpack(&arena, buffer_text(&packed), &again));
    must(settings_equals(s, again));
    arena_done(&arena);
    buffer_done(&packed);
}

/* Every edit of a file that was taken gives a file that is taken, and says the same. */
static void try_edit(struct text file, const struct settings *s, enum settings_key key)
{
    const struct settings_spec *spec = settings_spec(key);
    struct arena arena = arena_new(16 << 20);
    struct buffer value = buffer_new(1 << 20), out = buffer_new(1 << 20);
    struct settings_problems problems = {.arena = &arena};
    const struct settings *again;
    settings_value_text(s, spec, true, &value);
    enum settings_edit_result result = settings_is_table(spec)
                                           ? settings_edit_rows(file, spec, buffer_text(&value), &out)
                                           : settings_edit_set(file, spec, buffer_text(&value), &out);
    must(result == SETTINGS_EDIT_DONE || result == SETTINGS_EDIT_NOTHING);
    must(settings_parse(&arena, buffer_text(&out), &machine, &problems, &again));
    must(settings_equals(s, again));
    buffer_clear(&out);
    must(settings_edit_unset(file, spec, &out) == SETTINGS_EDIT_DONE);
    arena_done(&arena);
    buffer_done(&value);
    buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 64 << 10)
        return 0;
    struct text input = text_of((const char *)data, size);
    struct arena arena = arena_new(16 << 20);
    struct settings_problems problems = {.arena = &arena};
    const struct settings *s;
    if (settings_parse(&arena, input, &machine, &problems, &s)) {
        try_pack(s);
        size_t start = size == 0 ? 0 : data[size - 1];
        for (size_t i = start; i < start + SETTINGS_KEYS; i++)
            if (s->lines[i % SETTINGS_KEYS] != 0) {
                try_edit(input, s,
                         (enum settings_key)(i % SETTINGS_KEYS)); /* one of them: the others come with other inputs */
                break;
            }
    }
    if (settings_unpack(&arena, input, &s))
        try_pack(s);
    arena_done(&arena);
    return 0;
}
