#!/bin/bash
# Runs a program, or a file of tests, on a processor that this machine lacks: with AVX-512, or with matrix units (AMX). Bochs emulates it, on one
# core, some 50 times slower; in it run a small Linux, Node, koffi and oneDNN. About a minute of processor time before the program starts.
#
#   test/emulator/run.sh FILE [NAME=VALUE ...]      variables of the program
#   test/emulator/run.sh test/emulator/small.ts DNNL_VERBOSE=1
#   test/emulator/run.sh test/laws/onednn.test.ts LATENTGRAPH_TESTS='as measured' LATENTGRAPH_CASES=2
#   MODEL=sapphire_rapids test/emulator/run.sh test/emulator/step.ts       with matrix units of bfloat16; any processor of Bochs, or
#   ADD=amx_fp16 MODEL=sapphire_rapids ...                                 one with more, here matrix units of float16. Without MODEL
#   corei7_skylake_x: AVX-512 alone.
#
# Needs Debian's bochsbios, vgabios, xorriso, cpio, binutils, g++ and make, and oneDNN's library: ONEDNN=path, or the one that was set up.
# The first call takes a kernel, a loader, busybox and the sources of Bochs 3 from Debian, and unpacks and builds them (some five minutes)
# in LATENTGRAPH_EMULATOR, ~/.cache/latentgraph-emulator; nothing is installed. Delete the folder to make all of it anew.
set -euo pipefail
file=${1:?a file to run}; shift
here=$(cd "$(dirname "$0")" && pwd); modules=$here/../../node_modules
kept=${LATENTGRAPH_EMULATOR:-$HOME/.cache/latentgraph-emulator}; mkdir -p "$kept"
bochs=$kept/bochs-$(cksum < "$here/amx.patch" | cut -d ' ' -f 1)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

packages() {
  mkdir -p "$kept/debs"; cd "$kept/debs"
  apt-get download "$(apt-cache depends linux-image-cloud-amd64 | grep -oE 'linux-image-[0-9][^ ]*' | head -1)" busybox-static isolinux syslinux-common
  for deb in *.deb; do dpkg -x "$deb" "$kept/debian"; done
}
# Debian's own Bochs stops in a debugger, and before 3.0 knows no bfloat16. Linux takes AMX only together with a register (XFD) that Bochs lacks:
# amx.patch adds it, and mends what Bochs saves of tiles.
bochs() {
  mkdir -p "$kept/apt/lists/partial"; cd "$kept/apt"
  printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n' > sources
  own=(-o "Dir::Etc::sourcelist=$PWD/sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$PWD/lists")
  apt-get "${own[@]}" update; apt-get "${own[@]}" source --download-only bochs || true
  rm -rf bochs-3*/; tar xf bochs_3*.orig.tar.*; cd bochs-3*/; patch -p1 < "$here/amx.patch"
  ./configure --enable-cpu-level=6 --enable-x86-64 --enable-avx --enable-evex --enable-amx --enable-all-optimizations --enable-pci --enable-cdrom \
    --enable-long-phy-address --disable-plugins --disable-debugger --disable-docbook --with-nogui CXXFLAGS='-O2 -march=native -fno-strict-aliasing'
  make -j2; cp bochs "$bochs"
}
# What a program finds beside itself: Node, the packages that have libraries of their own, and those libraries.
system() {
  onednn=${ONEDNN:-$(sed -nE 's/.*"path": *"([^"]*)".*/\1/p' "${XDG_CONFIG_HOME:-$HOME/.config}/latentgraph/onednn.json")}
  tree=$kept/tree; lib=lib/x86_64-linux-gnu; rm -rf "$tree"
  mkdir -p "$tree"/{bin,lib64,$lib,proc,dev,tmp,app,node_modules/@koromix}
  strip -o "$tree/bin/node" "$(command -v node)"; cp -L "$onednn" "$tree/$lib/libdnnl.so.3"; cp "$kept/debian/bin/busybox" "$tree/bin/"
  cp -r "$modules"/{koffi,wabt} "$tree/node_modules/"; cp -r "$modules/@koromix/koffi-linux-x64" "$tree/node_modules/@koromix/"
  for used in $(ldd "$(command -v node)" "$onednn" | grep -oE '/[^ :]+\.so\.[0-9]+' | sort -u); do
    [ "$used" -ef "$onednn" ] || cp -L "$used" "$tree/$lib/"
  done
  mv "$tree/$lib"/ld-linux-x86-64.so.2 "$tree/lib64/"
  xorriso -as mkisofs -quiet -R -o "$kept/system.iso" "$tree"
}
[ -d "$kept/debian/boot" ] || (packages)
[ -x "$bochs" ] || (bochs)
[ -f "$kept/system.iso" ] || (system)

# The disk that it starts from, with the program and the experiments that it may read.
mkdir -p "$work"/disk "$work"/init/{bin,modules,proc,dev,disk}
node "$here/bundle.mjs" "$file" "$work/disk"; mkdir "$work/disk/graphs"; cp "$here"/../../graphs/*.json "$work/disk/graphs/"
for pair; do printf 'export %s=%q\n' "${pair%%=*}" "${pair#*=}"; done > "$work/disk/environment"
cp "$kept/debian/bin/busybox" "$work/init/bin/"; install -m 755 "$here/init" "$work/init/init"
for m in scsi_common scsi_mod libata ata_piix cdrom sr_mod isofs; do
  strip --strip-debug -o "$work/init/modules/$m.ko" "$(find "$kept/debian/lib/modules" -name "$m.ko")"
done
(cd "$work/init" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/disk/init.cpio"
cp "$kept"/debian/boot/vmlinuz-* "$work/disk/linux"
cp "$kept"/debian/usr/lib/ISOLINUX/isolinux.bin "$kept"/debian/usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/disk/"
# Without two things that sapphire_rapids has: five levels of pages, for which Bochs cannot leave system management mode; and fsrm, with which
# Linux 6.1 leaves the check of lengths to the fast string operations that Bochs says are off, and so moves memory without end.
cat > "$work/disk/isolinux.cfg" <<'END'
default linux
label linux
kernel linux
initrd init.cpio
append console=ttyS0,115200 quiet loglevel=2 mitigations=off nokaslr tsc=reliable no_timer_check no5lvl clearcpuid=fsrm rdinit=/init
END
xorriso -as mkisofs -quiet -R -o "$work/start.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$work/disk" 2> /dev/null

# Bochs writes its speed from a signal's handler and waits for itself for ever where it writes anything else: so it says nothing.
cat > "$work/bochsrc" <<END
display_library: nogui
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model=${MODEL:-corei7_skylake_x}, add_features="${ADD:-}", count=1, ips=50000000
memory: guest=1024, host=1024
ata1: enabled=1
ata0-master: type=cdrom, path=$work/start.iso, status=inserted
ata1-master: type=cdrom, path=$kept/system.iso, status=inserted
boot: cdrom
clock: sync=none
com1: enabled=1, mode=file, dev=$work/serial
log: $work/log
panic: action=fatal
error: action=ignore
info: action=ignore
END
touch "$work/serial"
nice -n 5 "$bochs" -q -f "$work/bochsrc" > "$work/screen" 2>&1 < /dev/null &
tail -n +1 -f --pid=$! "$work/serial" | tr -d '\r' | tee "$work/out"
grep -q '^exit 0$' "$work/out"
