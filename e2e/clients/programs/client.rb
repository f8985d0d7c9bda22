require 'net/http'
require 'digest'
base, operation = ARGV
json = {'Content-Type' => 'application/json'}
uri = ->(path) { URI(base + path) }
path = ->(of) { uri.(of).request_uri } # given a URI, Net::HTTP takes the brackets of ::1 for a host
send = lambda do |request, at|
  request['Host'] = "#{at.host}:#{at.port}" # of its own it names ::1 without the brackets of RFC 9110
  Net::HTTP.start(at.hostname, at.port, read_timeout: 40) { |http| http.request(request) }
end
response =
  case operation
  when 'get' then send.(Net::HTTP::Get.new(path.('/payables?limit=2')), uri.(''))
  when 'post' then send.(Net::HTTP::Post.new(path.('/payables'), json).tap { |r| r.body = '{"a":1}' }, uri.(''))
  when 'upload' then send.(Net::HTTP::Post.new(path.('/files'), 'Content-Type' => 'application/octet-stream').tap { |r| r.body = "\0" * 1048576 }, uri.(''))
  when 'expect' then send.(Net::HTTP::Post.new(path.('/payables'), json.merge('Expect' => '100-continue')).tap { |r| r.body = '{"a":1}' }, uri.(''))
  when 'redirect'
    first = send.(Net::HTTP::Get.new(path.('/redirect')), uri.(''))
    at = URI.join(base + '/redirect', first['Location'])
    send.(Net::HTTP::Get.new(at.request_uri), at)
  else exit 77
  end
puts "#{response.code} #{Digest::SHA256.hexdigest(response.body || '')}"
