/* wire: the machine that one connection sees, as an input says it is: a socket that brings bytes when it
 * likes and takes as many as it likes, a temporary file, a file to send, a clock.
 *
 * It stands in the place of the system's calls (the linker's --wrap) while `wire.on`. Like a kernel it is
 * exact: a read gives all that is there, bytes that came are announced once, a full socket takes nothing.
 * What the core may not do with them it does not let pass. */
#ifndef WIRE_H
#define WIRE_H

#include "fuzz.h"
#include "peer.h"

/* Descriptors that no kernel gave. */
enum { WIRE_SOCKET = 100000, WIRE_BODY, WIRE_FILE, WIRE_DUP, WIRE_HANDED, WIRE_LAST };

struct wire {
    bool on;
    /* what decides: bytes of the input while there are any, then a sequence of numbers */
    struct fuzz_choice choice;
    const uint8_t *script;
    size_t script_left;
    /* from the client */
    const uint8_t *data;
    size_t size, arrived, read;
    bool ends;  /* it says that it sends no more, once all has arrived */
    bool gone;  /* it has reset the connection */
    bool edge;  /* something came that the poller has not told of yet */
    bool quiet; /* nothing fails from here on, so that there is an end */
    /* to the client */
    struct text sent;
    size_t room;
    bool shut;    /* in order */
    bool dropped; /* closed with a reset */
    /* files */
    struct text body;
    size_t file_size;
    bool by_hand; /* there is no sendfile */
    bool no_tmpfile;
    /* */
    bool open[WIRE_LAST - WIRE_SOCKET];
    uint64_t now_us;
    bool failed; /* a call other than for want of bytes or room: what follows need not be whole */
};

extern struct wire wire;

/* The client will send data[0..size). */
void wire_begin(const uint8_t *data, size_t size, const uint8_t *script, size_t script_len);
uint32_t wire_choose(uint32_t below);
static inline bool wire_one_in(uint32_t count)
{
    return wire_choose(count) == count - 1;
}

/* Time goes on: more bytes come, or their end, or a reset. False: there is nothing left to come. */
bool wire_arrive(void);

/* The client reads. */
void wire_make_room(void);

static inline bool wire_is_open(int fd)
{
    return wire.open[fd - WIRE_SOCKET];
}

char wire_file_byte(size_t off);

/* Every descriptor was closed. */
void wire_end(void);

#endif
