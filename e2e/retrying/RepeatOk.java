import java.io.IOException;
import okhttp3.*;

public class RepeatOk {
  // The interceptor that applications add: three tries, on a failure and on a 5xx.
  static Response threeTries(Interceptor.Chain chain) throws IOException {
    for (int n = 1;; n++) {
      try {
        var response = chain.proceed(chain.request());
        if (response.code() < 500 || n == 3) return response;
        response.close();
      } catch (IOException e) {
        if (n == 3) throw e;
      }
    }
  }

  public static int send(String url, String retries) throws Exception {
    var builder = new OkHttpClient.Builder().readTimeout(Repeat.limit);
    if (retries.equals("interceptor")) builder.addInterceptor(RepeatOk::threeTries);
    var post = new Request.Builder().url(url).post(RequestBody.create(MediaType.parse("application/json"), Repeat.body)).build();
    try (var response = builder.build().newCall(post).execute()) {
      return response.code();
    }
  }
}
