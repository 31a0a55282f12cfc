#!/bin/bash
# A serial stick on USB: `stick in MAKER PRODUCT SERIAL` plugs it in, `stick out` pulls it. Its far end is /dev/ttyGS0.
set -e
gadget=/sys/kernel/config/usb_gadget/stick
if [ "$1" = in ]; then
    modprobe -a dummy_hcd libcomposite
    mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
    mkdir "$gadget"
    cd "$gadget"
    # A maker's number that is none of a known stick's: the rules go by the names.
    echo 0x1d6b > idVendor
    echo 0x0104 > idProduct
    mkdir strings/0x409 configs/c.1 functions/acm.0
    echo "$2" > strings/0x409/manufacturer
    echo "$3" > strings/0x409/product
    echo "$4" > strings/0x409/serialnumber
    ln -s functions/acm.0 configs/c.1/
    stty -F /dev/ttyGS0 raw -echo
    echo dummy_udc.0 > UDC
else
    cd "$gadget"
    echo > UDC
    rm configs/c.1/acm.0
    rmdir configs/c.1 functions/acm.0 strings/0x409
    cd ..
    rmdir stick
fi
