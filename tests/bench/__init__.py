"""What a message costs in the filter, beside Debian's clamav-milter: `make bench`.

Measured is the CPU time that the kernel charges to the filter's processes, never the time on the clock: other work on
the machine changes it little, and a ratio of interleaved rounds hardly at all. Nothing here is a test.
"""
