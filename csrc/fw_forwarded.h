/* fw_forwarded: what a proxy says of a request in fields of its own: by which scheme it came, where the
 * application is mounted, who the client is. And whose word is believed.
 *
 * Anybody can send such fields. They count where the peer is a trusted proxy, and what that proxy was told
 * itself counts only as far as those it names are trusted as well. Names with '_' belong here, since only a
 * proxy's word makes one fit for the environ, where it would pass for one with '-'.
 *
 * Pure: no allocation, no system call. Works on a parsed head; refusals of grammar are not made here.      */
#ifndef FW_FORWARDED_H
#define FW_FORWARDED_H

#include "fw_addr.h"
#include "fw_head.h"

/* What to do with a field whose name has a '_' and that is none of the trusted proxy's. */
enum fw_underscore {
    FW_UNDERSCORE_DROP,
    FW_UNDERSCORE_REFUSE,
    FW_UNDERSCORE_DANGEROUS, /* give it to the application all the same */
};

/* At most so many proxies are followed, and so many names with '_' can be the proxy's. */
enum { FW_FORWARDED_HOPS = 32, FW_FORWARDED_NAMES = 64 };

/* A table of names and values: for each row two lengths, a byte each, the name in lower case, the value.
 * fastwsgi/proxies.py writes it; the bytes are the caller's.                                         */
struct fw_forwarded_table {
    const char *rows;
    size_t len;
};

struct fw_forwarded_rules {
    /* settings */
    struct fw_networks proxies;        /* who is trusted */
    struct fw_forwarded_table schemes; /* a field, and its value that means https */
    struct fw_forwarded_table names;   /* fields with '_' that a proxy may send; their values are empty */
    bool all_names;                    /* ... any field */
    uint8_t underscore;                /* enum fw_underscore */
    uint8_t client;                    /* FW_N_X_FORWARDED_FOR, FW_N_FORWARDED, or FW_N_OTHER: neither */
    uint8_t hops; /* believe so many proxies at the most, up to FW_FORWARDED_HOPS; 0: by `proxies` alone */
    /* made of them by fw_forwarded_init */
    bool active;                /* a trusted proxy has something to say */
    bool wanted[FW_NAME_COUNT]; /* ids of fields to look at */
    uint64_t lengths;           /* of the names in `schemes`, bit length % 64 */
};

void fw_forwarded_init(struct fw_forwarded_rules *rules);

struct fw_forwarded {
    bool https;
    bool hidden;     /* some field has FW_FIELD_HIDDEN */
    uint32_t script; /* 1 + the index of the field SCRIPT_NAME, 0: there is none that counts */
};

/* Index of the first field that may be of interest, or head->count: most requests have none, and are not to
 * pay for it. */
static inline uint32_t fw_forwarded_first(const struct fw_forwarded_rules *rules, const struct fw_head *head)
{
    uint32_t i = 0;
    for (; i < head->count; i++) {
        const struct fw_field *field = &head->fields[i];
        if (rules->wanted[field->id] && (field->id != FW_N_OTHER || field->flags & FW_FIELD_UNDERSCORE ||
                                         rules->lengths >> field->name.len % 64 & 1))
            break;
    }
    return i;
}

/* Judge the fields, from the `first` on, of a request from a peer that is trusted, or is not. Takes the mark
 * FW_FIELD_UNDERSCORE off those that the application is to have. Where the proxy sends X_NAME, and X-Name has
 * come as well, the latter is not the proxy's: it is marked FW_FIELD_HIDDEN, or refused if names with '_'
 * are. FW_OK, FW_E_SCHEME_MIXED or FW_E_FIELD_UNDERSCORE.                                                */
enum fw_error fw_forwarded_read(const struct fw_forwarded_rules *rules, bool trusted, const char *base,
                                struct fw_head *head, uint32_t first, struct fw_forwarded *said);

struct fw_client {
    struct fw_addr addr;
    int32_t port; /* -1: not known */
};

/* Follow the proxies' word from *client, a trusted proxy, towards the client, from right to left, all lines
 * of the field as one: each names who came to it, and if that is a trusted proxy, it is believed in its turn.
 * What is no address ends the way, and *client is then the last proxy that could be named. `told`: so many
 * proxies have had their say before. Returns whether *client has changed.                         */
bool fw_forwarded_follow(const struct fw_forwarded_rules *rules, unsigned told, const char *base,
                         const struct fw_head *head, struct fw_client *client);

#endif
