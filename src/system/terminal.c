/* SPDX-License-Identifier: Apache-2.0 */
#include "system/terminal.h"
#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

bool terminal_is(int file)
{
    return isatty(file) == 1;
}

int terminal_read_line(int file, struct buffer *b)
{
    for (;;) {
        char octet;
        ssize_t got = read(file, &octet, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0 || octet == '\n')
            break;
        if (!buffer_append_octet(b, octet))
            return EFBIG;
    }
    if (b->length && b->bytes[b->length - 1] == '\r')
        b->length--;
    return 0;
}

int terminal_read_secret(struct text prompt, struct buffer *b)
{
    int terminal released_by(file_close) = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    struct termios shown, hidden;
    if (terminal < 0 || tcgetattr(terminal, &shown) < 0)
        return ENOTTY;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    if (tcsetattr(terminal, TCSAFLUSH, &hidden) < 0)
        return errno;
    int result = file_write_all(terminal, prompt);
    if (!result)
        result = terminal_read_line(terminal, b);
    ignored(tcsetattr(terminal, TCSAFLUSH, &shown)); /* it worked a moment ago */
    ignored(file_write_all(terminal, TEXT("\n")));   /* only looks */
    return result;
}
