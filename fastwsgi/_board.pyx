"""The board: a page shared by all processes of one server, with one slot a worker.

What the numbers mean, and who writes which, is said in csrc/fw_board.h; `_board.pyi` documents this module.
"""

from collections import namedtuple

from libc.stdint cimport uint32_t

from fastwsgi.c_board cimport (
    FW_SLOT_BOOTING,
    FW_SLOT_FREE,
    FW_SLOT_LEAVING,
    FW_SLOT_RETIRING,
    FW_SLOT_SERVING,
    fw_board_create,
    fw_board_destroy,
    fw_board_take,
    fw_slot,
    fw_slot_clear,
    fw_slot_read,
    fw_slot_request,
)

FREE = int(FW_SLOT_FREE)
BOOTING = int(FW_SLOT_BOOTING)
SERVING = int(FW_SLOT_SERVING)
RETIRING = int(FW_SLOT_RETIRING)
LEAVING = int(FW_SLOT_LEAVING)

Slot = namedtuple(
    "Slot",
    "pid state turn requests refused connections generation booted_ns request client since_ns dismissed",
    defaults=(0, 0, "", "", 0, False),
)


cdef class Board:
    """Owns the shared mapping. Forked children inherit it; it goes when the last process lets go of it."""

    def __cinit__(self, uint32_t count):
        if count == 0:
            raise ValueError("a board has at least one slot")
        self.board = fw_board_create(count)
        if self.board is NULL:
            raise MemoryError

    def __dealloc__(self):
        fw_board_destroy(self.board)

    cdef fw_slot *slot_address(self, uint32_t slot) except NULL:
        """The slot itself. Borrowed: valid as long as this board is."""
        if slot >= self.board.count:
            raise IndexError(f"slot {slot} of a board of {self.board.count}")
        return &self.board.slots[slot]

    @property
    def count(self):
        return self.board.count

    def read(self, uint32_t slot):
        cdef fw_slot *source = self.slot_address(slot)
        cdef fw_slot_request request
        fw_slot_read(source, &request)
        return Slot(
            source.pid, source.state, request.turn, source.requests, source.refused, source.connections,
            source.generation, source.booted_ns, request.line[: request.line_len].decode("latin-1"),
            request.client[: request.client_len].decode("latin-1"), request.since_ns, bool(source.dismissed),
        )

    def set_state(self, uint32_t slot, uint32_t state):
        if state > FW_SLOT_LEAVING:
            raise ValueError(f"{state} is not the state of a slot")
        self.slot_address(slot).state = state

    def take(self, uint32_t slot):
        self.slot_address(slot)
        fw_board_take(self.board, slot)

    def set_dismissed(self, uint32_t slot):
        self.slot_address(slot).dismissed = 1

    def set_ending(self):
        self.board.ending = 1

    def set_pid(self, uint32_t slot, uint32_t pid):
        self.slot_address(slot).pid = pid

    def set_generation(self, uint32_t slot, uint32_t generation):
        self.slot_address(slot).generation = generation

    def clear(self, uint32_t slot):
        fw_slot_clear(self.slot_address(slot))
