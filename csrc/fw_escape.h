/* fw_escape: bytes that somebody else has chosen, as they may stand in a log.
 *
 * The outcome is UTF-8 on one line, whatever the bytes are. Where all of them together are UTF-8 they are
 * taken for that, else for latin-1. Control characters, quotes and backslashes are escaped, and so is what a
 * terminal would obey and what cannot be seen: \x1b, \", \\, \u2028; in JSON as JSON has it.              */
#ifndef FW_ESCAPE_H
#define FW_ESCAPE_H

#include "fw_base.h"

/* The most that one byte becomes: \u001f. */
#define FW_ESCAPED_MOST 6

/* Write buf[0..len) into `out`, which has room for FW_ESCAPED_MOST * len bytes. Returns how many they are. */
size_t fw_escape(const char *buf, size_t len, bool json, char *out);

#endif
