# Boots the Debian in folder $1 as host $2; runs as the first process of new mount, PID, network, UTS, IPC and cgroup
# namespaces (machine.py), where it becomes systemd. Every mount ends with the namespace.
set -eu
mount --bind "$1" "$1"
cd "$1"
hostname "$2"
ip link set lo up
mount -t proc proc proc
# systemd and udev of this machine must not set the kernel's parameters, nor touch the devices of the host
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
pivot_root . .
umount --lazy .
# nor load modules, set the clock or write to hardware
exec env -i container=other setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio /lib/systemd/systemd
