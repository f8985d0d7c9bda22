<?php
[$_, $base, $operation] = $argv;
$json = ['Content-Type: application/json'];
$requests = [
    'get' => ['GET', '/payables?limit=2', [], null],
    'post' => ['POST', '/payables', $json, '{"a":1}'],
    'upload' => ['POST', '/files', ['Content-Type: application/octet-stream'], str_repeat("\0", 1048576)],
    'redirect' => ['GET', '/redirect', [], null],
    'expect' => ['POST', '/payables', array_merge($json, ['Expect: 100-continue']), '{"a":1}'],
];
if (!isset($requests[$operation])) exit(77);
[$method, $path, $headers, $body] = $requests[$operation];
$curl = curl_init($base . $path);
curl_setopt_array($curl, [CURLOPT_CUSTOMREQUEST => $method, CURLOPT_HTTPHEADER => $headers, CURLOPT_RETURNTRANSFER => true, CURLOPT_FOLLOWLOCATION => true, CURLOPT_TIMEOUT => 40]);
if ($body !== null) curl_setopt($curl, CURLOPT_POSTFIELDS, $body);
$content = curl_exec($curl);
if ($content === false) { fwrite(STDERR, curl_error($curl)); exit(1); }
echo curl_getinfo($curl, CURLINFO_RESPONSE_CODE), ' ', hash('sha256', $content), "\n";
