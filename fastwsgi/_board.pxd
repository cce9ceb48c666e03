from libc.stdint cimport uint32_t

from fastwsgi.c_board cimport fw_board, fw_slot

cdef class Board:
    cdef fw_board *board

    cdef fw_slot *slot_address(self, uint32_t slot) except NULL
