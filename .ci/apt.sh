#!/bin/sh
# Install the Debian packages that some tests use where we may, else say which are missing; those tests skip.
# chromium: the page in a browser. strace: broken disks. systemd: the units. fonts: readable screenshots, Chinese too. mbpoll: a
# Modbus client that is not ours. gcc, libmodbus: a PLC that is not ours. (Another one runs in Node-RED: its test takes
# node and npm where they are; a distribution's npm brings hundreds of packages, so it is not asked for here.)
# socat: pairs of serial ports. openssl: a TLS server that is not ours. nginx: the proxy of configs/nginx.conf.
packages="chromium strace systemd fonts-dejavu-core fonts-wqy-microhei mbpoll gcc libc6-dev libmodbus-dev socat openssl nginx"
command -v dpkg >/dev/null || { echo "no Debian packages here; tests that need one of these skip: $packages"; exit 0; }
missing=""
for p in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian packages for tests:$missing"
    apt-get update -qq || echo "apt-get update failed; trying with the lists that are here"
    # shellcheck disable=SC2086 - a list of words on purpose
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
fi
echo "not installed, so the tests that need them skip:$missing"
