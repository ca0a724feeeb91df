"""Where a path lies by a table of mounts, as the kernel prints it."""

from miltscan.core.mounts import MountedPath, mounted_path

HOST = """\
24 30 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
30 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
36 30 0:27 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=806404k,mode=755
41 30 254:1 / /var/lib/clamav/tmp rw,relatime shared:20 - ext4 /dev/vdb ro,errors=remount-ro
42 30 254:2 / /mnt/two\\040words\\134 rw,relatime shared:21 - ext4 /dev/vdc rw
43 36 0:40 / /run/over rw shared:22 - tmpfs a rw
44 43 0:41 / /run/over rw shared:23 - tmpfs b rw
"""
UNIT = """\
300 299 254:0 / / ro,relatime - ext4 /dev/vda rw
310 300 254:0 /var/spool/miltscan /var/spool/miltscan rw,relatime - ext4 /dev/vda rw
311 300 254:0 /tmp/systemd-private-1/tmp /tmp rw,relatime - ext4 /dev/vda rw
"""


def test_a_path_lies_in_the_longest_mount_point() -> None:
    """Its place inside the file system is the mounted folder and what follows the mount point."""
    for path, device, inside in (
        ("/opt/a", "254:0", "/opt/a"),
        ("/", "254:0", "/"),
        ("/run", "0:27", "/"),
        ("/running", "254:0", "/running"),
        ("/run/clamav/tmp", "0:27", "/clamav/tmp"),
        ("/var/lib/clamav/tmp/x", "254:1", "/x"),
        ("/mnt/two words\\/x", "254:2", "/x"),
        ("/run/over/x", "0:41", "/x"),  # the last of two mounts on one folder hides the first
    ):
        found = mounted_path(HOST, path)
        assert found is not None
        assert found[:2] == (device, inside), path


def test_the_same_folder_is_the_same_place_in_both_tables() -> None:
    """A folder that systemd mounts on itself is the same one; a private /tmp is another folder of the same disk."""
    assert mounted_path(HOST, "/var/spool/miltscan/x") == mounted_path(UNIT, "/var/spool/miltscan/x")
    assert mounted_path(HOST, "/tmp/x") == MountedPath("254:0", "/tmp/x", read_only=False, kind="ext4")  # noqa: S108 - a text
    there = MountedPath("254:0", "/tmp/systemd-private-1/tmp/x", read_only=False, kind="ext4")  # noqa: S108
    assert mounted_path(UNIT, "/tmp/x") == there  # noqa: S108


def test_a_mount_or_its_file_system_may_be_read_only() -> None:
    """The kernel makes a file system read-only after errors of the disk, and the mount keeps its options."""
    for table, path, read_only in (
        (HOST, "/var/lib/clamav/tmp", True),
        (HOST, "/var/lib/clamav", False),
        (UNIT, "/var/lib/clamav", True),
    ):
        found = mounted_path(table, path)
        assert found is not None
        assert found.read_only is read_only, path


def test_any_text_is_a_table() -> None:
    """Lines of another form are ignored."""
    for text in ("", "\n\n", "30 1 254:0 / /", "a b c d e f g h i j k", HOST.partition("\n")[0]):
        assert mounted_path(text, "/var") is None, text
