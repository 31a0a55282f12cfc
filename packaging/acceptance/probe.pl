#!/usr/bin/perl
# Opens devices as the daemon does, and says of each how that went: its name, then "opens", the level or byte that was
# read, or the error. In Perl, for that is in every Debian; the lines by the kernel's second interface, for 7.2 has no other.
#
# usage: probe OPEN... where OPEN is  open DEVICE | spi DEVICE | in CHIP LINE | hold CHIP LINE LEVEL (until it is killed)
use strict;
use warnings;
$| = 1;

my ($GET_LINE, $GET_VALUES) = (0xC250B407, 0xC010B40E);
my ($INPUT, $OUTPUT) = (1 << 2, 1 << 3);

sub opened {
    my ($device) = @_;
    # Read and write, without waiting for a modem's carrier, and never as the terminal of this process.
    sysopen(my $file, $device, 02 | 04000 | 0400) or die "$!\n";
    return $file;
}

sub line {
    my ($chip, $line, $level) = @_;
    my $file = opened($chip);
    my $output = defined $level ? pack('L x4 Q Q', 2, $level, 1) : '';
    my $request = pack('L x252 a32 Q L x20 a240 L L x20 l', $line, 'probe', defined $level ? $OUTPUT : $INPUT,
        defined $level ? 1 : 0, $output, 1, 0, 0);
    ioctl($file, $GET_LINE, $request) or die "$!\n";
    open(my $held, '+<&=', unpack('l', substr($request, -4))) or die "$!\n";
    return $held;
}

while (defined(my $what = shift)) {
    my $device = shift;
    my ($line, $level) = $what eq 'in' ? (shift) : $what eq 'hold' ? (shift, shift) : ();
    my $found = eval {
        if ($what eq 'open') { opened($device); return 'opens' }
        if ($what eq 'spi') {
            sysread(opened($device), my $byte, 1) or die "$!\n";
            return sprintf('%02x', ord $byte);
        }
        my $held = line($device, $line, $level);
        if ($what eq 'hold') { print "holds\n"; sleep }
        my $values = pack('Q Q', 0, 1);
        ioctl($held, $GET_VALUES, $values) or die "$!\n";
        return unpack('Q', $values);
    };
    chomp($found = $@) unless defined $found;
    print "$device: $found\n";
}
