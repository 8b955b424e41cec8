#!/bin/bash
# The first process inside the guest: mounts, modules, interfaces, then commands from the console, one job directory a line.
# adit_share and adit_mac come from the kernel's command line.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run
: "${adit_share:?}" "${adit_mac:?}"

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /run/modules/lib /run/lock
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t hostfs -o "$adit_share" hostfs /mnt
stty -echo 2>/dev/null

# The modules lie outside /lib/modules: the kernel is told of a modprobe that looks there.
ln -s /usr/lib/uml/modules /run/modules/lib/modules
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/modules "$@"\n' >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
/run/modprobe ipv6
/run/modprobe tun
# An address can be used at once, not after a second of duplicate detection.
echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad

ip link set lo up
number=0
while ip link show "vec$number" >/run/link 2>&1; do
  ip link set "vec$number" name "eth$number"
  ip link set "eth$number" address "02:${adit_mac:0:2}:${adit_mac:2:2}:${adit_mac:4:2}:${adit_mac:6:2}:0$number" up
  number=$((number + 1))
done

job() {
  bash "/mnt/$1/command" >"/mnt/$1/output" 2>&1 </dev/null
  echo $? >"/mnt/$1/status.partial"
  mv "/mnt/$1/status.partial" "/mnt/$1/status"
}

echo ready >/mnt/ready.partial
mv /mnt/ready.partial /mnt/ready
while read -r word; do
  case $word in
    halt) break ;;
    job.*) job "$word" & ;;
  esac
done
busybox poweroff -n -f
