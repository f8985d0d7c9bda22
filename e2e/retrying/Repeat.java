import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

// Sends one POST by a client that is in the JDK, as the client repeats by itself.
public class Repeat {
  static final byte[] body = "{}".getBytes(StandardCharsets.UTF_8);
  static final Duration limit = Duration.ofMillis(400); // of one try

  public static void main(String[] args) throws Exception {
    var url = args[1];
    try {
      switch (args[0]) {
        case "urlconnection" -> print(urlConnection(url));
        default -> print((int) Class.forName(args[0]).getMethod("send", String.class, String.class).invoke(null, url, args[2]));
      }
    } catch (java.lang.reflect.InvocationTargetException e) {
      System.out.println(e.getCause());
    } catch (IOException e) {
      System.out.println(e);
    }
    System.exit(0); // some clients leave threads
  }

  static void print(int status) { System.out.println(status); }

  // It sends a POST again by itself if the connection ends without a response.
  static int urlConnection(String url) throws IOException {
    var to = (HttpURLConnection) new URL(url).openConnection();
    to.setRequestMethod("POST");
    to.setDoOutput(true);
    to.setReadTimeout((int) limit.toMillis());
    try (var out = to.getOutputStream()) {
      out.write(body);
    }
    return to.getResponseCode();
  }
}
