<?php
// PHP without extensions: lists entities, creates a tag, reads it back.
$base = getenv('MONITE_BASE_URL') ?: 'https://api.sandbox.monite.com/v1'; // http://localhost:8080/v1
$name = $argv[1];

function call(string $method, string $url, ?array $body = null): array
{
    $header = ['Accept: application/json', 'X-Monite-Entity-Id: ' . getenv('MONITE_ENTITY')];
    // Code that insists on credentials may keep them: the sidecar removes the field.
    $header[] = 'Authorization: Bearer ' . (getenv('MONITE_TOKEN') ?: 'none');
    $http = ['method' => $method, 'timeout' => 70, 'ignore_errors' => true, 'protocol_version' => 1.1];
    if ($body !== null) {
        $header[] = 'Content-Type: application/json';
        $http['content'] = json_encode($body);
    }
    $header[] = 'Connection: close'; // PHP's streams wait for the end of the connection
    $http['header'] = $header;
    $text = file_get_contents($url, false, stream_context_create(['http' => $http]));
    if ($text === false || !preg_match('#^HTTP/1\.1 2#', $http_response_header[0])) {
        throw new RuntimeException("$method $url: " . ($http_response_header[0] ?? 'no answer') . " $text");
    }
    return json_decode($text, true, 64, JSON_THROW_ON_ERROR);
}

call('GET', "$base/entities?limit=1");
$tag = call('POST', "$base/tags", ['name' => $name]);
if (call('GET', "$base/tags/{$tag['id']}")['name'] !== $name) {
    throw new RuntimeException('read back something else');
}
echo "created and read $name\n";
