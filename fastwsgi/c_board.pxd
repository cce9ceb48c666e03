# csrc/fw_board.h. The fields of a slot are _Atomic in C: a plain read or assignment of one is atomic.

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "fw_board.h" nogil:
    enum fw_slot_state:
        FW_SLOT_FREE
        FW_SLOT_BOOTING
        FW_SLOT_SERVING
        FW_SLOT_RETIRING
        FW_SLOT_LEAVING

    struct fw_slot:
        uint32_t state
        uint32_t pid
        uint64_t turn
        uint64_t requests
        uint64_t refused
        uint32_t connections
        uint32_t generation
        uint64_t booted_ns
        uint32_t dismissed

    struct fw_slot_request:
        uint64_t turn
        uint64_t since_ns
        size_t line_len
        size_t client_len
        char *line
        char *client

    struct fw_board:
        uint32_t count
        uint32_t ending
        fw_slot *slots

    fw_board *fw_board_create(uint32_t count)
    void fw_board_destroy(fw_board *board)
    void fw_board_take(fw_board *board, uint32_t slot)
    void fw_slot_clear(fw_slot *slot)
    void fw_slot_read(const fw_slot *slot, fw_slot_request *request)
    void fw_slot_count(uint64_t *counter)
