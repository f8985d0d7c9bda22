import okhttp3.*;
import okio.*;

public class Ok {
  public static Object[] send(String base, String operation) throws Exception {
    RequestBody body = null;
    if (Client.slow) body = new RequestBody() {
      @Override public MediaType contentType() { return MediaType.parse(Client.type); }
      @Override public void writeTo(BufferedSink to) throws java.io.IOException {
        to.writeAll(Okio.source(new Client.Slow()));
      }
    };
    else if (Client.body != null) body = RequestBody.create(MediaType.parse(Client.type), Client.body);
    var request = new Request.Builder().url(base + Client.path).method(Client.method, body);
    if (operation.equals("expect")) request.header("Expect", "100-continue");
    try (var response = new OkHttpClient().newCall(request.build()).execute()) {
      return new Object[] {response.code(), response.body().bytes()};
    }
  }
}
