"""What a message costs in the filter, compared with Debian's clamav-milter: `make bench`.

The cost is the CPU time that the kernel charges to the filter's processes, not elapsed time: other work on the machine
changes it little, and a ratio of interleaved rounds hardly at all. Nothing here is a test.
"""
