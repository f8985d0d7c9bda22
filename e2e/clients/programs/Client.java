// usage: Client BASE OPERATION LIBRARY
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.security.MessageDigest;
import java.util.HexFormat;

public class Client {
  /** Slow is 30 pieces of 64 KiB, one each 100 ms. */
  static class Slow extends InputStream {
    int left = 30 * 65536, inPiece = 0;
    @Override public int read() { throw new UnsupportedOperationException(); }
    @Override public int read(byte[] to, int at, int most) throws IOException {
      if (left == 0) return -1;
      if (inPiece == 0) {
        try { Thread.sleep(100); } catch (InterruptedException e) { throw new IOException(e); }
        inPiece = 65536;
      }
      int n = Math.min(most, inPiece);
      inPiece -= n; left -= n;
      return n;
    }
  }

  static String method, path, type;
  static byte[] body;
  static boolean slow;

  static void choose(String operation) {
    method = "GET";
    switch (operation) {
      case "get": path = "/payables?limit=2"; return;
      case "redirect": path = "/redirect"; return;
      case "post": case "expect": method = "POST"; path = "/payables"; type = "application/json"; body = "{\"a\":1}".getBytes(); return;
      case "upload": method = "POST"; path = "/files"; type = "application/octet-stream"; body = new byte[1 << 20]; return;
      case "refused": method = "POST"; path = "/refused"; type = "application/octet-stream"; slow = true; return;
      default: System.exit(77);
    }
  }

  public static void main(String[] args) throws Exception {
    choose(args[1]);
    Object[] got;
    switch (args[2]) {
      case "jdk": got = jdk(args[0], args[1].equals("expect")); break;
      case "urlconnection": if (args[1].equals("expect")) System.exit(77); got = connection(args[0]); break;
      default: got = (Object[]) Class.forName(args[2]).getMethod("send", String.class, String.class).invoke(null, args[0], args[1]);
    }
    System.out.println(got[0] + " " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest((byte[]) got[1])));
    System.exit(0);
  }

  static Object[] jdk(String base, boolean expect) throws Exception {
    var publisher = slow ? HttpRequest.BodyPublishers.ofInputStream(Slow::new)
        : body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofByteArray(body);
    var request = HttpRequest.newBuilder(URI.create(base + path)).method(method, publisher).expectContinue(expect);
    if (type != null) request.header("Content-Type", type);
    // No version: the default offers h2c by Upgrade.
    var client = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();
    var response = client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
    return new Object[] {response.statusCode(), response.body()};
  }

  static Object[] connection(String base) throws Exception {
    var c = (HttpURLConnection) new URL(base + path).openConnection();
    c.setRequestMethod(method);
    c.setReadTimeout(40000);
    if (body != null || slow) {
      c.setRequestProperty("Content-Type", type);
      c.setDoOutput(true);
      if (slow) c.setChunkedStreamingMode(65536);
      try (var out = c.getOutputStream()) {
        if (slow) new Slow().transferTo(out); else out.write(body);
      }
    }
    int status = c.getResponseCode();
    try (var in = status < 400 ? c.getInputStream() : c.getErrorStream()) {
      return new Object[] {status, in == null ? new byte[0] : in.readAllBytes()};
    }
  }
}
