import java.io.IOException;
import org.apache.hc.client5.http.HttpRequestRetryStrategy;
import org.apache.hc.client5.http.classic.methods.HttpPost;
import org.apache.hc.client5.http.config.RequestConfig;
import org.apache.hc.client5.http.impl.DefaultHttpRequestRetryStrategy;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.http.*;
import org.apache.hc.core5.http.io.entity.*;
import org.apache.hc.core5.http.protocol.HttpContext;
import org.apache.hc.core5.util.*;

public class RepeatApache {
  // As applications write it who want more than the default: any method, any failure.
  static final HttpRequestRetryStrategy any = new HttpRequestRetryStrategy() {
    @Override public boolean retryRequest(HttpRequest request, IOException e, int count, HttpContext context) { return count <= 3; }
    @Override public boolean retryRequest(HttpResponse response, int count, HttpContext context) { return response.getCode() >= 500 && count <= 3; }
    @Override public TimeValue getRetryInterval(HttpResponse response, int count, HttpContext context) { return TimeValue.ofMilliseconds(10); }
  };

  public static int send(String url, String strategy) throws Exception {
    var config = RequestConfig.custom().setResponseTimeout(Timeout.of(Repeat.limit)).build();
    var post = new HttpPost(url);
    post.setEntity(new ByteArrayEntity(Repeat.body, ContentType.APPLICATION_JSON));
    var retry = strategy.equals("any") ? any : new DefaultHttpRequestRetryStrategy(3, TimeValue.ofMilliseconds(10));
    try (var client = HttpClients.custom().setDefaultRequestConfig(config).setRetryStrategy(retry).build()) {
      return client.execute(post, response -> {
        EntityUtils.consume(response.getEntity());
        return response.getCode();
      });
    }
  }
}
