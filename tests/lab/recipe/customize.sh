#!/bin/sh
# Make a fresh Debian tree ($1) into a lab guest: the Azure agent runs on QEMU, boots fast, root logs in on ttyS0.
set -eu
root=$1
here=$(dirname "$(readlink -f "$0")")

# The Azure agent: its unit wants Hyper-V, its defaults wait for Azure's provisioning media.
mkdir -p "$root/etc/systemd/system/walinuxagent.service.d"
printf '[Unit]\nConditionVirtualization=\n' >"$root/etc/systemd/system/walinuxagent.service.d/10-vmkeep.conf"
set_option() { sed -i "/^#* *$1=/d" "$root/etc/waagent.conf"; echo "$1=$2" >>"$root/etc/waagent.conf"; }
set_option Provisioning.Agent disabled
set_option ResourceDisk.Format n
set_option Logs.Collect n
set_option AutoUpdate.Enabled n
set_option OS.EnableFirewall n

# Network: ISC dhclient by ifupdown, whose lease file the agent reads.
printf 'auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n' >"$root/etc/network/interfaces"
: >"$root/etc/resolv.conf"

# Disks: one partition for /, a whole disk for /data, mounted without waiting for udev, which is slow under emulation.
# A guest restored without its data disk comes up all the same.
mkdir "$root/data"
printf 'LABEL=root / ext4 defaults 0 0\nLABEL=data /data ext4 noauto 0 0\n' >"$root/etc/fstab"
cat >"$root/etc/systemd/system/mount-data.service" <<'UNIT'
[Unit]
DefaultDependencies=no
After=systemd-remount-fs.service
Before=local-fs.target
[Service]
Type=oneshot
ExecStart=-/bin/mount /data
[Install]
WantedBy=local-fs.target
UNIT
chroot "$root" systemctl -q enable mount-data.service

# Root without password on the serial console, quiet logs in memory.
chroot "$root" passwd -q -d root
mkdir -p "$root/etc/systemd/system/serial-getty@ttyS0.service.d" "$root/etc/systemd/journald.conf.d"
printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty -a root --keep-baud 115200 %%I linux\n' \
  >"$root/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf"
printf '[Journal]\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
echo localhost >"$root/etc/hostname"
cp "$here/machine-id" "$root/etc/machine-id"

# Boot fast under emulation: nothing that a backup test needs is lost with these.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  fstrim.timer getty-static.service getty@tty1.service logrotate.timer systemd-random-seed.service \
  systemd-journal-flush.service systemd-fsck-root.service systemd-update-utmp.service systemd-pstore.service \
  systemd-sysusers.service systemd-logind.service systemd-tmpfiles-clean.timer \
  modprobe@.service systemd-modules-load.service sys-fs-fuse-connections.mount sys-kernel-config.mount \
  ifupdown-pre.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
  kmod-static-nodes.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

printf 'blacklist %s\n' kvm kvm_amd ccp powernow_k8 aesni_intel ghash_clmulni_intel sha512_ssse3 pcspkr psmouse \
  >"$root/etc/modprobe.d/lab.conf"

# A small initramfs: virtio drivers, then the root file system by its label.
kernel=$(basename "$root"/boot/vmlinuz-*)
modules="$root/lib/modules/${kernel#vmlinuz-}/kernel"
tree="$root/tmp/initramfs"
mkdir -p "$tree/bin" "$tree/lib" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/new"
cp "$root/bin/busybox" "$tree/bin/busybox"
ln -s busybox "$tree/bin/sh"
for module in $(cat "$here/initramfs-modules.txt"); do
  find "$modules" -name "$module.ko" -exec cp {} "$tree/lib/" \;
done
cp "$here/initramfs-modules.txt" "$tree/lib/modules.txt"
install -m 0755 "$here/initramfs-init" "$tree/init"
(cd "$tree" && find . | cpio -o -H newc --quiet) | gzip -1 >"$root/boot/initrd.img"
rm -rf "$tree" "$root"/boot/initrd.img-*
ln -s "$kernel" "$root/boot/vmlinuz"

# GRUB with its configuration inside: written before the first partition by the image builder.
cp "$here/grub-early.cfg" "$root/boot/grub-early.cfg"
chroot "$root" grub-mkimage -O i386-pc -o /boot/grub-core.img -c /boot/grub-early.cfg -p /boot/grub \
  biosdisk part_msdos ext2 linux
cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/boot/grub-boot.img"
