use strict; use warnings;
use Digest::SHA 'sha256_hex';
my ($base, $operation, $library) = @ARGV;
my %json = ('Content-Type' => 'application/json');
my %requests = (
    get => ['GET', '/payables?limit=2', {}, undef],
    post => ['POST', '/payables', {%json}, '{"a":1}'],
    upload => ['POST', '/files', {'Content-Type' => 'application/octet-stream'}, "\0" x 1048576],
    refused => ['POST', '/refused', {'Content-Type' => 'application/octet-stream'}, 'slowly'],
    redirect => ['GET', '/redirect', {}, undef],
);
exit 77 unless $requests{$operation};
my ($method, $path, $headers, $body) = @{$requests{$operation}};
if (defined $body && $body eq 'slowly') {
    exit 77 if $library ne 'tiny';
    my $left = 30;
    $body = sub { return undef if $left-- <= 0; select(undef, undef, undef, 0.1); return "\0" x 65536 };
}
if ($library eq 'tiny') {
    require HTTP::Tiny;
    my $response = HTTP::Tiny->new(timeout => 40)->request($method, $base . $path, {headers => $headers, defined $body ? (content => $body) : ()});
    die $response->{content} if $response->{status} == 599;
    print "$response->{status} ", sha256_hex($response->{content}), "\n";
} else {
    require LWP::UserAgent;
    my $response = LWP::UserAgent->new(timeout => 40)->request(HTTP::Request->new($method, $base . $path, [%$headers], $body));
    print $response->code, ' ', sha256_hex($response->content), "\n";
}
