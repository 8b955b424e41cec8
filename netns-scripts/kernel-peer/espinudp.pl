# Sockets on port 4500 of both families whose ESP the kernel takes (UDP_ENCAP, RFC 3948); writes its process number and stays.
use strict;
use warnings;
use Socket qw(:all);

my ($pid_file) = @ARGV;
my ($udp_encap, $espinudp) = (100, 2);
my @open;
for my $end ([AF_INET, pack_sockaddr_in(4500, INADDR_ANY)], [AF_INET6, pack_sockaddr_in6(4500, IN6ADDR_ANY)]) {
  my ($family, $address) = @$end;
  socket(my $socket, $family, SOCK_DGRAM, 0) or die "socket: $!";
  $family == AF_INET or setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, 1) or die "IPV6_V6ONLY: $!";
  bind($socket, $address) or die "bind: $!";
  setsockopt($socket, IPPROTO_UDP, $udp_encap, pack("i", $espinudp)) or die "UDP_ENCAP: $!";
  push @open, $socket;
}
open(my $file, ">", $pid_file) or die "$pid_file: $!";
print $file $$ or die "$pid_file: $!";
close($file) or die "$pid_file: $!";
sleep;
