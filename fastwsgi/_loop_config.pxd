from fastwsgi.c_server cimport fw_loop_config

cdef class LoopConfig:
    cdef fw_loop_config core
    # what it borrows
    cdef tuple kept
