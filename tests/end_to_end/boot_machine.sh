#!/bin/bash
# Become the first process of a machine of its own: systemd, on a copy of this machine's disk. See machine.py.
#
#     boot_machine.sh FOLDER GROUP [SOURCE=PLACE …]
#
# Run in new namespaces for mounts, processes, network, IPC and the machine's name. FOLDER keeps what the machine writes,
# which is there when it boots again. GROUP: a folder of the cgroup2 hierarchy, its own. Each SOURCE is seen at its PLACE too.
set -euo pipefail

folder=$1 group=$2 root=$1/root

if [ -z "${IN_ITS_GROUP-}" ]; then
    mount --make-rprivate /
    echo 0 > "$group/cgroup.procs"
    IN_ITS_GROUP=1 exec unshare --cgroup "$BASH" "$0" "$@"
fi

mkdir -p "$folder"/{disk,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/disk,workdir=$folder/work" "$root"
if [ ! -e "$folder/booted" ]; then
    # Nothing is enabled but what is put into it. Without an id systemd would take this for its first start and enable all.
    rm -rf "$root"/etc/systemd/system/*.wants
    tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
    : > "$root/etc/fstab"
    touch "$folder/booted"
fi

mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"  # the kernel is everybody's
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root"/dev/{pts,shm}
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

for shown in "${@:3}"; do
    mkdir -p "$root${shown#*=}"
    mount --bind "${shown%%=*}" "$root${shown#*=}"
done

cd "$root"
mkdir -p former
pivot_root . former
umount -l /former
rmdir /former
exec env -i container=costsite-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=no
